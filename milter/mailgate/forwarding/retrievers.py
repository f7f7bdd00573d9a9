"""Programs that fetch a mailbox by POP3 or IMAP and hand its mail on: fetchmail, getmail.

Only the newest Received line counts: who fetches his own mail and then sends from it leaves an older one.
"""

import re
from collections.abc import Iterator

from ..model import Evidence
from ..text.received import received_for, stamp_of
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength

_FROM = re.compile(rb"\s*from\s+([A-Za-z0-9.-]+)")
_FETCHED = (b"(fetchmail-", b"(getmail", b"(mpop", b"with getmail")


def is_fetched(received: bytes) -> bool:
    """Tell whether a Received line is of a program that fetches mail."""
    return (b"fetchmail" in received or b"getmail" in received or b"mpop" in received) and any(
        mark in received for mark in _FETCHED
    )


def _fetched(letter: Letter) -> Iterator[Sign]:
    values = letter.mail.header_values(b"received")
    if not values or not is_fetched(values[0]):
        return
    server = _FROM.match(values[0])
    if server and letter.mail.organization.is_state(server[1].decode("latin-1").lower()):
        return
    by = stamp_of(values[0]).by.decode("latin-1").lower().rstrip(".")
    handed_to = received_for(values[0])
    is_inside = letter.mail.organization.is_internal(letter.mail.session.client_ip)
    is_sure = bool(handed_to) and letter.is_recipient(handed_to) and not is_inside
    program = next(mark for mark in _FETCHED if mark in values[0]).strip(b"(-").decode()
    evidence = Evidence(
        "header", "Received", f"{program}, by {by[:100]}" + (f", for <{handed_to[:200]}>" if handed_to else "")
    )
    yield Sign(Kind.FORWARD, Strength.SURE if is_sure else Strength.LIKELY, (evidence,), domain=by)


MECHANISMS = (
    Mechanism(
        name="fetchmail",
        kind=Kind.FORWARD,
        fields=frozenset(),
        read=_fetched,
        writes="`Received: from SERVER by HOST with POP3 (fetchmail-VERSION) for <TARGET>`",
        names="the host that fetches",
        how_sure="sure in the newest line that names the recipient; likely in the newest; else nothing",
        source="fetchmail(1); getmail's documentation",
        by_received=True,
        switch_off="Trên máy chạy fetchmail: xóa dòng có `is ĐỊA-CHỈ here` hoặc `smtphost` trong .fetchmailrc",
    ),
)
