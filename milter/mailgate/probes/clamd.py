"""The virus scanner: one message, and where its structure is doubtful its decoded leaves, to clamd.

On a Unix socket the open file goes over (FILDES: no copy, no StreamMaxLength), over TCP the octets
(INSTREAM). Either half of raw and decoded alone misses mails that a mail program would show, so
both are scanned whenever the walk saw a defect, an ambiguity or nesting over eight levels. Many leaves go in
tar archives, which clamd opens: ten thousand scans, one after the other, would outlive any deadline.
"""

import asyncio
import contextlib
import hashlib
import socket
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..mime.transfer import WITHOUT_PADS, decode, decoder_for
from ..mime.walker import Leaf
from ..model import Content, Scan, ScanStatus
from ..spool import Spool
from ..wire import clamd as wire
from .breaker import Breaker
from .probe import Asked, Probe

DOUBTFUL_DEPTH = 8
_ONE_BY_ONE = 20  # leaves; what more there are is scanned in archives of so many, well under clamd's MaxFiles
_TOGETHER = 1_000
_TOGETHER_BYTES = 16_777_216  # and so large, well under MaxScanSize
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
    return bool(content.defects or content.exceeded) or content.depth > DOUBTFUL_DEPTH


class Scans(Protocol):
    """Who scans (Scanner)."""

    async def scan_mail(self, raw: Spool, content: Content, leaves: Sequence[Leaf]) -> list[Scan]:
        """Scan a message; raises OSError or TimeoutError where that cannot be done."""


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
                for group in _grouped(_distinct(raw, _readings(content, leaves))):
                    decoded = Spool(self._spool)
                    try:
                        if len(group) == 1:
                            await _decode(raw, group[0][1], decoded)
                        else:
                            await _archive(raw, group, decoded)
                        scans.append(await self.scan(decoded, _called(group)))
                    finally:
                        decoded.close()
                    if scans[-1].status is not ScanStatus.CLEAN:
                        break
            return scans

    async def scan(self, spool: Spool, part: str) -> Scan:
        """Scan one spool, and where clamd hangs up on the way, once again; raises OSError where that fails too."""
        answer = await self._answer(spool)
        if not answer.endswith(b"\0"):  # it was restarted, or is about to be
            answer = await self._answer(spool)
        return wire.parse_answer(answer, part)

    async def ping(self) -> bytes:
        """Return clamd's answer to PING; raises OSError."""
        connection = await self._connected()
        try:
            await asyncio.get_running_loop().sock_sendall(connection, wire.PING)
            return await _read_answer(connection)
        finally:
            connection.close()

    async def _answer(self, spool: Spool) -> bytes:
        """Return clamd's answer to one scan, b"" or a part of it where it hung up; raises OSError."""
        connection = await self._connected()
        try:
            if not self.address.path:
                return await _stream(connection, spool)
            await asyncio.get_running_loop().sock_sendall(connection, wire.FILDES)
            socket.send_fds(connection, [b"\0"], [spool.fileno()])
            return await _read_answer(connection)
        except ConnectionError:
            return b""
        finally:
            connection.close()

    async def _connected(self) -> socket.socket:
        """Return a connection to clamd; raises OSError."""
        family = socket.AF_UNIX if self.address.path else socket.AF_INET
        if not self.address.path and ":" in self.address.host:
            family = socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            place = self.address.path or (self.address.host, self.address.port)
            await asyncio.get_running_loop().sock_connect(connection, place)
        except OSError as error:
            connection.close()
            raise OSError(f"{self.address}: {error.strerror or error}") from error
        except BaseException:
            connection.close()
            raise
        return connection


class ClamdProbe(Probe):
    """Has a message scanned; an error of clamd's is no answer."""

    name = "clamd"

    def __init__(self, scanner: Scans, deadline_s: float, breaker: Breaker | None) -> None:
        self._scanner = scanner
        self.deadline_s = deadline_s
        self.breaker = breaker

    def concerns(self, asked: Asked) -> bool:
        return asked.raw is not None and asked.mail.scans is None

    async def ask(self, asked: Asked) -> None:
        assert asked.raw is not None
        scans = await self._scanner.scan_mail(asked.raw, asked.mail.content, asked.leaves)
        for scan in scans:
            if scan.status is ScanStatus.ERROR:
                raise OSError(f"{scan.part}: {scan.detail}")
        asked.mail.scans = scans


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


_Numbered = tuple[int, Leaf]


def _readings(content: Content, leaves: Sequence[Leaf]) -> list[_Numbered]:
    """Return the leaves with their numbers, in each way that mail programs read them."""
    numbered = list(enumerate(leaves, 1))
    if "base64-data-after-pad" in content.defects:
        numbered += [
            (number, Leaf(leaf.span, WITHOUT_PADS, leaf.type))
            for number, leaf in enumerate(leaves, 1)
            if leaf.encoding == "base64"
        ]
    return numbered


def _distinct(raw: Spool, leaves: Sequence[_Numbered]) -> list[_Numbered]:
    """Return the leaves, each content once."""
    if len(leaves) <= _ONE_BY_ONE:
        return list(leaves)
    found: dict[bytes, _Numbered] = {}
    for number, leaf in leaves:
        digest = hashlib.sha256(leaf.encoding.encode("utf-8", "replace") + b"\0")
        for chunk in raw.chunks(*leaf.span):
            digest.update(chunk)
        found.setdefault(digest.digest(), (number, leaf))
    return list(found.values())


def _grouped(leaves: Sequence[_Numbered]) -> Iterator[list[_Numbered]]:
    """Yield the leaves one by one where they are few, else in groups; a large one goes alone."""
    group: list[_Numbered] = []
    octets = 0
    for number, leaf in leaves:
        size = leaf.span[1] - leaf.span[0]
        if len(leaves) <= _ONE_BY_ONE or size > _TOGETHER_BYTES:
            yield [(number, leaf)]
            continue
        if len(group) == _TOGETHER or octets + size > _TOGETHER_BYTES:
            yield group
            group, octets = [], 0
        group.append((number, leaf))
        octets += size
    if group:
        yield group


def _called(group: Sequence[_Numbered]) -> str:
    number, leaf = group[0]
    return f"part {number} ({leaf.type})" if len(group) == 1 else f"parts {number} to {group[-1][0]}"


async def _archive(raw: Spool, group: Sequence[_Numbered], archive: Spool) -> None:
    """Write a tar archive of decoded leaves."""
    for number, leaf in group:
        octets = decode(leaf.encoding, raw.chunks(*leaf.span))
        entry = tarfile.TarInfo(f"part{number}")
        entry.size = len(octets)
        archive.write(entry.tobuf(tarfile.USTAR_FORMAT) + octets + bytes(-len(octets) % tarfile.BLOCKSIZE))
        await asyncio.sleep(0)
    archive.write(bytes(2 * tarfile.BLOCKSIZE))


async def _decode(raw: Spool, leaf: Leaf, decoded: Spool) -> None:
    """Decode a leaf, giving the loop a turn after each chunk."""
    decoder = decoder_for(leaf.encoding)
    for chunk in raw.chunks(*leaf.span):
        decoded.write(decoder.feed(chunk))
        await asyncio.sleep(0)
    decoded.write(decoder.finish())
