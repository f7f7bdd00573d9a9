"""The site's lists under a running daemon: an edit holds from then on, a mistake is named, and changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.mails import OFFICER, OUTSIDER, letter
from tests.lab.system import MailSystem, mail_system
from tests.lab.waiting import wait_until

from mailgate.worker import FILES_S

SOON_S = 3 * FILES_S  # the files are looked at so often; then they are read
BLOCKED = "550 5.7.1"
PASSED = "250 2.0.0"


@pytest.fixture
def blocklist(tmp_path: Path) -> Path:
    file = tmp_path / "blocklist.txt"
    file.write_text("# nobody yet\n")
    return file


@pytest.fixture
def system(blocklist: Path) -> Iterator[MailSystem]:
    with mail_system({"lists": {"path": str(blocklist.parent)}}) as running:
        yield running


def test_an_edited_list_holds_within_seconds_and_a_broken_one_changes_nothing(
    system: MailSystem, blocklist: Path
) -> None:
    workers = system.mailgate.workers()

    def status() -> set[str]:
        """Return what several mails are answered, so that each worker has had one."""
        return {system.receive(OUTSIDER, [OFFICER], letter()).status for _ in range(8)}

    assert status() == {PASSED}
    blocklist.write_text("example.com | source=A05\n")
    wait_until(lambda: status() == {BLOCKED}, SOON_S, "the new line to hold")
    (finding,) = system.mailgate.incidents()[-1]["findings"]
    assert (finding["rule"], finding["evidence"][0]["name"]) == ("spam", "example.com")

    lines = len(system.mailgate.log())
    blocklist.write_text("other.example\nexample com\n")
    told = system.mailgate.wait_event("lists have bad lines", after=lines, timeout_s=SOON_S)
    assert told["problems"] == [f"{blocklist}:2: 'example com': write a domain, such as example.com"]
    assert status() == {BLOCKED}, "the old list holds"

    blocklist.write_text("other.example\n")
    wait_until(lambda: status() == {PASSED}, SOON_S, "the mended list to hold")
    blocklist.unlink()
    (blocklist.parent / "blocklist.txt").write_text("203.0.113.0/24\n")
    wait_until(lambda: status() == {BLOCKED}, SOON_S, "the client's network to be refused")
    assert system.mailgate.workers() == workers
