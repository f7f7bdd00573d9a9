"""The virus scanner: one message, and where its structure is doubtful its decoded leaves, to clamd.

On a Unix socket the open file goes over (FILDES: no copy, no StreamMaxLength), over TCP the octets
(INSTREAM). Either half of raw and decoded alone misses mails that a mail program would show, so
both are scanned whenever the walk saw a defect, an ambiguity or nesting over eight levels.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..mime.transfer import decoder_for
from ..mime.walker import Leaf
from ..model import Content, Scan, ScanStatus
from ..spool import Spool
from ..wire import clamd as wire

DOUBTFUL_DEPTH = 8
_DECODED_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens: a Unix socket's path, or host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"inet:{self.host}:{self.port}"


def needs_leaves(content: Content) -> bool:
    """Tell whether mail programs may see something in this message that clamd does not."""
    return bool(content.defects) or content.depth > DOUBTFUL_DEPTH


class Scanner:
    """A clamd that many mails share; at most `concurrency` scans are under way at once.

    deadline_s bounds one mail's scans from their start, waiting for a free place included; when it
    passes, the sockets are closed, and clamd gives up reading.
    """

    def __init__(self, address: Address, deadline_s: float, concurrency: int, spool: Path | None) -> None:
        self.address = address
        self._deadline_s = deadline_s
        self._places = asyncio.Semaphore(concurrency)
        self._spool = spool

    async def scan_mail(self, raw: Spool, content: Content, leaves: Sequence[Leaf]) -> list[Scan]:
        """Scan the message, then its leaves where that is needed, up to the first that is not clean.

        Raises OSError or TimeoutError when clamd cannot be asked.
        """
        async with asyncio.timeout(self._deadline_s), self._places:
            scans = [await self.scan(raw, "message")]
            if scans[0].status is ScanStatus.CLEAN and needs_leaves(content):
                for number, leaf in enumerate(leaves, 1):
                    decoded = Spool(self._spool)
                    try:
                        await _decode(raw, leaf, decoded)
                        scans.append(await self.scan(decoded, f"part {number} ({leaf.type})"))
                    finally:
                        decoded.close()
                    if scans[-1].status is not ScanStatus.CLEAN:
                        break
            return scans

    async def scan(self, spool: Spool, part: str) -> Scan:
        """Scan one spool; raises OSError when clamd cannot be reached or hangs up on the way."""
        loop = asyncio.get_running_loop()
        family = socket.AF_UNIX if self.address.path else socket.AF_INET
        if not self.address.path and ":" in self.address.host:
            family = socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            try:
                await loop.sock_connect(connection, self.address.path or (self.address.host, self.address.port))
            except OSError as error:
                raise OSError(f"{self.address}: {error.strerror or error}") from error
            if self.address.path:
                await loop.sock_sendall(connection, wire.FILDES)
                socket.send_fds(connection, [b"\0"], [spool.fileno()])
                answer = await _read_answer(connection)
            else:
                answer = await _stream(connection, spool)
        finally:
            connection.close()
        return wire.parse_answer(answer, part)


async def _stream(connection: socket.socket, spool: Spool) -> bytes:
    """Send an INSTREAM and read at the same time: clamd answers `size limit exceeded` in the middle."""

    async def send() -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, wire.INSTREAM)
        for chunk in wire.stream_chunks(spool.chunks()):
            await loop.sock_sendall(connection, chunk)
        await loop.sock_sendall(connection, wire.END_OF_STREAM)

    sending = asyncio.ensure_future(send())
    try:
        return await _read_answer(connection)
    finally:
        sending.cancel()
        # A broken pipe only says that the answer came early; the answer itself decides.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await sending


async def _read_answer(connection: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    answer = b""
    while not answer.endswith(b"\0") and len(answer) < wire.LONGEST_ANSWER:
        try:
            received = await loop.sock_recv(connection, 4_096)
        except ConnectionResetError:
            break
        if not received:
            break
        answer += received
    return answer


async def _decode(raw: Spool, leaf: Leaf, decoded: Spool) -> None:
    """Decode a leaf, giving the loop a turn after each chunk."""
    decoder = decoder_for(leaf.encoding)
    for chunk in raw.chunks(*leaf.span):
        decoded.write(decoder.feed(chunk))
        await asyncio.sleep(0)
    decoded.write(decoder.finish())
