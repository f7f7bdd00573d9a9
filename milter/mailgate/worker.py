"""One worker process: its loop, its gate, its connections, from start to a clean stop."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import structlog

from . import logs
from .config import TIME_ZONE, ConfigError, Settings, load
from .doors.milter import BufferedConnection, Hook, Listener, MilterConnection
from .gate import Gate, Services
from .incidents.log import IncidentLog
from .incidents.recorder import Recorder
from .incidents.repeats import Repeats
from .ledger.commits import Commits, Report
from .ledger.fresh import Fresh
from .ledger.history import HISTORY_KEY_FILE, History
from .ledger.journal import Journal, adopt, owners
from .ledger.opening import open_store
from .lists.site import SiteLists
from .mailboxes.states import StateFollower
from .mailboxes.takeover import Locker
from .metrics import Metrics
from .notices import Mailer
from .sockets import Listening

if TYPE_CHECKING:
    from .doors.smtp import SmtpConnection, SmtpListener

log = structlog.get_logger()

LAST_KNOWN_FILE = "states.last"  # beside the journals

_JUMP_S = 60.0
"""So far apart in half a second, wall clock and monotonic clock show a step, or that the machine slept."""
_LAG_S = 0.5  # how often the loop's lateness is measured and its life shown
FILES_S = 5.0  # how often the files of aliases and lists are looked at
QUIET_S = 2.0  # a session that has sent nothing for so long is not waited for when stopping


@dataclass(frozen=True, slots=True)
class Orders:
    """What the supervisor gives a worker: number from 0, sockets, shared counters and traces, the line back to it."""

    number: int
    config: Path | None
    settings: Settings
    listeners: Sequence[Listening]
    metrics: Metrics
    line: socket.socket
    fresh: Fresh


def run(orders: Orders) -> int:
    """Serve until SIGTERM; return the exit status."""
    logs.configure(orders.settings.log.level, orders.settings.log.format)
    structlog.contextvars.clear_contextvars()
    with asyncio.Runner(loop_factory=loop_factory(orders.settings)) as runner:
        try:
            return runner.run(Worker(orders).serve())
        finally:
            logs.flush()


def loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where it is installed and wanted, None for asyncio's own."""
    if settings.workers.uvloop:
        with contextlib.suppress(ImportError):
            import uvloop

            return uvloop.new_event_loop
    return None


def journal_of(number: int) -> str:
    """Return the name of a worker's journal."""
    return f"activity-{number}"


