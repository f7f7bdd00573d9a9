"""The ledger and the mailboxes' states, the same on SQLite and on a real Redis, and what outlives their absence."""

import asyncio
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
import pytest
from tests.lab.load import Load
from tests.lab.mailgate import Mailgate
from tests.lab.mails import OFFICE, OFFICER, OUTSIDER, letter
from tests.lab.redis import Redis
from tests.lab.system import MailSystem, lock, mail_system
from tests.lab.waiting import until, wait_until
from tests.test_ledger import recovered

from mailgate.ledger.commits import Commits, Report
from mailgate.ledger.journal import Journal, adopt, counted, owners
from mailgate.ledger.opening import open_store
from mailgate.ledger.store import Activity, Batch, Mails, Store, StoreError
from mailgate.model import ActivityEvent, ActivityKind, MailboxState, MailboxStatus, MailClass

SENT, RECEIVED = ActivityKind.SENT, ActivityKind.RECEIVED
DATE = 1_795_000_000


def event(number: int, kind: ActivityKind = RECEIVED, mailbox: str = OFFICER, later_s: float = 0) -> ActivityEvent:
    """Return an event whose key is its number."""
    return ActivityEvent(number.to_bytes(16, "big"), kind, mailbox, DATE + later_s, 100 * number)


# -- events ----------------------------------------------------------------------------------------


async def test_a_mailbox_that_was_never_seen_has_zeros(store: Store) -> None:
    assert await store.activity(OFFICER) == Activity(OFFICER)
    assert await store.totals() == []


async def test_totals(store: Store) -> None:
    await store.commit(Batch([event(1, SENT, later_s=10), event(2, SENT, later_s=30), event(3, SENT, later_s=20)]))
    await store.commit(Batch([event(4, RECEIVED, later_s=5), event(5, RECEIVED, OFFICE, later_s=7)]))
    human, sent = {MailClass.HUMAN: Mails(1, DATE + 5)}, {MailClass.HUMAN: Mails(3, DATE + 30)}
    officer = Activity(OFFICER, 3, 1, 600, 400, DATE + 10, DATE + 30, DATE + 5, "", human, sent)
    human = {MailClass.HUMAN: Mails(1, DATE + 7)}
    office = Activity(OFFICE, received=1, received_octets=500, last_received=DATE + 7, received_by_class=human)
    assert await store.activity(OFFICER) == officer
    assert await store.totals() == [officer, office]


@pytest.mark.parametrize("batches", [[[1, 1]], [[1], [1]], [[1, 2], [2, 1, 1]]], ids=["one", "two", "overlapping"])
async def test_the_same_event_counts_once(store: Store, batches: list[list[int]]) -> None:
    for batch in batches:
        await store.commit(Batch([event(number) for number in batch]))
    distinct = {number for batch in batches for number in batch}
    assert (await store.activity(OFFICER)).received == len(distinct)


async def test_the_same_events_from_several_workers_at_once_count_once(make_store: Callable[[], Store]) -> None:
    stores = [make_store() for _ in range(4)]
    events = [event(number) for number in range(200)]
    await asyncio.gather(
        *(store.commit(Batch(events[start : start + 50])) for store in stores for start in range(0, 200, 50))
    )
    assert (await stores[0].activity(OFFICER)).received == 200


async def test_a_mailbox_may_have_any_name(store: Store) -> None:
    for number, name in enumerate(("hộp.thư@hanam.gov.vn", "{a}:*@hanam.gov.vn", "a b'\";--@hanam.gov.vn")):
        await store.commit(Batch([event(number, mailbox=name)]))
        assert (await store.activity(name)).received == 1


# -- states ----------------------------------------------------------------------------------------

LOCKED = MailboxState(OFFICER, MailboxStatus.LOCKED, "7.2b", "lộ mật khẩu", "12/QĐ", "2026-11-24T08:00:00+07:00")
RESTORED = replace(LOCKED, status=MailboxStatus.ACTIVE, clause="7.3", at="2026-11-25T08:00:00+07:00")


