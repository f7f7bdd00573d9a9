"""The incident log: its chain shows every change, its writers never collide, a crash spoils no line but its own."""

import multiprocessing
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mailgate.config import Settings
from mailgate.incidents.log import IncidentLog
from mailgate.incidents.search import Query, search

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
MONTH = "2026-11.jsonl"
LINES = 5

Lines = list[bytes]


def record(number: int, at: datetime = NOW) -> dict[str, object]:
    """Return an incident."""
    return {
        "time": at.isoformat(),
        "case": f"case-{number}",
        "mail_from": f"a{number}@example.com",
        "rcpts": ["ptp.bl@hanam.gov.vn"],
        "findings": [{"rule": "virus" if number % 2 else "spam", "recipient": ""}],
        "text": f"ghi chú {number}",
    }


@pytest.fixture
def log(tmp_path: Path) -> IncidentLog:
    """A log of some lines, written one by one."""
    log = IncidentLog(tmp_path / "incidents")
    for number in range(LINES):
        log.append([record(number)], NOW)
    return log


def rewrite(log: IncidentLog, change: Callable[[Lines], Lines]) -> None:
    """Change the log's file as somebody with an editor would."""
    file = log.folder / MONTH
    lines = change(file.read_bytes().splitlines())
    file.write_bytes(b"".join(line + b"\n" for line in lines))


def test_an_untouched_chain_verifies(log: IncidentLog) -> None:
    result = log.verify()
    assert (result.lines, result.flaw, result.torn) == (LINES, None, ())


def test_an_empty_folder_and_none_at_all_verify(tmp_path: Path) -> None:
    assert IncidentLog(tmp_path).verify().flaw is None
    assert IncidentLog(tmp_path / "nowhere").verify().flaw is None


@pytest.mark.parametrize("number", range(LINES))
@pytest.mark.parametrize(
    ("old", "new"),
    [(b"@example.com", b"@example.net"), (b'"number":', b'"number": '), (b"ghi ch\xc3\xba", b"ghi chu")],
    ids=["value", "space", "accent"],
)
def test_a_changed_line_is_found(log: IncidentLog, number: int, old: bytes, new: bytes) -> None:
    rewrite(log, lambda lines: [line.replace(old, new) if at == number else line for at, line in enumerate(lines)])
    flaw = log.verify().flaw
    assert flaw is not None
    assert (flaw.file, flaw.line, "changed" in flaw.problem) == (MONTH, number + 1, True)


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (lambda lines: lines[:2] + lines[3:], 3, "line(s) missing before this one: number 4, expected 3"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 2, "line out of order or repeated: number 1, expected 3"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, "line out of order or repeated: number 3, expected 4"),
        (lambda lines: lines[:-1], LINES - 1, "1 line(s) missing at the end"),
        (lambda lines: lines[:1], 1, "4 line(s) missing at the end"),
        (lambda lines: [], 0, "5 line(s) missing at the end"),
        (lambda lines: [*lines[:2], b"nonsense", *lines[3:]], 3, "not a record"),
        (lambda lines: [*lines[:-1], b"nonsense"], LINES, "not a record"),
    ],
    ids=["removed", "reordered", "repeated", "last removed", "all but one removed", "all removed", "not JSON", "end"],
)
def test_a_tampered_chain_is_found(log: IncidentLog, change: Callable[[Lines], Lines], line: int, says: str) -> None:
    rewrite(log, change)
    flaw = log.verify().flaw
    assert flaw is not None
    assert (flaw.file, flaw.line) == (MONTH, line)
    assert says in flaw.problem


def test_a_removed_file_is_found(log: IncidentLog) -> None:
    (log.folder / MONTH).unlink()
    assert log.verify().flaw is not None


def test_a_removed_head_is_found(log: IncidentLog) -> None:
    (log.folder / "HEAD").unlink()
    flaw = log.verify().flaw
    assert flaw is not None
    assert flaw.file == "HEAD"


def test_a_head_that_was_removed_is_made_again_and_the_chain_goes_on(log: IncidentLog) -> None:
    (log.folder / "HEAD").unlink()
    log.append([record(LINES)], NOW)
    result = log.verify()
    assert (result.lines, result.flaw) == (LINES + 1, None)


