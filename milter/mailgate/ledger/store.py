"""What a store of activity and mailbox states can do, and the nouns that it speaks in.

Two implementations: `sqlite` (embedded, one machine) and `redis` (many nodes); `opening` knows both. All calls but
`recall_at_once` are coroutines; any of those may raise StoreError, which says what to mend.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeVar

from ..model import Exemption, MailboxKind, MailboxState, MailClass, Noted, Registration, Sending, SendingLimits

_T = TypeVar("_T")

REMEMBERED_S = 14 * 86_400
"""How long an event's key is remembered. Postfix gives up a mail after 5 days (maximal_queue_lifetime) and
most others after at most 7; twice that, so that a retry never counts twice."""


DAYS_KEPT = 400
"""Days of which it is kept what each mailbox did: the year of a report (11.8), and a month to write it.

Days on which anything was counted, by the calendar as well as by their number: a clock that jumps takes no history
away, and each day on which it was wrong costs the oldest one at the most."""

AHEAD_S = 300
"""How far the clocks of nodes may be apart: what is noted of a later time was noted while a clock was wrong, and does
not count."""

BURST_MINUTES, HOUR_MINUTES, DAY_MINUTES = 5, 60, 1_440
"""The windows of model.Sending; they slide by whole minutes, that of a day by quarters of an hour."""

MAIL_KEPT_S = 86_400
"""How long after its last attempt a mail that a login handed over is known again: then no window knows it either."""

COMES_AGAIN_S = 4_500
"""After so long without an attempt a mail is not waited for any more: Postfix tries again within 4,000 s at the most
(maximal_backoff_time), when its queue is run, each 300 s (queue_run_delay)."""

FREE_RETURNS = 30
"""How often a mail that passed may come again, because another rule deferred it or its reply was lost, until it is
taken for another one: as often as Postfix tries within a day. So one mail that is sent for ever is limited, too."""

FEW_MAILS = 3
"""A mail is single where so few, itself included, came for the first time within this minute and the one before."""

BESIDE = 10
"""The part of each limit, a tenth, that single mails may have on top of it, beside the line."""

MOST_MAILS = 3_000
"""Mails of one login that are known again, twice a unit's limit of a day: where there are more, half of them are
forgotten, those that did not come for longest."""

LOOKED_AT = 64
"""Whether there are more is looked at with each so many mails that come: counting them all takes a while."""

BREAK_S = 180.0
"""Beats of a node that are further apart than this leave a hole between them: they come each minute."""

CIVIL_OFFSET_S = 7 * 3_600
"""Asia/Ho_Chi_Minh is UTC+7, without daylight saving time."""

ADVERTISED_S = 86_400
"""The window of decree 91/2020 article 13.5: 24 hours, their first second included."""

ADVERTISED_KEPT = 100
"""Advertisements of one advertiser to one address that are known at the most: the decree allows 3, and who sends a
million fills no memory."""

NAMES_AT_ONCE = 500
"""Registrations of which `names` has the names in one step: some milliseconds of the loop that asks."""

MOST_OF_ONE = 200
"""Traces that are recalled under one key: a sender who repeats his Message-ID for ever makes no look-up long."""


def civil_day(at: float) -> int:
    """Return the day of a time in the province's civil time, as days since 1970-01-01."""
    return int(at + CIVIL_OFFSET_S) // 86_400


def to_come(day: int, now: float) -> str:
    """Return what is to be said of the newest day on which anything was counted, "" where that is not to come."""
    if day <= civil_day(now) + 1:
        return ""
    return (
        f"mail was counted on {civil_date(day)}, which is to come: the clock was wrong then, or is now: nothing is"
        " deleted by that, but mailboxes that were used then are not proposed for inactivity before"
    )


def civil_number(day: date) -> int:
    """Return a date as `civil_day` numbers it."""
    return (day - date(1970, 1, 1)).days


def civil_date(number: int) -> date:
    """Return the date of a number of `civil_day`."""
    return date(1970, 1, 1) + timedelta(days=number)


def civil_start(number: int) -> float:
    """Return when a day of `civil_day` began, in Unix seconds."""
    return number * 86_400.0 - CIVIL_OFFSET_S


def civil_midnight(day: str) -> float:
    """Return when an ISO 8601 date began in the province's civil time, in Unix seconds."""
    return civil_start(civil_number(date.fromisoformat(day)))


def moment(iso: str) -> float:
    """Return an ISO 8601 time with an offset in Unix seconds."""
    return datetime.fromisoformat(iso).timestamp()


