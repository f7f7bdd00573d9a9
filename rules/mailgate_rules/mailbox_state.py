"""Locked and revoked mailboxes (clauses 7.1 and 6.2), and addresses that lead to none.

A locked mailbox (tạm khóa) does not send, and still receives; a revoked one (thu hồi) does neither. A mailbox sends
when it logs in, at whatever port, and when one of its addresses is the envelope sender of a client of our own
networks, or, of such a client's mail from the null sender, the From. An alias is judged by the mailboxes behind it:
what all of them may not, it may not; a group that a revoked mailbox is one of is delivered, and recorded, so that
somebody takes the mailbox out of it.

An address that no rule resolves (identity.rewriting) is refused: what it means, the MTA behind might find out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailgate.model import Action, Evidence, Mail, MailboxState, MailboxStatus
from mailgate.rule import Example, Hit, RuleStanza
from mailgate.text.addresses import listed_in

_LONGEST_SHOWN = 200  # of an address, in evidence
_UNCLEAR = "Address is not clear, write LOCAL@DOMAIN\nDia chi khong ro rang"


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.mailbox-state]; it has none beside the common ones."""

    NAME = "mailbox-state"
    CLAUSE = "QD27/2023 7.1, 6.2"
    REPLY = "550 5.7.1 This mailbox is not active"
    NEEDS = "mailboxes"

    def at_mail(self, mail: Mail) -> Iterable[Hit]:
        """Refuse a sender whose mailbox is locked or revoked, and one who is nobody."""
        envelope = mail.envelope
        if envelope.sender and not mail.identity.is_clear(envelope.sender):
            sender = Evidence("envelope", "MAIL FROM", envelope.sender[:_LONGEST_SHOWN])
            return [Hit((sender, _NO_MAILBOX), reply=self.reply or f"553 5.1.7 Sender: {_UNCLEAR}")]
        return self._look(mail, mail.mailboxes, _senders(mail)) if mail.mailboxes else ()

    def _look(
        self, mail: Mail, mailboxes: Mapping[str, MailboxState], senders: Iterable[tuple[str, str, str]]
    ) -> Iterator[Hit]:
        for kind, name, mailbox in senders:
            states = [mailboxes.get(each) for each in _owners(mail, mailbox)]
            if states and all(states):
                worst = states[0]
                assert worst is not None
                is_locked = worst.status is MailboxStatus.LOCKED
                yield Hit(
                    (Evidence(kind, name, mailbox), Evidence("mailbox", worst.status.value, worst.clause)),
                    reply=self.reply
                    or (
                        "550 5.7.1 Sending mailbox is locked\n"
                        "Hop thu gui dang bi tam khoa (khoan 1 Dieu 7 QD 27/2023)"
                        if is_locked
                        else "550 5.7.1 Sending mailbox is revoked\n"
                        "Hop thu gui da bi thu hoi (khoan 2 Dieu 6 QD 27/2023)"
                    ),
                    mailboxes=(worst.address,),
                )
                return

    def speaks_at_rcpt(self, mailboxes: Mapping[str, MailboxState]) -> bool:
        """Tell whether any mailbox is revoked; what is not clear is seen at the end."""
        return any(state.status is MailboxStatus.REVOKED for state in mailboxes.values())

    def at_rcpt(self, mail: Mail, recipient: str) -> Iterable[Hit]:
        """Refuse a recipient whose mailboxes are revoked, and one who is nobody."""
        if not mail.identity.is_clear(recipient):
            shown = Evidence("envelope", "RCPT TO", recipient[:_LONGEST_SHOWN])
            return [Hit((shown, _NO_MAILBOX), recipient, reply=self.reply or f"553 5.1.3 Recipient: {_UNCLEAR}")]
        if not mail.mailboxes or not mail.organization.is_official(recipient):
            return ()
        account = mail.identity.account(recipient)
        behind = (account,) if account in mail.mailboxes else mail.identity.mailboxes(recipient)
        states = [mail.mailboxes.get(mailbox) for mailbox in behind]
        revoked = [state for state in states if state is not None and state.status is MailboxStatus.REVOKED]
        if not revoked:
            return ()
        is_whole = len(revoked) == len(states)
        pieces = [Evidence("mailbox", state.status.value, state.clause, hard=is_whole) for state in revoked[:1]]
        if len(states) > 1 or revoked[0].address != recipient:
            named = ", ".join(state.address for state in revoked[:_MOST_NAMED])
            pieces.append(Evidence("alias", recipient[:_LONGEST_SHOWN], named, hard=is_whole))
        reply = self.reply or "550 5.2.1 Mailbox is revoked\nHop thu da bi thu hoi (khoan 2 Dieu 6 QD 27/2023)"
        named_mailboxes = tuple(state.address for state in revoked[:_MOST_NAMED])
        return [Hit(tuple(pieces), recipient, reply=reply, mailboxes=named_mailboxes)]

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Refuse what was revoked after this connection was told that no answer comes at RCPT, and who writes from
        the null sender."""
        hits = [hit for recipient in mail.envelope.recipients for hit in self.at_rcpt(mail, recipient)]
        if mail.mailboxes and not mail.envelope.sender and _is_of_our_networks(mail):
            hits += self._look(mail, mail.mailboxes, _authors(mail))
        return hits


_MOST_NAMED = 10
_NO_MAILBOX = Evidence("mailbox", "unclear", "leads to no mailbox")


def _owners(mail: Mail, address: str) -> tuple[str, ...]:
    """Return the mailboxes whose address this is: one, or all that are behind an alias of several."""
    return mail.identity.owners(mail.identity.account(address))


def _is_of_our_networks(mail: Mail) -> bool:
    return not mail.envelope.login and mail.organization.is_internal(mail.session.client_ip)


def _senders(mail: Mail) -> Iterator[tuple[str, str, str]]:
    if mail.envelope.login:
        yield "login", "auth_authen", mail.envelope.login
    if mail.envelope.sender and (mail.envelope.login or _is_of_our_networks(mail)):
        yield "envelope", "MAIL FROM", mail.envelope.sender


def _authors(mail: Mail) -> Iterator[tuple[str, str, str]]:
    """Yield who writes a mail from the null sender: an absence reply has its mailbox there alone."""
    for value in mail.header_values(b"from"):
        for mailbox in listed_in(value):
            yield "header", "From", mail.identity.typed(mailbox.encode("utf-8", "surrogateescape"))


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
    Example(
        "a locked mailbox's absence reply, from the null sender of our networks",
        Action.REJECT,
        b"From: ptp.bl@hanam.gov.vn\r\nAuto-Submitted: auto-replied\r\n\r\nVang mat.\r\n",
        client_ip="10.1.1.5",
        sender="",
        recipients=("a@x.vn",),
        locked=(_MAILBOX,),
    ),
    Example(
        "a report of our mail system to a locked mailbox's author",
        Action.ACCEPT,
        b"From: MAILER-DAEMON@hanam.gov.vn\r\n\r\nx\r\n",
        client_ip="10.1.1.5",
        sender="",
        recipients=("a@x.vn",),
        locked=(_MAILBOX,),
    ),
    Example("a locked login at port 25", Action.REJECT, hook="mx", login=_MAILBOX, sender="", locked=(_MAILBOX,)),
    Example("completed by the mail system", Action.REJECT, recipients=("ptp.bl",), revoked=(_MAILBOX,)),
    Example("with a route in it", Action.REJECT, recipients=("ptp.bl%hanam.gov.vn",), revoked=(_MAILBOX,)),
    Example("a recipient without a name", Action.REJECT, recipients=("@hanam.gov.vn",)),
    Example("a route through a domain of ours", Action.REJECT, recipients=("lan%gmail.com@hanam.gov.vn",)),
    Example("the same in somebody else's domain", Action.ACCEPT, recipients=("lan%gmail.com@x.vn",)),
    Example("a sender without a domain's name", Action.REJECT, sender="a@"),
    Example("an active mailbox sends", Action.ACCEPT, login=_MAILBOX, sender=_MAILBOX, recipients=("a@x.vn",)),
)
