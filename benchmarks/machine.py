"""Where and of what the figures were measured."""

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = ("mailgate", "uvloop", "orjson", "pymilter")
DEBIAN_PACKAGES = ("postfix", "libmilter-dev")


def describe() -> dict[str, str]:
    """Name the machine, the versions, the commit and the time."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    memory_kb = int(Path("/proc/meminfo").read_text().split(maxsplit=2)[1])
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _output("git", "-C", str(HERE), "describe", "--always", "--dirty") or "none",
        "cpu": cpuinfo.partition("model name\t: ")[2].partition("\n")[0] or platform.machine(),
        "cpus": str(os.cpu_count()),
        "memory": f"{memory_kb / 2**20:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        **{name: _output("dpkg-query", "-W", "-f", "${Version}", name) for name in DEBIAN_PACKAGES},
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
