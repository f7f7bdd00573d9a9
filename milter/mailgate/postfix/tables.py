"""The entries of Postfix's tables, each with its file and line: what `postmap -s` cannot tell of a source.

A table that is compiled (hash and its like) is read in its source, for the lines, and in its compiled form, which
is what Postfix sees: an entry that is in one of them alone says so. A table that only answers questions (LDAP, SQL,
TCP) is asked for the keys that the caller knows. Sources: DATABASE_README, regexp_table(5), pcre_table(5),
cidr_table(5), aliases(5), and the manual pages of the other types.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from ..sources import TABLE_LIMIT_BYTES, Unread, UnreadError, read_source, text_of
from .instance import Instance, Place, PostfixError
from .lists import logical_lines, split_list, unbraced

ANY = "*"
"""The key of an entry that answers every question (static:, randmap:)."""

_COMPILED = {"hash": ".db", "btree": ".db", "lmdb": ".lmdb", "cdb": ".cdb", "dbm": ".pag", "sdbm": ".pag"}
_PATTERNS = ("regexp", "pcre")
# They answer no mailbox's name with an address.
_SILENT = ("fail", "internal", "environ")


class Shape(Enum):
    """How a source is written: aliases(5), `name: value`, or any other table, `key value`."""

    ALIAS = "postalias"
    TABLE = "postmap"


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer of a table. is_pattern: the key is a regular expression, and the value may hold $1."""

    key: str
    value: str
    place: Place
    is_pattern: bool = False
    note: str = ""


@dataclass(slots=True)
class Reading:
    """What reading tables gave: entries, what could not be read, and what is to be said of the rest."""

    entries: list[Entry] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: "Reading") -> None:
        """Take in what another reading gave."""
        self.entries += other.entries
        self.unread += other.unread
        self.notes += other.notes


def read_maps(instance: Instance, text: str, place: Place, shape: Shape, keys: Sequence[str]) -> Reading:
    """Read every table that a parameter lists; `keys` are what a table that cannot be listed is asked for."""
    reading = Reading()
    for spec in split_list(text):
        reading.add(read_table(instance, spec, place, shape, keys))
    return reading


def read_table(instance: Instance, spec: str, place: Place, shape: Shape, keys: Sequence[str]) -> Reading:
    """Read one `type:name`; `place` is where it is named."""
    kind, _, name = spec.partition(":")
    while kind in ("proxy", "maybe"):  # proxy: hands the question on
        kind, _, name = name.partition(":")
    if name.startswith("{") and kind not in ("memcache", "socketmap"):
        return _inline(instance, kind, name, place, shape, keys)
    if kind == "static":
        return Reading([Entry(ANY, name, place)])
    if kind in _COMPILED:
        return _compiled(instance, kind, Path(name), shape)
    if kind == "texthash":
        return read_source_table(Path(name), shape)
    if kind in _PATTERNS or kind == "cidr":
        return _patterns(Path(name), kind)
    if kind in _SILENT:
        return Reading()
    return _asked(instance, f"{kind}:{name}", place, keys)


def _inline(instance: Instance, kind: str, name: str, place: Place, shape: Shape, keys: Sequence[str]) -> Reading:
    items = split_list(unbraced(name))
    if kind == "static":
        return Reading([Entry(ANY, unbraced(name), place)])
    if kind == "inline":
        pairs = (unbraced(item).partition("=") for item in items)
        return Reading([Entry(key.strip(), value.strip(), place) for key, _, value in pairs])
    if kind == "randmap":
        return Reading([Entry(ANY, item, place) for item in items])
    if kind in _PATTERNS or kind == "cidr":
        return _pattern_lines([(place.line, unbraced(item)) for item in items], place.file, kind)
    if kind == "unionmap":
        reading = Reading()
        for item in items:
            reading.add(read_table(instance, item, place, shape, keys))
        return reading
    if kind == "pipemap" and items:
        # What the first table answers is asked of the next: the keys are the first one's.
        first = read_table(instance, items[0], place, shape, keys)
        if any(entry.key == ANY for entry in first.entries):
            first.entries += [Entry(key, "", place) for key in keys]
        known = {entry.key: entry for entry in first.entries if not entry.is_pattern and entry.key != ANY}
        if any(entry.is_pattern for entry in first.entries):
            known |= {key: Entry(key, "", place) for key in keys if key not in known}
        asked = _asked(instance, f"pipemap:{name}", place, list(known)) if known else Reading()
        asked.entries = [replace(entry, place=known[entry.key].place) for entry in asked.entries]
        asked.unread += first.unread
        asked.notes = first.notes
        return asked
    return Reading(unread=[Unread(place.file, place.line, f"{kind}:{name}: no such form of a table is known")])


def read_source_table(path: Path, shape: Shape) -> Reading:
    """Read the source of a table."""
    reading = Reading()
    for entry in source_entries(path, shape):
        if isinstance(entry, Unread):
            reading.unread.append(entry)
        else:
            reading.entries.append(entry)
    return reading


