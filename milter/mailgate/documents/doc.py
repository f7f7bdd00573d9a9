"""The text of a Word 97 document (MS-DOC): pieces of it in the order of the piece table, letters by their fonts."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..model import Danger, Obstacle
from ..text import charsets
from . import drawings
from .budget import Blocked, Budget
from .fonts import Run, read_run, read_runs
from .found import Found, Threat, extracts

_WORD_97 = 0x00C1  # FibBase.nFib; before it a document is text from fcMin to fcMac
_ENCRYPTED, _SECOND_TABLE = 0x0100, 0x0200  # FibBase.fEncrypted, fWhichTblStm
# fcStshf, fcPlcfBteChpx, fcPlcfBtePapx, fcSttbfFfn, fcClx, fcDggInfo
_STYLES, _CHARACTERS, _PARAGRAPHS, _FONTS, _PIECES, _DRAWINGS = 0xA2, 0xFA, 0x102, 0x112, 0x1A2, 0x22A
_FONT, _STYLE = 0x4A4F, 0x4A30  # sprmCRgFtc0, sprmCIstd
_CAPS = frozenset({0x083B, 0x083A})  # sprmCFCaps, sprmCFSmallCaps
_PARAGRAPH_STYLE, _NO_STYLE, _MOST_STYLES = 1, 0xFFF, 4_096  # stk, istdNil (2.9.260)
_FAR = 1 << 32
_OPERANDS = (1, 1, 2, 4, 2, 2, 0, 3)  # octets by Sprm.spra; 6 is of its own length
_DDE = re.compile(r"(?<![^\W_])DDE(?:AUTO)?(?![^\W_])", re.IGNORECASE)
_FIELD = re.compile("([\x13\x14\x15])")
_SHOWN = str.maketrans({"\x0b": "\n", "\x0c": "\n", "\x0e": "\n", "\x1e": "-", "\x1f": "", "\x01": "", "\x08": ""})


@dataclass(frozen=True, slots=True)
class _Look:
    """How letters look: the number of their font, and whether they show as capitals."""

    font: int = -1
    caps: bool = False


def read(document: bytes, tables: tuple[bytes, bytes], data: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text of a WordDocument stream; tables, data: the streams 0Table and 1Table, and Data."""
    if len(document) < 0x1AA:
        raise Blocked(Obstacle.DAMAGED, "doc: no header")
    flags = _short(document, 0x0A)
    if flags & _ENCRYPTED:
        raise Blocked(Obstacle.ENCRYPTED, "doc")
    if _short(document, 2) < _WORD_97:
        old = charsets.read(document[_long(document, 0x18) : _long(document, 0x1C)])
        legacy = old.charset if old.charset in charsets.LEGACY else ""
        yield from _shown([(old.text, "")], place, legacy, budget)
        return
    table = tables[1 if flags & _SECOND_TABLE else 0]
    fonts = _font_names(_section(document, table, _FONTS))
    looks = _Looks(document, table)
    runs: list[Run] = []
    charset = ""
    left = budget.room()
    for begin, end, is_wide in _pieces(_section(document, table, _PIECES)):
        if begin >= len(document) or left < 0:
            break
        for start, stop, look in looks.between(begin, min(end, len(document))):
            octets = document[start:stop]
            text = octets.decode("utf-16-le", "replace") if is_wide else octets.decode("cp1252", "replace")
            font = fonts[look.font] if 0 <= look.font < len(fonts) else ""
            if look.caps:
                text, found = read_run(text, font)
                charset, text, font = charset or found, text.upper(), ""
            runs.append((text, font))
            left -= len(text)
    yield from _shown(runs, place, charset, budget)
    drawn = (*_drawn(_section(document, table, _DRAWINGS)), *_pictured(data))
    yield from extracts(drawn, place, "", budget)
    if not runs:
        raise Blocked(Obstacle.DAMAGED, "doc: no pieces of text")


def _drawn(art: bytes) -> Iterator[str]:
    """Yield the texts of the drawings (OfficeArtContent, 2.9.172): of each part of the document, behind one octet."""
    size = 8 + _long(art, 4)
    yield from drawings.texts_in(art, 0, size)
    while size + 9 <= len(art):
        begin, size = size + 1, size + 9 + _long(art, size + 5)
        yield from drawings.texts_in(art, begin, size)


