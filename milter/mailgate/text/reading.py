"""A text of a mail as rules read it: folded, with the marks of secrecy in it."""

from collections.abc import Iterable

from ..model import Grade, Mark, Text, TextKind
from . import charsets
from .folding import fold, is_plain
from .marks import marks_in
from .simple_html import label_of, names_old_font, simple_text

MOST_MARKS = 100
"""Marks of a text that are told: more say nothing new, but the first that is good to hold a mail for."""


def read_text(
    place: str, kind: TextKind, text: str, charset: str = "", declared: str = "", is_html: bool = False
) -> Text:
    """Fold a text as a reader sees it, and look for marks; charset and declared as in model.Text."""
    folded = fold(text)
    return Text(place, kind, folded.canon, told(marks_in(text, kind, folded)), charset, declared, is_html)


_UNICODE = frozenset({"utf-8", "us-ascii"})


def read_simple_html(place: str, kind: TextKind, octets: bytes, label: str, odd_octets: int) -> Text | None:
    """Read HTML that needs no parser; None for any other, for fonts and charsets from before Unicode, and for text of
    more than odd_octets that is not folded at a glance."""
    decoded = charsets.read(octets, label or label_of(octets))
    if decoded.charset not in _UNICODE or names_old_font(decoded.text):
        return None
    shown = simple_text(decoded.text)
    if shown is None or (len(shown) > odd_octets and not is_plain(shown)):
        return None
    return read_text(place, kind, shown, "", decoded.declared, is_html=True)


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
