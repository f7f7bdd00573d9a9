"""The services that a configuration asks: their clients, and the probes of a gate. A new service is a line in each.

A client outlives a reload that does not change its section, with its connections, what it knows and its breaker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar, cast

from .config import Settings, parse_endpoint
from .inspection.inspector import Inspector
from .inspection.pool import Pool
from .ledger.history import LATE_S
from .metrics import Metrics
from .model import Mail, SendingLimits
from .policy import Policy
from .probes.blacklists import WAIT_S, Asks, Blacklists, BlacklistsProbe
from .probes.breaker import Breaker
from .probes.clamd import ClamdProbe, Scanner, Scans, TakenProbe
from .probes.history import HistoryProbe, Past
from .probes.inspection import InspectionProbe, Looks, SiteLists
from .probes.names import Resolver
from .probes.probe import Probe
from .probes.proofs import ProofsProbe, Prover, Proves
from .probes.rates import AdvertisedProbe, Rates, SendingProbe
from .probes.rspamd import SpamEngine
from .probes.spam import Engine, SpamProbe
from .probes.spamd import Spamd

Client = TypeVar("Client")


class StoreAlive(Protocol):
    """A store that can say that it lives."""

    async def states_version(self) -> int:
        """Return any number; raises the store's error."""


class Advertising(Protocol):
    """A rule that tells whose advertisement a mail is."""

    def advertiser(self, mail: Mail) -> str:
        """Return whose advertisement this mail is, where it is to be counted (13.5), else "".

        Asked once what is inside the mail is known; how many came is in mail.advertised at the end.
        """


class SendingLimited(Protocol):
    """A rule that limits what a login hands over."""

    def limits(self, mail: Mail) -> SendingLimits | None:
        """Return the limits of this mail's login, None where none hold for it."""


@dataclass(slots=True)
class Clients:
    """Who is asked by the probes of one configuration; None for a service that it does not have."""

    settings: Settings
    pool: Pool
    scanner: Scans | None = None
    engine: Engine | None = None
    blacklists: Asks | None = None
    prover: Proves | None = None
    inspector: Looks | None = None
    breakers: dict[str, Breaker] = field(default_factory=dict)

    async def start(self) -> list[str]:
        """Start what takes a moment to start, before the first mail needs it; return what it lacks, a line each."""
        return await self.inspector.start() if isinstance(self.inspector, Inspector) else []

    def show(self, metrics: Metrics) -> None:
        """Show of whom nobody is asked now: breakers say so themselves when they open and close."""
        if isinstance(self.prover, Prover):
            silent = self.prover.silent
            metrics.set("breakers_open dns", "." in silent)
            metrics.set("dns_silent", len(silent))
        if isinstance(self.blacklists, Blacklists):
            metrics.set("blacklists_skipped", len(self.blacklists.skipped))

    def retire(self, after: "Clients") -> None:
        """End the inspection workers that the next clients do not have, as soon as they have nothing to do."""
        if after.pool is not self.pool:
            self.pool.retire()

    async def close(self, after: "Clients | None" = None) -> None:
        """Close everything, but what the clients after these have taken over."""
        if self.engine is not None and (after is None or after.engine is not self.engine):
            await self.engine.close()
        for name, breaker in self.breakers.items():
            if after is None or after.breakers.get(name) is not breaker:
                await breaker.close()
        if after is None or after.pool is not self.pool:
            await self.pool.close()


