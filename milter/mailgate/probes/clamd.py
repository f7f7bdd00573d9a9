"""The virus scanner: one message, its decoded leaves, and what was taken out of files that clamd does not open.

On a Unix socket the open file goes over (FILDES: no copy, no StreamMaxLength), over TCP the octets
(INSTREAM). clamd takes what does not begin with a field name that it knows for no mail, and opens some multiparts
and no S/MIME: so it is given each leaf as a file, always, and each content once. Small ones go together in tar
archives, which it opens; of a large one that it saw in the message it knows the digest, and takes a seventh of the
time.
"""

import asyncio
import contextlib
import hashlib
import socket
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..mime.transfer import WITHOUT_PADS, decode, decoder_for
from ..mime.walker import Leaf
from ..model import Content, Scan, ScanStatus, Taken
from ..spool import Spool
from ..wire import clamd as wire
from .breaker import Breaker
from .probe import Asked, Probe

_TOGETHER = 1_000  # files in one archive, well under clamd's MaxFiles
_SMALL_BYTES = (
    262_144  # up to here a file goes into an archive, which is so large at the most, well under MaxScanSize
)
_TOGETHER_BYTES = 16_777_216
_IN_A_TURN = 1_048_576  # octets that are looked at before other mails have a turn


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens: a Unix socket's path, or host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"inet:{self.host}:{self.port}"


class Scans(Protocol):
    """Who scans (Scanner)."""

    async def scan_mail(self, raw: Spool, content: Content, leaves: Sequence[Leaf]) -> list[Scan]:
        """Scan a message; raises OSError or TimeoutError where that cannot be done."""

    async def scan_files(self, files: Sequence[Taken]) -> list[Scan]:
        """The same of files."""


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
        """Scan the message, then its leaves, up to the first that is not clean.

        Raises OSError or TimeoutError when clamd cannot be asked.
        """
        async with asyncio.timeout(self._deadline_s), self._places:
            scans = [await self.scan(raw, "message")]
            if scans[0].status is ScanStatus.CLEAN:
                files = await _distinct(raw, _readings(content, leaves))
                await self._scan_all(
                    [_File(f"part {number} ({leaf.type})", leaf, raw) for number, leaf in files], scans
                )
            return scans

    async def scan_files(self, files: Sequence[Taken]) -> list[Scan]:
        """Scan files, up to the first that is not clean; raises as `scan_mail` does."""
        distinct = {file.octets: file.place for file in reversed(files)}
        scans: list[Scan] = []
        async with asyncio.timeout(self._deadline_s), self._places:
            await self._scan_all([_File(place, octets=octets) for octets, place in distinct.items()], scans)
        return scans

    async def _scan_all(self, files: Sequence["_File"], scans: list[Scan]) -> None:
        for group in _grouped(files):
            spool = Spool(self._spool)
            try:
                if len(group) == 1:
                    await group[0].write(spool)
                else:
                    await _archive(group, spool)
                scans.append(await self.scan(spool, _called(group)))
            finally:
                spool.close()
            if scans[-1].status is not ScanStatus.CLEAN:
                break

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
        asked.mail.scans = _answers(await self._scanner.scan_mail(asked.raw, asked.mail.content, asked.leaves))


class TakenProbe(ClamdProbe):
    """Has the files scanned that an inspection took out of what clamd does not open."""

    wave = 2

    def concerns(self, asked: Asked) -> bool:
        mail = asked.mail
        is_clean = mail.scans is not None and all(scan.status is ScanStatus.CLEAN for scan in mail.scans)
        return is_clean and mail.inspection is not None and bool(mail.inspection.taken)

    async def ask(self, asked: Asked) -> None:
        mail = asked.mail
        assert mail.inspection is not None
        scans = mail.scans or ()
        mail.scans = None  # no answer to this is none to the whole
        mail.scans = [*scans, *_answers(await self._scanner.scan_files(mail.inspection.taken))]


def _answers(scans: list[Scan]) -> list[Scan]:
    """Return answers; raises OSError where one is clamd's error."""
    for scan in scans:
        if scan.status is ScanStatus.ERROR:
            raise OSError(f"{scan.part}: {scan.detail}")
    return scans


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


