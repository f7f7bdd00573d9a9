"""DNS blacklists (RFC 5782; decree 91/2020 articles 3.6 and 8.2): is who sends a mail listed?

Asked of mail that comes from outside alone. A zone that does not answer lists nobody: that spam passes does less harm
than that a mail system stands still. It costs one mail a second; then it is skipped, for all mails, until it answers
a question that no mail waits for.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from ..identity.spelling import domain_of
from ..model import Listing, Mail
from .names import Resolver, Silence
from .probe import Asked, Probe

log = structlog.get_logger()

WAIT_S = 1.0  # of one mail, for all zones together
_AGAIN_S = 5.0  # between two questions to a zone that is skipped
_ADDRESS_ENTRY, _DOMAIN_ENTRY = "2.0.0.127", "test"  # RFC 5782 section 5: what every zone lists, to be tried with


@dataclass(slots=True, eq=False)
class _Zone:
    """A zone. entry: what it is tried with. asked_at: when it was last looked at while it is skipped."""

    name: str
    entry: str
    is_skipped: bool = False
    asked_at: float = 0.0


class Blacklists:
    """The zones of one configuration: of addresses, and of domains."""

    def __init__(self, zones: Sequence[str], domain_zones: Sequence[str], resolver: Callable[[], Resolver]) -> None:
        self._zones = [_Zone(zone, _ADDRESS_ENTRY) for zone in zones]
        self._domain_zones = [_Zone(zone, _DOMAIN_ENTRY) for zone in domain_zones]
        self._names = resolver()
        self._looks: set[asyncio.Task[None]] = set()

    @property
    def skipped(self) -> list[str]:
        """Return the zones that are not asked now."""
        return [zone.name for zone in (*self._zones, *self._domain_zones) if zone.is_skipped]

    async def ask(self, mail: Mail) -> None:
        """Fill in the zones that list the client, or the domain of the envelope sender.

        Raises OSError where a zone answered with an error; the others are filled in then too.
        """
        questions = list(self._questions(mail))
        answers = await asyncio.gather(
            *(self._listed(zone, f"{what}.{zone.name}") for zone, _, what in questions), return_exceptions=True
        )
        listings = []
        failures = []
        for (zone, name, _), found in zip(questions, answers, strict=True):
            if isinstance(found, BaseException):
                failures.append(found)
            else:
                listings += [Listing(zone.name, name, answer) for answer in sorted(filter(_is_listing, found))[:1]]
        mail.listings = listings
        if failures:
            raise failures[0]

    def _questions(self, mail: Mail) -> Iterator[tuple[_Zone, str, str]]:
        """Yield each zone, who it is asked for, and how he is written in a question."""
        client = mail.session.client_ip
        if reverse := reversed_address(client):
            yield from ((zone, client, reverse) for zone in self._zones)
        domain = domain_of(mail.envelope.sender)
        if domain and domain.isascii():
            yield from ((zone, domain, domain) for zone in self._domain_zones)

    async def _listed(self, zone: _Zone, name: str) -> list[str]:
        known = self._names.known_addresses(name, 4)
        if known is not None:
            return known
        if zone.is_skipped:
            self._look_soon(zone)
            return []
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._names.addresses(name, 4)
        except (Silence, TimeoutError):
            self._skip(zone)
            return []

    def _skip(self, zone: _Zone) -> None:
        if not zone.is_skipped:
            zone.is_skipped, zone.asked_at = True, time.monotonic()
            log.warning("DNS blacklist is silent, and skipped", zone=zone.name)

    def _look_soon(self, zone: _Zone) -> None:
        """Ask a zone that is skipped whether it answers again, on nobody's time."""
        if time.monotonic() - zone.asked_at < _AGAIN_S:
            return
        zone.asked_at = time.monotonic()
        look = asyncio.get_running_loop().create_task(self._look(zone))
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    async def _look(self, zone: _Zone) -> None:
        if await self._names.is_answered(f"{zone.entry}.{zone.name}", "A", WAIT_S):
            zone.is_skipped = False
            log.info("DNS blacklist answers again", zone=zone.name)


def _is_listing(answer: str) -> bool:
    """Tell whether an answer lists; RFC 5782 section 2.1: 127/8. By 127.255.255.* Spamhaus says: asked wrongly."""
    return answer.startswith("127.") and not answer.startswith("127.255.255.")


def reversed_address(address: str) -> str:
    """Return an IP address as a blacklist is asked for it (RFC 5782 sections 2.1 and 2.4), "" for none.

    >>> reversed_address("192.0.2.99")
    '99.2.0.192'
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])  # without the zone of a link-local address (RFC 4007)
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


class BlacklistsProbe(Probe):
    """Asks of mail from outside; what does not answer lists nobody."""

    name = "blacklists"

    def __init__(self, blacklists: "Asks", deadline_s: float) -> None:
        self._blacklists = blacklists
        self.deadline_s = deadline_s

    def concerns(self, asked: Asked) -> bool:
        return not asked.mail.is_ours

    async def ask(self, asked: Asked) -> None:
        await self._blacklists.ask(asked.mail)

    def is_needed(self, mail: Mail) -> bool:
        return False


class Asks(Protocol):
    """Who asks blacklists (Blacklists)."""

    async def ask(self, mail: Mail) -> None:
        """Fill in who lists the sender; raises OSError where a zone answered with an error."""
