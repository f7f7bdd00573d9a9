"""Mails that hide a file from who looks for it, as they were seen in the field: each with who shows it, and what is
wanted: blocked, noticed, or blocked by its name."""

import json
from pathlib import Path

import pytest
from tests.lab.clamd import Clamd
from tests.lab.gates import Notes, make_gate

from mailgate.config import load, parse_endpoint
from mailgate.doors.offline import Case, judge_case
from mailgate.model import Action
from mailgate.probes.clamd import Scanner

FOLDER = Path(__file__).parent / "boxes"
CASES = [json.loads(line) for line in (FOLDER / "cases.jsonl").read_text().splitlines()]
_BLOCKED = (Action.REJECT, Action.QUARANTINE)
_RULES = ("virus", "dangerous-attachment", "uninspectable")


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
async def test_what_is_wanted_is_seen(case: dict[str, str], clamd: Clamd) -> None:
    settings = load(FOLDER.parents[1] / "config" / "mailgate.toml", {})
    spam = settings.spam.model_copy(update={"url": ""})
    scanner = Scanner(parse_endpoint(clamd.unix_address), 20.0, 4, None)
    gate = make_gate(settings.model_copy(update={"spam": spam}), Notes(), scanner=scanner)
    mail = Case(
        (FOLDER / f"{case['id']}.eml").read_bytes(),
        client_ip="203.0.113.7",
        mail_from="lan@example.com",
        rcpts=("ptp.bl@hanam.gov.vn",),
        queue_id="4Cw3Jx",
    )
    answer = await judge_case(gate, mail)
    found = {finding.rule: finding.action for finding in answer.findings if finding.rule in _RULES}
    print(f"{case['id']}: wanted {case['want']}, seen {answer.verdict.action}: {found}")
    if case["want"] == "noticed":
        assert found
    else:
        assert answer.verdict.action in _BLOCKED
    if case["want"] == "name":
        assert found["dangerous-attachment"] is Action.REJECT
