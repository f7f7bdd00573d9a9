"""A text of a mail as rules read it: folded, with the marks of secrecy in it."""

from collections.abc import Iterable

from ..model import Grade, Mark, Text, TextKind
from .folding import fold
from .marks import marks_in

MOST_MARKS = 100
"""Marks of a text that are told: more say nothing new, but the first that is good to hold a mail for."""


def read_text(
    place: str, kind: TextKind, text: str, charset: str = "", declared: str = "", is_html: bool = False
) -> Text:
    """Fold a text as a reader sees it, and look for marks; charset and declared as in model.Text."""
    folded = fold(text)
    return Text(place, kind, folded.canon, told(marks_in(text, kind, folded)), charset, declared, is_html)


def told(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """Return the first marks, and the first one that holds a mail, wherever it stands."""
    found: list[Mark] = []
    holds = False
    for mark in marks:
        if len(found) < MOST_MARKS or (mark.grade is Grade.HOLD and not holds):
            found.append(mark)
            holds = holds or mark.grade is Grade.HOLD
        if len(found) >= MOST_MARKS and holds:
            break
    return tuple(found)
