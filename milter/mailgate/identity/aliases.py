"""Other addresses of the mailboxes, as Postfix's own files have them: virtual(5) and aliases(5).

A live mapping: address → mailboxes of ours behind it, however many aliases lie between. `@domain` → what all other
addresses of a domain stand for: `@domain` again for the same local part there, or a catch-all's mailboxes. Where a
domain has such an entry, an address that stands for itself is in the mapping too, since it is looked up first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from sys import intern

from ..postfix.lists import items_of
from ..postfix.tables import Entry, Shape, read_source_table
from ..sources import Unread
from .rewriting import Rewriting, is_clear
from .spelling import canonical_domain

_DEEPEST = 20  # Postfix gives up at 1,000 levels (virtual_alias_recursion_limit); nobody writes more than three

Steps = dict[str, tuple[str, ...]]
"""Each name of a file, and what stands beside it: other names, of ours or not."""


class Aliases(dict[str, tuple[str, ...]]):
    """The aliases of files that may change; `files` are paths, `alias:PATH` where written as aliases(5) says.

    A file with a bad line keeps what it held before, where it was read before.
    """

    def __init__(self, files: Sequence[str], folder: Path, domains: frozenset[str], rewriting: Rewriting) -> None:
        super().__init__()
        self._files = [_file(text, folder) for text in files]
        self._domains = domains
        self._rewriting = rewriting
        self._seen: list[tuple[int, int]] = []
        self._held: dict[Path, Steps] = {}

    def changed(self) -> bool:
        """Tell whether any file is another one than was read last."""
        now = [_stamp(path) for path, _ in self._files]
        changed, self._seen = now != self._seen, now
        return changed

    def read(self) -> tuple[dict[str, tuple[str, ...]], list[Unread]]:
        """Read the files, and return the aliases, and what of them could not be read or goes round in a circle."""
        problems: list[Unread] = []
        steps: dict[str, tuple[str, ...]] = {}
        for path, shape in self._files:
            reading = read_source_table(path, shape)
            problems += reading.unread
            if not reading.unread or path not in self._held:
                held, circles = self._steps(reading.entries)
                self._held[path] = held
                problems += circles
            for name, targets in self._held[path].items():
                # The first file that has a name is the one that answers; what virtual(5) leaves as it is, local(8)
                # looks up again.
                if name not in steps or steps[name] == (name,):
                    steps[name] = targets
        return resolved(steps, self._domains), problems

    def take(self, aliases: Mapping[str, tuple[str, ...]]) -> None:
        """Hold these from now on."""
        self.clear()
        self.update(aliases)

    def _steps(self, entries: Iterable[Entry]) -> tuple[Steps, list[Unread]]:
        """Return what a file says, and the entries that lead back to themselves."""
        steps: Steps = {}
        places: dict[str, Entry] = {}
        for entry in entries:
            targets = tuple([intern(name) for item in items_of(entry.value) for name in self._targets(item)])
            for name in self._names(entry.key):
                if (
                    steps.setdefault(intern(name), targets) is targets
                ):  # of two lines for one name Postfix has the first
                    places[name] = entry
        circles = []
        for name, entry in places.items():
            if circle := _circle(name, steps):
                way = " > ".join((*circle, name))
                circles.append(Unread(entry.place.file, entry.place.line, f"goes round in a circle: {way}"))
        return steps, circles

    def _names(self, key: str) -> list[str]:
        """Return the addresses that a key stands for: one without a domain is of each of ours."""
        if key.startswith("@"):
            return ["@" + canonical_domain(key[1:])]
        if "@" in key:
            return [self._rewriting.mailbox(key.encode("utf-8", "surrogateescape"))]
        return [
            self._rewriting.mailbox(f"{key}@{domain}".encode("utf-8", "surrogateescape")) for domain in self._domains
        ]

    def _targets(self, item: str) -> list[str]:
        """Return the address that an item of a value is; a pipe, a file or an include is none."""
        bare = item.strip('"').lstrip()
        if bare.startswith(("|", "/", "~", ":")):
            return []
        if item.startswith("@"):
            return ["@" + canonical_domain(item[1:])]
        mailboxes = [self._rewriting.mailbox(word.encode("utf-8", "surrogateescape")) for word in _words(item)]
        return [mailbox for mailbox in mailboxes if is_clear(mailbox)]


def _words(item: str) -> list[str]:
    """Return the addresses of an item: Postfix takes white space for a comma, where nothing is in quotes."""
    return [item] if '"' in item or "<" in item or "(" in item else item.split()


def resolved(steps: Mapping[str, Sequence[str]], domains: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Return the mailboxes of ours behind each alias; one that leads only outside is left out.

    So is one that stands for itself alone, but in a domain whose other addresses stand for something.
    """
    found: dict[str, tuple[str, ...]] = {}
    alone: dict[str, tuple[str, ...]] = {}
    for name, targets in steps.items():
        if name.startswith("@"):
            behind = tuple(dict.fromkeys(_follow_all((name,), targets, steps, domains)))
            if behind and behind != (name,):
                found[name] = behind
            continue
        if len(targets) == 1:
            target = targets[0]
            if target == name:
                if "@" + name.rpartition("@")[2] in steps:
                    found[name] = targets if isinstance(targets, tuple) else tuple(targets)
                continue
            if target not in steps and "@" + target.rpartition("@")[2] not in steps:  # as nearly always
                if target.rpartition("@")[2] in domains:
                    found[name] = alone.setdefault(target, (target,))
                continue
        behind = tuple(dict.fromkeys(_follow_all((name,), targets, steps, domains)))
        if behind and behind != (name,):
            found[name] = behind
    return found


def _follow_all(
    path: tuple[str, ...], targets: Iterable[str], steps: Mapping[str, Sequence[str]], domains: frozenset[str]
) -> Iterator[str]:
    """Yield where some names lead, each at the end of a path; what goes round in a circle leads nowhere."""
    for target in targets:
        domain = target.rpartition("@")[2]
        if domain not in domains:
            continue
        if target == path[-1]:
            yield target
            continue
        if target in path or len(path) >= _DEEPEST:
            continue
        further = steps.get(target)
        if further is None and not target.startswith("@"):
            all_others = steps.get("@" + domain)
            if all_others is not None:
                local = target.rpartition("@")[0]
                further = [local + other if other.startswith("@") else other for other in all_others]
        if further is None:
            yield target
        else:
            yield from _follow_all((*path, target), further, steps, domains)


def _circle(name: str, steps: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the names by which a name leads back to itself, () where it does not; itself alone is no circle."""
    path = [name]
    seen = {name}
    while len(path) <= _DEEPEST:
        following = [target for target in steps.get(path[-1], ()) if target in steps and target != path[-1]]
        if name in following and len(path) > 1:
            return tuple(path)
        following = [target for target in following if target not in seen]
        if not following:
            return ()
        seen.update(following[:1])
        path.append(following[0])
    return ()


def _file(text: str, folder: Path) -> tuple[Path, Shape]:
    kind, colon, path = text.partition(":")
    return (folder / path, Shape.ALIAS) if colon and kind == "alias" else (folder / text, Shape.TABLE)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino
