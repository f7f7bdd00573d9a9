"""The incident log on disk: JSON lines, each with the SHA-256 of the line before it.

One file a month (`2026-11.jsonl`), one chain through all of them, one writer at a time: workers and commands
take an exclusive lock on `HEAD`, which also remembers the last line, so that a missing end is found too.
A line is on disk (fdatasync) before `append` returns. A line that a crash cut stays as it is: the next
one follows it in the chain, and `verify` says so.

The order of the files is that of the numbers in them; their names are for people. A month that does not follow the
one before, or is long over, is believed when the clock has said so for a day: until then lines go on where they were,
so that a clock that jumped leaves no file of 2066. Where the month has a file already that is not the last, the next
is `2026-11.2.jsonl`.
"""

import contextlib
import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import orjson

GENESIS = "0" * 64
_HEAD = "HEAD"
_HEAD_OCTETS = 256
_BELIEVED_AFTER = timedelta(days=1)
_ANOTHER_AFTER = timedelta(days=60)  # so far from where it was first doubted, the clock says yet another time


@dataclass(frozen=True, slots=True)
class Flaw:
    """The first place where the chain does not hold: file, line from 1, what is wrong there."""

    file: str
    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` saw: how many lines, the first flaw if any, and lines that a crash cut."""

    lines: int
    flaw: Flaw | None
    torn: tuple[Flaw, ...]


@dataclass(slots=True)
class _Head:
    number: int = 0
    hash: str = GENESIS
    file: str = ""
    size: int = 0
    doubt: str = ""  # since when the clock says a month that does not follow, ISO 8601; "" where it says none


class IncidentLog:
    """The log in one folder, which is made when missing. Its calls block: a daemon runs them in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._firsts: dict[str, int] = {}  # of each file, the first number in it, which never changes

    def append(self, records: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """Write a line for each record, in order; raises OSError, and then has written none that counts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / _HEAD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            head = self._caught_up(_read_head(lock) or _Head())
            name = self._file_at(now, head)
            path = self.folder / name
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                size = os.fstat(file).st_size
                octets = b""
                if size and not self._ends_whole(path, size):
                    octets = b"\n"
                for record in records:
                    head.number += 1
                    line = orjson.dumps({"number": head.number, "previous": head.hash, **record})
                    head.hash = hashlib.sha256(line).hexdigest()
                    octets += line + b"\n"
                if os.write(file, octets) != len(octets):
                    raise OSError(28, "incident line was cut: disk full")
                os.fdatasync(file)
                head.file, head.size = name, size + len(octets)
            finally:
                os.close(file)
            _write_head(lock, head)
        finally:
            os.close(lock)

    def lines(self) -> Iterator[tuple[str, int, bytes]]:
        """Yield (file, line from 1, octets without the line break) in the order of the chain."""
        for path in self.files():
            with open(path, "rb") as file:
                for number, line in enumerate(file, 1):
                    yield path.name, number, line.removesuffix(b"\n")

    def files(self) -> list[Path]:
        """Return the log's files, in the order of the chain."""
        return sorted(self.folder.glob("*.jsonl"), key=lambda path: (self._first_of(path), path.name))

    @property
    def doubt(self) -> str:
        """Tell since when the clock says a month that does not follow the one before, ISO 8601; "" for no doubt."""
        head = self._head()
        return head.doubt if head is not None else ""

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the records, oldest first; cut lines are left out."""
        for _, _, line in self.lines():
            with contextlib.suppress(orjson.JSONDecodeError):
                yield orjson.loads(line)

    def verify(self) -> Verification:
        """Walk the chain from the first line that is here and find the first that does not fit."""
        previous: tuple[str, int, str] | None = None  # file, line, hash
        expected: int | None = None
        torn: list[Flaw] = []
        pending: Flaw | None = None  # an unreadable line: cut by a crash if the next one follows it
        count = 0
        for file, line_number, line in self.lines():
            count += 1
            digest = hashlib.sha256(line).hexdigest()
            try:
                record = orjson.loads(line)
                number, stated = int(record["number"]), str(record["previous"])
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                if pending is not None:
                    return Verification(count, pending, tuple(torn))
                pending = Flaw(file, line_number, "line is not a record: changed, or cut while it was written")
                previous = (file, line_number, digest)
                continue
            if pending is not None and expected is not None and number != expected:
                return Verification(count, pending, tuple(torn))
            if expected is not None and number != expected:
                problem = _out_of_order(number, expected)
                return Verification(count, Flaw(file, line_number, problem), tuple(torn))
            if expected is None and pending is None and number == 1 and stated != GENESIS:
                return Verification(count, Flaw(file, line_number, "first line does not begin a chain"), ())
            if previous is not None and stated != previous[2]:
                flaw = pending or Flaw(previous[0], previous[1], "line was changed: the next one states another hash")
                return Verification(count, flaw, tuple(torn))
            if pending is not None:
                torn.append(
                    Flaw(pending.file, pending.line, "line was cut while it was written (crash or full disk)")
                )
                pending = None
            expected = number + 1
            previous = (file, line_number, digest)
        return Verification(count, self._check_end(previous, expected, pending, torn), tuple(torn))

    def _check_end(
        self,
        last: tuple[str, int, str] | None,
        expected: int | None,
        pending: Flaw | None,
        torn: list[Flaw],
    ) -> Flaw | None:
        head = self._head()
        numbered = (expected or 1) - 1
        if head is None:
            if last is None:
                return None
            return Flaw(_HEAD, 1, f"{_HEAD} is missing or damaged: the log's end cannot be checked")
        if head.number > numbered:
            where = last or (head.file, 0, "")
            missing = f"{head.number - numbered} line(s) missing at the end" if pending is None else pending.problem
            return Flaw(where[0], where[1], missing)
        if head.number == numbered and last is not None and pending is None and head.hash != last[2]:
            return Flaw(last[0], last[1], f"line was changed: {_HEAD} states another hash")
        if pending is not None:
            torn.append(Flaw(pending.file, pending.line, "last line was cut while it was written"))
        return None

    def _head(self) -> _Head | None:
        try:
            descriptor = os.open(self.folder / _HEAD, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return _read_head(descriptor)
        finally:
            os.close(descriptor)

    def _caught_up(self, head: _Head) -> _Head:
        """Bring the head up to lines that were written without it: a crash came between the two writes."""
        files = self.files()
        if not files or (files[-1].name == head.file and files[-1].stat().st_size == head.size):
            return head
        for file in files:
            if file.name != head.file and self._first_of(file) <= head.number:
                continue
            with open(file, "rb") as lines:
                if file.name == head.file:
                    lines.seek(head.size)
                for line in lines:
                    line = line.removesuffix(b"\n")
                    head.hash = hashlib.sha256(line).hexdigest()
                    with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
                        head.number = int(orjson.loads(line)["number"])
            head.file = file.name
            head.size = file.stat().st_size
        return head

    def _file_at(self, now: datetime, head: _Head) -> str:
        """Return the file of a line that is written now, and take down a doubt about the clock."""
        month = now.strftime("%Y-%m")
        ahead = _months(month) - _months(head.file[: len(month)]) if head.file else 1
        if ahead in (-1, 0):  # -1: the clock was set back over the end of a month
            head.doubt = ""
            return head.file
        if ahead != 1:
            since = datetime.fromisoformat(head.doubt) if head.doubt else None
            if since is None or not timedelta(0) <= now - since <= _ANOTHER_AFTER:
                head.doubt = now.isoformat(timespec="seconds")
                return head.file
            if now - since < _BELIEVED_AFTER:
                return head.file
        head.doubt = ""
        names = (f"{month}.jsonl" if number == 1 else f"{month}.{number}.jsonl" for number in count(1))
        return next(name for name in names if not (self.folder / name).exists())

    def _first_of(self, path: Path) -> int:
        """Return the number of the first line that is one; a file without any is the last."""
        known = self._firsts.get(path.name)
        if known is None:
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as lines:
                for line in lines:
                    with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                        known = self._firsts[path.name] = int(orjson.loads(line)["number"])
                        break
        return sys.maxsize if known is None else known

    @staticmethod
    def _ends_whole(path: Path, size: int) -> bool:
        with open(path, "rb") as file:
            file.seek(size - 1)
            return file.read(1) == b"\n"


def _months(name: str) -> int:
    year, month = map(int, name.split("-"))
    return year * 12 + month


def _out_of_order(number: int, expected: int) -> str:
    if number > expected:
        return f"line(s) missing before this one: number {number}, expected {expected}"
    return f"line out of order or repeated: number {number}, expected {expected}"


def _read_head(descriptor: int) -> _Head | None:
    octets = os.pread(descriptor, _HEAD_OCTETS * 2, 0)
    try:
        return _Head(**orjson.loads(octets))
    except (orjson.JSONDecodeError, TypeError):
        return None


def _write_head(descriptor: int, head: _Head) -> None:
    os.pwrite(descriptor, orjson.dumps(head).ljust(_HEAD_OCTETS - 1) + b"\n", 0)
