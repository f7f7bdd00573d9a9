"""A mail as the mechanisms read it: who wrote and sends it, to whom, and where it was delivered before.

Each is read once, and in time linear in the header.
"""

import re
from collections.abc import Iterator
from functools import cached_property

from ..identity.spelling import domain_of
from ..mime.fields import decode_words
from ..model import Mail
from ..text.addresses import Spoken, listed_in, mailboxes_in, spoken_of
from ..text.received import received_for

# How mail programs begin the subject of what a person, or a rule of Exchange, forwards, in the language of the
# mailbox. Not among them is Swedish VB:, which begins the number of a document here (văn bản).
_FORWARDED = re.compile(
    r"\s*(?:\[fwd:|"
    r"(?:fwd?|fw|chuyển tiếp|chuyen tiep|wg|tr|rv|enc|i|vs|doorst|pd|ilt|i̇lt|πρθ|пересл|转发|轉寄|전달)\s?[:\uff1a])",
    re.IGNORECASE,
)
_LONGEST_START = 1_000  # octets of a subject, encoded words among them, in which its first word stands

# What cleanup(8) of Postfix, and sendmail, give a mail that came without a Resent-Message-ID. Mutt's look the same,
# but for GA1234.
_OF_THE_MTA = re.compile(rb"<\d{12}(?:\d\d)?\.(?!G[A-Z]\d+@)[0-9A-Za-z]{4,24}@[^<>@\s]+>")


