"""Workbooks in binary parts (xlsb, MS-XLSB): cells, comments, headers; Excel 4 macros and DDE.

What is XML in them (drawings, charts, properties) is read as in every workbook.
"""

import re
import struct
from collections.abc import Callable, Iterator

from ..model import Danger
from . import page_headers
from .budget import Budget
from .fonts import read_run
from .found import Found, Threat, extracts
from .packages import Package
from .relationships import Roles
from .xls import AUTO_NAME, compressed

_ROW, _RK, _REAL, _TEXT, _SHARED, _FORMULA_TEXT, _FORMULA_REAL, _RICH = 0, 2, 5, 6, 7, 8, 9, 62  # BrtCell…, BrtFmla…
_STRING, _FONT, _FORM, _NAME, _SHEET = 19, 43, 47, 39, 156  # BrtSSTItem, BrtFont, BrtXF, BrtName, BrtBundleSh
_FORMS, _FORMS_END, _HEADERS, _COMMENT, _BOOK = 617, 618, 479, 637, 360  # BrtBeginCellXFs, ..., BrtBeginSupBook
_DDE = 1  # BrtBeginSupBook.sbt
_HEAD_OF_CELL = 8  # octets: column, format
_RUNS = re.compile(rb"[\x22\x42\x62].[\x6e\x96\x95\x84\x11]\x00", re.DOTALL)  # as of xls: EXEC, CALL, ...
_MACRO_SHEETS = frozenset({"xlMacrosheet", "xlIntlMacrosheet"})
_EMBEDDED = frozenset({"oleObject", "package", "control", "activeXControlBinary", "vbaProject", "attachedToolbars"})
_STEP = 4_096  # records between two looks at the budget


def is_read(name: str, roles: Roles) -> bool:
    """Tell whether a part that is no XML is the workbook's own, not a file that is embedded."""
    own = roles.of(name)
    return name.endswith(".bin") and (not own & _EMBEDDED if own else not name.startswith("xl/embeddings/"))


def read(package: Package, roles: Roles, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what the binary parts hold."""
    book = _Book(budget)
    parts = [
        (package.octets(part), roles.of(name.lower()) & _MACRO_SHEETS or name.lower().startswith("xl/macrosheets/"))
        for name, part in package.parts
        if is_read(name.lower(), roles)
    ]
    for octets, _ in parts:  # what cells refer to may stand behind them
        book.take(octets, book.shared)
    has_macro_sheets = False
    for octets, is_macro in parts:
        book.runs = False
        book.take(octets, book.cell)
        yield from extracts(book.lines(), place, book.charset, budget)
        if is_macro:
            has_macro_sheets = True
            yield Threat(Danger.MACRO, "XLM")
            if book.runs:
                yield Threat(Danger.MACRO_SHELL, "XLM")
    if has_macro_sheets and book.starts:
        yield Threat(Danger.MACRO_AUTORUN, "XLM")
    if book.has_dde:
        yield Threat(Danger.DYNAMIC_DATA, "DDE")


class _Book:
    """What the records of all parts say."""

    def __init__(self, budget: Budget) -> None:
        self.charset = ""
        self.runs = self.starts = self.has_dde = False
        self._budget = budget
        self._left = budget.room()
        self._strings: list[str] = []
        self._fonts: list[str] = []
        self._forms: list[int] = []  # the font of each format of cells
        self._within_forms = False
        self._lines: list[str] = []
        self._row: list[str] = []

    def take(self, octets: bytes, record: Callable[[int, bytes], None]) -> None:
        """Hand each record of a part on: its type, and its octets (MS-XLSB 2.1.4)."""
        at = count = 0
        while at < len(octets) and self._left > 0:
            kind, at = _number(octets, at, 2)
            size, at = _number(octets, at, 4)
            record(kind, octets[at : at + size])
            at += size
            count += 1
            if not count % _STEP:
                self._budget.take_steps(_STEP)

    def lines(self) -> list[str]:
        """Return the lines of a part, and begin with the next one."""
        self._end_row()
        lines, self._lines = self._lines, []
        return lines

    def shared(self, kind: int, data: bytes) -> None:
        """Take what sheets share: strings, fonts, formats."""
        if kind == _STRING:
            self._strings.append(_text(data, 1))
        elif kind == _FONT:
            self._fonts.append(_text(data, 21))
        elif kind in (_FORMS, _FORMS_END):
            self._within_forms = kind == _FORMS
        elif kind == _FORM and self._within_forms:
            self._forms.append(int.from_bytes(data[4:6], "little"))

    def cell(self, kind: int, data: bytes) -> None:
        """Take what shows: cells, and the text of a part that has none."""
        if kind == _ROW:
            self._end_row()
        elif kind == _SHARED:
            number = int.from_bytes(data[_HEAD_OF_CELL : _HEAD_OF_CELL + 4], "little")
            self._show(data, self._strings[number] if number < len(self._strings) else "")
        elif kind in (_TEXT, _FORMULA_TEXT):
            self._show(data, _text(data, _HEAD_OF_CELL))
        elif kind == _RICH:
            self._show(data, _text(data, _HEAD_OF_CELL + 1))
        elif kind in (_REAL, _FORMULA_REAL) and len(data) >= _HEAD_OF_CELL + 8:
            self._show(data, f"{struct.unpack_from('<d', data, _HEAD_OF_CELL)[0]:.15g}")
        elif kind == _RK:
            self._show(data, compressed(int.from_bytes(data[_HEAD_OF_CELL : _HEAD_OF_CELL + 4], "little")))
        elif kind == _SHEET:
            _, at = _counted(data, 8)
            self._lines.append(_text(data, at))
        elif kind == _HEADERS:
            at = 2
            for _ in range(6):
                text, at = _counted(data, at)
                self._lines.append(page_headers.shown(text))
        elif kind == _COMMENT:
            self._lines.append(_text(data, 1))
        elif kind == _NAME:
            self.starts = self.starts or AUTO_NAME.match(_text(data, 9)) is not None
        elif kind == _BOOK:
            self.has_dde = self.has_dde or int.from_bytes(data[:2], "little") == _DDE
        if kind in (_FORMULA_TEXT, _FORMULA_REAL, 10, 11):  # of a number, a truth value, an error
            self.runs = self.runs or _RUNS.search(data, _HEAD_OF_CELL) is not None

    def _show(self, data: bytes, text: str) -> None:
        form = int.from_bytes(data[4:7], "little")
        font = self._forms[form] if form < len(self._forms) else -1
        text, found = read_run(text, self._fonts[font] if 0 <= font < len(self._fonts) else "")
        self.charset = self.charset or found
        if text:
            self._row.append(text)
            self._left -= len(text) + 1

    def _end_row(self) -> None:
        if self._row:
            self._lines.append("\t".join(self._row))
            self._row = []


def _number(octets: bytes, at: int, most: int) -> tuple[int, int]:
    """Return a number of seven bits an octet, and where it ends."""
    value = 0
    for place in range(most):
        octet = octets[at] if at < len(octets) else 0
        at += 1
        value |= (octet & 0x7F) << 7 * place
        if octet < 0x80:
            break
    return value, at


def _text(data: bytes, at: int) -> str:
    return _counted(data, at)[0]


def _counted(data: bytes, at: int) -> tuple[str, int]:
    """Return a string (XLNullableWideString, 2.5.167), and where it ends."""
    count = int.from_bytes(data[at : at + 4], "little")
    at += 4
    if count == 0xFFFF_FFFF:
        return "", at
    return data[at : at + 2 * count].decode("utf-16-le", "replace"), at + 2 * count
