"""The filters that are compared, as servers of their own, and what the kernel knows of their cost.

CPU time is the process' CPU clock (clock_getcpuclockid(3)): nanoseconds on a CPU, user and system, of all
threads that live or have lived. /proc/PID/stat is the same sum cut to ticks of 10 ms;
/proc/PID/task/*/schedstat forgets threads that have ended, and libmilter has one for each connection: of a
process that had spent 1.03 s in five threads, one after the other, it showed 0.03 s.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import LoadError, connect, negotiate
from tests.lab.daemon import Daemon
from tests.lab.ports import free_port

from mailgate_rules import STANZAS

HERE = Path(__file__).parent
NULL_FILTER = HERE / "build" / "null_filter"

# As systemd/mailgate.service sets it.
MAILGATE_ENVIRONMENT = (
    "PYTHONSAFEPATH=1",
    "MALLOC_TRIM_THRESHOLD_=536870912",
    "MALLOC_MMAP_THRESHOLD_=33554432",
    "MALLOC_TOP_PAD_=16777216",
)

MAILGATE_TOML = """\
[organization]
domains = ["hanam.gov.vn"]
[listen]
milter = ["{address}"]
http = ""
[workers]
count = 1
[store]
url = "sqlite:mailgate.db"
[clamav]
address = ""
[spam]
url = ""
[incidents]
path = "incidents"
[lists]
path = "{lists}"
"""
LISTS = HERE.parent / "config" / "lists"

# The load's one login sends more than a person: it is counted all the same, as one that is exempt is not.
ONE_SENDER = "[rules.sending-rate]\n" + "".join(
    f"{window}_{what} = 1000000000\n" for window in ("burst", "hour", "day") for what in ("mails", "recipients")
)


@dataclass(frozen=True, slots=True)
class Peer:
    """A filter by its name, and its command line, given a folder for its files and a socket address."""

    name: str
    command: Callable[[Path, str], list[str]]


def _mailgate(folder: Path, address: str) -> list[str]:
    return _mailgate_with(folder, address, ONE_SENDER)


def _mailgate_that_forgets(folder: Path, address: str) -> list[str]:
    return _mailgate_with(folder, address, f"[forwarding]\nkeep_days = 0\n{ONE_SENDER}")


def _mailgate_that_does_not_look(folder: Path, address: str) -> list[str]:
    stanzas = (f'[rules.{name}]\nmode = "off"\n' for name, rule in STANZAS.items() if rule.NEEDS == "inspection")
    return _mailgate_with(folder, address, ONE_SENDER + "".join(stanzas))


def _mailgate_without_rules(folder: Path, address: str) -> list[str]:
    return _mailgate_with(folder, address, "".join(f'[rules.{rule}]\nmode = "off"\n' for rule in STANZAS))


def _mailgate_with(folder: Path, address: str, stanzas: str) -> list[str]:
    configuration = folder / "mailgate.toml"
    configuration.write_text(MAILGATE_TOML.format(address=address, lists=LISTS) + stanzas)
    program = Path(sys.executable).with_name("mailgate")
    return ["env", *MAILGATE_ENVIRONMENT, str(program), "serve", "--config", str(configuration)]


def _pymilter(folder: Path, address: str) -> list[str]:
    return [sys.executable, str(HERE / "null_pymilter.py"), *_libmilter_arguments(address)]


def _libmilter(folder: Path, address: str) -> list[str]:
    return [str(NULL_FILTER), *_libmilter_arguments(address)]


def _libmilter_arguments(address: str) -> list[str]:
    kind, _, place = address.partition(":")
    if kind == "unix":
        return [address]
    host, _, port = place.rpartition(":")
    return [f"inet:{port}@{host}", "--data-reply"]


FULL_PEER = Peer("mailgate-full", _mailgate)
FORGETFUL_PEER = Peer("mailgate-forgetful", _mailgate_that_forgets)
PEERS = (
    FULL_PEER,
    FORGETFUL_PEER,
    Peer("mailgate-blind", _mailgate_that_does_not_look),
    Peer("mailgate-bare", _mailgate_without_rules),
    Peer("pymilter", _pymilter),
    Peer("libmilter-c", _libmilter),
)


class Server(Daemon):
    """A peer that serves one socket, `unix` or `tcp`, until the `with` block ends."""

    stop_timeout_s = 1.0  # libmilter looks for a signal every five seconds; it is then killed

    def __init__(self, peer: Peer, transport: str) -> None:
        super().__init__(peer.name)
        self.peer = peer
        self.transport = transport
        unix = transport == "unix"
        self.address = f"unix:{self.folder}/milter.sock" if unix else f"inet:127.0.0.1:{free_port()}"

    def command(self) -> list[str]:
        return self.peer.command(self.folder, self.address)

    def ready(self) -> bool:
        try:
            with connect(self.address) as link:
                negotiate(link)
        except (LoadError, OSError):
            return False
        if self.transport == "unix":
            (self.folder / "milter.sock").chmod(0o666)  # Postfix comes as its own user
        return True

    def cpu_ns(self) -> int:
        """Sum the CPU time so far of its processes, those that have ended among them."""
        return tree_cpu_ns(self.pid)

    def resident_kb(self) -> int:
        """Sum what is resident now; pages that two processes share count twice."""
        return self._memory_kb("VmRSS")

    def peak_kb(self) -> int:
        """Sum the peaks of what was resident since forget_peak."""
        return self._memory_kb("VmHWM")

    def forget_peak(self) -> None:
        """Begin anew with the peaks."""
        for pid in process_tree(self.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def _memory_kb(self, field: str) -> int:
        total = 0
        for pid in process_tree(self.pid):
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(status.partition(f"{field}:")[2].split(maxsplit=1)[0])
        return total


def tree_cpu_ns(pid: int) -> int:
    """Sum the CPU time so far of a process and all that descend from it; of those that have ended, to the tick."""
    # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of linux/posix-timers_types.h
    return sum(time.clock_gettime_ns(~one << 3 | 2) + _buried_ns(one) for one in process_tree(pid))


def _buried_ns(pid: int) -> int:
    """Return the CPU time of the children that a process has waited for, and of theirs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def process_tree(pid: int) -> list[int]:
    """List a process and all that descend from it."""
    children = (
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    )
    return [pid, *(descendant for child in children for descendant in process_tree(child))]
