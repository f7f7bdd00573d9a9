"""A clock that jumped, and went back: nothing is deleted, expired, locked or named for ever by it."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog
from tests.lab.mails import OFFICER
from tests.lab.rates import LIMITS, hand_over, new_key
from tests.lab.waiting import until
from tests.test_ledger import all_days, count, sent

from mailgate import worker
from mailgate.config import Settings
from mailgate.incidents.log import IncidentLog
from mailgate.ledger.fresh import Fresh
from mailgate.ledger.journal import ARCHIVE_S, Journal
from mailgate.ledger.sqlite import SqliteStore
from mailgate.ledger.store import DAYS_KEPT, REMEMBERED_S, Batch, Store, civil_midnight
from mailgate.mailboxes.takeover import was_just_restored
from mailgate.metrics import Metrics
from mailgate.model import Beat, MailboxState, MailboxStatus, Noted, Sending, Trace

DAY_S = 86_400.0
NOON = civil_midnight("2026-11-26") + 12 * 3_600
JUMP_S = 500 * DAY_S
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=ZONE)


async def commit(store: Store, noted: Sequence[Noted], run: str = "", number: int = 0) -> None:
    """Commit a batch, and have the embedded store look for what is old, as it does with each 256th."""
    if isinstance(store, SqliteStore):
        store._commits = 0
    await store.commit(Batch(noted, run, number))


# -- what is kept for a while --------------------------------------------------------------------------


async def test_a_jump_takes_no_day_of_history_away(store: Store) -> None:
    for number in range(380):
        await store.commit(Batch([sent(at=NOON - number * DAY_S)]))
    await commit(store, [sent(at=NOON + JUMP_S)])
    await commit(store, [sent()])
    days = (await all_days(store))[OFFICER]
    assert len(days) == 381
    assert days[-1].day == date(2026, 11, 26) + timedelta(days=500)
    ((required, said),) = await store.complaints()
    assert (required, "2028-04-09, which is to come" in said) == (False, True)


@pytest.mark.parametrize("wrong_days", [0, 1, 3])
async def test_a_day_of_a_wrong_clock_costs_the_oldest_day_at_the_most(store: Store, wrong_days: int) -> None:
    for number in reversed(range(DAYS_KEPT + 10)):
        await store.commit(Batch([sent(at=NOON - number * DAY_S)]))
    for number in range(wrong_days):
        await commit(store, [sent(at=NOON + JUMP_S + number * DAY_S)])
    await commit(store, [sent()])
    days = [day.day for day in (await all_days(store))[OFFICER]]
    ours = [day for day in days if day <= date(2026, 11, 26)]
    assert len(ours) == DAYS_KEPT - wrong_days
    assert len(days) == DAYS_KEPT


@pytest.mark.parametrize(
    ("days", "jump_s", "kept"), [(5, JUMP_S, True), (5, 0, True), (20, 0, False)], ids=["a jump", "days", "weeks"]
)
async def test_traces_go_by_the_days_that_were_observed(tmp_path: Path, days: int, jump_s: float, kept: bool) -> None:
    store = SqliteStore(tmp_path / "mailgate.db")
    await store.commit(Batch([Trace(1, 2, b"[1]", NOON - days * DAY_S)]))
    for number in range(days):
        await store.commit(Batch([Beat(NOON - number * DAY_S)]))
    await commit(store, [Beat(NOON + jump_s)])
    assert bool(await store.recall([1])) is kept
    await store.close()


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that sets how far the wall clock is ahead."""
    real = time.time()
    return lambda ahead_s: monkeypatch.setattr(time, "time", partial(float, real + ahead_s))


async def test_what_was_counted_is_remembered_over_a_jump(tmp_path: Path, wall: Any) -> None:
    """Keys of events and numbers of batches; two jumps, since keys are remembered in two generations."""
    store = SqliteStore(tmp_path / "mailgate.db")
    known = [sent()]
    await commit(store, known, "run-a", 1)
    for ahead_s in (JUMP_S, 2 * JUMP_S, 0):
        wall(ahead_s)
        await commit(store, [Beat(NOON + ahead_s)], "run-b", int(ahead_s) + 1)
        await commit(store, known)
        await commit(store, known, "run-a", 1)
    await commit(store, [sent()], "run-a", 2)  # no WentBack: the first is known
    assert await count(store) == 2
    wall(REMEMBERED_S)
    assert await store.complaints() != []
    await store.close()


