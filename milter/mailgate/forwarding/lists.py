"""Mailing lists: Mailman, Sympa, Majordomo, SmartList, ezmlm, mlmmj, Listserv, Google Groups, groups.io.

What a list sends bears marks that forwards bear too (X-Loop, Delivered-To, a `for` of the list's address): of a
list's domain they say nothing.
"""

import re
from collections.abc import Iterator

from ..identity.spelling import domain_of
from ..text.addresses import mailboxes_in
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_NAMED = (b"list-id", b"list-post", b"mailing-list", b"x-beenthere", b"x-mailing-list")
_UNNAMED = (b"precedence",)

# The bounce addresses of a list beside itself: Mailman, Majordomo and Sympa, ezmlm, mlmmj; owner-x is aliases(5)'s.
_OF_A_LIST = re.compile(
    r"owner-(?P<before>[^@]+)|(?P<after>[^@]+?)[-+](?:bounces?|owner|request|admin|return|errors)(?:[-+].*)?",
    re.IGNORECASE,
)
_LABELS = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")
_HOSTS = {"googlegroups.com": "google.com"}  # whose lists other hosts send


def list_of(mailbox: str) -> str:
    """Return the address of the list whose bounce address this is, "" where it is none's.

    >>> list_of("owner-nhom@a.example"), list_of("nhom-bounces+lan=b.example@a.example"), list_of("lan@a.example")
    ('nhom@a.example', 'nhom@a.example', '')
    """
    local, _, domain = mailbox.rpartition("@")
    match = _OF_A_LIST.fullmatch(local)
    return f"{match['before'] or match['after']}@{domain}" if match else ""


def is_bounce_address(mailbox: str) -> bool:
    """Tell whether bounces to this address go to a list or a mass mailing, and to no person."""
    return bool(list_of(mailbox))


def _lists(letter: Letter) -> Iterator[Sign]:
    for name in _NAMED:
        for value in letter.mail.header_values(name):
            evidence = (field_evidence(name, value),)
            boxes = mailboxes_in(value)
            domains = [domain_of(box) for box in boxes] or [
                domain.decode("ascii").partition(".")[2] for domain in _LABELS.findall(value.lower())[-1:]
            ]
            for domain in dict.fromkeys(domains):
                yield Sign(Kind.LIST, Strength.SURE, evidence, boxes[0] if boxes else "", domain)
            if not domains:
                yield Sign(Kind.LIST, Strength.SURE, evidence)
    value = letter.first(b"precedence").lower()
    if value.startswith((b"list", b"bulk")):
        evidence = (field_evidence(b"precedence", value),)
        senders = [letter.sender, letter.spoken.named, *mailboxes_in(letter.first(b"sender"))]
        found = [known for known in map(list_of, filter(None, senders)) if known]
        for known in found:
            yield Sign(Kind.LIST, Strength.SURE, evidence, known, domain_of(known))
        if not found and value.startswith(b"list"):
            yield Sign(Kind.LIST, Strength.SURE, evidence)


def is_sent_by(letter: Letter, domain: str) -> bool:
    """Tell whether a list's own host hands a mail over: what marks it bears beside are of a hop before the list."""
    return bool(domain) and letter.is_from_host_of(domain, _HOSTS.get(domain, domain))


LIST = Mechanism(
    name="mailing list",
    kind=Kind.LIST,
    fields=frozenset((*_NAMED, *_UNNAMED)),
    read=_lists,
    writes="`List-Id`, `List-Post`, `Mailing-List`, `X-BeenThere`; `Precedence: list`, `owner-` or `-bounces` as "
    "sender",
    names="the list",
    how_sure="no forward: likely marks of the list's domain say nothing",
    source="RFC 2919, RFC 2369; Mailman, Sympa, ezmlm, mlmmj, Majordomo as public archives have them",
)

MECHANISMS = (LIST,)
