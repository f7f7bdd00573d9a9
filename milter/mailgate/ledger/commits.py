"""The way of activity events and traces into the store: at once into the journal, in groups into the store.

What is in the journal is durable, so no answer to the MTA waits for the store; while the store is away events only
gather there, up to a bound. Each file of the journal is one batch, which the store takes once, in order; where it
turns out to have lost what it had, it is given everything again that the journal still has.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from ..model import Beat, Noted
from .journal import LARGEST_BATCH, Journal, number_of, octets_of, read
from .store import Batch, Store, StoreError, WentBack

log = structlog.get_logger()

GROUP_S = 0.25
"""How long events wait for others: a page of the store that many of them change is then written once."""
RETRY_S = 1.0
BEAT_S = 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the journal may take.

    octets: of all journals in the folder together. drops: what goes beyond it is not counted, instead of not taken.
    keep_s: how long counted batches are kept for a store that loses them; 0 for one that does not.
    """

    octets: int = 1_073_741_824
    drops: bool = False
    keep_s: float = 0.0


@dataclass(slots=True)
class Report:
    """What is told: that the store is away or back, the octets that wait for it, events that are not counted."""

    away: Callable[[bool, str], None] = lambda failing, reason: None
    waiting: Callable[[int], None] = lambda octets: None
    full: Callable[[bool], None] = lambda full: None
    dropped: Callable[[int], None] = lambda events: None


class Commits:
    """One worker's way into the store; `beats` where it tells for its node that it counts."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        folder: Path,
        report: Report,
        node: str = "",
        bounds: Bounds = Bounds(),
        beats: bool = False,
    ) -> None:
        self._store = store
        self._journal = journal
        self._folder = folder
        self._report = report
        self._node = node
        self._bounds = bounds
        self._waiting: list[Noted] = []  # what of the journal's current file is to be committed
        self._files: list[tuple[Path, list[Noted]]] = []  # files that ended, with what they hold
        self._timer: asyncio.TimerHandle | None = None  # the next commit, or the next try
        self._task: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._beats = beats
        self._disk = ThreadPoolExecutor(1, "journal")
        self._lost = False  # the store lost what it had
        self._full = False
        self.failing = False

    def note(self, events: Sequence[Noted]) -> bool:
        """Take events, and tell whether they are durable; False where the journal cannot be written, or is full."""
        if self._full:
            if self._bounds.drops:
                self._report.dropped(len(events))
            return self._bounds.drops
        try:
            self._journal.append(events)
        except OSError:
            return False
        if self.failing:
            if self._journal.lines >= LARGEST_BATCH:
                self._journal.roll()
            return True
        self._waiting += events
        if len(self._waiting) >= LARGEST_BATCH:
            self._end_file()
        if self._timer is None and self._task is None:
            self._start_in(GROUP_S, self._commit)
        return True

    async def commit(self, events: Sequence[Noted]) -> None:
        """Commit events to the store itself; raises StoreError."""
        await self._store.commit(Batch(events, node=self._node))

    def recover(self) -> asyncio.Task[None] | None:
        """Begin to count what earlier runs left in the journal, beside the mail that comes in, and begin to beat.

        Return the task that counts, None where nothing was left.
        """
        if self._journal.ended() or self._journal.archives():
            self._lost = True  # since a store may have lost it while nobody looked
            self._start(self._count_journal)
        if self._beats:
            self._beating = asyncio.get_running_loop().create_task(self._beat())
        return self._task

    async def flush(self) -> None:
        """Bring everything noted into the store, if it answers, and stop."""
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
            self.note([Beat(time.time())])
        if self._task is not None:
            await self._task
        self._stop_timer()
        if not self.failing:
            await self._commit()
        self._stop_timer()
        self._journal.roll()
        self._disk.shutdown(wait=True)

    async def _commit(self) -> None:
        """Commit what was noted since the last commit."""
        self._end_file()
        try:
            while self._files:
                path, events = self._files[0]
                await self._store.commit(Batch(events, self._journal.run, number_of(path), self._node))
                self._journal.archive(path, self._bounds.keep_s)
                del self._files[0]
        except Exception as error:
            self._fail(error)
        finally:
            self._go_on()

    async def _count_journal(self) -> None:
        """Count all that is in the journal, once the store answers; else try again later."""
        was_failing, self.failing = self.failing, True
        self._waiting, self._files = [], []  # the journal has them
        loop = asyncio.get_running_loop()
        try:
            await self._measure()
            await loop.run_in_executor(self._disk, self._journal.sync)
            await self._store.states_version()
            if self._lost:
                for path in self._journal.archives():
                    await self._count_file(path)
                self._lost = False
            # From here on events are committed as they come: what stands in the journal now has an end.
            self._journal.roll()
            ended = self._journal.ended()
            self.failing = False
            for path in ended:
                await self._count_file(path)
                self._journal.archive(path, self._bounds.keep_s)
            await self._measure()
        except Exception as error:
            self._fail(error, was_failing)
        else:
            if was_failing:
                self._report.away(False, "")
        finally:
            self._go_on()

    async def _count_file(self, path: Path) -> None:
        for batch in await asyncio.get_running_loop().run_in_executor(self._disk, read, path):
            await self._store.commit(replace(batch, node=self._node))

    def _fail(self, error: Exception, was_failing: bool = False) -> None:
        """Leave it to the journal, and try again later, after an error of our own too: nothing is lost by that."""
        if not isinstance(error, StoreError | OSError):
            log.error("own error in the ledger", exc_info=error)
        self.failing = True
        self._lost = self._lost or isinstance(error, WentBack)
        if not was_failing:
            self._report.away(True, str(error))

    def _end_file(self) -> None:
        events, self._waiting = self._waiting, []
        path = self._journal.roll()
        if path is not None and events:
            self._files.append((path, events))

    async def _measure(self) -> None:
        """Learn how much waits, and whether that is too much; archives give way first."""
        waiting, archived = await asyncio.get_running_loop().run_in_executor(self._disk, octets_of, self._folder)
        for path in self._journal.archives():
            if waiting + archived <= self._bounds.octets:
                break
            archived -= path.stat().st_size
            path.unlink(missing_ok=True)
        self._report.waiting(waiting)
        full = waiting > self._bounds.octets
        if full != self._full:
            self._full = full
            self._report.full(full)

    async def _beat(self) -> None:
        """Tell each minute that this node counts, and see whether the store still has what it had."""
        while True:
            self.note([Beat(time.time())])
            await asyncio.sleep(BEAT_S)
            if not self.failing:
                try:
                    await self._store.verify()
                except WentBack:
                    self._lost = True
                    if self._task is None:
                        self._stop_timer()
                        self._go_on()
                except StoreError:
                    pass  # the next commit meets it, too

    def _go_on(self) -> None:
        """Set the clock for what is next: a commit where something waits, a try where the store is not whole."""
        self._task = None
        if self.failing or self._lost:
            self._start_in(RETRY_S, self._count_journal)
        elif self._waiting or self._files:
            self._start_in(GROUP_S, self._commit)

    def _start_in(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._start, work)

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(work())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
