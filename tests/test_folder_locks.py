"""One daemon serves a folder; a second one says who does, and touches nothing of the first one's."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.lab.mailgate import Mailgate
from tests.lab.mta import Letter, Mta
from tests.lab.processes import alive
from tests.lab.waiting import wait_until

from mailgate.config import ConfigError, Settings, StoreSection
from mailgate.folder_locks import lock_folders, served_by

OFFICER = "ptp.bl@hanam.gov.vn"


@pytest.fixture
def first() -> Iterator[Mailgate]:
    """A daemon at work."""
    with Mailgate({"workers": {"count": 2}, "listen": {"http": ""}}) as mailgate:
        yield mailgate


def refused_beside(first: Mailgate, **store: str) -> str:
    """Start a second daemon, on doors of its own, and return what it says as it ends."""
    other = Mailgate({"listen": {"http": ""}, "store": store})
    try:
        done = subprocess.run(other.command(), capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1, done
        assert not Path(other.milter.removeprefix("unix:")).exists(), "no door is opened"
        return done.stderr
    finally:
        other.close()


def count_one(mailgate: Mailgate) -> None:
    """Have the daemon take in one more mail, and wait until it is counted."""
    before = mailgate.received().get(OFFICER, 0)
    with Mta(mailgate.milter) as mta:
        number = b" <%d@example.com>" % time.monotonic_ns()
        letter = Letter(recipients=(b"<%b>" % OFFICER.encode(),), headers=((b"Message-ID", number),))
        assert mta.deliver(letter).action == "accept"
    wait_until(lambda: mailgate.received().get(OFFICER, 0) == before + 1, 10, "the mail to be counted")


@pytest.mark.parametrize("shared", ["store", "journals", "both"])
def test_a_second_daemon_says_who_serves_the_folder_and_ends(first: Mailgate, shared: str, tmp_path: Path) -> None:
    journal = first.folder / "activity-0.left-1.journal"
    journal.write_bytes(b"[1764500000.000]\n")
    store = {
        "store": {"url": f"sqlite:{first.folder}/mailgate.db", "journal_path": str(tmp_path)},
        "journals": {"journal_path": str(first.folder)},
        "both": {"url": f"sqlite:{first.folder}/mailgate.db"},
    }[shared]
    said = refused_beside(first, **store)
    assert f"pid {first.pid}, started 20" in said
    assert str(first.folder) in said
    assert journal.exists()
    count_one(first)


def test_what_stays_locked_and_what_frees_it(first: Mailgate) -> None:
    url = f"sqlite:{first.folder}/mailgate.db"
    first.reload()
    refused_beside(first, url=url)
    for worker in first.workers():
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda worker=worker: not alive(worker), 10, "the worker to be dead")  # type: ignore[misc]
    wait_until(lambda: len(first.workers()) == 2, 10, "the workers to be started again")
    refused_beside(first, url=url)
    count_one(first)
    assert first.kill() == -9
    first.start()  # at once: what is left of the first is killed, or waited for
    count_one(first)
    assert first.stop() == 0
    settings = Settings(store=StoreSection(url=url))
    assert served_by(settings) == ""
    first.start()


def test_commands_work_beside_the_daemon(first: Mailgate, tmp_path: Path) -> None:
    count_one(first)
    mail = tmp_path / "a.eml"
    mail.write_bytes(b"From: lan@example.com\r\nMessage-ID: <1@x>\r\n\r\nxin chao\r\n")
    done = first.run("check", "--record", "--rcpt", OFFICER, "--from", "lan@example.com", str(mail))
    assert done.returncode == 0, done.stderr
    wait_until(partial(lambda: first.received() == {OFFICER: 2}), 10, "both to be counted")
    done = first.run("mailboxes", "lock", OFFICER, "--clause", "7.2b", "--reason", "thu")
    assert done.returncode == 0, done.stderr
    done = first.run("store", "move", "--to", "redis://127.0.0.1:1/0")
    assert (done.returncode, f"pid {first.pid}" in done.stderr) == (1, True), done.stderr


def test_a_lock_is_the_process_s_and_not_the_file_s(tmp_path: Path) -> None:
    settings = Settings(store=StoreSection(url=f"sqlite:{tmp_path}/a.db", journal_path=str(tmp_path / "journals")))
    held = lock_folders(settings)
    assert f"pid {os.getpid()}, started" in served_by(settings)
    with pytest.raises(ConfigError, match=f"pid {os.getpid()}"):
        lock_folders(settings, patience_s=0)
    child = os.fork()
    if child == 0:  # a worker, which has what its parent has
        signal.pause()
        os._exit(0)
    for descriptor in held:
        os.close(descriptor)
    assert served_by(settings), "as long as a worker lives"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert served_by(settings) == ""
    assert sorted(path.name for path in tmp_path.rglob("*.lock")) == ["a.db.lock", "mailgate.lock"], "left, and free"
    for descriptor in lock_folders(settings, patience_s=0):
        os.close(descriptor)


def test_what_cannot_be_locked_is_served_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "journals").write_bytes(b"a file where the folder should be")
    settings = Settings(store=StoreSection(url="redis://127.0.0.1:1/0", journal_path=str(tmp_path / "journals")))
    assert lock_folders(settings) == []
    assert served_by(settings) == ""
