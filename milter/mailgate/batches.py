"""Group work: items of many mails saved in one batch, one batch under way at a time.

The next batch gathers while one is saved, so that a busy worker makes large batches and an idle one
answers at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

LARGEST_BATCH = 1_000
GATHER_S = 0.002
"""How long the first item waits for others: a commit costs as much for ten mails as for one."""


class Batches(Generic[T]):
    """Gathers items and saves them by `save`, which raises when a batch could not be saved."""

    def __init__(self, save: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._save = save
        self._gathered: list[T] = []
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []  # (items up to and including its own, future)
        self._task: asyncio.Task[None] | None = None
        self._noted = 0
        self._saved = 0

    def note(self, items: Sequence[T]) -> asyncio.Future[None]:
        """Take items; the future is done once their batch is saved, or has the error that saving raised."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._gathered.extend(items)
        self._noted += len(items)
        self._waiters.append((self._noted, done))
        if self._task is None:
            self._task = loop.create_task(self._run())
        return done

    async def flush(self) -> None:
        """Wait until nothing is gathered and nothing under way."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._gathered:
                await asyncio.sleep(GATHER_S)
                batch, self._gathered = self._gathered[:LARGEST_BATCH], self._gathered[LARGEST_BATCH:]
                self._saved += len(batch)
                error: Exception | None = None
                try:
                    await self._save(batch)
                except Exception as failure:
                    error = failure
                ready = [future for upto, future in self._waiters if upto <= self._saved]
                self._waiters = [entry for entry in self._waiters if entry[0] > self._saved]
                for future in ready:
                    if not future.done():
                        if error is None:
                            future.set_result(None)
                        else:
                            future.set_exception(error)
        finally:
            self._task = None
