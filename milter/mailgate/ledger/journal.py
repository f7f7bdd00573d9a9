"""Events and traces on local disk until the store has them: one line each, in files that are numbered in order.

An event is written here before its mail is answered, so that no answer waits for the store, and a process
that dies takes none with it. A file goes when all its events are counted.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from ..model import ActivityEvent, ActivityKind, Noted, Trace


class Journal:
    """One process's journal: `NAME-1.journal`, `NAME-2.journal`, ... in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.last_number = max(map(_number_of, self._files()), default=0)
        self._file: int | None = None
        self._octets = 0

    def append(self, noted: Sequence[Noted]) -> None:
        """Write them behind the others; raises OSError, and then has taken none of them."""
        if self._file is None:
            self.last_number += 1
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path(), flags, 0o640)
            self._octets = 0
        lines = b"".join(map(_line, noted))
        written = os.write(self._file, lines)
        if written < len(lines):  # a full disk takes a part
            os.ftruncate(self._file, self._octets)
            raise OSError(f"{self._path()}: disk is full")
        self._octets += written

    def roll(self) -> Path | None:
        """End the file that is written, and return it; None when none is."""
        if self._file is None:
            return None
        os.close(self._file)
        self._file = None
        return self._path()

    def sync(self) -> None:
        """Bring what was written to the disk itself; off the loop, for it takes long."""
        if self._file is not None:
            os.fdatasync(self._file)

    def ended(self) -> list[Path]:
        """Return the files that are written no more, oldest first."""
        files = sorted(self._files(), key=_number_of)
        return files if self._file is None else [path for path in files if path != self._path()]

    def _path(self) -> Path:
        return self._folder / f"{self._name}-{self.last_number}.journal"

    def _files(self) -> Iterator[Path]:
        return self._folder.glob(f"{self._name}-*.journal")


def read(path: Path) -> list[Noted]:
    """Return what a file holds; nothing of one that is gone."""
    noted: list[Noted] = []
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError):  # a line that a crash cut: its mail was never answered
                fields = orjson.loads(line)
                if len(fields) == 4:
                    queue_key, message_key, at, value = fields
                    noted.append(Trace(queue_key, message_key, orjson.dumps(value), at))
                else:
                    key, kind, mailbox, at, octets = fields
                    noted.append(ActivityEvent(bytes.fromhex(key), ActivityKind(kind), mailbox, at, octets))
    return noted


def adopt(folder: Path, left: str, heir: str) -> None:
    """Give the files of a process that is no more to another one, behind its own."""
    number = Journal(folder, heir).last_number
    for path in sorted(folder.glob(f"{left}-*.journal"), key=_number_of):
        number += 1
        path.rename(folder / f"{heir}-{number}.journal")


def owners(folder: Path) -> set[str]:
    """Return the names of all journals that have files in a folder."""
    return {path.stem.rpartition("-")[0] for path in folder.glob("*.journal")}


def counted(folder: Path, wait_s: float) -> bool:
    """Wait, at most so long, until the store has what stands in a folder's journals now; tell whether it has."""
    pending = list(folder.glob("*.journal"))
    deadline = time.monotonic() + wait_s
    while pending := [path for path in pending if path.exists()]:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def pending_since(folder: Path) -> float | None:
    """Return when the oldest of a folder's journals was written last, in Unix seconds; None where there is none."""
    times = []
    for path in folder.glob("*.journal"):
        with contextlib.suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return min(times, default=None)


def _line(event: Noted) -> bytes:
    if isinstance(event, Trace):
        return b"[%d,%d,%.3f,%b]\n" % (event.queue_key, event.message_key, event.at, event.value)
    return orjson.dumps((event.key.hex(), event.kind.value, event.mailbox, event.at, event.octets)) + b"\n"


def _number_of(path: Path) -> int:
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