async def test_states_and_their_history(make_store: Callable[[], Store]) -> None:
    writer, reader = make_store(), make_store()
    assert await reader.states() == {}
    versions = [await reader.states_version()]
    for state in (LOCKED, RESTORED):
        await writer.set_state(state)
        versions.append(await reader.states_version())
        assert await reader.states() == {OFFICER: state}
    assert len(set(versions)) == 3, "every change changes the version"
    assert await reader.history(OFFICER) == [LOCKED, RESTORED]
    assert await reader.history(OFFICE) == []


async def test_events_do_not_change_the_version_of_the_states(store: Store) -> None:
    await store.set_state(LOCKED)
    before = await store.states_version()
    await store.commit(Batch([event(1)]))
    assert await store.states_version() == before


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/redis.sock", "sqlite:/dev/null/a.db"])
async def test_a_store_that_cannot_be_reached_is_a_store_error(url: str, tmp_path: Path) -> None:
    store = open_store(url, tmp_path)
    with pytest.raises(StoreError):
        await store.commit(Batch([event(1)]))
    await store.close()


# -- while the store is away -----------------------------------------------------------------------


def make_commits(store: Store, folder: Path, told: list[bool] | None = None) -> Commits:
    """Return a way into a store, whose journal is in a folder; `told` takes what it reports."""
    report = told if told is not None else []
    return Commits(
        store, Journal(folder, "activity-0"), folder, Report(lambda failing, reason: report.append(failing)), "node1"
    )


def journal_lines(folder: Path) -> int:
    """Count the events that a journal holds."""
    return sum(len(path.read_bytes().splitlines()) for path in folder.glob("*.journal"))


def line(known: ActivityEvent) -> bytes:
    """Return an event as a journal has it."""
    return orjson.dumps([known.key.hex(), known.kind, known.mailbox, known.at, known.octets]) + b"\n"


async def test_an_event_is_on_disk_at_once_and_in_the_store_soon(store: Store, tmp_path: Path) -> None:
    commits = make_commits(store, tmp_path)
    assert commits.note([event(1), event(2)])
    assert commits.note([event(3)])
    assert journal_lines(tmp_path) == 3
    await until(lambda: journal_lines(tmp_path) == 0, 5, "the journal to be committed")
    assert (await store.activity(OFFICER)).received == 3
    commits.note([event(4)])
    await commits.flush()
    assert (await store.activity(OFFICER)).received == 4
    assert journal_lines(tmp_path) == 0


