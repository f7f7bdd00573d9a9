"""The folder of the site's lists, and what became of it: a list with a bad line keeps its last good state.

Only that one: the others are renewed. Where a list has no good state yet, its good lines hold. An entry that holds
until a day is left out once that day is over, in the province's civil time.
"""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..ledger.store import civil_date, civil_day
from ..model import ListEntry, Lists
from .entries import KINDS, PROHIBITED, kind_of, read_list

MOST_OCTETS = 32 << 20
"""Octets of a list: half a million refusals. What is larger is another file, and would fill the memory."""

_SUFFIXES = (".txt", ".csv")
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Held:
    """A list as it was read last: its file's stamp, the entries that hold, and what is wrong with the file."""

    stamp: _Stamp
    entries: Mapping[str, ListEntry]
    problems: tuple[str, ...]


class Folder:
    """The lists of a folder that may change; read by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[str, _Held] = {}
        self._seen: object = None

    def changed(self) -> bool:
        """Tell whether anything is other than was read last; a file is told by its time, size and inode."""
        return self._state() != self._seen

    def read(self) -> tuple[Lists, list[str]]:
        """Read what is new, and return all lists, and for each bad line a text that says what to write.

        A folder that is missing is empty lists. A file whose list is gone is gone; what cannot be read is not.
        """
        self._seen = self._state()
        if not self._path.is_dir():
            self._held.clear()
            return Lists(), [f"{self._path}: no such folder: create it, or name another in [lists] path"]
        problems = []
        held = {}
        for path, stamp in self._files():
            name = path.relative_to(self._path).with_suffix("").as_posix()
            kind = kind_of(name)
            suffix = ".csv" if kind is not None and kind.columns else ".txt"
            if kind is None:
                names = ", ".join((*KINDS, f"{PROHIBITED}CATEGORY"))
                problems.append(f"{path}: there is no such list: give it one of these names: {names}")
            elif path.suffix != suffix:
                problems.append(f"{path}: this list has the suffix {suffix}: rename it")
            else:
                one = self._held.get(name)
                if one is None or one.stamp != stamp:
                    one = _read(path, name, stamp, one)
                held[name] = one
                problems += one.problems
        self._held = held
        today = _today()
        entries = {name: _holding(one.entries, today) for name, one in held.items()}
        return Lists(entries), problems

    def _state(self) -> object:
        return list(self._files()), _today()

    def _files(self) -> Iterator[tuple[Path, _Stamp]]:
        """Yield the lists' files and their stamps, by path; hidden files and editors' copies are none."""
        for folder in (self._path, *sorted(path for path in _within(self._path) if path.is_dir())):
            for path in sorted(_within(folder)):
                if path.suffix in _SUFFIXES and not path.name.startswith("."):
                    try:
                        status = path.stat()
                    except OSError:  # it was there, and is told when it is read
                        yield path, (0, 0, 0)
                    else:
                        yield path, (status.st_mtime_ns, status.st_size, status.st_ino)


def _within(folder: Path) -> list[Path]:
    try:
        return [folder / name for name in os.listdir(folder)]
    except OSError:
        return []


def _today() -> str:
    return civil_date(civil_day(time.time())).isoformat()


def _holding(entries: Mapping[str, ListEntry], today: str) -> Mapping[str, ListEntry]:
    ended = [key for key, entry in entries.items() if entry.attributes.get("until", today) < today]
    return {key: entry for key, entry in entries.items() if key not in set(ended)} if ended else entries


def _read(path: Path, name: str, stamp: _Stamp, before: _Held | None) -> _Held:
    kind = kind_of(name)
    assert kind is not None
    kept = before.entries if before else {}
    try:
        if stamp[1] > MOST_OCTETS:
            return _Held(stamp, kept, (f"{path}: larger than {MOST_OCTETS >> 20} MB: is it the right file?",))
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return _Held(stamp, kept, (f"{path}: {error.strerror}: let Mailgate's user read it",))
    except UnicodeDecodeError as error:
        return _Held(stamp, kept, (f"{path}: not UTF-8 at octet {error.start}: save it as UTF-8",))
    reading = read_list(kind, text, str(path))
    holds_before = reading.problems and before is not None
    return _Held(stamp, kept if holds_before else reading.entries, tuple(reading.problems))
