"""Ordinary mails of every kind through the command, with the shipped configuration: nothing in them is refused."""

import os
from pathlib import Path

from tests.lab import ordinary

COUNT = int(os.environ.get("ORDINARY_MAILS", "1000"))
"""The whole 10,000 take minutes: `python -m tests.lab.ordinary --judge 10000`."""


def test_no_ordinary_mail_is_refused(tmp_path: Path) -> None:
    judged = ordinary.judge(tmp_path, COUNT)
    ordinary.say(judged)
    assert judged.refusals == []
    assert set(judged.actions) == {"accept"}


def test_the_same_seed_makes_the_same_mails() -> None:
    first, second = list(ordinary.ordinary_mails(100)), list(ordinary.ordinary_mails(100))
    assert first == second
    assert len({mail.message for mail in first}) == 100
