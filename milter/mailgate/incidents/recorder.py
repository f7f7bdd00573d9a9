"""The incident log for a daemon: many mails' records in one write, off the loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from ..batches import Batches
from .log import IncidentLog


class Recorder:
    """One worker's way into the log."""

    def __init__(self, log: IncidentLog, clock: Callable[[], datetime]) -> None:
        self._log = log
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "incidents")
        self._batches = Batches(self._save)

    def note(self, record: Mapping[str, Any]) -> asyncio.Future[None]:
        """Take one record; the future is done once its line is on disk, or has the OSError."""
        return self._batches.note([record])

    async def flush(self) -> None:
        """Wait until everything noted is on disk, and stop."""
        await self._batches.flush()
        self._thread.shutdown(wait=True)

    async def _save(self, records: Sequence[Mapping[str, Any]]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._log.append, records, self._clock())
