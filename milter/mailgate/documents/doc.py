"""The text of a Word 97 document (MS-DOC): pieces of it in the order of the piece table, letters by their fonts."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from ..model import Danger, Obstacle
from ..text import charsets
from .budget import Blocked, Budget
from .fonts import Run, read_run, read_runs
from .found import Found, Threat, extracts

_WORD_97 = 0x00C1  # FibBase.nFib; before it a document is text from fcMin to fcMac
_ENCRYPTED, _SECOND_TABLE = 0x0100, 0x0200  # FibBase.fEncrypted, fWhichTblStm
_STYLES, _CHARACTERS, _FONTS, _PIECES = 0xA2, 0xFA, 0x112, 0x1A2  # fcStshf, fcPlcfBteChpx, fcSttbfFfn, fcClx
_FONT, _CAPS = 0x4A4F, 0x083B  # sprmCRgFtc0, sprmCFCaps
_OPERANDS = (1, 1, 2, 4, 2, 2, 0, 3)  # octets by Sprm.spra; 6 is of its own length
_DDE = re.compile(r"(?<![^\W_])DDE(?:AUTO)?(?![^\W_])", re.IGNORECASE)
_FIELD = re.compile("([\x13\x14\x15])")
_SHOWN = str.maketrans({"\x0b": "\n", "\x0c": "\n", "\x0e": "\n", "\x1e": "-", "\x1f": "", "\x01": "", "\x08": ""})


@dataclass(frozen=True, slots=True)
class _Look:
    font: int = -1
    caps: bool = False


def read(document: bytes, tables: tuple[bytes, bytes], place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text of a WordDocument stream; tables: the streams 0Table and 1Table."""
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
    looks = _Looks(document, table, fonts)
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
    if not runs:
        raise Blocked(Obstacle.DAMAGED, "doc: no pieces of text")


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
    """Which font and capitals each octet of the text has: CHPX in pages of 512 octets (2.9.32), else Normal's."""

    def __init__(self, document: bytes, table: bytes, fonts: list[str]) -> None:
        self._normal = _normal_look(_section(document, table, _STYLES))
        plc = _section(document, table, _CHARACTERS)
        count = max(0, (len(plc) - 4) // 8)
        pages = {_long(plc, 4 * (count + 1) + 4 * number) & 0x3F_FFFF for number in range(count)}
        found: list[tuple[int, int, _Look]] = []
        for number in pages:
            page = document[512 * number : 512 * number + 512]
            if len(page) < 512:
                continue
            runs = min(page[511], 101)
            for run in range(runs):
                at = 2 * page[4 * (runs + 1) + run]
                look = _look_of(page[at + 1 : at + 1 + page[at]], self._normal) if at else self._normal
                found.append((_long(page, 4 * run), _long(page, 4 * run + 4), look))
        found.sort(key=lambda each: each[0])
        self._found = found
        self._begins = [begin for begin, _, _ in found]

    def between(self, begin: int, end: int) -> Iterator[tuple[int, int, _Look]]:
        """Yield the runs of a range of octets; they cover it."""
        at = max(0, bisect_right(self._begins, begin) - 1)
        while begin < end:
            if at >= len(self._found):
                yield begin, end, self._normal
                return
            first, last, look = self._found[at]
            at += 1
            if last <= begin:
                continue
            if first > begin:
                yield begin, min(first, end), self._normal
                begin = min(first, end)
            if begin < end:
                yield begin, min(last, end), look
                begin = min(last, end)


def _look_of(grpprl: bytes, look: _Look) -> _Look:
    """Read properties of letters (2.6.1)."""
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
        elif sprm == _CAPS:
            caps = grpprl[at] == 1
        at += size
    return _Look(font, caps)


def _normal_look(stsh: bytes) -> _Look:
    """Return the look of the style Normal, the first one (2.9.271, STD 2.9.258)."""
    header = _short(stsh, 0)
    look = _Look(_short(stsh, 14)) if header >= 14 else _Look()
    base = _short(stsh, 4)
    at = 2 + header
    style = stsh[at + 2 : at + 2 + _short(stsh, at)]
    if len(style) <= base:
        return look
    at = base + 2 + 2 * _short(style, base) + 2
    at += 2 + _short(style, at)  # properties of the paragraph
    at += at & 1
    return _look_of(style[at + 2 : at + 2 + _short(style, at)], look)


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
