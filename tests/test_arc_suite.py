"""ARC by the validation suite of the ARC working group (ValiMail), every row of it.

tests/arc/arc-draft-validation-tests.json is its YAML, converted as it stands; its licence lies beside it. A row's
`cv` is None, Pass or Fail; three have none, since a chain ends where a seal says cv=fail: that is Fail to us.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from mailgate.inspection.signatures import Chain, Message, chain

SUITE = json.loads((Path(__file__).parent / "arc" / "arc-draft-validation-tests.json").read_text())
ROWS = [(name, test, scenario["txt-records"]) for scenario in SUITE for name, test in scenario["tests"].items()]


@pytest.mark.parametrize(("name", "test", "records"), ROWS, ids=[name for name, _, _ in ROWS])
def test_a_row_of_the_suite(name: str, test: dict[str, Any], records: dict[str, str]) -> None:
    octets = test["message"].replace("\n", "\r\n").encode()
    found, _ = chain(Message(lambda: [octets]), {name: [text.encode()] for name, text in records.items()})
    assert found == Chain((test["cv"] or "Fail").lower())


def test_the_suite_is_whole() -> None:
    assert len(ROWS) == 171
