"""A private Redis server, which may be stopped, killed, frozen and started again under a test's feet."""

import contextlib
import socket
from pathlib import Path

from tests.lab.daemon import Daemon, find_program
from tests.lab.ports import free_port

TIMEOUT_S = 5.0


class Redis(Daemon):
    """redis-server on a Unix socket and on a loopback `port`.

    Its data lives in memory alone and is gone when it stops, unless `durable`: then each write is on disk
    (AOF, fsync always) before it is answered.  `settings` adds lines of redis.conf, such as "maxmemory 1mb".
    """

    def __init__(self, *, durable: bool = False, settings: str = "", parent: Path = Path("/tmp")) -> None:
        self._server = find_program("redis-server", "redis-server")
        self.port = free_port()
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

    def ask(self, command: str) -> str:
        """Send one inline command and return the first line of its answer, such as "+PONG"."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as link:
            link.sendall(command.encode() + b"\r\n")
            with link.makefile("rb") as answer:
                return answer.readline().decode().rstrip("\r\n")
