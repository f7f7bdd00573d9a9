"""cPanel, with Exim: says of each mail how it was handed over."""

import re
from collections.abc import Iterator

from ..text.addresses import mailboxes_in
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_VIA, _REWRITE = b"x-get-message-sender-via", b"from-rewrite"
_FORWARDER = re.compile(rb"redirect/forwarder owner (.*)->(.*)", re.IGNORECASE | re.DOTALL)


def _via(letter: Letter) -> Iterator[Sign]:
    """Read `HOST: redirect/forwarder owner MAILBOX -> TARGET`; a person's mail has `authenticated_id: MAILBOX`."""
    for value in letter.mail.header_values(_VIA):
        match = _FORWARDER.search(value[:2_000])
        owners = mailboxes_in(match[1]) if match else []
        if match and owners:
            evidence = (field_evidence(_VIA, value),)
            yield Sign(Kind.FORWARD, Strength.SURE, evidence, owners[0], targets=tuple(mailboxes_in(match[2])))


def _rewritten(letter: Letter) -> Iterator[Sign]:
    value = letter.first(_REWRITE)
    if letter.spoken.scheme == "srs" and b"forwarded message" in value.lower():
        yield Sign(Kind.FORWARD, Strength.SURE, (field_evidence(_REWRITE, value),), domain=letter.spoken.by)


_SWITCH_OFF = (
    "Trong cPanel: Email > Forwarders, xóa chuyển tiếp (Delete); hoặc Email Filters, xóa bộ lọc có Redirect to Email"
)

MECHANISMS = (
    Mechanism(
        name="cPanel forwarder",
        kind=Kind.FORWARD,
        fields=frozenset({_VIA}),
        read=_via,
        writes="`X-Get-Message-Sender-Via: HOST: redirect/forwarder owner MAILBOX -> TARGET`",
        names="the mailbox, and its target",
        how_sure="sure for a target who is a recipient, or an alias of ours; authenticated_id is a person's",
        source="docs.cpanel.net, Track Delivery; public header samples",
        switch_off=_SWITCH_OFF,
    ),
    Mechanism(
        name="cPanel forwarder with SRS",
        kind=Kind.FORWARD,
        fields=frozenset({_REWRITE}),
        read=_rewritten,
        writes="`From-Rewrite: … forwarded message …`, and SRS",
        names="the domain in the envelope sender",
        how_sure="sure with SRS",
        source="rspamd, rules/forwarding.lua (FWD_CPANEL)",
        on_copies=frozenset({_REWRITE}),
        switch_off=_SWITCH_OFF,
    ),
)
