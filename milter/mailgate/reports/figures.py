"""The figures of the yearly report (11.8): mailboxes, mail, what was refused, states that changed, who is idle; pure.

What cannot be known is told among the figures, each time with its reason, for a nought must mean none.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from ..incidents.search import named_in
from ..ledger.store import DAYS_KEPT, Day
from ..mailboxes.calendar import CIVIL_TIME
from ..mailboxes.inactivity import Answer, Hole
from ..model import Action, MailboxKind, MailboxState, MailboxStatus, Mode, Registration

KINDS = (*(kind.value for kind in MailboxKind), "unregistered")
STATUSES = tuple(status.value for status in MailboxStatus)
TRAFFIC = ("sent", "received_human", "received_other")
OF_UNIT = (*(f"{kind}_mailboxes" for kind in KINDS), *STATUSES, *TRAFFIC, "incidents", "due_lock", "due_revoke")
COLUMNS = ("section", "label", "key", "value")

REGISTRATION = "online-registration"
"""The rule whose findings are counted for each mailbox (4.4, 12.5)."""

_CHANGES = {MailboxStatus.LOCKED: "lock", MailboxStatus.REVOKED: "revoke", MailboxStatus.ACTIVE: "restore"}


@dataclass(frozen=True, slots=True)
class Period:
    """The days of a report, both ends included."""

    first: date
    last: date

    @property
    def begin(self) -> datetime:
        """When it begins, in civil time."""
        return datetime.combine(self.first, time.min, CIVIL_TIME)

    @property
    def end(self) -> datetime:
        """When it is over: the midnight after its last day."""
        return datetime.combine(self.last + timedelta(days=1), time.min, CIVIL_TIME)

    def months(self) -> list[str]:
        """Return its months in order, such as 2025-11; the first and the last may be parts."""
        first, last = (day.year * 12 + day.month - 1 for day in (self.first, self.last))
        return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(first, last + 1)]


def year_of(year: int, begins: str) -> Period:
    """Return the twelve months that end in a year and begin on a day, MM-DD.

    >>> str(year_of(2026, "11-01").first), str(year_of(2026, "11-01").last), str(year_of(2026, "01-01").last)
    ('2025-11-01', '2026-10-31', '2026-12-31')
    """
    next_year = year + 1 if begins == "01-01" else year
    first, after = (date.fromisoformat(f"{number:04}-{begins}") for number in (next_year - 1, next_year))
    return Period(first, after - timedelta(days=1))


class Figures:
    """The figures of all mailboxes, or of one unit's, added up from what is told of one thing after the other.

    Mailboxes and their states are those of `made_at`, whatever the period. An incident belongs to every unit that
    has a mailbox named in its record, since the log knows no units: those of the units add up to more than all.
    account: whose address one is (identity).
    """

    def __init__(
        self,
        period: Period,
        made_at: datetime,
        registrations: Iterable[Registration],
        states: Mapping[str, MailboxState],
        unit: str | None = None,
        account: Callable[[str], str] = str,
    ) -> None:
        self._account = account
        self.period, self.made_at, self.unit = period, made_at, unit
        self._states = states
        self._unit_of: dict[str, str | None] = {}  # of every mailbox that counts; None where it is not registered
        self._mailboxes: Counter[tuple[str, str]] = Counter()
        self._traffic: dict[str, Counter[str]] = {month: Counter() for month in period.months()}
        self._refused: Counter[tuple[str, str, str]] = Counter()
        self._changes: Counter[tuple[str, str]] = Counter()
        self._incidents: Counter[str] = Counter()
        self._registered: Counter[str] = Counter()
        self._inactive: Counter[tuple[str, str]] = Counter()
        self._withheld = 0
        self._units: dict[str | None, Counter[str]] = {}
        self._unknown: list[dict[str, str | None]] = []
        for registration in registrations:
            if unit in (None, registration.unit):
                self._take(registration.address, registration.kind.value, registration.unit)
        for address in states:
            self._counts(address)
        if made_at < period.end:
            self._miss("all", "period-not-over", made_at, period.end)
        kept_from = datetime.combine(made_at.date() - timedelta(days=DAYS_KEPT), time.min, CIVIL_TIME)
        if period.begin < kept_from:
            self._miss("traffic", "no-longer-kept", period.begin, min(kept_from, period.end))

    def _take(self, address: str, kind: str, unit: str | None) -> None:
        status = self._states[address].status.value if address in self._states else MailboxStatus.ACTIVE.value
        self._unit_of[address] = unit
        self._mailboxes[kind, status] += 1
        self._units.setdefault(unit, Counter()).update((f"{kind}_mailboxes", status))

    def _counts(self, address: str) -> bool:
        """Tell whether a mailbox is of this report; one that is not registered is, where no unit is named."""
        if address not in self._unit_of and self.unit is None:
            self._take(address, "unregistered", None)
        return address in self._unit_of

    def _miss(self, figures: str, reason: str, begin: datetime, end: datetime, node: str = "") -> None:
        times = (moment.astimezone(CIVIL_TIME).isoformat(timespec="seconds") for moment in (begin, end))
        self._unknown.append(dict(zip(("figures", "reason", "from", "to"), (figures, reason, *times), strict=True)))
        self._unknown[-1]["node"] = node or None

    def add_days(self, address: str, days: Iterable[Day]) -> None:
        """Add what one mailbox did on days of the period."""
        if not self._counts(address):
            return
        of_unit = self._units[self._unit_of[address]]
        for day in days:
            if self.period.first <= day.day <= self.period.last:
                numbers = {
                    "sent": day.sent,
                    "received_human": day.received_human,
                    "received_other": day.received_other,
                }
                self._traffic[f"{day.day:%Y-%m}"].update(numbers)
                of_unit.update(numbers)

    def add_change(self, change: MailboxState) -> None:
        """Add one state that a mailbox was given."""
        if change.at and self._is_within(change.at) and self._counts(change.address):
            self._changes[_CHANGES[change.status], change.clause] += 1

    def add_incident(self, record: Mapping[str, Any]) -> None:
        """Add one record of the incident log; a hold is the second one of its mail, and no other incident.

        A record of repeats is as many incidents as it counts.
        """
        if record["kind"] == "hold" or not self._is_within(record["time"]):
            return
        addresses = named_in(record)
        named = [address for address in {*addresses, *map(self._account, addresses)} if address in self._unit_of]
        if self.unit is not None and not named:
            return
        mails = record.get("count", 1) if self.unit is None else _mails_of(record, named)
        rules = {finding["rule"] for finding in record.get("findings", ())}
        self._incidents.update(dict.fromkeys(rules or {record["kind"]}, mails))
        self._refused.update(dict.fromkeys(_decided(record), mails))
        for unit in {self._unit_of[address] for address in named}:
            of_unit = [address for address in named if self._unit_of[address] == unit]
            self._units[unit]["incidents"] += _mails_of(record, of_unit)
        if REGISTRATION in rules:
            spoken_of = set(record.get("mailboxes", ())).intersection(named)
            self._registered.update({address: _mails_of(record, [address]) for address in spoken_of})

    def add_inactive(self, answer: Answer, holes: Iterable[Hole]) -> None:
        """Add who is due to be locked or revoked now, and the holes in what was observed."""
        for due in answer.due:
            if self._counts(due.address):
                self._inactive["exempt" if due.exemption else due.action, due.clause] += 1
                if due.exemption is None:
                    self._units[self._unit_of[due.address]][f"due_{due.action}"] += 1
        self._withheld += sum(map(self._counts, answer.withheld))
        for hole in holes:
            begin, end = max(hole.begin or self.period.begin, self.period.begin), min(hole.end, self.period.end)
            if begin < end:
                self._miss("traffic", "not-observed", begin, end, hole.node)

    def miss_incidents(self) -> None:
        """Say that there is no incident log to be read."""
        self._miss("incidents", "no-incident-log", self.period.begin, min(self.period.end, self.made_at))

    def _is_within(self, text: str) -> bool:
        return self.period.begin <= datetime.fromisoformat(text).astimezone(CIVIL_TIME) < self.period.end

    def as_json(self) -> dict[str, Any]:
        """Return all figures as plain values.

        mailboxes: by kind, the number in each status. traffic: by month; sent is what people sent. refused: mails by
        the rule, clause and action of the findings that decided. changes: by act and clause. incidents: mails by
        rule, or records by kind where no rule found anything. registered: mails of online services by the mailbox
        that they came to. inactive: mailboxes due now, by action and clause; withheld: those that a hole keeps from
        it. units: null is the mailboxes that are not registered. unknown: which figures lack what, why, from when to
        when.
        """
        return {
            "year": self.period.last.year,
            "unit": self.unit,
            "first": self.period.first.isoformat(),
            "last": self.period.last.isoformat(),
            "made_at": self.made_at.isoformat(timespec="seconds"),
            "mailboxes": [
                {"kind": kind} | {status: self._mailboxes[kind, status] for status in STATUSES} for kind in KINDS
            ],
            "traffic": [
                {"month": month} | {name: numbers[name] for name in TRAFFIC}
                for month, numbers in self._traffic.items()
            ],
            "refused": _listed(self._refused, ("rule", "clause", "action"), "mails"),
            "changes": _listed(self._changes, ("change", "clause"), "acts"),
            "incidents": _listed(self._incidents, ("rule",), "records"),
            "registered": _listed(self._registered, ("mailbox",), "mails"),
            "inactive": _listed(self._inactive, ("action", "clause"), "mailboxes"),
            "withheld": self._withheld,
            "units": [
                {"unit": unit} | {name: self._units[unit][name] for name in OF_UNIT}
                for unit in sorted(self._units, key=lambda unit: (unit is None, unit))
            ],
            "unknown": self._unknown,
        }


def _mails_of(record: Mapping[str, Any], addresses: Iterable[str]) -> int:
    """Return how many mails of a record speak of any of these mailboxes; one, where it counts no repeats.

    Of one mail that speaks of several, no more is known than that it did so of each.
    """
    if "count" not in record:
        return 1
    spoken: int = sum(record["mailboxes"].get(address, 0) for address in addresses)
    return min(int(record["count"]), spoken)


def _decided(record: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Return rule, clause and action of the findings that made a record's verdict, on the mail or on a recipient."""
    return {
        (finding["rule"], finding["clause"], finding["action"])
        for finding in record.get("findings", ())
        if finding["mode"] == Mode.ENFORCE
        and "exemption" not in finding
        and finding["action"] != Action.ACCEPT
        and (finding["action"] == record["action"] or "recipient" in finding)
    }


