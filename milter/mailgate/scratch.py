"""The bench of `mailgate check`: the configured policy, states and probes, and a history that ends with it.

With `record`, history and incidents go to the configured store and log, as the daemon's would.
"""

import asyncio
import socket
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
from .ledger.commits import Commits
from .ledger.journal import Journal
from .ledger.store import StoreError, open_store
from .mailboxes.states import StateFollower
from .metrics import Metrics
from .model import ActivityEvent


class Scratch:
    """A notebook and a ledger in memory."""

    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []
        self.events: dict[bytes, ActivityEvent] = {}

    def note_record(self, record: Mapping[str, Any]) -> asyncio.Future[None]:
        """Keep an incident."""
        self.records.append(record)
        return _done()

    def note(self, events: Sequence[ActivityEvent]) -> bool:
        """Keep events, each key once."""
        for event in events:
            self.events.setdefault(event.key, event)
        return True

    async def commit(self, events: Sequence[ActivityEvent]) -> None:
        """Do the same; never called, since `note` takes all."""
        self.note(events)


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
            ledger = self._commits = Commits(self._store, journal, lambda failing, reason: None)
            notebook = self._recorder = Recorder(IncidentLog(settings.incidents_folder()), _now)
        follower = StateFollower(self._store, lambda error: None)
        if self._record or _exists(settings):
            try:
                await follower.load()
            except StoreError:
                if self._record:
                    raise
        else:
            follower.states = {}  # a store that was never made holds no states
        metrics = Metrics(1, list(settings.rules))
        self._services = Services(notebook, ledger, follower, metrics, socket.gethostname(), _now)
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
    scheme, _, path = settings.store.url.partition(":")
    return scheme != "sqlite" or (settings.folder / path.removeprefix("//")).exists()


def _now() -> datetime:
    return datetime.now(ZoneInfo(TIME_ZONE))
