"""The text of a PowerPoint 97 presentation (MS-PPT): the atoms of text, wherever they stand, by their fonts."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..model import Obstacle
from . import drawings
from .budget import Blocked, Budget
from .fonts import Run, read_runs
from .found import Found, Inside, extracts

_TEXT, _OCTETS, _STRING = 0x0FA0, 0x0FA8, 0x0FBA  # TextCharsAtom, TextBytesAtom, CString
_HEADER, _LOOKS, _MASTER, _FONT = 0x0F9F, 0x0FA1, 0x0FA3, 0x0FB7  # TextHeaderAtom, StyleTextPropAtom, ...
_ENCRYPTION, _OBJECT = 0x2F14, 0x1011  # CryptSession10Container, ExOleObjStg
_NAME_OF_TAG = "___PPT".encode("utf-16-le")
_TAGGED = 0x138B  # BinaryTagDataBlob: what PowerPoint has had since 2002, comments among it
_DRAWN = frozenset({0xF00B, 0xF121, 0xF122})  # tables of properties (MS-ODRAW 2.2.9 to 2.2.11)
_OTHER = 4  # TextTypeEnum: text in other shapes (2.13.33)
# Document, Slide, Notes, MainMaster, Handout, which hold the others; ExOleObjStg, PersistDirectoryAtom, UserEditAtom.
_OUTERMOST = frozenset({0x03E8, 0x03EE, 0x03F0, 0x03F8, 0x0FC9, _OBJECT, 0x1772, 0x0FF5, _ENCRYPTION})
_BEGINS = re.compile(rb"\x0f\0(?:[\xe8\xee\xf0\xf8]\x03|\xc9\x0f)")
_BEFORE_97 = b"\x03\0\0\0\xff\xff\0\0"
_STEP = 4_096  # records between two looks at the budget

# What each bit of TextPFException.masks (2.9.21) and TextCFException.masks (2.9.14) says is there, in its order: the
# bits, and how many octets.
_OF_PARAGRAPHS = (
    *((0x0F, 2), (0x80, 2), (0x10, 2), (0x40, 2), (0x20, 4), (0x800, 2), (0x1000, 2), (0x2000, 2), (0x4000, 2)),
    *((0x100, 2), (0x400, 2), (0x8000, 2), (0x10_0000, -4), (0x1_0000, 2), (0xE_0000, 2), (0x20_0000, 2)),
)
_TYPEFACE = 0x1_0000
_OF_LETTERS = (
    *((0x3FFF, 2), (_TYPEFACE, 2), (0x20_0000, 2), (0x40_0000, 2), (0x80_0000, 2), (0x2_0000, 2)),
    *((0x4_0000, 4), (0x8_0000, 2)),
)


@dataclass(slots=True)
class _Text:
    """One text, the kind of its place holder, and how many letters each font has."""

    letters: str
    kind: int = _OTHER
    runs: list[tuple[int, int | None]] = field(default_factory=list)


def read(stream: bytes, user: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text and the embedded objects of a stream PowerPoint Document; user: the stream Current User."""
    if user[12:16] == b"\xdf\xc4\xd1\xf3":  # CurrentUserAtom.headerToken of an encrypted one (2.3.2)
        raise Blocked(Obstacle.ENCRYPTED, "ppt")
    if stream.startswith(_BEFORE_97):
        raise Blocked(Obstacle.UNSUPPORTED, "ppt before 97")
    texts: list[_Text] = []
    fonts: dict[int, str] = {}
    masters: dict[int, int] = {}
    objects: list[bytes] = []
    kind_of_text = _OTHER
    at, size, count = 0, len(stream), 0
    ends: list[int] = []  # of the containers that are open: what is longer than its own is no record
    is_whole, begun = True, False
    while at + 8 <= size:
        if ends and at + 8 > ends[-1]:  # nothing more in the container
            at = ends.pop()
            continue
        count += 1
        if not count % _STEP:
            budget.take_steps(_STEP)
        version, instance = stream[at] & 0x0F, int.from_bytes(stream[at : at + 2], "little") >> 4
        kind = int.from_bytes(stream[at + 2 : at + 4], "little")
        if not ends and kind not in _OUTERMOST:
            # Some programs leave room before a record, and their offsets lead over it.
            following = _BEGINS.search(stream, at + 1)
            if following is None:
                break
            at = following.start()
            continue
        begun = True
        begin = at + 8
        end = begin + int.from_bytes(stream[at + 4 : at + 8], "little")
        if ends and end > ends[-1]:
            at = ends.pop()
            continue
        is_whole = is_whole and (end <= size or bool(ends))
        if kind == _ENCRYPTION:
            raise Blocked(Obstacle.ENCRYPTED, "ppt")
        if version == 0x0F or kind == _TAGGED:  # a container: its records follow
            at = begin
            ends.append(end)
            continue
        data = stream[begin:end]
        at = end
        if kind == _TEXT:
            texts.append(_Text(data.decode("utf-16-le", "replace"), kind_of_text))
        elif kind == _STRING and not data.startswith(_NAME_OF_TAG):
            texts.append(_Text(data.decode("utf-16-le", "replace")))
        elif kind == _OCTETS:
            texts.append(_Text(data.decode("latin-1"), kind_of_text))  # the low octets of UTF-16
        elif kind == _HEADER:
            kind_of_text = int.from_bytes(data[:4], "little")
        elif kind == _LOOKS and texts:
            texts[-1].runs = _runs(data, len(texts[-1].letters) + 1)
        elif kind == _MASTER:
            masters.setdefault(instance, _master(data, instance))
        elif kind == _FONT:
            fonts.setdefault(instance, data[:64].decode("utf-16-le", "replace").partition("\0")[0])
        elif kind in _DRAWN:
            texts += [_Text(text) for text in drawings.texts_of(data, instance)]
        elif kind == _OBJECT:
            is_compressed = instance == 1
            objects.append(data[4:] if is_compressed else b"\0" + data)
    lines, charset = _shown(texts, fonts, masters)
    yield from extracts(lines, place, charset, budget)
    for octets in objects:
        yield Inside("object", _object(octets, budget))
    if not is_whole or not begun:
        raise Blocked(Obstacle.DAMAGED, "ppt: no end" if begun else "ppt: no beginning")


