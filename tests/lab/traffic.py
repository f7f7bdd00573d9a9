"""Mail at a steady pace, whatever becomes of it: each mail is sent once, and what was answered, and when, is kept."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Self

from tests.lab.smtp_client import Outcome
from tests.lab.waiting import wait_until

_CONNECTIONS = 60  # at once: those that wait must not keep others from being sent


@dataclass(frozen=True, slots=True)
class Sent:
    """One mail: its number, the decisive reply, and how long after its due time that came, in seconds."""

    number: int
    reply: str
    seconds: float
    answered_at: float

    @property
    def queue_id(self) -> str:
        """Postfix's name of an accepted mail, "" for any other."""
        return self.reply.rpartition(" ")[2] if self.reply.startswith("250") else ""


class Traffic:
    """`per_second` mails a second; use it in a `with` block, whose end waits for all answers.

    `send` gets the number of a mail, from 0, and sends it, in one of many threads.
    """

    def __init__(self, send: Callable[[int], Outcome], per_second: float) -> None:
        self.sent: list[Sent] = []
        self._send = send
        self._pause_s = 1 / per_second
        self._ending = threading.Event()
        self._ended_at = math.inf
        self._senders = ThreadPoolExecutor(_CONNECTIONS)
        self._clock = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._clock.join()
        self._ended_at = time.monotonic()
        self._senders.shutdown()

    def wait(self, mails: int) -> None:
        """Wait until so many more mails have been answered."""
        wanted = len(self.sent) + mails
        wait_until(lambda: len(self.sent) >= wanted, 60, f"{mails} more answers")

    def percentile(self, share: float) -> float:
        """Return the time within which this share of the mails was answered, in seconds."""
        times = sorted(one.seconds for one in self.sent)
        return times[min(int(share * len(times)), len(times) - 1)]

    def longest_gap(self) -> float:
        """Return the longest time in which nothing was answered while mails were sent, in seconds."""
        times = sorted(one.answered_at for one in self.sent if one.answered_at <= self._ended_at)
        return max(later - earlier for earlier, later in pairwise(times))

    def _run(self) -> None:
        number, due = 0, time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            self._senders.submit(self._one, number, due)
            number, due = number + 1, due + self._pause_s

    def _one(self, number: int, due: float) -> None:
        try:
            reply = self._send(number).final
        except OSError as error:
            reply = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        self.sent.append(Sent(number, reply, now - due, now))
