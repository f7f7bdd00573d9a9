"""The supervisor: binds the doors, starts the workers, starts them again, stops and reloads them.

It judges no mail and has no loop. The sockets are its own, so that a worker's death refuses no
connection; the workers are forked before anything runs that a fork would break. A worker notices the
supervisor's death by its line, and ends too.
"""

import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from . import __version__, logs, systemd_notify, worker
from .config import ConfigError, Settings, load, parse_host_port
from .folder_locks import lock_folders
from .ledger.fresh import Fresh
from .metrics import Metrics
from .sockets import open_listeners

log = structlog.get_logger()

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_TURN_S = 0.5
HUNG_S = 30.0
"""A worker whose loop has not turned for so long is killed: nothing we do takes a tenth of it on the loop."""
_LATEST_RESTART_S = 5.0


@dataclass(slots=True)
class _Child:
    """A process that is kept running: its row of counters, what it does, and when it may start again."""

    row: int
    name: str
    run: Callable[[worker.Orders], int]
    pid: int = 0
    line: socket.socket | None = None
    ready: bool = False
    started: float = 0.0
    not_before: float = 0.0
    failures: int = 0


def serve(config: Path | None) -> int:
    """Run the daemon until SIGTERM; return the exit status. Raises ConfigError before anything is started."""
    settings = load(config)
    logs.configure(settings.log.level, settings.log.format)
    return Supervisor(config, settings).run()


