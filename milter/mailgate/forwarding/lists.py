"""Mailing lists: Mailman, Sympa, Majordomo, SmartList, ezmlm, mlmmj, Listserv, Google Groups, groups.io.

What a list sends bears marks that forwards bear too (X-Loop, Delivered-To, a `for` of the list's address): of a
list's domain they say nothing.
"""

import re
from collections.abc import Iterator

from ..text.addresses import mailboxes_in
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_NAMED = (b"list-id", b"list-post", b"mailing-list", b"x-beenthere", b"x-mailing-list")
_UNNAMED = (b"precedence",)

# The bounce addresses of a list beside itself: Mailman, Majordomo and Sympa, ezmlm, mlmmj, Google Groups; owner-x is
# aliases(5)'s.
_OF_A_LIST = re.compile(
    r"owner-(?P<before>[^@]+)|(?P<after>[^@]+?)[-+](?:bounces?|owner|request|admin|return|errors)(?:[-+].*)?"
    r"|(?P<group>[^@]+?)\+bnc[a-z0-9]{5,}",
    re.IGNORECASE,
)
_LABELS = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")


def list_of(mailbox: str) -> str:
    """Return the address of the list whose bounce address this is, "" where it is none's.

    >>> list_of("owner-nhom@a.example"), list_of("nhom-bounces+lan=b.example@a.example"), list_of("lan@a.example")
    ('nhom@a.example', 'nhom@a.example', '')
    """
    local, _, domain = mailbox.rpartition("@")
    match = _OF_A_LIST.fullmatch(local)
    return f"{match['before'] or match['after'] or match['group']}@{domain}" if match else ""


def is_bounce_address(mailbox: str) -> bool:
    """Tell whether bounces to this address go to a list or a mass mailing, and to no person."""
    return bool(list_of(mailbox))


def sending_list(letter: Letter) -> str:
    """Return the address of the list whose own copy a mail is, by its envelope sender; "" where that is no list's.

    A sender that tells members apart (VERP) names this recipient; of another's copy, which was sent on, it names him.
    """
    spoken = letter.spoken
    if spoken.scheme == "verp":
        return list_of(spoken.forwarder) or spoken.forwarder if letter.is_recipient(spoken.named) else ""
    return list_of(spoken.named if spoken.scheme == "srs" else letter.sender)


def list_addresses(letter: Letter) -> frozenset[str]:
    """Return the addresses of the lists that a mail passed, as its sender and its header name them."""
    found = {sending_list(letter)}
    for name in _NAMED[1:]:
        for value in letter.mail.header_values(name):
            found.update(mailboxes_in(value.replace(b"mailto:", b" ")))
    for value in letter.mail.header_values(b"list-id"):
        for name in _LABELS.findall(value.lower())[-1:]:
            local, _, domain = name.decode("ascii").partition(".")
            if "." in domain:
                found.add(f"{local}@{domain}")
    return frozenset(found - {""})


def is_of(addresses: frozenset[str], box: str) -> bool:
    """Tell whether a mailbox is a list's address: as it stands, in a domain above the list's, or one of its own
    makes.

    `duan@hiephoi.example` of `duan@lists.hiephoi.example`, `nhom-outgoing@…` of `nhom@…`.
    """
    local, _, domain = box.rpartition("@")
    for address in addresses:
        name, _, home = address.rpartition("@")
        is_named = local == name or local.startswith(f"{name}-")
        if is_named and (domain == home or ("." in domain and home.endswith(f".{domain}"))):
            return True
    return False


def _lists(letter: Letter) -> Iterator[Sign]:
    for name in _NAMED:
        for value in letter.mail.header_values(name):
            boxes = mailboxes_in(value)
            yield Sign(Kind.LIST, Strength.SURE, (field_evidence(name, value),), boxes[0] if boxes else "")
    value = letter.first(b"precedence").lower()
    if value.startswith((b"list", b"bulk")):
        evidence = (field_evidence(b"precedence", value),)
        senders = [letter.sender, letter.spoken.named, *mailboxes_in(letter.first(b"sender"))]
        found = [known for known in map(list_of, filter(None, senders)) if known]
        if found or value.startswith(b"list"):
            yield Sign(Kind.LIST, Strength.SURE, evidence, found[0] if found else "")


LIST = Mechanism(
    name="mailing list",
    kind=Kind.LIST,
    fields=frozenset((*_NAMED, *_UNNAMED)),
    read=_lists,
    writes="`List-Id`, `List-Post`, `Mailing-List`, `X-BeenThere`; `Precedence: list`, `owner-` or `-bounces` as "
    "sender",
    names="the list",
    how_sure="no forward: marks that name the list's address say nothing, nor do those of a hop before the list",
    source="RFC 2919, RFC 2369; Mailman, Sympa, ezmlm, mlmmj, Majordomo as public archives have them",
)

MECHANISMS = (LIST,)
