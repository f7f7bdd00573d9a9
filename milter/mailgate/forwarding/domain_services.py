"""Services that forward the mail of a whole domain: Cloudflare Email Routing, forwardemail.net, ImprovMX.

Cloudflare writes what Gmail does; the others a name of their own, which forwardemail.net puts on what people send,
too.
"""

from collections.abc import Iterator

from ..text.addresses import mailboxes_in
from ..text.received import received_for, stamp_of
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_CLOUDFLARE_HOST = "cloudflare-email.net"
_FORWARDEMAIL = (
    *(b"x-forward-email-id", b"x-forward-email-version", b"x-forward-email-sender"),
    *(b"x-forwardemail-id", b"x-forwardemail-version", b"x-forwardemail-sender"),
)
_SERVICE = b"x-forwarding-service"


def _former(letter: Letter) -> str:
    """Return the mailbox that a mail was taken in for before: X-Original-To's, Delivered-To's or Received's.

    "" where it was written to its recipient as well.
    """
    if letter.is_addressed:
        return ""
    for name in (b"x-original-to", b"delivered-to"):
        for box in mailboxes_in(letter.first(name)):
            if not letter.is_recipient(box):
                return box
    return letter.delivered_for


def _cloudflare(letter: Letter) -> Iterator[Sign]:
    """Read the line that Cloudflare writes as it takes a mail in; what a customer sends through it has none."""
    for value in letter.mail.header_values(b"received")[:2]:
        stamp = stamp_of(value)
        if stamp.by.lower() == _CLOUDFLARE_HOST.encode():
            alias = received_for(value)
            if alias and not letter.is_recipient(alias):
                is_sure = letter.is_from_host_of(_CLOUDFLARE_HOST)
                evidence = field_evidence(b"received", b"by cloudflare-email.net for <" + alias.encode() + b">")
                yield Sign(Kind.FORWARD, Strength.SURE if is_sure else Strength.LIKELY, (evidence,), alias)


def _forwardemail(letter: Letter) -> Iterator[Sign]:
    name = next(name for name in _FORWARDEMAIL if letter.has(name))
    evidence = (field_evidence(name, letter.first(name)),)
    former = _former(letter)
    if letter.spoken.scheme == "srs" or former:
        yield Sign(Kind.FORWARD, Strength.SURE, evidence, former, letter.spoken.by if not former else "")


def _improvmx(letter: Letter) -> Iterator[Sign]:
    value = letter.first(_SERVICE)
    if b"improvmx" in value.lower():
        former = _former(letter)
        strength = Strength.SURE if former or letter.spoken.scheme == "srs" else Strength.LIKELY
        yield Sign(Kind.FORWARD, strength, (field_evidence(_SERVICE, value),), former, "improvmx.com")


MECHANISMS = (
    Mechanism(
        name="Cloudflare Email Routing",
        kind=Kind.FORWARD,
        fields=frozenset(),
        read=_cloudflare,
        writes="`Received: … by cloudflare-email.net … for "
        "ALIAS`, `X-Forwarded-For: ALIAS TARGET`, SRS of the domain",
        names="the alias",
        how_sure="sure from a host of Cloudflare",
        since="2021",
        source="developers.cloudflare.com/email-routing; public header samples",
        by_received=True,
        is_hosted=True,
        switch_off="Trong Cloudflare: chọn tên miền > Email > Email Routing > Routing rules, xóa hoặc tắt địa chỉ",
    ),
    Mechanism(
        name="forwardemail.net",
        kind=Kind.FORWARD,
        fields=frozenset(_FORWARDEMAIL),
        read=_forwardemail,
        writes="`X-Forward-Email-ID`, `X-Forward-Email-Version`, `X-Forward-Email-Sender`, `X-Original-To: "
        "ALIAS`, SRS",
        names="the alias",
        how_sure="sure with SRS, or a trace of the alias; else it is what a person sends through it",
        source="github.com/forwardemail/free-email-forwarding; lore.kernel.org, mails of its users",
        is_hosted=True,
        switch_off="Trong forwardemail.net: My Account > Domains > Aliases, xóa hoặc tắt bí danh",
    ),
    Mechanism(
        name="ImprovMX",
        kind=Kind.FORWARD,
        fields=frozenset({_SERVICE}),
        read=_improvmx,
        writes="`X-Forwarding-Service: ImprovMX`, `Delivered-To: ALIAS`, SRS",
        names="the alias",
        how_sure="sure with SRS, or a trace of the alias",
        source="improvmx.com/guides; public header samples",
        is_hosted=True,
        switch_off="Trong ImprovMX: Dashboard > chọn tên miền > Aliases, xóa bí danh",
    ),
)
