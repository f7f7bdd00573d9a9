"""DNS blacklists (RFC 5782; decree 91/2020 articles 3.6 and 8.2): is who sends a mail listed?

Asked of mail that comes from outside alone. While DNS cannot be asked, nobody is listed: that spam passes does less
harm than that a mail system stands still.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence

from ..model import Listing, Mail, domain_of
from .names import Resolver


class Blacklists:
    """The zones of one configuration: of addresses, and of domains.

    Each has a resolver of its own, so that a zone that is dead silences no other.
    """

    def __init__(self, zones: Sequence[str], domain_zones: Sequence[str], resolver: Callable[[], Resolver]) -> None:
        self._zones = {zone: resolver() for zone in zones}
        self._domain_zones = {zone: resolver() for zone in domain_zones}

    async def ask(self, mail: Mail) -> None:
        """Fill in the zones that list the client, or the domain of the envelope sender.

        Raises OSError where a zone gave no answer; the others are filled in then too.
        """
        questions: list[tuple[str, str, Awaitable[list[str]]]] = []
        reverse = reversed_address(mail.session.client_ip)
        if reverse:
            for zone, resolver in self._zones.items():
                questions.append((zone, mail.session.client_ip, resolver.addresses(f"{reverse}.{zone}", 4)))
        domain = domain_of(mail.envelope.sender)
        if domain and domain.isascii():
            for zone, resolver in self._domain_zones.items():
                questions.append((zone, domain, resolver.addresses(f"{domain}.{zone}", 4)))
        answers = await asyncio.gather(*(question for _, _, question in questions), return_exceptions=True)
        listings = []
        failures = []
        for (zone, name, _), found in zip(questions, answers, strict=True):
            if isinstance(found, BaseException):
                failures.append(found)
            else:
                listings += [Listing(zone, name, answer) for answer in sorted(filter(_is_listing, found))[:1]]
        mail.listings = listings
        if failures:
            raise failures[0]


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
