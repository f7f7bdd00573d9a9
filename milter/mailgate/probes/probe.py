"""What a probe is: one question to one service about one mail, asked by the gate.

A new service is a file with a class like these and a line in `probing.probes_for`. The gate does the rest: it asks
the probes that a mail concerns, all of a wave at once, each within its deadline and the mail's. What was asked and
did not answer is in mail.missing, with the limit that was kept; what a probe takes is in the metrics under its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..mime.walker import Leaf
from ..model import Mail
from ..spool import Spool
from .breaker import Breaker


@dataclass(frozen=True, slots=True)
class Asked:
    """The mail that is asked about, its octets (None where nothing keeps them), and where its leaves are in them."""

    mail: Mail
    raw: Spool | None
    leaves: Sequence[Leaf]


class Probe:
    """One kind of question.

    name: of the fact, as in mail.missing, in rules' NEEDS and in metrics. wave: probes of a later one are asked once
    those before have answered, for it depends on them whom they concern. deadline_s: for one mail. breaker: while it
    is open nobody is asked; None where there is none.
    """

    name: str
    wave = 1
    deadline_s: float
    breaker: Breaker | None = None

    def concerns(self, asked: Asked) -> bool:
        """Tell whether this mail is to be asked about."""
        raise NotImplementedError(self.name)

    def answers_at_once(self, asked: Asked) -> bool:
        """Answer without waiting for anybody, and tell whether that could be done; else fill in nothing."""
        return False

    async def ask(self, asked: Asked) -> None:
        """Fill the answer into the mail; raises OSError, TimeoutError or the store's error where there is none."""
        raise NotImplementedError(self.name)

    def is_needed(self, mail: Mail) -> bool:
        """Tell whether a rule has to know that there was no answer; else it is as if nobody had been asked."""
        return True
