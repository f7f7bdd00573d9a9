"""Mails in files and in mails: their subject, and their parts: what is shown is a text, the others are files."""

import re
from collections.abc import Iterator

from ..mime.fields import decode_words
from ..mime.transfer import decode
from ..mime.walker import Leaf, Walker
from ..model import Obstacle, Taken, TextKind, Uninspected
from . import page
from .budget import Budget
from .found import Extract, Found, Inside
from .plain import read_html, read_text

_CHUNK = 1_048_576
_SUBJECT = re.compile(rb"^subject[ \t]*:((?:[^\n]|\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_BLANK = re.compile(rb"^\r?\n", re.MULTILINE)
_BEFORE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:From [^\n]*\n)?")  # as of an mbox
_LEAVES = 1_000  # of one attached mail


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a mail holds."""
    if b"\n" not in octets:
        octets = octets.replace(b"\r", b"\n")
    before = _BEFORE.match(octets)
    start = before.end() if before else 0
    subject = _subject(octets, start)
    if subject.strip():
        yield Extract(place, TextKind.SUBJECT, subject[: budget.room()])
        budget.take_letters(len(subject))
    walker = Walker(exact=True)
    walker.begin_attached(start)
    for at in range(start, len(octets), _CHUNK):
        walker.feed(octets, at, min(at + _CHUNK, len(octets)))
    content = walker.finish()
    for number, leaf in enumerate(walker.leaves[:_LEAVES], 1):
        begin, end = leaf.span
        inner = decode(leaf.encoding, (octets[begin:end],))
        budget.take_octets(len(inner))
        inner_place = f"{place} > part {number}"
        if is_shown(leaf):  # what is a file is given to the virus scanner by whoever opens it
            yield Taken(inner_place, inner)
        yield from read_leaf(inner, leaf, inner_place, budget, TextKind.DOCUMENT)
    if not walker.leaves and not subject:
        yield Uninspected(place, Obstacle.DAMAGED, "a mail without text")
    if len(walker.leaves) > _LEAVES:
        yield Uninspected(place, Obstacle.LIMIT, f"more than {_LEAVES} parts")
    for defect in content.ambiguities():
        yield Uninspected(place, Obstacle.AMBIGUOUS, defect)
    for limit in content.unread():
        yield Uninspected(place, Obstacle.LIMIT, limit)


def _subject(octets: bytes, start: int) -> str:
    """Return the subject of a mail, "" for none."""
    blank = _BLANK.search(octets, start)
    head = octets[start : blank.start() if blank else len(octets)]
    match = _SUBJECT.search(head)
    return decode_words(match[1]) if match else ""


def is_shown(leaf: Leaf) -> bool:
    """Tell whether a leaf is text that a mail program shows, not a file."""
    return leaf.type in ("text/plain", "text/html", "") and not leaf.is_attachment


def read_leaf(octets: bytes, leaf: Leaf, place: str, budget: Budget, kind: TextKind) -> Iterator[Found]:
    """Yield the decoded octets of a leaf: as a text of this kind where it is shown, else as a file inside."""
    if is_shown(leaf):
        reader = read_html if leaf.type == "text/html" else read_text
        yield from reader(octets, leaf.charset, place, kind, budget)
        if leaf.type == "text/html":
            yield from page.runs_script(octets)
    else:
        yield Inside(leaf.name or place.rpartition(" > ")[2], octets, leaf.type, leaf.names)
