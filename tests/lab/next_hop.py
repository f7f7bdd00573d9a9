"""A next hop by script: an SMTP server that answers as Postfix does, or as a test says, and keeps what it took.

It is as lax as servers were: any of CR, LF and CRLF ends a line, NULs are nothing, and a line of a dot ends a
message. Whatever could be smuggled past a door is a second mail here. It shares no code with mailgate.wire.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.lab.ports import free_port
from tests.lab.sink import Delivered
from tests.lab.waiting import wait_until

OFFERS = (
    "PIPELINING",
    "SIZE 0",
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    "DSN",
    "SMTPUTF8",
    "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT",
)

# What may be said instead of a reply.
DROP = "drop"  # hang up
STALL = "stall"  # say nothing, ever
KEEP_AND_DROP = "keep and drop"  # at the end of a message: take it, and hang up without a word

POSTFIX = {
    "CONNECT": "220 mx.hanam.gov.vn ESMTP Postfix",
    "EHLO": "",  # the offers
    "HELO": "250 mx.hanam.gov.vn",
    "XFORWARD": "250 2.0.0 Ok",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 End data with <CR><LF>.<CR><LF>",
    "END": "250 2.0.0 Ok: queued as 4Cw3Jx2yZz",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}

LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(slots=True)
class Talk:
    """One connection: the commands so far, the current mail, and its octets."""

    commands: list[str] = field(default_factory=list)
    sender: str = ""
    recipients: list[str] = field(default_factory=list)
    data: bytes = b""
    is_begun: bool = False


# Told the stage (a key of POSTFIX), the connection, and the line where it is a command: what is said instead, or "".
Script = Callable[[str, Talk, str], str]


def by_the_book(stage: str, talk: Talk, line: str) -> str:
    """Say what Postfix says."""
    return ""


class NextHop:
    """An SMTP server on a loopback `port`, in a thread; use it in a `with` block. `script` may change at any time.

    path: of a Unix socket instead. strict: only CRLF ends a line, and NULs stay: a message is kept octet for octet.
    """

    def __init__(
        self, script: Script = by_the_book, *, strict: bool = False, path: str = "", offers: Sequence[str] = OFFERS
    ) -> None:
        self.port = free_port()
        self.script = script
        self.offers = offers
        self.talks: list[Talk] = []
        self._strict = strict
        self._path = path
        self._mails: list[Delivered] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._running: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """As mailgate.toml writes it."""
        return f"unix:{self._path}" if self._path else f"inet:127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def mails(self) -> Sequence[Delivered]:
        """Return the mails that were taken so far."""
        with self._lock:
            return list(self._mails)

    def wait(self, count: int, timeout_s: float = 10.0) -> Sequence[Delivered]:
        """Wait until at least `count` mails have been taken since the start or the last `clear`; return all."""
        wait_until(lambda: len(self.mails()) >= count, timeout_s, f"mail {count} at the next hop")
        return self.mails()

    def clear(self) -> None:
        """Forget the mails and the connections so far."""
        with self._lock:
            self._mails.clear()
            self.talks = []

    def hang_up(self) -> None:
        """Close all connections, as a server that is restarted does; return once they are closed."""
        asyncio.run_coroutine_threadsafe(self._end_talks(), self._loop).result(10)

    async def _end_talks(self) -> None:
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self) -> asyncio.Server:
        if self._path:
            return await asyncio.start_unix_server(self._connected, self._path)
        return await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=1_024)

    async def _stop(self) -> None:
        self._server.close()
        await self._end_talks()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            with contextlib.suppress(OSError, _HangUp):
                await self._talk(reader, writer)
        finally:
            self._running.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk()
        self.talks.append(talk)
        lines = _Lines(reader, self._strict)
        await self._say("CONNECT", talk, "", writer)
        while (octets := await lines.next()) is not None:
            line = octets.decode("utf-8", "surrogateescape")
            talk.commands.append(line)
            verb = line.partition(" ")[0].upper()
            if verb == "EHLO" and not self.script("EHLO", talk, line):
                greeting = "\r\n".join(f"250-{offer}" for offer in ("mx.hanam.gov.vn", *self.offers[:-1]))
                writer.write(f"{greeting}\r\n250 {self.offers[-1]}\r\n".encode())
                continue
            if verb not in POSTFIX:
                writer.write(b"502 5.5.2 Error: command not recognized\r\n")
                continue
            if verb == "MAIL" and talk.is_begun:
                writer.write(b"503 5.5.1 Error: nested MAIL command\r\n")
                continue
            reply = await self._say(verb, talk, line, writer)
            if verb == "QUIT":
                return
            if verb in ("EHLO", "HELO", "RSET"):
                talk.is_begun = False
            if verb == "MAIL" and reply.startswith("2"):
                talk.is_begun, talk.sender, talk.recipients = True, _path(line), []
            elif verb == "RCPT" and reply.startswith("2"):
                talk.recipients.append(_path(line))
            elif reply.startswith("354"):
                talk.data = await lines.message()
                talk.is_begun = False
                await self._end(talk, writer)

    async def _end(self, talk: Talk, writer: asyncio.StreamWriter) -> None:
        said = self.script("END", talk, "")
        if said == KEEP_AND_DROP or (said or POSTFIX["END"]).startswith("2"):
            with self._lock:
                self._mails.append(Delivered(talk.sender, tuple(talk.recipients), talk.data))
        await self._put(said or POSTFIX["END"], writer)

    async def _say(self, stage: str, talk: Talk, line: str, writer: asyncio.StreamWriter) -> str:
        reply = self.script(stage, talk, line) or POSTFIX[stage]
        await self._put(reply, writer)
        return reply

    async def _put(self, reply: str, writer: asyncio.StreamWriter) -> None:
        if reply in (DROP, KEEP_AND_DROP):
            raise _HangUp
        if reply == STALL:
            await asyncio.Event().wait()
        writer.write(reply.encode() + b"\r\n")
        await writer.drain()


class _HangUp(Exception):
    """The script says so."""


class _Lines:
    """The lines of a connection."""

    def __init__(self, reader: asyncio.StreamReader, strict: bool) -> None:
        self._reader = reader
        self._strict = strict
        self._held = b""

    async def next(self) -> bytes | None:
        """Return the next line, None at the end."""
        while True:
            if self._strict:
                line, found, rest = self._held.partition(b"\r\n")
                if found:
                    self._held = rest
                    return line
            elif (match := LINE_END.search(self._held)) and not (
                match[0] == b"\r" and match.end() == len(self._held)
            ):
                line, self._held = self._held[: match.start()], self._held[match.end() :]
                return line
            if not await self._more():
                return None

    async def message(self) -> bytes:
        """Return a message without its dot-stuffing, its lines ending in CRLF."""
        if self._strict:
            return await self._exact_message()
        lines: list[bytes] = []
        while (line := await self.next()) is not None:
            if line == b".":
                return b"".join(line.removeprefix(b".") + b"\r\n" for line in lines)
            lines.append(line)
        raise _HangUp

    async def _exact_message(self) -> bytes:
        data = bytearray(b"\r\n" + self._held)
        seen = 0
        while (end := data.find(b"\r\n.\r\n", seen)) < 0:
            seen = max(0, len(data) - 4)
            self._held = b""
            if not await self._more():
                raise _HangUp
            data += self._held
        self._held = bytes(data[end + 5 :])
        return bytes(data[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]

    async def _more(self) -> bool:
        octets = await self._reader.read(1 << 18)
        self._held += octets if self._strict else octets.replace(b"\0", b"")
        return bool(octets)


def _path(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
