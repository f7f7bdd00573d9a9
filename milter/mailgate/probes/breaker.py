"""A service that hangs costs a few mails their wait, and no more: then nobody asks until it answers again.

A time-out alone does not open a breaker: one hostile mail that keeps a scanner busy would do that to everybody. The
service is asked whether it lives, on nobody's time; only where that has no answer either, nobody waits for it until
it has one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger()

PING_S = 2.0  # for a service to say that it lives; what takes longer keeps every mail waiting
AGAIN_S = 2.0  # between two looks whether a service is back


class Breaker:
    """Of one service. ping: asks whether it lives; raises OSError or TimeoutError. say: is told when it opens and
    closes."""

    def __init__(
        self, name: str, ping: Callable[[], Awaitable[object]], say: Callable[[bool], None] = lambda is_open: None
    ) -> None:
        self.name = name
        self.ping = ping
        self._say = say
        self._watch: asyncio.Task[None] | None = None
        self.is_open = False

    def timed_out(self) -> None:
        """A mail waited in vain: look whether the service lives."""
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._look())

    async def close(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self.is_open:
            self._set(False)

    async def _look(self) -> None:
        while not await self._lives():
            if not self.is_open:
                log.error("service hangs: it is not asked until it answers", service=self.name)
                self._set(True)
            await asyncio.sleep(AGAIN_S)
        if self.is_open:
            log.info("service answers again", service=self.name)
            self._set(False)

    async def _lives(self) -> bool:
        try:
            async with asyncio.timeout(PING_S):
                await self.ping()
        except TimeoutError:
            return False
        except Exception:  # a refusal is an answer: who asks hears of it at once
            return True
        return True

    def _set(self, is_open: bool) -> None:
        self.is_open = is_open
        self._say(is_open)
