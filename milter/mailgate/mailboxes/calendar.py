"""Calendar months in the province's civil time, as the regulation counts them (6.2c, 7.2a, 7.2d).

A month ends at the same time of day on the day of the same number, or on the last day of a month that has none:
31 August and six months is 28 or 29 February. Viet Nam is at UTC+7 and has no summer time.
"""

from calendar import monthrange
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

CIVIL_TIME = ZoneInfo("Asia/Ho_Chi_Minh")


def civil(seconds: float) -> datetime:
    """Return Unix seconds as civil time."""
    return datetime.fromtimestamp(seconds, CIVIL_TIME)


def months_after(moment: datetime, months: int) -> datetime:
    """Return the civil time so many calendar months later, or earlier where negative; `moment` has a time zone."""
    local = moment.astimezone(CIVIL_TIME)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day)


def is_due(since: datetime, months: int, at: datetime) -> bool:
    """Tell whether so many calendar months have fully passed."""
    return at >= months_after(since, months)


def due_before(at: datetime, months: int) -> datetime:
    """Return a midnight before which everything began that is due at `at`, and some days' worth of what is not yet.

    It is no exact inverse, for a short month's last day is the end of several days' months: 10:00 of 28, 29, 30 and
    31 August end at 10:00 of 28 February.
    """
    local = at.astimezone(CIVIL_TIME)
    start = months_after(local, -months)
    if local.day == monthrange(local.year, local.month)[1]:
        start = start.replace(day=monthrange(start.year, start.month)[1])
    return datetime.combine(start.date() + timedelta(days=1), time.min, CIVIL_TIME)
