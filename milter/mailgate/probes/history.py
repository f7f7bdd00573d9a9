"""What is remembered of earlier mails, as a fact about this one (ledger.history)."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from ..model import AFTER_EXPANSION, Mail, Trace, Verdict
from .breaker import Breaker
from .probe import Asked, Probe


class Past(Protocol):
    """What is remembered of earlier mails (ledger.history)."""

    def settles(self, mail: Mail) -> bool:
        """Tell whether nothing need be asked for of this mail's past."""

    def ask_at_once(self, mail: Mail, now: float) -> bool:
        """Do what `ask` does, and tell so, where nothing must be waited for; else fill in nothing."""

    def ask(self, mail: Mail, now: float) -> Awaitable[None]:
        """Fill in a mail's passages and memory; raises OSError or the store's error where it cannot."""

    def traces(self, mail: Mail, verdict: Verdict, now: float) -> list[Trace]:
        """Return what is to be remembered of a mail that goes on."""


class HistoryProbe(Probe):
    """Asks for the mail's past. Where it cannot be had, egress keeps the mail back: it sees every copy.

    It is asked first: what was looked into when it was taken in need not be looked into again. Mail that is only
    taken in goes on to egress, where it is asked for again, since nothing was remembered then.
    """

    name = "history"
    wave = 0

    def __init__(self, past: Past, seconds: Callable[[], float], deadline_s: float, breaker: Breaker | None) -> None:
        self._past = past
        self._seconds = seconds
        self.deadline_s = deadline_s
        self.breaker = breaker

    def concerns(self, asked: Asked) -> bool:
        return asked.mail.memory is None and not self._past.settles(asked.mail)

    def answers_at_once(self, asked: Asked) -> bool:
        return self._past.ask_at_once(asked.mail, self._seconds())

    async def ask(self, asked: Asked) -> None:
        await self._past.ask(asked.mail, self._seconds())

    def is_needed(self, mail: Mail) -> bool:
        return mail.session.hook in AFTER_EXPANSION
