"""Programs that fetch a mailbox by POP3 or IMAP and hand its mail on: fetchmail, getmail.

Only the newest Received line counts: who fetches his own mail and then sends from it leaves an older one.
"""

from collections.abc import Iterator

from ..model import Evidence
from ..text.received import received_for, stamp_of
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength

_FETCHED = (b"(fetchmail-", b"(getmail", b"(mpop", b"with getmail")


def _fetched(letter: Letter) -> Iterator[Sign]:
    values = letter.mail.header_values(b"received")
    if not values or not any(mark in values[0] for mark in _FETCHED):
        return
    by = stamp_of(values[0]).by.decode("latin-1").lower().rstrip(".")
    handed_to = received_for(values[0])
    is_sure = bool(handed_to) and letter.is_recipient(handed_to)
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