# Where one of these is, programs decode a part in another way, or leave it as it stands.
_BADLY_ENCODED = frozenset({"base64-data-after-pad", "base64-junk", "base64-unpadded", "qp-bad-escape"})
_ENCODED_TWICE = frozenset({"duplicate-transfer-encoding", "unknown-transfer-encoding", "encoded-multipart"})
_ENCODINGS = ("", "base64", WITHOUT_PADS, "quoted-printable")

_Numbered = tuple[int, Leaf]


def _readings(content: Content, leaves: Sequence[Leaf]) -> list[_Numbered]:
    """Return the leaves with their numbers, in each way that mail programs read them."""
    numbered = list(enumerate(leaves, 1))
    others: Sequence[str] = ()
    if _ENCODED_TWICE & content.defects:
        others = _ENCODINGS
    elif _BADLY_ENCODED & content.defects:
        others = ("", WITHOUT_PADS)
    for number, leaf in enumerate(leaves, 1):
        numbered += [(number, Leaf(leaf.span, each, leaf.type)) for each in others if each != leaf.encoding]
    return numbered


async def _distinct(raw: Spool, leaves: Sequence[_Numbered]) -> list[_Numbered]:
    """Return the leaves, each content once."""
    lengths = Counter(leaf.span[1] - leaf.span[0] for _, leaf in leaves)
    found: dict[bytes | int, _Numbered] = {}
    looked_at = 0
    for number, leaf in leaves:
        length = leaf.span[1] - leaf.span[0]
        if lengths[length] == 1:
            found[number] = number, leaf
            continue
        digest = hashlib.sha256(leaf.encoding.encode("utf-8", "replace") + b"\0")
        for chunk in raw.chunks(*leaf.span):
            digest.update(chunk)
            looked_at += len(chunk)
            if looked_at > _IN_A_TURN:
                looked_at = 0
                await asyncio.sleep(0)
        found.setdefault(digest.digest(), (number, leaf))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _File:
    """A file to scan, and what it is called: a leaf of a message, or octets."""

    place: str
    leaf: Leaf | None = None
    raw: Spool | None = None
    octets: bytes = b""

    @property
    def size(self) -> int:
        """Octets, of a leaf as it is encoded."""
        return len(self.octets) if self.leaf is None else self.leaf.span[1] - self.leaf.span[0]

    async def write(self, spool: Spool) -> None:
        """Write it, giving the loop a turn after each chunk."""
        if self.leaf is None or self.raw is None:
            spool.write(self.octets)
            return
        decoder = decoder_for(self.leaf.encoding)
        for chunk in self.raw.chunks(*self.leaf.span):
            spool.write(decoder.feed(chunk))
            await asyncio.sleep(0)
        spool.write(decoder.finish())

    def read(self) -> bytes:
        """Return all its octets."""
        if self.leaf is None or self.raw is None:
            return self.octets
        return decode(self.leaf.encoding, self.raw.chunks(*self.leaf.span))


def _grouped(files: Sequence[_File]) -> Iterator[list[_File]]:
    """Yield the small files in groups, then each large one alone."""
    small = [file for file in files if file.size <= _SMALL_BYTES]
    group: list[_File] = []
    octets = 0
    for file in small:
        if len(group) == _TOGETHER or octets + file.size > _TOGETHER_BYTES:
            yield group
            group, octets = [], 0
        group.append(file)
        octets += file.size
    if group:
        yield group
    for file in files:
        if file.size > _SMALL_BYTES:
            yield [file]


def _called(group: Sequence[_File]) -> str:
    return group[0].place if len(group) == 1 else f"{group[0].place} to {group[-1].place}"


async def _archive(group: Sequence[_File], archive: Spool) -> None:
    """Write a tar archive of files."""
    for number, file in enumerate(group):
        octets = file.read()
        entry = tarfile.TarInfo(f"part{number}")
        entry.size = len(octets)
        archive.write(entry.tobuf(tarfile.USTAR_FORMAT) + octets + bytes(-len(octets) % tarfile.BLOCKSIZE))
        await asyncio.sleep(0)
    archive.write(bytes(2 * tarfile.BLOCKSIZE))
