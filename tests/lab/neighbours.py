"""What one mail costs those beside it: how long another connection's mails wait, and what stays behind."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.burn import Burning
from tests.lab.mailgate import Config, Mailgate
from tests.lab.mta import Letter, Mta
from tests.lab.waiting import wait_until

from mailgate.wire.smtp import split_header

_PAUSE_S = 0.002  # between two of the neighbour's mails: a waiting of one does not hide behind the next
_LONGEST_FIELD = 60_000  # Postfix 3.7 cuts a field there, wherever a milter is configured
ONE_WORKER: Config = {
    "workers": {"count": 1},
    "listen": {"http": ""},
    "dns": {"servers": ["127.0.0.1:9"], "deadline_s": 1.0},  # nobody answers there, and is refused at once
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a mail cost. longest_s: a neighbour's mail took. growth_bytes: of the worker's memory. incident_octets: it
    wrote. action: what became of it; own_s: after how long."""

    longest_s: float
    growth_bytes: int
    incident_octets: int
    action: str
    own_s: float


def letter_of(burning: Burning) -> Letter:
    """Return a burning mail as an MTA sends it."""
    fields, start = split_header(burning.message)
    is_outside = burning.hook == "mx"
    return Letter(
        sender=f"<{burning.sender}>".encode(),
        recipients=tuple(f"<{recipient}>".encode() for recipient in burning.recipients),
        headers=tuple((name, value[:_LONGEST_FIELD]) for name, value in fields),
        body=burning.message[start:],
        client_ip="203.0.113.7" if is_outside else "127.0.0.1",
    )


def cost_of(mailgate: Mailgate, burning: Burning) -> Cost:
    """Send a mail to a daemon with one worker, while a neighbour sends small ones."""
    (worker,) = mailgate.workers()
    before, written = rss_bytes(worker), _incident_octets(mailgate)
    with neighbour(mailgate) as waits, Mta(mailgate.milter) as mta:
        started = time.perf_counter()
        outcome = mta.deliver(letter_of(burning))
        own_s = time.perf_counter() - started
    assert mailgate.workers() == [worker], "the worker lives"
    return Cost(max(waits), rss_bytes(worker) - before, _incident_octets(mailgate) - written, outcome.action, own_s)


@contextmanager
def neighbour(mailgate: Mailgate) -> Iterator[list[float]]:
    """Send small mails over a connection of its own meanwhile, and yield how long each took, in seconds."""
    waits: list[float] = []
    over = threading.Event()

    def send() -> None:
        with Mta(mailgate.milter) as mta:
            while not over.is_set():
                started = time.perf_counter()
                assert mta.deliver(Letter()).action == "accept"
                waits.append(time.perf_counter() - started)
                time.sleep(_PAUSE_S)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        wait_until(lambda: waits, 10, "the neighbour's first mail")
        yield waits
    finally:
        over.set()
        sending.join()


def rss_bytes(process: int) -> int:
    """Return what a process has in RAM now (VmRSS)."""
    status = Path(f"/proc/{process}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) << 10


def _incident_octets(mailgate: Mailgate) -> int:
    folder = mailgate.folder / "incidents"
    return sum(file.stat().st_size for file in folder.glob("*.jsonl"))
