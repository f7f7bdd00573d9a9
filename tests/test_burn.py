"""What is made to cost more than its share costs its share: time linear in its octets, and nobody else's."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from tests.lab.burn import INPUTS, Burning, chunks
from tests.lab.gates import make_gate, settings_of
from tests.lab.mailgate import Mailgate
from tests.lab.neighbours import ONE_WORKER, cost_of

from mailgate.doors.transaction import Transaction
from mailgate.gate import Gate
from mailgate.inspection.inspector import Inspector
from mailgate.inspection.job import Item, Job
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Content, Outcome
from mailgate.model import Session
from mailgate.wire.smtp import split_header
from mailgate_rules import STANZAS

SMALL, LARGE = 65_536, 262_144  # two doublings
GROWTH = 2.3**2
NOISE = 2.0  # other processes' part of a figure of some milliseconds
FLOOR_S = 0.02  # below it a figure is noise
LONGEST_TURN_S = 1.0  # of the loop, on a machine that does other work too; under 0.1 on a quiet one


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
    """Judge a mail, and return the processor time of each step that the loop makes in one turn."""
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

    begun = time.process_time()
    for _ in steps():
        spent.append(time.process_time() - begun)
        begun = time.process_time()
    if transaction.end_at_once() is None:
        await transaction.end()
    spent.append(time.process_time() - begun)
    transaction.close()
    return spent


@pytest.mark.parametrize("name", INPUTS)
def test_time_grows_as_octets_do(name: str) -> None:
    small = sum(asyncio.run(turns_of(INPUTS[name](SMALL))))
    large = asyncio.run(turns_of(INPUTS[name](LARGE)))
    assert sum(large) < max(FLOOR_S, small * GROWTH * NOISE, FLOOR_S * GROWTH), (small, large)
    assert max(large) < LONGEST_TURN_S


def test_another_connection_hardly_waits() -> None:
    """One worker is sent each input, 1 MB of it; the longest wait of a neighbour's mail is under 0.1 s on a quiet
    machine (benchmarks/burn.py), and a mail's own incident under 64 KB."""
    names = [name for name in INPUTS if not name.startswith("sender:")]  # no line of SMTP is so long
    with Mailgate(ONE_WORKER) as mailgate:
        costs = {name: cost_of(mailgate, INPUTS[name](1 << 20)) for name in names}
        assert [line["event"] for line in mailgate.log() if "own error" in str(line["event"])] == []
    assert {name: cost for name, cost in costs.items() if cost.longest_s > 10.0} == {}
    assert {name: cost for name, cost in costs.items() if cost.incident_octets > 65_536} == {}
    assert {name: cost for name, cost in costs.items() if cost.action == "tempfail"} == {}
    assert sum(cost.growth_bytes for cost in costs.values()) < 200 << 20
