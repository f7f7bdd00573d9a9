"""What the ledger keeps of a mailbox, the same on SQLite, on a real Redis and on a real Redis Cluster."""

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.lab.mails import OFFICE, OFFICER
from tests.lab.rates import hand_over
from tests.lab.redis import Redis
from tests.lab.waiting import until

from mailgate.ledger import commits as ledger_commits
from mailgate.ledger.commits import Bounds, Commits, Report
from mailgate.ledger.journal import Journal, read
from mailgate.ledger.opening import open_store
from mailgate.ledger.redis import _key
from mailgate.ledger.sqlite import SqliteStore
from mailgate.ledger.store import (
    ADVERTISED_KEPT,
    DAYS_KEPT,
    NAMES_AT_ONCE,
    REMEMBERED_S,
    Activity,
    Batch,
    Counts,
    Day,
    Idle,
    Mails,
    Observed,
    Store,
    WentBack,
    civil_date,
    civil_day,
    civil_midnight,
)
from mailgate.model import (
    ActivityEvent,
    ActivityKind,
    Beat,
    MailboxKind,
    MailboxState,
    MailboxStatus,
    MailClass,
    Registration,
    Sending,
)

NOON = civil_midnight("2026-11-26") + 12 * 3_600
DAY_S = 86_400.0
BEFORE_ALL, AFTER_ALL = NOON - 10_000 * DAY_S, NOON + 10_000 * DAY_S
_numbers = iter(range(1, 1_000_000))


def sent(
    mailbox: str = OFFICER, at: float = NOON, octets: int = 10, kind: MailClass = MailClass.HUMAN
) -> ActivityEvent:
    """Return an event of its own: a mail that a mailbox sent."""
    return ActivityEvent(next(_numbers).to_bytes(16, "big"), ActivityKind.SENT, mailbox, at, octets, kind)


def received(
    mailbox: str = OFFICER, at: float = NOON, kind: MailClass = MailClass.HUMAN, octets: int = 10
) -> ActivityEvent:
    """Return an event of its own: a mail that a mailbox received."""
    return ActivityEvent(next(_numbers).to_bytes(16, "big"), ActivityKind.RECEIVED, mailbox, at, octets, kind)


def registered(
    address: str = OFFICER, created: str = "2026-01-31", changed: str = "2026-02-01", kind: str = "individual"
) -> Registration:
    """Return what the registry has of a mailbox."""
    return Registration(address, MailboxKind(kind), "Nguyễn Văn Hùng", "Sở Tư pháp", created, changed)


# -- classes, days, node -----------------------------------------------------------------------------


async def test_received_mail_is_kept_by_class(store: Store) -> None:
    await store.commit(Batch([received(at=NOON + n, kind=kind) for n, kind in enumerate(MailClass)], node="mail1"))
    await store.commit(Batch([received(at=NOON + 60, kind=MailClass.BULK), sent(at=NOON - 60)], node="mail2"))
    activity = await store.activity(OFFICER)
    assert activity.received_by_class == {
        kind: Mails(2, NOON + 60) if kind is MailClass.BULK else Mails(1, NOON + n)
        for n, kind in enumerate(MailClass)
    }
    assert (activity.received, activity.last_received, activity.node) == (6, NOON + 60, "mail2")
    lasts = {counts: activity.last(counts) for counts in Counts}
    assert lasts == {Counts.ALL: NOON + 60, Counts.HUMAN: NOON, Counts.NONE: NOON - 60}


async def test_what_programs_sent_is_kept_apart(store: Store) -> None:
    await store.commit(Batch([sent(at=NOON + n, kind=kind) for n, kind in enumerate(MailClass)], node="mail1"))
    await store.commit(Batch([sent(OFFICE, NOON, kind=MailClass.AUTOMATIC)]))
    activity = await store.activity(OFFICER)
    assert activity.sent_by_class == {kind: Mails(1, NOON + n) for n, kind in enumerate(MailClass)}
    assert (activity.sent, activity.sent_octets, activity.received) == (1, 10, 0)
    assert (activity.first_sent, activity.last_sent, activity.node) == (NOON, NOON, "mail1")
    by_programs = Activity(OFFICE, sent_by_class={MailClass.AUTOMATIC: Mails(1, NOON)})
    assert await store.totals() == [activity, by_programs]
    assert await all_days(store) == {OFFICER: [Day(date(2026, 11, 26), 1, 0, 0)]}


