"""Mail through a real Postfix while the ledger's Redis fails, and what the ledger says of it afterwards.

    python -m tests.lab.ledger_faults [--mails 20000] [--only NAME ...]

Senders repeat a mail that is deferred, unchanged, as real ones do. Each mailbox must have received, by the ledger,
exactly the mails that Postfix answered with 250.
"""

import argparse
import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.daemon import Daemon
from tests.lab.ports import free_port
from tests.lab.redis import Redis, RedisCluster, RedisSentinel
from tests.lab.smtp_client import SmtpClient
from tests.lab.system import MailSystem, mail_system
from tests.lab.waiting import wait_until

SENDERS = 8
MAILBOXES = [f"nhan{number}@hanam.gov.vn" for number in range(60)]
BETWEEN_S = 2.0  # faults of one run
_PATIENCE_S = 0.02  # of a sender whose mail was deferred
_LONGEST_S = 900.0
MEMORY = Path("/dev/shm")

Fault = Callable[[MailSystem], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What fails while mail comes in: `server` gives the store's URL and one fault, which ends as it began."""

    name: str
    server: Callable[[], contextlib.AbstractContextManager[tuple[str, Fault]]]


@dataclass(slots=True)
class Result:
    """What a run saw. seconds: of each mail, from its first attempt to its 250."""

    answered: Counter[str] = field(default_factory=Counter)
    counted: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    deferred: int = 0
    faults: int = 0
    took_s: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Tell whether the ledger has each mail that was answered with 250, once."""
        return dict(self.answered) == self.counted


class Senders:
    """Threads that send so many mails altogether, each over a connection of its own; use it in a `with` block."""

    def __init__(self, port: int, mails: int) -> None:
        self.result = Result()
        self._port = port
        self._left = mails
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._left = 0
        for thread in self._threads:
            thread.join()

    @property
    def are_done(self) -> bool:
        """Tell whether every mail has been taken up."""
        return self._left <= 0

    def _send(self, number: int) -> None:
        chance = random.Random(number)
        client: SmtpClient | None = None
        while True:
            with self._lock:
                if self._left <= 0:
                    break
                self._left -= 1
                name = f"{self._left}.{os.getpid()}@example.com"
            mailbox = chance.choice(MAILBOXES)
            began = time.monotonic()
            while True:
                try:
                    if client is None:
                        client = SmtpClient(self._port)
                        client.ehlo()
                    reply = _attempt(client, mailbox, name)
                    if reply.startswith("250"):
                        break
                    client.close()
                except OSError:  # Postfix hung up
                    pass
                client = None  # smtpd asks a milter that failed no more for as long as the connection lasts
                with self._lock:
                    self.result.deferred += 1
                time.sleep(_PATIENCE_S)
            with self._lock:
                self.result.answered[mailbox] += 1
                self.result.took_s = time.monotonic() - self._began
                self.result.seconds.append(time.monotonic() - began)


def _attempt(client: SmtpClient, mailbox: str, name: str) -> str:
    reply = client.mail("lan@example.com")
    if reply.startswith("250"):
        reply = client.rcpt(mailbox)
    if reply.startswith("250"):
        reply = client.data(f"Message-ID: <{name}>\r\nSubject: thu\r\n\r\nxin chao\r\n".encode())
    return reply


def run(scenario: Scenario, mails: int, between_s: float = BETWEEN_S) -> Result:
    """Send so many mails, a fault every few seconds; return what was answered and what was counted."""
    parent = MEMORY if MEMORY.is_dir() else Path("/tmp")
    with scenario.server() as (url, fault), _system(url, parent) as system:
        with Senders(system.postfix.smtp_port, mails) as senders:
            deadline = time.monotonic() + _LONGEST_S
            while not senders.are_done:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{scenario.name}: {senders.result.answered.total()} of {mails} mails sent")
                fault(system)
                senders.result.faults += 1
                wait_until_done(senders, between_s)
        result = senders.result
        folder = system.mailgate.folder
        wait_until(lambda: not list(folder.glob("*.journal")), 60, "all that was noted to be counted")
        with contextlib.suppress(TimeoutError):  # then the result says what is missing
            wait_until(lambda: system.mailgate.received() == dict(result.answered), 15, "the ledger to be exact")
        result.counted = system.mailgate.received()
        return result


def wait_until_done(senders: Senders, seconds: float) -> None:
    """Wait so long, or until all mail was taken up."""
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: senders.are_done, seconds, "the senders")


@contextlib.contextmanager
def _system(url: str, parent: Path) -> Iterator[MailSystem]:
    with mail_system({"store": {"url": url}}, deliver_to=None, parent=parent) as system:
        yield system


# -- the faults ------------------------------------------------------------------------------------


def _killed(server: Daemon) -> Fault:
    def fault(system: MailSystem) -> None:
        server.kill()
        time.sleep(1.0)  # of its absence
        server.start()

    return fault


def _frozen(server: Daemon) -> Fault:
    def fault(system: MailSystem) -> None:
        server.freeze()
        time.sleep(3.0)
        server.thaw()

    return fault


def _read_only(server: Redis) -> Fault:
    nowhere = free_port()

    def fault(system: MailSystem) -> None:
        server.ask(f"REPLICAOF 127.0.0.1 {nowhere}")
        time.sleep(2.0)
        server.ask("REPLICAOF NO ONE")

    return fault


def _filled(server: Redis) -> Fault:
    def fault(system: MailSystem) -> None:
        server.ask("CONFIG SET maxmemory 1mb")
        time.sleep(2.0)
        server.ask("CONFIG SET maxmemory 0")

    return fault


def _workers_killed(system: MailSystem) -> None:
    for pid in system.mailgate.workers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    time.sleep(2.0)  # of their life: what dies at once is started later


@contextlib.contextmanager
def _sentinel() -> Iterator[tuple[str, Fault]]:
    with RedisSentinel() as site:
        servers = [site.master, site.replica]

        def fault(system: MailSystem) -> None:
            master, replica = servers
            master.kill()
            wait_until(lambda: "role:master" in replica.read("INFO replication"), 30, "the replica to take over")
            time.sleep(1.0)
            master.start()
            wait_until(lambda: "role:slave" in master.read("INFO replication"), 30, "the old master to follow")
            wait_until(lambda: "master_link_status:up" in master.read("INFO replication"), 30, "it to be in step")
            servers.reverse()

        yield site.url, fault


@contextlib.contextmanager
def _cluster() -> Iterator[tuple[str, Fault]]:
    with RedisCluster(durable=True) as cluster:

        def fault(system: MailSystem) -> None:
            _killed(random.choice(cluster.nodes))(system)

        yield cluster.url, fault


def _named(name: str, make: Callable[[Redis], Fault], settings: str = "", durable: bool = True) -> Scenario:
    @contextlib.contextmanager
    def server() -> Iterator[tuple[str, Fault]]:
        with Redis(durable=durable, settings=settings) as redis:
            yield redis.url, make(redis)

    return Scenario(name, server)


SCENARIOS = (
    _named("nothing fails", lambda server: lambda system: None),
    _named("killed", _killed),
    # Once a second at the most: what came since the last snapshot is gone with the process.
    _named("killed, older snapshot", _killed, settings="save 1 1", durable=False),
    _named("frozen for 3 s", _frozen),
    _named("READONLY", _read_only),
    _named("full (OOM)", _filled),
    _named("workers killed", lambda server: _workers_killed),
    Scenario("Sentinel, failover", _sentinel),
    Scenario("Cluster, a node killed", _cluster),
)


def report(name: str, result: Result) -> str:
    """Return one line of the table."""
    seconds = sorted(result.seconds)
    return (
        f"{name:24} {sum(result.answered.values()):7} {sum(result.counted.values()):7} "
        f"{'yes' if result.is_exact else 'NO':5} {result.deferred:8} {result.faults:6} "
        f"{seconds[len(seconds) // 2] * 1_000:7.1f} {seconds[len(seconds) * 99 // 100] * 1_000:7.1f} "
        f"{seconds[-1] * 1_000:8.1f} {len(seconds) / result.took_s:7.0f}"
    )


HEAD = "                          answered counted exact deferred faults  p50 ms  p99 ms   max ms  mails/s"


def main() -> int:
    """Run the scenarios, and print a line of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    print(HEAD)
    failed = 0
    for scenario in SCENARIOS:
        if not arguments.only or scenario.name in arguments.only:
            result = run(scenario, arguments.mails)
            failed += not result.is_exact
            print(report(scenario.name, result), flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
