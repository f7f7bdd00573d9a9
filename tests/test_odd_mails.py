"""Other projects' odd mails: each is judged, quickly, and none is an error of ours."""

import base64
import json
from collections import Counter
from pathlib import Path

import pytest
from tests.lab.mailgate import Mailgate

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "mails"
SLOWEST_MS = 2_000
MOST_HELD = 6  # in which programs find other parts than others do


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the collection of odd mails is not beside the repository")
def test_every_odd_mail_is_judged() -> None:
    mails = sorted(FOLDER.rglob("*.eml"))
    assert len(mails) > 600
    mailgate = Mailgate({})
    try:
        cases = [
            {
                "id": str(number),
                "mail_from": "a@example.com",
                "client_ip": "203.0.113.7",
                "rcpts": ["ptp.bl@hanam.gov.vn"],
            }
            | {"message": str(path) if number % 2 else {"base64": base64.b64encode(path.read_bytes()).decode()}}
            for number, path in enumerate(mails)
        ]
        batch = mailgate.folder / "cases.jsonl"
        batch.write_text("".join(json.dumps(case) + "\n" for case in cases))
        done = mailgate.run("check", "--batch", str(batch))
    finally:
        mailgate.close()
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [case["id"] for case in cases]
    actions = Counter(answer["action"] for answer in answers)
    assert set(actions) <= {"accept", "reject", "quarantine"}
    assert actions["quarantine"] <= MOST_HELD
    for answer, path in zip(answers, mails, strict=True):
        assert "4.3.0" not in (answer["reply"] or ""), path
        assert answer["elapsed_ms"] < SLOWEST_MS, path
        assert answer["attachment_bytes"] == sum(file["bytes"] for file in answer["attachments"]), path