def source_entries(path: Path, shape: Shape) -> Iterator[Entry | Unread]:
    """Yield the entries of a source, and its lines that are none: a million entries need not be in memory at once."""
    try:
        text = text_of(read_source(path, TABLE_LIMIT_BYTES))
    except UnreadError as error:
        yield error.unread
        return
    file, pattern = str(path), _LINE[shape]
    for number, line in logical_lines(text):
        match = pattern.fullmatch(line)
        if match is None:
            wanted = "NAME: VALUE" if shape is Shape.ALIAS else "KEY VALUE"
            yield Unread(file, number, f"is no entry: write {wanted}")
            continue
        quoted, plain, value = match.groups()
        yield Entry(_unquoted(quoted) if quoted else plain, value.strip(), Place(file, number))


_LINE = {
    Shape.ALIAS: re.compile(r'(?:"((?:[^"\\]|\\.)+)"|([^:\s"]+))\s*:\s*(.*)', re.DOTALL),
    Shape.TABLE: re.compile(r'()("(?:[^"\\]|\\.)*"\S*|\S+)\s+(.*)', re.DOTALL),
}


def _compiled(instance: Instance, kind: str, path: Path, shape: Shape) -> Reading:
    """Read a source and what was made of it; an entry of one of them alone is kept, and says so."""
    compiled = Path(f"{path}{_COMPILED[kind]}")
    reading = (
        read_source_table(path, shape) if path.exists() or path.is_symlink() or not compiled.exists() else Reading()
    )
    if kind not in instance.map_types:
        reason = f"this Postfix cannot read a {kind} table: install postfix-{kind}; its source alone was read"
        reading.unread.append(Unread(str(compiled), 0, reason))
        return reading
    program = shape.value
    if not compiled.exists():
        entries = [replace(entry, note=f"not compiled yet: {program} {path}") for entry in reading.entries]
        return replace(reading, entries=entries)
    try:
        output = instance.postmap("-s", f"{kind}:{path}", program=program)
    except PostfixError as error:
        reading.unread.append(Unread(str(compiled), 0, str(error)))
        return reading
    seen = {}
    for line in output.splitlines():
        key, _, value = line.partition("\t")
        key = key.removesuffix(":") if shape is Shape.ALIAS else key
        if not key.startswith("YP_") and key != "@":  # postalias' own marks
            seen[_same(key, value)] = Entry(
                key, value, Place(str(compiled)), note=f"in the compiled table alone: {path}"
            )
    entries = []
    for entry in reading.entries:
        known = seen.pop(_same(entry.key, entry.value), None)
        entries.append(entry if known else replace(entry, note=f"not compiled yet: {program} {path}"))
    return replace(reading, entries=entries + list(seen.values()))


def _same(key: str, value: str) -> tuple[str, str]:
    """Return an entry as it compares: postmap folds keys, and postalias takes quoting of its own out and in."""
    return key.lower(), re.sub(r'[\s"\\]', "", value)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _patterns(path: Path, kind: str) -> Reading:
    try:
        text = text_of(read_source(path, TABLE_LIMIT_BYTES))
    except UnreadError as error:
        return Reading(unread=[error.unread])
    return _pattern_lines(list(logical_lines(text)), str(path), kind)


def _pattern_lines(lines: Sequence[tuple[int, str]], file: str, kind: str) -> Reading:
    reading = Reading()
    for number, line in lines:
        if kind == "cidr":
            continue  # it answers IP addresses, which no mailbox is
        if re.match(r"(?i)(if\b|endif\b)", line):
            continue
        match = _PATTERN.fullmatch(line)
        if match is None:
            reading.unread.append(Unread(file, number, f"is no {kind} entry: write /PATTERN/ RESULT"))
            continue
        negated, _, pattern, _, result = match.groups()
        # !/x/ answers everything else, and cannot hold $1.
        key = ANY if negated else pattern
        reading.entries.append(Entry(key, result.strip(), Place(file, number), is_pattern=not negated))
    return reading


_PATTERN = re.compile(r"(!?)\s*([^\w\s])((?:\\.|(?!\2).)*)\2([A-Za-z]*)\s+(.*)", re.DOTALL)


def _asked(instance: Instance, spec: str, place: Place, keys: Sequence[str]) -> Reading:
    """Ask a table that cannot be listed for what is known."""
    if not keys:
        reason = f"{spec} cannot be listed, and no mailbox is known to ask it for: name them with --mailboxes FILE"
        return Reading(unread=[Unread(place.file, place.line, reason)])
    try:
        output = instance.postmap("-q", "-", spec, stdin="".join(f"{key}\n" for key in keys))
    except PostfixError as error:
        return Reading(unread=[Unread(place.file, place.line, f"{spec}: {error}")])
    pairs = (line.partition("\t") for line in output.splitlines())
    entries = [Entry(key, value, place, note=f"answered by {spec}") for key, _, value in pairs]
    notes = [f"{place}: {spec} cannot be listed: it was asked for the known mailboxes alone"]
    return Reading(entries, notes=notes)
