"""docx, xlsx, pptx and their macro kinds (ECMA-376): text of every part, what they fetch, what is embedded.

What a part is, is told by the relationships that lead to it (`relationships`), whatever it is called.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from zipfile import ZipInfo

from ..model import Danger, Obstacle, Uninspected
from ..text.html import visible_text
from . import macros, page_headers, xlsb
from .budget import Blocked, Budget
from .fonts import Run, charset_of, read_run, read_runs
from .found import Extract, Found, Inside, Threat, extracts
from .markup import Attributes, Lines, local, parse
from .packages import Package
from .relationships import Roles
from .types import is_inert
from .xls import AUTO_NAME

_DDE = re.compile(r"(?<![^\W_])DDE(?:AUTO)?(?![^\W_])", re.IGNORECASE)
_DDE_FORMULA = re.compile(r"^[\s=+@-]*['\"]?[A-Za-z][\w. -]{0,60}['\"]?\|")  # =cmd|'/c calc'!A0
_XLM_RUNS = re.compile(r"(?<![A-Za-z])(?:EXEC|CALL|REGISTER|FOPEN|RUN)\s*\(", re.IGNORECASE)
_LONGEST_FIELD = 65_536  # letters of all field codes of a part; a code has some dozens

_SHEETS = frozenset({"worksheet", "xlMacrosheet", "xlIntlMacrosheet", "dialogsheet", "chartsheet"})
_SHEET_FOLDERS = ("xl/worksheets/", "xl/macrosheets/", "xl/dialogsheets/", "xl/chartsheets/")
_MACRO_SHEETS = frozenset({"xlMacrosheet", "xlIntlMacrosheet"})


def read(octets: bytes, kind: str, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a document of Office holds: first what makes it dangerous, then its text, then what is embedded.

    A part that is damaged does not keep the others from being read.
    """
    package = Package(octets, budget)
    roles = Roles()
    for name, part in package.parts:
        if name.lower().endswith(".rels"):
            yield from _contained(roles.read(name.lower(), package.xml(part)), place)
    theme = _Theme()
    for part in roles.parts(package, "theme", "theme1.xml"):
        yield from _contained(_raised(parse(package.xml(part), theme.start, theme.end, _ignore)), place)
    styles = _Styles(theme)
    for part in roles.parts(package, "styles", "word/styles.xml"):
        yield from _contained(_raised(parse(package.xml(part), styles.start, styles.end, _ignore)), place)
    yield from _texts(package, roles, styles, place, budget)
    if kind == "xlsb":
        yield from _contained(xlsb.read(package, roles, place, budget), place)
    modules = roles.parts(package, "vbaProject", "vbaproject.bin")
    for part in modules:
        yield from _contained(_macros(package, part, kind), place)
    for name, part in package.parts:
        lower = name.lower()
        if lower.endswith((".xml", ".rels", ".vml", "/")) or part in modules or roles.is_silent(lower):
            continue
        if kind != "xlsb" or not xlsb.is_read(lower, roles):
            yield from _contained(_embedded(package, part, name), place)


