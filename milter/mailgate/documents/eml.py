"""Mails in files and in mails: their subject, and their parts: what is shown is a text, the others are files."""

import re
from collections.abc import Iterator

from ..mime.fields import decode_words
from ..mime.transfer import decode
from ..mime.walker import Leaf, Walker
from ..model import Header, Obstacle, TextKind, Uninspected
from .budget import Budget
from .found import Extract, Found, Inside
from .plain import read_html, read_text

_CHUNK = 1_048_576
_FIELD = re.compile(rb"([!-9;-~]{1,256})[ \t]*:((?:[^\n]|\n[ \t])*)\n?")
_LEAVES = 1_000  # of one attached mail


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a mail holds."""
    headers, start = _headers(octets)
    subject = next((decode_words(value) for name, value in headers if name == b"subject"), "")
    if subject.strip():
        yield Extract(place, TextKind.SUBJECT, subject[: budget.room()])
        budget.take_letters(len(subject))
    walker = Walker(exact=True)
    walker.begin(headers, start)
    for at in range(start, len(octets), _CHUNK):
        walker.feed(octets, at, min(at + _CHUNK, len(octets)))
    content = walker.finish()
    for number, leaf in enumerate(walker.leaves[:_LEAVES], 1):
        begin, end = leaf.span
        inner = decode(leaf.encoding, (octets[begin:end],))
        budget.take_octets(len(inner))
        yield from read_leaf(inner, leaf, f"{place} > part {number}", budget, TextKind.DOCUMENT)
    if not walker.leaves and not subject:
        yield Uninspected(place, Obstacle.DAMAGED, "a mail without text")
    if len(walker.leaves) > _LEAVES:
        yield Uninspected(place, Obstacle.LIMIT, f"more than {_LEAVES} parts")
    for limit in content.unread():
        yield Uninspected(place, Obstacle.LIMIT, limit)


def _headers(octets: bytes) -> tuple[list[Header], int]:
    """Return the header fields, names in lower case, and where the body begins; what is no field ends them."""
    fields: list[Header] = []
    at = 0
    if octets.startswith(b"From "):  # mbox
        at = octets.find(b"\n") + 1
    while match := _FIELD.match(octets, at):
        fields.append((match[1].lower(), match[2].rstrip(b"\r")))
        at = match.end()
    blank = re.compile(rb"\r?\n").match(octets, at)
    return fields, blank.end() if blank else at


def is_shown(leaf: Leaf) -> bool:
    """Tell whether a leaf is text that a mail program shows, not a file."""
    return leaf.type in ("text/plain", "text/html", "") and not leaf.is_attachment


def read_leaf(octets: bytes, leaf: Leaf, place: str, budget: Budget, kind: TextKind) -> Iterator[Found]:
    """Yield the decoded octets of a leaf: as a text of this kind where it is shown, else as a file inside."""
    if is_shown(leaf):
        reader = read_html if leaf.type == "text/html" else read_text
        yield from reader(octets, leaf.charset, place, kind, budget)
    else:
        yield Inside(leaf.name or place.rpartition(" > ")[2], octets, leaf.type, leaf.names)
