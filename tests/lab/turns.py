"""What judging a mail takes of the daemon's own loop, a turn at a time; what workers would do is left out."""

import gc
import time
from collections.abc import Iterator

from tests.lab.burn import Burning, chunks
from tests.lab.gates import make_gate, settings_of

from mailgate.doors.transaction import Transaction
from mailgate.gate import Gate
from mailgate.inspection.inspector import Inspector
from mailgate.inspection.job import Item, Job
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Content, Outcome
from mailgate.model import Session
from mailgate.wire.smtp import split_header
from mailgate_rules import STANZAS


class NoWorkers:
    """Workers who find nothing: what is measured is the daemon's own part."""

    async def run(self, job: Job, content: Content) -> Outcome[Item]:
        return Outcome[Item](ended=[() for _ in job.pieces])

    def lacks(self) -> list[str]:
        return []

    async def close(self) -> None:
        """There is nothing to close."""


def gate() -> Gate:
    settings = settings_of(*[stanza() for stanza in STANZAS.values()])
    return make_gate(settings, looks=Inspector(NoWorkers(), InspectionLimits()))


async def turns_of(burning: Burning) -> list[float]:
    """Judge a mail, and return the processor time of each step that the loop makes in one turn.

    What the process held before is put out of the collector's sight, as a daemon that has started does: else a look
    through all that a thousand tests have left counts as the mail's.
    """
    transaction = Transaction(gate(), Session(burning.hook, "203.0.113.7" if burning.hook == "mx" else "10.1.1.5"))
    fields, start = split_header(burning.message)
    body = burning.message[start:]
    spent: list[float] = []

    def steps() -> Iterator[None]:
        now = time.time()
        yield transaction.mail(f"<{burning.sender}>".encode(), (), burning.login, now)  # type: ignore[misc]
        for recipient in burning.recipients:
            transaction.recipient(f"<{recipient}>".encode(), now)
        yield
        yield transaction.headers(fields, now)  # type: ignore[func-returns-value]
        for first, last in chunks(body):
            yield transaction.body(body, first, last, now)  # type: ignore[misc]

    gc.collect()
    gc.freeze()
    begun = time.process_time()
    for _ in steps():
        spent.append(time.process_time() - begun)
        begun = time.process_time()
    if transaction.end_at_once() is None:
        await transaction.end()
    spent.append(time.process_time() - begun)
    gc.unfreeze()
    transaction.close()
    return spent
