"""What every source gives: edges, from an address to where its mail goes as well, each with file and line.

An address is a mailbox (`identity.spelling`), a local name without a domain, which local(8) knows, or `@domain`,
which is every mailbox of a domain.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..identity.spelling import canonical_domain, mailbox_of
from ..postfix.lists import items_of
from ..sources import Unread


@dataclass(frozen=True, slots=True)
class Edge:
    """Mail for `source` goes to `target` too; target "" is one that cannot be told from the configuration."""

    source: str
    target: str
    kind: str
    file: str
    line: int
    note: str = ""


@dataclass(slots=True)
class Harvest:
    """What a source gave: edges, what could not be read, what a person should look at."""

    edges: list[Edge] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: "Harvest") -> None:
        """Take in what another source gave."""
        self.edges += other.edges
        self.unread += other.unread
        self.notes += other.notes


def canonical(address: str) -> str:
    """Return an address as it compares; a local name stays without a domain, `@domain` without a name."""
    if address.startswith("@") and ":" not in address:
        return f"@{canonical_domain(address[1:])}"
    return mailbox_of(address.encode("utf-8", "surrogateescape"))


def addresses_of(text: str) -> list[str]:
    """Return the addresses of a comma-separated list (RFC 5322), canonical; commas in quotes do not separate."""
    return [canonical(address) for item in items_of(text) for address in _within(item)]


def _within(item: str) -> Iterator[str]:
    if match := re.search(r"<([^<>]*)>", item):
        yield match[1]  # Trần Thị Lan <lan@example.com>
        return
    item = re.sub(r"\([^()]*\)", "", item).strip()
    if '"' in item:
        yield item
        return
    yield from item.split()  # Postfix takes white space for a comma


_ADDRESS = re.compile(r"[^\s<>,;:|&'\"()\[\]\\`$={}]+@[\w.-]*\w")


def addresses_within(text: str) -> list[str]:
    """Return whatever looks like an address in a command or a value, canonical, in order."""
    return [canonical(token) for token in _ADDRESS.findall(text)]