async def test_a_mail_that_comes_again_counts_once_whatever_sent_it(store: Store) -> None:
    event = sent(kind=MailClass.AUTOMATIC)
    for again in (event, event, event._replace(mail_class=MailClass.HUMAN)):
        await store.commit(Batch([again]))
    assert (await store.activity(OFFICER)).sent_by_class == {MailClass.AUTOMATIC: Mails(1, NOON)}


async def all_days(
    store: Store, first: date = date(2000, 1, 1), last: date = date(2100, 1, 1)
) -> dict[str, list[Day]]:
    """Return what each mailbox did, by day."""
    return {mailbox: days async for mailbox, days in store.days(first, last)}


async def test_days_are_the_provinces_civil_days(store: Store) -> None:
    midnight = civil_midnight("2026-11-26")
    events = [sent(at=midnight - 1), sent(at=midnight), received(at=midnight + DAY_S - 1), received(OFFICE, midnight)]
    await store.commit(Batch(events))
    days = [Day(date(2026, 11, 25), 1, 0, 0), Day(date(2026, 11, 26), 1, 1, 0)]
    assert await all_days(store) == {OFFICER: days, OFFICE: [Day(date(2026, 11, 26), 0, 1, 0)]}
    assert await all_days(store, date(2026, 11, 25), date(2026, 11, 25)) == {OFFICER: days[:1]}


async def test_the_histogram_is_what_was_counted_in_whatever_order(store: Store) -> None:
    """Random events, late ones and several a day among them, against a plain count of them."""
    random.seed(4)
    kinds = (MailClass.HUMAN, MailClass.SPAM, None)
    wanted: dict[str, dict[date, Counter[str]]] = {}
    for _ in range(12):
        events = []
        for _ in range(40):
            mailbox, kind = random.choice((OFFICER, OFFICE)), random.choice(kinds)
            at = NOON - random.randrange(20) * DAY_S
            events.append(sent(mailbox, at) if kind is None else received(mailbox, at, kind))
            column = "sent" if kind is None else "human" if kind is MailClass.HUMAN else "other"
            wanted.setdefault(mailbox, {}).setdefault(civil_date(civil_day(at)), Counter())[column] += 1
        await store.commit(Batch(events))
    assert await all_days(store) == {
        mailbox: [Day(day, n["sent"], n["human"], n["other"]) for day, n in sorted(days.items())]
        for mailbox, days in wanted.items()
    }


async def test_days_are_kept_for_a_year_and_a_month(store: Store) -> None:
    for number in range(DAYS_KEPT + 30):
        await store.commit(Batch([sent(at=NOON + number * DAY_S)]))
    days = (await all_days(store))[OFFICER]
    assert days[-1].day == date(2026, 11, 26) + timedelta(days=DAYS_KEPT + 29)
    assert DAYS_KEPT <= len(days) <= DAYS_KEPT + 30
    assert (await store.activity(OFFICER)).sent == DAYS_KEPT + 30


# -- who is idle -------------------------------------------------------------------------------------


async def idle(store: Store, counts: Counts = Counts.HUMAN, before: float = AFTER_ALL) -> dict[str, float]:
    """Return since when each mailbox is idle."""
    return {found.mailbox: found.since for found in await store.idle(counts, before)}


@pytest.mark.parametrize(
    ("counts", "since"), [(Counts.NONE, 1 * DAY_S), (Counts.HUMAN, 2 * DAY_S), (Counts.ALL, 3 * DAY_S)]
)
async def test_what_counts_as_receiving_is_asked_later(store: Store, counts: Counts, since: float) -> None:
    events = [
        sent(at=NOON + DAY_S),
        received(at=NOON + 2 * DAY_S),
        received(at=NOON + 3 * DAY_S, kind=MailClass.BULK),
    ]
    await store.commit(Batch(events))
    assert await store.idle(counts, AFTER_ALL) == [Idle(OFFICER, NOON + since, NOON + since)]
    assert await idle(store, counts, NOON + since) == {}
    assert await idle(store, counts, NOON + since + 1) == {OFFICER: NOON + since}


