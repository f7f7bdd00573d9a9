"""The way of activity events and traces into the store: at once into the journal, in groups into the store.

What is in the journal is durable, so no answer to the MTA waits for the store; while the store is away
events only gather there. Their keys make counting them twice harmless.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..model import Noted
from .journal import Journal, read
from .store import Store, StoreError

GROUP_S = 0.25
"""How long events wait for others: a page of the store that many of them change is then written once."""
LARGEST_BATCH = 1_000
RETRY_S = 1.0


class Commits:
    """One worker's way into the store.

    report(failing, reason) is called when the store goes away and when it is back.
    """

    def __init__(self, store: Store, journal: Journal, report: Callable[[bool, str], None]) -> None:
        self._store = store
        self._journal = journal
        self._report = report
        self._waiting: list[Noted] = []  # what of the journal's current file is to be committed
        self._timer: asyncio.TimerHandle | None = None  # the next commit, or the next try
        self._task: asyncio.Task[None] | None = None
        self._disk = ThreadPoolExecutor(1, "journal")
        self.failing = False

    def note(self, events: Sequence[Noted]) -> bool:
        """Take events, and tell whether they are durable; False where the journal cannot be written."""
        try:
            self._journal.append(events)
        except OSError:
            return False
        if not self.failing:
            self._waiting += events
            if self._timer is None and self._task is None:
                self._start_in(GROUP_S, self._commit)
        return True

    async def commit(self, events: Sequence[Noted]) -> None:
        """Commit events to the store itself; raises StoreError."""
        await self._store.commit(events)

    async def recover(self) -> None:
        """Count what an earlier run left in the journal."""
        if self._journal.ended():
            await self._count_journal()

    async def flush(self) -> None:
        """Bring everything noted into the store, if it answers, and stop."""
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
        events, self._waiting = self._waiting, []
        path = self._journal.roll()
        try:
            await self._save(events)
            if path is not None:
                path.unlink(missing_ok=True)
        except (StoreError, OSError) as error:
            self.failing = True
            self._report(True, str(error))
        finally:  # after an error of our own too: what it left is in the journal, what comes is still counted
            self._go_on()

    async def _count_journal(self) -> None:
        """Count all that is in the journal, once the store answers; else try again later."""
        was_failing, self.failing = self.failing, True
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._disk, self._journal.sync)
            await self._store.states_version()
            # From here on events are committed as they come: what stands in the journal now has an end.
            self._journal.roll()
            ended = self._journal.ended()
            self.failing = False
            for path in ended:
                await self._save(await loop.run_in_executor(self._disk, read, path))
                path.unlink(missing_ok=True)
        except (StoreError, OSError) as error:
            self.failing = True
            if not was_failing:
                self._report(True, str(error))
        else:
            if was_failing:
                self._report(False, "")
        finally:
            self._go_on()

    async def _save(self, events: Sequence[Noted]) -> None:
        for start in range(0, len(events), LARGEST_BATCH):
            await self._store.commit(events[start : start + LARGEST_BATCH])

    def _go_on(self) -> None:
        """Set the clock for what is next: a commit where something waits, a try where the store is away."""
        self._task = None
        if self.failing:
            self._waiting = []  # the journal has them
            self._start_in(RETRY_S, self._count_journal)
        elif self._waiting:
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
