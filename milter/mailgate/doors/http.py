"""The HTTP door on loopback: /healthz, /readyz and /metrics, in a process of its own."""

import asyncio
import contextlib
import signal
import socket
import time

from aiohttp import web

from ..config import Settings, load
from ..health import check_all
from ..metrics import Metrics
from ..worker import Orders, loop_factory

STALE_S = 10.0  # a worker that has not woken up for so long is not ready


def run(orders: Orders, sock: socket.socket, workers: int) -> int:
    """Serve until SIGTERM; return the exit status."""
    with asyncio.Runner(loop_factory=loop_factory(orders.settings)) as runner:
        return runner.run(_serve(orders, sock, workers))


async def _serve(orders: Orders, sock: socket.socket, workers: int) -> int:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    state = _State(orders.settings, orders.metrics, workers)
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGHUP, lambda: state.reload(orders))

    def orphaned() -> None:
        loop.remove_reader(orders.line)
        stopping.set()

    loop.add_reader(orders.line, orphaned)
    application = web.Application()
    application.add_routes(
        [
            web.get("/healthz", state.healthz),
            web.get("/readyz", state.readyz),
            web.get("/metrics", state.show_metrics),
        ]
    )
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    orders.line.send(b"R")
    await stopping.wait()
    await runner.cleanup()
    return 0


class _State:
    def __init__(self, settings: Settings, metrics: Metrics, workers: int) -> None:
        self._settings = settings
        self._metrics = metrics
        self._workers = workers

    def reload(self, orders: Orders) -> None:
        """Take the new configuration; the supervisor has validated it."""
        with contextlib.suppress(Exception):
            self._settings = load(orders.config)

    def _live_workers(self) -> int:
        now = time.monotonic()
        return sum(now - self._metrics.heartbeat(row) < STALE_S for row in range(self._workers))

    async def healthz(self, request: web.Request) -> web.Response:
        """Tell whether the daemon itself is alive."""
        live = self._live_workers()
        return web.json_response(
            {"alive": live > 0, "workers": live, "wanted": self._workers}, status=200 if live else 503
        )

    async def readyz(self, request: web.Request) -> web.Response:
        """Tell whether mail would be judged in full: each dependency, and whether mail stops without it."""
        found = await check_all(self._settings)
        live = self._live_workers()
        ready = live > 0 and all(health.ok for health in found if health.required)
        dependencies = {
            health.name: {"ok": health.ok, "required": health.required, "detail": health.detail} for health in found
        }
        body = {"ready": ready, "workers": live, "dependencies": dependencies}
        return web.json_response(body, status=200 if ready else 503)

    async def show_metrics(self, request: web.Request) -> web.Response:
        """Return the counters of all processes."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})
