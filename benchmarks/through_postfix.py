"""What a filter costs a real Postfix: mails/s that it takes from smtp-source, with and without milters.

One private Postfix whose queue is on a tmpfs has a door for each variant, so that rounds interleave without
a reload. What it takes is discarded; the time is that of smtp-source, 20 sessions, one mail each, and the
queue is empty again before the next variant's turn. A filter that fails makes smtp-source fail, and the run.
"""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import CONNECTIONS
from benchmarks.mails import RECIPIENT, SENDER, sample_mail
from tests.lab.daemon import find_program
from tests.lab.ports import free_port
from tests.lab.postfix import Postfix
from tests.lab.waiting import wait_until

TMPFS = Path("/dev/shm")
SOURCE_TIMEOUT_S = 120.0
DRAIN_TIMEOUT_S = 60.0
WAITING = ("incoming", "active", "deferred")


@contextmanager
def doors(milters: Mapping[str, str]) -> Iterator[tuple[Postfix, dict[str, int]]]:
    """Run a Postfix with one port for each variant, given each variant's smtpd_milters ("" for none)."""
    ports = {variant: free_port() for variant in milters}
    services = [
        line
        for variant, port in ports.items()
        for line in (
            f"127.0.0.1:{port} inet n - n - - smtpd",
            f"  -o {{ smtpd_milters = {milters[variant]} }}",
        )
    ]
    settings = {"milter_default_action": "tempfail", "message_size_limit": "0"}
    with Postfix(main_cf=settings, master_cf=services, parent=TMPFS) as postfix:
        yield postfix, ports


def mails_a_second(postfix: Postfix, port: int, size: int, mails: int) -> float:
    """Send mails of `size` octets to a door, and wait until the queue is empty."""
    message = postfix.folder / f"mail-{size}"
    message.write_bytes(sample_mail(size).text(b"5AA3F20C7B2"))
    started = time.perf_counter()
    subprocess.run(
        [find_program("smtp-source", "postfix"), *_source(mails), "-F", message, f"inet:127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=SOURCE_TIMEOUT_S,
    )
    seconds = time.perf_counter() - started
    wait_until(lambda: not is_queued(postfix), DRAIN_TIMEOUT_S, "the queue to drain")
    return mails / seconds


def _source(mails: int) -> Sequence[str]:
    return (
        *("-s", str(CONNECTIONS), "-m", str(mails)),
        *("-M", "mail.example.com", "-f", SENDER.decode(), "-t", RECIPIENT.decode()),
    )


def is_queued(postfix: Postfix) -> bool:
    """Tell whether any mail waits in a Postfix's queue."""
    return any(any((postfix.folder / "queue" / name).iterdir()) for name in WAITING)
