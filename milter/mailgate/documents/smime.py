"""S/MIME (RFC 8551) and signed files: what is signed and carried inside (opaque-signed), what is encrypted.

No signature is verified here: what a reader is shown is looked into, whoever signed it. The structure is CMS (RFC
5652) in BER (X.690): lengths may be left open, and a string may be made of pieces.
"""

import re
import zlib
from collections.abc import Iterator

from ..model import Obstacle
from ..text.file_names import extension_of
from .budget import Blocked, Budget
from .found import Inside

_PKCS7 = bytes.fromhex("2a864886f70d0107")  # 1.2.840.113549.1.7.x (RFC 5652 section 4 on)
_OTHER = bytes.fromhex("2a864886f70d01091001")  # 1.2.840.113549.1.9.16.1.x
_DATA, _SIGNED, _DIGESTED = _PKCS7 + b"\x01", _PKCS7 + b"\x02", _PKCS7 + b"\x05"
_COMPRESSED = _OTHER + b"\x09"  # RFC 3274
_ENCRYPTED = frozenset(
    {
        _PKCS7 + b"\x03",
        _PKCS7 + b"\x04",
        _PKCS7 + b"\x06",
        _OTHER + b"\x17",
    }  # enveloped, encrypted, authenticated (RFC 5083)
)
_BEGIN = 32  # octets in which the first identifier stands
_SEQUENCE, _STRING, _STRING_OF_PIECES, _CONTENT = 0x30, 0x04, 0x24, 0xA0
_OPEN = -1
_HEAD = 65_536  # octets in which a part's header stands
_PART = re.compile(rb"^content-(?:type|transfer-encoding|disposition)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_NO_END = b"\0\0"


def is_smime(octets: bytes) -> bool:
    """Tell whether octets begin as a ContentInfo does: a SEQUENCE and one of the identifiers."""
    head = octets[:_BEGIN]
    return head.startswith(b"\x30") and (b"\x06\x09" + _PKCS7 in head or b"\x06\x0b" + _OTHER in head)


def read(octets: bytes, name: str, budget: Budget) -> Iterator[Inside]:
    """Yield what is signed and carried inside, nothing where the signature stands beside it (multipart/signed); name:
    of the file, "van-ban.pdf.p7m"."""
    kind, at = _identifier(octets, _inside(octets, 0, _SEQUENCE))
    if kind in _ENCRYPTED:
        raise Blocked(Obstacle.ENCRYPTED, "S/MIME")
    if kind not in (_DATA, _SIGNED, _DIGESTED, _COMPRESSED):
        raise Blocked(Obstacle.UNSUPPORTED, "S/MIME")
    at = _inside(octets, at, _CONTENT)
    if kind != _DATA:
        at = _inside(octets, at, _SEQUENCE)
        at = _after(octets, _after(octets, at))  # version, and the algorithms
        _, length, begin = _header(octets, at)
        end = len(octets) if length == _OPEN else begin + length
        _, at = _identifier(octets, _inside(octets, at, _SEQUENCE))
        if at >= end or octets[at] != _CONTENT:  # a signature of what stands beside it, or certificates alone
            return
        at = _inside(octets, at, _CONTENT)
    if octets[at : at + 1] not in (b"\x04", b"\x24"):  # as programs are signed: what is signed is no file
        return
    content, is_whole = _string(octets, at)
    budget.take_octets(len(content))
    if kind == _COMPRESSED:
        content = _inflated(content, budget)
    stem = name[: -len(".p7m")] if name.lower().endswith((".p7m", ".p7s")) else ""
    if not extension_of(stem):
        yield Inside("smime.eml", content)
    else:  # a mail program opens what is signed as a part of a mail, whatever the file is called
        yield Inside(stem, content, names=("smime.eml",) if _PART.search(content[:_HEAD]) else ())
    if not is_whole:
        raise Blocked(Obstacle.DAMAGED, "S/MIME")


def _inflated(octets: bytes, budget: Budget) -> bytes:
    decoder = zlib.decompressobj()
    limit = budget.limits.file_octets
    try:
        content = decoder.decompress(octets, limit)
    except zlib.error as error:
        raise Blocked(Obstacle.DAMAGED, "S/MIME") from error
    budget.take_octets(len(content))
    if decoder.unconsumed_tail:
        raise Blocked(Obstacle.LIMIT, f"S/MIME of more than {limit} octets")
    return content


def _header(octets: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag at a place, the length of its value (_OPEN: an end mark ends it), and where that begins."""
    if at + 2 > len(octets) or octets[at] & 0x1F == 0x1F:
        raise Blocked(Obstacle.DAMAGED, "S/MIME")
    tag, first = octets[at], octets[at + 1]
    if first < 0x80:
        return tag, first, at + 2
    if first == 0x80:
        return tag, _OPEN, at + 2
    count = first & 0x7F
    return tag, int.from_bytes(octets[at + 2 : at + 2 + count], "big"), at + 2 + count


def _inside(octets: bytes, at: int, wanted: int) -> int:
    """Return where the value of an element begins, which must have this tag."""
    tag, _, begin = _header(octets, at)
    if tag != wanted:
        raise Blocked(Obstacle.DAMAGED, "S/MIME")
    return begin


def _identifier(octets: bytes, at: int) -> tuple[bytes, int]:
    tag, length, begin = _header(octets, at)
    if tag != 0x06 or length < 0:
        raise Blocked(Obstacle.DAMAGED, "S/MIME")
    return octets[begin : begin + length], begin + length


def _after(octets: bytes, at: int) -> int:
    """Return where the next element begins."""
    depth = 0
    while True:
        if depth and octets[at : at + 2] == _NO_END:
            depth, at = depth - 1, at + 2
        else:
            _, length, begin = _header(octets, at)
            if length == _OPEN:
                depth, at = depth + 1, begin
            else:
                at = begin + length
        if not depth:
            return at


def _string(octets: bytes, at: int) -> tuple[bytes, bool]:
    """Return what an OCTET STRING holds, perhaps in pieces (X.690 section 8.7), and whether that is all."""
    tag, length, begin = _header(octets, at)
    end = len(octets) if length == _OPEN else begin + length
    if tag == _STRING:
        return octets[begin:end], end <= len(octets)
    depth = int(length == _OPEN)
    pieces: list[bytes] = []
    at = begin
    while at + 2 <= min(end, len(octets)):
        if depth and octets[at : at + 2] == _NO_END:
            depth, at = depth - 1, at + 2
            if not depth and length == _OPEN:
                return b"".join(pieces), True
            continue
        tag, size, start = _header(octets, at)
        if tag == _STRING_OF_PIECES:
            depth, at = depth + (size == _OPEN), start
        elif tag == _STRING and size >= 0:
            pieces.append(octets[start : start + size])
            at = start + size
        else:
            break
    return b"".join(pieces), at == end
