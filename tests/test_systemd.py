"""The systemd units: systemd itself finds nothing wrong with them, and the daemon can do little harm."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[1] / "systemd"
# What need not be installed where the tests run: Mailgate in its place, and procps.
PROGRAMS = ("/opt/mailgate/bin/mailgate", "/bin/kill")

# systemd's exposure level, times ten: 2.0 of 10.
THRESHOLD = 20


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert shutil.which("systemd-analyze"), "systemd-analyze is missing: apt-get install systemd"
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with the units, their programs replaced by one that every machine has."""
    for unit in UNITS.glob("mailgate.*"):
        text = unit.read_text()
        for program in PROGRAMS:
            text = text.replace(program, "/bin/true")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def test_units_verify(units: Path) -> None:
    done = analyze("verify", f"{units}/mailgate.service", f"{units}/mailgate.socket")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_service_is_confined(units: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={THRESHOLD}", f"{units}/mailgate.service")
    assert done.returncode == 0, done.stdout + done.stderr