@pytest.mark.parametrize(
    ("counts_received", "counts_sent", "since"),
    [
        (Counts.NONE, Counts.HUMAN, 1 * DAY_S),
        (Counts.HUMAN, Counts.HUMAN, 2 * DAY_S),
        (Counts.ALL, Counts.HUMAN, 3 * DAY_S),
        *((received_too, Counts.ALL, 4 * DAY_S) for received_too in Counts),
    ],
)
async def test_what_counts_as_sending_is_asked_later(
    store: Store, counts_received: Counts, counts_sent: Counts, since: float
) -> None:
    events = [
        sent(at=NOON + DAY_S),
        received(at=NOON + 2 * DAY_S),
        received(at=NOON + 3 * DAY_S, kind=MailClass.AUTOMATIC),
        sent(at=NOON + 4 * DAY_S, kind=MailClass.BULK),
    ]
    await store.commit(Batch(events))
    last = NOON + since
    assert await store.idle(counts_received, AFTER_ALL, counts_sent) == [Idle(OFFICER, last, last)]
    assert await store.idle(counts_received, last, counts_sent) == []


async def test_what_programs_send_moves_no_index(store: Store) -> None:
    """A mailbox that nobody uses is found, however much its programs send: one that was left, one that nobody had."""
    await store.commit(Batch([sent(at=NOON)]))
    for n in range(3):
        later = NOON + n * DAY_S
        automatic = [sent(mailbox, later, kind=MailClass.AUTOMATIC) for mailbox in (OFFICER, OFFICE)]
        await store.commit(Batch(automatic))
    for counts_received in (Counts.HUMAN, Counts.NONE):
        found = await store.idle(counts_received, NOON + 1)
        assert found == [Idle(OFFICER, NOON, NOON), Idle(OFFICE, NOON, None)]
    assert await store.idle(Counts.HUMAN, NOON + 1, Counts.ALL) == []


async def test_time_runs_from_the_issue_from_the_first_sight_and_from_the_restoration(store: Store) -> None:
    await store.register([registered()])
    assert await store.idle(Counts.HUMAN, AFTER_ALL) == [Idle(OFFICER, civil_midnight("2026-01-31"), None)]
    await store.commit(Batch([received(OFFICE, kind=MailClass.BULK), sent(at=civil_midnight("2026-03-01"))]))
    seen = {OFFICE: NOON, OFFICER: civil_midnight("2026-03-01")}
    assert await idle(store) == seen
    restored = MailboxState(OFFICER, MailboxStatus.ACTIVE, "7.3", at="2026-11-20T08:00:00+07:00")
    for state in (replace(restored, status=MailboxStatus.LOCKED, at="2026-11-01T08:00:00+07:00"), restored):
        await store.set_state(state)
    assert await idle(store) == seen | {OFFICER: civil_midnight("2026-11-20") + 8 * 3_600}
    assert await idle(store, Counts.NONE) == await idle(store)


async def test_a_revoked_mailbox_is_not_looked_at(store: Store) -> None:
    await store.commit(Batch([sent()]))
    await store.set_state(MailboxState(OFFICER, MailboxStatus.REVOKED, "6.2a", at="2026-11-26T12:00:00+07:00"))
    assert await idle(store) == {}
    state = await store.state(OFFICER)
    assert state is not None
    assert (state.status, await store.state(OFFICE)) == (MailboxStatus.REVOKED, None)
    await store.set_state(MailboxState(OFFICER, MailboxStatus.LOCKED, "7.2a", at="2026-11-26T12:00:00+07:00"))
    assert await idle(store) == {OFFICER: NOON}


