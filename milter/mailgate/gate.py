"""judge(mail): all waiting, deadlines and failure policy, in one place; it never raises.

Facts are asked for concurrently under one deadline, the policy decides, the incident is on disk and
the events are with the ledger before the verdict is returned. An error of our own is 451 4.3.0, a
traceback in the log and an incident, never an accept.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog

from . import logs
from .activity import activity_events
from .config import TIME_ZONE, Settings
from .incidents.record import error_record, is_recorded, mail_record, new_case, with_case
from .incidents.repeats import Repeats
from .inspection.inspector import Inspector
from .inspection.pool import Pool
from .ledger.history import LATE_S
from .ledger.store import StoreError
from .metrics import Metrics
from .mime.transfer import decoder_for
from .mime.walker import Leaf
from .model import (
    AFTER_EXPANSION,
    Action,
    ActivityEvent,
    Attachment,
    Exemption,
    Finding,
    Inspection,
    Lists,
    Mail,
    Mode,
    Noted,
    Sending,
    Spotted,
    Text,
    Trace,
    Verdict,
    network_of,
    was_judged,
)
from .policy import Policy
from .probes.blacklists import WAIT_S, Blacklists
from .probes.clamd import Scanner
from .probes.names import Resolver
from .probes.proofs import Prover
from .probes.rspamd import SpamEngine
from .probes.spamd import Spamd
from .spool import Spool

OWN_ERROR_REPLY = "451 4.3.0 Internal error, try again later / Loi he thong, vui long gui lai sau"
_ZONE = ZoneInfo(TIME_ZONE)

log = structlog.get_logger()


class Notebook(Protocol):
    """Where an incident goes (incidents.recorder, or a list in tests and `check`)."""

    def note(self, record: dict[str, Any]) -> Awaitable[None]:
        """Take one record; done once it is durable."""


class Ledger(Protocol):
    """Where activity events and traces go (ledger.commits)."""

    def note(self, noted: Sequence[Noted]) -> bool:
        """Take them and tell whether they are durable; what is not was not taken."""

    def commit(self, noted: Sequence[Noted]) -> Awaitable[None]:
        """Take what `note` did not; done once it is durable."""


class States(Protocol):
    """Who knows the mailboxes that are not active, and the exemptions (mailboxes.states)."""

    @property
    def states(self) -> Any:
        """Return the states by address, None when they were never loaded."""

    @property
    def exemptions(self) -> tuple[Exemption, ...]:
        """Return the exemptions of the store."""

    @property
    def units(self) -> frozenset[str]:
        """Return the mailboxes that are a unit's."""


class Rates(Protocol):
    """Who counts what a login hands over, and advertisements (a store)."""

    async def sending(self, login: str, recipients: int, network: str, at: float) -> Sending:
        """Note that a login hands a mail over, from this client network, and return what it handed over of late."""

    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        """Note an advertisement, and return how many of its advertiser each recipient was sent within 24 hours."""


class SiteLists(Protocol):
    """Who has the site's lists, and looks for their phrases (lists.folder)."""

    @property
    def lists(self) -> Lists:
        """Return the lists as they are now."""

    def find_in(self, texts: Sequence[Text]) -> Sequence[Spotted]:
        """Return the phrases of the lists that some texts hold."""


class Past(Protocol):
    """What is remembered of earlier mails (ledger.history)."""

    def settles(self, mail: Mail) -> bool:
        """Tell whether nothing need be asked for of this mail's past."""

    def ask_at_once(self, mail: Mail, now: float) -> bool:
        """Do what `ask` does, and tell so, where nothing must be waited for; else fill in nothing."""

    def ask(self, mail: Mail, now: float) -> Awaitable[None]:
        """Fill in a mail's passages and memory; raises OSError or the store's error where it cannot."""

    def traces(self, mail: Mail, verdict: Verdict, now: float) -> list[Trace]:
        """Return what is to be remembered of a mail that goes on."""


class Notices(Protocol):
    """Who tells a mailbox's owner and the security officer of a copy that did not leave (notices)."""

    def tell(self, mail: Mail, verdict: Verdict) -> None:
        """Take a verdict; what is to be said of it is said later."""


class Locker(Protocol):
    """Who locks a mailbox that was taken over (mailboxes.takeover)."""

    def take(self, verdict: Verdict, case: str) -> None:
        """Take a recorded verdict; the mailboxes that its findings name to be locked are locked later."""


