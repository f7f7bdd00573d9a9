"""The bench of `mailgate check`: the configured policy, states and probes, and a history that ends with it.

With `record`, history and incidents go to the configured store and log, as the daemon's would.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any
from zoneinfo import ZoneInfo

from .config import TIME_ZONE, Settings
from .gate import Gate, Services
from .incidents.log import IncidentLog
from .incidents.recorder import Recorder
from .ledger.commits import Commits, Report
from .ledger.fresh import Fresh
from .ledger.history import History
from .ledger.journal import Journal
from .ledger.opening import open_store
from .ledger.sqlite_rates import RatesInMemory
from .ledger.store import Store, StoreError
from .lists.site import SiteLists
from .mailboxes.states import StateFollower
from .mailboxes.takeover import BY, CLAUSE, to_lock
from .metrics import Metrics
from .model import ActivityEvent, MailboxState, MailboxStatus, Noted, Sending, SendingLimits, Trace, Verdict


class Scratch:
    """A notebook and a ledger in memory."""

    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []
        self.events: dict[bytes, ActivityEvent] = {}
        self.traces: dict[int, list[bytes]] = {}
        self._rates = RatesInMemory()
        self.advertisements: dict[tuple[str, str], dict[bytes, float]] = {}

    def note_record(self, record: Mapping[str, Any]) -> asyncio.Future[None]:
        """Keep an incident."""
        self.records.append(record)
        return _done()

    def note(self, noted: Sequence[Noted]) -> bool:
        """Keep events, each key once, and traces."""
        for item in noted:
            if isinstance(item, ActivityEvent):
                self.events.setdefault(item.key, item)
            elif isinstance(item, Trace):
                for key in filter(None, (item.queue_key, item.message_key)):
                    self.traces.setdefault(key, []).append(item.value)
        return True

    async def commit(self, noted: Sequence[Noted]) -> None:
        """Do the same; never called, since `note` takes all."""
        self.note(noted)

    async def sending(
        self, login: str, key: bytes, recipients: int, network: str, at: float, limits: SendingLimits
    ) -> Sending:
        """Note that a login hands a mail over, and let it pass or wait, as a store does."""
        return self._rates.sending(login, key, recipients, network, at, limits)

    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        """Note an advertisement, and return how many each recipient had within 24 hours, as a store would."""
        counts = {}
        for recipient in recipients:
            seen = self.advertisements.setdefault((advertiser, recipient), {})
            seen.setdefault(key, at)
            counts[recipient] = sum(at - 86_400 < then <= at for then in seen.values())
        return counts


class ScratchLocker:
    """Locks mailboxes for the cases that follow alone: a trial locks out nobody, even where it is recorded."""

    def __init__(self, follower: StateFollower) -> None:
        self._follower = follower

    def take(self, verdict: Verdict, case: str) -> None:
        """Lock the mailboxes that a recorded verdict names."""
        known = self._follower.states or {}
        locked = {
            mailbox: MailboxState(mailbox, MailboxStatus.LOCKED, CLAUSE, reason, case, by=BY)
            for mailbox, reason in to_lock(verdict)
        }
        self._follower.states = {**locked, **known}


class ScratchTraces:
    """The traces of earlier cases, before those of the configured store, where there is one."""

    is_shared = False

    def __init__(self, scratch: Scratch, store: Store | None) -> None:
        self._scratch = scratch
        self._store = store

    async def recall(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the values of traces by their keys."""
        stored = await self._store.recall(keys) if self._store is not None else []
        return [*stored, *((key, value) for key in keys for value in self._scratch.traces.get(key, ()))]

    def recall_at_once(self, queue_keys: Sequence[int], message_key: int) -> None:
        """Return None: one case after the other has the time."""

    async def secret(self) -> bytes:
        """Return the store's key, or one for this command alone."""
        return await self._store.secret() if self._store is not None else secrets.token_bytes(32)


class _Notes:
    def __init__(self, scratch: Scratch) -> None:
        self.note = scratch.note_record


def _done() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


class Bench:
    """A gate without doors, for as long as `async with` lasts."""

    def __init__(self, settings: Settings, record: bool = False) -> None:
        self._settings = settings
        self._record = record
        self.scratch = Scratch()

    async def __aenter__(self) -> "Bench":
        settings = self._settings
        self._store = open_store(settings.store.url, settings.folder)
        self._commits: Commits | None = None
        self._recorder: Recorder | None = None
        notebook: Any = _Notes(self.scratch)
        ledger: Any = self.scratch
        if self._record:
            journal = Journal(settings.journal_folder(), "activity-check")
            ledger = self._commits = Commits(
                self._store, journal, settings.journal_folder(), Report(), settings.node()
            )
            notebook = self._recorder = Recorder(IncidentLog(settings.incidents_folder()), _now)
        reads_names = settings.policy().reads_names
        follower = StateFollower(self._store, lambda error: None, wants_names=lambda: reads_names)
        exists = self._record or _exists(settings)
        past = History(
            self._store if self._record else ScratchTraces(self.scratch, self._store if exists else None),
            Fresh(),
            settings.keep_s(),
            late_s=0,  # one case after the other: nothing is on its way
        )
        if exists:
            try:
                await follower.load()
                await follower.load_names()
                await past.load()
            except StoreError:
                if self._record:
                    raise
        else:
            follower.states = {}  # a store that was never made holds no states
            await past.load()
        metrics = Metrics(1, list(settings.rules))
        aliases = settings.aliases()
        aliases.take((await asyncio.to_thread(aliases.read))[0])
        lists = SiteLists(settings.lists_folder())
        found, lexicon, _ = await asyncio.to_thread(lists.read)
        lists.take(found, lexicon)
        self._services = Services(
            notebook,
            ledger,
            follower,
            metrics,
            settings.node(),
            past,
            aliases=aliases,
            rates=self._store if self._record else self.scratch,
            locker=ScratchLocker(follower),
            lists=lists,
            now=_now,
        )
        self._gate = Gate(settings, self._services)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._commits is not None:
            await self._commits.flush()
        if self._recorder is not None:
            await self._recorder.flush()
        await self._gate.close()
        await self._store.close()

    def gate_at(self, at: datetime | None) -> Gate:
        """Return the gate, its clock standing at this time (None: the real one)."""
        if at is None:
            return self._gate
        return self._gate.with_services(replace(self._services, now=lambda: at, seconds=at.timestamp))


def _exists(settings: Settings) -> bool:
    """Tell whether the store is there: asking an embedded one would make its file."""
    file = settings.store_file()
    return file is None or file.exists()


def _now() -> datetime:
    return datetime.now(ZoneInfo(TIME_ZONE))
