"""Recipients as aliases(5) and .forward have them: addresses, |commands, /files, :include: lists."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..postfix.lists import items_of, logical_lines
from ..sources import TABLE_LIMIT_BYTES, Unread, UnreadError, read_source, text_of
from .edges import Edge, Harvest, addresses_of, addresses_within
from .procmail import harvest_rules, rules_of_command

_INCLUDE_DEPTH = 20  # a list of lists of lists is already odd
# Programs that send what they are given on as a mail.
_MAILER = re.compile(
    r"(?:^|[\s/;&|(\"'`])(sendmail|mail|mailx|bsd-mailx|s-nail|mutt|msmtp|ssmtp|exim4?|nullmailer-inject)\b"
)
_SENDER = re.compile(r"\s-[fr]\s*\S+")  # -f ADDRESS is who sends, not who receives


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose recipients are read, of which kind, and where they stand."""

    source: str
    kind: str
    file: str
    line: int
    note: str = ""


def recipients_of(value: str, origin: Origin, find: Callable[[str], Path] = Path) -> Harvest:
    """Read a list of recipients; `find` makes a path of what :include: names."""
    return _recipients(value, origin, find, ())


def _recipients(value: str, origin: Origin, find: Callable[[str], Path], within: tuple[str, ...]) -> Harvest:
    harvest = Harvest()
    for item in items_of(value):
        bare = item[1:-1].replace('\\"', '"').strip() if item.startswith('"') and item.endswith('"') else item
        if bare.startswith("|"):
            harvest.add(_command(bare[1:].strip(), origin, find))
        elif bare.lower().startswith(":include:"):
            harvest.add(_include(bare[len(":include:") :].strip().strip('"'), origin, find, within))
        elif bare.startswith(("/", "~/")):
            continue  # a file or a folder of mail, on this machine
        else:
            for target in addresses_of(item.removeprefix("\\")):
                harvest.edges.append(Edge(origin.source, target, origin.kind, origin.file, origin.line, origin.note))
    return harvest


def _command(command: str, origin: Origin, find: Callable[[str], Path]) -> Harvest:
    """Read what a command is given: its addresses, if it sends mail, and procmail's rules. It is never run."""
    if not _MAILER.search(command):
        # procmail looks for a name without a folder in its user's home; where that is not known, a person looks.
        rules = [path for path in map(find, rules_of_command(command)) if path.is_absolute()]
        if rules:
            harvest = Harvest()
            said = f"procmail is run by {origin.file}:{origin.line}"
            note = f"{origin.note}; {said}" if origin.note else said
            for path in rules:
                harvest.add(harvest_rules(path, origin.source, note))
            return harvest
        note = f"{origin.file}:{origin.line}: {origin.source} is given to a command: see what it does: {command}"
        return Harvest(notes=[note])
    targets = addresses_within(_SENDER.sub(" ", command)) or [""]
    said = f"given to a command: {command}" if targets[0] else f"target not known: given to a command: {command}"
    note = f"{origin.note}; {said}" if origin.note else said
    return Harvest([Edge(origin.source, target, "pipe", origin.file, origin.line, note) for target in targets])


def _include(name: str, origin: Origin, find: Callable[[str], Path], within: tuple[str, ...]) -> Harvest:
    path = find(name)
    real = os.path.realpath(path)
    if real in within or len(within) >= _INCLUDE_DEPTH:
        return Harvest(unread=[Unread(origin.file, origin.line, f":include:{name} includes itself")])
    try:
        text = text_of(read_source(path, TABLE_LIMIT_BYTES))
    except UnreadError as error:
        named = f"{error.unread.reason} (:include: at {origin.file}:{origin.line})"
        return Harvest(unread=[replace(error.unread, reason=named)])
    harvest = Harvest()
    for number, line in logical_lines(text):
        inner = Origin(origin.source, origin.kind, str(path), number, origin.note)
        harvest.add(_recipients(line, inner, find, (*within, real)))
    return harvest
