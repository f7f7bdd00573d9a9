"""Mail programs: a rule in a client that sends on with its owner's login, and what a person redirects by hand.

RFC 5322 section 3.6.6: a redirect by hand has Resent-From and an identity of its own, Resent-Message-ID; rules of
many programs write the first alone.
"""

from collections.abc import Iterator

from ..identity.spelling import domain_of
from ..text.addresses import mailboxes_in
from .deliveries import is_passed_on
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_RESENT, _SUBMITTED, _X400 = b"resent-from", b"auto-submitted", b"autoforwarded"


def _resent(letter: Letter) -> Iterator[Sign]:
    value = letter.first(_RESENT)
    by_hand = letter.resenders
    kind = Kind.REDIRECT if by_hand else Kind.FORWARD
    for box in by_hand or mailboxes_in(value):
        strength = Strength.HINT if by_hand else Strength.LIKELY
        if not by_hand and letter.identity.is_same(box, letter.sender) and is_passed_on(letter, box):
            strength = Strength.SURE  # a program's, which keeps To and adds no Resent-To
        if not letter.is_by(box) or by_hand or letter.mail.envelope.login:
            yield Sign(kind, strength, (field_evidence(_RESENT, value),), box)


def _says_so(letter: Letter) -> Iterator[Sign]:
    value = letter.first(_SUBMITTED)
    if value.lower().startswith(b"auto-forwarded"):
        is_named = bool(letter.sender) and not letter.is_by(letter.sender)
        strength = Strength.LIKELY if is_named else Strength.HINT
        forwarder = letter.sender if is_named else ""
        yield Sign(Kind.FORWARD, strength, (field_evidence(_SUBMITTED, value),), forwarder)


def _gateway(letter: Letter) -> Iterator[Sign]:
    value = letter.first(_X400)
    if value.lower() == b"true":
        yield Sign(Kind.FORWARD, Strength.SURE, (field_evidence(_X400, value),), domain=domain_of(letter.sender))


_CLIENT = (
    "Trong chương trình thư (Outlook, Thunderbird, Apple Mail, KMail): Quy tắc hoặc Bộ lọc thư (Rules, Message "
    "Filters), "
    "xóa quy tắc chuyển tiếp hoặc chuyển hướng"
)

RESENT = Mechanism(
    name="redirect by a mail program",
    kind=Kind.REDIRECT,
    fields=frozenset({_RESENT}),
    read=_resent,
    writes="`Resent-From: MAILBOX`, by hand with `Resent-Message-ID`",
    names="who redirects",
    how_sure="with an identity that our MTA did not write, from a login or a store of ours, a person's; without, "
    "likely, "
    "and sure where To names that mailbox and nothing the recipient",
    source="RFC 5322 section 3.6.6; cleanup(8) for local_header_rewrite_clients",
    on_copies=frozenset({_RESENT}),
    switch_off=_CLIENT,
)

SAYS_SO = Mechanism(
    name="Auto-Submitted: auto-forwarded",
    kind=Kind.FORWARD,
    fields=frozenset({_SUBMITTED}),
    read=_says_so,
    writes="`Auto-Submitted: auto-forwarded`",
    names="nobody; the envelope sender hands it over",
    how_sure="likely; sure from a login of ours",
    source="RFC 3834 section 5, IANA's registry of its keywords",
    switch_off=_CLIENT,
)

X400 = Mechanism(
    name="Autoforwarded of X.400",
    kind=Kind.FORWARD,
    fields=frozenset({_X400}),
    read=_gateway,
    writes="`Autoforwarded: TRUE`",
    names="the domain of the envelope sender",
    how_sure="sure",
    source="RFC 2156 section 5.3.6",
    on_copies=frozenset({_X400}),
)

MECHANISMS = (RESENT, SAYS_SO, X400)
