"""Where accepted mail ends: an SMTP server in a thread that keeps every mail octet for octet."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from tests.lab.ports import free_port
from tests.lab.waiting import wait_until

# aiosmtpd refuses lines over 1,001 octets and mails over 32 MiB; a sink takes whatever its sender sent.
LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Delivered:
    """One mail as it arrived: its envelope, and the octets of DATA without dot-stuffing, lines in CRLF.

    The null sender is "".
    """

    sender: str
    recipients: tuple[str, ...]
    data: bytes

    def header(self, name: str) -> bytes | None:
        """Return the raw value of the first header field of this name, folds kept, or None."""
        head = b"\r\n" + self.data.partition(b"\r\n\r\n")[0]
        start = head.lower().find(b"\r\n" + name.lower().encode() + b":")
        if start < 0:
            return None
        first, *rest = head[start + 2 :].split(b"\r\n")
        folds = 0
        while folds < len(rest) and rest[folds][:1] in (b" ", b"\t"):
            folds += 1
        return b"\r\n".join([first.partition(b":")[2].strip(), *rest[:folds]])


class _Server(SMTP):
    line_length_limit = LONGEST_LINE


class _Controller(Controller):
    def factory(self) -> SMTP:
        return _Server(self.handler, **self.SMTP_kwargs)


class Sink:
    """An SMTP server on a loopback `port` that takes all mail; use it in a `with` block.

    `data_reply` is what it answers at the end of each mail, which is kept only where that begins with 2.
    """

    def __init__(self, data_reply: str = "250 2.0.0 kept") -> None:
        self.port = free_port()
        self.data_reply = data_reply
        self._mails: list[Delivered] = []
        self._lock = threading.Lock()
        self._controller = _Controller(
            self, hostname="127.0.0.1", port=self.port, data_size_limit=0, enable_SMTPUTF8=True
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a mail; called by aiosmtpd at the end of DATA."""
        assert isinstance(envelope.content, bytes)
        sender = envelope.mail_from or ""
        mail = Delivered("" if sender == "<>" else sender, tuple(envelope.rcpt_tos), envelope.content)
        reply = self.data_reply
        if reply.startswith("2"):
            with self._lock:
                self._mails.append(mail)
        return reply

    def mails(self) -> Sequence[Delivered]:
        """Return the mails that arrived so far, in the order of their arrival."""
        with self._lock:
            return list(self._mails)

    def wait(self, count: int, timeout_s: float = 10.0) -> Sequence[Delivered]:
        """Wait until at least `count` mails have arrived since the start or the last `clear`; return all."""
        wait_until(lambda: len(self.mails()) >= count, timeout_s, f"mail {count} in the sink")
        return self.mails()

    def clear(self) -> None:
        """Forget the mails that arrived so far."""
        with self._lock:
            self._mails.clear()
