"""judge(mail): all waiting, deadlines and failure policy, in one place; it never raises.

Facts are asked for concurrently under one deadline, the policy decides, the incident is on disk and
the events are with the ledger before the verdict is returned. An error of our own is 451 4.3.0, a
traceback in the log and an incident, never an accept.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog

from . import logs
from .activity import People, activity_events
from .config import TIME_ZONE, Settings
from .incidents.record import MOST_ATTACHMENTS, error_record, is_recorded, mail_record, new_case, with_case
from .incidents.repeats import Repeats
from .ledger.store import StoreError
from .metrics import Metrics
from .mime.transfer import decoder_for
from .mime.walker import Leaf
from .model import (
    Action,
    ActivityEvent,
    Attachment,
    Counted,
    Exemption,
    Finding,
    Mail,
    Mode,
    Noted,
    Verdict,
)
from .policy import Policy
from .probes.history import Past
from .probes.inspection import SiteLists
from .probes.probe import Asked, Probe
from .probes.rates import Rates
from .probing import Clients, StoreAlive, clients_for, probes_for
from .spool import Spool

OWN_ERROR_REPLY = "451 4.3.0 Internal error, try again later / Loi he thong, vui long gui lai sau"
_ZONE = ZoneInfo(TIME_ZONE)
_LONGEST_SHOWN = 256  # of an address in the log's one line a mail (RFC 5321 section 4.5.3.1.3)

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

    @property
    def names(self) -> Counted:
        """Return how many registered mailboxes have a name; always the same object."""

    @property
    def registered(self) -> AbstractSet[str]:
        """Return the mailboxes that are no sub-address though they look like one; always the same set."""


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
    store: StoreAlive | None = None
    now: Callable[[], datetime] = lambda: datetime.now(_ZONE)
    seconds: Callable[[], float] = time.time


class Gate:
    """One configuration at work: its policy, its probes; immutable, and swapped whole on a reload."""

    def __init__(
        self,
        settings: Settings,
        services: Services,
        policy: Policy | None = None,
        clients: Clients | None = None,
        before: "Gate | None" = None,
    ) -> None:
        self.settings = settings
        self.services = services
        self.identity = settings.identity(services.aliases, services.states.registered)
        self.policy: Policy = policy or settings.policy()
        self.walk_limits = settings.walk_limits()
        self.header_limits = settings.header_limits()
        self.spool_folder = settings.spool_folder()
        before_clients: Clients | None = before.clients if before is not None else None
        self.clients: Clients = clients or clients_for(
            settings, self.policy, services.metrics, services.store, before_clients
        )
        past, rates, lists = services.past, services.rates, services.lists
        self._probes = probes_for(self.clients, self.policy, past, rates, lists, services.seconds)
        self._waves = [
            [probe for probe in self._probes if probe.wave == wave]
            for wave in sorted({probe.wave for probe in self._probes})
        ]
        names = {probe.name for probe in self._probes}
        self.keeps_message = not names.isdisjoint(("clamd", "spam"))
        """Whether anything reads the whole message again at its end, so that it must be spooled."""
        self.keeps_body = "inspection" in names
        """Whether at least its body must be."""
        self.is_scanned = "clamd" in names
        self.remembers: bool = settings.keep_s() > 0
        """Whether what is in a mail that leaves is to be known again."""
        self._people = People(settings.activity.mail_programs, settings.activity.people_networks)
        self._deadline_s = settings.workers.deadline_s
        self._commit_wait_s = settings.store.commit_wait_ms / 1_000

    async def start(self) -> list[str]:
        """Start what takes a moment to start, before the first mail needs it; return what it lacks, a line each."""
        return await self.clients.start()

    def with_services(self, services: Services) -> "Gate":
        """Return this gate with other services, sharing its policy and clients."""
        return Gate(self.settings, services, self.policy, self.clients)

    async def close(self, after: "Gate | None" = None) -> None:
        """Close the clients' connections, but what the gate after this one has taken over."""
        await self.clients.close(after.clients if after is not None else None)

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

    def names(self) -> Counted:
        """Return how many registered mailboxes have a name."""
        return self.services.states.names

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
        if mail.mailboxes is None:
            return None
        started = time.perf_counter()
        self._begin(mail)
        asked = Asked(mail, raw, leaves)
        for probe in self._probes:
            if probe.concerns(asked):
                begun = time.perf_counter()
                if not probe.answers_at_once(asked):
                    return None
                self.services.metrics.observe(probe.name, time.perf_counter() - begun)
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
            await self._ask(Asked(mail, raw, leaves), timings)
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

    async def _ask(self, asked: Asked, timings: dict[str, float]) -> None:
        """Ask what this mail needs, a wave at a time; what was asked and did not answer goes to mail.missing."""
        deadline = asyncio.get_running_loop().time() + self._deadline_s
        for wave in self._waves:
            concerned = [probe for probe in wave if probe.concerns(asked)]
            if len(concerned) == 1:
                await self._put(concerned[0], asked, deadline, timings)
            elif concerned:
                async with asyncio.TaskGroup() as group:
                    for probe in concerned:
                        group.create_task(self._put(probe, asked, deadline, timings))

    async def _put(self, probe: Probe, asked: Asked, deadline: float, timings: dict[str, float]) -> None:
        """Ask one probe, until its deadline or the mail's."""
        started = time.perf_counter()
        left_s = deadline - asyncio.get_running_loop().time()
        breaker = probe.breaker
        reason = ""
        if breaker is not None and breaker.is_open:
            reason = f"{breaker.name} hangs, and is not asked until it answers"
        else:
            try:
                async with asyncio.timeout(min(probe.deadline_s, left_s)):
                    await probe.ask(asked)
            except TimeoutError:
                if breaker is not None:
                    breaker.timed_out()
                kept_s = probe.deadline_s if probe.deadline_s <= left_s else self._deadline_s
                reason = f"no answer within {kept_s:g} s"
            except (OSError, StoreError) as error:
                reason = str(error) or type(error).__name__
        seconds = time.perf_counter() - started
        timings[probe.name] = seconds * 1_000
        self.services.metrics.observe(probe.name, seconds)
        if reason:
            self.services.metrics.add(f"probe_errors {probe.name}")
            log.warning("probe failed", probe=probe.name, reason=reason, queue_id=asked.mail.queue_id)
            if probe.is_needed(asked.mail):
                asked.mail.missing[probe.name] = reason

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
        record |= {
            "kind": "hold",
            "queue_id": queue_id,
            "of_queue_id": record["queue_id"],
            "findings": [],
            "rules": rules,
        }
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
        return activity_events(mail, verdict, seconds, self.services.node, self._people)

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
                "mail_from": mail.envelope.sender[:_LONGEST_SHOWN],
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
    """Fill in the SHA-256 of the decoded octets of those attachments that an incident names; runs in a thread.

    Files in one text have the span of the text.
    """
    known: dict[tuple[str, tuple[int, int]], str] = {}
    for attachment in attachments[:MOST_ATTACHMENTS]:
        found = known.get((attachment.encoding, attachment.span))
        if found is not None:
            attachment.sha256 = found
            continue
        digest = hashlib.sha256()
        decoder = decoder_for(attachment.encoding)
        for chunk in raw.chunks(*attachment.span):
            digest.update(decoder.feed(chunk))
        digest.update(decoder.finish())
        attachment.sha256 = known[attachment.encoding, attachment.span] = digest.hexdigest()
