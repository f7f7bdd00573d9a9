"""The table of mechanisms: all families, what they read of a mail, and the page that shows them.

`mailgate forwards mechanisms` prints the page that README.md has.
"""

from collections.abc import Iterator

from ..model import Mail, also_read
from . import (
    alias_services,
    clients,
    cpanel,
    deliveries,
    domain_services,
    exchange,
    google,
    hmailserver,
    lists,
    loops,
    own,
    proton,
    retrievers,
    russian,
    sieve,
    srs,
    yahoo,
    zimbra,
)
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign

MECHANISMS: tuple[Mechanism, ...] = (
    *google.MECHANISMS,
    *exchange.MECHANISMS,
    *zimbra.MECHANISMS,
    *sieve.MECHANISMS,
    *yahoo.MECHANISMS,
    *russian.MECHANISMS,
    *proton.MECHANISMS,
    *alias_services.MECHANISMS,
    *domain_services.MECHANISMS,
    *cpanel.MECHANISMS,
    *retrievers.MECHANISMS,
    *loops.MECHANISMS,
    *clients.MECHANISMS,
    *srs.MECHANISMS,
    *deliveries.MECHANISMS,
    *hmailserver.MECHANISMS,
    *lists.MECHANISMS,
    *own.MECHANISMS,
)

BY_NAME = {mechanism.name: mechanism for mechanism in MECHANISMS}

_SAYS_FORWARD = [one for one in MECHANISMS if one.kind in (Kind.FORWARD, Kind.REDIRECT)]
FIELDS = frozenset(field for mechanism in _SAYS_FORWARD for field in mechanism.fields)
"""The header fields one of which nearly every mail that a mechanism speaks of bears."""

COPY_FIELDS = frozenset(field for mechanism in MECHANISMS for field in mechanism.on_copies)
"""The header fields that no new mail bears."""

_FROM_DOMAINS = tuple(domain for mechanism in MECHANISMS for domain in mechanism.by_from)

also_read(
    *FIELDS,
    *(field for mechanism in MECHANISMS for field in mechanism.fields),
    *(
        b"to",
        b"cc",
        b"resent-to",
        b"resent-cc",
        *alias_services.ALSO_READ,
        *russian.ALSO_READ,
        *exchange.ALSO_READ,
        *loops.ALSO_READ,
    ),
)


def may_speak(mail: Mail) -> bool:
    """Tell quickly whether any mechanism can find a sign on a mail that comes from outside; on nearly none it can."""
    if "=" in mail.envelope.sender or not FIELDS.isdisjoint(mail.fields):
        return True
    author = mail.first_header(b"from")
    return any(domain in author for domain in _FROM_DOMAINS)


def signs(letter: Letter) -> Iterator[tuple[Mechanism, Sign]]:
    """Yield what the mechanisms show on a mail, in the order of the table."""
    fields = letter.mail.fields
    has_received = b"received" in fields
    is_spoken = bool(letter.spoken.scheme)
    for mechanism in MECHANISMS:
        if (
            not mechanism.fields.isdisjoint(fields)
            or (mechanism.by_sender and is_spoken)
            or (mechanism.by_received and has_received)
            or mechanism.by_from
        ):
            for sign in mechanism.read(letter):
                yield mechanism, sign


def page() -> str:
    """Return the table as README.md has it."""
    lines = [
        "| mechanism | what it writes | whose mailbox that names | what it is | source |",
        "|---|---|---|---|---|",
    ]
    for mechanism in MECHANISMS:
        what = f"{mechanism.kind}: {mechanism.how_sure}"
        source = f"{mechanism.source}; since {mechanism.since}" if mechanism.since else mechanism.source
        lines.append(f"| {mechanism.name} | {mechanism.writes} | {mechanism.names} | {what} | {source} |")
    return "\n".join(lines) + "\n"
