"""A service that answers badly: a TCP server in a thread, whose every connection a test's function handles."""

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.lab.ports import free_port

TIMEOUT_S = 30.0

Behaviour = Callable[[socket.socket], None]


class Fake:
    """A TCP server on a loopback `port`; use it in a `with` block.  `behaviour` may be changed at any time."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.port = free_port()
        self.behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT_S)
        with connection, contextlib.suppress(OSError):  # the peer may hang up whenever it likes
            self.behaviour(connection)


def close_at_once(connection: socket.socket) -> None:
    """Hang up without a word."""


def hang(connection: socket.socket) -> None:
    """Read all that comes, and say nothing until the peer hangs up."""
    while connection.recv(65_536):
        pass


def after(end: bytes, *answer: bytes) -> Behaviour:
    """Return a behaviour: read until the request ends with `end`, then answer and hang up."""

    def behave(connection: socket.socket) -> None:
        tail = b""
        while not tail.endswith(end):
            received = connection.recv(65_536)
            if not received:
                return
            tail = (tail + received)[-len(end) :]
        for octets in answer:
            connection.sendall(octets)

    return behave
