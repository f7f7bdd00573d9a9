"""DNS, asynchronously: answers within a deadline, kept for as long as they may be and within a bound of octets.

A name that a mail makes us ask for is mostly a stranger's, and so is the server that has to answer for it. A server
that does not answer is therefore the trouble of its own domain (CarefulResolver): that domain is not asked for some
seconds, and no other notices. That DNS as a whole is dead is concluded from names alone that no stranger chooses.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.resolver
import structlog

from ..text.organisational import organisational

log = structlog.get_logger()

_KEPT_OCTETS = 8_388_608  # of all answers: some 20,000
_LARGEST_KEPT = 16_384  # octets of one; a key of RSA 4096 has 800, the longest records of SPF 4,000
_ENTRY_OCTETS = 400  # what Python takes for an entry beside its text
_ITEM_OCTETS = 60
_LONGEST_KEPT_S = 86_400  # whatever the answer says
_MOST_HOPS = 8  # of a chain of CNAME, where a server leaves it to us
_LONGEST_NAME = 253  # RFC 1035 section 2.3.4: 255 octets on the wire

_SILENT_S = 10.0
"""For so long a domain whose server was silent is not asked again: mail that needs it waits once, not each."""
_MOST_SILENT = 1_000  # domains remembered; names of 253 octets at the most
_SLOW_S = 1.0  # a failure that took so long is silence too: it costs the next mail the same
_AGAIN_S = 1.0  # between two looks whether a dead DNS is back
_TRUSTED_ASKED = 2  # of our own domains, when it is looked whether DNS is alive

Question = tuple[str, str]
Answer = tuple[Any, ...]


class Silence(OSError):
    """No answer of any kind came in time."""


class Resolver:
    """Answers of DNS; raises OSError where none can be had, and has nothing for names that are not there."""

    def __init__(self, deadline_s: float, servers: Sequence[str] = ()) -> None:
        self._deadline_s = deadline_s
        self._servers = list(servers)
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._kept = _Answers()

    async def texts(self, name: str) -> list[bytes]:
        """Return the TXT records of a name, the strings of each joined."""
        return list(await self._ask(name, "TXT"))

    async def addresses(self, name: str, family: int) -> list[str]:
        """Return the A (family 4) or AAAA (6) records of a name."""
        return list(await self._ask(name, _address_kind(family)))

    async def exchanges(self, name: str) -> list[str]:
        """Return the hosts of a name's MX records, the preferred first."""
        return list(await self._ask(name, "MX"))

    async def pointers(self, name: str) -> list[str]:
        """Return the names of a name's PTR records."""
        return list(await self._ask(name, "PTR"))

    def known_addresses(self, name: str, family: int) -> list[str] | None:
        """Return what `addresses` would without asking anybody, None where that is not known."""
        kept = self._kept.get((name.lower(), _address_kind(family)))
        return None if kept is None else list(kept)

    async def is_answered(self, name: str, kind: str, deadline_s: float, or_failed: bool = False) -> bool:
        """Tell whether a name is answered for now, be it that there is none; what is kept does not count.

        or_failed: also a server that says that it fails is an answer.
        """
        absolute = dns.name.root if name == "." else _absolute(name)
        if absolute is None:
            return False
        try:
            async with asyncio.timeout(deadline_s):
                await self._query(absolute, kind, deadline_s)
        except dns.resolver.NXDOMAIN:
            return True
        except dns.resolver.NoNameservers as error:
            return or_failed and any(response is not None for *_, response in error.kwargs["errors"])
        except (dns.exception.DNSException, OSError, TimeoutError):
            return False
        return True

    async def _ask(self, name: str, kind: str) -> Answer:
        absolute = _absolute(name)
        if absolute is None:
            return ()
        question = (name.lower(), kind)
        kept = self._kept.get(question)
        return await self._ask_server(question, absolute) if kept is None else kept

    async def _ask_server(self, question: Question, absolute: dns.name.Name) -> Answer:
        """Return an answer that is not known, and keep it."""
        kind = question[1]
        started = time.monotonic()
        try:
            answer, keep_s = await self._answer(absolute, kind)
        except (dns.exception.DNSException, OSError, TimeoutError) as error:
            is_silent = isinstance(error, dns.exception.Timeout | TimeoutError)
            failure = Silence if is_silent or time.monotonic() - started > _SLOW_S else OSError
            raise failure(f"DNS: {absolute.to_text(True)} {kind}: {type(error).__name__}") from error
        self._kept.put(question, answer, keep_s)
        return answer

    async def _answer(self, name: dns.name.Name, kind: str) -> tuple[Answer, float]:
        """Return what a name has, and for how many seconds that holds."""
        keep_s = float(_LONGEST_KEPT_S)
        async with asyncio.timeout(self._deadline_s):
            for _ in range(_MOST_HOPS):
                try:
                    found = await self._query(name, kind, self._deadline_s)
                except dns.resolver.NXDOMAIN as error:
                    responses = error.kwargs["responses"].values()
                    return (), min([keep_s, *(one.resolve_chaining().minimum_ttl for one in responses)])
                chain = found.chaining_result
                keep_s = min(keep_s, chain.minimum_ttl)
                if chain.answer is not None:
                    return _READERS[kind](chain.answer), keep_s
                if chain.canonical_name == name:
                    return (), keep_s
                name = chain.canonical_name
        raise dns.message.ChainTooLong

    async def _query(self, name: dns.name.Name, kind: str, lifetime_s: float) -> dns.resolver.Answer:
        return await self._made().resolve(name, kind, lifetime=lifetime_s, raise_on_no_answer=False)

    def _made(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver(configure=not self._servers)
            if self._servers:
                places = [server.partition(":") for server in self._servers]
                self._resolver.nameservers = [
                    dns.nameserver.Do53Nameserver(host, int(port or 53)) for host, _, port in places
                ]
            # A datagram that is lost, or a server that is, leaves time for another.
            self._resolver.timeout = self._deadline_s / max(2, len(self._resolver.nameservers))
        return self._resolver


class CarefulResolver(Resolver):
    """A resolver of names that strangers choose; what is kept is told even while servers are silent.

    trusted: domains whose names, and those below them, no stranger can make silent: our own first, then those of
    state bodies. A silent name there is remembered alone, elsewhere with its whole organisational domain. DNS is
    taken for dead once a question had no answer, nothing else had one meanwhile, and neither our own domains nor the
    root have; then nothing is asked but these, each second, until one of them answers.
    """

    def __init__(self, deadline_s: float, servers: Sequence[str] = (), trusted: Sequence[str] = ()) -> None:
        super().__init__(deadline_s, servers)
        self._trusted = tuple(trusted)
        self._silent: OrderedDict[str, float] = OrderedDict()  # zone to when it may be asked again
        self._is_dead = False
        self._looked_at = -_AGAIN_S
        self._answered_at = 0.0
        self._look: asyncio.Task[None] | None = None

    @property
    def silent(self) -> list[str]:
        """Return the domains that are not asked now, "." where all of DNS is dead."""
        now = time.monotonic()
        return [*(["."] if self._is_dead else []), *(zone for zone, until in self._silent.items() if until > now)]

    async def _ask_server(self, question: Question, absolute: dns.name.Name) -> Answer:
        if self._is_dead:
            self._look_soon()
            raise Silence("DNS: nothing answers")
        zone = self._zone(question[0])
        if self._silent.get(zone, 0.0) > time.monotonic():
            raise Silence(f"DNS: {zone} did not answer a moment ago")
        # Early enough that it is known before this question's time is over, so that the next mail need not wait.
        suspicion = asyncio.get_running_loop().call_later(self._deadline_s / 4, self._look_soon)
        try:
            answer = await super()._ask_server(question, absolute)
        except Silence:
            self._remember(zone)
            raise
        finally:
            suspicion.cancel()
        self._answered_at = time.monotonic()
        if self._silent.pop(zone, None) is not None:
            log.info("DNS answers again", zone=zone)
        return answer

    def _zone(self, name: str) -> str:
        """Return whose silence this name's is."""
        if any(name == domain or name.endswith("." + domain) for domain in self._trusted):
            return name
        return organisational(name)

    def _remember(self, zone: str) -> None:
        if zone not in self._silent:
            log.warning("DNS is silent", zone=zone, skipped_s=_SILENT_S)
        self._silent[zone] = time.monotonic() + _SILENT_S
        self._silent.move_to_end(zone)
        if len(self._silent) > _MOST_SILENT:
            self._silent.popitem(last=False)

    def _look_soon(self) -> None:
        """Look whether DNS answers at all, unless somebody does or did just now."""
        if self._look is None and time.monotonic() - self._looked_at >= min(_AGAIN_S, self._deadline_s):
            self._looked_at = time.monotonic()
            self._look = asyncio.get_running_loop().create_task(self._look_now())

    async def _look_now(self) -> None:
        try:
            asked = [*((domain, "SOA") for domain in self._trusted[:_TRUSTED_ASKED]), (".", "NS")]
            answers = (self.is_answered(name, kind, self._deadline_s / 2, or_failed=True) for name, kind in asked)
            is_dead = not any(await asyncio.gather(*answers)) and self._answered_at < self._looked_at
        finally:
            self._look = None
        if is_dead and not self._is_dead:
            log.warning("DNS is dead", zone=".")
        elif self._is_dead and not is_dead:
            self._silent.clear()  # it was not theirs
            log.info("DNS answers again", zone=".")
        self._is_dead = is_dead


class _Answers:
    """Answers until they are too old, bounded by their octets; the least asked for goes first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Question, tuple[float, Answer, int]] = OrderedDict()
        self._octets = 0

    def get(self, question: Question) -> Answer | None:
        entry = self._entries.get(question)
        if entry is None:
            return None
        if entry[0] <= time.monotonic():
            self._drop(question)
            return None
        self._entries.move_to_end(question)
        return entry[1]

    def put(self, question: Question, answer: Answer, keep_s: float) -> None:
        octets = sum(map(len, answer))
        if octets > _LARGEST_KEPT or keep_s <= 0:
            return
        octets += _ENTRY_OCTETS + len(question[0]) + _ITEM_OCTETS * len(answer)
        self._drop(question)
        self._entries[question] = (time.monotonic() + keep_s, answer, octets)
        self._octets += octets
        while self._octets > _KEPT_OCTETS:
            self._drop(next(iter(self._entries)))

    def _drop(self, question: Question) -> None:
        if entry := self._entries.pop(question, None):
            self._octets -= entry[2]


def _absolute(name: str) -> dns.name.Name | None:
    """Return a name as it is asked for, None for what is none: it is never asked, nor kept.

    Not by dns.name.from_text, to which a backslash or an at sign say something.
    """
    if len(name) > _LONGEST_NAME or not name.isascii() or not name.isprintable():
        return None
    try:
        return dns.name.Name([*name.encode().split(b"."), b""])
    except dns.exception.DNSException:
        return None


def _address_kind(family: int) -> str:
    return "A" if family == 4 else "AAAA"


def _target(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


_READERS: dict[str, Callable[[Iterable[Any]], Answer]] = {
    "TXT": lambda records: tuple(b"".join(record.strings) for record in records),
    "A": lambda records: tuple(record.address for record in records),
    "AAAA": lambda records: tuple(record.address for record in records),
    "MX": lambda records: tuple(
        _target(record.exchange) for record in sorted(records, key=lambda record: record.preference)
    ),
    "PTR": lambda records: tuple(_target(record.target) for record in records),
}
