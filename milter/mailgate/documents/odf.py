"""odt, ods, odp (OASIS OpenDocument 1.3): text, headers and footers, what is encrypted, fetched or embedded."""

import re
from collections.abc import Iterable, Iterator
from zipfile import ZipInfo

from ..model import Danger, Obstacle, Uninspected
from . import macros
from .budget import Blocked, Budget
from .found import Found, Inside, Threat, extracts
from .markup import Attributes, Lines, is_remote, local, parse
from .packages import Package
from .types import is_inert

_FETCHING = frozenset({"section-source", "object", "object-ole", "plugin", "applet", "floating-frame", "template"})
_PARAGRAPHS = frozenset({"p", "h"})
_STARTS = re.compile(r"\b(?:OnLoad|dom:load|OnNew)\b", re.IGNORECASE)


def read(octets: bytes, kind: str, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what an OpenDocument file holds."""
    package = Package(octets, budget)
    for part in package.named("meta-inf/manifest.xml"):
        if _is_encrypted(package.chunks(part)):
            raise Blocked(Obstacle.ENCRYPTED, kind)
    seen = 0
    for name, part in package.parts:
        lower = name.lower()
        try:
            if lower.startswith("basic/") and lower.endswith(".xml"):
                yield from _basic(package, part, lower)
            elif lower.startswith("scripts/") and not lower.endswith("/"):
                yield Threat(Danger.MACRO, "script")
            elif lower.endswith(("content.xml", "styles.xml", "meta.xml")):
                seen += lower.endswith("content.xml")
                yield from _story(package.chunks(part), place, budget, lower.endswith("meta.xml"))
            elif not lower.endswith((".xml", ".rdf", "/", "mimetype", "layout-cache")) and not lower.startswith(
                "thumbnails/"
            ):
                short = name.rpartition("/")[2]
                inner = package.octets(part)
                if not is_inert(inner[:65_536], short):
                    yield Inside(short, inner)
        except Blocked as blocked:
            if blocked.obstacle is Obstacle.LIMIT:
                raise
            yield Uninspected(place, blocked.obstacle, blocked.detail)
    if not seen:
        raise Blocked(Obstacle.DAMAGED, "no content.xml")


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
    blocked = parse(package.chunks(part), lines.start, lines.end, lines.data)
    yield from macros.judged("\n".join(lines.lines), "Basic")
    if blocked:
        raise blocked


class _Story:
    """Paragraphs and rows of a part; a paragraph may be in a frame of another one, a table in a cell."""

    def __init__(self) -> None:
        self.threats: dict[Threat, None] = {}
        self._paragraphs: list[list[str]] = [[]]
        self._places: list[list[str]] = [[]]
        self._rows: list[list[str]] = []

    def start(self, name: str, attributes: Attributes) -> None:
        """Take an element."""
        if name in _PARAGRAPHS:
            self._paragraphs.append([])
        elif name == "tab":
            self._paragraphs[-1].append("\t")
        elif name == "line-break":
            self._paragraphs[-1].append("\n")
        elif name == "s":
            count = local(attributes).get("c", "1")
            self._paragraphs[-1].append(" " * min(int(count) if count.isdigit() and len(count) < 5 else 1, 100))
        elif name == "table-row":
            self._rows.append([])
        elif name in ("table-cell", "covered-table-cell"):
            self._places.append([])
        elif name == "dde-source" or name == "dde-connection-decl":
            self.threats[Threat(Danger.DYNAMIC_DATA, "DDE")] = None
        elif name in _FETCHING and is_remote(local(attributes).get("href", "")):
            self.threats[Threat(Danger.REMOTE_TEMPLATE, name)] = None
        elif name == "event-listener" and _STARTS.search(local(attributes).get("event-name", "")):
            self.threats[Threat(Danger.MACRO_AUTORUN, "event")] = None

    def end(self, name: str) -> None:
        """Take the end of an element."""
        if name in _PARAGRAPHS and len(self._paragraphs) > 1:
            self._places[-1].append("".join(self._paragraphs.pop()))
        elif name in ("table-cell", "covered-table-cell") and len(self._places) > 1:
            text = "\n".join(self._places.pop())
            (self._rows or self._places)[-1].append(text)
        elif name == "table-row" and self._rows:
            row = "\t".join(self._rows.pop()).rstrip("\t")
            if row:
                self._places[-1].append(row)

    def data(self, text: str) -> None:
        """Take text: outside of paragraphs there is none but blanks."""
        if len(self._paragraphs) > 1:
            self._paragraphs[-1].append(text)

    def lines(self) -> list[str]:
        """Return the lines, those of what never ended too."""
        while len(self._paragraphs) > 1:
            self.end("p")
        while self._rows or len(self._places) > 1:
            self.end("table-cell")
            self.end("table-row")
        return self._places[0]


def _story(chunks: Iterable[bytes], place: str, budget: Budget, is_meta: bool) -> Iterator[Found]:
    story, lines = _Story(), Lines()
    if is_meta:
        blocked = parse(chunks, lines.start, lines.end, lines.data)
    else:
        blocked = parse(chunks, story.start, story.end, story.data)
        lines.lines = story.lines()
    yield from story.threats
    yield from extracts(lines.lines, place, "", budget)
    if blocked:
        raise blocked