class Worker:
    """The worker's state while it runs."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._settings = orders.settings
        self._metrics = orders.metrics
        self._metrics.use_row(orders.number)
        self._stopping = asyncio.Event()
        self._reading = asyncio.Lock()
        self._grace_s = orders.settings.workers.stop_grace_s
        self._background: set[asyncio.Task[None]] = set()

    async def serve(self) -> int:
        """Start, announce, wait for the end, stop."""
        loop = asyncio.get_running_loop()
        settings = self._settings
        store = open_store(settings.store.url, settings.folder, settings.keep_s())
        journal = Journal(settings.journal_folder(), journal_of(self._orders.number))
        report = Report(self._ledger_state, self._journal_waits, self._journal_full, self._not_counted)
        commits = Commits(
            store,
            journal,
            settings.journal_folder(),
            report,
            settings.node(),
            settings.journal_bounds(),
            beats=self._orders.number == 0,
        )
        recorder = Recorder(IncidentLog(settings.incidents_folder()), _now)
        history = History(store, self._orders.fresh, settings.keep_s(), settings.journal_folder() / HISTORY_KEY_FILE)
        follower = StateFollower(
            store,
            self._states_failed,
            history.load,
            settings.journal_folder() / LAST_KNOWN_FILE,
            lambda: self._gate.policy.reads_names,
        )
        domain = settings.organization.domains[0]
        notices = Mailer(settings.notice, domain, store, history) if settings.notice.relay else None
        self._aliases = settings.aliases()
        self._lists = SiteLists(settings.lists_folder())
        await self._read_aliases()
        await self._read_lists()
        locker = Locker(store, recorder, settings.node(), _now)
        repeats = Repeats(recorder, settings.node(), _now)
        services = Services(
            recorder,
            commits,
            follower,
            self._metrics,
            settings.node(),
            history,
            notices,
            self._aliases,
            store,
            locker,
            self._lists,
            repeats,
            store,
            _now,
        )
        self._gate = Gate(settings, services)
        self._run_later(self._start(self._gate))
        with contextlib.suppress(Exception):
            await follower.load_or_remember()
        follower.start()
        commits.recover()
        self._listeners = [self._listener(listening) for listening in self._orders.listeners]
        servers = []
        for listening, listener in zip(self._orders.listeners, self._listeners, strict=True):
            make = _maker(listener, bare=not isinstance(loop, asyncio.BaseEventLoop))
            servers.append(
                await loop.create_unix_server(make, sock=listening.socket, backlog=settings.listen.backlog)
                if listening.is_unix
                else await loop.create_server(make, sock=listening.socket, backlog=settings.listen.backlog)
            )
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # a terminal's Ctrl-C is the supervisor's to handle
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_reader(self._orders.line, self._orphaned)
        tasks = [loop.create_task(each) for each in (self._watch(), self._attend(), self._follow_files())]
        self._orders.line.send(b"R")
        await self._stopping.wait()
        for server in servers:
            server.close()
        await self._finish_begun()
        for task in tasks:
            task.cancel()
        await follower.stop()
        if notices is not None:
            await notices.flush()
        await locker.flush()
        await commits.flush()
        await repeats.flush()
        await recorder.flush()
        await self._gate.close()
        await store.close()
        return 0

    def _listener(self, listening: Listening) -> "Listener | SmtpListener":
        hooks = tuple(
            Hook(entry.name, entry.daemon_name) for entry in self._settings.hook if entry.listener == listening.name
        )
        if listening.door == "smtp":
            from .doors.smtp import SmtpListener  # aiosmtpd and aiosmtplib are for those who have such a door

            return SmtpListener(listening.name, hooks, lambda: self._gate)
        return Listener(listening.name, hooks, lambda: self._gate, listening.is_unix)

    async def _start(self, gate: Gate) -> None:
        for lack in await gate.start():
            if self._orders.number == 0:
                log.warning("inspection is not whole", lacks=lack)

    # -- while it runs ------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Measure how late the loop wakes up, show that it does, and say where the clock jumped."""
        loop = asyncio.get_running_loop()
        offset = time.time() - time.monotonic()
        while True:
            due = loop.time() + _LAG_S
            await asyncio.sleep(_LAG_S)
            self._metrics.set("loop_lag_seconds", max(0.0, loop.time() - due))
            now = time.monotonic()
            self._metrics.set("heartbeat", now)
            before, offset = offset, time.time() - now
            if abs(offset - before) > _JUMP_S and self._orders.number == 0:
                log.warning("clock jumped: nothing is deleted by it", by_s=round(offset - before))

    async def _attend(self) -> None:
        """Show which services are not asked now, and close what waits in vain for its peer."""
        while True:
            await asyncio.sleep(_LAG_S)
            self._gate.clients.show(self._metrics)
            for listener in self._listeners:
                if isinstance(listener, Listener):
                    listener.close_stalled(time.monotonic(), self._settings.listen.frame_s)

    async def _follow_files(self) -> None:
        """Read the files of aliases and lists again whenever they change."""
        while True:
            await asyncio.sleep(FILES_S)
            await self._read_aliases()
            await self._read_lists()

    async def _read_aliases(self) -> None:
        aliases = self._aliases
        if aliases.changed():
            found, unread = await asyncio.to_thread(aliases.read)
            aliases.take(found)
            if unread and self._orders.number == 0:
                log.error("aliases could not be read whole: the rest holds", problems=[str(one) for one in unread])

    async def _read_lists(self) -> None:
        async with self._reading:
            lists = self._lists
            if not await asyncio.to_thread(lists.changed):
                return
            found, lexicon, problems = await asyncio.to_thread(lists.read)
            lists.take(found, lexicon)
        if problems and self._orders.number == 0:
            log.error("lists have bad lines: what each held before holds", problems=problems)

    def _reload(self) -> None:
        """Validate the configuration anew, then swap the gate; begun mails end with the one they began with."""
        try:
            settings = load(self._orders.config)
            aliases = settings.aliases()
            aliases.take(self._aliases)  # until they are read
            lists = self._lists if self._lists.path == settings.lists_folder() else SiteLists(settings.lists_folder())
            services = replace(self._gate.services, aliases=aliases, lists=lists)
            gate = Gate(settings, services, before=self._gate)
        except ConfigError as error:
            log.error("worker keeps its configuration", problems=error.problems)
            return
        old, self._gate = self._gate, gate
        old.clients.retire(gate.clients)
        self._settings = settings
        self._aliases = aliases
        self._lists = lists
        self._run_later(self._read_aliases())
        self._run_later(self._read_lists())
        self._run_later(self._start(gate))
        self._grace_s = settings.workers.stop_grace_s
        self._run_later(_close_when_unused(old, gate))

    def _run_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _orphaned(self) -> None:
        """The supervisor's end of the line is closed: it died, and the next one will start its own workers."""
        asyncio.get_running_loop().remove_reader(self._orders.line)
        if not self._stopping.is_set():
            log.error("supervisor is gone: stopping")
            self._grace_s = 1.0
            self._stopping.set()

    def _ledger_state(self, failing: bool, reason: str) -> None:
        self._metrics.set("ledger_failing", failing)
        if failing:
            log.error("store is away: events go to the journal", reason=reason)
        else:
            log.info("store is back: the journal is counted")

    def _journal_waits(self, octets: int) -> None:
        self._metrics.set("journal_octets", octets if self._orders.number == 0 else 0)  # of all workers together

    def _journal_full(self, full: bool) -> None:
        self._metrics.set("journal_full", full)
        if full:
            then = "is not counted" if self._settings.store.journal_full == "accept" else "is deferred"
            log.error(f"journal is full: mail {then} until the store answers, or [store] journal_bytes is raised")
        else:
            log.info("journal has room again")

    def _not_counted(self, events: int) -> None:
        self._metrics.add("events_dropped", events)

    def _states_failed(self, error: Exception) -> None:
        self._metrics.add("probe_errors mailboxes")
        log.warning("mailbox states could not be read: the last known ones hold", reason=str(error))

    # -- stopping -----------------------------------------------------------------------------

    async def _finish_begun(self) -> None:
        """Let begun mails and live sessions end, at most for the grace; then close what is left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace_s
        while (left := self._open()) and loop.time() < deadline:
            for connection in left:
                if connection.is_idle and connection.quiet_s() > QUIET_S:
                    connection.close()
            await asyncio.sleep(0.05)
        for connection in self._open():
            connection.close()
        await asyncio.sleep(0)

    def _open(self) -> "list[MilterConnection | SmtpConnection]":
        return [connection for listener in self._listeners for connection in listener.connections]


def _maker(listener: "Listener | SmtpListener", bare: bool) -> Callable[[], asyncio.BaseProtocol]:
    if not isinstance(listener, Listener):
        from .doors.smtp import SmtpConnection

        return lambda: SmtpConnection(listener)
    if bare:  # uvloop
        return lambda: cast(asyncio.BaseProtocol, MilterConnection(listener))
    return lambda: BufferedConnection(MilterConnection(listener))


async def _close_when_unused(gate: Gate, after: Gate) -> None:
    """Close an old gate's connections when no mail that began with it can be under way any more."""
    await asyncio.sleep(gate.settings.workers.deadline_s)
    await gate.close(after)


def _now() -> datetime:
    return datetime.now(ZoneInfo(TIME_ZONE))


def adopt_journals(settings: Settings, count: int) -> None:
    """Hand the journals of workers that are no more, and of `check --record`, to the first worker."""
    folder = settings.journal_folder()
    for left in owners(folder) - set(map(journal_of, range(count))):
        adopt(folder, left, journal_of(0))
