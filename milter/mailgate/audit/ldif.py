"""LDIF (RFC 2849): folded lines, comments, base64 values; URLs are named and not followed."""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path

from ..identity.organization import Organization
from ..sources import EXPORT_LIMIT_BYTES, Unread, UnreadError, read_source, text_of
from .accounts import Attribute, forwards_of, official_of
from .edges import Harvest, canonical

# The mailbox of an entry, by the first of these that it has.
_MAILBOX = ("mail", "mailprimaryaddress", "rfc822mailbox", "maillocaladdress", "zimbramailalias")


def harvest_ldif(path: Path, organization: Organization) -> Harvest:
    """Read an export; entries are separated by empty lines."""
    try:
        text = text_of(read_source(path, EXPORT_LIMIT_BYTES))
    except UnreadError as error:
        return Harvest(unread=[error.unread])
    harvest = Harvest()
    for entry in _entries(text, str(path), harvest.unread):
        names = [
            canonical(attribute.value)
            for wanted in _MAILBOX
            for attribute in entry
            if attribute.name.lower() == wanted and "@" in attribute.value
        ]
        if not names:
            names = [canonical(a.value) for a in entry if a.name.lower() == "uid"]
        harvest.add(forwards_of(official_of(names, organization), entry, str(path)))
    return harvest


def _entries(text: str, file: str, unread: list[Unread]) -> Iterator[list[Attribute]]:
    entry: list[Attribute] = []
    for number, line in _unfolded(text):
        if not line:
            if entry:
                yield entry
            entry = []
            continue
        name, colon, rest = line.partition(":")
        name = name.partition(";")[0]  # mail;lang-vi
        if line.startswith("#") or (name.lower() in ("version", "changetype") and colon) or line == "-":
            continue
        if not colon or not name.strip() or " " in name:
            unread.append(Unread(file, number, "is no LDIF line: write NAME: VALUE"))
        elif rest.startswith("<"):
            unread.append(
                Unread(file, number, f"{name}: the value is at a URL, which is not read: {rest[1:].strip()}")
            )
        elif rest.startswith(":"):
            try:
                value = base64.b64decode(rest[1:].strip().encode("ascii"), validate=True)
            except (binascii.Error, ValueError) as error:
                unread.append(Unread(file, number, f"{name}: is no base64: {error}"))
                continue
            entry.append(Attribute(name, text_of(value), number))
        else:
            entry.append(Attribute(name, rest.removeprefix(" "), number))
    if entry:
        yield entry


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with the number of its first; a line that begins with a space goes on with the one before."""
    first, parts = 0, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith(" ") and parts:
            parts.append(line[1:])
            continue
        if parts:
            yield first, "".join(parts)
        first, parts = number, [line]
    if parts:
        yield first, "".join(parts)
