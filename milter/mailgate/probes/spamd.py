"""The other spam engine: SpamAssassin's spamd, by its own protocol (spamd/PROTOCOL): SYMBOLS in, score and tests out.

spamd has one threshold: what reaches it is tagged, and what reaches `reject_score` is refused, as rspamd does by
itself.
"""

import asyncio
import re

from ..model import Mail, SpamReport
from ..spool import Spool
from .rspamd import LONGEST_ANSWER, MOST_SYMBOLS

# Real: b"SPAMD/1.1 0 EX_OK\r\nContent-length: 27\r\nSpam: True ; 1000.0 / 5.0\r\n\r\nGTUBE,NO_RECEIVED,NO_RELAYS\r\n"
_STATUS = re.compile(rb"SPAMD/[\d.]+ (\d+) ([^\r\n]*)\r\n")
_NUMBER = rb"(-?\d{1,9}(?:\.\d{1,9})?)"
_SPAM = re.compile(
    rb"^Spam: *(True|False|Yes|No) *; *" + _NUMBER + rb" */ *" + _NUMBER + rb"\r?$", re.MULTILINE | re.IGNORECASE
)


class Spamd:
    """A spamd; a connection for each mail, as its protocol has it."""

    def __init__(self, url: str, deadline_s: float, reject_score: float) -> None:
        self._url = url
        self._deadline_s = deadline_s
        self._reject_score = reject_score

    async def check(self, mail: Mail, raw: Spool) -> SpamReport:
        """Ask for one mail; raises OSError or TimeoutError when there is no usable answer."""
        async with asyncio.timeout(self._deadline_s):
            reader, writer = await _connected(self._url)
            try:
                head = f"SYMBOLS SPAMC/1.5\r\nContent-length: {raw.size}\r\n"
                if mail.envelope.login.isascii() and mail.envelope.login.isprintable() and mail.envelope.login:
                    head += f"User: {mail.envelope.login}\r\n"
                writer.write(head.encode() + b"\r\n")
                for chunk in raw.chunks():
                    writer.write(chunk)
                    await writer.drain()
                if writer.can_write_eof():
                    writer.write_eof()
                return parse_answer(await _read_bounded(reader), self._reject_score)
            finally:
                writer.close()

    async def ping(self) -> str:
        """Ask whether it lives; raises OSError."""
        return await ping(self._url)

    async def close(self) -> None:
        """There is nothing to close."""


async def _connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to spamd://HOST:PORT or spamd:///PATH."""
    place = url.removeprefix("spamd://")
    if place.startswith("/"):
        return await asyncio.open_unix_connection(place)
    host, _, port = place.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))


async def ping(url: str) -> str:
    """Return the URL of a spamd that answers; raises OSError."""
    reader, writer = await _connected(url)
    try:
        writer.write(b"PING SPAMC/1.5\r\n\r\n")
        answer = await _read_bounded(reader)
    finally:
        writer.close()
    if b"PONG" not in answer:
        raise OSError(f"{url}: answered {answer[:80]!r}")
    return url


async def _read_bounded(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    while chunk := await reader.read(65_536):
        answer += chunk
        if len(answer) > LONGEST_ANSWER:
            raise OSError(f"spamd's answer is longer than {LONGEST_ANSWER} octets")
    return bytes(answer)


def parse_answer(answer: bytes, reject_score: float) -> SpamReport:
    """Read spamd's answer; raises OSError on anything else."""
    status = _STATUS.match(answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    if status is None:
        raise OSError("spamd's answer is not understood")
    if status[1] != b"0":
        raise OSError(f"spamd answered {status[1].decode()} {status[2][:60].decode('ascii', 'replace')}")
    spam = _SPAM.search(head)
    if spam is None:
        raise OSError("spamd's answer has no score")
    score, required = float(spam[2]), float(spam[3])
    is_spam = spam[1].lower() in (b"true", b"yes")
    action = "no action"
    if is_spam:
        action = "reject" if reject_score and score >= reject_score else "add header"
    symbols = [symbol for symbol in body.decode("ascii", "replace").strip().split(",") if symbol]
    return SpamReport(action, score, required, tuple(symbols[:MOST_SYMBOLS]))