async def test_the_registry(store: Store) -> None:
    unit = registered(OFFICE, kind="unit", changed="")
    version = await store.states_version()
    await store.register([registered(), unit])
    assert await store.states_version() != version
    assert await store.registrations() == sorted((registered(), unit), key=lambda one: one.address)
    assert await store.registration(OFFICER) == registered()
    assert await store.registration("ai@hanam.gov.vn") is None
    assert await store.units() == {OFFICE}
    await store.register([replace(unit, kind=MailboxKind.INDIVIDUAL, name="Khác")])
    assert await store.units() == frozenset()
    assert len(await store.registrations()) == 2
    assert await store.totals() == [], "who is registered was not seen"


async def test_the_names_of_the_registry(store: Store) -> None:
    version = await store.registry_version()
    assert [name async for names in store.names() for name in names] == []
    addresses = [f"m{number}@hanam.gov.vn" for number in range(2 * NAMES_AT_ONCE + 1)]
    people = [replace(registered(address), name=f"Tên {address}") for address in addresses]
    await store.register([*people, replace(registered(OFFICE, kind="unit"), name="Sở Y tế")])
    later = await store.registry_version()
    assert later != version
    found = [name async for names in store.names() for name in names]
    assert sorted(found) == sorted(
        [(one.name, MailboxKind.INDIVIDUAL) for one in people] + [("Sở Y tế", MailboxKind.UNIT)]
    )
    await store.set_state(MailboxState(OFFICER, MailboxStatus.LOCKED, "7.1"))
    assert await store.registry_version() == later, "no state is the registry's"


@pytest.mark.parametrize(
    ("changed", "restored", "since"),
    [
        ("", "", civil_midnight("2026-01-31")),
        ("2026-02-01", "", None),
        ("2026-02-01", "2026-03-01", civil_midnight("2026-03-01")),
        ("2026-02-28", "2026-03-01", civil_midnight("2026-03-01")),
        ("2026-03-01", "2026-03-01", None),
        ("2026-03-02", "2026-03-01", None),
        ("", "2026-03-01", civil_midnight("2026-03-01")),
    ],
)
@pytest.mark.parametrize("registered_first", [True, False])
async def test_since_when_a_password_is_the_default_one(
    store: Store, changed: str, restored: str, since: float | None, registered_first: bool
) -> None:
    async def restore() -> None:
        if restored:
            await store.set_state(
                MailboxState(
                    OFFICER, MailboxStatus.ACTIVE, at=f"{restored}T00:00:00+07:00", must_change_password=True
                )
            )

    registration = registered(changed=changed)
    if registered_first:
        await store.register([registration])
        await restore()
    else:
        await restore()
        await store.register([registration])
    moments = (BEFORE_ALL, AFTER_ALL) if since is None else (since, since + 1)
    asked = [await store.default_passwords(moment) for moment in moments]
    assert asked == [[], [] if since is None else [registration]]


# -- observation -------------------------------------------------------------------------------------


async def test_beats_make_intervals_and_silence_a_hole(store: Store) -> None:
    begin = NOON + 10_000
    for offset in (0, 60, 120, 300, 900, 960, 420, 420):  # the last ones come late
        await store.commit(Batch([Beat(begin + offset)], node="mail1"))
    await store.commit(Batch([Beat(begin + 60.0)], node="mail2"))
    first = [Observed("mail1", begin, begin + 420), Observed("mail1", begin + 900, begin + 960)]
    assert await store.observed() == [*first, Observed("mail2", begin + 60, begin + 60)]
    await store.commit(Batch([Beat(begin + offset) for offset in (560, 720)], node="mail1"))
    assert (await store.observed())[0] == Observed("mail1", begin, begin + 960), "what was missing came"
    assert await store.forget_node("mail2")
    assert not await store.forget_node("mail2")
    assert {observed.node for observed in await store.observed()} == {"mail1"}


# -- what a login hands over ---------------------------------------------------------------------------


