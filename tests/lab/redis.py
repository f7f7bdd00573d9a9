"""A private Redis server, which may be stopped, killed, frozen and started again under a test's feet."""

import contextlib
import socket
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.daemon import Daemon, find_program
from tests.lab.ports import free_port
from tests.lab.waiting import wait_until

TIMEOUT_S = 5.0


class Redis(Daemon):
    """redis-server on a Unix socket and on a loopback `port`.

    Its data lives in memory alone and is gone when it stops, unless `durable`: then each write is on disk
    (AOF, fsync always) before it is answered.  `settings` adds lines of redis.conf, such as "maxmemory 1mb".
    """

    def __init__(self, *, durable: bool = False, settings: str = "", parent: Path = Path("/tmp")) -> None:
        self._server = find_program("redis-server", "redis-server")
        self.port = free_port()
        self.tls_port = free_port()  # for who sets tls-port
        super().__init__("redis", parent)
        self.socket = self.folder / "redis.sock"
        self._config = self.folder / "redis.conf"
        self._config.write_text(
            f"bind 127.0.0.1\nport {self.port}\n"
            f"unixsocket {self.socket}\nunixsocketperm 777\n"
            f"dir {self.folder}\n"
            f'save ""\nappendonly {"yes" if durable else "no"}\nappendfsync always\n'
            f"{settings}\n"
        )

    @property
    def url(self) -> str:
        """Where it is over TCP, as mailgate.toml and redis clients write it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Where it is over its Unix socket."""
        return f"unix://{self.socket}?db=0"

    def command(self) -> list[str]:
        return [self._server, str(self._config)]

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask("PING") == "+PONG"
        return False

    def read(self, command: str) -> str:
        """Send one inline command and return its answer, a bulk string."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as link:
            link.sendall(command.encode() + b"\r\n")
            with link.makefile("rb") as answer:
                return answer.read(int(answer.readline()[1:])).decode()

    def ask(self, command: str) -> str:
        """Send one inline command and return the first line of its answer, such as "+PONG"."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as link:
            link.sendall(command.encode() + b"\r\n")
            with link.makefile("rb") as answer:
                return answer.readline().decode().rstrip("\r\n")


class _Several(ABC):
    """Servers that are one store together; use them in a `with` block."""

    def __init__(self) -> None:
        self._running = contextlib.ExitStack()

    @property
    @abstractmethod
    def url(self) -> str:
        """Where they are, as mailgate.toml has it."""

    @abstractmethod
    def _start(self, starting: contextlib.ExitStack) -> None: ...

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as starting:
            self._start(starting)
            self._running = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()


class RedisCluster(_Several):
    """Three masters of a Redis Cluster, each a Redis with a third of the slots."""

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        settings = "cluster-enabled yes\ncluster-node-timeout 2000\ncluster-require-full-coverage no\n"
        self._bus = [free_port() for _ in range(3)]
        self.nodes = [Redis(durable=durable, settings=f"{settings}cluster-port {bus}\n") for bus in self._bus]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def _start(self, starting: contextlib.ExitStack) -> None:
        for number, node in enumerate(self.nodes):
            starting.enter_context(node)
            first, last = 16_384 * number // 3, 16_384 * (number + 1) // 3 - 1
            node.ask(f"CLUSTER ADDSLOTSRANGE {first} {last}")
            node.ask(f"CLUSTER MEET 127.0.0.1 {self.nodes[0].port} {self._bus[0]}")
        for node in self.nodes:
            wait_until(partial(_is_whole, node), 20, "the cluster to have all its slots")

    def flush(self) -> None:
        """Forget all keys."""
        for node in self.nodes:
            node.ask("FLUSHALL")


def _is_whole(node: Redis) -> bool:
    info = node.read("CLUSTER INFO")
    return "cluster_state:ok" in info and "cluster_slots_ok:16384" in info and "cluster_known_nodes:3" in info


class RedisSentinel(_Several):
    """A durable master, a replica and three Sentinels that fail over within seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.master = Redis(durable=True)
        self.replica = Redis(durable=True, settings=f"replicaof 127.0.0.1 {self.master.port}\n")
        self.sentinels = [Sentinel(self.master.port) for _ in range(3)]

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels) + "/mailgate/0"

    def _start(self, starting: contextlib.ExitStack) -> None:
        for server in (self.master, self.replica, *self.sentinels):
            starting.enter_context(server)
        wait_until(lambda: "master_link_status:up" in self.replica.read("INFO replication"), 20, "the replica")
        for one in self.sentinels:
            wait_until(partial(_knows_all, one), 20, "the sentinels to know the replica and each other")


class Sentinel(Redis):
    """redis-server --sentinel, which watches the master `mailgate`."""

    def __init__(self, master_port: int) -> None:
        super().__init__()
        self._config.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\n"
            f"sentinel monitor mailgate 127.0.0.1 {master_port} 2\n"
            "sentinel down-after-milliseconds mailgate 1000\nsentinel failover-timeout mailgate 3000\n"
        )

    def command(self) -> list[str]:
        return [*super().command(), "--sentinel"]


def _knows_all(one: Sentinel) -> bool:
    info = one.read("INFO sentinel")
    return "slaves=1,sentinels=3" in info