@dataclass(frozen=True, slots=True)
class Services:
    """What outlives a change of configuration: log, ledger, states, metrics, and the clock of records."""

    notebook: Notebook
    ledger: Ledger
    states: States
    metrics: Metrics
    node: str
    past: Past
    notices: Notices | None = None
    aliases: Mapping[str, tuple[str, ...]] | None = None
    rates: Rates | None = None
    locker: Locker | None = None
    lists: SiteLists | None = None
    repeats: Repeats | None = None
    now: Callable[[], datetime] = lambda: datetime.now(_ZONE)
    seconds: Callable[[], float] = time.time


class Gate:
    """One configuration at work: its policy, its probes; immutable, and swapped whole on a reload."""

    def __init__(
        self,
        settings: Settings,
        services: Services,
        twin: "Gate | None" = None,
        before: "Gate | None" = None,
    ) -> None:
        self.settings = settings
        self.services = services
        self.organization = settings.resolved_organization(services.aliases)
        self.policy: Policy = twin.policy if twin else settings.policy()
        self.walk_limits = settings.walk_limits()
        self.header_limits = settings.header_limits()
        self.spool_folder = settings.spool_folder()
        active = {rule.NAME for rule in self.policy.rules}
        self.scanner: Scanner | None = None
        self.engine: SpamEngine | Spamd | None = None
        self.blacklists: Blacklists | None = None
        self.inspector: Inspector | None = None
        self.pool: Pool = twin.pool if twin else self._pool(before)
        self.prover: Prover = twin.prover if twin else self._prover()
        if twin:
            self.scanner, self.engine, self.inspector = twin.scanner, twin.engine, twin.inspector
            self.blacklists = twin.blacklists
        else:
            if settings.clamav.address and "virus" in active:
                self.scanner = self._scanner()
            if settings.spam.url and "spam" in active:
                self.engine = spam_engine(settings)
            zones = settings.blacklists
            if (zones.zones or zones.domain_zones) and "spam" in active:
                make = partial(Resolver, min(settings.dns.deadline_s, WAIT_S), settings.dns.servers)
                self.blacklists = Blacklists(zones.zones, zones.domain_zones, make)
            if any(rule.NEEDS == "inspection" for rule in self.policy.rules):
                self.inspector = self._inspector(before)
        self._has_rates = any(rule.NEEDS == "sending" for rule in self.policy.rules)
        self._deadline_s = settings.workers.deadline_s
        self._commit_wait_s = settings.store.commit_wait_ms / 1_000
        self._recall_s = self._commit_wait_s + LATE_S

    def _scanner(self) -> Scanner:
        from .config import parse_endpoint

        section = self.settings.clamav
        return Scanner(parse_endpoint(section.address), section.deadline_s, section.concurrency, self.spool_folder)

    def _pool(self, before: "Gate | None") -> Pool:
        """Return the workers of inspection and proofs, those of the gate before where their limits hold.

        They start with their first job.
        """
        limits = self.settings.inspection_limits()
        return before.pool if before is not None and before.pool.limits == limits else Pool(limits)

    def _prover(self) -> Prover:
        dns = self.settings.dns
        trusted = (*self.settings.organization.domains, *self.settings.organization.state_domains)
        return Prover(dns.deadline_s, dns.servers, self.pool, trusted, self.pool.limits.cpu_s)

    def _inspector(self, before: "Gate | None") -> Inspector:
        """Return an inspector; that of the gate before, with what it knows, where it has the same workers."""
        if before is not None and before.inspector is not None and before.pool is self.pool:
            return before.inspector
        return Inspector(self.pool, self.pool.limits, self.services.metrics.add)

    @property
    def keeps_message(self) -> bool:
        """Tell whether anything reads the whole message again at its end, so that it must be spooled."""
        return self.scanner is not None or self.engine is not None

    @property
    def keeps_body(self) -> bool:
        """Tell whether at least its body must be."""
        return self.inspector is not None

    async def start(self) -> list[str]:
        """Start what takes a moment to start, before the first mail needs it; return what it lacks, a line each."""
        return await self.inspector.start() if self.inspector is not None else []

    def with_services(self, services: Services) -> "Gate":
        """Return this gate with other services, sharing its policy and probes."""
        return Gate(self.settings, services, self)

    async def close(self, after: "Gate | None" = None) -> None:
        """Close the probes' connections, but what the gate after this one has taken over."""
        if self.engine is not None:
            await self.engine.close()
        if after is None or after.pool is not self.pool:
            await self.pool.close()

    def states(self) -> Any:
        """Return the mailboxes that are not active, None when that is not known."""
        return self.services.states.states

    def exemptions(self) -> tuple[Exemption, ...]:
        """Return all exemptions, the configuration's and the store's."""
        stored = self.services.states.exemptions
        return (*self.policy.exemptions, *stored) if stored else self.policy.exemptions

    def units(self) -> frozenset[str]:
        """Return the mailboxes that are a unit's."""
        return self.services.states.units

    async def early(self, mail: Mail, verdict: Verdict) -> Verdict:
        """Record a verdict that ends a mail, or refuses a recipient, before its end."""
        try:
            return await self._record(mail, verdict, {}, None)
        except Exception as error:
            return await self.own_error(mail, error)

    def judge_at_once(
        self, mail: Mail, raw: Spool | None, leaves: Sequence[Leaf], counts: bool = True
    ) -> Verdict | None:
        """Return the verdict on a whole mail that shows nothing, where no service is to be asked.

        So it is with nearly every mail of a site without scanner and spam engine. None where something must be
        waited for: then `judge` gives the verdict. counts: the mail is counted and remembered now, not by `count`.
        """
        if self.scanner is not None or self.engine is not None or mail.mailboxes is None or self._is_rated(mail):
            return None
        if self.blacklists is not None and not mail.is_ours:
            return None
        started = time.perf_counter()
        self._begin(mail)
        if not self.services.past.settles(mail):
            if not self.services.past.ask_at_once(mail, self.services.seconds()):
                return None
            self.services.metrics.observe("history", time.perf_counter() - started)
        if self.inspector is not None and not _was_looked_into(mail):
            assert raw is not None
            inspection = self.inspector.at_once(mail, raw, leaves)
            if inspection is None:
                return None
            self._take_inspection(mail, inspection)
            if self.policy.advertiser(mail):
                return None
        verdict = self.policy.decide(mail, self.services.seconds())
        if verdict.findings or (counts and not self._note(mail, verdict)):
            return None
        self.services.metrics.add("octets", mail.content.octets)
        self._end(mail, verdict, time.perf_counter() - started)
        return verdict

    async def judge(
        self,
        mail: Mail,
        raw: Spool | None,
        leaves: Sequence[Leaf],
        earlier: Sequence[Finding] = (),
        counts: bool = True,
    ) -> Verdict:
        """Return the verdict on a whole mail; raw is its octets, None when nothing needs them."""
        metrics = self.services.metrics
        metrics.add("open_mails")
        metrics.add("octets", mail.content.octets)
        started = time.perf_counter()
        timings: dict[str, float] = {}
        self._begin(mail)
        try:
            await self._ask(mail, raw, leaves, timings)
            if mail.mailboxes is None:
                mail.missing["mailboxes"] = "mailbox states were never loaded from the store"
            verdict = self.policy.decide(mail, self.services.seconds(), earlier)
            if verdict.findings:
                verdict = await self._record(mail, verdict, timings, raw)
            if counts:
                await self.count(mail, verdict)
            if self.services.notices is not None and verdict.findings:
                self.services.notices.tell(mail, verdict)
        except Exception as error:
            verdict = await self.own_error(mail, error)
        finally:
            metrics.add("open_mails", -1)
        self._end(mail, verdict, time.perf_counter() - started)
        return verdict

    async def count(self, mail: Mail, verdict: Verdict) -> None:
        """Count and remember a mail that goes on; raises OSError or StoreError where that cannot be made durable."""
        if not self._note(mail, verdict):
            noted = self._noted(mail, verdict)
            async with asyncio.timeout(self._commit_wait_s):
                await self.services.ledger.commit(noted)
            self._add_events(noted)

    def _begin(self, mail: Mail) -> None:
        """Give a mail what is known without asking anybody."""
        mail.at = self.services.seconds()
        if self.services.lists is not None:
            mail.lists = self.services.lists.lists

    # -- facts --------------------------------------------------------------------------------

    async def _ask(self, mail: Mail, raw: Spool | None, leaves: Sequence[Leaf], timings: dict[str, float]) -> None:
        """Ask every service that this mail needs at once; what cannot be had goes to mail.missing."""
        scanner, engine = (self.scanner, self.engine) if raw is not None else (None, None)
        claims = self.policy.claims(mail) if raw is not None else frozenset[str]()
        settled = mail.memory is not None or self.services.past.settles(mail)  # not None: asked for already, at once
        is_rated = self._is_rated(mail)
        inspector = self.inspector if raw is not None else None
        if inspector is not None and mail.session.hook == "egress":
            if not settled:
                await self._recall(mail, timings)
                settled = True
            if _was_looked_into(mail):
                inspector = None
        blacklists = None if mail.is_ours else self.blacklists
        is_looked_into = scanner is not None or engine is not None or inspector is not None
        if not is_looked_into and blacklists is None and not claims and not is_rated:
            if not settled:
                await self._recall(mail, timings)
            return
        try:
            async with asyncio.timeout(self._deadline_s), asyncio.TaskGroup() as group:
                if not settled:
                    group.create_task(self._recall(mail, timings))
                if is_rated:
                    group.create_task(self._rate(mail, timings))
                if inspector is not None and raw is not None:
                    group.create_task(self._inspect(inspector, mail, raw, leaves, timings))
                if blacklists is not None:
                    group.create_task(self._ask_blacklists(blacklists, mail, timings))
                if claims:
                    group.create_task(self._prove(mail, claims, raw, timings))
                if scanner is not None and raw is not None:
                    group.create_task(self._scan(scanner, mail, raw, leaves, timings))
                if engine is not None and raw is not None:
                    group.create_task(self._check(engine, mail, raw, timings))
        except TimeoutError:
            for name, fact, asked in (
                ("clamd", mail.scans, scanner),
                ("spam", mail.spam, engine),
                ("inspection", mail.inspection, inspector),
                ("dns", mail.proofs or None, claims or None),
            ):
                if asked is not None and fact is None:
                    mail.missing.setdefault(name, f"no answer within {self._deadline_s:g} s")

    async def _recall(self, mail: Mail, timings: dict[str, float]) -> None:
        """Ask for the mail's past. Where it cannot be had, egress keeps the mail back: it sees every copy.

        Mail that is only taken in goes on to egress, where it is asked for again, since nothing was remembered then.
        """

        async def ask() -> None:
            if not self.services.past.ask_at_once(mail, self.services.seconds()):
                async with asyncio.timeout(self._recall_s):
                    await self.services.past.ask(mail, self.services.seconds())

        await self._timed("history", ask, mail, timings)
        if mail.session.hook not in AFTER_EXPANSION:
            mail.missing.pop("history", None)

    def _is_rated(self, mail: Mail) -> bool:
        """Tell whether this mail counts for its login: it is submitted, and was not refused before its end."""
        return self._has_rates and bool(mail.envelope.login) and mail.session.hook == "submission"

    async def _rate(self, mail: Mail, timings: dict[str, float]) -> None:
        """Count the mail, and ask what its login handed over of late; a store that is away is waited for shortly."""
        rates = self.services.rates
        if rates is None:
            return
        network, recipients = network_of(mail.session.client_ip), len(mail.envelope.recipients)

        async def ask() -> None:
            async with asyncio.timeout(self._commit_wait_s):
                mail.sending = await rates.sending(mail.account, recipients, network, self.services.seconds())

        await self._timed("sending", ask, mail, timings)

    async def _prove(self, mail: Mail, claims: frozenset[str], raw: Spool | None, timings: dict[str, float]) -> None:
        async def ask() -> None:
            mail.proofs = await self.prover.prove(mail, claims, raw)

        await self._timed("dns", ask, mail, timings)

    async def _inspect(
        self, inspector: Inspector, mail: Mail, raw: Spool, leaves: Sequence[Leaf], timings: dict[str, float]
    ) -> None:
        """Have the mail looked into; of an advertisement it is then asked how many its recipients had of late."""

        async def ask() -> None:
            if mail.inspection is None:
                self._take_inspection(mail, await inspector.inspect(mail, raw, leaves))

        await self._timed("inspection", ask, mail, timings)
        if mail.inspection is not None and (advertiser := self.policy.advertiser(mail)):
            await self._count_advertisement(advertiser, mail, timings)

    def _take_inspection(self, mail: Mail, inspection: Inspection) -> None:
        mail.inspection = inspection
        lists = self.services.lists
        if lists is not None:
            mail.spotted = lists.find_in(inspection.texts)

    async def _count_advertisement(self, advertiser: str, mail: Mail, timings: dict[str, float]) -> None:
        """Ask how many advertisements of this advertiser each recipient had; while the store is away, nobody had
        any."""
        rates = self.services.rates
        if rates is None:
            return
        accounts = self.organization.accounts
        recipients = [account for recipient in mail.envelope.recipients for account in accounts(recipient)]

        async def ask() -> None:
            async with asyncio.timeout(self._commit_wait_s):
                key = hashlib.sha256(mail.first_header(b"message-id") or mail.queue_id.encode()).digest()[:8]
                mail.advertised = await rates.advertised(advertiser, recipients, key, self.services.seconds())

        await self._timed("advertised", ask, mail, timings)
        mail.missing.pop("advertised", None)

    async def _scan(
        self, scanner: Scanner, mail: Mail, raw: Spool, leaves: Sequence[Leaf], timings: dict[str, float]
    ) -> None:
        async def ask() -> None:
            mail.scans = await scanner.scan_mail(raw, mail.content, leaves)
            for scan in mail.scans:
                if scan.status == "error":
                    raise OSError(f"{scan.part}: {scan.detail}")

        await self._timed("clamd", ask, mail, timings)

    async def _ask_blacklists(self, blacklists: Blacklists, mail: Mail, timings: dict[str, float]) -> None:
        """Ask DNS; what does not answer lists nobody."""

        await self._timed("blacklists", lambda: blacklists.ask(mail), mail, timings)
        mail.missing.pop("blacklists", None)

    async def _check(self, engine: SpamEngine | Spamd, mail: Mail, raw: Spool, timings: dict[str, float]) -> None:
        async def ask() -> None:
            mail.spam = await engine.check(mail, raw)

        await self._timed("spam", ask, mail, timings)

    async def _timed(
        self, name: str, ask: Callable[[], Awaitable[None]], mail: Mail, timings: dict[str, float]
    ) -> None:
        started = time.perf_counter()
        try:
            await ask()
        except (OSError, TimeoutError, StoreError) as error:
            reason = str(error) or f"no answer within {self._deadline_s:g} s"
            mail.missing[name] = reason
            self.services.metrics.add(f"probe_errors {name}")
            log.warning("probe failed", probe=name, reason=reason, queue_id=mail.queue_id)
        seconds = time.perf_counter() - started
        timings[name] = seconds * 1_000
        self.services.metrics.observe(name, seconds)

    # -- records ------------------------------------------------------------------------------

    async def _record(self, mail: Mail, verdict: Verdict, timings: dict[str, float], raw: Spool | None) -> Verdict:
        """Write the incident, and return the verdict with its case number in the replies.

        What repeats has its case number with others. Raises OSError when it cannot be written: no verdict without
        its record.
        """
        metrics = self.services.metrics
        for finding in verdict.findings:
            mode = "exempt" if finding.exemption else finding.mode
            metrics.add(f"findings {mode} {finding.rule}")
        if not is_recorded(verdict.findings):
            return verdict
        now = self.services.now()
        repeated = self.services.repeats.take(mail, verdict) if self.services.repeats is not None else None
        case = new_case(now) if repeated is None else repeated.case
        verdict = replace(
            verdict,
            reply=with_case(verdict.reply, case) if verdict.reply else "",
            recipient_replies={
                recipient: with_case(reply, case) for recipient, reply in verdict.recipient_replies.items()
            },
        )
        if repeated is None:
            await self._write(mail, verdict, case, now, timings, raw)
        else:
            await repeated.opened(partial(self._write, mail, verdict, case, now, timings, raw))
        if self.services.locker is not None:
            self.services.locker.take(verdict, case)
        return verdict

    async def _write(
        self, mail: Mail, verdict: Verdict, case: str, now: datetime, timings: dict[str, float], raw: Spool | None
    ) -> None:
        if raw is not None and mail.content.attachments:
            await asyncio.get_running_loop().run_in_executor(None, hash_attachments, raw, mail.content.attachments)
        started = time.perf_counter()
        await self.services.notebook.note(mail_record(mail, verdict, case, now, timings))
        self.services.metrics.observe("incident", time.perf_counter() - started)

    async def record_hold(self, mail: Mail, verdict: Verdict, queue_id: str) -> None:
        """Write under which queue id of the next hop a mail is held: mailgate.quarantine finds it there."""
        now = self.services.now()
        record = mail_record(mail, verdict, new_case(now), now, {})
        rules = sorted({finding.rule for finding in verdict.findings if finding.decides})
        # Its findings are on record once already.
        record |= {"kind": "hold", "queue_id": queue_id, "of_queue_id": mail.queue_id, "findings": [], "rules": rules}
        await self.services.notebook.note(record)

    async def own_error(self, mail: Mail, error: Exception) -> Verdict:
        """Return the deferral that an error of our own is; its incident is written if that is still possible."""
        log.error("own error", queue_id=mail.queue_id, error=str(error), exc_info=error)
        self.services.metrics.add("own_errors")
        now = self.services.now()
        case = new_case(now)
        try:
            await self.services.notebook.note(error_record(mail, error, case, now))
        except Exception as failure:
            log.error("incident could not be written", case=case, error=str(failure))
        return Verdict(Action.TEMPFAIL, with_case(OWN_ERROR_REPLY, case))

    # -- activity -----------------------------------------------------------------------------

    def _note(self, mail: Mail, verdict: Verdict) -> bool:
        """Hand what is to be counted and remembered to the ledger, and tell whether it has it."""
        noted = self._noted(mail, verdict)
        if noted and not self.services.ledger.note(noted):
            return False
        self._add_events(noted)
        return True

    def _add_events(self, noted: Sequence[Noted]) -> None:
        self.services.metrics.add("events", sum([isinstance(item, ActivityEvent) for item in noted]))

    def _noted(self, mail: Mail, verdict: Verdict) -> list[Noted]:
        """Return what a mail counts, and its trace: an accepted mail's both, of one that is held the trace alone."""
        noted: list[Noted] = []
        if verdict.action is Action.ACCEPT:
            noted += self._events(mail, verdict)
        if verdict.action in (Action.ACCEPT, Action.QUARANTINE):
            noted += self.services.past.traces(mail, verdict, self.services.seconds())
        return noted

    def _events(self, mail: Mail, verdict: Verdict) -> list[ActivityEvent]:
        seconds = self.services.seconds()
        return activity_events(mail, verdict, seconds, self.services.node, self.organization.accounts)

    # -- the log's one line a mail -------------------------------------------------------------

    def _end(self, mail: Mail, verdict: Verdict, seconds: float) -> None:
        rule = deciding_rule(verdict)
        self.services.metrics.observe("mail", seconds)
        self.services.metrics.mail(verdict.action, rule)
        logs.mail(
            {
                "action": verdict.action.value,
                "queue_id": mail.queue_id,
                "hook": mail.session.hook,
                "client": mail.session.client_ip,
                "login": mail.envelope.login,
                "mail_from": mail.envelope.sender,
                "rcpts": len(mail.envelope.recipients),
                "octets": mail.content.octets,
                "rule": rule,
                "findings": len(verdict.findings),
                "ms": round(seconds * 1_000, 2),
            }
        )