class Supervisor:
    """The parent of all processes of one daemon."""

    def __init__(self, config: Path | None, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._count = settings.workers.count or os.cpu_count() or 1
        self._locks = lock_folders(settings)  # before anything of another daemon's is touched
        self._listeners = open_listeners(settings.listen, systemd_notify.inherited_sockets())
        self._http = self._open_http() if settings.listen.http else None
        self._metrics = Metrics(self._count + 2, list(settings.rules))
        self._fresh = Fresh()
        self._children = [_Child(row, f"worker {row}", worker.run) for row in range(self._count)]
        if self._http is not None:
            self._children.append(_Child(self._count, "http", self._run_http))
        self._metrics.use_row(self._count + 1)
        self._announced = False

    def run(self) -> int:
        """Keep the children running until SIGTERM or SIGINT."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        worker.adopt_journals(self._settings, self._count)
        self._warn_of_what_is_off()
        if self._settings.listen.smtp:
            from .doors import smtp  # noqa: F401  # once, for all workers to share
        gc.collect()
        gc.freeze()  # the workers share what is there now; collecting it would copy the pages
        watchdog = systemd_notify.watchdog_s()
        turn_s = min(_TURN_S, watchdog / 3) if watchdog else _TURN_S
        for child in self._children:
            self._start(child)
        while True:
            caught = signal.sigtimedwait(_SIGNALS, turn_s if self._announced else 0.01)
            number = caught.si_signo if caught else 0
            if number in (signal.SIGTERM, signal.SIGINT):
                return self._stop()
            if number == signal.SIGHUP:
                self._reload()
            self._bury()
            self._hear()
            self._kill_hung()
            for child in self._children:
                if not child.pid and time.monotonic() >= child.not_before:
                    self._start(child)
            # Not before the manager was told READY: it does not count these, and a full queue would hold us up.
            if watchdog and self._announced and all(child.pid for child in self._children):
                systemd_notify.notify("WATCHDOG=1")

    # -- children -----------------------------------------------------------------------------

    def _start(self, child: _Child) -> None:
        ours, theirs = socket.socketpair()
        logs.flush()
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                ours.close()
                for other in self._children:
                    if other.line is not None:
                        other.line.close()
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
                status = child.run(self._orders(child, theirs))
            except BaseException:  # a child must never go on as a second supervisor
                traceback.print_exc()
            finally:
                logs.flush()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        theirs.close()
        ours.setblocking(False)
        child.pid, child.line, child.ready, child.started = pid, ours, False, time.monotonic()

    def _orders(self, child: _Child, line: socket.socket) -> worker.Orders:
        return worker.Orders(
            child.row, self._config, self._settings, self._listeners, self._metrics, line, self._fresh
        )

    def _run_http(self, orders: worker.Orders) -> int:
        from .doors import http

        assert self._http is not None
        return http.run(orders, self._http, self._count)

    def _bury(self) -> None:
        """Take note of children that ended, and when each may start again: at once, later if it keeps dying."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = next((child for child in self._children if child.pid == pid), None)
            if child is None:
                continue
            self._forget(child)
            now = time.monotonic()
            child.failures = child.failures + 1 if now - child.started < 1.0 else 0
            child.not_before = now + min(_LATEST_RESTART_S, 0.1 * 2**child.failures if child.failures else 0.0)
            self._metrics.add("worker_restarts")
            log.error("child ended: starting it again", child=child.name, pid=pid, status=_status(status))

    def _forget(self, child: _Child) -> None:
        child.pid = 0
        if child.line is not None:
            child.line.close()
            child.line = None

    def _hear(self) -> None:
        """Read which children are ready, and announce the daemon once all are."""
        for child in self._children:
            if child.line is not None and not child.ready:
                try:
                    child.ready = child.line.recv(1) == b"R"
                except BlockingIOError:
                    continue
                except OSError:
                    child.ready = False
        if not self._announced and all(child.ready for child in self._children):
            self._announced = True
            log.info(
                "ready",
                version=__version__,
                pid=os.getpid(),
                workers=self._count,
                milter=[listener.name for listener in self._listeners if listener.door == "milter"],
                smtp=[listener.name for listener in self._listeners if listener.door == "smtp"],
                http=self._settings.listen.http,
            )
            logs.flush()
            systemd_notify.notify(f"READY=1\nSTATUS={self._count} workers")

    def _kill_hung(self) -> None:
        now = time.monotonic()
        for child in self._children[: self._count]:
            beat = self._metrics.heartbeat(child.row)
            if child.pid and beat and now - max(beat, child.started) > HUNG_S:
                log.error("worker hangs: killing it", pid=child.pid, seconds=round(now - beat, 1))
                os.kill(child.pid, signal.SIGKILL)

    # -- orders from outside ------------------------------------------------------------------

    def _reload(self) -> None:
        """Validate the configuration, then tell the children; an invalid one changes nothing."""
        systemd_notify.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1_000}")
        try:
            settings = load(self._config)
        except ConfigError as error:
            log.error("reload refused: the old configuration stays", problems=error.problems)
        else:
            for key in ("listen", "hook", "store", "incidents", "limits", "forwarding", "notice"):
                if getattr(settings, key) != getattr(self._settings, key):
                    log.warning(f"[{key}] changes only with a restart", section=key)
            self._settings = settings
            for child in self._children:
                if child.pid:
                    os.kill(child.pid, signal.SIGHUP)
            log.info("reloaded")
        logs.flush()
        systemd_notify.notify("READY=1")

    def _stop(self) -> int:
        """Let the children finish what is begun, at most for the grace; kill what is left."""
        grace = self._settings.workers.stop_grace_s
        log.info("stopping", grace_s=grace)
        systemd_notify.notify("STOPPING=1")
        deadline = time.monotonic() + grace + 5.0
        for child in self._children:
            if child.pid:
                os.kill(child.pid, signal.SIGTERM)
        while any(child.pid for child in self._children):
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
            for child in self._children:
                if child.pid and _has_ended(child.pid):
                    self._forget(child)
            if time.monotonic() > deadline:
                for child in self._children:
                    if child.pid:
                        os.kill(child.pid, signal.SIGKILL)
        for listener in self._listeners:
            listener.socket.close()
        log.info("stopped")
        logs.flush()
        return 0

    # -- start --------------------------------------------------------------------------------

    def _open_http(self) -> socket.socket:
        host, port = parse_host_port(self._settings.listen.http)
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(64)
        except OSError as error:
            sock.close()
            raise ConfigError(
                [f"listen.http: {host}:{port}: {error.strerror}: change or free the address"]
            ) from error
        return sock

    def _warn_of_what_is_off(self) -> None:
        if not self._settings.clamav.address:
            log.warning("no virus scanner: [clamav] address is empty, the rule virus finds nothing")
        if not self._settings.spam.url:
            log.warning("no spam engine: [spam] url is empty, the rule spam finds nothing")
        if worker.loop_factory(self._settings) is None:
            log.warning("uvloop is not used: each mail costs about twice the processor time")


def _status(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
