"""The text of a workbook before Excel 2007 (MS-XLS, BIFF2 to 8): cells, text boxes, charts, headers; DDE and XLM.

In one pass over the records, whatever else is wrong with the file: what a program leaves out, or writes where the
specification has it not, keeps no cell from being read.
"""

import re
import struct
from collections.abc import Iterator, Sequence

from ..model import Danger, Obstacle
from . import drawings, page_headers
from .budget import Blocked, Budget
from .fonts import Run, read_runs
from .found import Found, Threat, extracts

_HEAD = struct.Struct("<HH")
_CONTINUE, _END = 0x3C, 0x0A
_BEGINS = frozenset({0x0009, 0x0209, 0x0409, 0x0809})  # BOF of BIFF2, 3, 4, and of 5 and 8
_FILEPASS, _CODE_PAGE, _FONT, _FORM, _SHEET, _BOOK = 0x2F, 0x42, 0x31, 0xE0, 0x85, 0x1AE
_NAMES = frozenset({0x18, 0x218})
_STRINGS, _SHARED, _TEXT_BOX, _DRAWING, _DRAWINGS = 0xFC, 0xFD, 0x1B6, 0xEC, 0xEB
_HEADERS, _MORE_HEADERS, _NOTE, _SERIES_TEXT, _PROMPT = frozenset({0x14, 0x15}), 0x89C, 0x1C, 0x100D, 0x1BE
_FORMULAS, _RESULTS = frozenset({0x06, 0x206, 0x406}), frozenset({0x07, 0x207})  # a text that a formula has
_LABELS = frozenset({0x04, 0x204, 0xD6})
_NUMBERS, _RK, _MANY_RK, _INTEGER = frozenset({0x03, 0x203}), 0x27E, 0xBD, 0x02
_MACRO_SHEET, _MACRO_PAGE = 1, 0x40  # BoundSheet8.dt; BOF.dt
_AUTO = frozenset({1, 2, 10, 11})  # built-in names Auto_Open, Auto_Close, Auto_Activate, Auto_Deactivate (2.4.150)
AUTO_NAME = re.compile(r"(?:_xlnm\.)?Auto_(?:Open|Close|Activate|Deactivate)", re.IGNORECASE)
# PtgFuncVar (2.5.198.63) of these functions; Ftab and Cetab are 2.5.198.17 and .4.
_RUNS = re.compile(rb"[\x22\x42\x62].[\x6e\x96\x95\x84\x11]\x00", re.DOTALL)  # EXEC, CALL, REGISTER, FOPEN, RUN
_PAGES = {10_000: "mac_roman", 32_768: "mac_roman", 32_769: "cp1252", 1_200: "cp1252"}
_STEP = 4_096  # records between two looks at the budget
_BIFF_5, _BIFF_8 = 0x0500, 0x0600


