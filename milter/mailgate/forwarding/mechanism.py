"""What a mechanism is: a program's way to forward, answer, redirect or list mail, and what it shows on a mail.

A new mechanism is one entry of its family's file, with its examples in tests/forwarding. What follows from its signs
is the rule's to judge (auto-forward), not the table's.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ..model import Evidence
from .letter import Letter

LONGEST_VALUE = 200  # letters of a header in evidence: an address and little more


class Kind(StrEnum):
    """What a mechanism does with a mail."""

    FORWARD = "forward"  # a program sends it on by itself
    REPLY = "reply"  # a program answers it
    REDIRECT = "redirect"  # a person sends it on by hand
    LIST = "list"  # a mailing list, or a helpdesk, sends it to its members
    NOTHING = "nothing"  # looks like a mark of forwarding, and is none


class Strength(StrEnum):
    """How sure a sign is: decides alone; decides with another mechanism's that names the same mailbox or domain; is
    recorded at the most."""

    SURE = "sure"
    LIKELY = "likely"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Sign:
    """What one mechanism shows on one mail: its evidence, and whose mailbox forwards.

    forwarder: that mailbox, "" where none is named; domain: whose system forwards, where only that is known. targets:
    the mailboxes that the mail is forwarded to; () where it speaks of every recipient.
    """

    kind: Kind
    strength: Strength
    evidence: tuple[Evidence, ...]
    forwarder: str = ""
    domain: str = ""
    targets: tuple[str, ...] = ()

    @property
    def end(self) -> str:
        """The mailbox that forwards, else its domain, "" where neither is named."""
        return self.forwarder or self.domain


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One entry of the table.

    fields: the header fields, in lower case, one of which it needs to be seen; by_sender: it may stand in the
    envelope sender instead, by_received: in a Received line; by_from: domains of From that tell it. on_copies: those
    of its fields that no new mail bears. is_hosted: a provider that signs all that it sends: what it says of a state
    body's mailbox must be proven. writes, names, since, source: for the reader of the table. switch_off: where its
    mailbox's owner switches it off, in Vietnamese.
    """

    name: str
    kind: Kind
    fields: frozenset[bytes]
    read: Callable[[Letter], Iterable[Sign]]
    writes: str
    names: str
    how_sure: str
    source: str
    since: str = ""
    on_copies: frozenset[bytes] = frozenset()
    by_sender: bool = False
    by_received: bool = False
    by_from: frozenset[bytes] = frozenset()
    is_hosted: bool = False
    switch_off: str = ""


def field_evidence(name: bytes, value: bytes) -> Evidence:
    """Return a header field as evidence: its name as people write it, its value on one line, a long one cut."""
    text = b" ".join(value[:1_000].split()).decode("utf-8", "replace")[:LONGEST_VALUE]
    return Evidence("header", name.decode("ascii").title().replace("X-Ms-", "X-MS-"), text)


def naming(*names: bytes) -> Callable[[Letter], Iterator[Sign]]:
    """Return what reads header fields that name the mailbox which forwards, and nothing else writes."""

    def read(letter: Letter) -> Iterator[Sign]:
        for name in names:
            for value, boxes in letter.named_in(name):
                for box in boxes:
                    yield Sign(Kind.FORWARD, Strength.SURE, (field_evidence(name, value),), box)

    return read
