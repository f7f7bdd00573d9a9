"""What an accepted mail counts: who of ours sent it, who received it, and what kind of mail it was (6.2c, 7.2a)."""

import hashlib
from collections.abc import Sequence

from .model import ActivityEvent, ActivityKind, Finding, Mail, MailClass, Verdict, legal_text
from .text.addresses import is_bounce_home

# Header fields that only a program writes, and what they make of a mail, the first that fits; the values that do not.
_TELLING: dict[bytes, tuple[MailClass, tuple[bytes, ...]]] = {
    b"list-id": (MailClass.BULK, ()),
    b"list-unsubscribe": (MailClass.BULK, ()),
    b"list-post": (MailClass.BULK, ()),
    b"feedback-id": (MailClass.BULK, ()),
    b"precedence": (MailClass.BULK, (b"normal", b"first-class", b"special-delivery", b"auto_reply")),
    b"auto-submitted": (MailClass.AUTOMATIC, (b"no",)),
    b"x-autoreply": (MailClass.AUTOMATIC, (b"no",)),
    b"x-autorespond": (MailClass.AUTOMATIC, ()),
    b"x-auto-response-suppress": (MailClass.AUTOMATIC, (b"none",)),
}


def mail_class(mail: Mail, findings: Sequence[Finding] = ()) -> MailClass:
    """Return what a mail is to who receives it, by its envelope, its header fields, and what was found."""
    for finding in findings:
        if finding.rule == "spam" and is_about_content(finding):
            return MailClass.SPAM
    if not mail.envelope.sender:
        kind = mail.first_header(b"content-type").lower()
        return MailClass.REPORT if kind.startswith((b"multipart/report", b"message/")) else MailClass.AUTOMATIC
    for name, (kind_of, ordinary) in _TELLING.items():
        if name in mail.fields and not mail.first_header(name).lower().startswith(ordinary):
            return kind_of
    return MailClass.HUMAN


def is_about_content(finding: Finding) -> bool:
    """Tell whether a finding says what the mail is, not that a service was away or could not look inside."""
    return not any(piece.kind == "missing" or piece.name in ("encrypted", "too-large") for piece in finding.evidence)


def activity_events(mail: Mail, verdict: Verdict, now: float, node: str) -> list[ActivityEvent]:
    """Return what an accepted mail counts: `sent` for its official sender, `received` for each official recipient.

    The sender is the login's mailbox, or the envelope sender of a client of our own; spam counts nobody as sending,
    and what a virus was found in counts nothing. An alias of several mailboxes receives for each, and sends for none.
    What comes home to a rewritten sender (SRS, BATV) is a bounce's, and counts for nobody. The key is made of the
    Message-ID where there is one, so that a mail which is sent again after a lost answer counts once.
    """
    for finding in verdict.findings:
        if finding.rule == "virus" and is_about_content(finding):
            return []
    organization, identity, envelope = mail.organization, mail.identity, mail.envelope
    name = mail.first_header(b"message-id") or f"{node}/{mail.queue_id}".encode("utf-8", "surrogateescape")
    octets = mail.content.octets
    kind = mail_class(mail, verdict.findings)
    events = []
    sender = envelope.login if organization.is_official(envelope.login) else ""
    if (
        not sender
        and organization.is_official(envelope.sender)
        and (envelope.login or organization.is_internal(mail.session.client_ip))
    ):
        sender = envelope.sender
    if sender and kind is not MailClass.SPAM:
        account = identity.account(sender)
        if identity.is_mailbox(account):
            events.append(_event(ActivityKind.SENT, account, name, now, octets, MailClass.HUMAN))
    for recipient in envelope.recipients:
        if (
            not organization.is_official(recipient)
            or recipient in verdict.recipient_replies
            or ("=" in recipient and is_bounce_home(recipient))
        ):
            continue
        for mailbox in identity.mailboxes(recipient):
            events.append(_event(ActivityKind.RECEIVED, mailbox, name, now, octets, kind))
    return events


def _event(
    kind: ActivityKind, mailbox: str, identity: bytes, now: float, octets: int, what: MailClass
) -> ActivityEvent:
    name = mailbox.encode("utf-8", "surrogateescape")
    key = hashlib.blake2b(b"\0".join((kind.encode(), name, identity)), digest_size=16).digest()
    return ActivityEvent(key, kind, legal_text(mailbox), now, octets, what)