async def test_without_a_journal_the_store_itself_is_waited_for(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    commits = make_commits(store, folder)
    folder.rmdir()
    assert not commits.note([event(1)])
    await commits.commit([event(1)])
    assert (await store.activity(OFFICER)).received == 1
    await commits.flush()


async def test_without_journal_and_store_an_event_is_refused(tmp_path: Path) -> None:
    commits = make_commits(open_store("redis://127.0.0.1:1/0", tmp_path), tmp_path / "nowhere")
    assert not commits.note([event(1)])
    with pytest.raises(StoreError):
        await commits.commit([event(1)])
    await commits.flush()


async def test_an_error_of_our_own_ends_no_counting(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = make_commits(store, tmp_path)

    async def fail(batch: Batch) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", fail)
        commits.note([event(1)])
        await until(lambda: commits.failing, 5, "the bug to be met")
    commits.note([event(2)])
    await until(lambda: journal_lines(tmp_path) == 0, 5, "both events to be counted")
    assert (await store.activity(OFFICER)).received == 2
    await commits.flush()


async def test_events_wait_in_the_journal_until_the_store_is_back(tmp_path: Path) -> None:
    told: list[bool] = []
    with Redis(durable=True) as redis:
        store = open_store(redis.url, tmp_path)
        commits = make_commits(store, tmp_path, told)
        redis.stop()
        commits.note([event(1), event(2)])
        await until(lambda: told == [True], 10, "the store to be missed")
        commits.note([event(3)])
        assert journal_lines(tmp_path) == 3
        redis.start()
        await until(lambda: told == [True, False], 10, "the store to be found again and the journal counted")
        assert not commits.failing
        assert journal_lines(tmp_path) == 0
        commits.note([event(4)])
        await commits.flush()
        assert (await store.activity(OFFICER)).received == 4
        await store.close()


async def test_a_journal_of_an_earlier_run_is_counted_once(store: Store, tmp_path: Path) -> None:
    """One event was counted, but its acknowledgement lost; the last line was cut by a crash."""
    (tmp_path / "activity-0-7.journal").write_bytes(b"".join(map(line, map(event, (1, 2, 3))))[:-10])
    (tmp_path / "activity-10-1.journal").write_bytes(line(event(9)))  # another worker's, to be left alone
    await store.commit(Batch([event(1)]))
    commits = make_commits(store, tmp_path)
    await recovered(commits)
    assert (await store.activity(OFFICER)).received == 2
    assert journal_lines(tmp_path) == 1
    await commits.flush()


async def test_the_journal_ends_though_events_come_in_all_the_while(store: Store, tmp_path: Path) -> None:
    (tmp_path / "activity-0-1.journal").write_bytes(line(event(0)))
    told: list[bool] = []
    commits = make_commits(store, tmp_path, told)
    numbers = itertools.count(1)
    enough = asyncio.Event()

    async def keep_noting() -> None:
        while not enough.is_set():
            commits.note([event(next(numbers))])
            await asyncio.sleep(0)

    noting = [asyncio.create_task(keep_noting()) for _ in range(5)]
    try:
        await recovered(commits)
    finally:
        enough.set()
        await asyncio.gather(*noting)
        await commits.flush()
    assert told == []
    assert journal_lines(tmp_path) == 0
    assert (await store.activity(OFFICER)).received == next(numbers)


async def test_who_asks_for_totals_waits_for_what_was_answered_before(store: Store, tmp_path: Path) -> None:
    commits = make_commits(store, tmp_path)
    assert counted(tmp_path, 0)
    commits.note([event(1)])
    assert not counted(tmp_path, 0)
    assert await asyncio.to_thread(counted, tmp_path, 5)
    assert (await store.activity(OFFICER)).received == 1
    await commits.flush()


def test_totals_that_lack_something_say_so() -> None:
    with Mailgate({}) as mailgate:
        mailgate.stop()
        (mailgate.folder / "activity-0-1.journal").write_bytes(line(event(1)))
        done = mailgate.run("mailboxes", "list")
        assert (done.returncode, f"lack what is in {mailgate.folder}" in done.stderr) == (0, True)


def test_journals_of_workers_that_are_no_more_are_handed_on(tmp_path: Path) -> None:
    names = ("activity-0.a-3.journal", "activity-7.b-2.journal", "activity-7.b-1.done", "activity-check.c-10.journal")
    for name in (*names, "activity-8-2.journal"):  # the last one is of the version before
        (tmp_path / name).write_text(name)
    assert owners(tmp_path) == {"activity-0", "activity-7", "activity-8", "activity-check"}
    for left in ("activity-7", "activity-8", "activity-check"):
        adopt(tmp_path, left, "activity-0")
    files = {path.read_text(): path.name for path in tmp_path.iterdir()}
    assert re.fullmatch(r"activity-0\.[0-9a-f]{24}-2\.journal", files.pop("activity-8-2.journal"))
    assert files == {name: "activity-0." + name.partition(".")[2] for name in names}


def test_a_daemon_without_its_redis_takes_mail_and_counts_it_later() -> None:
    with Redis(durable=True) as redis, mail_system({"store": {"url": redis.url}}) as system:
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
        redis.stop()
        for _ in range(5):
            assert system.receive(OUTSIDER, [OFFICER, OFFICE], letter()).status == "250 2.0.0"
        redis.start()
        wait_until(lambda: system.mailgate.received() == {OFFICER: 6, OFFICE: 5}, 15, "the journal to be counted")


def test_the_journal_is_emptied_while_mail_comes_in() -> None:
    with Redis(durable=True) as redis, mail_system({"store": {"url": redis.url}}) as system:
        with Load(system) as load:
            redis.stop()
            load.wait(50)
            redis.start()
            system.mailgate.wait_event("store is back")
            load.wait(50)
        folder = system.mailgate.folder
        wait_until(lambda: not list(folder.glob("*.journal")), 5, "every journal to be counted")
        load.until_counted()
        assert load.others == []


def test_a_daemon_stopped_without_its_redis_counts_at_its_next_start() -> None:
    with Redis(durable=True) as redis, mail_system({"store": {"url": redis.url}}) as system:
        redis.stop()
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
        assert system.mailgate.stop() == 0
        redis.start()
        system.mailgate.start()
        wait_until(lambda: system.mailgate.received() == {OFFICER: 1}, 10, "the journal to be counted")


UNLIMITED = {"sending-rate": {"exempt": [OFFICER]}}  # until a state is seen, he sends as fast as a test can ask


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_running_daemon_follows_the_states(kind: str, redis_server: Redis) -> None:
    redis_server.ask("FLUSHALL")
    url = redis_server.url if kind == "redis" else "sqlite:mailgate.db"
    with mail_system({"store": {"url": url}, "rules": UNLIMITED}) as system:
        assert system.submit(OFFICER, [OUTSIDER], letter(author=OFFICER)).status == "250 2.0.0"
        for order, status in (
            (lock(OFFICER), "550 5.7.1"),
            (("mailboxes", "restore", OFFICER, "--document", "14/QĐ"), "250 2.0.0"),
        ):
            assert system.mailgate.run(*order).returncode == 0
            wait_until(partial(all_answered, system, status), 5, f"{status} for a mailbox after {order[1]}")


def test_two_nodes_before_one_redis_hold_to_the_same_states() -> None:
    with Redis(durable=True) as redis:
        sites = [{"store": {"url": redis.url, "node": node}, "rules": UNLIMITED} for node in ("mail1", "mail2")]
        with mail_system(sites[0]) as first, mail_system(sites[1]) as second:
            assert second.submit(OFFICER, [OUTSIDER], letter(author=OFFICER)).status == "250 2.0.0"
            assert first.mailgate.run(*lock(OFFICER)).returncode == 0
            wait_until(lambda: all_answered(second, "550 5.7.1"), 5, "the other node to refuse")
            wait_until(lambda: all_answered(first, "550 5.7.1"), 5, "this node to refuse")
            redis.stop()
            for system in (first, second):
                assert all_answered(system, "550 5.7.1")
                assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0", "it still receives"
            redis.start()
            wait_until(lambda: first.mailgate.received().get(OFFICER) == 2, 15, "the mails of both to be counted")
            shown = json.loads(first.mailgate.run("mailboxes", "show", OFFICER, "--format", "json").stdout)
            assert shown["node"] in ("mail1", "mail2")


def test_a_daemon_that_starts_without_its_redis_holds_to_the_last_known_states() -> None:
    with Redis(durable=True) as redis, mail_system({"store": {"url": redis.url}}, orders=[lock(OFFICER)]) as system:
        assert all_answered(system, "550 5.7.1")
        redis.stop()
        system.mailgate.restart()
        assert all_answered(system, "550 5.7.1")
        assert system.submit(OFFICE, ["ubndkb@hanam.gov.vn"], letter(author=OFFICE)).status == "250 2.0.0"


def all_answered(system: MailSystem, status: str) -> bool:
    """Tell whether mails of a mailbox are answered so, several in a row: each worker must have its say."""
    return all(system.submit(OFFICER, [OUTSIDER], letter(author=OFFICER)).status == status for _ in range(4))