def read_story(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text of a document of Word 2003, which has all in one XML."""
    yield from _story((octets,), _Styles(_Theme()), place, budget)


def is_dde(formula: str) -> bool:
    """Tell whether a formula asks another program by DDE."""
    return _DDE_FORMULA.match(formula) is not None


def _texts(package: Package, roles: Roles, styles: "_Styles", place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text of the parts in XML."""
    book = _Book()
    for part in roles.parts(package, "styles", "xl/styles.xml"):
        yield from _contained(_raised(parse(package.xml(part), book.start, book.end, _ignore)), place)
    for part in roles.parts(package, "sharedStrings", "sharedstrings.xml"):
        strings = _Strings()
        blocked = parse(package.xml(part), strings.start, strings.end, strings.data)
        book.strings += strings.found
        yield from _contained(_raised(blocked), place)
    macro_sheets = [
        part
        for name, part in package.parts
        if roles.of(name.lower()) & _MACRO_SHEETS or name.lower().startswith("xl/macrosheets/")
    ]
    for name, part in package.parts:
        lower = name.lower()
        if not lower.endswith((".xml", ".vml")) or roles.is_silent(lower):
            continue
        own = roles.of(lower)
        if own & _SHEETS or part in macro_sheets or (not own and lower.startswith(_SHEET_FOLDERS)):
            yield from _contained(_sheet(package, part, book, part in macro_sheets, place, budget), place)
        elif lower.startswith(("docprops/", "customxml/")):
            yield from _contained(_properties(package.xml(part), place, budget), place)
        elif lower.endswith(".vml"):
            yield from _contained(_vml(package, part, styles, place, budget), place)
        else:
            yield from _contained(_story(package.xml(part), styles, place, budget, bool(macro_sheets)), place)


def _contained(found: Iterable[Found], place: str) -> Iterator[Found]:
    """Yield what is found, and what blocks it, so that the next part is read all the same.

    What no budget is left for is not: that blocks the whole document.
    """
    try:
        yield from found
    except Blocked as blocked:
        if blocked.obstacle is Obstacle.LIMIT:
            raise
        yield Uninspected(place, blocked.obstacle, blocked.detail)


def _raised(blocked: Blocked | None) -> Iterator[Found]:
    if blocked:
        raise blocked
    yield from ()


def _ignore(text: str) -> None:
    """Take text that nobody asks for."""


def _macros(package: Package, part: ZipInfo, kind: str) -> Iterator[Found]:
    yield Threat(Danger.MACRO, "VBA")
    yield from macros.read(package.octets(part), kind)


def _embedded(package: Package, part: ZipInfo, name: str) -> Iterator[Found]:
    short = name.rpartition("/")[2]
    if not is_inert(package.head(part), short):
        yield Inside(short, package.octets(part))


# -- fonts ---------------------------------------------------------------------------------------------


class _Theme:
    """The fonts of a theme: of headings, and of text (20.1.4.1)."""

    def __init__(self) -> None:
        self._fonts: dict[str, str] = {}
        self._within = ""

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element of the part."""
        if name in ("majorFont", "minorFont"):
            self._within = name
        elif name == "latin" and self._within:
            self._fonts.setdefault(self._within, attributes.get("typeface", ""))

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if name == self._within:
            self._within = ""

    def font(self, name: str) -> str:
        """Return the font that a name of the theme stands for: "minorHAnsi", "+mn-lt"; "" for none."""
        return self._fonts.get("majorFont" if name.startswith(("major", "+mj")) else "minorFont", "")


class _Styles:
    """The fonts of a document's styles: word/styles.xml (17.7)."""

    def __init__(self, theme: _Theme) -> None:
        self.theme = theme
        self.default = ""  # of the document
        self.paragraph = ""  # the style of a paragraph that names none
        self._fonts: dict[str, str] = {}
        self._based: dict[str, str] = {}
        self._style = ""

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element of the part."""
        if name == "style":
            known = local(attributes)
            self._style = known.get("styleId", "")
            if known.get("type") == "paragraph" and known.get("default") in ("1", "true", "on"):
                self.paragraph = self._style
        elif name == "basedOn":
            self._based[self._style] = local(attributes).get("val", "")
        elif name == "rFonts" and (font := _font_of(attributes, self.theme)):
            if self._style:
                self._fonts[self._style] = font
            else:
                self.default = font

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if name == "style":
            self._style = ""

    def font(self, style: str) -> str:
        """Return the font of a style, or of the one that it is based on, "" for none."""
        for _ in range(12):  # Word allows no longer chain, and a circle ends
            if not style or style in self._fonts:
                break
            style = self._based.get(style, "")
        return self._fonts.get(style, "")


def _font_of(attributes: Attributes, theme: _Theme) -> str:
    """Return the font of letters with marks: they are no ASCII (17.3.2.26)."""
    known = local(attributes)
    if of_theme := known.get("hAnsiTheme") or known.get("asciiTheme"):
        return theme.font(of_theme)
    font = known.get("hAnsi") or known.get("ascii") or known.get("val") or known.get("typeface") or ""
    return theme.font(font) if font.startswith("+") else font


# -- text of documents and slides ------------------------------------------------------------------------


# Text in attributes: names of sheets, WordArt (VML 6.1.2.23), descriptions of what is no text, cached values.
_SAID = {
    "sheet": ("name",),
    "textpath": ("string",),
    **dict.fromkeys(("docPr", "cNvPr"), ("title", "descr")),
    **dict.fromkeys(("shape", "rect", "roundrect", "oval", "line", "polyline", "group"), ("alt",)),
    **dict.fromkeys(("tblCaption", "tblDescription"), ("val",)),
    "s": ("v",),
}


class _Story:
    """Paragraphs and tables of a part of docx or pptx, drawings and comments of all three: p, r, t, tr, tc.

    A text box is a paragraph in a run of another one; a table may be in a cell of another: so there are stacks.
    """

    def __init__(self, styles: _Styles) -> None:
        self.codes: list[str] = []
        self.charset = ""
        self._styles = styles
        self._codes_left = _LONGEST_FIELD
        self._paragraphs: list[list[Run]] = [[]]
        self._places: list[list[str]] = [[]]  # of lines: the part's, and of each open cell
        self._rows: list[list[str]] = []
        self._run: list[str] = []
        self._font = ""
        self._paragraph_font = ""
        self._caps = False
        self._takes: list[str] | None = None
        self._instruction: list[str] = []
        self._starts: dict[str, Callable[[Attributes], None]] = {
            "p": self._start_paragraph,
            "r": self._start_run,
            "t": self._start_text,
            "text": self._start_text,
            "v": self._start_text,
            "instrText": self._start_code,
            "fldSimple": self._simple_field,
            "pStyle": self._paragraph_style,
            "rStyle": self._run_style,
            "rFonts": self._run_font,
            "latin": self._run_font,
            "rFont": self._run_font,
            "caps": self._capitals,
            "smallCaps": self._capitals,
            "rPr": self._run_properties,
            "tr": lambda attributes: self._rows.append([]),
            "tc": lambda attributes: self._places.append([]),
            "tab": lambda attributes: self._add("\t"),
            "br": lambda attributes: self._add("\n"),
            "cr": lambda attributes: self._add("\n"),
            "noBreakHyphen": lambda attributes: self._add("-"),
            "delText": self._start_deleted,
            "pt": self._start_text,
            "div": self._start_text,
            "font": self._start_text,
            "span": self._start_text,
        }
        self._ends: dict[str, Callable[[], None]] = {
            "p": self._end_paragraph,
            "t": self._end_text,
            "v": self._end_value,
            "text": self._end_value,
            "instrText": self._end_code,
            "tc": self._end_cell,
            "tr": self._end_row,
            "delText": self._end_deleted,
            "pt": self._end_value,
            "div": self._end_value,
            "font": self._end_text,
            "span": self._end_text,
            "comment": self._end_line,
        }

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element."""
        if known := self._starts.get(name):
            known(attributes)
        elif said := _SAID.get(name):
            self._places[-1] += [text for each in said if (text := local(attributes).get(each))]

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if known := self._ends.get(name):
            known()

    def data(self, text: str) -> None:
        """Take text."""
        if self._takes is not None:
            self._takes.append(text)

    def lines(self) -> list[str]:
        """Return the lines, those of what never ended too."""
        while len(self._paragraphs) > 1:
            self._end_paragraph()
        self._end_line()
        while self._rows or len(self._places) > 1:
            self._end_cell()
            self._end_row()
        return self._places[0]

    def _start_paragraph(self, attributes: Attributes) -> None:
        self._paragraphs.append([])
        self._paragraph_font = self._styles.font(self._styles.paragraph)
        self._font, self._caps = self._paragraph_font, False

    def _start_run(self, attributes: Attributes) -> None:
        self._font, self._caps = self._paragraph_font, False

    def _start_text(self, attributes: Attributes) -> None:
        self._takes = self._run = []

    def _start_code(self, attributes: Attributes) -> None:
        self._takes = self._instruction = []

    def _simple_field(self, attributes: Attributes) -> None:
        self._code(local(attributes).get("instr", "") + " ")

    def _end_code(self) -> None:
        self._code("".join(self._instruction))
        self._takes = None

    def _code(self, code: str) -> None:
        self._codes_left -= len(code)
        if self._codes_left > 0:
            self.codes.append(code)

    def _paragraph_style(self, attributes: Attributes) -> None:
        self._paragraph_font = self._font = (
            self._styles.font(local(attributes).get("val", "")) or self._paragraph_font
        )

    def _run_style(self, attributes: Attributes) -> None:
        self._font = self._styles.font(local(attributes).get("val", "")) or self._font

    def _run_font(self, attributes: Attributes) -> None:
        self._font = _font_of(attributes, self._styles.theme) or self._font

    def _capitals(self, attributes: Attributes) -> None:
        self._caps = self._caps or local(attributes).get("val", "1") not in ("0", "false", "off")

    def _run_properties(self, attributes: Attributes) -> None:
        self._caps = attributes.get("cap") in ("all", "small")  # DrawingML; in a docx it has no attributes

    def _start_deleted(self, attributes: Attributes) -> None:
        self._takes = []

    def _end_deleted(self) -> None:
        """Keep what a tracked change deleted apart: who reads the changes sees it."""
        self._places[-1].append("".join(self._takes or ()))
        self._takes = None

    def _add(self, text: str) -> None:
        self._paragraphs[-1].append((text, self._font or self._styles.default))

    def _end_text(self) -> None:
        text = "".join(self._run)
        self._run, self._takes = [], None
        if text:
            font = self._font or self._styles.default
            if self._caps:
                shown, charset = read_run(text, font)
                self.charset = self.charset or charset
                text, font = shown.upper(), ""
            self._paragraphs[-1].append((text, font))

    def _end_value(self) -> None:
        self._end_text()
        self._end_line()

    def _end_paragraph(self) -> None:
        if len(self._paragraphs) > 1:
            self._line(self._paragraphs.pop())

    def _end_line(self) -> None:
        if self._paragraphs[-1]:
            self._line(self._paragraphs[-1])
            self._paragraphs[-1] = []

    def _line(self, runs: list[Run]) -> None:
        text, charset = read_runs(runs)
        self.charset = self.charset or charset
        self._places[-1].append(text)

    def _end_cell(self) -> None:
        if len(self._places) > 1:
            text = "\n".join(self._places.pop())
            if self._rows:
                self._rows[-1].append(text)
            else:
                self._places[-1].append(text)

    def _end_row(self) -> None:
        if self._rows:
            self._places[-1].append("\t".join(self._rows.pop()))


def _story(
    chunks: Iterable[bytes], styles: _Styles, place: str, budget: Budget, has_macro_sheets: bool = False
) -> Iterator[Found]:
    story = _Story(styles)
    external: list[str] = []
    starts: list[str] = []

    def start(name: str, attributes: Attributes) -> None:
        if name == "ddeLink":
            external.append(name)
        elif name == "definedName" and has_macro_sheets and AUTO_NAME.match(attributes.get("name", "")):
            starts.append(name)
        story.start(name, attributes)

    blocked = parse(chunks, start, story.end, story.data)
    lines = story.lines()
    if external or _DDE.search("".join(story.codes)):
        yield Threat(Danger.DYNAMIC_DATA, "DDE")
    if starts:
        yield Threat(Danger.MACRO_AUTORUN, "XLM")
    yield from extracts(lines, place, story.charset, budget)
    if blocked:
        raise blocked


def _vml(package: Package, part: ZipInfo, styles: _Styles, place: str, budget: Budget) -> Iterator[Found]:
    """Yield the text of a drawing in VML; Excel writes HTML into it that is no XML."""
    try:
        yield from _story(package.xml(part), styles, place, budget)
    except Blocked as blocked:
        if blocked.obstacle is not Obstacle.DAMAGED:
            raise
        text = visible_text(package.octets(part).decode("utf-8", "replace"))
        yield from extracts((text,), place, "", budget)


def _properties(chunks: Iterable[bytes], place: str, budget: Budget) -> Iterator[Extract]:
    lines = Lines()
    blocked = parse(chunks, lines.start, lines.end, lines.data)
    yield from extracts(lines.lines, place, "", budget)
    if blocked:
        raise blocked


# -- sheets ----------------------------------------------------------------------------------------------


class _Strings:
    """xl/sharedStrings.xml (18.4): each string, and the charset that its own fonts were in.

    A font that is named in the string is the string's; else it is the cell's.
    """

    def __init__(self) -> None:
        self.found: list[tuple[str, str | None]] = []
        self._runs: list[Run] = []
        self._font: str | None = None
        self._own = False
        self._taken: list[str] = []
        self._takes = False
        self._phonetic = False

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element of the part."""
        if name == "t":
            self._takes = not self._phonetic
        elif name == "si":
            self._runs, self._own = [], False
        elif name == "r":
            self._font = None
        elif name == "rFont":
            self._font = attributes.get("val", "")
        elif name == "rPh":
            self._phonetic = True

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if name == "t" and self._takes:
            self._runs.append(("".join(self._taken), self._font or ""))
            self._own = self._own or bool(self._font)
            self._taken, self._takes = [], False
        elif name == "rPh":
            self._phonetic = False
        elif name == "si":
            self._font = None
            if self._own:
                self.found.append(read_runs(self._runs))
            else:
                self.found.append(("".join([text for text, _ in self._runs]), None))

    def data(self, text: str) -> None:
        """Take text."""
        if self._takes:
            self._taken.append(text)


class _Book:
    """What the sheets of a workbook share: strings, and the fonts of the formats of cells (18.8)."""

    def __init__(self) -> None:
        self.strings: list[tuple[str, str | None]] = []
        self._fonts: list[str] = []
        self._formats: list[int] = []
        self._old_fonts: dict[str, str] = {}
        self._within = ""

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element of xl/styles.xml."""
        if name in ("fonts", "cellXfs"):
            self._within = name
        elif self._within == "fonts" and name == "font":
            self._fonts.append("")
        elif self._within == "fonts" and name == "name" and self._fonts:
            self._fonts[-1] = attributes.get("val", "")
        elif self._within == "cellXfs" and name == "xf":
            self._formats.append(_number(attributes.get("fontId", "")))

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if name == self._within:
            self._within = ""

    def old_font(self, form: str) -> str:
        """Return the font of a cell's format where it is from before Unicode, else ""."""
        found = self._old_fonts.get(form)
        if found is None:
            number = _number(form)
            font = self._formats[number] if number < len(self._formats) else -1
            name = self._fonts[font] if 0 <= font < len(self._fonts) else ""
            found = self._old_fonts[form] = name if charset_of(name) else ""
        return found

    def string(self, number: str) -> tuple[str, str | None]:
        """Return a shared string, and its charset, None where its font is the cell's."""
        at = _number(number)
        return self.strings[at] if at < len(self.strings) else ("", "")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


_LONGEST_HELD = 1_048_576
_VALUES = frozenset({"v", "t", "f"})
_PROMPTS = ("promptTitle", "prompt", "errorTitle", "error")
_HEADERS = frozenset(["oddHeader", "oddFooter", "evenHeader", "evenFooter", "firstHeader", "firstFooter"])


# A sheet whose rows all look alike has a million of them without a cell that holds anything.
_EMPTY = re.compile(
    rb"<(?:\w+:)?row(?:\s[^<>]*)?(?:/>|>(?:\s*<(?:\w+:)?c(?:\s[^<>]*)?/>)*\s*</(?:\w+:)?row>)"
    rb"|<(?:\w+:)?c(?:\s[^<>]*)?/>"
)


def _filled(chunks: Iterable[bytes], budget: Budget) -> Iterator[bytes]:
    """Yield a sheet without what is empty, as far as it stands together, and count the elements that are left."""
    held = b""
    for chunk in chunks:
        held += chunk
        end = held.rfind(b"row>") + len(b"row>")
        if end < len(b"row>") and len(held) > _LONGEST_HELD:  # one row, or none that is written so
            end = held.rfind(b"<")
        if end > 0:
            yield _without_empty(held[:end], budget)
            held = held[end:]
    yield _without_empty(held, budget)


def _without_empty(octets: bytes, budget: Budget) -> bytes:
    octets = _EMPTY.sub(b"", octets)
    budget.take_steps(octets.count(b"<"))
    return octets


class _Sheet:
    """One sheet: rows of cells (18.3), and its headers and footers."""

    def __init__(self, book: _Book, budget: Budget) -> None:
        self.lines: list[str] = []
        self.charset = ""
        self.formulas: list[str] = []
        self.is_full = False
        self._book = book
        self._left = budget.room()
        self._row: list[str] = []
        self._cell = ("", "")  # its type and format
        self._taken: list[str] = []
        self._takes = False
        self._shown = ""

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element."""
        if name == "dataValidation":
            self.lines += [text for each in _PROMPTS if (text := attributes.get(each))]
        elif name == "c":
            self._cell = (attributes.get("t", ""), attributes.get("s", ""))
            self._shown = ""
        elif name in _VALUES or name in _HEADERS:
            self._taken, self._takes = [], True
        elif name == "row":
            self._row = []

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if name == "v" or name == "t":
            text, self._takes = "".join(self._taken), False
            self._shown = self._shown + text if name == "t" else text
        elif name == "c":
            if self._shown:
                self._show(*self._cell, self._shown)
        elif name == "row":
            if self._row:
                self.lines.append("\t".join(self._row))
                self._row = []
        elif name == "f":
            self._takes = False
            self.formulas.append("".join(self._taken))
        elif name in _HEADERS:
            self._takes = False
            self.lines.append(page_headers.shown("".join(self._taken)))

    def data(self, text: str) -> None:
        """Take text."""
        if self._takes:
            self._taken.append(text)

    def _show(self, kind: str, form: str, text: str) -> None:
        charset: str | None = None
        if kind == "s":
            text, charset = self._book.string(text)
        if charset is None and (font := self._book.old_font(form)):
            text, charset = read_run(text, font)
        self.charset = self.charset or charset or ""
        self._row.append(text)
        self._left -= len(text) + 1
        if self._left < 0:  # a string of 32,767 letters may stand in every cell
            self.end("row")
            raise Blocked(Obstacle.LIMIT, "text of a sheet")


def _sheet(
    package: Package, part: ZipInfo, book: _Book, is_macro: bool, place: str, budget: Budget
) -> Iterator[Found]:
    sheet = _Sheet(book, budget)
    blocked = parse(_filled(package.chunks(part), budget), sheet.start, sheet.end, sheet.data)
    if is_macro:
        runs = any(_XLM_RUNS.search(formula) for formula in sheet.formulas)
        yield Threat(Danger.MACRO, "XLM")
        if runs:
            yield Threat(Danger.MACRO_SHELL, "XLM")
    elif any(map(is_dde, sheet.formulas)):
        yield Threat(Danger.DYNAMIC_DATA, "DDE")
    yield from extracts(sheet.lines, place, sheet.charset, budget)
    if blocked:
        raise blocked
