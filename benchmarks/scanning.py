"""What it costs clamd to be given each part of a mail as a file too: `python -m benchmarks.scanning`.

A private clamd whose one signature is the EICAR test text: the figures are those of its file formats, digests and
transport, not of millions of signatures. A mail by itself, and as Mailgate has it scanned; each file is another.
"""

import asyncio
import base64
import os
import random
import time
from collections.abc import Callable

from benchmarks.mails import DAILY, QUEUE_ID, mail_of
from benchmarks.servers import tree_cpu_ns
from tests.lab.clamd import Clamd
from tests.lab.mails import letter_with

from mailgate.config import parse_endpoint
from mailgate.mime.walker import Walker
from mailgate.probes.clamd import Scanner
from mailgate.spool import Spool
from mailgate.wire.smtp import split_header


def _daily(size: str) -> Callable[[], bytes]:
    def made() -> bytes:
        words = base64.b32encode(random.randbytes(20))
        return mail_of(size).text(words[: len(QUEUE_ID)]).replace(b"\n", b"\r\n").replace("Trân".encode(), words)

    return made


def _file(octets: int) -> Callable[[], bytes]:
    return lambda: letter_with(os.urandom(octets * 3 // 4))


MAILS: dict[str, tuple[Callable[[], bytes], int]] = {
    **{size: (_daily(size), 200) for size in DAILY},
    "60 KB, a file": (_file(60_000), 60),
    "5 MB, a file": (_file(5_000_000), 8),
    "20 MB, a file": (_file(20_000_000), 4),
}


async def _scanned(scanner: Scanner, message: bytes, is_whole: bool) -> None:
    fields, start = split_header(message)
    walker = Walker(exact=True)
    walker.begin([(name.lower(), value) for name, value in fields], start)
    walker.feed(message, start, len(message))
    content = walker.finish()
    spool = Spool()
    spool.write(message)
    if is_whole:
        await scanner.scan_mail(spool, content, walker.leaves)
    else:
        await scanner.scan(spool, "message")
    spool.close()


async def main() -> None:
    """Measure and print."""
    with Clamd() as clamd:
        scanner = Scanner(parse_endpoint(clamd.unix_address), 60.0, 1, None)
        print(f"{'':<16}{'message alone':>24}{'with its parts':>24}")
        print(f"{'':<16}{'CPU ms':>14}{'p50 ms':>10}{'CPU ms':>14}{'p50 ms':>10}")
        for name, (make, count) in MAILS.items():
            line = f"{name:<16}"
            for is_whole in (False, True):
                messages = [make() for _ in range(count)]
                before, waits = tree_cpu_ns(clamd.pid), []
                for message in messages:
                    started = time.perf_counter()
                    await _scanned(scanner, message, is_whole)
                    waits.append(time.perf_counter() - started)
                cpu_ms = (tree_cpu_ns(clamd.pid) - before) / 1e6 / count
                line += f"{cpu_ms:>14.2f}{sorted(waits)[count // 2] * 1e3:>10.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
