"""Mail through a real Postfix while the ledger's Redis fails: each mail that was answered with 250 counts once."""

import pytest
from tests.lab.ledger_faults import HEAD, SCENARIOS, Scenario, report, run


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_was_answered_is_counted_exactly(scenario: Scenario) -> None:
    result = run(scenario, 500, between_s=0.4)
    print(f"\n{HEAD}\n{report(scenario.name, result)}")
    assert sum(result.answered.values()) == 500
    assert result.faults > 0
    assert result.counted == dict(result.answered)
