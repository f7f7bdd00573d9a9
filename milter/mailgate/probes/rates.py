"""What a store counts in the time of a mail: what its login handed over of late, and advertisements (13.5)."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

from ..model import AFTER_EXPANSION, Mail, Sending, SendingLimits, legal_text, network_of
from .breaker import Breaker
from .probe import Asked, Probe


class Rates(Protocol):
    """Who counts what a login hands over, and advertisements (a store)."""

    async def sending(
        self, login: str, key: bytes, recipients: int, network: str, at: float, limits: SendingLimits
    ) -> Sending:
        """Note that a login hands a mail over; return what it handed over of late, and whether this one passes."""

    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        """Note an advertisement, and return how many of its advertiser each recipient was sent within 24 hours."""


def mail_key(mail: Mail) -> bytes:
    """Return what a mail is known by when its login hands it over again: 8 octets, of what it is and for whom."""
    digest = hashlib.sha256(_identity(mail))
    for recipient in sorted(mail.envelope.recipients):
        digest.update(b"\0" + recipient.encode("utf-8", "surrogateescape"))
    return digest.digest()[:8]


def _identity(mail: Mail) -> bytes:
    """Return what tells a mail from others, the same at each attempt: its Message-ID, else what there is.

    One that our own Postfix made, <time.queue-id@host>, is another at each attempt, and so is a Date that it added.
    """
    message_id = mail.first_header(b"message-id")
    queue_id = mail.queue_id.encode("utf-8", "surrogateescape")
    if message_id and not (queue_id and b".%b@" % queue_id in message_id):
        return message_id
    fields = mail.first_header(b"from"), mail.first_header(b"subject")
    return b"\0".join((*fields, b"%d" % mail.content.octets, mail.digest))


class SendingProbe(Probe):
    """Counts a submitted mail, and asks what its login handed over of late and whether this one passes; a store that
    is away is waited for shortly. A mail that was refused before its end does not count.

    limits: of this mail's login, None where none hold for it; then nobody is asked.
    """

    name = "sending"

    def __init__(
        self,
        rates: Rates,
        limits: Callable[[Mail], SendingLimits | None],
        seconds: Callable[[], float],
        deadline_s: float,
        breaker: Breaker | None,
    ) -> None:
        self._rates = rates
        self._limits = limits
        self._seconds = seconds
        self.deadline_s = deadline_s
        self.breaker = breaker

    def concerns(self, asked: Asked) -> bool:
        mail = asked.mail
        return bool(mail.envelope.login) and mail.session.hook not in AFTER_EXPANSION

    async def ask(self, asked: Asked) -> None:
        mail = asked.mail
        limits = self._limits(mail)
        if limits is not None:
            network, recipients = network_of(mail.session.client_ip), len(mail.envelope.recipients)
            login, key = legal_text(mail.account), mail_key(mail)
            mail.sending = await self._rates.sending(login, key, recipients, network, self._seconds(), limits)


class AdvertisedProbe(Probe):
    """Asks how many advertisements of a mail's advertiser each recipient had; while the store is away, nobody had
    any. advertiser: whose advertisement a mail is, "" for none; known once it was looked into."""

    name = "advertised"
    wave = 2

    def __init__(
        self,
        rates: Rates,
        advertiser: Callable[[Mail], str],
        seconds: Callable[[], float],
        deadline_s: float,
        breaker: Breaker | None,
    ) -> None:
        self._rates = rates
        self._advertiser = advertiser
        self._seconds = seconds
        self.deadline_s = deadline_s
        self.breaker = breaker

    def concerns(self, asked: Asked) -> bool:
        return asked.mail.inspection is not None and bool(self._advertiser(asked.mail))

    async def ask(self, asked: Asked) -> None:
        mail = asked.mail
        mailboxes = mail.identity.mailboxes
        recipients = {
            account: legal_text(account) for recipient in mail.envelope.recipients for account in mailboxes(recipient)
        }
        key = hashlib.sha256(_identity(mail)).digest()[:8]
        names, advertiser = list(dict.fromkeys(recipients.values())), legal_text(self._advertiser(mail))
        counts = await self._rates.advertised(advertiser, names, key, self._seconds())
        mail.advertised = {recipient: counts[name] for recipient, name in recipients.items()}

    def is_needed(self, mail: Mail) -> bool:
        return False
