"""What a reader of a family of files finds: texts, files inside, dangers, and what it could not look into.

A reader is a generator of octets, place and budget. It knows no other family: a file inside is only named, and
`content.look_into` opens it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..model import Danger, File, Taken, TextKind, Uninspected
from .budget import Budget


@dataclass(frozen=True, slots=True)
class Extract:
    """One text as a reader sees it: a line for each paragraph or row of a table, cells apart by tabs.

    place: as of Text. charset: the Vietnamese one before Unicode that it was in, "" for none. declared: what it said
    it is. is_html: it was HTML, of which this is what shows.
    """

    place: str
    kind: TextKind
    text: str
    charset: str = ""
    declared: str = ""
    is_html: bool = False


@dataclass(frozen=True, slots=True)
class Inside:
    """A file inside the one that is read; declared: the MIME type that it has there, "" for none. names: what else
    programs read for its name. is_hidden: the virus scanner, which opens what it is in, does not find it there.
    """

    name: str
    octets: bytes
    declared: str = ""
    names: tuple[str, ...] = ()
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Threat:
    """A danger of the file that is read, and what shows it: never its text."""

    danger: Danger
    detail: str


Found = Extract | File | Inside | Taken | Threat | Uninspected


def extracts(lines: Iterable[str], place: str, charset: str, budget: Budget) -> Iterator[Extract]:
    """Yield one text of these lines, nothing where they are blank; what the budget does not allow is cut."""
    text = "\n".join(lines)
    if text.strip():
        yield Extract(place, TextKind.DOCUMENT, text[: budget.room()], charset)
        budget.take_letters(len(text))
