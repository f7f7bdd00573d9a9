"""The spam engine: one message to rspamd's POST /checkv2, its action, score and symbols back.

Source: rspamd's protocol documentation. The envelope goes in request headers, so that SPF, rates and
whitelists see what the MTA saw.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson

from ..model import Mail, SpamReport
from ..spool import Spool

if TYPE_CHECKING:  # 10 MB of a worker's memory: imported where an engine is configured
    import aiohttp

LONGEST_ANSWER = 1_048_576  # octets; an ordinary answer has under 10 KiB
MOST_SYMBOLS = 30  # what a finding keeps of them, the weightiest


class SpamEngine:
    """An rspamd that many mails share."""

    def __init__(self, url: str, deadline_s: float, password: str = "") -> None:
        self.url = url.rstrip("/")
        self._deadline_s = deadline_s
        self._password = password
        self._session: aiohttp.ClientSession | None = None

    async def check(self, mail: Mail, raw: Spool) -> SpamReport:
        """Ask for one mail; raises OSError or TimeoutError when there is no usable answer."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200))
        timeout = aiohttp.ClientTimeout(total=self._deadline_s)
        try:
            async with self._session.post(
                self.url + "/checkv2", data=_chunks(raw), headers=self._headers(mail), timeout=timeout
            ) as answer:
                if answer.status != 200:
                    raise OSError(f"rspamd answered HTTP {answer.status}")
                return parse_report(await _read_bounded(answer))
        except aiohttp.ClientError as error:
            raise OSError(f"rspamd: {error or type(error).__name__}") from error

    async def ping(self) -> None:
        """Ask whether it lives; raises OSError."""
        import aiohttp

        try:
            async with aiohttp.ClientSession() as session, session.get(self.url + "/ping") as answer:
                await answer.read()
        except aiohttp.ClientError as error:
            raise OSError(f"rspamd: {error or type(error).__name__}") from error

    async def close(self) -> None:
        """Close the kept connections."""
        if self._session is not None:
            await self._session.close()

    def _headers(self, mail: Mail) -> list[tuple[str, str]]:
        session, envelope = mail.session, mail.envelope
        pairs = [
            ("IP", session.client_ip or "127.0.0.1"),
            ("Hostname", session.client_name),
            ("Helo", session.helo),
            ("From", envelope.sender),
            ("User", envelope.login),
            ("Queue-Id", mail.queue_id),
            ("Password", self._password),
            *(("Rcpt", recipient) for recipient in envelope.recipients),
        ]
        return [(name, _printable(value)) for name, value in pairs if value]


def _printable(value: str) -> str:
    """Return a value that is a legal HTTP header: other octets percent-encoded."""
    if value.isascii() and value.isprintable():
        return value
    return quote(value.encode("utf-8", "surrogateescape"), safe="@.-_+=")


async def _chunks(raw: Spool) -> AsyncIterator[bytes]:
    for chunk in raw.chunks():
        yield chunk
        await asyncio.sleep(0)


async def _read_bounded(answer: "aiohttp.ClientResponse") -> bytes:
    body = b""
    async for chunk in answer.content.iter_chunked(65_536):
        body += chunk
        if len(body) > LONGEST_ANSWER:
            raise OSError(f"rspamd's answer is longer than {LONGEST_ANSWER} octets")
    return body


def parse_report(body: bytes) -> SpamReport:
    """Read rspamd's JSON; raises OSError on anything that is not an answer of its own."""
    try:
        answer = orjson.loads(body)
        symbols = answer.get("symbols", {})
        scores = [(_text(symbol["name"]), _number(symbol.get("score", 0))) for symbol in symbols.values()]
        weighed = sorted(scores, key=lambda symbol: -abs(symbol[1]))
        return SpamReport(
            action=_text(answer["action"]),
            score=_number(answer["score"]),
            required=_number(answer.get("required_score", 0)),
            symbols=tuple(f"{name}({score:.2f})" for name, score in weighed[:MOST_SYMBOLS]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise OSError(f"rspamd's answer is not understood: {type(error).__name__}") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("no text")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError("no number")
    return float(value)