def test_one_chain_runs_through_all_months(log: IncidentLog) -> None:
    log.append([record(LINES)], NOW + timedelta(days=10))
    log.append([record(LINES + 1)], NOW)  # the clock went back
    assert [file.name for file in log.files()] == [MONTH, "2026-12.jsonl"]
    assert log.verify().flaw is None
    rewrite(log, lambda lines: lines[:-1])
    flaw = log.verify().flaw
    assert flaw is not None
    assert flaw.file == "2026-12.jsonl"


# -- crashes ---------------------------------------------------------------------------------------


def test_a_line_that_a_crash_cut_is_told_and_spoils_no_other(log: IncidentLog, tmp_path: Path) -> None:
    """The line is cut after each of its octets: its write came before HEAD's, so HEAD does not know it."""
    head = (log.folder / "HEAD").read_bytes()
    before = (log.folder / MONTH).stat().st_size
    log.append([record(LINES)], NOW)
    whole = (log.folder / MONTH).read_bytes()
    for end in range(before + 1, len(whole)):
        crashed = IncidentLog(tmp_path / "crashed")
        shutil.rmtree(crashed.folder, ignore_errors=True)
        crashed.folder.mkdir()
        (crashed.folder / MONTH).write_bytes(whole[:end])
        (crashed.folder / "HEAD").write_bytes(head)
        is_whole = end == len(whole) - 1  # all but its line break
        result = crashed.verify()
        assert result.flaw is None, end
        assert [torn.line for torn in result.torn] == ([] if is_whole else [LINES + 1]), end
        crashed.append([record(LINES + 1)], NOW)
        result = crashed.verify()
        assert result.flaw is None, end
        assert [torn.line for torn in result.torn] == ([] if is_whole else [LINES + 1]), end
        assert [found["case"] for found in crashed.records()][-1] == f"case-{LINES + 1}"


def append_many(folder: Path, writer: int, count: int) -> None:
    """Write lines, some of them in groups, as a worker does."""
    log = IncidentLog(folder)
    for number in range(0, count, 2):
        log.append([record(1_000 * writer + number), record(1_000 * writer + number + 1)], NOW)


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    writers, each = 4, 50
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=append_many, args=(tmp_path, writer, each)) for writer in range(writers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    log = IncidentLog(tmp_path)
    result = log.verify()
    assert (result.lines, result.flaw, result.torn) == (writers * each, None, ())
    assert {found["case"] for found in log.records()} == {
        f"case-{1_000 * writer + number}" for writer in range(writers) for number in range(each)
    }


def test_an_error_writes_nothing_that_counts(log: IncidentLog) -> None:
    file = log.folder / MONTH
    kept = file.rename(log.folder / "kept")
    file.mkdir()
    with pytest.raises(OSError, match="directory"):
        log.append([record(LINES)], NOW)
    file.rmdir()
    kept.rename(file)
    log.append([record(LINES)], NOW)
    result = log.verify()
    assert (result.lines, result.flaw, result.torn) == (LINES + 1, None, ())


# -- search ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), [0, 1, 2, 3, 4]),
        (Query(since=NOW + timedelta(days=2)), [2, 3, 4]),
        (Query(until=NOW + timedelta(days=2)), [0, 1]),
        (Query(since=NOW + timedelta(days=1), until=NOW + timedelta(days=3)), [1, 2]),
        (Query(mailbox="A3@example.com"), [3]),
        (Query(mailbox="ptp.bl@hanam.gov.vn"), [0, 1, 2, 3, 4]),
        (Query(mailbox="nobody@hanam.gov.vn"), []),
        (Query(mailbox="PTP.BL+a@hanam.gov.vn", account=Settings().identity().account), [0, 1, 2, 3, 4]),
        (Query(mailbox="chutich+a@hanam.gov.vn", account=Settings().identity().account), []),
        (Query(rule="virus"), [1, 3]),
        (Query(case="case-4"), [4]),
        (Query(case="case-"), []),
        (Query(text="GHI CHÚ 2"), [2]),
        (Query(rule="spam", text="a2@"), [2]),
    ],
    ids=repr,
)
def test_search(tmp_path: Path, query: Query, found: list[int]) -> None:
    log = IncidentLog(tmp_path)
    for number in range(LINES):
        log.append([record(number, NOW + timedelta(days=number))], NOW)
    assert [hit["case"] for hit in search(log, query)] == [f"case-{number}" for number in found]
