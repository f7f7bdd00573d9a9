"""Events and traces on local disk until the store has them for good: one line each, one file a batch.

An event is written here before its mail is answered, so that no answer waits for the store, and a process that
dies takes none with it. A file becomes one batch, known to the store by the run of the process that wrote it and its
number: the store takes each once. Then the file's lines go to an archive, which is kept for a while: a Redis that was
killed, or failed over to a replica, may have lost what it had acknowledged, and is given it again.

    NAME.RUN-NUMBER.journal   to be counted; NAME is the worker's, RUN differs with every start
    NAME.RUN-NUMBER.done      counted batches, each behind a line `#NUMBER`, the first one's number in the name
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from ..model import ActivityEvent, ActivityKind, Beat, MailClass, Noted, Trace
from .store import Batch

LARGEST_BATCH = 1_000
"""Lines of a file, and so of a batch: what a store does at once is then done within some ten milliseconds."""
ARCHIVE_S = 600.0
ARCHIVE_BYTES = 16_000_000


class Journal:
    """One process's journal in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        # Of the time first, so that names sort; and no two processes ever share one.
        self.run = f"{time.time_ns():016x}{secrets.token_hex(4)}"
        self.number = 0
        self.lines = 0  # of the file that is written
        self._file: int | None = None
        self._octets = 0
        self._archive: Path | None = None
        self._archive_began = 0.0

    def append(self, noted: Sequence[Noted]) -> None:
        """Write them behind the others; raises OSError, and then has taken none of them."""
        if self._file is None:
            self.number += 1
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._path(), flags, 0o640)
            self._octets = self.lines = 0
        lines = b"".join(map(_line, noted))
        written = os.write(self._file, lines)
        if written < len(lines):  # a full disk takes a part
            os.ftruncate(self._file, self._octets)
            raise OSError(f"{self._path()}: disk is full")
        self._octets += written
        self.lines += len(noted)

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
        """Return the files that are written no more and not counted, of earlier runs too, in order."""
        files = _sorted(self._folder.glob(f"{self._name}[.-]*.journal"))
        return files if self._file is None else [path for path in files if path != self._path()]

    def archives(self) -> list[Path]:
        """Return the archives, in order."""
        return _sorted(self._folder.glob(f"{self._name}.*.done"))

    def archive(self, path: Path, keep_s: float) -> None:
        """Take a counted file away; keep its lines for so long."""
        if keep_s <= 0:
            path.unlink(missing_ok=True)
            return
        if self._archive is None or _run_of(self._archive) != _run_of(path) or self._is_full(self._archive):
            self._archive = path.with_suffix(".done")
            self._archive_began = time.monotonic()
            self.prune(keep_s)
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        target = os.open(self._archive, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            octets = os.read(source, os.fstat(source).st_size)
            end = b"" if octets.endswith(b"\n") else b"\n"  # a crash cut the last line
            os.write(target, b"#%d\n%b%b" % (number_of(path), octets, end))
        finally:
            os.close(source)
            os.close(target)
        path.unlink(missing_ok=True)

    def prune(self, keep_s: float) -> None:
        """Take archives away that ended so long before the newest.

        Each is taken to have ended ARCHIVE_S before the next one at the most, so that a clock that jumped takes none
        away; the bound of the journal's octets holds in any case (commits.Bounds).
        """
        age = 0.0
        later: float | None = None
        for path in reversed(self.archives()):
            with contextlib.suppress(FileNotFoundError):
                ended = path.stat().st_mtime
                age += 0.0 if later is None else min(max(later - ended, 0.0), ARCHIVE_S)
                later = ended
                if age > keep_s and path != self._archive:
                    path.unlink()

    def _is_full(self, archive: Path) -> bool:
        return (
            time.monotonic() - self._archive_began > ARCHIVE_S
            or not archive.exists()
            or archive.stat().st_size > ARCHIVE_BYTES
        )

    def _path(self) -> Path:
        return self._folder / f"{self._name}.{self.run}-{self.number}.journal"


def read(path: Path) -> list[Batch]:
    """Return the batches of a file, one for a journal, several for an archive; none of a file that is gone."""
    batches: list[Batch] = []
    run = _run_of(path)
    noted: list[Noted] = []
    number = number_of(path)
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            if line.startswith(b"#"):
                if noted:
                    batches.append(Batch(noted, run, number))
                noted, number = [], int(line[1:])
                continue
            with contextlib.suppress(ValueError):  # a line that a crash cut: its mail was never answered
                noted.append(_noted(orjson.loads(line)))
        if noted:
            batches.append(Batch(noted, run, number))
    return batches


def adopt(folder: Path, left: str, heir: str) -> None:
    """Give the files of a process that is no more to another one; runs and numbers stay."""
    for path in [*folder.glob(f"{left}.*.journal"), *folder.glob(f"{left}.*.done")]:
        path.rename(folder / f"{heir}{path.name.removeprefix(left)}")
    run = secrets.token_hex(12)
    for path in folder.glob(f"{left}-*.journal"):  # the version before knew no runs
        path.rename(folder / f"{heir}.{run}-{number_of(path)}.journal")


def owners(folder: Path) -> set[str]:
    """Return the names of all journals that have files in a folder."""
    stems = [path.stem for suffix in ("journal", "done") for path in folder.glob(f"*.{suffix}")]
    return {stem.partition(".")[0] if "." in stem else stem.rpartition("-")[0] for stem in stems}


def octets_of(folder: Path) -> tuple[int, int]:
    """Return how many octets wait to be counted in a folder, and how many its archives have."""
    sizes = {".journal": 0, ".done": 0}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1]
            if suffix in sizes:
                with contextlib.suppress(FileNotFoundError):
                    sizes[suffix] += entry.stat().st_size
    return sizes[".journal"], sizes[".done"]


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


def _line(noted: Noted) -> bytes:
    if isinstance(noted, Trace):
        return b"[%d,%d,%.3f,%b]\n" % (noted.queue_key, noted.message_key, noted.at, noted.value)
    if isinstance(noted, Beat):
        return b"[%.3f]\n" % noted.at
    key, kind, mailbox, at, octets, mail_class = noted
    return orjson.dumps((key.hex(), kind.value, mailbox, at, octets, mail_class.value)) + b"\n"


def _noted(fields: list[object]) -> Noted:
    """Read a line's fields; raises ValueError for what no line has."""
    match fields:
        case [float() | int() as at]:
            return Beat(at)
        case [int() as queue_key, int() as message_key, float() | int() as at, value]:
            return Trace(queue_key, message_key, orjson.dumps(value), at)
        case [str() as key, str() as kind, str() as mailbox, float() | int() as at, int() as octets, *rest]:
            # Lines of the version before have no class.
            mail_class = MailClass(str(rest[0])) if rest else MailClass.HUMAN
            return ActivityEvent(bytes.fromhex(key), ActivityKind(kind), mailbox, at, octets, mail_class)
    raise ValueError("no line of a journal")


def _run_of(path: Path) -> str:
    """Return the run that wrote a file, "" for one of the version before."""
    return path.stem.partition(".")[2].rpartition("-")[0]


def _sorted(paths: Iterator[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (path.stem.rpartition("-")[0], number_of(path)))


def number_of(path: Path) -> int:
    """Return the number of a journal's file, 0 for none."""
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
