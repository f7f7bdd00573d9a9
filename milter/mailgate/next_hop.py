"""The next hop of the SMTP doors: one connection to it, by aiosmtplib, each step under a deadline.

What it answers is returned as it was said; that it is away, drops the connection, falls silent or says what SMTP
does not allow is a NextHopError, which is a deferral (451 4.4.x) for whoever sends the mail.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import aiosmtplib

from .probes.clamd import Address
from .wire.smtp import Reply, stuffed


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a next hop may take: to let us in, to answer a command, to take a message and answer it."""

    connect_s: float = 10.0
    reply_s: float = 60.0
    final_s: float = 300.0


class NextHopError(OSError):
    """The next hop cannot be asked; `reply` is what the mail's sender is told, without its name."""

    def __init__(self, reason: str, enhanced: str, is_silent: bool = False) -> None:
        super().__init__(reason)
        self.is_silent = is_silent
        self.reply = Reply(451, f"{enhanced} The next mail server is away, try again later")


class NextHop:
    """A connection to a next hop; many mails may go over it, one after the other.

    extensions: what it offers by EHLO, names in lower case. begun: a mail was begun that has not ended.
    """

    def __init__(self, address: Address, hostname: str, patience: Patience) -> None:
        self.address = address
        self.extensions: Mapping[str, str] = {}
        self.begun = False
        self._in_message = False
        self._patience = patience
        place = address.path or None
        self._client = aiosmtplib.SMTP(
            hostname=None if place else address.host,
            port=None if place else address.port,
            socket_path=place,
            local_hostname=hostname,
            use_tls=False,
            start_tls=False,
            timeout=patience.reply_s,
        )

    @property
    def is_open(self) -> bool:
        """Tell whether the connection stands, as far as we know."""
        return self._client.is_connected

    async def open(self) -> None:
        """Connect and say EHLO, or HELO where that is not known; raises NextHopError."""
        try:
            async with asyncio.timeout(self._patience.connect_s):
                await self._client.connect(timeout=None)
                try:
                    await self._client.ehlo(timeout=None)
                except aiosmtplib.SMTPHeloError:
                    await self._client.helo(timeout=None)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise self._failure(error, "4.4.1") from error
        self.extensions = self._client.esmtp_extensions

    async def command(self, line: bytes) -> Reply:
        """Say a command and return its reply, 2xx, 4xx or 5xx; raises NextHopError.

        421 ends the connection and not our client's, who is told 451.
        """
        try:
            self._check_in_step()
            async with asyncio.timeout(self._patience.reply_s):
                code, text = await self._client.execute_command(line, timeout=None)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._failure(error, "4.4.2") from error
        return self._checked(code, text)

    async def hand_on(self, chunks: Iterable[bytes]) -> Reply:
        """Send DATA and the message, dots stuffed, and return the final reply; raises NextHopError.

        Each chunk is taken when the one before is on its way. After an error the message may have arrived, if only
        its last reply was lost: whoever sends it again risks a second copy, but nothing is lost.
        """
        try:
            self._check_in_step()
            async with asyncio.timeout(self._patience.final_s):
                code, text = await self._client.execute_command(b"DATA", timeout=None)
                if code == 354:
                    self._in_message = True
                    code, text = await self._message(chunks)
                    self._in_message = self.begun = False
                elif code < 400:  # 2xx here would be said to the client, though nothing was sent
                    code = 0
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._failure(error, "4.4.2") from error
        return self._checked(code, text)

    async def _message(self, chunks: Iterable[bytes]) -> aiosmtplib.SMTPResponse:
        protocol, transport = self._client.protocol, self._client.transport
        if protocol is None or transport is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        loop = asyncio.get_running_loop()
        writer = asyncio.StreamWriter(cast(asyncio.WriteTransport, transport), protocol, None, loop)
        for chunk in stuffed(chunks):
            writer.write(chunk)
            await writer.drain()
        self._check_in_step()
        # Nothing may be awaited between the end and read_response: a reply that nobody waits for is dropped.
        protocol.write(b".\r\n")
        return await protocol.read_response()

    def _check_in_step(self) -> None:
        """Raise an error where more was answered than was asked: each reply would be taken for the next command's."""
        if self._client.protocol is not None and self._client.protocol._buffer:
            raise aiosmtplib.SMTPServerDisconnected("more replies than commands")

    def quit(self) -> None:
        """Say QUIT, unless in the middle of a message, and close without waiting for the answer."""
        if self._client.protocol is not None and self.is_open and not self._in_message:
            self._client.protocol.write(b"QUIT\r\n")
        self._client.close()

    def _checked(self, code: int, text: str) -> Reply:
        if code == 421:
            self._client.close()
            return Reply(451, text)
        if not 200 <= code < 300 and not 400 <= code < 600:
            raise self._failure(ValueError(f"unexpected reply {code} {text[:100]!r}"), "4.4.2")
        return Reply(code, text)

    def _failure(self, error: Exception, enhanced: str) -> NextHopError:
        self._client.close()
        is_silent = isinstance(error, TimeoutError)
        return NextHopError(f"{self.address}: {'no answer in time' if is_silent else error}", enhanced, is_silent)


async def greet(address: Address, hostname: str, patience_s: float) -> str:
    """Return what a next hop offers, for `doctor` and /readyz; raises NextHopError."""
    hop = NextHop(address, hostname, Patience(connect_s=patience_s))
    try:
        await hop.open()
        return f"{address}: {', '.join(sorted(name.upper() for name in hop.extensions)) or 'no ESMTP'}"
    finally:
        hop.quit()