async def test_sending_within_sliding_windows(store: Store) -> None:
    start = NOON - NOON % 900
    script = [
        (0, 3, "203.0.113.0/24", (1, 3, 1, 3, 1, 3, 1)),
        (0, 1, "203.0.113.0/24", (2, 4, 2, 4, 2, 4, 1)),
        (200, 2, "198.51.100.0/24", (3, 6, 3, 6, 3, 6, 2)),
        (299, 0, "198.51.100.0/24", (4, 6, 4, 6, 4, 6, 2)),
        (300, 1, "198.51.100.0/24", (3, 3, 5, 7, 5, 7, 2)),
        (4_600, 1, "192.0.2.0/24", (1, 1, 1, 1, 6, 8, 1)),
        (3_600 * 23, 1, "192.0.2.0/24", (1, 1, 1, 1, 7, 9, 1)),
        (3_600 * 25, 1, "192.0.2.0/24", (1, 1, 1, 1, 3, 3, 1)),
    ]
    for offset, recipients, network, counts in script:
        wanted = Sending(*counts, passed=counts[:6])
        assert await hand_over(store, OFFICER, start + offset, recipients, network) == wanted, f"after {offset} s"
    assert await hand_over(store, OFFICE, start, 5) == Sending(1, 5, 1, 5, 1, 5, 1, passed=(1, 5, 1, 5, 1, 5))


# -- advertisements ------------------------------------------------------------------------------------

SHOP = "shop.example"
ADVERTISEMENTS = {
    "the fourth": ([(1, 0), (2, 10), (3, 20), (4, DAY_S)], [1, 2, 3, 4]),
    "a second over 24 hours": ([(1, 0), (2, 10), (3, 20), (4, DAY_S + 1)], [1, 2, 3, 3]),
    "a retry": ([(1, 0), (1, 300), (2, 400), (1, 500)], [1, 1, 2, 2]),
    "a retry does not renew": ([(1, 0), (1, DAY_S), (2, DAY_S + 1)], [1, 1, 1]),
    "out of order": ([(1, 100), (2, 50)], [1, 2]),
}


@pytest.mark.parametrize(("mails", "wanted"), ADVERTISEMENTS.values(), ids=ADVERTISEMENTS)
async def test_advertisements_within_24_hours(
    store: Store, mails: Sequence[tuple[int, float]], wanted: Sequence[int]
) -> None:
    counts = [
        (await store.advertised(SHOP, [OFFICER], number.to_bytes(16, "big"), NOON + offset))[OFFICER]
        for number, offset in mails
    ]
    assert counts == wanted


async def test_advertisements_count_for_each_recipient_and_advertiser(store: Store) -> None:
    assert await store.advertised(SHOP, [OFFICER], b"1" * 16, NOON) == {OFFICER: 1}
    assert await store.advertised(SHOP, [OFFICER, OFFICE], b"2" * 16, NOON) == {OFFICER: 2, OFFICE: 1}
    assert await store.advertised("other.example", [OFFICE], b"2" * 16, NOON) == {OFFICE: 1}
    assert await store.advertised(SHOP, [], b"3" * 16, NOON) == {}


async def test_no_more_advertisements_are_known_than_are_kept(store: Store) -> None:
    for number in range(ADVERTISED_KEPT + 3):
        count = await store.advertised(SHOP, [OFFICE], number.to_bytes(16, "big"), NOON + number)
        assert count == {OFFICE: min(number + 1, ADVERTISED_KEPT)}
    later = NOON + DAY_S + 10  # the newest were kept
    count = await store.advertised(SHOP, [OFFICE], b"last" * 4, later)
    assert count == {OFFICE: ADVERTISED_KEPT + 3 - 10 + 1}


# -- each batch once -----------------------------------------------------------------------------------


async def count(store: Store) -> int:
    """Return how many mails a mailbox sent."""
    return (await store.activity(OFFICER)).sent


async def test_a_batch_is_taken_once_though_its_events_were_forgotten(store: Store) -> None:
    batch = Batch([sent(), sent()], "run-a", 1)
    await store.commit(batch)
    await store.commit(replace(batch, noted=[sent()]))
    assert await count(store) == 2
    await store.commit(replace(batch, noted=[sent()], run="run-b"))
    await store.commit(replace(batch, noted=[sent()], number=2))
    assert await count(store) == 4


