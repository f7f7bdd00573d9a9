"""A raw SMTP client: the octets of a test, sent as they are, and every reply as it came.

A client may be anyone: XCLIENT tells the private Postfix its address, its name and its login.
"""

import select
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The server's replies to one mail, each "CODE text" with continuation lines joined by LF.

    `hello` answers the connection, XCLIENT or EHLO: the first refusal among them, else EHLO's reply.  What
    was not reached is None.  `data` is the refusal of the DATA command, or else the answer to the message.
    """

    hello: str
    mail: str | None = None
    rcpts: list[str] = field(default_factory=list)
    data: str | None = None

    @property
    def final(self) -> str:
        """The decisive reply: the first refusal of the mail as a whole, or the answer to the message."""
        for reply in (self.data, *self.rcpts, self.mail):
            if reply is not None:
                return reply
        return self.hello

    @property
    def status(self) -> str:
        """The code and the enhanced status code of `final`, such as "550 5.7.1"."""
        return status_of(self.final)


class SmtpClient:
    """One connection to a loopback `port`; use it in a `with` block.  `greeting` is the server's first reply.

    After a refused greeting, and after 421, the server may be gone: a further command is a ConnectionError.
    """

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self._socket.makefile("rb")
        self.greeting = self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up without QUIT, as clients in a hurry do."""
        self._lines.close()
        self._socket.close()

    def send(self, octets: bytes) -> None:
        """Send octets as they are; what the server does not read, because it hung up, is lost."""
        try:
            self._socket.sendall(octets)
        except ConnectionError:
            return  # its last reply may still be there to read

    def has_reply(self, timeout_s: float) -> bool:
        """Tell whether a reply, or the end, comes within so long."""
        return bool(select.select([self._socket], [], [], timeout_s)[0])

    def reply(self) -> str:
        """Read one reply, all its lines."""
        lines: list[str] = []
        while True:
            line = self._lines.readline()
            if not line:
                raise ConnectionError(f"the server hung up; its last words: {lines}")
            text = line.decode(errors="replace").rstrip("\r\n")
            lines.append(text)
            if text[3:4] != "-":
                return "\n".join(lines)

    def command(self, line: str) -> str:
        """Send one command and return its reply."""
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def xclient(self, addr: str | None = None, name: str | None = None, login: str | None = None) -> str:
        """Become the client with this address, this name (None: it has none) and this login."""
        ipv6 = "IPV6:" if addr and ":" in addr else ""
        return self.command(
            "XCLIENT"
            + (f" ADDR={ipv6}{_xtext(addr)}" if addr else "")
            + f" NAME={_xtext(name) if name else '[UNAVAILABLE]'}"
            + (f" LOGIN={_xtext(login)}" if login else "")
        )

    def ehlo(self, name: str = "client.example") -> str:
        """Introduce ourselves."""
        return self.command(f"EHLO {name}")

    def mail(self, sender: str, *arguments: str) -> str:
        """Begin a mail; `sender` without angle brackets, "" for the null sender."""
        return self.command(" ".join((f"MAIL FROM:<{sender}>", *arguments)))

    def rcpt(self, recipient: str, *arguments: str) -> str:
        """Name one recipient, without angle brackets."""
        return self.command(" ".join((f"RCPT TO:<{recipient}>", *arguments)))

    def data(self, data: bytes) -> str:
        """Send a message, its lines ending in CRLF as the caller made them; dots are stuffed here."""
        reply = self.command("DATA")
        if not reply.startswith("3"):
            return reply
        stuffed = (b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:]
        self.send(stuffed + (b"" if data.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return self.reply()


def send(
    port: int,
    mail_from: str,
    rcpts: Sequence[str],
    data: bytes,
    client_addr: str | None = None,
    client_name: str | None = None,
    login: str | None = None,
    helo: str = "client.example",
    mail_args: Sequence[str] = (),
    rcpt_args: Sequence[str] = (),
) -> Outcome:
    """Send one mail over a connection of its own and return the replies; a refusal is an answer too."""
    with SmtpClient(port) as client:
        hello = client.greeting
        if _positive(hello) and (client_addr or client_name or login):
            hello = client.xclient(client_addr, client_name, login)
        if _positive(hello):
            hello = client.ehlo(helo)
        if not _positive(hello):
            return Outcome(hello)
        mail = client.mail(mail_from, *mail_args)
        if not _positive(mail):
            return Outcome(hello, mail)
        replies: list[str] = []
        for rcpt in rcpts:
            replies.append(client.rcpt(rcpt, *rcpt_args))
            if replies[-1].startswith("421"):
                return Outcome(hello, mail, replies)
        if not any(map(_positive, replies)):
            return Outcome(hello, mail, replies)
        outcome = Outcome(hello, mail, replies, client.data(data))
        client.send(b"QUIT\r\n")
        return outcome


def status_of(reply: str) -> str:
    """Return a reply's code and enhanced status code, such as "550 5.7.1", the code alone where it has no other."""
    code, _, text = reply.replace("-", " ", 1).partition(" ")
    enhanced = text.partition(" ")[0]
    return f"{code} {enhanced}" if enhanced.replace(".", "").isdigit() else code


def _positive(reply: str) -> bool:
    return reply.startswith("2")


def _xtext(value: str) -> str:
    """Encode a value as XCLIENT wants it (RFC 3461 section 4): "+", "=", blanks and non-ASCII as +HH."""
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}" for octet in value.encode()
    )
