"""odt, ods, odp (OASIS OpenDocument 1.3): text by its fonts; what is encrypted, fetched or embedded."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from zipfile import ZipInfo

from ..model import Danger, Obstacle, Uninspected
from . import macros
from .budget import Blocked, Budget
from .fonts import Run, read_run, read_runs
from .found import Found, Inside, Threat, extracts
from .markup import Attributes, Lines, is_remote, local, parse
from .objects import dangers_of_link
from .packages import Package
from .types import is_inert

_FETCHING = frozenset({"section-source", "object", "object-ole", "plugin", "applet", "floating-frame", "template"})
_SOURCES = frozenset({"table-source", "cell-range-source"})  # cells of another workbook (9.3.1)
# What is text: paragraphs and headings; titles and descriptions of drawings; headers and footers of slides.
_PARAGRAPHS = frozenset({"p", "h", "title", "desc", "header-decl", "footer-decl", "date-time-decl"})
_CELLS = frozenset({"table-cell", "covered-table-cell"})
_SHAPES = frozenset(
    {"frame", "custom-shape", "rect", "ellipse", "circle", "polygon", "path", "text-box", "caption", "connector"}
)
# Controls of forms (13.5), and what they show.
_CONTROLS = frozenset(
    {"button", "fixed-text", "textarea", "text", "formatted-text", "checkbox", "radio", "option", "item", "frame"}
)
_CONTROL_TEXTS = ("label", "current-value", "value", "help-text")
_FORM = "urn:oasis:names:tc:opendocument:xmlns:form:1.0 "
_STARTS = re.compile(r"\b(?:OnLoad|dom:load|OnNew)\b", re.IGNORECASE)
_FAMILIES = {"p": "paragraph", "h": "paragraph", "span": "text", "a": "text"}
_MOST_REPEATED = 16_384  # columns of a sheet


def read(octets: bytes, kind: str, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what an OpenDocument file holds."""
    package = Package(octets, budget)
    for part in package.named("meta-inf/manifest.xml"):
        if _is_encrypted(package.xml(part)):
            raise Blocked(Obstacle.ENCRYPTED, kind)
    seen = 0
    styles = _Styles()
    parts = sorted(package.parts, key=lambda each: not each[0].lower().endswith("styles.xml"))
    for name, part in parts:
        lower = name.lower()
        try:
            if lower.startswith("basic/") and lower.endswith(".xml"):
                yield from _basic(package, part, lower)
            elif lower.startswith("scripts/") and not lower.endswith("/"):
                yield Threat(Danger.MACRO, "script")
            elif lower.endswith("meta.xml"):
                yield from _meta(package.xml(part), place, budget)
            elif lower.endswith(("content.xml", "styles.xml")):
                seen += lower.endswith("content.xml")
                yield from _story(package.xml(part), styles, place, budget)
            elif not lower.endswith((".xml", ".rdf", "/", "mimetype", "layout-cache")) and not lower.startswith(
                "thumbnails/"
            ):
                short = name.rpartition("/")[2]
                if not is_inert(package.head(part), short):
                    yield Inside(short, package.octets(part))
        except Blocked as blocked:
            if blocked.obstacle is Obstacle.LIMIT:
                raise
            yield Uninspected(place, blocked.obstacle, blocked.detail)
    if not seen:
        raise Blocked(Obstacle.DAMAGED, "no content.xml")