class Letter:
    """One mail, and what its header says of people; mailboxes are canonical."""

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.identity = mail.identity

    def first(self, name: bytes) -> bytes:
        """Return the first field of this name, stripped, b"" when there is none."""
        return self.mail.first_header(name)

    def has(self, *names: bytes) -> bool:
        """Tell whether there is any of these fields."""
        return any(name in self.mail.fields for name in names)

    def named_in(self, name: bytes) -> Iterator[tuple[bytes, list[str]]]:
        """Yield each field of this name with the mailboxes that stand in it."""
        for value in self.mail.header_values(name):
            yield value, mailboxes_in(value)

    # -- who ----------------------------------------------------------------------------------

    @cached_property
    def authors(self) -> tuple[str, ...]:
        """The mailboxes of From."""
        return listed_in(self.first(b"from"))

    @cached_property
    def author_domains(self) -> frozenset[str]:
        """Their domains."""
        return frozenset(map(domain_of, self.authors))

    @cached_property
    def _author_accounts(self) -> frozenset[str]:
        return frozenset(map(self.identity.account, self.authors))

    def is_by(self, mailbox: str) -> bool:
        """Tell whether a mailbox is an author's."""
        return self.identity.account(mailbox) in self._author_accounts

    @cached_property
    def spoken(self) -> Spoken:
        """What the envelope sender says beside itself."""
        return spoken_of(self.mail.envelope.sender)

    @cached_property
    def sender(self) -> str:
        """The envelope sender, without BATV."""
        return self.spoken.named if self.spoken.scheme == "batv" else self.mail.envelope.sender

    @cached_property
    def hander(self) -> str:
        """The mailbox that hands the mail over: the login's, else the envelope sender."""
        return self.mail.account if self.mail.envelope.login else self.identity.account(self.sender)

    def is_from_host_of(self, *domains: str) -> bool:
        """Tell whether the client is a host of one of these domains, by its name as the MTA verified it."""
        name = self.mail.session.client_name.lower().rstrip(".")
        return any(name == domain or name.endswith(f".{domain}") for domain in domains)

    # -- to whom ------------------------------------------------------------------------------

    @cached_property
    def _recipients(self) -> frozenset[str]:
        return frozenset(map(self.identity.account, self.mail.envelope.recipients))

    def is_recipient(self, mailbox: str) -> bool:
        """Tell whether this is a recipient's mailbox, however it was addressed."""
        return self.identity.account(mailbox) in self._recipients

    @cached_property
    def addressed(self) -> frozenset[str]:
        """The mailboxes of To and Cc, and of Resent-To and Resent-Cc."""
        account = self.identity.account
        return frozenset(
            account(mailbox) for name in _ADDRESSEES for _, boxes in self.named_in(name) for mailbox in boxes
        )

    @cached_property
    def is_resent_to_them(self) -> bool:
        """Tell whether Resent-To or Resent-Cc names a recipient: the redirect by hand is the last hop."""
        named = (
            mailbox for name in (b"resent-to", b"resent-cc") for _, boxes in self.named_in(name) for mailbox in boxes
        )
        return any(map(self.is_recipient, named))

    @cached_property
    def unaddressed(self) -> tuple[str, ...]:
        """The recipients whom none of these names; () where no mailbox stands there."""
        if not self.addressed:
            return ()
        account = self.identity.account
        return tuple(one for one in self.mail.envelope.recipients if account(one) not in self.addressed)

    @cached_property
    def delivered_for(self) -> str:
        """The mailbox for which the newest Received line with `for` was written, where it is not the one recipient.

        "" where there are several recipients: a line names one of them at the most.
        """
        if len(self._recipients) != 1:
            return ""
        for value in self.mail.header_values(b"received"):
            mailbox = received_for(value)
            if mailbox:
                return "" if self.is_recipient(mailbox) else mailbox
        return ""

    @property
    def is_addressed(self) -> bool:
        """Tell whether the mail was written to all of its recipients: that it was to others, too, says nothing."""
        return bool(self.addressed) and not self.unaddressed

    # -- what it is ---------------------------------------------------------------------------

    @cached_property
    def is_forward_by_subject(self) -> bool:
        """Tell whether the subject begins as that of a forwarded mail."""
        return bool(_FORWARDED.match(decode_words(self.first(b"subject")[:_LONGEST_START])))

    @cached_property
    def says_forwarded(self) -> bool:
        """Tell whether the mail says of itself that a program forwarded it (RFC 3834 section 5)."""
        return self.first(b"auto-submitted").lower().startswith(b"auto-forwarded") or (
            self.first(b"x-ms-exchange-organization-autoforwarded").lower() == b"true"
        )

    @cached_property
    def is_answer(self) -> bool:
        """Tell whether a program says that it answers (RFC 3834, RFC 5436)."""
        return self.first(b"auto-submitted").lower().startswith((b"auto-replied", b"auto-notified"))

    @cached_property
    def is_report(self) -> bool:
        """Tell whether this is a report on delivery or reading (RFC 3464, RFC 8098)."""
        kind = self.first(b"content-type").lower()
        envelope = self.mail.envelope
        is_report = kind.startswith((b"multipart/report", b"message/delivery-status"))
        return is_report and (not envelope.sender or bool(envelope.login) or b"disposition-notification" in kind)

    @cached_property
    def is_addressed_answer(self) -> bool:
        """Tell whether this is an answer or a report, and written to all of its recipients: nobody sent it on."""
        is_about = self.has(b"in-reply-to", b"x-ms-exchange-parent-message-id") and self.has(b"auto-submitted")
        return (self.is_answer or self.is_report or is_about) and self.is_addressed

    @cached_property
    def resenders(self) -> tuple[str, ...]:
        """The mailboxes of Resent-From, where a person's program gave the redirect an identity (RFC 5322, 3.6.6)."""
        return resenders_of(self.mail)


def resenders_of(mail: Mail) -> tuple[str, ...]:
    """Return the mailboxes of Resent-From of a mail that a person redirects, () where a rule does.

    A person's program writes Resent-Message-ID. So does an MTA, for what a client hands over with any Resent-* field
    and without one (local_header_rewrite_clients of Postfix), by time and queue id.
    """
    if b"resent-message-id" not in mail.fields or _OF_THE_MTA.fullmatch(mail.first_header(b"resent-message-id")):
        return ()
    return tuple(mailboxes_in(mail.first_header(b"resent-from")[:_LONGEST_FIELD]))


_ADDRESSEES = (b"to", b"cc", b"resent-to", b"resent-cc")
_LONGEST_FIELD = 8_192  # octets of an address field that are looked at
