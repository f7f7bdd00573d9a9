"""A milter that accepts everything, and remembers what the MTA says of addresses."""

import socket
import threading
from types import TracebackType
from typing import Self

from tests.lab.ports import free_port

from mailgate.wire import milter as wire

_MACROS = (
    (wire.MacroStage.MAIL, "{mail_addr}"),
    (wire.MacroStage.RECIPIENT, "{rcpt_addr} {rcpt_mailer} {rcpt_host}"),
)


class Recorder:
    """Use it in a `with` block. senders, recipients: the path as it was typed, and what the MTA made of it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", free_port()))
        self.milter = f"inet:127.0.0.1:{self._socket.getsockname()[1]}"
        self.senders: list[tuple[bytes, dict[str, str]]] = []
        self.recipients: list[tuple[bytes, dict[str, str]]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        conversation = wire.Conversation()
        held = b""
        with connection:
            while octets := connection.recv(65_536):
                data = held + octets
                for command, start, stop in conversation.receive(data, len(data)):
                    payload = data[start:stop] if command != wire.HEADER else b""
                    if command == wire.NEGOTIATE:
                        wish = wire.Wish(wire.Actions.SET_MACRO_LIST, wire.Steps(0), _MACROS)
                        connection.sendall(wire.negotiate(payload, wish)[1])
                        continue
                    if command == wire.MAIL:
                        macros = wire.parse_macros(conversation.macros.get(command, b""))
                        self.senders.append((wire.parse_arguments(payload)[0], macros))
                    elif command == wire.RECIPIENT:
                        macros = wire.parse_macros(conversation.recipient_macros.popleft())
                        self.recipients.append((wire.parse_arguments(payload)[0], macros))
                    if command not in (wire.ABORT, wire.QUIT, wire.QUIT_NEW_CONNECTION):
                        connection.sendall(wire.CONTINUE)
                held = data[conversation.consumed :]
