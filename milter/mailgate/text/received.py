"""Received lines (RFC 5321 section 4.4): which of our own hosts a mail passed before, and for whom it was then.

Anybody may write a Received line; only those that begin `by` one of our hosts in the form in which Postfix
writes them are read as passages. A HELO name may hold anything, a forged `by ... id ...` too, but stands before
the real one: the last of a line is the host's own.
"""

import re
from collections.abc import Iterable

from ..identity.spelling import mailbox_of

_LONGEST = 4_096  # octets of a Received line that are read

# Real lines of Postfix 3.7 (smtpd, pickup, local):
#   from mail.example.com (unknown [203.0.113.7])\n\tby mx.hanam.gov.vn (Postfix) with ESMTP id 4Cw3Jx2yZz\n\tfor <…>
#   by mx.hanam.gov.vn (Postfix, from userid 1000)\n\tid 3A9B21F0C4; Tue, …
#   by mx.hanam.gov.vn (Postfix)\n\tid 5D1C21F0C9; Tue, …
_PASSAGE = re.compile(
    rb"(?:^|\s)by\s+([^\s;()]+)(?:\s+\([^()]*\))?\s+(?:with\s+(?!LMTP)\S+\s+)?id\s+([0-9A-Za-z]{4,24})(?=[\s;]|$)",
    re.IGNORECASE,
)
_BY = re.compile(rb"(?:^|\s)by\s+([^\s;]+)", re.IGNORECASE)
_FOR = re.compile(rb"\sfor\s+<?([^\s<>;@]+@[^\s<>;]+)", re.IGNORECASE)


def passages_in(values: Iterable[bytes], hosts: frozenset[str]) -> list[tuple[str, str]]:
    """Return (host, queue id) of each Received line that one of these hosts wrote, in the order of the lines."""
    found = []
    for value in values:
        written = list(_PASSAGE.finditer(value[:_LONGEST]))
        if written:
            last = written[-1]
            host = last[1].decode("latin-1").lower().rstrip(".")
            if host in hosts:
                found.append((host, last[2].decode("ascii")))
    return found


def received_for(value: bytes, hostnames: frozenset[str] | None = None) -> str:
    """Return the mailbox after `for` in a Received line, "" when it names none.

    hostnames: only what these hosts wrote (`by`) is believed; None believes all.
    """
    text = value[:_LONGEST]
    by = _BY.search(text)
    if by is None:
        return ""
    if hostnames is not None and by[1].decode("latin-1").lower().rstrip(".") not in hostnames:
        return ""
    named = _FOR.search(text, by.end())
    return mailbox_of(named[1]) if named else ""
