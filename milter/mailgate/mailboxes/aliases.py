"""Other addresses of the mailboxes, as Postfix's own files have them: what comes to an alias counts for its mailbox.

A live mapping: address → mailboxes of ours behind it, however many aliases lie between; `@domain` → `@domain` for
a domain whose every address stands for that of another. Sources: aliases(5), virtual(5).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..model import canonical_domain, mailbox_of
from ..postfix.lists import split_list
from ..postfix.tables import Entry, Shape, read_source_table
from ..sources import Unread

_DEEPEST = 20  # Postfix gives up at 1,000 levels (virtual_alias_recursion_limit); nobody writes more than three


class Aliases(dict[str, tuple[str, ...]]):
    """The aliases of files that may change; `files` are paths, `alias:PATH` where written as aliases(5) says."""

    def __init__(self, files: Sequence[str], folder: Path, domains: frozenset[str]) -> None:
        super().__init__()
        self._files = [_file(text, folder) for text in files]
        self._domains = domains
        self._seen: list[tuple[int, int]] = []

    def changed(self) -> bool:
        """Tell whether any file is another one than was read last."""
        now = [_stamp(path) for path, _ in self._files]
        changed, self._seen = now != self._seen, now
        return changed

    def read(self) -> tuple[dict[str, tuple[str, ...]], list[Unread]]:
        """Read the files, and return the aliases, and what of them could not be read."""
        entries: list[Entry] = []
        unread: list[Unread] = []
        for path, shape in self._files:
            reading = read_source_table(path, shape)
            entries += reading.entries
            unread += reading.unread
        return resolved(entries, self._domains), unread

    def take(self, aliases: dict[str, tuple[str, ...]]) -> None:
        """Hold these from now on."""
        self.clear()
        self.update(aliases)


def resolved(entries: Iterable[Entry], domains: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Return the mailboxes of ours behind each alias; one that leads nowhere else, or only outside, is left out."""
    steps: dict[str, list[str]] = {}
    for entry in entries:
        targets = [name for text in split_list(entry.value) for name in _names(text, domains)]
        for name in _names(entry.key, domains):
            steps.setdefault(name, []).extend(targets)
    found = {}
    for name in steps:
        behind = tuple(dict.fromkeys(_follow((name,), steps, domains)))
        if behind and behind != (name,):
            found[name] = behind
    return found


def _follow(path: tuple[str, ...], steps: dict[str, list[str]], domains: frozenset[str]) -> Iterable[str]:
    """Yield where the last name of a path leads; what goes round in a circle leads nowhere."""
    for target in steps[path[-1]]:
        if target.rpartition("@")[2] not in domains:
            continue
        if target == path[-1] or target not in steps:
            yield target
        elif target not in path and len(path) < _DEEPEST:
            yield from _follow((*path, target), steps, domains)


def _names(text: str, domains: frozenset[str]) -> list[str]:
    """Return the addresses that a name stands for: in aliases(5) one without a domain is of each of ours."""
    if text.startswith(("|", "/", ":", '"|', '"/', "\\")):
        return []  # a pipe, a file or an include
    if text.startswith("@"):
        return ["@" + canonical_domain(text[1:])]
    mailbox = mailbox_of(text.encode("utf-8", "surrogateescape"))
    return [mailbox] if "@" in mailbox else [f"{mailbox}@{domain}" for domain in sorted(domains)]


def _file(text: str, folder: Path) -> tuple[Path, Shape]:
    kind, colon, path = text.partition(":")
    return (folder / path, Shape.ALIAS) if colon and kind == "alias" else (folder / text, Shape.TABLE)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino
