"""What a store counts in the time of a mail: what its login handed over of late, and advertisements (13.5)."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

from ..model import AFTER_EXPANSION, Mail, Sending, legal_text, network_of
from .breaker import Breaker
from .probe import Asked, Probe


class Rates(Protocol):
    """Who counts what a login hands over, and advertisements (a store)."""

    async def sending(self, login: str, recipients: int, network: str, at: float) -> Sending:
        """Note that a login hands a mail over, from this client network, and return what it handed over of late."""

    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        """Note an advertisement, and return how many of its advertiser each recipient was sent within 24 hours."""


class SendingProbe(Probe):
    """Counts a submitted mail, and asks what its login handed over of late; a store that is away is waited for
    shortly. A mail that was refused before its end does not count."""

    name = "sending"

    def __init__(
        self, rates: Rates, seconds: Callable[[], float], deadline_s: float, breaker: Breaker | None
    ) -> None:
        self._rates = rates
        self._seconds = seconds
        self.deadline_s = deadline_s
        self.breaker = breaker

    def concerns(self, asked: Asked) -> bool:
        mail = asked.mail
        return bool(mail.envelope.login) and mail.session.hook not in AFTER_EXPANSION

    async def ask(self, asked: Asked) -> None:
        mail = asked.mail
        network, recipients = network_of(mail.session.client_ip), len(mail.envelope.recipients)
        mail.sending = await self._rates.sending(legal_text(mail.account), recipients, network, self._seconds())


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
        identity = mail.first_header(b"message-id") or mail.queue_id.encode("utf-8", "replace")
        key = hashlib.sha256(identity).digest()[:8]
        names, advertiser = list(dict.fromkeys(recipients.values())), legal_text(self._advertiser(mail))
        counts = await self._rates.advertised(advertiser, names, key, self._seconds())
        mail.advertised = {recipient: counts[name] for recipient, name in recipients.items()}

    def is_needed(self, mail: Mail) -> bool:
        return False
