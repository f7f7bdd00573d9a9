"""The text of an Excel workbook before 2007 (MS-XLS): cells by xlrd; text boxes, DDE and XLM by the records."""

import io
import re
from collections.abc import Iterator

import xlrd

from ..model import Danger, Obstacle
from .budget import Blocked, Budget
from .fonts import charset_of, read_run
from .found import Found, Threat, extracts

_FILEPASS, _SHEET, _NAME, _BOOK, _TEXT_BOX, _CONTINUE = 0x2F, 0x85, 0x18, 0x1AE, 0x1B6, 0x3C
_HEADER, _FOOTER = 0x14, 0x15
_MACRO_SHEET = 1  # BoundSheet8.dt
_AUTO = frozenset({1, 2, 10, 11})  # built-in names Auto_Open, Auto_Close, Auto_Activate, Auto_Deactivate (2.4.150)
_FORMULA = 0x06
# PtgFuncVar (2.5.198.63) of EXEC, CALL, REGISTER, FOPEN and RUN; Ftab and Cetab are 2.5.198.17 and .4.
_RUNS = re.compile(rb"[\x22\x42\x62].(?:\x6e|\x96|\x95|\x84|\x11)\x00", re.DOTALL)
_HEADER_CODES = re.compile(r"&(?:\"[^\"]*\"|[LCRPDTAFGZBIUESXY]|\d{1,3})")


def read(stream: bytes, octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text of a stream Workbook; octets: the whole file, or the stream where it is not the file's own."""
    boxes: list[str] = []
    yield from dict.fromkeys(_records(stream, boxes))
    try:
        book = xlrd.open_workbook(
            file_contents=octets, formatting_info=True, on_demand=True, ragged_rows=True, logfile=io.StringIO()
        )
    except Exception as error:  # xlrd lets through whatever it stumbles on
        yield from extracts(boxes, place, "", budget)
        if "encrypted" in str(error):
            raise Blocked(Obstacle.ENCRYPTED, "xls") from error
        raise Blocked(Obstacle.DAMAGED, f"xls: {type(error).__name__}") from error
    yield from extracts(book.sheet_names(), place, "", budget)
    fonts = [
        book.font_list[form.font_index].name if form.font_index < len(book.font_list) else "" for form in book.xf_list
    ]
    for number in range(book.nsheets):
        try:
            sheet = book.sheet_by_index(number)
        except Exception as error:
            raise Blocked(Obstacle.DAMAGED, f"xls: {type(error).__name__}") from error
        lines, charset = _lines(sheet, fonts, budget)
        lines += [note.text for note in sheet.cell_note_map.values()]
        book.unload_sheet(number)
        yield from extracts(lines, place, charset, budget)
    yield from extracts(boxes, place, "", budget)


def _lines(sheet: "xlrd.sheet.Sheet", fonts: list[str], budget: Budget) -> tuple[list[str], str]:
    """Return a sheet's rows, cells apart by tabs, and the charset of its fonts."""
    lines: list[str] = []
    charset = ""
    left = budget.room()
    for number in range(sheet.nrows):
        cells = []
        for cell in sheet.row(number):
            if cell.ctype in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK, xlrd.XL_CELL_ERROR):
                continue
            text = cell.value if cell.ctype == xlrd.XL_CELL_TEXT else f"{cell.value:.15g}"
            font = fonts[cell.xf_index] if cell.xf_index is not None and cell.xf_index < len(fonts) else ""
            if charset_of(font):
                text, found = read_run(text, font)
                charset = charset or found
            cells.append(text)
        if cells:
            lines.append("\t".join(cells))
            left -= len(lines[-1])
            if left < 0:
                break
    return lines, charset


def _records(stream: bytes, boxes: list[str]) -> Iterator[Threat]:
    """Yield dangers that the records show, and put the text of boxes, headers and footers into `boxes`."""
    at, size = 0, len(stream)
    macro_sheets = 0
    runs = starts = False
    kind_before = 0
    while at + 4 <= size:
        kind = int.from_bytes(stream[at : at + 2], "little")
        length = int.from_bytes(stream[at + 2 : at + 4], "little")
        begin = at + 4
        at = begin + length
        if kind == _FILEPASS:
            raise Blocked(Obstacle.ENCRYPTED, "xls")
        if kind == _SHEET and length > 5 and stream[begin + 5] == _MACRO_SHEET:
            macro_sheets += 1
        elif kind == _NAME and length > 15 and stream[begin] & 0x20 and stream[begin + 15] in _AUTO:
            starts = True
        elif kind == _FORMULA and not runs:
            runs = _RUNS.search(stream, begin, min(at, size)) is not None
        elif kind == _BOOK and length > 5 and stream[begin + 5] != 1 and b"\x03" in stream[begin + 5 : at]:
            # "Excel\3topic"; the path of another workbook begins with 1 and has 3 between folders (2.5.277)
            yield Threat(Danger.DYNAMIC_DATA, "DDE")
        elif kind == _CONTINUE and kind_before == _TEXT_BOX and length > 1:
            boxes.append(_string(stream[begin:at]))
        elif kind in (_HEADER, _FOOTER) and length > 3:
            boxes.append(_HEADER_CODES.sub("\n", _string(stream[begin + 2 : at])))
        kind_before = kind
    if macro_sheets:
        yield Threat(Danger.MACRO, "XLM")
        if starts:
            yield Threat(Danger.MACRO_AUTORUN, "XLM")
        if runs:
            yield Threat(Danger.MACRO_SHELL, "XLM")


def _string(octets: bytes) -> str:
    """Return a string after its octet of flags (XLUnicodeStringNoCch, 2.5.296)."""
    return octets[1:].decode("utf-16-le" if octets[0] & 1 else "latin-1", "replace")
