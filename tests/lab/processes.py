"""Processes, read from /proc (no `ps` is needed); a zombie, which init buries in its time, is not living."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One living process."""

    pid: int
    name: str
    parent: int
    session: int


def living() -> Iterator[Process]:
    """Yield every living process."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
            # "17 (a name, which may hold anything) S 1 17 17 …": state, parent, process group, session.
            head, _, tail = file.read_text().rpartition(")")
            state, parent, _, session = tail.split()[:4]
            if state != "Z":
                yield Process(int(file.parent.name), head.partition("(")[2], int(parent), int(session))


def children(pid: int) -> list[int]:
    """Return the process ids of a process's living children, oldest first."""
    return sorted(process.pid for process in living() if process.parent == pid)


def parent(pid: int) -> int:
    """Return the process id of a living process's parent."""
    (found,) = (process.parent for process in living() if process.pid == pid)
    return found


def alive(pid: int) -> bool:
    """Tell whether a process lives."""
    return any(process.pid == pid for process in living())


def session_members(session: int) -> list[str]:
    """Return the names of a session's living processes; a Daemon's session is its `pid`."""
    return [process.name for process in living() if process.session == session]


def peak_rss_bytes(pid: int) -> int:
    """Return the most memory that a process has had in RAM at any time (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) << 10
