"""XML by expat, as a stream: the parts of office files, and XML that is sent by itself.

Names come without their namespace: what a producer binds to which prefix, or which edition of a namespace it writes,
makes no difference to who reads it.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from xml.parsers import expat

from ..model import Obstacle
from .budget import Blocked, Bomb, Budget
from .found import Extract, extracts

Attributes = dict[str, str]
_REMOTE = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:)*(?:https?|ftp|mhtml|webdav|ms-[a-z]+):|\\\\|//|file:/{2,}(?![a-z]:|/)", re.I
)


class _Names(dict[str, str]):
    """Local names by those with their namespace: there are few, and each is met often."""

    def __missing__(self, name: str) -> str:
        short = self[name] = name[name.rfind(" ") + 1 :]
        return short


def parse(
    chunks: Iterable[bytes],
    start: Callable[[str, Attributes], None],
    end: Callable[[str], None],
    data: Callable[[str], None],
) -> Blocked | None:
    """Feed a document to three handlers; return what kept the rest from them, None for nothing.

    start and end are given the local name; attributes have their namespace and a space before their names, where they
    have one (`local` takes it away).
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    names = _Names()

    def at_start(name: str, attributes: Attributes) -> None:
        start(names[name], attributes)

    def at_end(name: str) -> None:
        end(names[name])

    def at_entity(name: str, is_parameter: int, value: str | None, *_: object) -> None:
        if value and "&" in value:  # one that is made of others, as only bombs have them
            raise Bomb("entities of entities")

    parser.StartElementHandler = at_start
    parser.EndElementHandler = at_end
    parser.CharacterDataHandler = data
    parser.EntityDeclHandler = at_entity
    try:
        for chunk in chunks:
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except expat.ExpatError:
        return Blocked(Obstacle.DAMAGED, "xml")
    except Blocked as blocked:
        return blocked
    return None


def local(attributes: Attributes) -> Attributes:
    """Return attributes by their local names."""
    return {name[name.rfind(" ") + 1 :]: value for name, value in attributes.items()}


def is_remote(target: str) -> bool:
    r"""Tell whether a target is on another machine: http://, \\server\share, mhtml:http://, not file:///C:/Normal.dotm.

    >>> [is_remote(t) for t in ("http://a/b", "\\\\a\\b", "file:///C:/a.dotm", "file://a/b", "../a.dotm")]
    [True, True, False, True, False]
    """
    return _REMOTE.match(target[:2_048].strip()) is not None


class Lines:
    """The text of any XML: a line for each element that has some."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._held: list[str] = []

    def start(self, name: str, attributes: Attributes) -> None:
        """End the line: what follows is another element's."""
        self._flush()

    def end(self, name: str) -> None:
        """End the line."""
        self._flush()

    def data(self, text: str) -> None:
        """Take text."""
        self._held.append(text)

    def _flush(self) -> None:
        if self._held:
            text = "".join(self._held).strip()
            if text:
                self.lines.append(text)
            self._held = []


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Extract]:
    """Yield the text of an XML file."""
    lines = Lines()
    blocked = parse((octets,), lines.start, lines.end, lines.data)
    yield from extracts(lines.lines, place, "", budget)
    if blocked:
        raise blocked
