"""Forwards in procmail's rules (procmailrc(5)), and which rules a command runs procmail with (procmail(1))."""

import re
from pathlib import Path

from ..sources import SCRIPT_LIMIT_BYTES, Unread, UnreadError, read_source, text_of
from .edges import Edge, Harvest, addresses_of, addresses_within

# "|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #an": what follows the shell's next sign is not its own.
_CALL = re.compile(r"(?:^|[\s/;&|(\"'`])procmail((?:\s+[^\s;&|#<>()`]+)*)")
_WITH_VALUE = ("-a", "-f", "-r")


def rules_of_command(command: str) -> list[str]:
    """Return the files of rules that a command names, [] where procmail would read the user's own .procmailrc.

    >>> rules_of_command("/usr/bin/procmail -f - LOGFILE=x -m /etc/rules argument")
    ['/etc/rules']
    """
    match = _CALL.search(command)
    if match is None:
        return []
    names, skip, alone = [], False, False
    for word in match[1].replace('"', "").replace("'", "").split():
        if skip:
            skip = False
        elif word == "-d":
            break  # what follows is who it delivers for
        elif word.startswith("-"):
            skip = word in _WITH_VALUE
            alone = alone or word == "-m"
        elif "=" not in word:
            names.append(word)
    return names[:1] if alone else names  # after -m and its file, the rest are the rules' own arguments


def harvest_rules(path: Path, user: str, note: str) -> Harvest:
    """Read what a user's rules send on: `! ADDRESS`, and `| sendmail ADDRESS`; `note` is said of each.

    Addresses may hang on variables, which are not followed.
    """
    try:
        text = text_of(read_source(path, SCRIPT_LIMIT_BYTES))
    except UnreadError as error:
        return Harvest(unread=[error.unread])
    harvest = Harvest()
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped.startswith("!"):
            action = stripped[1:].strip()
            bare = re.sub(r"(?:^|\s)-(?:[fr]\s*)?\S+", " ", action)  # ! -oi -f SENDER ADDRESS
            targets = [target for target in addresses_of(bare) if target]
            for target in targets:
                unknown = "$" in target or "`" in target
                said = f"target not known: ! {action}" if unknown else ""
                text_note = "; ".join(filter(None, [said, note]))
                harvest.edges.append(Edge(user, "" if unknown else target, "procmail", str(path), number, text_note))
        elif stripped.startswith("|") and re.search(r"\bsendmail\b", stripped):
            targets = addresses_within(re.sub(r"\s-[fr]\s*\S+", " ", stripped)) or [""]
            said = f"given to a command: {stripped[1:].strip()}"
            said = said if targets[0] else f"target not known: {said}"
            text_note = "; ".join(filter(None, [said, note]))
            harvest.edges += [Edge(user, target, "procmail", str(path), number, text_note) for target in targets]
        elif re.match(r"INCLUDERC\s*=|SWITCHRC\s*=", stripped):
            harvest.unread.append(Unread(str(path), number, f"{stripped}: another file's rules are not read"))
    return harvest