def _listed(counter: Counter[Any], names: tuple[str, ...], number: str) -> list[dict[str, Any]]:
    rows = sorted((key if isinstance(key, tuple) else (key,), value) for key, value in counter.items())
    return [dict(zip(names, key, strict=True)) | {number: value} for key, value in rows]


def long_rows(shown: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the figures, as `as_json` returns them, one a row with COLUMNS."""

    def row(section: str, label: str, key: str, value: Any) -> dict[str, Any]:
        return dict(zip(COLUMNS, (section, label, key, value), strict=True))

    for name in ("year", "unit", "first", "last", "made_at"):
        yield row("report", "", name, shown[name])
    for section, label, keys in (
        ("mailboxes", "kind", STATUSES),
        ("traffic", "month", TRAFFIC),
        ("incidents", "rule", ("records",)),
        ("registered", "mailbox", ("mails",)),
        ("units", "unit", OF_UNIT),
    ):
        for one in shown[section]:
            for key in keys:
                yield row(section, one[label] or "", key, one[key])
    for one in shown["refused"]:
        yield row("refused", f"{one['rule']} {one['clause']}", one["action"], one["mails"])
    for section, label, number in (("changes", "change", "acts"), ("inactive", "action", "mailboxes")):
        for one in shown[section]:
            yield row(section, one[label], one["clause"], one[number])
    yield row("inactive", "withheld", "", shown["withheld"])
    for one in shown["unknown"]:
        where = f" {one['node']}" if one["node"] else ""
        yield row("unknown", one["figures"], one["reason"] + where, f"{one['from']}/{one['to']}")
