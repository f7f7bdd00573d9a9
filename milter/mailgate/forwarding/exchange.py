"""Microsoft: Exchange, Microsoft 365 and Outlook.com.

Inbox rules write the same two marks on what they forward, redirect and answer, and on each out-of-office reply: only
From tells them apart. A redirect keeps the author's; a forward has the mailbox in From and FW: in its subject.
"""

from collections.abc import Iterator

from ..text.addresses import mailboxes_in
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_RULES_LOOP = b"x-ms-exchange-inbox-rules-loop"
_FORWARDING_LOOP = b"x-ms-exchange-forwardingloop"
_TRANSPORT_LOOP = b"x-ms-exchange-transport-rules-loop"
_SOURCE = b"x-ms-exchange-generated-message-source"
_AUTO_FORWARDED = b"x-ms-exchange-organization-autoforwarded"
_PARENT = b"x-ms-exchange-parent-message-id"


def _rule(letter: Letter) -> Iterator[Sign]:
    source = letter.first(_SOURCE)
    is_of_rules = b"rules" in source.lower()  # Mailbox Rules Agent; other agents write it on reports
    named = False
    for value, boxes in letter.named_in(_RULES_LOOP):
        for box in boxes:
            named = True
            evidence = [field_evidence(_RULES_LOOP, value)]
            if is_of_rules:
                evidence.append(field_evidence(_SOURCE, source))
            if letter.has(b"resent-from"):
                evidence.append(field_evidence(b"resent-from", letter.first(b"resent-from")))
            is_own = letter.is_by(box) or _answers_as_alias(letter, box) or letter.is_addressed_answer
            if is_own and not letter.is_forward_by_subject and not letter.says_forwarded:
                yield Sign(Kind.REPLY, Strength.SURE, tuple(evidence), box)
            else:
                yield Sign(Kind.FORWARD, Strength.SURE, tuple(evidence), box)
    if is_of_rules and not named:
        is_answer = letter.has(_PARENT, b"in-reply-to") and not letter.is_forward_by_subject
        kind = Kind.REPLY if is_answer else Kind.FORWARD
        yield Sign(kind, Strength.HINT, (field_evidence(_SOURCE, source),))


def _answers_as_alias(letter: Letter, box: str) -> bool:
    """Tell whether a mailbox answers under another of its addresses: Exchange names it by its primary one."""
    if letter.sender or not letter.has(_PARENT):
        return False
    local = box.rpartition("@")[0]
    return any(author.rpartition("@")[0] == local for author in letter.authors)


def _mailbox_forwarding(letter: Letter) -> Iterator[Sign]:
    for value, boxes in letter.named_in(_FORWARDING_LOOP):
        evidence = [field_evidence(_FORWARDING_LOOP, value)]
        if letter.has(b"resent-from"):
            evidence.append(field_evidence(b"resent-from", letter.first(b"resent-from")))
        for box in boxes:
            yield Sign(Kind.FORWARD, Strength.SURE, tuple(evidence), box)


def _transport_rule(letter: Letter) -> Iterator[Sign]:
    """Read the loop count of a transport rule, which stands on what was redirected to somebody, and on much else.

    It decides where Microsoft 365 rewrote another's sender and the recipient stands in neither To nor Cc.
    """
    evidence = field_evidence(_TRANSPORT_LOOP, letter.first(_TRANSPORT_LOOP))
    is_rewritten = letter.spoken.scheme == "srs" and "+srs=" in letter.mail.envelope.sender
    if is_rewritten and letter.unaddressed:
        yield Sign(Kind.FORWARD, Strength.SURE, (evidence,), domain=letter.spoken.by, targets=letter.unaddressed)


def _auto_forwarded(letter: Letter) -> Iterator[Sign]:
    value = letter.first(_AUTO_FORWARDED)
    if value.lower() == b"true":
        evidence = field_evidence(_AUTO_FORWARDED, value)
        resent = mailboxes_in(letter.first(b"resent-from"))
        forwarder = resent[0] if resent else letter.sender
        strength = Strength.LIKELY if forwarder and not letter.has(_RULES_LOOP) else Strength.HINT
        yield Sign(Kind.FORWARD, strength, (evidence,), forwarder)


ALSO_READ = (_PARENT,)

_OUTLOOK = (
    "Trong Outlook: Cài đặt > Thư > Quy tắc (Rules), xóa quy tắc chuyển tiếp hoặc chuyển hướng; và Cài đặt > Thư > "
    "Chuyển tiếp (Forwarding), bỏ chọn Bật chuyển tiếp"
)

AUTO_FORWARDED = Mechanism(
    name="Exchange AutoForwarded",
    kind=Kind.FORWARD,
    fields=frozenset({_AUTO_FORWARDED}),
    read=_auto_forwarded,
    writes="`X-MS-Exchange-Organization-AutoForwarded: true`",
    names="nobody; Resent-From or the envelope sender hands it over",
    how_sure="likely; sure from a login of ours; a server's header firewall takes it off",
    since="Exchange 2007",
    source="Microsoft, [MS-OXCMAIL] 2.1.3.2.21",
    on_copies=frozenset({_AUTO_FORWARDED}),
    switch_off=_OUTLOOK,
)

MECHANISMS = (
    Mechanism(
        name="Exchange inbox rule",
        kind=Kind.FORWARD,
        fields=frozenset({_RULES_LOOP, _SOURCE}),
        read=_rule,
        writes="`X-MS-Exchange-Inbox-Rules-Loop: MAILBOX`, `X-MS-Exchange-Generated-Message-Source: Mailbox Rules "
        "Agent`, "
        "`Resent-From` on a redirect",
        names="the mailbox whose rule it is",
        how_sure="sure where From is another's, or From is the mailbox's and the subject begins FW:; else it is a "
        "reply, "
        "or an out-of-office answer",
        since="Exchange 2007",
        source="Microsoft, Loop prevention in Exchange demystified (techcommunity.microsoft.com, 2312258)",
        on_copies=frozenset({_RULES_LOOP, _SOURCE}),
        switch_off=_OUTLOOK,
    ),
    Mechanism(
        name="Microsoft 365 mailbox forwarding",
        kind=Kind.FORWARD,
        fields=frozenset({_FORWARDING_LOOP}),
        read=_mailbox_forwarding,
        writes="`X-MS-Exchange-ForwardingLoop: MAILBOX;TENANT`, `Resent-From`, and where the author is of another "
        "tenant, "
        "`bounces+SRS=…@DOMAIN`",
        names="the mailbox that forwards",
        how_sure="sure",
        since="Exchange Online, 2014",
        source="Microsoft, Loop prevention in Exchange demystified (techcommunity.microsoft.com, 2312258)",
        on_copies=frozenset({_FORWARDING_LOOP}),
        switch_off=_OUTLOOK,
    ),
    Mechanism(
        name="Exchange transport rule",
        kind=Kind.FORWARD,
        fields=frozenset({_TRANSPORT_LOOP}),
        read=_transport_rule,
        writes="`X-MS-Exchange-Transport-Rules-Loop: COUNT`, and `bounces+SRS=…@DOMAIN`",
        names="the domain in the envelope sender",
        how_sure="sure where the sender was rewritten and the recipient stands in neither To nor Cc; else nothing",
        since="Exchange 2010",
        source="Microsoft, Loop prevention in Exchange demystified (techcommunity.microsoft.com, 2312258)",
        switch_off="Quản trị viên Exchange: Luồng thư > Quy tắc (Mail flow > Rules), tắt quy tắc chuyển hướng",
    ),
    AUTO_FORWARDED,
)
