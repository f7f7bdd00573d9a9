"""Which mailboxes are due to be locked or revoked because nobody uses them (6.2c, 7.2a, 7.2d); pure.

Nobody is named who may have been active while nothing was counted. A node that did not count for a while left a
hole, and activity may have been in it as late as its end: time runs from there at the earliest, for every mailbox,
since any mail may have gone through that node. What would be due but for a hole is withheld, and only counted.
"""

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from ..identity.spelling import domain_of
from ..ledger.store import Idle, Observed, password_since
from ..model import Exemption, MailboxState, MailboxStatus, Registration
from .calendar import civil, due_before, is_due, months_after

RULE = "inactivity"
COLUMNS = ("address", "kind", "unit", "action", "clause", "last_activity", "due_since", "reason", "exempt_until")


@dataclass(frozen=True, slots=True)
class Terms:
    """After how many calendar months what is due, and how long nothing may be counted before that is a hole."""

    lock_months: int = 3
    revoke_months: int = 6
    password_months: int = 1
    hole: timedelta = timedelta(hours=1)

    def idle_before(self, at: datetime) -> datetime:
        """Return a time before which the time of every mailbox began that may be due for inactivity."""
        return due_before(at, min(self.lock_months, self.revoke_months))

    def password_before(self, at: datetime) -> datetime:
        """Return a time before which every default password was issued that may be due."""
        return due_before(at, self.password_months)


@dataclass(frozen=True, slots=True)
class Hole:
    """When what passed was not counted: at this node, or at any where it is ""; begin None is since ever.

    is_open: the node has not been seen since.
    """

    node: str
    begin: datetime | None
    end: datetime
    is_open: bool = False

    def __str__(self) -> str:
        end = self.end.isoformat(timespec="minutes")
        if self.begin is None:
            return "nothing was observed yet" if self.is_open else f"nothing was observed before {end}"
        where = f" (node {self.node})" if self.node else ""
        return f"the ledger has a hole from {self.begin.isoformat(timespec='minutes')} to {end}{where}"


