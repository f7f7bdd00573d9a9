"""A day of mail on real programs: each kind once, lawful ones delivered, forwards refused or held.

`pytest -s` prints the table; `python -m tests.lab.day` runs a whole day.
"""

from collections import Counter
from collections.abc import Mapping

import pytest
from tests.lab.day import run_day, shares, table
from tests.lab.day_kinds import KINDS
from tests.lab.day_system import Day, Kind, Mail


@pytest.fixture(scope="module")
def day() -> tuple[Day, Mapping[str, Mail]]:
    """A day with one mail of each kind, by the kind's name."""
    ran, mails = run_day(shares(KINDS, len(KINDS)))
    print("", *table(ran, mails), sep="\n")
    return ran, {mail.kind.name: mail for mail in mails}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_becomes_of_a_mail(kind: Kind, day: tuple[Day, Mapping[str, Mail]]) -> None:
    ran, mails = day
    mail = mails[kind.name]
    assert kind.fits(mail.seen), f"{mail.seen}, wanted: {kind.wanted}\n    {ran.evidence(mail)}"


def test_a_days_shares() -> None:
    """Each kind has its part of a day, and no two have one name."""
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 100
    counts = Counter(kind.name for kind in shares(KINDS, 2_000))
    forbidden, lawful = (
        [counts[kind.name] for kind in KINDS if bool(kind.forbidden) is is_so] for is_so in (True, False)
    )
    assert (sum(forbidden), sum(lawful)) == (140, 1_860)
    assert all(max(of_kind) - min(of_kind) <= 1 for of_kind in (forbidden, lawful))
