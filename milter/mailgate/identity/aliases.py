"""Other addresses of the mailboxes, as Postfix's own files have them: virtual(5) and aliases(5).

A live mapping: address → mailboxes of ours behind it, however many aliases lie between. `@domain` → what all other
addresses of a domain stand for: `@domain` again for the same local part there, or a catch-all's mailboxes. Where a
domain has such an entry, an address that stands for itself is in the mapping too, since it is looked up first.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..postfix.lists import items_of
from ..postfix.tables import Shape, source_entries
from ..sources import Unread
from .rewriting import Rewriting, is_clear
from .spelling import base_of, canonical_domain

_DEEPEST = 20  # Postfix gives up at 1,000 levels (virtual_alias_recursion_limit); nobody writes more than three

_PLAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*@[a-z0-9-]+(?:\.[a-z0-9-]+)+")
"""An address that compares as it stands, as nearly all in such files do."""

Steps = dict[str, tuple[str, ...]]
"""Each name of a file, and what stands beside it: other names, of ours or not."""


class Aliases(dict[str, tuple[str, ...]]):
    """The aliases of files that may change; `files` are paths, `alias:PATH` where written as aliases(5) says.

    A file with a bad line keeps what it held before, where it was read before.
    """

    def __init__(
        self, files: Sequence[str], folder: Path, domains: frozenset[str], rewriting: Rewriting, separators: str = "+"
    ) -> None:
        super().__init__()
        self._files = [_file(text, folder) for text in files]
        self._domains = domains
        self._rewriting = rewriting
        self._separators = separators
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
        steps: Steps = {}
        for path, shape in self._files:
            read, unread = self._steps(path, shape)
            problems += unread
            if unread and len(self._files) == 1 and self:
                return dict(self), problems
            held = self._held.get(path, read) if unread else read
            if len(self._files) > 1:
                self._held[path] = held
            for name, targets in held.items():
                # The first file that has a name is the one that answers; what virtual(5) leaves as it is, local(8)
                # looks up again.
                if name not in steps or steps[name] == (name,):
                    steps[name] = targets
        found, circles = resolved(steps, self._domains, self._separators)
        return found, problems + (self._named(circles) if circles else [])

    def take(self, aliases: Mapping[str, tuple[str, ...]]) -> None:
        """Hold these from now on."""
        self.clear()
        self.update(aliases)

    def _steps(self, path: Path, shape: Shape) -> tuple[Steps, list[Unread]]:
        """Return what a file says, and its lines that say nothing."""
        steps: Steps = {}
        unread: list[Unread] = []
        for entry in source_entries(path, shape):
            if isinstance(entry, Unread):
                unread.append(entry)
                continue
            targets = tuple([name for item in items_of(entry.value) for name in self._targets(item)])
            for name in self._names(entry.key):
                steps.setdefault(name, targets)  # of two lines for one name Postfix has the first
        return steps, unread

    def _named(self, circles: Mapping[str, tuple[str, ...]]) -> list[Unread]:
        """Return the circles with the lines that they begin on."""
        found = []
        for path, shape in self._files:
            for entry in source_entries(path, shape):
                if isinstance(entry, Unread):
                    continue
                place = entry.place
                for name in self._names(entry.key):
                    if way := circles.get(name):
                        found.append(Unread(place.file, place.line, f"goes round in a circle: {' > '.join(way)}"))
        return found

    def _names(self, key: str) -> list[str]:
        """Return the addresses that a key stands for: one without a domain is of each of ours."""
        if _PLAIN.fullmatch(key) and key.rpartition("@")[2] in self._domains:
            return [key]
        if key.startswith("@"):
            return ["@" + canonical_domain(key[1:])]
        if "@" in key:
            return [self._rewriting.mailbox(key.encode("utf-8", "surrogateescape"))]
        return [
            self._rewriting.mailbox(f"{key}@{domain}".encode("utf-8", "surrogateescape")) for domain in self._domains
        ]

    def _targets(self, item: str) -> list[str]:
        """Return the address that an item of a value is; a pipe, a file or an include is none."""
        if _PLAIN.fullmatch(item) and item.rpartition("@")[2] in self._domains:
            return [item]
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


def resolved(
    steps: Mapping[str, tuple[str, ...]], domains: frozenset[str], separators: str
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return the mailboxes of ours behind each alias, and the ways by which names lead back to themselves.

    An alias that leads only outside is left out. So is one that stands for itself alone, but in a domain whose other
    addresses stand for something.
    """
    found: dict[str, tuple[str, ...]] = {}
    circles: dict[str, tuple[str, ...]] = {}
    for name, targets in steps.items():
        if len(targets) == 1 and not name.startswith("@"):
            (target,) = targets
            domain = target.rpartition("@")[2]
            if target == name:
                if "@" + domain in steps:
                    found[name] = targets
                continue
            if target not in steps and "@" + domain not in steps:  # as nearly always
                if domain in domains:
                    found[name] = targets
                continue
        behind = tuple(dict.fromkeys(_follow_all((name,), targets, steps, domains, separators)))
        if behind and behind != (name,):
            found[name] = behind
        if circle := _circle(name, steps):
            circles[name] = (*circle, name)
    return found, circles


def _follow_all(
    path: tuple[str, ...],
    targets: Iterable[str],
    steps: Mapping[str, Sequence[str]],
    domains: frozenset[str],
    separators: str,
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
        if further is None:
            further = steps.get(f"{base_of(target.rpartition('@')[0], separators)}@{domain}")
        if further is None and not target.startswith("@"):
            all_others = steps.get("@" + domain)
            if all_others is not None:
                local = target.rpartition("@")[0]
                further = [local + other if other.startswith("@") else other for other in all_others]
        if further is None:
            yield target
        else:
            yield from _follow_all((*path, target), further, steps, domains, separators)


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
