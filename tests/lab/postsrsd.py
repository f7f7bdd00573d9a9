"""A private PostSRSd: the tables by which Postfix rewrites envelope senders, and brings their bounces home."""

import contextlib
import socket

from tests.lab.daemon import Daemon, find_program
from tests.lab.ports import free_port

TIMEOUT_S = 5.0


class Postsrsd(Daemon):
    """postsrsd for one domain: `forward` and `reverse` are tables as Postfix's *_canonical_maps have them.

    The domain's own senders stay as they are.
    """

    def __init__(self, domain: str) -> None:
        self._postsrsd = find_program("postsrsd", "postsrsd")
        self._domain = domain
        self._ports = free_port(), free_port()
        super().__init__("postsrsd")
        self._secret = self.folder / "secret"
        self._secret.write_text("bi-mat-cua-phong-thu\n")

    @property
    def forward(self) -> str:
        """The table of what a sender becomes."""
        return f"tcp:127.0.0.1:{self._ports[0]}"

    @property
    def reverse(self) -> str:
        """The table of whom a rewritten sender was."""
        return f"tcp:127.0.0.1:{self._ports[1]}"

    def command(self) -> list[str]:
        forward, reverse = self._ports
        return [self._postsrsd, "-4", f"-s{self._secret}", f"-d{self._domain}", f"-f{forward}", f"-r{reverse}"]

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return all(self._ask(port, "ai-do@example.com") for port in self._ports)
        return False

    def rewritten(self, sender: str) -> str:
        """Return what a sender becomes."""
        return self._ask(self._ports[0], sender).partition(" ")[2]

    def _ask(self, port: int, key: str) -> str:
        """Return what a table answers, as tcp_table(5) has it: a code, and the value."""
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as link, link.makefile("r") as answer:
            link.sendall(f"get {key}\n".encode())
            return answer.readline().strip()
