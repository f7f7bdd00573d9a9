"""A province's mailboxes in Redis, a hundred times over: `python -m benchmarks.province [--mailboxes 1000000]`.

Every mailbox is registered, has sent one mail and received two, on days of the last weeks; a few are idle. Measured
on a private Redis: how fast the registry and the events go in, by one process; how much memory a mailbox takes; how
long `mailgate inactivity` takes, and its memory.
"""

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from tests.lab.redis import Redis

from mailgate.ledger.redis import RedisStore
from mailgate.ledger.store import Batch, Observed
from mailgate.model import ActivityEvent, ActivityKind, MailboxKind, MailClass, Registration

DAY_S = 86_400
BATCH = 1_000
IDLE = 500
EVENTS = (
    (ActivityKind.SENT, MailClass.HUMAN),
    (ActivityKind.RECEIVED, MailClass.HUMAN),
    (ActivityKind.RECEIVED, MailClass.BULK),
)


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=1_000_000)
    mailboxes = parser.parse_args().mailboxes
    with Redis() as redis:
        asyncio.run(fill(redis, mailboxes))
        ask(redis.url)


async def fill(redis: Redis, mailboxes: int) -> None:
    """Register all, then count their events."""
    store = RedisStore(redis.url)
    empty = used(redis)
    began = time.perf_counter()
    created = (date.today() - timedelta(days=400)).isoformat()
    await store.register(
        [
            Registration(address(n), MailboxKind.INDIVIDUAL, f"Nguyễn Văn {n}", f"Đơn vị {n % 900}", created, created)
            for n in range(mailboxes)
        ]
    )
    took = time.perf_counter() - began
    print(f"registry: {mailboxes / took:,.0f} mailboxes/s, {(used(redis) - empty) / mailboxes:.0f} octets a mailbox")
    now = int(time.time())
    await store.put_site(b"k" * 32, {}, [Observed("mail1", now - 300 * DAY_S, now)])
    before = used(redis)
    began = time.perf_counter()
    number = events = 0
    for number, batch in enumerate(batches(mailboxes, now), 1):
        await store.commit(Batch(batch, "bench", number, "mail1"))
        events += len(batch)
    took = time.perf_counter() - began
    grown = used(redis) - before
    print(
        f"events: {events / took:,.0f} a second by one process, in batches of {BATCH}; {grown / mailboxes:.0f} octets"
        f" a mailbox with {len(EVENTS)} of them; with the registry {(used(redis) - empty) / mailboxes:.0f}"
    )
    await store.close()


def batches(mailboxes: int, now: int) -> Iterator[list[ActivityEvent]]:
    """Yield the events of all mailboxes, in the order of chance; the last IDLE of them did nothing for long."""
    chance = random.Random(1)
    order = list(range(mailboxes))
    batch: list[ActivityEvent] = []
    for place, (kind, mail_class) in enumerate(EVENTS):
        chance.shuffle(order)
        for n in order:
            days = 150 if n >= mailboxes - IDLE else chance.randrange(30)
            key = ((n << 2) | place).to_bytes(16, "big")
            batch.append(ActivityEvent(key, kind, address(n), now - days * DAY_S, 4_000, mail_class))
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def ask(url: str) -> None:
    """Run the command as an administrator does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mailgate.toml")
        file.write_text(f'[store]\nurl = "{url}"\n')
        command = [
            str(Path(sys.executable).with_name("mailgate")),
            "inactivity",
            "--format",
            "csv",
            "--config",
            str(file),
        ]
        for _ in range(3):
            began = time.perf_counter()
            with Path(folder, "output").open("wb") as output:
                process = subprocess.Popen(command, stdout=output)
            largest = 0
            while process.poll() is None:
                # Not getrusage: it counts what this process had when it forked.
                status = Path(f"/proc/{process.pid}/status").read_text()
                largest = max([largest, *(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)])
                time.sleep(0.002)
            took = time.perf_counter() - began
            lines = Path(folder, "output").read_text().splitlines()
            print(f"inactivity: {len(lines) - 1} mailboxes in {took:.2f} s, {largest / 1_024:.0f} MB")


def address(n: int) -> str:
    """Return the address of the n-th mailbox, as long as real ones are."""
    return f"nguyenvan{n:08d}@hanam.gov.vn"


def used(redis: Redis) -> int:
    """Return the memory that Redis uses, in octets."""
    lines = dict(line.split(":", 1) for line in redis.read("INFO memory").splitlines() if ":" in line)
    return int(lines["used_memory"])


if __name__ == "__main__":
    main()