async def test_batches_of_many_mailboxes_and_runs_at_once(make_store: Callable[[], Store]) -> None:
    stores = [make_store() for _ in range(3)]
    mailboxes = [f"nhan{n}@hanam.gov.vn" for n in range(40)]
    batches = [
        [Batch([sent(mailbox) for mailbox in mailboxes], f"run-{n}", number) for number in range(1, 6)]
        for n in range(len(stores))
    ]

    async def take(store: Store, own: Sequence[Batch]) -> None:
        for batch in own:
            await store.commit(batch)
            await store.commit(batch)

    await asyncio.gather(*map(take, stores, batches))
    assert {(total.mailbox, total.sent) for total in await stores[0].totals()} == {(name, 15) for name in mailboxes}


async def recovered(commits: Commits) -> None:
    """Wait until what an earlier run left is counted."""
    counting = commits.recover()
    assert counting is not None
    await counting


def commits_on(store: Store, folder: Path) -> Commits:
    """Return a way into a store, which keeps what was counted."""
    return Commits(store, Journal(folder, "activity-0"), folder, Report(), "mail1", Bounds(keep_s=3_600))


async def note_and_wait(commits: Commits, folder: Path, events: Sequence[ActivityEvent]) -> None:
    """Note events and wait until no journal waits."""
    assert commits.note(events)
    await until(lambda: not list(folder.glob("*.journal")), 5, "the journal to be counted")


async def test_a_redis_that_lost_what_it_had_is_given_it_again(tmp_path: Path, redis_server: Redis) -> None:
    redis_server.ask("FLUSHALL")
    store = open_store(redis_server.url, tmp_path)
    commits = commits_on(store, tmp_path)
    for _ in range(3):
        await note_and_wait(commits, tmp_path, [sent(), sent()])
    redis_server.ask("FLUSHALL")
    await note_and_wait(commits, tmp_path, [sent()])
    await until(lambda: not commits.failing, 5, "the ledger to be whole again")
    assert await count(store) == 7
    # A process that starts anew does not know what was there: it gives all of it again.
    await commits.flush()
    redis_server.ask("FLUSHALL")
    other = open_store(redis_server.url, tmp_path)
    heir = commits_on(other, tmp_path)
    await recovered(heir)
    assert await count(other) == 7
    await heir.flush()
    for one in (store, other):
        await one.close()


async def test_what_an_earlier_run_left_is_kept_apart_from_what_comes(tmp_path: Path, redis_server: Redis) -> None:
    """The earlier run's journal ends in a line that a crash cut; each run has its own numbers."""
    redis_server.ask("FLUSHALL")
    earlier = Journal(tmp_path, "activity-0")
    earlier.append([sent(), sent()])
    path = earlier.roll()
    assert path is not None
    path.write_bytes(path.read_bytes() + b'["0102')
    store = open_store(redis_server.url, tmp_path)
    commits = commits_on(store, tmp_path)
    await recovered(commits)
    for _ in range(3):
        await note_and_wait(commits, tmp_path, [sent()])
    assert await count(store) == 5
    assert len({archive.stem.rpartition("-")[0] for archive in archives_in(tmp_path)}) == 2
    redis_server.ask("FLUSHALL")
    await note_and_wait(commits, tmp_path, [sent()])
    await until(lambda: not commits.failing, 5, "the ledger to be whole again")
    assert await count(store) == 6
    await commits.flush()
    await store.close()


async def test_a_loss_is_mended_though_no_mail_comes_in(
    tmp_path: Path, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_commits, "BEAT_S", 0.05)
    redis_server.ask("FLUSHALL")
    store = open_store(redis_server.url, tmp_path)
    commits = Commits(
        store, Journal(tmp_path, "activity-0"), tmp_path, Report(), "mail1", Bounds(keep_s=3_600), beats=True
    )
    commits.recover()
    commits.note([sent()])

    def is_counted() -> bool:
        return redis_server.ask(f"EXISTS {_key('mailbox', OFFICER)}") == ":1"

    await until(is_counted, 5, "the mail to be counted")
    redis_server.ask("FLUSHALL")
    await until(is_counted, 10, "it to be counted again")
    assert await count(store) == 1
    await commits.flush()
    await store.close()


