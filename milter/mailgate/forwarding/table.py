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

_BY_FIELD: dict[bytes, tuple[int, ...]] = {}
for _number, _mechanism in enumerate(MECHANISMS):
    for _field in _mechanism.fields:
        _BY_FIELD[_field] = (*_BY_FIELD.get(_field, ()), _number)
_BY_SENDER = {number for number, mechanism in enumerate(MECHANISMS) if mechanism.by_sender}
_BY_RECEIVED = {number for number, mechanism in enumerate(MECHANISMS) if mechanism.by_received}
_BY_FROM = {number for number, mechanism in enumerate(MECHANISMS) if mechanism.by_from}
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
    return _has_telling_author(mail)


def signs(letter: Letter) -> Iterator[tuple[Mechanism, Sign]]:
    """Yield what the mechanisms show on a mail, in the order of the table."""
    fields = letter.mail.fields
    chosen = {number for field in fields if field in _BY_FIELD for number in _BY_FIELD[field]}
    if letter.spoken.scheme:
        chosen |= _BY_SENDER
    if b"received" in fields:
        chosen |= _BY_RECEIVED
    if _has_telling_author(letter.mail):
        chosen |= _BY_FROM
    for number in sorted(chosen):
        mechanism = MECHANISMS[number]
        for sign in mechanism.read(letter):
            yield mechanism, sign


def _has_telling_author(mail: Mail) -> bool:
    author = mail.first_header(b"from")
    return any(domain in author for domain in _FROM_DOMAINS)


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
