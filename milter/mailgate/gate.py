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
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog

from . import logs
from .activity import activity_events
from .config import TIME_ZONE, Settings
from .incidents.record import error_record, is_recorded, mail_record, new_case, with_case
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
    Mail,
    Mode,
    Noted,
    Sending,
    Trace,
    Verdict,
    network_of,
)
from .policy import Policy
from .probes.clamd import Scanner
from .probes.proofs import Prover
from .probes.rspamd import SpamEngine
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
    """Who counts what a login hands over (a store)."""

    async def sending(self, login: str, recipients: int, network: str, at: float) -> Sending:
        """Note that a login hands a mail over, from this client network, and return what it handed over of late."""


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
    now: Callable[[], datetime] = lambda: datetime.now(_ZONE)
    seconds: Callable[[], float] = time.time


class Gate:
    """One configuration at work: its policy, its probes; immutable, and swapped whole on a reload."""

    def __init__(self, settings: Settings, services: Services, twin: "Gate | None" = None) -> None:
        self.settings = settings
        self.services = services
        self.organization = settings.resolved_organization(services.aliases)
        self.policy: Policy = twin.policy if twin else settings.policy()
        self.walk_limits = settings.walk_limits()
        self.spool_folder = settings.spool_folder()
        active = {rule.NAME for rule in self.policy.rules}
        self.scanner: Scanner | None = None
        self.engine: SpamEngine | None = None
        self.prover: Prover = twin.prover if twin else Prover(settings.dns.deadline_s, settings.dns.servers)
        if twin:
            self.scanner, self.engine = twin.scanner, twin.engine
        else:
            if settings.clamav.address and "virus" in active:
                self.scanner = self._scanner()
            if settings.spam.url and "spam" in active:
                self.engine = self._engine()
        self._has_rates = any(rule.NEEDS == "sending" for rule in self.policy.rules)
        self._deadline_s = settings.workers.deadline_s
        self._commit_wait_s = settings.store.commit_wait_ms / 1_000
        self._recall_s = self._commit_wait_s + LATE_S

    def _scanner(self) -> Scanner:
        from .config import parse_endpoint

        section = self.settings.clamav
        return Scanner(parse_endpoint(section.address), section.deadline_s, section.concurrency, self.spool_folder)

    def _engine(self) -> SpamEngine:
        section = self.settings.spam
        return SpamEngine(section.url, section.deadline_s, section.password)

    @property
    def keeps_content(self) -> bool:
        """Tell whether anything reads the message again at its end, so that it must be spooled."""
        return self.scanner is not None or self.engine is not None

    def with_services(self, services: Services) -> "Gate":
        """Return this gate with other services, sharing its policy and probes."""
        return Gate(self.settings, services, self)

    async def close(self) -> None:
        """Close the probes' connections."""
        if self.engine is not None:
            await self.engine.close()

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

    def judge_at_once(self, mail: Mail, counts: bool = True) -> Verdict | None:
        """Return the verdict on a whole mail that shows nothing, where no service is to be asked.

        So it is with nearly every mail of a site without scanner and spam engine. None where something must be
        waited for: then `judge` gives the verdict. counts: the mail is counted and remembered now, not by `count`.
        """
        if self.keeps_content or mail.mailboxes is None or self._is_rated(mail):
            return None
        started = time.perf_counter()
        if not self.services.past.settles(mail):
            if not self.services.past.ask_at_once(mail, self.services.seconds()):
                return None
            self.services.metrics.observe("history", time.perf_counter() - started)
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

    # -- facts --------------------------------------------------------------------------------

    async def _ask(self, mail: Mail, raw: Spool | None, leaves: Sequence[Leaf], timings: dict[str, float]) -> None:
        """Ask every service that this mail needs at once; what cannot be had goes to mail.missing."""
        scanner, engine = (self.scanner, self.engine) if raw is not None else (None, None)
        claims = self.policy.claims(mail) if raw is not None else frozenset[str]()
        settled = mail.memory is not None or self.services.past.settles(mail)  # not None: asked for already, at once
        is_rated = self._is_rated(mail)
        if scanner is None and engine is None and not claims and not is_rated:
            if not settled:
                await self._recall(mail, timings)
            return
        try:
            async with asyncio.timeout(self._deadline_s), asyncio.TaskGroup() as group:
                if not settled:
                    group.create_task(self._recall(mail, timings))
                if is_rated:
                    group.create_task(self._rate(mail, timings))
                if claims:
                    group.create_task(self._prove(mail, claims, raw, timings))
                if scanner is not None and raw is not None:
                    group.create_task(self._scan(scanner, mail, raw, leaves, timings))
                if engine is not None and raw is not None:
                    group.create_task(self._check(engine, mail, raw, timings))
        except TimeoutError:
            for name, fact, asked in (("clamd", mail.scans, scanner), ("spam", mail.spam, engine)):
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

    async def _scan(
        self, scanner: Scanner, mail: Mail, raw: Spool, leaves: Sequence[Leaf], timings: dict[str, float]
    ) -> None:
        async def ask() -> None:
            mail.scans = await scanner.scan_mail(raw, mail.content, leaves)
            for scan in mail.scans:
                if scan.status == "error":
                    raise OSError(f"{scan.part}: {scan.detail}")

        await self._timed("clamd", ask, mail, timings)

    async def _check(self, engine: SpamEngine, mail: Mail, raw: Spool, timings: dict[str, float]) -> None:
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

        Raises OSError when it cannot be written: no verdict without its record.
        """
        metrics = self.services.metrics
        for finding in verdict.findings:
            mode = "exempt" if finding.exemption else finding.mode
            metrics.add(f"findings {mode} {finding.rule}")
        if not is_recorded(verdict.findings):
            return verdict
        now = self.services.now()
        case = new_case(now)
        verdict = replace(
            verdict,
            reply=with_case(verdict.reply, case) if verdict.reply else "",
            recipient_replies={
                recipient: with_case(reply, case) for recipient, reply in verdict.recipient_replies.items()
            },
        )
        if raw is not None and mail.content.attachments:
            await asyncio.get_running_loop().run_in_executor(None, hash_attachments, raw, mail.content.attachments)
        started = time.perf_counter()
        await self.services.notebook.note(mail_record(mail, verdict, case, now, timings))
        metrics.observe("incident", time.perf_counter() - started)
        if self.services.locker is not None:
            self.services.locker.take(verdict, case)
        return verdict

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