@dataclass(frozen=True, slots=True)
class Due:
    """One mailbox's gravest due act, lock or revoke, and its clause.

    last_activity: None where there is none, and for 7.2d, which does not depend on it. exemption: what forbids it.
    """

    address: str
    action: str
    clause: str
    last_activity: datetime | None
    due_since: datetime
    reason: str
    exemption: Exemption | None = None

    def row(self, registration: Registration | None) -> dict[str, Any]:
        """Return what commands print of it; `registration` is None for a mailbox that is not in the registry."""
        values = (
            self.address,
            registration.kind.value if registration else None,
            registration.unit if registration else None,
            "exempt" if self.exemption else self.action,
            self.clause,
            *(_iso(moment) for moment in (self.last_activity, self.due_since)),
            self.reason,
            _iso(civil(self.exemption.until) if self.exemption else None),
        )
        return dict(zip(COLUMNS, values, strict=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """Who is due, exempt ones included, by address; who is withheld; what there is to say of it, a line each."""

    due: tuple[Due, ...]
    withheld: tuple[str, ...]
    notes: tuple[str, ...]


def holes(observed: Iterable[Observed], at: datetime, shortest: timedelta) -> list[Hole]:
    """Return when up to `at` nothing was counted, by their end; without any observation that is always.

    What comes before the first observation of any node is a hole. A node that began to count later left none before.
    """
    spans = sorted(
        (span.node, civil(span.begin), min(civil(span.end), at)) for span in observed if civil(span.begin) < at
    )
    if not spans:
        return [Hole("", None, at, is_open=True)]
    found = [Hole("", None, min(begin for _, begin, _ in spans))]
    for node, of_node in groupby(spans, key=lambda span: span[0]):
        seen_to = None
        for _, begin, end in of_node:
            if seen_to is not None and begin - seen_to > shortest:
                found.append(Hole(node, seen_to, begin))
            seen_to = end if seen_to is None else max(seen_to, end)
        if seen_to is not None and at - seen_to > shortest:
            found.append(Hole(node, seen_to, at, is_open=True))
    return sorted(found, key=lambda hole: hole.end)


def find_due(
    idle: Iterable[Idle],
    default_passwords: Iterable[Registration],
    states: Mapping[str, MailboxState],
    exemptions: Iterable[Exemption],
    holes: Sequence[Hole],
    at: datetime,
    terms: Terms,
) -> Answer:
    """Return what is due at a time, of each mailbox the gravest.

    idle and default_passwords may hold mailboxes that are not due yet: `terms` tells what to ask the store for. For
    a time that is past, activity since then is not taken away: it tells what was due then and still is.
    """
    last_hole = max(holes, key=lambda hole: hole.end, default=None)
    grounds: dict[str, list[_Ground]] = defaultdict(list)
    last_activity: dict[str, float | None] = {}
    withheld = set()
    for entry in idle:
        state, since = states.get(entry.mailbox), civil(entry.since)
        start = max(since, last_hole.end) if last_hole else since
        if ground := _of_idleness(state, start, at, terms):
            grounds[entry.mailbox].append(ground)
            last_activity[entry.mailbox] = entry.last_activity
        elif _of_idleness(state, since, at, terms):
            withheld.add(entry.mailbox)
    for registration in default_passwords:
        if ground := _of_password(registration, states.get(registration.address), at, terms):
            grounds[registration.address].append(ground)
    exempting = _Exempting(exemptions, at)
    due = []
    for address, found in sorted(grounds.items()):
        gravest, last = found[0], last_activity.get(address)
        reason = "; ".join(f"{ground.clause}: {ground.reason}" for ground in found)
        due.append(
            Due(
                address,
                gravest.action,
                gravest.clause,
                None if last is None else civil(last),
                gravest.due_since,
                reason,
                exempting.of(address),
            )
        )
    withheld -= grounds.keys()
    return Answer(tuple(due), tuple(sorted(withheld)), tuple(_notes(len(withheld), last_hole, holes)))


@dataclass(frozen=True, slots=True)
class _Ground:
    action: str
    clause: str
    due_since: datetime
    reason: str


def _of_idleness(state: MailboxState | None, start: datetime, at: datetime, terms: Terms) -> _Ground | None:
    for action, clause, months in (("revoke", "6.2c", terms.revoke_months), ("lock", "7.2a", terms.lock_months)):
        if _allows(state, action) and is_due(start, months, at):
            reason = f"nothing sent or received that counts since {start:%Y-%m-%d} ({_counted(months)})"
            return _Ground(action, clause, months_after(start, months), reason)
    return None


def _of_password(
    registration: Registration, state: MailboxState | None, at: datetime, terms: Terms
) -> _Ground | None:
    since = password_since(registration, state)
    if since is None or not _allows(state, "lock") or not is_due(civil(since), terms.password_months, at):
        return None
    reason = f"default password unchanged since {civil(since):%Y-%m-%d} ({_counted(terms.password_months)})"
    return _Ground("lock", "7.2d", months_after(civil(since), terms.password_months), reason)


def _allows(state: MailboxState | None, action: str) -> bool:
    status = state.status if state else MailboxStatus.ACTIVE
    return status is MailboxStatus.ACTIVE or (status is MailboxStatus.LOCKED and action == "revoke")


class _Exempting:
    """The exemptions that hold at a time, to be asked for many mailboxes; of several the longest."""

    def __init__(self, exemptions: Iterable[Exemption], at: datetime) -> None:
        holding = [one for one in exemptions if one.rule == RULE and at.timestamp() < one.until]
        self._by_name = {one.mailbox: one for one in sorted(holding, key=lambda one: one.until)}

    def of(self, address: str) -> Exemption | None:
        found = [self._by_name[name] for name in (address, domain_of(address), "") if name in self._by_name]
        return max(found, key=lambda one: one.until, default=None)


def _notes(withheld: int, last_hole: Hole | None, holes: Sequence[Hole]) -> Iterable[str]:
    if last_hole and withheld:
        yield f"{withheld} {'mailbox is' if withheld == 1 else 'mailboxes are'} not proposed: {last_hole}"
    elif last_hole and last_hole.begin is None and last_hole.is_open:
        yield f"nobody is proposed for inactivity: {last_hole}"
    for hole in holes:
        if hole.is_open and hole.begin is not None and hole.node:
            yield (
                f"node {hole.node} has not been seen since {hole.begin.isoformat(timespec='minutes')}: "
                f"if it is no more: mailgate inactivity --forget-node {shlex.quote(hole.node)}"
            )


def _counted(months: int) -> str:
    return f"{months} month{'' if months == 1 else 's'}"


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