def read(stream: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a stream Workbook or Book holds."""
    book = _Book(stream, budget)
    blocked: Blocked | None = None
    try:
        yield from dict.fromkeys(book.sheets())
    except Blocked as error:
        blocked = error
    for lines in (book.names, *book.pages, book.boxes):
        yield from extracts(lines, place, book.charset, budget)
    if blocked:
        raise blocked
    if not book.is_begun:
        raise Blocked(Obstacle.DAMAGED, "xls: no beginning")


class _Book:
    """What the records of a workbook say, as they come."""

    def __init__(self, stream: bytes, budget: Budget) -> None:
        self.names: list[str] = []
        self.pages: list[list[str]] = []  # of each sheet, its rows
        self.boxes: list[str] = []
        self.charset = ""
        self.is_begun = False
        self._stream = stream
        self._budget = budget
        self._left = budget.room()
        self._version = 0
        self._page = "cp1252"
        self._fonts: list[str] = []
        self._forms: list[int] = []  # the font of each format
        self._strings: list[tuple[str, bytes]] = []
        self._row = -1
        self._cells: list[str] = []
        self._awaits: tuple[int, int] | None = None  # row and format of a formula whose text follows
        self._macro_sheets = 0
        self._runs = self._starts = False
        self._drawing: list[bytes] = []

    def sheets(self) -> Iterator[Threat]:
        """Read all records; yield what they do."""
        stream, size = self._stream, len(self._stream)
        at = count = 0
        while at + 4 <= size and self._left > 0:
            kind, length = _HEAD.unpack_from(stream, at)
            begin = at + 4
            at = begin + length
            count += 1
            if not count % _STEP:
                self._budget.take_steps(_STEP)
            if kind in _BEGINS:
                self._begin(stream[begin:at])
            elif kind == _FILEPASS:
                raise Blocked(Obstacle.ENCRYPTED, "xls")
            elif kind == _BOOK:
                if length > 5 and stream[begin + 5] != 1 and b"\x03" in stream[begin + 5 : at]:
                    # "Excel\3topic"; the path of another workbook begins with 1 and has 3 between folders (2.5.277)
                    yield Threat(Danger.DYNAMIC_DATA, "DDE")
            elif self.is_begun:
                at = self._record(kind, begin, min(at, size))
        self._end_row()
        self.boxes += drawings.texts_in(b"".join(self._drawing))
        if self._macro_sheets:
            yield Threat(Danger.MACRO, "XLM")
            if self._starts:
                yield Threat(Danger.MACRO_AUTORUN, "XLM")
            if self._runs:
                yield Threat(Danger.MACRO_SHELL, "XLM")

    def _record(self, kind: int, begin: int, end: int) -> int:
        """Take one record, with those that continue it; return where the next one begins."""
        data = self._stream[begin:end]
        if kind == _SHARED:
            number = _long(data, 6)
            text, runs = self._strings[number] if number < len(self._strings) else ("", b"")
            self._cell(_short(data, 0), _short(data, 4), text, _runs(runs, 4))
        elif kind in _NUMBERS and len(data) >= 14:
            self._cell(_short(data, 0), _short(data, 4), _decimal(data[-8:]))
        elif kind == _RK:
            self._cell(_short(data, 0), _short(data, 4), compressed(_long(data, 6)))
        elif kind == _MANY_RK:
            for place in range(4, len(data) - 7, 6):
                self._cell(_short(data, 0), _short(data, place), compressed(_long(data, place + 2)))
        elif kind == _INTEGER:
            self._cell(_short(data, 0), 0, str(_short(data, 7)))
        elif kind in _FORMULAS:
            self._formula(data)
        elif kind in _RESULTS:
            row, form = self._awaits or (self._row, 0)
            parts, end = self._continued(data, end)
            self._cell(row, form, _Strings(parts).text() if self._is_wide() else self._narrow(data, 2))
        elif kind in _LABELS:
            self._label(kind, data)
        elif kind == _STRINGS:
            parts, end = self._continued(data, end)
            self._strings += _Strings(parts).table(self._budget)
        elif kind == _TEXT_BOX:
            parts, end = self._continued(b"", end)
            self._text_box(data, parts)
        elif kind in (_DRAWING, _DRAWINGS):
            # A drawing of a sheet is cut into records, with the objects that it shows between them.
            parts, end = self._continued(data, end)
            self._drawing += parts
        else:
            self._other(kind, data)
        return end

    def _other(self, kind: int, data: bytes) -> None:
        """Take what is no cell."""
        if kind == _CODE_PAGE:
            self._page = _codec(_short(data, 0))
        elif kind in (_FONT, 0x231) and len(data) > 14:
            at = 6 if kind == 0x231 else 14
            self._fonts.append(self._short_text(data, at))
            if len(self._fonts) == 4:
                self._fonts.append("")  # no font has the number 4 (2.5.129)
        elif kind == _FORM:
            self._forms.append(_short(data, 0))
        elif kind == _SHEET and len(data) > 6:
            self._macro_sheets += data[5] == _MACRO_SHEET
            self.names.append(self._short_text(data, 6))
        elif kind in _NAMES:
            self._starts = self._starts or self._is_auto(data)
        elif kind in _HEADERS and len(data) > 1:
            text = _Strings([data]).text() if self._is_wide() else self._narrow(data, 1)
            self.boxes.append(page_headers.shown(text))
        elif kind == _MORE_HEADERS and len(data) > 38:
            rest = _Strings([data[38:]])
            self.boxes += [page_headers.shown(rest.text()) for at in range(30, 38, 2) if _short(data, at)]
        elif kind == _PROMPT and self._is_wide():
            rest = _Strings([data[4:]])
            self.boxes += [rest.text() for _ in range(4)]
        elif kind == _NOTE and not self._is_wide():
            self.boxes.append(data[6 : 6 + _short(data, 4)].decode(self._page, "replace"))
        elif kind == _SERIES_TEXT and len(data) > 3:
            self.boxes.append(self._short_text(data, 2))

    def _is_auto(self, data: bytes) -> bool:
        """Tell whether a name is one that Excel runs by itself (Lbl, 2.4.150): built in, or spelled out."""
        at = 15 if self._is_wide() else 14 if self._version >= _BIFF_5 else 6
        if len(data) <= at:
            return False
        count = data[3]
        is_wide = self._is_wide() and data[14] & 1
        text = data[at : at + count * (1 + is_wide)].decode("utf-16-le" if is_wide else "latin-1", "replace")
        return (bool(data[0] & 0x20) and data[at] in _AUTO) or AUTO_NAME.match(text) is not None

    def _is_wide(self) -> bool:
        return self._version >= _BIFF_8

    def _begin(self, data: bytes) -> None:
        """Begin with the workbook, a sheet, or a chart in one."""
        if not self.is_begun:
            self.is_begun = True
            self._version = _short(data, 0)
            self._macro_sheets += _short(data, 2) == _MACRO_PAGE  # the workbook is one sheet: BIFF4 and before
        self._end_row()
        self.pages.append([])
        self._row = -1

    def _continued(self, data: bytes, at: int) -> tuple[list[bytes], int]:
        """Return a record with those that continue it, and where the next one begins."""
        parts = [data] if data else []
        while at + 4 <= len(self._stream):
            kind, length = _HEAD.unpack_from(self._stream, at)
            if kind != _CONTINUE:
                break
            parts.append(self._stream[at + 4 : at + 4 + length])
            at += 4 + length
        return parts, at

    def _narrow(self, data: bytes, count_octets: int) -> str:
        """Return a text of before BIFF8: octets after their number."""
        count = int.from_bytes(data[:count_octets], "little")
        return data[count_octets : count_octets + count].decode(self._page, "replace")

    def _short_text(self, data: bytes, at: int) -> str:
        """Return a text with its number of letters in one octet (ShortXLUnicodeString, 2.5.240)."""
        count = data[at] if at < len(data) else 0
        if not self._is_wide():
            return data[at + 1 : at + 1 + count].decode(self._page, "replace")
        is_wide = data[at + 1 : at + 2] not in (b"", b"\0")
        octets = data[at + 2 : at + 2 + count * (1 + is_wide)]
        return octets.decode("utf-16-le" if is_wide else "latin-1", "replace")

    def _formula(self, data: bytes) -> None:
        """Take a formula with its last value, and see whether it calls what runs programs."""
        value = data[6:14]
        if not self._runs:
            self._runs = _RUNS.search(data, 20 if self._version >= _BIFF_5 else 16) is not None
        self._awaits = None
        if value[6:] == b"\xff\xff":
            if value[:1] == b"\0":
                self._awaits = (_short(data, 0), _short(data, 4))
        elif len(value) == 8:
            self._cell(_short(data, 0), _short(data, 4), _decimal(value))

    def _label(self, kind: int, data: bytes) -> None:
        """Take a cell with a text of its own."""
        if kind == 0x04:
            self._cell(_short(data, 0), 0, self._narrow(data[7:], 1))
        elif self._is_wide():
            strings = _Strings([data[6:]])
            self._cell(_short(data, 0), _short(data, 4), strings.text())
        else:
            text = self._narrow(data[6:], 2)
            runs = data[8 + len(text) :] if kind == 0xD6 else b""
            self._cell(
                _short(data, 0), _short(data, 4), text, [(runs[i], runs[i + 1]) for i in range(1, len(runs) - 1, 2)]
            )

    def _text_box(self, data: bytes, parts: Sequence[bytes]) -> None:
        """Take the text of a box (TxO, 2.4.329), then where its fonts begin, 8 octets each."""
        count = _short(data, 10)
        letters: list[str] = []
        number = 0
        for number, part in enumerate(parts):  # noqa: B007 - those behind it are its fonts
            if count <= 0:
                break
            text = part[1:].decode("utf-16-le" if part[:1] == b"\x01" else "latin-1", "replace")
            letters.append(text[:count])
            count -= len(text)
        runs = b"".join(parts[number:]) if count <= 0 else b""
        self.boxes.append(self._shown("".join(letters), "", _runs(runs, 8)).replace("\r", "\n"))

    def _cell(self, row: int, form: int, text: str, runs: Sequence[tuple[int, int]] = ()) -> None:
        """Take a cell; runs: where in its text another font begins, and its number."""
        if not text:
            return
        if row != self._row:
            self._end_row()
            self._row = row
        font = self._font(self._forms[form]) if form < len(self._forms) else ""
        text = self._shown(text, font, runs)
        self._cells.append(text)
        self._left -= len(text) + 1

    def _shown(self, text: str, font: str, runs: Sequence[tuple[int, int]]) -> str:
        """Return a text as its fonts show it."""
        pieces: list[Run] = []
        at = 0
        for place, number in runs:
            if at < place <= len(text):
                pieces.append((text[at:place], font))
                at = place
            font = self._font(number)
        shown, found = read_runs([*pieces, (text[at:], font)])
        self.charset = self.charset or found
        return shown

    def _font(self, number: int) -> str:
        return self._fonts[number] if number < len(self._fonts) else ""

    def _end_row(self) -> None:
        if self._cells:
            self.pages[-1].append("\t".join(self._cells))
            self._cells = []


class _Strings:
    """Strings that run over the records that continue theirs (SST, 2.4.265): where letters are cut, the next record
    begins with whether they are wide."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = [part for part in parts if part]
        self._number = self._at = 0

    def table(self, budget: Budget) -> Iterator[tuple[str, bytes]]:
        """Yield the strings of a table, each with where its fonts begin."""
        count = _long(self._take(8), 4)
        left = 4 * budget.room()  # what few cells show of it is cut where it is shown
        for number in range(1, count + 1):
            if self._number >= len(self._parts) or left < 0:
                return
            if not number % _STEP:
                budget.take_steps(_STEP)
            found = self._rich()
            left -= len(found[0])
            yield found

    def text(self) -> str:
        """Return one string (XLUnicodeString, 2.5.294)."""
        return self._rich()[0]

    def _rich(self) -> tuple[str, bytes]:
        """Return a string, and its runs of fonts (XLUnicodeRichExtendedString, 2.5.293)."""
        count, flags = _short(self._take(2), 0), (self._take(1) or b"\0")[0]
        runs = _short(self._take(2), 0) if flags & 8 else 0
        more = _long(self._take(4), 0) if flags & 4 else 0
        is_wide = flags & 1
        pieces: list[str] = []
        while count > 0 and self._number < len(self._parts):
            if not self._at and self._number:
                is_wide = (self._take(1) or b"\0")[0] & 1
            part = self._parts[self._number]
            octets = part[self._at : self._at + count * (1 + is_wide)]
            self._skip(len(octets))
            text = octets.decode("utf-16-le" if is_wide else "latin-1", "replace")
            pieces.append(text)
            count -= max(len(text), 1)
        fonts = self._take(4 * runs)
        self._take(more)
        return "".join(pieces), fonts

    def _skip(self, count: int) -> None:
        self._at += count
        if self._number < len(self._parts) and self._at >= len(self._parts[self._number]):
            self._number, self._at = self._number + 1, 0

    def _take(self, count: int) -> bytes:
        """Return octets, over the end of a record."""
        out = b""
        while count > 0 and self._number < len(self._parts):
            piece = self._parts[self._number][self._at : self._at + count]
            self._skip(len(piece))
            out += piece
            count -= len(piece)
        return out


def _codec(page: int) -> str:
    name = _PAGES.get(page, f"cp{page}")
    try:
        b"".decode(name)
    except LookupError:
        return "cp1252"
    return name


def _runs(octets: bytes, size: int) -> list[tuple[int, int]]:
    return [(_short(octets, at), _short(octets, at + 2)) for at in range(0, len(octets) - 3, size)]


def _decimal(octets: bytes) -> str:
    return f"{struct.unpack('<d', octets)[0]:.15g}"


def compressed(number: int) -> str:
    """Return an RK (2.5.217): the 30 high bits of a double, or an integer; perhaps times 100."""
    if number & 2:
        value: float = (number ^ 0x8000_0000) - 0x8000_0000 >> 2
    else:
        value = struct.unpack("<d", struct.pack("<Q", (number & 0xFFFF_FFFC) << 32))[0]
    return f"{value / 100 if number & 1 else value:.15g}"


def _short(octets: bytes, at: int) -> int:
    return int.from_bytes(octets[at : at + 2], "little")


def _long(octets: bytes, at: int) -> int:
    return int.from_bytes(octets[at : at + 4], "little")
