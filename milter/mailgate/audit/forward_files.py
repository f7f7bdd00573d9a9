"""Forwards in people's own files: .forward (local(8)) and .procmailrc."""

import glob
import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..postfix.instance import Instance
from ..postfix.lists import logical_lines, split_list
from ..sources import SCRIPT_LIMIT_BYTES, UnreadError, read_source, text_of
from .edges import Harvest
from .procmail import harvest_rules
from .recipients import Origin, recipients_of

_DEFAULT_FORWARD_PATH = "$home/.forward${recipient_delimiter}${extension}, $home/.forward"


@dataclass(frozen=True, slots=True)
class Home:
    """A person's name and home folder."""

    user: str
    folder: Path


def passwd_homes() -> list[Home]:
    """Return the home of every user of the passwd database; users may share one, as /nonexistent."""
    entries = {entry.pw_name: entry.pw_dir for entry in pwd.getpwall()}
    return [Home(user, Path(folder)) for user, folder in entries.items() if folder.startswith("/") and folder != "/"]


def homes_of(patterns: Sequence[str]) -> list[Home]:
    """Return the folders that shell patterns name (/home/*), the last part of each as its user."""
    folders = {path for pattern in patterns for path in glob.glob(pattern) if os.path.isdir(path)}
    return [Home(os.path.basename(path.rstrip("/")), Path(path)) for path in sorted(folders)]


def harvest_homes(homes: Sequence[Home], instance: Instance | None) -> Harvest:
    """Read each home's .forward files, where forward_path looks for them, and .procmailrc."""
    harvest = Harvest()
    forward_path = instance.get("forward_path") if instance else _DEFAULT_FORWARD_PATH
    delimiters = (instance.get("recipient_delimiter") if instance else "+") or ""
    seen = set()
    for home in homes:
        for pattern in split_list(forward_path):
            for path in _expanded(pattern, home, delimiters):
                if (home.user, path) not in seen:
                    seen.add((home.user, path))
                    harvest.add(_forward(Path(path), home))
    uses_procmail = instance is not None and "procmail" in instance.get("mailbox_command")
    read = {(edge.source, edge.file) for edge in harvest.edges}
    for home in homes:
        rc = home.folder / ".procmailrc"
        if os.path.lexists(rc) and (home.user, str(rc)) not in read:  # a .forward may have named it
            note = "" if uses_procmail else "mailbox_command names no procmail: a .forward or an alias may"
            harvest.add(harvest_rules(rc, home.user, note))
    return harvest


def _expanded(pattern: str, home: Home, delimiters: str) -> Iterator[str]:
    """Yield the files that an element of forward_path names for a user; an extension may be any."""
    known = {"home": glob.escape(str(home.folder)), "user": glob.escape(home.user)}
    for delimiter in ("", *delimiters):
        values = known | {"recipient_delimiter": glob.escape(delimiter), "extension": "*" if delimiter else ""}
        yield from _matching(_VARIABLE.sub(partial(_value, values), pattern))


_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|\((\w+)\)|(\w+)|\{[^{}]*\})")


def _value(values: Mapping[str, str], match: re.Match[str]) -> str:
    return values.get(match[match.lastindex], "*") if match.lastindex else "*"


def _matching(pattern: str) -> list[str]:
    if glob.has_magic(pattern):
        return sorted(glob.glob(pattern))
    return [pattern] if os.path.lexists(pattern) else []  # also a link that leads nowhere: it is to be named


def _forward(path: Path, home: Home) -> Harvest:
    try:
        text = text_of(read_source(path, SCRIPT_LIMIT_BYTES))
    except UnreadError as error:
        return Harvest(unread=[error.unread])
    harvest = Harvest()
    for number, line in logical_lines(text):
        origin = Origin(home.user, "forward-file", str(path), number)
        # A .forward may include only what its owner may read; what it names is shown, whoever owns it.
        harvest.add(recipients_of(line, origin, lambda name: home.folder / name.removeprefix("~/")))
    return harvest
