"""A crowd of connections: `python -m benchmarks.crowd [IDLE] [SLOW]`.

One worker. What an idle connection takes of memory; then slow peers, which send an octet of a frame a second, while
another connection's mails are timed: how many of the slow ones are closed, and after how long.
"""

import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.load import connect, hold_idle
from tests.lab.mailgate import Mailgate
from tests.lab.mta import Letter, Mta
from tests.lab.neighbours import ONE_WORKER, neighbour, rss_bytes

FRAME_S = 5.0
_FRAME = b"\0\0\0\x0dO" + bytes(12)


def main() -> None:
    """Print what the crowd takes, and what it costs the others."""
    idle = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    slow = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    config = {**ONE_WORKER, "listen": {"http": "", "frame_s": FRAME_S, "backlog": 4_096}}
    with Mailgate(config) as mailgate, ExitStack() as held:
        (worker,) = mailgate.workers()
        with Mta(mailgate.milter) as mta:
            for _ in range(100):
                mta.deliver(Letter())
        before = rss_bytes(worker)
        started = time.monotonic()
        for link in hold_idle(mailgate.milter, idle):
            held.enter_context(link)
        taken = rss_bytes(worker) - before
        print(
            f"{idle} idle connections in {time.monotonic() - started:.1f} s: {taken / idle / 1_024:.2f} KB each "
            f"({taken / 1_048_576:.1f} MB)"
        )
        with neighbour(mailgate) as waits:
            time.sleep(3.0)
        print(f"mails beside them: {_figures(waits)}")
        with neighbour(mailgate) as waits:
            closed, last_s = _trickle([connect(mailgate.milter) for _ in range(slow)])
        print(f"{slow} slow ones: {closed} closed, the last after {last_s:.1f} s (frame_s = {FRAME_S:g})")
        print(f"mails beside both: {_figures(waits)}")


def _trickle(links: list[socket.socket]) -> tuple[int, float]:
    """Send each an octet a second until it is closed; return how many were, and when the last was."""
    started = time.monotonic()
    octets = [iter(_FRAME) for _ in links]
    is_open = dict(enumerate(links))
    last_s = 0.0
    while is_open and time.monotonic() - started < 4 * FRAME_S:
        for number, link in list(is_open.items()):
            if _is_closed(link) or not _sent(link, octets[number]):
                del is_open[number]
                link.close()
                last_s = time.monotonic() - started
        time.sleep(1.0)
    for link in is_open.values():
        link.close()
    return len(links) - len(is_open), last_s


def _is_closed(link: socket.socket) -> bool:
    readable, _, _ = select.select([link], [], [], 0) if link.fileno() < 1_024 else ([link], [], [])
    if not readable:
        return False
    try:
        return link.recv(64, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _sent(link: socket.socket, octets: Iterator[int]) -> bool:
    try:
        link.send(bytes([next(octets, 0)]))
    except OSError:
        return False
    return True


def _figures(waits: list[float]) -> str:
    times = sorted(waits)
    p50, p99 = (times[int(len(times) * part)] * 1_000 for part in (0.5, 0.99))
    return f"{len(times)} mails, p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {times[-1] * 1_000:.1f} ms"


if __name__ == "__main__":
    main()