def _was_looked_into(mail: Mail) -> bool:
    """Tell whether a mail that leaves was looked into when it was taken in, for the very same recipients."""
    return mail.session.hook == "egress" and was_judged(mail.passages, mail.envelope.recipients)


def spam_engine(settings: Settings) -> SpamEngine | Spamd:
    """Return the spam engine that [spam] url names: rspamd, or SpamAssassin's spamd."""
    section = settings.spam
    if section.url.startswith("spamd:"):
        return Spamd(section.url, section.deadline_s, section.reject_score)
    return SpamEngine(section.url, section.deadline_s, section.password)


def deciding_rule(verdict: Verdict) -> str:
    """Return the rule that made a verdict, "" when none did."""
    for finding in verdict.findings:
        if finding.mode is Mode.ENFORCE and finding.action is verdict.action and finding.decides:
            return finding.rule
    return ""


def hash_attachments(raw: Spool, attachments: Sequence[Attachment]) -> None:
    """Fill in the SHA-256 of each attachment's decoded octets; runs in a thread."""
    for attachment in attachments:
        digest = hashlib.sha256()
        decoder = decoder_for(attachment.encoding)
        for chunk in raw.chunks(*attachment.span):
            digest.update(decoder.feed(chunk))
        digest.update(decoder.finish())
        attachment.sha256 = digest.hexdigest()