async def test_it_is_found_out_while_nothing_is_to_be_counted(tmp_path: Path, redis_server: Redis) -> None:
    redis_server.ask("FLUSHALL")
    store = open_store(redis_server.url, tmp_path)
    await store.commit(Batch([sent()], "run-a", 1))
    await store.verify()
    redis_server.ask("FLUSHALL")
    with pytest.raises(WentBack):
        await store.verify()
    await store.close()


async def test_an_embedded_store_that_was_put_back_counts_on(tmp_path: Path) -> None:
    store = open_store("sqlite:mailgate.db", tmp_path)
    await store.commit(Batch([sent()], "run-a", 1))
    await store.commit(Batch([sent()], "run-a", 2))
    await store.commit(Batch([sent()], "run-a", 3))
    with sqlite3.connect(tmp_path / "mailgate.db") as file:  # as the file was after the first batch
        file.execute("UPDATE batch SET number = 1")
        file.execute("UPDATE mailbox SET sent = 1")
    with pytest.raises(WentBack):
        await store.commit(Batch([sent()], "run-a", 4))
    await store.commit(Batch([sent()], "run-a", 2))
    assert await count(store) == 2
    await store.close()


def test_a_journal_keeps_the_class_of_what_was_sent(tmp_path: Path) -> None:
    """Lines of before sent mail had classes say human of it, or, older, nothing."""
    events = [make(kind=kind) for make in (sent, received) for kind in MailClass]
    journal = Journal(tmp_path, "activity-0")
    journal.append(events)
    path = journal.roll()
    assert path is not None
    assert [batch.noted for batch in read(path)] == [events]
    first = path.read_text().splitlines()[0]
    older = first.replace(',"human"', "")
    path.write_text(f"{first}\n{older}\n")
    assert [batch.noted for batch in read(path)] == [[events[0], events[0]]]


# -- the journal's bounds ------------------------------------------------------------------------------


@pytest.mark.parametrize("drops", [False, True])
async def test_a_full_journal_takes_nothing_more_or_says_what_it_drops(tmp_path: Path, drops: bool) -> None:
    told: list[bool] = []
    dropped: list[int] = []
    with Redis(durable=True) as redis:
        store = open_store(redis.url, tmp_path)
        redis.stop()
        commits = Commits(
            store,
            Journal(tmp_path, "activity-0"),
            tmp_path,
            Report(full=told.append, dropped=dropped.append),
            "mail1",
            Bounds(2_000, drops),
        )
        for _ in range(40):
            assert commits.note([sent()])
        await until(lambda: told == [True], 10, "the journal to be found full")
        assert commits.note([sent(), sent()]) is drops
        assert dropped == ([2] if drops else [])
        redis.start()
        await until(lambda: told == [True, False], 10, "the journal to have room again")
        assert commits.note([sent()])
        await commits.flush()
        assert await count(store) == 41
        await store.close()


def archives_in(folder: Path) -> list[Path]:
    """Return the archives of counted batches."""
    return list(folder.glob("*.done"))


async def test_archives_give_way_first_and_grow_old(tmp_path: Path, redis_server: Redis) -> None:
    redis_server.ask("FLUSHALL")
    store = open_store(redis_server.url, tmp_path)
    commits = commits_on(store, tmp_path)
    events = [sent() for _ in range(3)]
    for one in events:
        await note_and_wait(commits, tmp_path, [one])
    (archive,) = archives_in(tmp_path)
    batches = read(archive)
    assert ([batch.number for batch in batches], [batch.noted for batch in batches]) == (
        [1, 2, 3],
        [[one] for one in events],
    )
    journal = Journal(tmp_path, "activity-0")
    journal.prune(3_600)
    assert archive.exists()
    journal.prune(-1)
    assert not archive.exists()
    await commits.flush()
    await store.close()