def _pictured(data: bytes) -> Iterator[str]:
    """Yield the texts of pictures that stand in lines: each behind its size and that of its head (PICF, 2.9.190)."""
    at = 0
    while at + 6 <= len(data) and (size := _long(data, at)) >= 6:
        yield from drawings.texts_in(data, at + _short(data, at + 4), at + size)
        at += size


def _short(octets: bytes, at: int) -> int:
    return int.from_bytes(octets[at : at + 2], "little")


def _long(octets: bytes, at: int) -> int:
    return int.from_bytes(octets[at : at + 4], "little")


def _section(document: bytes, table: bytes, at: int) -> bytes:
    begin = _long(document, at)
    return table[begin : begin + _long(document, at + 4)]


def _pieces(clx: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield where each piece of text stands in the document, and whether in UTF-16 (2.9.38, 2.8.35)."""
    at = 0
    while clx[at : at + 1] == b"\x01":
        at += 3 + _short(clx, at + 1)
    if clx[at : at + 1] != b"\x02":
        return
    plc = clx[at + 5 : at + 5 + _long(clx, at + 1)]
    count = (len(plc) - 4) // 12
    for number in range(count):
        letters = _long(plc, 4 * number + 4) - _long(plc, 4 * number)
        where = _long(plc, 4 * (count + 1) + 8 * number + 2)
        if letters <= 0:
            continue
        if where & 0x4000_0000:
            begin = (where & 0x3FFF_FFFF) // 2
            yield begin, begin + letters, False
        else:
            yield where, where + 2 * letters, True


def _font_names(sttb: bytes) -> list[str]:
    """Return the names of the fonts (2.9.286, FFN 2.9.79)."""
    names: list[str] = []
    at, count = 4, _short(sttb, 0)
    while len(names) < count and at < len(sttb):
        size = sttb[at]
        name = sttb[at + 40 : at + 1 + size].decode("utf-16-le", "replace")
        names.append(name.partition("\0")[0])
        at += 1 + size
    return names


class _Looks:
    """Which font and capitals each octet of the text has: CHPX in pages of 512 octets (2.9.32), else those of the
    style of its paragraph: PAPX (2.9.176)."""

    def __init__(self, document: bytes, table: bytes) -> None:
        self._styles = _styles(_section(document, table, _STYLES))
        self._characters = _Ranges(document, _section(document, table, _CHARACTERS), _character_look)
        self._paragraphs = _Ranges(document, _section(document, table, _PARAGRAPHS), _paragraph_style)

    def between(self, begin: int, end: int) -> Iterator[tuple[int, int, _Look]]:
        """Yield the runs of a range of octets; they cover it."""
        while begin < end:
            properties, first = self._characters.at(begin)
            style, second = self._paragraphs.at(begin)
            stop = min(end, first, second)
            look = self._style(int.from_bytes(style, "little"))
            yield begin, stop, _look_of(properties, look, self._style) if properties else look
            begin = stop

    def _style(self, number: int) -> _Look:
        return self._styles[number] if number < len(self._styles) else _Look()


class _Ranges:
    """What is said of ranges of octets in the pages that a table names (PlcBteChpx 2.8.5, PlcBtePapx 2.8.6)."""

    def __init__(self, document: bytes, plc: bytes, read_page: Callable[[bytes, int, int], bytes]) -> None:
        count = max(0, (len(plc) - 4) // 8)
        found: list[tuple[int, int, bytes]] = []
        for number in {_long(plc, 4 * (count + 1) + 4 * number) & 0x3F_FFFF for number in range(count)}:
            page = document[512 * number : 512 * number + 512]
            if len(page) < 512:
                continue
            runs = min(page[511], 101)
            found += [
                (_long(page, 4 * run), _long(page, 4 * run + 4), read_page(page, runs, run)) for run in range(runs)
            ]
        found.sort(key=lambda each: each[0])
        self._found = found
        self._begins = [begin for begin, _, _ in found]

    def at(self, place: int) -> tuple[bytes, int]:
        """Return what is said of an octet, and where that ends."""
        number = bisect_right(self._begins, place) - 1
        following = self._begins[number + 1] if number + 1 < len(self._begins) else _FAR
        if number < 0 or self._found[number][1] <= place:
            return b"", following
        return self._found[number][2], min(self._found[number][1], following)


def _character_look(page: bytes, runs: int, run: int) -> bytes:
    """Return the properties of letters of a run (ChpxFkp, 2.9.33)."""
    at = 2 * page[4 * (runs + 1) + run]
    return page[at + 1 : at + 1 + page[at]] if at else b""


def _paragraph_style(page: bytes, runs: int, run: int) -> bytes:
    """Return the number of the style of a paragraph (PapxFkp, 2.9.177)."""
    place = 4 * (runs + 1) + 13 * run
    at = 2 * page[place] if place < 511 else 0
    if not at:
        return b""
    at += 1 if page[at] else 2
    return page[at : at + 2]


def _look_of(grpprl: bytes, look: _Look, style: Callable[[int], _Look]) -> _Look:
    """Read properties of letters (2.6.1); style: returns the look of a style by its number."""
    font, caps = look.font, look.caps
    at = 0
    while at + 2 < len(grpprl):
        sprm = _short(grpprl, at)
        size = _OPERANDS[sprm >> 13]
        at += 2
        if not size:
            size = 1 + grpprl[at]
        if sprm == _FONT:
            font = _short(grpprl, at)
        elif sprm in _CAPS:
            caps = caps or grpprl[at] == 1
        elif sprm == _STYLE and (named := style(_short(grpprl, at))).font >= 0:
            font = named.font
        at += size
    return _Look(font, caps)


def _styles(stsh: bytes) -> list[_Look]:
    """Return the look of each style (2.9.271, STD 2.9.258), what it is based on included."""
    header, base = _short(stsh, 0), _short(stsh, 4)
    first = _Look(_short(stsh, 14)) if header >= 14 else _Look()
    own: list[tuple[int, bytes]] = []  # the style that it is based on, and its properties of letters
    at = 2 + header
    while at + 2 <= len(stsh) and len(own) < _MOST_STYLES:
        size = _short(stsh, at)
        style = stsh[at + 2 : at + 2 + size]
        at += 2 + size
        own.append((_short(style, 2) >> 4, _letters_of(style, base)) if len(style) > base else (_NO_STYLE, b""))
    looks: dict[int, _Look] = {}

    def look(number: int, depth: int = 12) -> _Look:  # Word allows no longer chain, and a circle ends
        if number >= len(own) or not depth:
            return first
        if number not in looks:
            looks[number] = _look_of(own[number][1], look(own[number][0], depth - 1), lambda _: _Look())
        return looks[number]

    return [look(number) for number in range(len(own))]


def _letters_of(style: bytes, base: int) -> bytes:
    """Return the properties of letters of a style: the second list of a paragraph's, the only one of letters'."""
    at = base + 2 + 2 * _short(style, base) + 2
    if _short(style, 2) & 0xF == _PARAGRAPH_STYLE:
        at += 2 + _short(style, at)
        at += at & 1
    return style[at + 2 : at + 2 + _short(style, at)]


def _shown(runs: list[Run], place: str, charset: str, budget: Budget) -> Iterator[Found]:
    """Yield the text without the codes of fields (2.8.25), and whether one of them is DDE."""
    kept: list[Run] = []
    codes: list[str] = []
    open_fields: list[bool] = []  # whether each shows its result by now
    for text, font in runs:
        for piece in _FIELD.split(text):
            if piece == "\x13":
                open_fields.append(False)
                codes.append(" ")
            elif piece == "\x14":
                if open_fields:
                    open_fields[-1] = True
            elif piece == "\x15":
                if open_fields:
                    open_fields.pop()
            elif piece and open_fields and not open_fields[-1]:
                codes.append(piece)
            elif piece:
                kept.append((piece, font))
    if _DDE.search("".join(codes)):
        yield Threat(Danger.DYNAMIC_DATA, "DDE")
    shown, found = read_runs(kept)
    shown = shown.replace("\x07\x07", "\n").replace("\x07", "\t").replace("\r", "\n").translate(_SHOWN)
    yield from extracts((shown,), place, charset or found, budget)