def is_delimited(address: str) -> bool:
    """Tell whether a mailbox's local part holds more than letters, digits and dots."""
    local = address.rpartition("@")[0]
    return not local.replace(".", "").isalnum() or not local.isascii()


def password_since(registration: Registration, state: MailboxState | None) -> float | None:
    """Return since when a mailbox has a default password, None where it was changed (7.2d, 7.3b)."""
    if state is not None and state.must_change_password and state.at:
        restored = moment(state.at)
        changed = registration.password_changed
        return None if changed and civil_midnight(changed) + 86_400 > restored else restored
    return None if registration.password_changed else civil_midnight(registration.created)


def chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Yield items in groups of this size, the last one smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class StoreError(Exception):
    """The store could not be reached or did not answer as it should."""


class WentBack(StoreError):
    """The store has lost what it had acknowledged: it is to be given everything again that is still at hand."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a store takes once, in order of the numbers of its run.

    run: of the process that noted it; "" where no order is kept, and the events' keys alone keep them from counting
    twice. node: where that was.
    """

    noted: Sequence[Noted]
    run: str = ""
    number: int = 0
    node: str = ""


class Counts(StrEnum):
    """Which mails count as activity (6.2c, 7.2a), of those received or of those sent: all, those of class human, or
    none."""

    ALL = "all"
    HUMAN = "human"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Mails:
    """Mails of one class that a mailbox received, or sent: how many, and the last, in Unix seconds."""

    count: int
    last: float


@dataclass(frozen=True, slots=True)
class Activity:
    """Totals of one mailbox; times are Unix seconds, None where nothing was counted. node: where it was seen last.

    sent is what people sent, class human; what programs sent is in sent_by_class alone. received is of all classes.
    """

    mailbox: str
    sent: int = 0
    received: int = 0
    sent_octets: int = 0
    received_octets: int = 0
    first_sent: float | None = None
    last_sent: float | None = None
    last_received: float | None = None
    node: str = ""
    received_by_class: Mapping[MailClass, Mails] = field(default_factory=dict)
    sent_by_class: Mapping[MailClass, Mails] = field(default_factory=dict)

    def last(self, received: Counts, sent: Counts = Counts.HUMAN) -> float | None:
        """Return when it was active last, where these received and these sent mails count."""
        times = [*_last_times(self.received_by_class, received), *_last_times(self.sent_by_class, sent)]
        return max(times, default=None)


def _last_times(by_class: Mapping[MailClass, Mails], counts: Counts) -> Iterator[float]:
    """Yield when the last mail came of each class that counts."""
    for mail_class, mails in by_class.items():
        if counts is Counts.ALL or (counts is Counts.HUMAN and mail_class is MailClass.HUMAN):
            yield mails.last


@dataclass(frozen=True, slots=True)
class Day:
    """What a mailbox did on one day of the province's civil time; received_other: of every class but human.

    sent: by people. What programs sent makes no day.
    """

    day: date
    sent: int
    received_human: int
    received_other: int


@dataclass(frozen=True, slots=True)
class Idle:
    """A mailbox that is to be looked at for inactivity.

    since: when its time began to run, Unix seconds: its last activity that counts or what came later of its issue
    (registered), its restoration and, where it is not registered, the day it was first seen.
    """

    mailbox: str
    since: float
    last_activity: float | None


@dataclass(frozen=True, slots=True)
class Kept:
    """All that a store has of a mailbox's activity; baseline: when its time began to run, Unix seconds."""

    activity: Activity
    baseline: float
    days: Sequence[Day]


@dataclass(frozen=True, slots=True)
class Observed:
    """From when to when a node counted without a break, Unix seconds."""

    node: str
    begin: float
    end: float


