"""Calendar months in civil time: month ends, leap years, midnight in Viet Nam, and the second when a term ends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.mailboxes.calendar import CIVIL_TIME, civil, due_before, is_due, months_after

SECOND = timedelta(seconds=1)


def moment(text: str) -> datetime:
    """Read a time; one without an offset is civil time."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=CIVIL_TIME)


# (from, months, to): what has no offset is civil time
MONTHS = (
    # plain
    ("2026-01-15T08:00", 1, "2026-02-15T08:00"),
    ("2026-01-15T08:00", 3, "2026-04-15T08:00"),
    ("2026-01-15T08:00", 6, "2026-07-15T08:00"),
    ("2026-01-15T08:00", 0, "2026-01-15T08:00"),
    ("2026-01-15T08:00:59.5", 3, "2026-04-15T08:00:59.5"),
    # over the year's end
    ("2026-10-15T08:00", 3, "2027-01-15T08:00"),
    ("2026-12-15T08:00", 1, "2027-01-15T08:00"),
    ("2026-11-30T08:00", 1, "2026-12-30T08:00"),
    ("2026-12-31T23:59:59", 12, "2027-12-31T23:59:59"),
    ("2026-07-01T00:00", 30, "2029-01-01T00:00"),
    # a month's last day has no like in a shorter month
    ("2026-08-31T10:00", 6, "2027-02-28T10:00"),
    ("2026-08-30T10:00", 6, "2027-02-28T10:00"),
    ("2026-08-29T10:00", 6, "2027-02-28T10:00"),
    ("2026-08-28T10:00", 6, "2027-02-28T10:00"),
    ("2026-08-27T10:00", 6, "2027-02-27T10:00"),
    ("2026-11-30T10:00", 3, "2027-02-28T10:00"),
    ("2026-01-31T10:00", 1, "2026-02-28T10:00"),
    ("2026-01-31T10:00", 3, "2026-04-30T10:00"),
    ("2026-03-31T10:00", 1, "2026-04-30T10:00"),
    ("2026-03-31T10:00", 6, "2026-09-30T10:00"),
    ("2026-05-31T10:00", 3, "2026-08-31T10:00"),
    ("2026-12-31T10:00", 6, "2027-06-30T10:00"),
    # the last day of a short month is no month end later
    ("2026-02-28T10:00", 1, "2026-03-28T10:00"),
    ("2026-06-30T10:00", 6, "2026-12-30T10:00"),
    # leap years
    ("2023-08-31T10:00", 6, "2024-02-29T10:00"),
    ("2023-11-30T10:00", 3, "2024-02-29T10:00"),
    ("2027-08-31T10:00", 6, "2028-02-29T10:00"),
    ("2027-08-29T10:00", 6, "2028-02-29T10:00"),
    ("2028-02-29T10:00", 12, "2029-02-28T10:00"),
    ("2024-02-29T10:00", 12, "2025-02-28T10:00"),
    ("2024-02-29T10:00", 48, "2028-02-29T10:00"),
    ("2028-01-31T10:00", 1, "2028-02-29T10:00"),
    ("2028-02-29T10:00", 6, "2028-08-29T10:00"),
    ("2099-11-30T10:00", 3, "2100-02-28T10:00"),  # a hundred that 400 does not divide
    ("2099-08-31T10:00", 6, "2100-02-28T10:00"),
    ("1999-11-30T10:00", 3, "2000-02-29T10:00"),
    # another offset: the day is Viet Nam's
    ("2026-08-30T17:30+00:00", 6, "2027-02-28T00:30"),  # 31 August here
    ("2026-08-31T17:30+00:00", 6, "2027-03-01T00:30"),  # 1 September here
    ("2026-08-31T16:59:59+00:00", 6, "2027-02-28T23:59:59"),
    ("2026-08-31T17:00:00+00:00", 6, "2027-03-01T00:00:00"),
    ("2026-11-30T16:59:59+00:00", 3, "2027-02-28T23:59:59"),
    ("2026-11-30T17:00:00+00:00", 3, "2027-03-01T00:00:00"),
    ("2027-02-28T17:00+00:00", 1, "2027-04-01T00:00"),
    ("2028-02-28T17:00+00:00", 12, "2029-02-28T00:00"),  # 29 February here
    ("2026-12-31T17:00+00:00", 1, "2027-02-01T00:00"),  # the next year here
    ("2026-08-30T12:30-05:00", 6, "2027-02-28T00:30"),
    ("2026-08-31T23:30+09:00", 6, "2027-02-28T21:30"),
    # back
    ("2027-02-28T10:00", -6, "2026-08-28T10:00"),
    ("2026-03-31T10:00", -1, "2026-02-28T10:00"),
    ("2026-01-15T10:00", -1, "2025-12-15T10:00"),
)


@pytest.mark.parametrize(("start", "months", "end"), MONTHS)
def test_months_after(start: str, months: int, end: str) -> None:
    found = months_after(moment(start), months)
    assert found == moment(end)
    assert found.utcoffset() == timedelta(hours=7)


@pytest.mark.parametrize(("start", "months", "end"), [row for row in MONTHS if row[1] > 0])
def test_what_is_due_is_so_from_the_second_on(start: str, months: int, end: str) -> None:
    since, due = moment(start), moment(end).astimezone(UTC)
    assert [is_due(since, months, due + SECOND * late) for late in (-1, 0, 1)] == [False, True, True]


@pytest.mark.parametrize(("start", "months", "end"), [row for row in MONTHS if row[1] > 0])
def test_the_store_is_asked_for_all_that_is_due(start: str, months: int, end: str) -> None:
    assert moment(start) < due_before(moment(end), months)


# (at, months, before): nothing of a later day is asked for
@pytest.mark.parametrize(
    ("at", "months", "before"),
    [
        ("2026-11-24T08:00", 3, "2026-08-25T00:00"),
        ("2026-11-23T17:30+00:00", 3, "2026-08-25T00:00"),
        ("2027-02-28T08:00", 6, "2026-09-01T00:00"),
        ("2027-02-27T08:00", 6, "2026-08-28T00:00"),
        ("2028-02-28T08:00", 6, "2027-08-29T00:00"),
        ("2026-03-30T08:00", 1, "2026-03-01T00:00"),
        ("2026-03-31T08:00", 1, "2026-03-01T00:00"),
        ("2026-04-30T08:00", 1, "2026-04-01T00:00"),
        ("2026-12-31T08:00", 6, "2026-07-01T00:00"),
    ],
)
def test_due_before(at: str, months: int, before: str) -> None:
    assert due_before(moment(at), months) == moment(before)


@given(since=st.integers(315_532_800, 4_000_000_000), later=st.integers(0, 3 * 86_400), months=st.integers(1, 24))
def test_nothing_due_is_missed(since: int, later: int, months: int) -> None:
    start = civil(since)
    due = months_after(start, months) + timedelta(seconds=later)
    assert is_due(start, months, due)
    assert start < due_before(due, months)


def test_seconds_are_shown_in_civil_time() -> None:
    assert civil(1_795_000_000).isoformat() == "2026-11-18T18:06:40+07:00"
