"""The SMTP door on a loopback port, in a thread with a loop of its own."""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.lab.waiting import until

from mailgate.doors.milter import Hook
from mailgate.doors.smtp import SmtpConnection, SmtpListener
from mailgate.gate import Gate


class SmtpDoor:
    """Use it in a `with` block; `gate` is the next connection's and the next mail's, `hooks` are too."""

    def __init__(
        self,
        gate: Gate,
        hooks: tuple[Hook, ...] = (),
        make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        self.gate = gate
        self.port = 0
        self._hooks = hooks
        self._loop = make_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks of its listener; the first is the door's."""
        return self._listener.hooks

    @hooks.setter
    def hooks(self, hooks: tuple[Hook, ...]) -> None:
        self._listener.hooks = hooks

    def open_connections(self) -> int:
        """Return how many connections are open."""
        return len(self._listener.connections)

    def forget_offers(self) -> None:
        """Forget what the next hop offered, as after a start."""
        self._listener.offers = None

    async def _serve(self) -> asyncio.Server:
        self._listener = SmtpListener("loopback", self._hooks, lambda: self.gate)
        return await asyncio.get_running_loop().create_server(
            lambda: SmtpConnection(self._listener), "127.0.0.1", 0, backlog=1_024
        )

    async def _stop(self) -> None:
        self._server.close()
        for connection in list(self._listener.connections):
            connection.close()
        await until(lambda: not self._listener.connections, 5, "the door's connections to end")
