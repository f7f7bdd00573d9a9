"""Mails in files and in mails: their subject, and their parts: what is shown is a text, the others are files."""

import re
from collections.abc import Iterator

from ..mime.fields import decode_words
from ..mime.transfer import decode
from ..mime.walker import Leaf, Walker
from ..model import Header, Obstacle, TextKind, Uninspected
from . import page
from .budget import Budget
from .found import Extract, Found, Inside
from .plain import read_html, read_text

_CHUNK = 1_048_576
_FIELD = re.compile(rb"([!-9;-~]{1,256})[ \t]*:((?:[^\n]|\n[ \t])*)\n?")
_BLANK = re.compile(rb"\r?\n")
_BEFORE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:From [^\n]*\n)?")  # as of an mbox
_HEADERS, _HEADER_OCTETS = 2_000, 262_144  # to which a type is looked for behind what is no field
_LEAVES = 1_000  # of one attached mail


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a mail holds."""
    if b"\n" not in octets:
        octets = octets.replace(b"\r", b"\n")
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
    """Return the header fields, names in lower case, and where the body begins.

    What is no field ends them; but where they tell no type by then, and one stands further down before the blank
    line, it is passed over, as mail programs do.
    """
    begin = _BEFORE.match(octets)
    start = begin.end() if begin else 0
    fields, end = _fields(octets, start, is_lenient=False)
    if not any(name == b"content-type" for name, _ in fields):
        more, further = _fields(octets, start, is_lenient=True)
        if any(name == b"content-type" for name, _ in more):
            return more, further
    return fields, end


def _fields(octets: bytes, at: int, is_lenient: bool) -> tuple[list[Header], int]:
    fields: list[Header] = []
    while True:
        if match := _FIELD.match(octets, at):
            fields.append((match[1].lower(), match[2].rstrip(b"\r")))
            at = match.end()
            continue
        blank = _BLANK.match(octets, at)
        end = octets.find(b"\n", at) + 1
        if blank or not is_lenient or not end or len(fields) > _HEADERS or end > _HEADER_OCTETS:
            return fields, blank.end() if blank else at
        at = end


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
