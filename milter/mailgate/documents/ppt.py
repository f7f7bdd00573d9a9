"""The text of a PowerPoint 97 presentation (MS-PPT): the atoms of text, wherever they stand."""

import zlib
from collections.abc import Iterator

from ..model import Obstacle
from .budget import Blocked, Budget
from .found import Found, Inside, extracts

_TEXT, _OCTETS, _STRING = 0x0FA0, 0x0FA8, 0x0FBA  # TextCharsAtom, TextBytesAtom, CString
_ENCRYPTION, _OBJECT = 0x2F14, 0x1011  # CryptSession10Container, ExOleObjStg


def read(stream: bytes, user: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text and the embedded objects of a stream PowerPoint Document; user: the stream Current User."""
    if user[12:16] == b"\xdf\xc4\xd1\xf3":  # CurrentUserAtom.headerToken of an encrypted one (2.3.2)
        raise Blocked(Obstacle.ENCRYPTED, "ppt")
    lines: list[str] = []
    objects: list[bytes] = []
    at, size = 0, len(stream)
    is_whole = True
    while at + 8 <= size:
        version = stream[at] & 0x0F
        kind = int.from_bytes(stream[at + 2 : at + 4], "little")
        length = int.from_bytes(stream[at + 4 : at + 8], "little")
        begin, end = at + 8, at + 8 + length
        is_whole = end <= size
        if kind == _ENCRYPTION:
            raise Blocked(Obstacle.ENCRYPTED, "ppt")
        if version == 0x0F:  # a container: its records follow
            at = begin
            continue
        if kind in (_TEXT, _STRING):
            lines.append(stream[begin:end].decode("utf-16-le", "replace"))
        elif kind == _OCTETS:
            lines.append(stream[begin:end].decode("latin-1"))  # the low octets of UTF-16
        elif kind == _OBJECT:
            is_compressed = stream[at] >> 4 == 1
            objects.append(stream[begin + 4 : end] if is_compressed else b"\0" + stream[begin:end])
        at = end
    text = "\n".join(lines).replace("\r", "\n").replace("\x0b", "\n")
    yield from extracts((text,), place, "", budget)
    for data in objects:
        yield Inside("object", _object(data, budget))
    if not is_whole or size < 8:
        raise Blocked(Obstacle.DAMAGED, "ppt: no end")


def _object(data: bytes, budget: Budget) -> bytes:
    """Return an embedded OLE file: as it stands after a zero, else compressed (2.10.34)."""
    if data[:1] == b"\0":
        return data[1:]
    limit = budget.limits.file_octets
    decoder = zlib.decompressobj()
    try:
        octets = decoder.decompress(data, limit)
    except zlib.error as error:
        raise Blocked(Obstacle.DAMAGED, "object in a ppt") from error
    budget.take_octets(len(octets))
    if decoder.unconsumed_tail:
        raise Blocked(Obstacle.LIMIT, f"an object is larger than {limit} octets")
    return octets
