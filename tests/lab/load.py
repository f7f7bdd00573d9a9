"""Senders that send mail after mail, as real ones do: what is deferred is sent again, unchanged."""

import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from tests.lab.mails import OUTSIDER, letter
from tests.lab.smtp_client import Outcome
from tests.lab.system import MailSystem
from tests.lab.waiting import wait_until


class Load:
    """`senders` threads that send mails of their own from outside; use it in a `with` block, whose end stops them.

    Each mail is sent until it is accepted.  `recipient(n)` is sender n's only recipient.
    """

    def __init__(self, system: MailSystem, senders: int = 3) -> None:
        self.accepted = [0] * senders
        self.others: list[str] = []  # replies that were no 250, and connections that failed
        self._system = system
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(senders)]

    @staticmethod
    def recipient(sender: int) -> str:
        """Return the mailbox that a sender writes to."""
        return f"nhan{sender}@hanam.gov.vn"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait(len(self._threads))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait(self, mails: int) -> None:
        """Wait until so many more mails have been accepted."""
        wanted = sum(self.accepted) + mails
        wait_until(lambda: sum(self.accepted) >= wanted, 30, f"{mails} more mails to be accepted: {self.others[-3:]}")

    def until_counted(self) -> None:
        """After the end: wait until the ledger has each accepted mail, exactly once."""
        wanted = {self.recipient(number): count for number, count in enumerate(self.accepted)}
        mailgate = self._system.mailgate
        wait_until(lambda: mailgate.received() == wanted, 10, f"the ledger to say {wanted}: {mailgate.received()}")

    def _send(self, number: int) -> None:
        while not self._stopping.is_set():
            send = partial(self._system.receive, OUTSIDER, [self.recipient(number)], letter())
            until_accepted(send, self.others)
            self.accepted[number] += 1


def until_accepted(send: Callable[[], Outcome], others: list[str]) -> None:
    """Send one mail again and again until it is accepted; its other replies are added to `others`."""
    while True:
        try:
            reply = send().final
        except OSError as error:
            reply = f"{type(error).__name__}: {error}"
        if reply.startswith("250"):
            return
        others.append(reply)