def test_a_jump_takes_no_archive_away(tmp_path: Path, wall: Any) -> None:
    journal = Journal(tmp_path, "activity-0")
    now = time.time()
    ended = [now - 300 * number for number in range(40, 0, -1)] + [now + JUMP_S]
    for number, at in enumerate(ended):
        path = tmp_path / f"activity-0.run-{number:03}.done"
        path.write_bytes(b"#1\n")
        os.utime(path, (at, at))
    wall(JUMP_S)
    journal.prune(7_200)
    left = [path.name for path in journal.archives()]
    within = int((7_200 - ARCHIVE_S) // 300) + 1
    assert left == [f"activity-0.run-{number:03}.done" for number in range(41 - 1 - within, 41)]


# -- what is noted of a time to come, and the clock is right again ---------------------------------------


async def test_what_a_login_hands_over_later_does_not_count_now(store: Store) -> None:
    for number in range(50):
        await hand_over(store, OFFICER, NOON + JUMP_S, 9, f"10.0.{number}.0/24")
    one = Sending(1, 1, 1, 1, 1, 1, 1, passed=(1, 1, 1, 1, 1, 1))
    assert await hand_over(store, OFFICER, NOON) == one
    two = Sending(2, 2, 2, 2, 2, 2, 1, passed=(2, 2, 2, 2, 2, 2))
    assert await hand_over(store, OFFICER, NOON + 200) == two


async def test_what_waits_since_a_time_to_come_keeps_nobody_waiting(store: Store) -> None:
    limits = replace(LIMITS, burst_mails=1)
    first, waiting = new_key(), new_key()
    for key in (first, waiting, waiting):
        await hand_over(store, OFFICER, NOON + JUMP_S, key=key, limits=limits)
    assert (await hand_over(store, OFFICER, NOON, limits=limits)).passes
    assert not (await hand_over(store, OFFICER, NOON + 1, key=waiting, limits=limits)).passes
    assert (await hand_over(store, OFFICER, NOON + 301, key=waiting, limits=limits)).passes


async def test_clocks_of_nodes_may_be_apart(store: Store) -> None:
    await hand_over(store, OFFICER, NOON + 120)
    both = await hand_over(store, OFFICER, NOON, network="198.51.100.0/24")
    assert both == Sending(2, 2, 2, 2, 2, 2, 2, passed=(2, 2, 2, 2, 2, 2))
    await hand_over(store, OFFICER, NOON + 3_610)
    assert (await hand_over(store, OFFICER, NOON + 3_590)).hour_mails == 4, "none left before its time"


async def test_advertisements_of_a_time_to_come_do_not_count_now(store: Store) -> None:
    for number in range(5):
        await store.advertised("shop.example", [OFFICER], bytes([number]) * 16, NOON + JUMP_S)
    assert await store.advertised("shop.example", [OFFICER], b"now" * 6, NOON) == {OFFICER: 1}


async def test_a_claim_of_a_time_to_come_is_none(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "mailgate.db")
    assert await store.once("lock:a", 30, NOON + JUMP_S)
    assert [await store.once("lock:a", 30, NOON + after) for after in (0, 1, 31)] == [True, False, True]
    await store.close()


RESTORED = MailboxState(OFFICER, MailboxStatus.ACTIVE, at=NOW.isoformat())


@pytest.mark.parametrize(
    ("state", "hours", "just"),
    [
        (RESTORED, 1, True),
        (RESTORED, 25, False),
        (RESTORED, -1, True),
        (RESTORED, -500 * 24, False),
        (replace(RESTORED, status=MailboxStatus.LOCKED), 1, False),
        (replace(RESTORED, at=""), 1, False),
        (None, 1, False),
    ],
)
def test_who_was_restored_on_a_day_to_come_is_locked_all_the_same(
    state: MailboxState | None, hours: float, just: bool
) -> None:
    assert was_just_restored(state, NOW + timedelta(hours=hours)) is just


# -- files of the incident log ---------------------------------------------------------------------------

FAR = NOW.replace(year=2066)
DAY = timedelta(days=1)
FILES: dict[str, tuple[list[datetime], list[str]]] = {
    "month after month": ([NOW, NOW + 30 * DAY, NOW + 61 * DAY], ["2026-11", "2026-12", "2027-01"]),
    "a jump, and back": ([NOW, FAR, FAR, NOW, NOW + 30 * DAY], ["2026-11"] * 4 + ["2026-12"]),
    "a jump, and back a day later": ([NOW, FAR, NOW + 2 * DAY, FAR + 2 * DAY, NOW + 3 * DAY], ["2026-11"] * 5),
    "a far month, for over a day": ([NOW, FAR, FAR + DAY, FAR + 2 * DAY], ["2026-11"] * 2 + ["2066-11"] * 2),
    "in the far month, and back": (
        [NOW, FAR, FAR + DAY, NOW, NOW + DAY, NOW + 2 * DAY, NOW + 30 * DAY],
        ["2026-11"] * 2 + ["2066-11"] * 2 + ["2026-11.2"] * 2 + ["2026-12"],
    ),
    "back over the end of a month": ([NOW, NOW + 10 * DAY, NOW, NOW + 11 * DAY], ["2026-11"] + ["2026-12"] * 3),
    "nothing for half a year": ([NOW, NOW + 180 * DAY, NOW + 182 * DAY], ["2026-11"] * 2 + ["2027-05"]),
    "for half a year, twice": (
        [NOW, NOW + 180 * DAY, NOW + 360 * DAY, NOW + 361 * DAY],
        ["2026-11"] * 3 + ["2027-11"],
    ),
    "far back": ([FAR, NOW, NOW + DAY, NOW + 2 * DAY], ["2066-11"] * 2 + ["2026-11"] * 2),
    "two wrong clocks": ([NOW, FAR, FAR - 20_000 * DAY, FAR, FAR + DAY / 2], ["2026-11"] * 5),
}


@pytest.mark.parametrize(("times", "names"), FILES.values(), ids=FILES)
def test_files_of_incidents(tmp_path: Path, times: list[datetime], names: list[str]) -> None:
    log = IncidentLog(tmp_path)
    for number, at in enumerate(times):
        log.append([{"time": at.isoformat(), "case": str(number), "findings": []}], at)
        result = IncidentLog(tmp_path).verify()
        assert (result.lines, result.flaw) == (number + 1, None)
    assert [name for name, _, _ in log.lines()] == [f"{name}.jsonl" for name in names]
    assert [record["case"] for record in IncidentLog(tmp_path).records()] == [str(n) for n in range(len(times))]


def test_a_crash_before_head_is_written_in_whatever_file(tmp_path: Path) -> None:
    log = IncidentLog(tmp_path)
    for at in (FAR, NOW, NOW + DAY):
        head = (tmp_path / "HEAD").read_bytes() if (tmp_path / "HEAD").exists() else b""
        log.append([{"time": at.isoformat(), "findings": []}], at)
    assert [file.name for file in log.files()] == ["2066-11.jsonl", "2026-11.jsonl"]
    (tmp_path / "HEAD").write_bytes(head)
    again = IncidentLog(tmp_path)
    again.append([{"time": NOW.isoformat(), "findings": []}], NOW + DAY)
    result = again.verify()
    assert (result.lines, result.flaw, result.torn) == (4, None, ())


def test_the_doubt_is_said_until_it_ends(tmp_path: Path) -> None:
    log = IncidentLog(tmp_path)
    assert log.doubt == ""
    for at, doubt in ((NOW, ""), (FAR, FAR.isoformat()), (FAR + DAY / 2, FAR.isoformat()), (NOW, "")):
        log.append([{"time": at.isoformat(), "findings": []}], at)
        assert log.doubt == doubt


# -- the daemon's word for it ------------------------------------------------------------------------------


@pytest.mark.parametrize(("step_s", "by_s"), [(JUMP_S, [JUMP_S]), (-3_600, [-3_600]), (0.5, [])])
async def test_a_jump_is_in_the_daemon_s_log(
    wall: Any, step_s: float, by_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_LAG_S", 0.01)
    monkeypatch.setattr(worker, "log", structlog.get_logger())
    metrics = Metrics(1, [])
    orders = worker.Orders(0, None, Settings(), [], metrics, None, Fresh())  # type: ignore[arg-type]
    watching = worker.Worker(orders)
    wall(0)
    with structlog.testing.capture_logs() as lines:
        task = asyncio.create_task(watching._watch())
        for ahead_s in (0, step_s):
            wall(ahead_s)
            seen = metrics.heartbeat(0)
            await until(lambda seen=seen: metrics.heartbeat(0) > seen, 5, "a beat")  # type: ignore[misc]
            seen = metrics.heartbeat(0)
            await until(lambda seen=seen: metrics.heartbeat(0) > seen, 5, "a beat")  # type: ignore[misc]
        task.cancel()
    assert [line["by_s"] for line in lines] == pytest.approx(by_s, abs=2)