def _shown(texts: list[_Text], fonts: dict[int, str], masters: dict[int, int]) -> tuple[list[str], str]:
    """Return the lines of texts as their fonts show them, and the charset of these fonts."""
    lines: list[str] = []
    charset = ""
    for text in texts:
        own = masters.get(text.kind, masters.get(_OTHER, 0))
        runs: list[Run] = []
        at = 0
        for count, font in text.runs:
            runs.append((text.letters[at : at + count], fonts.get(own if font is None else font, "")))
            at += count
        runs.append((text.letters[at:], fonts.get(own, "")))
        shown, found = read_runs(runs)
        charset = charset or found
        lines.append(shown.replace("\r", "\n").replace("\x0b", "\n"))
    return lines, charset


def _runs(data: bytes, letters: int) -> list[tuple[int, int | None]]:
    """Return how many letters have which font (2.9.44), None for that of the master."""
    at, left = 0, letters
    while left > 0 and at + 10 <= len(data):
        left -= max(1, int.from_bytes(data[at : at + 4], "little"))
        at = _after(data, at + 6, _OF_PARAGRAPHS)[0]
    runs: list[tuple[int, int | None]] = []
    left = letters
    while left > 0 and at + 8 <= len(data):
        count = int.from_bytes(data[at : at + 4], "little")
        at, font = _after(data, at + 4, _OF_LETTERS)
        runs.append((count, font))
        left -= max(1, count)
    return runs


def _master(data: bytes, instance: int) -> int:
    """Return the font of the first level of a kind of text (TextMasterStyleAtom, 2.9.35)."""
    at = 2 if instance < 5 else 4
    at, _ = _after(data, at, _OF_PARAGRAPHS)
    _, font = _after(data, at, _OF_LETTERS)
    return font or 0


def _after(data: bytes, at: int, known: tuple[tuple[int, int], ...]) -> tuple[int, int | None]:
    """Return where a table of properties ends, and the font in it."""
    masks = int.from_bytes(data[at : at + 4], "little")
    at += 4
    font = None
    for bits, size in known:
        if not masks & bits:
            continue
        if size < 0:  # a number of things of this size
            at += 2 - size * int.from_bytes(data[at : at + 2], "little")
            continue
        if bits == _TYPEFACE and known is _OF_LETTERS:
            font = int.from_bytes(data[at : at + 2], "little")
        at += size
    return at, font


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
