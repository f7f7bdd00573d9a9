"""A Zimbra account export: the text that `zmprov -l gaa -v` prints.

    # name ptp.bl@hanam.gov.vn
    zimbraMailSieveScript: require ["copy"];
    redirect :copy "lan@example.com";
    zimbraPrefMailForwardingAddress: lan@example.com

A value goes on over lines until the next attribute; one that holds a Sieve script, until the script is whole.
"""

import re
from pathlib import Path

from ..sources import EXPORT_LIMIT_BYTES, Unread, UnreadError, read_source, text_of
from .accounts import Attribute, forwards_of
from .edges import Harvest, canonical
from .sieve import is_complete

_NAME = re.compile(r"# name (\S+@\S+)\s*")
_ATTRIBUTE = re.compile(r"([A-Za-z][A-Za-z0-9-]*):(?: (.*))?")
_LOOKS = 50  # at whether a script is whole, each of which reads it from its beginning
_ZIMBRA = re.compile(r"zimbra[A-Z]\w*: ")


def harvest_zimbra(path: Path) -> Harvest:
    """Read an export; an account ends where the next begins."""
    try:
        lines = text_of(read_source(path, EXPORT_LIMIT_BYTES)).split("\n")
    except UnreadError as error:
        return Harvest(unread=[error.unread])
    harvest = Harvest()
    mailbox = ""
    attributes: list[Attribute] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if name := _NAME.fullmatch(line):
            harvest.add(forwards_of([mailbox] if mailbox else [], attributes, str(path)))
            mailbox, attributes = canonical(name[1]), []
        elif match := _ATTRIBUTE.fullmatch(line):
            if not mailbox:
                reason = "is no account export: write what `zmprov -l gaa -v` prints, which begins with # name"
                harvest.unread.append(Unread(str(path), at + 1, reason))
                return harvest
            end = _end(lines, at, "sieve" in match[1].lower())
            value = "\n".join([match[2] or "", *lines[at + 1 : end]])
            attributes.append(Attribute(match[1], value, at + 1))
            at = end
            continue
        elif line.strip() and not line.startswith("#"):
            harvest.unread.append(Unread(str(path), at + 1, "belongs to no attribute: write NAME: VALUE"))
        at += 1
    harvest.add(forwards_of([mailbox] if mailbox else [], attributes, str(path)))
    if not mailbox and not harvest.unread:
        harvest.unread.append(Unread(str(path), 0, "holds no account: write what `zmprov -l gaa -v` prints"))
    return harvest


def _end(lines: list[str], start: int, is_script: bool) -> int:
    """Return the line after a value that begins at `start`."""
    at = start + 1
    looks = 0
    while at < len(lines) and not _NAME.fullmatch(lines[at]):
        if _ATTRIBUTE.fullmatch(lines[at]) and lines[at].strip() != "text:":
            # A vacation text may look like attributes; a broken script must not hide what follows it.
            if not is_script or _ZIMBRA.match(lines[at]):
                break
            looks += 1
            script = "\n".join([lines[start].partition(":")[2], *lines[start + 1 : at]])
            if not script.strip() or (looks <= _LOOKS and is_complete(script)):
                break
        at += 1
    return at
