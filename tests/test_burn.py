"""What is made to cost more than its share costs its share: time linear in its octets, and nobody else's."""

import asyncio

import pytest
from tests.lab.burn import INPUTS
from tests.lab.mailgate import Mailgate
from tests.lab.neighbours import ONE_WORKER, cost_of
from tests.lab.turns import turns_of

SMALL, LARGE = 65_536, 262_144  # two doublings
GROWTH = 2.3**2
NOISE = 2.0  # other processes' part of a figure of some milliseconds
FLOOR_S = 0.02  # below it a figure is noise
LONGEST_TURN_S = 1.0  # of the loop, on a machine that does other work too; under 0.1 on a quiet one


@pytest.mark.parametrize("name", INPUTS)
def test_time_grows_as_octets_do(name: str) -> None:
    small = sum(asyncio.run(turns_of(INPUTS[name](SMALL))))
    large = asyncio.run(turns_of(INPUTS[name](LARGE)))
    assert sum(large) < max(FLOOR_S, small * GROWTH * NOISE, FLOOR_S * GROWTH), (small, large)
    assert max(large) < LONGEST_TURN_S


def test_another_connection_hardly_waits() -> None:
    """One worker is sent each input, 256 KB of it; the longest wait of a neighbour's mail is under 0.1 s on a quiet
    machine (benchmarks/burn.py), and a mail's own incident under 64 KB."""
    names = [name for name in INPUTS if not name.startswith("sender:")]  # no line of SMTP is so long
    with Mailgate(ONE_WORKER) as mailgate:
        costs = {name: cost_of(mailgate, INPUTS[name](1 << 18)) for name in names}
        assert [line["event"] for line in mailgate.log() if "own error" in str(line["event"])] == []
    assert {name: cost for name, cost in costs.items() if cost.longest_s > 10.0} == {}
    assert {name: cost for name, cost in costs.items() if cost.incident_octets > 65_536} == {}
    assert {name: cost for name, cost in costs.items() if cost.action == "tempfail"} == {}
    assert sum(cost.growth_bytes for cost in costs.values()) < 200 << 20