async def test_a_file_of_before_sent_mail_had_classes_is_taken_over(tmp_path: Path) -> None:
    """Its columns are added in place, and what was sent is people's; opened again, it is the same."""
    with sqlite3.connect(tmp_path / "mailgate.db") as file:
        file.executescript(
            """
            CREATE TABLE mailbox (
                address TEXT PRIMARY KEY, sent INTEGER NOT NULL, sent_octets INTEGER NOT NULL,
                received_octets INTEGER NOT NULL, first_sent REAL, last_sent REAL, human INTEGER NOT NULL,
                last_human REAL, bulk INTEGER NOT NULL, last_bulk REAL, automatic INTEGER NOT NULL,
                last_automatic REAL, report INTEGER NOT NULL, last_report REAL, spam INTEGER NOT NULL, last_spam REAL,
                node TEXT NOT NULL, baseline REAL NOT NULL, quiet_human INTEGER NOT NULL, quiet_sent INTEGER NOT NULL
            ) WITHOUT ROWID;
            """
        )
        row = (OFFICER, 7, 70, 30, NOON - 50, NOON, 3, NOON - 9, 0, None, 0, None, 0, None, 0, None, "mail1", NOON)
        day = civil_day(NOON)
        file.execute(f"INSERT INTO mailbox VALUES ({', '.join('?' * 20)})", (*row, day, day))
    for reports in (0, 1):
        store = open_store("sqlite:mailgate.db", tmp_path)
        activity = await store.activity(OFFICER)
        assert (activity.sent, activity.first_sent, activity.last_sent, activity.received) == (7, NOON - 50, NOON, 3)
        of_programs = {MailClass.REPORT: Mails(reports, NOON + 5)} if reports else {}
        assert activity.sent_by_class == {MailClass.HUMAN: Mails(7, NOON)} | of_programs
        await store.commit(Batch([sent(at=NOON + 5, kind=MailClass.REPORT)]))
        assert await idle(store) == {OFFICER: NOON}
        await store.close()


async def test_keys_are_remembered_for_two_generations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = [sent()]
    store = SqliteStore(tmp_path / "mailgate.db")
    await store.commit(Batch(old))
    with monkeypatch.context() as later:
        now = time.time()
        for generation, wanted in ((1, 2), (2, 4)):  # the second time it is a mail of its own
            later.setattr(time, "time", partial(float, now + generation * (REMEMBERED_S + 1)))
            days = [Beat(NOON + (14 * generation + day) * DAY_S) for day in range(1, 15)]
            await store.commit(Batch(days))
            store._commits = 0  # each 256th commit looks for what is old
            await store.commit(Batch([sent()]))
            await store.commit(Batch(old))
            assert await count(store) == wanted
    await store.close()


async def test_a_file_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mailgate.db") as file:
        file.executescript(
            """
            CREATE TABLE event (key BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE activity (
                mailbox TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, octets INTEGER NOT NULL,
                first_at REAL NOT NULL, last_at REAL NOT NULL, PRIMARY KEY (mailbox, kind)
            ) WITHOUT ROWID;
            CREATE TABLE state (
                number INTEGER PRIMARY KEY, address TEXT NOT NULL, status TEXT NOT NULL, clause TEXT NOT NULL,
                reason TEXT NOT NULL, document TEXT NOT NULL, at TEXT NOT NULL
            );
            """
        )
        known = sent()
        file.execute("INSERT INTO event VALUES (?, ?)", (known.key, int(NOON)))
        rows = [(OFFICER, "sent", 7, 70, NOON - 50, NOON), (OFFICER, "received", 3, 30, NOON - 90, NOON - 10)]
        file.executemany("INSERT INTO activity VALUES (?, ?, ?, ?, ?, ?)", rows)
        file.execute("INSERT INTO state VALUES (1, ?, 'locked', '7.2b', 'r', '1/QĐ', '2026-11-20')", (OFFICE,))
    store = open_store("sqlite:mailgate.db", tmp_path)
    await store.commit(Batch([known]))
    activity = await store.activity(OFFICER)
    assert (activity.sent, activity.sent_octets, activity.first_sent, activity.last_sent) == (7, 70, NOON - 50, NOON)
    assert activity.received_by_class == {MailClass.HUMAN: Mails(3, NOON - 10)}
    assert activity.received_octets == 30
    assert await store.state(OFFICE) == MailboxState(OFFICE, MailboxStatus.LOCKED, "7.2b", "r", "1/QĐ", "2026-11-20")
    assert await idle(store) == {OFFICER: NOON}
    await store.close()
