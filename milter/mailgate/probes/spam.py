"""What a spam engine says of a mail, whichever engine it is."""

from typing import Protocol

from ..model import Mail, SpamReport
from ..spool import Spool
from .breaker import Breaker
from .probe import Asked, Probe


class Engine(Protocol):
    """A spam engine: probes.rspamd, probes.spamd."""

    async def check(self, mail: Mail, raw: Spool) -> SpamReport:
        """Ask for one mail; raises OSError or TimeoutError where there is no usable answer."""

    async def ping(self) -> object:
        """Ask whether it lives; raises OSError or TimeoutError."""

    async def close(self) -> None:
        """Close the kept connections."""


class SpamProbe(Probe):
    """Asks the engine about a mail."""

    name = "spam"

    def __init__(self, engine: Engine, deadline_s: float, breaker: Breaker | None) -> None:
        self._engine = engine
        self.deadline_s = deadline_s
        self.breaker = breaker

    def concerns(self, asked: Asked) -> bool:
        return asked.raw is not None and asked.mail.spam is None

    async def ask(self, asked: Asked) -> None:
        assert asked.raw is not None
        asked.mail.spam = await self._engine.check(asked.mail, asked.raw)
