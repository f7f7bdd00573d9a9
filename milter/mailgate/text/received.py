r"""Received lines (RFC 5321 section 4.4): which of our own hosts a mail passed before, and for whom it was then.

Anybody may write a Received line, and what a sender chose stands in those of our own hosts too: his HELO name before
`by`, a recipient's local part behind `for`. So a line is read by its grammar, never searched: a comment, a quoted
string and what stands in angle brackets are one token each, whatever they hold, and only words at the top level are
clauses. What is not closed ends the line; the clauses before it stand.

Real lines of Postfix 3.7 (smtpd, pickup, local), which writes `?` for each of ` <>()\";:@` in a HELO name:

    from mail.example.com (x [203.0.113.7])\n\tby mx.hanam.gov.vn (Postfix) with ESMTP id 4Cw3Jx2yZz\n\tfor <…>; …
    by mx.hanam.gov.vn (Postfix, from userid 1000)\n\tid 3A9B21F0C4; Tue, …
    by mx.hanam.gov.vn (Postfix)\n\tid 5D1C21F0C9; Tue, …
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from ..identity.spelling import mailbox_of

_LONGEST: Final = 8_192
"""Octets of a Received line that are read: HELO name and login have 2,048 at the most (line_length_limit), and the
quotes of a recipient double as many."""


class Stamp(NamedTuple):
    """What the host that wrote a Received line says: the first word of `by`, `with`, `id` and `for`, b"" for none."""

    by: bytes
    protocol: bytes
    id: bytes
    path: bytes


_NOTHING: Final = Stamp(b"", b"", b"", b"")

_KEYWORDS: Final = frozenset((b"from", b"by", b"via", b"with", b"id", b"for"))

# Groups are never possessive: before CPython 3.11.5 such a one does not match all that it should.
_WORD = rb'(?:[^ \t\r\n(<;"]++|"(?:[^"\\]++|\\.)*")+'
_TOKEN = re.compile(rb"[ \t\r\n]*+(?:(" + _WORD + rb")|([<(;]))", re.DOTALL)
_HELO = re.compile(rb"[ \t\r\n]*+" + _WORD, re.DOTALL)
_IN_COMMENT = re.compile(rb"\\.|[()]", re.DOTALL)
_IN_ANGLES = re.compile(rb'\\.|"(?:[^"\\]++|\\.)*"|@\[(?:[^\[\]\\]++|\\.)*\]|[<>"]', re.DOTALL)

# Nearly every line, Postfix' among them, in one go; `_parsed` reads what it matches the same.
_NAME = rb'[^ \t\r\n()<>;"\\]++(?=[ \t\r\n(;]|\Z)'
_GAP = rb"(?:[ \t\r\n]++|\((?:[^()\\]++|\([^()\\]*+\))*\))*"
_VALUE = rb"[ \t\r\n]++(?!(?:from|by|via|with|id|for)(?:[ \t\r\n(;]|\Z))(" + _NAME + rb")" + _GAP
_USUAL = re.compile(
    rb"[ \t\r\n]*+(?:from[ \t\r\n]++"
    + (_NAME + rb")?" + _GAP + rb"by" + _VALUE + rb"(?:with" + _VALUE + rb")?id" + _VALUE)
    + (rb'(?:for[ \t\r\n]++(<[^ \t\r\n()<>;"\\\[]++>)' + _GAP + rb')?(?:;[^;()<>"\\]*+' + _GAP + rb")?"),
    re.IGNORECASE,
)


def stamp_of(value: bytes) -> Stamp:
    """Read the value of a Received line, in time linear in its octets."""
    value = value[:_LONGEST]
    usual = _USUAL.fullmatch(value)
    if usual is None:
        return _parsed(value)
    by, protocol, identity, path = usual.groups(b"")
    return Stamp(by, protocol, identity, path)


def _parsed(value: bytes) -> Stamp:
    """Read any line, token by token.

    `from` takes the next word, whatever it is, since a HELO name may be called `by`; no other clause takes such a
    word. A later `by` begins anew: what stood before the host's own was somebody else's word.
    """
    found = _NOTHING
    before_date: Stamp | None = None
    clause = b""
    position = 0
    while True:
        token = _TOKEN.match(value, position)
        if token is None:
            break
        position = token.end()
        word, mark = token.groups()
        if mark == b";":
            before_date, clause = found, b""  # the date follows the last one
            continue
        if mark is not None:
            start = position - 1
            position = _comment_end(value, position) if mark == b"(" else _angles_end(value, position)
            if position < 0:
                break
            if mark == b"(":
                continue
            word = value[start:position]
        lower = word.lower()
        if lower == b"from":
            helo = _HELO.match(value, position)
            position = position if helo is None else helo.end()
            clause = b""
        elif lower in _KEYWORDS:
            clause = lower
        elif clause:
            found, clause = _with_clause(found, clause, word), b""
    return found if before_date is None else before_date


def _comment_end(value: bytes, position: int) -> int:
    """Return where a comment ends that began before `position`, -1 where it is not closed; comments nest."""
    depth = 1
    while depth:
        found = _IN_COMMENT.search(value, position)
        if found is None:
            return -1
        position = found.end()
        if found[0] == b"(":
            depth += 1
        elif found[0] == b")":
            depth -= 1
    return position


def _angles_end(value: bytes, position: int) -> int:
    """Return where what began with an angle bracket before `position` ends, -1 where it is not closed."""
    while True:
        found = _IN_ANGLES.search(value, position)
        if found is None or found[0] in (b"<", b'"'):
            return -1
        position = found.end()
        if found[0] == b">":
            return position


def _with_clause(stamp: Stamp, clause: bytes, word: bytes) -> Stamp:
    """Return what a clause makes of a stamp: each counts once behind its `by`."""
    if clause == b"by":
        return Stamp(word, b"", b"", b"")
    if clause == b"with" and not stamp.protocol:
        return Stamp(stamp.by, word, stamp.id, stamp.path)
    if clause == b"id" and not stamp.id:
        return Stamp(stamp.by, stamp.protocol, word, stamp.path)
    if clause == b"for" and not stamp.path:
        return Stamp(stamp.by, stamp.protocol, stamp.id, word)
    return stamp


_QUEUE_ID = re.compile(rb"[0-9A-Za-z]{4,24}")


def passages_in(values: Iterable[bytes], hosts: frozenset[str]) -> list[tuple[str, str]]:
    """Return (host, queue id) of each Received line that one of these hosts wrote, in the order of the lines.

    What it delivered by LMTP has the id of a delivery, not of its queue.
    """
    found = []
    for value in values:
        stamp = stamp_of(value)
        host = _host(stamp)
        if host in hosts and b"LMTP" not in stamp.protocol.upper() and _QUEUE_ID.fullmatch(stamp.id):
            found.append((host, stamp.id.decode("ascii")))
    return found


def received_for(value: bytes, hostnames: frozenset[str] | None = None) -> str:
    """Return the mailbox after `for` in a Received line, "" when it names none.

    hostnames: only what these hosts wrote (`by`) is believed; None believes all.
    """
    if b"@" not in value:  # nearly always where there is no `for`
        return ""
    stamp = stamp_of(value)
    if b"@" not in stamp.path or not stamp.by:
        return ""
    if hostnames is not None and _host(stamp) not in hostnames:
        return ""
    return mailbox_of(stamp.path)


def _host(stamp: Stamp) -> str:
    return stamp.by.decode("latin-1").lower().rstrip(".")
