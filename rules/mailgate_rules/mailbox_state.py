"""Locked and revoked mailboxes (clauses 7.1 and 6.2).

A locked mailbox (tạm khóa) does not send, and still receives; a revoked one (thu hồi) does neither. A mailbox sends
when it logs in, and when its address is the envelope sender of a client of our own networks.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailgate.model import Action, Evidence, Mail, MailboxState, MailboxStatus
from mailgate.rule import Example, Hit, RuleStanza


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.mailbox-state]; it has none beside the common ones."""

    NAME = "mailbox-state"
    CLAUSE = "QD27/2023 7.1, 6.2"
    REPLY = "550 5.7.1 This mailbox is not active"
    NEEDS = "mailboxes"

    def at_mail(self, mail: Mail) -> Iterable[Hit]:
        """Refuse a sender whose mailbox is locked or revoked."""
        return self._look(mail, mail.mailboxes) if mail.mailboxes else ()

    def _look(self, mail: Mail, mailboxes: Mapping[str, MailboxState]) -> Iterator[Hit]:
        for kind, name, mailbox in _senders(mail):
            state = mailboxes.get(mail.organization.account(mailbox))
            if state is not None and state.status is not MailboxStatus.ACTIVE:
                locked = state.status is MailboxStatus.LOCKED
                yield Hit(
                    (Evidence(kind, name, mailbox), Evidence("mailbox", state.status.value, state.clause)),
                    reply=self.reply
                    or (
                        "550 5.7.1 Sending mailbox is locked\n"
                        "Hop thu gui dang bi tam khoa (khoan 1 Dieu 7 QD 27/2023)"
                        if locked
                        else "550 5.7.1 Sending mailbox is revoked\n"
                        "Hop thu gui da bi thu hoi (khoan 2 Dieu 6 QD 27/2023)"
                    ),
                )
                return

    def speaks_at_rcpt(self, mailboxes: Mapping[str, MailboxState]) -> bool:
        """Tell whether any mailbox is revoked."""
        return any(state.status is MailboxStatus.REVOKED for state in mailboxes.values())

    def at_rcpt(self, mail: Mail, recipient: str) -> Iterable[Hit]:
        """Refuse a recipient whose mailbox is revoked."""
        state = mail.mailboxes.get(mail.organization.account(recipient)) if mail.mailboxes else None
        if state is not None and state.status is MailboxStatus.REVOKED:
            yield Hit(
                (Evidence("mailbox", state.status.value, state.clause),),
                recipient,
                reply=self.reply or "550 5.2.1 Mailbox is revoked\nHop thu da bi thu hoi (khoan 2 Dieu 6 QD 27/2023)",
            )

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Refuse what was revoked after this connection was told that no answer comes at RCPT."""
        if not mail.mailboxes:
            return ()
        return [hit for recipient in mail.envelope.recipients for hit in self.at_rcpt(mail, recipient)]


def _senders(mail: Mail) -> Iterable[tuple[str, str, str]]:
    if mail.envelope.login:
        yield "login", "auth_authen", mail.envelope.login
    if mail.envelope.sender and (mail.envelope.login or mail.organization.is_internal(mail.session.client_ip)):
        yield "envelope", "MAIL FROM", mail.envelope.sender


_MAILBOX = "ptp.bl@hanam.gov.vn"

EXAMPLES = (
    Example(
        "a locked login",
        Action.REJECT,
        login=_MAILBOX,
        sender=_MAILBOX,
        recipients=("a@x.vn",),
        locked=(_MAILBOX,),
    ),
    Example(
        "a locked sender without login, from our networks",
        Action.REJECT,
        client_ip="10.1.1.5",
        sender=_MAILBOX,
        recipients=("a@x.vn",),
        locked=(_MAILBOX,),
    ),
    Example("a locked mailbox receives", Action.ACCEPT, locked=(_MAILBOX,)),
    Example("a revoked mailbox does not", Action.REJECT, revoked=(_MAILBOX,)),
    Example("nor under a sub-address", Action.REJECT, recipients=("ptp.bl+a@hanam.gov.vn",), revoked=(_MAILBOX,)),
    Example(
        "one of two recipients is revoked",
        Action.ACCEPT,
        recipients=(_MAILBOX, "stttt@hanam.gov.vn"),
        revoked=(_MAILBOX,),
        finds=True,
    ),
    Example("somebody outside uses a locked address", Action.ACCEPT, sender=_MAILBOX, locked=(_MAILBOX,)),
    Example("an active mailbox sends", Action.ACCEPT, login=_MAILBOX, sender=_MAILBOX, recipients=("a@x.vn",)),
)