def clients_for(
    settings: Settings, policy: Policy, metrics: Metrics, store: StoreAlive | None, before: Clients | None = None
) -> Clients:
    """Return the clients of a configuration; those of the one before where their sections are the same."""

    def client(name: str, make: Callable[[], Client], *sections: str) -> Client:
        known: Client | None = None
        if before is not None and all(getattr(before.settings, each) == getattr(settings, each) for each in sections):
            known = getattr(before, name)
        return make() if known is None else known

    limits = settings.inspection_limits()
    pool = before.pool if before is not None and before.pool.limits == limits else Pool(limits)
    clients = Clients(settings, pool)
    clients.prover = client("prover", partial(_prover, settings, pool), "dns", "organization", "inspection")
    needs = {rule.NEEDS for rule in policy.rules}
    zones = settings.blacklists
    if settings.clamav.address and "clamd" in needs:
        clients.scanner = client("scanner", partial(scanner, settings), "clamav", "spool")
    if settings.spam.url and "spam" in needs:
        clients.engine = client("engine", partial(spam_engine, settings), "spam")
    if (zones.zones or zones.domain_zones) and any(rule.NAME == "spam" for rule in policy.rules):
        clients.blacklists = client("blacklists", partial(_blacklists, settings), "blacklists", "dns")
    if "inspection" in needs:
        clients.inspector = client("inspector", partial(Inspector, pool, limits, metrics.add), "inspection")
    pings = {
        "clamd": clients.scanner.ping if isinstance(clients.scanner, Scanner) else None,
        "spam": clients.engine.ping if clients.engine is not None else None,
        "store": store.states_version if store is not None else None,
    }
    for name, ping in pings.items():
        if ping is not None:
            known = before.breakers.get(name) if before is not None else None
            if known is None or known.ping != ping:  # of another client
                known = Breaker(name, ping, partial(_say, metrics, name))
            clients.breakers[name] = known
    return clients


def _say(metrics: Metrics, name: str, is_open: bool) -> None:
    metrics.set(f"breakers_open {name}", is_open)


def probes_for(
    clients: Clients,
    policy: Policy,
    past: Past,
    rates: Rates | None,
    lists: SiteLists | None,
    seconds: Callable[[], float],
) -> list[Probe]:
    """Return what a gate asks about a mail, in the order in which what is known at once is asked for."""
    settings = clients.settings
    breakers = clients.breakers
    store = breakers.get("store")
    store_s = settings.store.commit_wait_ms / 1_000
    probes: list[Probe] = [HistoryProbe(past, seconds, store_s + LATE_S, store)]
    limited = [cast(SendingLimited, rule) for rule in policy.rules if rule.NEEDS == "sending"]
    if rates is not None and limited:
        probes.append(SendingProbe(rates, limited[0].limits, seconds, store_s, store))
    if clients.inspector is not None:
        probes.append(InspectionProbe(clients.inspector, lists, settings.workers.deadline_s))
    if clients.blacklists is not None:
        probes.append(BlacklistsProbe(clients.blacklists, settings.dns.deadline_s))
    if clients.prover is not None:
        probes.append(ProofsProbe(clients.prover, policy.claims, settings.workers.deadline_s))
    if clients.scanner is not None:
        for probe in (ClamdProbe, TakenProbe):
            probes.append(probe(clients.scanner, settings.clamav.deadline_s, breakers.get("clamd")))
    if clients.engine is not None:
        probes.append(SpamProbe(clients.engine, settings.spam.deadline_s, breakers.get("spam")))
    advertising = [cast(Advertising, rule) for rule in policy.rules if hasattr(rule, "advertiser")]
    if rates is not None and advertising:
        probes.append(AdvertisedProbe(rates, partial(_advertiser, advertising), seconds, store_s, store))
    return probes


def _advertiser(rules: Sequence[Advertising], mail: Mail) -> str:
    return next(filter(None, (rule.advertiser(mail) for rule in rules)), "")


def scanner(settings: Settings) -> Scanner:
    """Return the scanner that [clamav] names."""
    section = settings.clamav
    place = parse_endpoint(section.address)
    return Scanner(place, section.deadline_s, section.concurrency, settings.spool_folder())


def spam_engine(settings: Settings) -> SpamEngine | Spamd:
    """Return the spam engine that [spam] url names: rspamd, or SpamAssassin's spamd."""
    section = settings.spam
    if section.url.startswith("spamd:"):
        return Spamd(section.url, section.deadline_s, section.reject_score)
    return SpamEngine(section.url, section.deadline_s, section.password)


def _blacklists(settings: Settings) -> Blacklists:
    section, dns = settings.blacklists, settings.dns
    make = partial(Resolver, min(dns.deadline_s, WAIT_S), dns.servers)
    return Blacklists(section.zones, section.domain_zones, make)


def _prover(settings: Settings, pool: Pool) -> Prover:
    dns = settings.dns
    trusted = (*settings.organization.domains, *settings.organization.state_domains)
    return Prover(dns.deadline_s, dns.servers, pool, trusted, pool.limits.cpu_s)
