"""DNS, asynchronously, with a cache and a deadline; while it is dead, nobody waits for it again."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

_CACHED = 10_000  # answers, each as long as its own TTL
_DEAD_S = 30.0
"""After a time-out nothing is asked for so long: mail that needs DNS waits once for a dead one, not each."""


class Resolver:
    """Answers of DNS; raises OSError where it cannot be had, and has nothing for names that are not there."""

    def __init__(self, deadline_s: float, servers: Sequence[str] = ()) -> None:
        self._deadline_s = deadline_s
        self._servers = list(servers)
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._dead_until = 0.0

    async def texts(self, name: str) -> list[bytes]:
        """Return the TXT records of a name, the strings of each joined."""
        return [b"".join(record.strings) for record in await self._ask(name, "TXT")]

    async def addresses(self, name: str, family: int) -> list[str]:
        """Return the A (family 4) or AAAA (6) records of a name."""
        return [record.address for record in await self._ask(name, "A" if family == 4 else "AAAA")]

    async def exchanges(self, name: str) -> list[str]:
        """Return the hosts of a name's MX records, the preferred first."""
        records = sorted(await self._ask(name, "MX"), key=lambda record: record.preference)
        return [record.exchange.to_text(omit_final_dot=True) for record in records]

    async def _ask(self, name: str, kind: str) -> list[Any]:
        if time.monotonic() < self._dead_until:
            raise OSError("DNS did not answer a moment ago")
        try:
            async with asyncio.timeout(self._deadline_s):
                return list(
                    await self._made().resolve(name, kind, lifetime=self._deadline_s, raise_on_no_answer=False)
                )
        except (dns.resolver.NXDOMAIN, dns.exception.SyntaxError, dns.name.LabelTooLong, dns.name.EmptyLabel):
            return []
        except (dns.exception.DNSException, OSError, TimeoutError) as error:
            if isinstance(error, dns.exception.Timeout | TimeoutError | dns.resolver.NoResolverConfiguration):
                self._dead_until = time.monotonic() + _DEAD_S
            raise OSError(f"DNS: {name} {kind}: {type(error).__name__}") from error

    def _made(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver(configure=not self._servers)
            self._resolver.cache = dns.resolver.LRUCache(_CACHED)
            if self._servers:
                places = [server.partition(":") for server in self._servers]
                self._resolver.nameservers = [
                    dns.nameserver.Do53Nameserver(host, int(port or 53)) for host, _, port in places
                ]
        return self._resolver