class Store(Protocol):
    """Activity events, traces of mails, mailbox states and exemptions of one site.

    is_shared: other machines use it, too.
    """

    is_shared: bool

    async def commit(self, batch: Batch) -> None:
        """Keep a batch durably, all or nothing; one that is known changes nothing, nor an event whose key is known.

        Raises WentBack where the store no longer has the batches of this run that it took from this process.
        """

    async def verify(self) -> None:
        """Raise WentBack where the store no longer has what it took from this process."""

    async def recall(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the values of the traces under these keys, each with its key; of one key MOST_OF_ONE at the most."""

    def recall_at_once(self, queue_keys: Sequence[int], message_key: int) -> list[tuple[int, bytes]] | None:
        """Return what `recall` would for these keys, 0 for no message key, or None where it takes waiting.

        Called from the loop, with each mail that leaves.
        """

    async def secret(self) -> bytes:
        """Return the site's key of keyed hashes, 32 octets; the first call makes it."""

    async def once(self, name: str, seconds: float, now: float) -> bool:
        """Tell whether this name was not claimed within so many seconds before, and claim it."""

    async def unclaim(self, name: str) -> None:
        """Give a claim back."""

    async def activity(self, mailbox: str) -> Activity:
        """Return one mailbox's totals, zeros for one that was never seen."""

    async def totals(self) -> list[Activity]:
        """Return the totals of every mailbox that was ever counted, by address."""

    def days(self, first: date, last: date) -> AsyncIterator[tuple[str, list[Day]]]:
        """Yield each mailbox that did anything within these days, with what it did; DAYS_KEPT are kept."""

    async def idle(self, received: Counts, before: float, sent: Counts = Counts.HUMAN) -> list[Idle]:
        """Return the mailboxes that are not revoked and whose time began to run before then, by address.

        received, sent: which mails keep one in use. Costs what its answer costs, however many mailboxes there are;
        where all count, also those that have mail of other classes alone.
        """

    async def default_passwords(self, before: float) -> list[Registration]:
        """Return the registered mailboxes whose default password is older and still unchanged (7.2d), by address.

        The time runs from the issue, and anew from a restoration, which makes the password a default one (7.3b).
        """

    async def observed(self) -> list[Observed]:
        """Return from when to when each node counted, by node and time."""

    async def forget_node(self, node: str) -> bool:
        """Forget a node that is no more; tell whether it was known."""

    async def register(self, registrations: Sequence[Registration]) -> None:
        """Put mailboxes into the registry, all or none; one that is there is replaced."""

    async def registration(self, mailbox: str) -> Registration | None:
        """Return what the registry knows of a mailbox, None for nothing."""

    async def registrations(self) -> list[Registration]:
        """Return the registry, by address."""

    async def units(self) -> frozenset[str]:
        """Return the mailboxes that are a unit's by the registry."""

    async def delimited(self) -> frozenset[str]:
        """Return the registered mailboxes whose local part holds more than letters, digits and dots: in some systems
        they look like sub-addresses."""

    async def registry_version(self) -> int:
        """Return a number that changes whenever the registry does."""

    def names(self) -> AsyncIterator[list[tuple[str, MailboxKind]]]:
        """Yield the registry's names, each with whose it is, NAMES_AT_ONCE or so at a time: no step takes long.

        What is registered meanwhile may be among them or not.
        """

    async def sending(
        self, login: str, key: bytes, recipients: int, network: str, at: float, limits: SendingLimits
    ) -> Sending:
        """Note that a login hands a mail over, from this client network, and return what it handed over of late, and
        whether this mail passes.

        key: 8 octets; the same is the same mail, which comes again: it counts once, from when it came first, and
        from when it passed. One that does not pass waits: from its second attempt on it has a place in the order in
        which the mails came first, and no younger one takes it, until it passed or did not come for COMES_AGAIN_S.
        """

    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        """Note that an advertisement came to these recipients, and return how many of this advertiser's came to each
        within ADVERTISED_S, this one included; ADVERTISED_KEPT is the most.

        The same key counts once, from when it came first: a retry changes nothing.
        """

    async def states_version(self) -> int:
        """Return a number that changes whenever any state or exemption changes, or the registry."""

    async def states(self) -> dict[str, MailboxState]:
        """Return the state of every mailbox that has one, active ones again included."""

    async def state(self, mailbox: str) -> MailboxState | None:
        """Return the state of one mailbox, None where it never was given one."""

    async def set_state(self, state: MailboxState) -> None:
        """Set one mailbox's state and append it to its history."""

    async def history(self, mailbox: str) -> list[MailboxState]:
        """Return every state that a mailbox was given, oldest first."""

    async def changes(self) -> list[MailboxState]:
        """Return every state that any mailbox was given, oldest first."""

    async def exemptions(self) -> list[Exemption]:
        """Return every exemption that was not removed, oldest first, expired ones included."""

    async def add_exemption(self, exemption: Exemption) -> Exemption:
        """Keep an exemption, and return it with the number it was given."""

    async def remove_exemption(self, number: int) -> bool:
        """Remove an exemption; tell whether it was there."""

    async def complaints(self) -> list[tuple[bool, str]]:
        """Return what is wrong with the store as it is set up: whether mail suffers, and what to mend."""

    async def close(self) -> None:
        """Give connections and files back."""
