"""Hours of mail, hostile ones among it: does anything grow?  `python -m benchmarks.soak [MINUTES] [MAILS A SECOND]`.

One worker, all rules. One mail of ten is made to burn (tests.lab.burn, 64 KB). Each minute: the worker's memory, its
descriptors, its processes, and the mails' p50 and p99; at the end, how fast memory grew after a third of the time.
"""

import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from tests.lab.burn import INPUTS
from tests.lab.mailgate import Mailgate
from tests.lab.mta import Letter, Mta
from tests.lab.neighbours import ONE_WORKER, letter_of, rss_bytes
from tests.lab.ordinary import ordinary_mails
from tests.lab.processes import living

from mailgate.wire.smtp import split_header

SENDERS = 6
HOSTILE_OCTETS = 65_536
ORDINARY = 400  # different ones, again and again


def letters() -> tuple[list[Letter], list[Letter]]:
    """Return ordinary mails and burning ones."""
    ordinary = []
    for mail in ordinary_mails(ORDINARY):
        fields, start = split_header(mail.message)
        ordinary.append(Letter(headers=tuple(fields), body=mail.message[start:]))
    burning = [letter_of(make(HOSTILE_OCTETS)) for name, make in INPUTS.items() if not name.startswith("sender:")]
    return ordinary, burning


def main() -> None:
    """Print a row a minute, and the slope."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else 50.0
    ordinary, burning = letters()
    chance = random.Random(2026)
    waiting: SimpleQueue[tuple[float, Letter]] = SimpleQueue()
    took: list[float] = []
    over = threading.Event()
    with Mailgate(ONE_WORKER) as mailgate:
        (worker,) = mailgate.workers()

        def send() -> None:
            with Mta(mailgate.milter) as mta:
                while not over.is_set():
                    try:
                        due, letter = waiting.get(timeout=0.5)
                    except Empty:
                        continue
                    mta.deliver(letter)
                    took.append(time.monotonic() - due)

        senders = [threading.Thread(target=send) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        rows = _minutes(minutes, rate, waiting, took, lambda: _row(mailgate, worker), ordinary, burning, chance)
        over.set()
        for sender in senders:
            sender.join()
        errors = [line for line in mailgate.log() if line.get("event") == "own error"]
    warm = rows[len(rows) // 3 :]
    slope = statistics.linear_regression(*zip(*[(at, rss) for at, rss, _ in warm], strict=True)).slope
    descriptors = [count for _, _, count in warm]
    print(
        f"after the first third: memory {slope * 600 / 1_048_576:+.2f} MB in 10 minutes, descriptors "
        f"{min(descriptors)} to {max(descriptors)}; errors of our own: {len(errors)}"
    )


def _minutes(
    minutes: float,
    rate: float,
    waiting: "SimpleQueue[tuple[float, Letter]]",
    took: list[float],
    row: Callable[[], tuple[int, int, int]],
    ordinary: list[Letter],
    burning: list[Letter],
    chance: random.Random,
) -> list[tuple[float, int, int]]:
    """Feed mails in an open loop; return (seconds, octets of memory, descriptors) each minute."""
    print(f"{'minute':>6} {'mails':>7} {'RSS MB':>7} {'fds':>5} {'processes':>9} {'p50 ms':>7} {'p99 ms':>7}")
    rows = []
    started = time.monotonic()
    sent = 0
    for minute in range(1, int(minutes) + 1):
        while (now := time.monotonic()) < started + minute * 60:
            while sent < (now - started) * rate:
                pile = burning if chance.random() < 0.1 else ordinary
                waiting.put((started + sent / rate, chance.choice(pile)))
                sent += 1
            time.sleep(0.005)
        rss, descriptors, processes = row()
        rows.append((time.monotonic() - started, rss, descriptors))
        times = sorted(took[:])
        took.clear()
        p50, p99 = (times[int(len(times) * part)] * 1_000 for part in (0.5, 0.99)) if times else (0.0, 0.0)
        print(
            f"{minute:6} {sent:7} {rss / 1_048_576:7.1f} {descriptors:5} {processes:9} {p50:7.1f} {p99:7.1f}",
            flush=True,
        )
    return rows


def _row(mailgate: Mailgate, worker: int) -> tuple[int, int, int]:
    descriptors = len(list(Path(f"/proc/{worker}/fd").iterdir()))
    return rss_bytes(worker), descriptors, sum(process.session == mailgate.pid for process in living())


if __name__ == "__main__":
    main()
