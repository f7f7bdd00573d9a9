"""X-Loop: procmail's recipes write it on what they forward; lists and helpdesks on what they send themselves."""

from collections.abc import Iterator

from ..identity.spelling import domain_of
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_LOOP = b"x-loop"
_OF_HELPDESKS = (
    *(b"x-otrs-loop", b"x-rt-loop-prevention", b"rt-ticket", b"x-rt-ticket"),
    *(b"x-zendesk-from-account-id", b"x-jira-fingerprint"),
)


def _loop(letter: Letter) -> Iterator[Sign]:
    is_sent_by_program = _is_of_a_list_or_helpdesk(letter)
    senders = {domain_of(letter.sender), domain_of(letter.spoken.named), *letter.author_domains}
    for value, boxes in letter.named_in(_LOOP):
        for box in boxes:
            if not letter.is_recipient(box):
                own = letter.is_by(box) or (is_sent_by_program and domain_of(box) in senders)
                kind = Kind.NOTHING if own else Kind.FORWARD
                yield Sign(kind, Strength.LIKELY, (field_evidence(_LOOP, value),), box)


def _nothing(letter: Letter) -> Iterator[Sign]:
    return iter(())


def _is_of_a_list_or_helpdesk(letter: Letter) -> bool:
    if letter.has(b"precedence", b"list-id", b"list-post", *_OF_HELPDESKS):
        return True
    if letter.first(b"auto-submitted").lower() not in (b"", b"no") and not letter.says_forwarded:
        return True
    return letter.sender.startswith("owner-") or letter.first(b"sender").lower().lstrip(b"<").startswith(b"owner-")


ALSO_READ = (b"sender",)

X_LOOP = Mechanism(
    name="X-Loop of procmail",
    kind=Kind.FORWARD,
    fields=frozenset({_LOOP}),
    read=_loop,
    writes="`X-Loop: MAILBOX`",
    names="the mailbox whose recipe it is",
    how_sure="likely; with Precedence, a helpdesk's fields, owner- or From of that mailbox it is a list's or "
    "a helpdesk's",
    source="procmailex(5); SmartList, Majordomo, OTRS, osTicket, Request Tracker",
    switch_off="Sửa tệp .procmailrc trong thư mục của hộp thư: xóa dòng `! địa-chỉ`",
)

HELPDESK = Mechanism(
    name="helpdesk",
    kind=Kind.NOTHING,
    fields=frozenset(_OF_HELPDESKS),
    read=_nothing,
    writes="`X-OTRS-Loop`, `X-RT-Loop-Prevention`, `RT-Ticket`, `X-Zendesk-From-Account-Id`, `X-JIRA-FingerPrint`",
    names="nobody",
    how_sure="nothing; an X-Loop of the helpdesk's own domain beside it says nothing either",
    source="OTRS and Znuny, Request Tracker, Zendesk, Jira, as their mails in public archives have it",
)

MECHANISMS = (X_LOOP, HELPDESK)