def read_flat(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what an OpenDocument file in one XML holds (fodt, fods, fodp)."""
    budget.take_steps(octets.count(b"<"))
    yield from _story((octets,), _Styles(), place, budget)


def _is_encrypted(chunks: Iterable[bytes]) -> bool:
    """Tell whether the manifest says how a part is decrypted (part 2, 4.4)."""
    found: list[str] = []

    def start(name: str, attributes: Attributes) -> None:
        if name == "encryption-data":
            found.append(name)

    parse(chunks, start, _ignore, _ignore)
    return bool(found)


def _ignore(text: str) -> None:
    """Take what nobody asks for."""


def _basic(package: Package, part: ZipInfo, name: str) -> Iterator[Found]:
    if name.endswith(("script-lc.xml", "script-lb.xml")):  # tables of contents: every office has an empty one
        return
    yield Threat(Danger.MACRO, "Basic")
    lines = Lines()
    blocked = parse(package.xml(part), lines.start, lines.end, lines.data)
    yield from macros.judged("\n".join(lines.lines), "Basic")
    if blocked:
        raise blocked


# -- styles ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Look:
    """The font of a style, "" for that of the one before it, and whether its letters show as capitals."""

    font: str = ""
    caps: bool | None = None

    def over(self, other: "_Look") -> "_Look":
        """Return the look of a style that stands inside of another one."""
        return _Look(self.font or other.font, other.caps if self.caps is None else self.caps)


class _Styles:
    """How styles look (16.2): those of the document, and the automatic ones of the part that is read."""

    def __init__(self) -> None:
        self._faces: dict[str, str] = {}
        self._looks: dict[tuple[str, str], tuple[_Look, str]] = {}  # with the style that each is based on
        self._automatic: dict[tuple[str, str], tuple[_Look, str]] = {}
        self._into = self._looks
        self._style = ("", "")

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element."""
        if name in ("style", "default-style"):
            known = local(attributes)
            self._style = (known.get("family", ""), known.get("name", "") if name == "style" else "")
            self._into[self._style] = (_Look(), known.get("parent-style-name", ""))
        elif name == "text-properties" and self._style in self._into:
            known = local(attributes)
            font = known.get("font-name") or known.get("font-family") or ""
            caps = known.get("text-transform") == "uppercase" or known.get("font-variant") == "small-caps"
            look = _Look(self._faces.get(font, font), caps or None)
            self._into[self._style] = (look, self._into[self._style][1])
        elif name == "font-face":
            known = local(attributes)
            self._faces[known.get("name", "")] = known.get("font-family", "").strip("'\"")
        elif name == "automatic-styles":
            self._automatic = {}
            self._into = self._automatic

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if name in ("style", "default-style"):
            self._style = ("", "")
        elif name == "automatic-styles":
            self._into = self._looks

    def look(self, families: Iterable[str], name: str) -> _Look:
        """Return how a style of one of these families looks, with what it is based on."""
        look = _Look()
        for family in families:
            style = name
            for _ in range(12):  # a circle ends
                found = self._automatic.get((family, style)) or self._looks.get((family, style))
                if found is None:
                    break
                look, style = look.over(found[0]), found[1]
            if name and (family, "") in self._looks:
                look = look.over(self._looks[family, ""][0])
        return look


# -- text ------------------------------------------------------------------------------------------------


class _Story:
    """Paragraphs and rows of a part; a paragraph may be in a frame of another one, a table in a cell."""

    def __init__(self, styles: _Styles) -> None:
        self.threats: dict[Threat, None] = {}
        self.charset = ""
        self._styles = styles
        self._paragraphs: list[list[Run]] = [[]]
        self._places: list[list[str]] = [[]]
        self._rows: list[list[str]] = []
        self._looks: list[_Look] = [_Look()]  # of what is open: shapes, cells, paragraphs, spans
        self._columns: list[str] = []  # the style of the cells of each column
        self._column = 0
        self._value: list[str] = []  # of each open cell, its text where it has no paragraph
        self._is_sheet = False
        self._starts: dict[str, Callable[[Attributes], None]] = {
            **dict.fromkeys(_SHAPES, self._shape),
            **dict.fromkeys(_CELLS, self._cell),
            "tab": lambda attributes: self.data("\t"),
            "line-break": lambda attributes: self.data("\n"),
            "s": self._blanks,
            "table": self._table,
            "table-column": self._table_column,
            "table-row": self._row,
            "spreadsheet": self._spreadsheet,
            "user-field-decl": lambda attributes: self._say(local(attributes).get("string-value", "")),
        }

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element."""
        self._styles.start(name, attributes)
        if family := _FAMILIES.get(name):
            self._looks.append(self._styles.look((family,), _style_of(attributes)).over(self._looks[-1]))
        if name in _PARAGRAPHS:
            self._paragraphs.append([])
        elif known := self._starts.get(name):
            known(attributes)
        elif name in ("dde-source", "dde-connection-decl"):
            self.threats[Threat(Danger.DYNAMIC_DATA, "DDE")] = None
        elif name == "event-listener" and _STARTS.search(local(attributes).get("event-name", "")):
            self.threats[Threat(Danger.MACRO_AUTORUN, "event")] = None
        elif name in _SOURCES and is_remote(local(attributes).get("href", "")):
            self.threats[Threat(Danger.LINKED_WORKBOOK, name)] = None
        elif name in _FETCHING and (target := local(attributes).get("href", "")):
            found = [Threat(Danger.REMOTE_TEMPLATE, name)] if is_remote(target) else dangers_of_link(target)
            self.threats.update(dict.fromkeys(found))
        if name in _CONTROLS:
            for key in _CONTROL_TEXTS:
                self._say(attributes.get(_FORM + key, ""))

    def end(self, name: str) -> None:
        """Take the end of an element."""
        self._styles.end(name)
        if name in _PARAGRAPHS and len(self._paragraphs) > 1:
            text, charset = read_runs(self._paragraphs.pop())
            self.charset = self.charset or charset
            self._places[-1].append(text)
        elif name in _CELLS and len(self._places) > 1:
            text = "\n".join(self._places.pop()) or (self._value[-1] if self._value else "")
            (self._rows or self._places)[-1].append(text)
            self._value = self._value[:-1]
        elif name == "table-row" and self._rows:
            row = "\t".join(self._rows.pop()).rstrip("\t")
            if row:
                self._places[-1].append(row)
        if (name in _FAMILIES or name in _SHAPES or name in _CELLS) and len(self._looks) > 1:
            self._looks.pop()

    def data(self, text: str) -> None:
        """Take text: outside of paragraphs there is none but blanks."""
        if len(self._paragraphs) == 1:
            return
        look = self._looks[-1]
        font = look.font
        if look.caps:
            shown, charset = read_run(text, font)
            self.charset = self.charset or charset
            text, font = shown.upper(), ""
        self._paragraphs[-1].append((text, font))

    def lines(self) -> list[str]:
        """Return the lines, those of what never ended too."""
        while len(self._paragraphs) > 1:
            self.end("p")
        while self._rows or len(self._places) > 1:
            self.end("table-cell")
            self.end("table-row")
        return self._places[0]

    def _say(self, text: str) -> None:
        if text:
            self._places[-1].append(text)

    def _blanks(self, attributes: Attributes) -> None:
        count = local(attributes).get("c", "1")
        self.data(" " * min(int(count) if count.isdigit() and len(count) < 5 else 1, 100))

    def _spreadsheet(self, attributes: Attributes) -> None:
        self._is_sheet = True

    def _table(self, attributes: Attributes) -> None:
        self._columns = []
        if self._is_sheet:  # elsewhere nobody sees what a table is called
            self._say(local(attributes).get("name", ""))

    def _table_column(self, attributes: Attributes) -> None:
        known = local(attributes)
        style = known.get("default-cell-style-name", "")
        room = _MOST_REPEATED - len(self._columns)
        self._columns += [style] * min(_repeated(known), room)

    def _row(self, attributes: Attributes) -> None:
        self._rows.append([])
        self._column = 0

    def _cell(self, attributes: Attributes) -> None:
        known = local(attributes)
        own = known.get("style-name") or (self._columns[self._column] if self._column < len(self._columns) else "")
        self._column += _repeated(known)
        self._places.append([])
        self._value.append(known.get("string-value", ""))
        self._looks.append(self._styles.look(("table-cell",), own).over(self._looks[-1]))

    def _shape(self, attributes: Attributes) -> None:
        look = self._styles.look(("presentation", "graphic"), _style_of(attributes))
        self._looks.append(look.over(self._looks[-1]))


def _style_of(attributes: Attributes) -> str:
    return local(attributes).get("style-name", "")


def _repeated(known: Attributes) -> int:
    count = known.get("number-columns-repeated", "1")
    return int(count) if count.isdigit() and len(count) < 6 else 1


def _story(chunks: Iterable[bytes], styles: _Styles, place: str, budget: Budget) -> Iterator[Found]:
    story = _Story(styles)
    blocked = parse(chunks, story.start, story.end, story.data)
    lines = story.lines()
    yield from story.threats
    yield from extracts(lines, place, story.charset, budget)
    if blocked:
        raise blocked


def _meta(chunks: Iterable[bytes], place: str, budget: Budget) -> Iterator[Found]:
    lines = Lines()
    blocked = parse(chunks, lines.start, lines.end, lines.data)
    yield from extracts(lines.lines, place, "", budget)
    if blocked:
        raise blocked
