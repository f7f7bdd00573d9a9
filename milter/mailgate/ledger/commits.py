"""The way of activity events into the store, and what happens while the store is away.

While the store fails, events go to a journal on local disk, and are counted when it is back; their
keys make counting them twice harmless.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from ..batches import LARGEST_BATCH, Batches
from ..model import ActivityEvent, ActivityKind
from .store import Store, StoreError

RETRY_S = 1.0


class Commits:
    """One worker's way into the store.

    journal: the file that takes events while the store is away. report(failing, reason) is called when
    the store goes away and when it is back.
    """

    def __init__(self, store: Store, journal: Path, report: Callable[[bool, str], None]) -> None:
        self._store = store
        self._journal = journal
        self._report = report
        self._batches = Batches(self._save)
        self._retry: asyncio.TimerHandle | None = None
        self._disk = ThreadPoolExecutor(1, "journal")
        self.failing = False
        self._recovering = False

    def note(self, events: Sequence[ActivityEvent]) -> asyncio.Future[None]:
        """Take events; the future is done once they are durable, in the store or in the journal.

        It has an OSError when neither takes them: then the mail must not be answered 250.
        """
        return self._batches.note(events)

    async def recover(self) -> None:
        """Count what an earlier run left in the journal."""
        if self._journal.exists():
            self.failing = True
            await self._try_again()

    async def flush(self) -> None:
        """Wait until everything noted is durable, and stop."""
        await self._batches.flush()
        if self._retry is not None:
            self._retry.cancel()
        self._disk.shutdown(wait=True)

    async def _save(self, batch: Sequence[ActivityEvent]) -> None:
        if not self.failing:
            try:
                await self._store.commit(batch)
                return
            except StoreError as error:
                self.failing = True
                self._report(True, str(error))
                self._retry_later()
        await asyncio.get_running_loop().run_in_executor(self._disk, self._write_journal, batch)

    def _write_journal(self, batch: Sequence[ActivityEvent]) -> None:
        lines = b"".join(
            orjson.dumps([event.key.hex(), event.kind, event.mailbox, event.at, event.octets]) + b"\n"
            for event in batch
        )
        with open(self._journal, "ab") as file:
            file.write(lines)
            file.flush()
            os.fdatasync(file.fileno())

    def _retry_later(self) -> None:
        loop = asyncio.get_running_loop()
        if self._retry is not None:
            self._retry.cancel()
        self._retry = loop.call_later(RETRY_S, lambda: loop.create_task(self._try_again()))

    async def _try_again(self) -> None:
        """Once the store answers, send it new batches again, and count the journal; else try again later."""
        if self._recovering:
            self._retry_later()
            return
        self._recovering = True
        loop = asyncio.get_running_loop()
        try:
            await self._store.states_version()
            self.failing = False  # from here on nothing more is written to the journal
            while events := await loop.run_in_executor(self._disk, self._read_journal):
                for start in range(0, len(events), LARGEST_BATCH):
                    await self._store.commit(events[start : start + LARGEST_BATCH])
                # What a batch wrote that was under way meanwhile is read in the next turn.
                if await loop.run_in_executor(self._disk, self._remove_journal, len(events)):
                    break
            self._report(self.failing, "")
        except (StoreError, OSError):
            self.failing = True
            self._retry_later()
        finally:
            self._recovering = False

    def _read_journal(self) -> list[ActivityEvent]:
        events = []
        with contextlib.suppress(FileNotFoundError), open(self._journal, "rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):  # a line that a crash cut: its mail was never answered
                    key, kind, mailbox, at, octets = orjson.loads(line)
                    events.append(ActivityEvent(bytes.fromhex(key), ActivityKind(kind), mailbox, at, octets))
        return events

    def _remove_journal(self, counted: int) -> bool:
        """Remove the journal unless it has grown since it was read."""
        if len(self._read_journal()) > counted:
            return False
        self._journal.unlink(missing_ok=True)
        return True
