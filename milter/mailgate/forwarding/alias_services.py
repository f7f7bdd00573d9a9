"""Services whose aliases forward to a mailbox under a new sender: a person writes under the alias, too.

SimpleLogin, addy.io, DuckDuckGo, Apple's Hide My Email, Firefox Relay. Each mail that they send on names the alias;
what their user writes, or answers, through them is a person's.
"""

from collections.abc import Iterator

from ..identity.spelling import domain_of
from ..model import Evidence
from ..text.addresses import mailboxes_in
from .letter import Letter
from .mechanism import LONGEST_VALUE, Kind, Mechanism, Sign, Strength, field_evidence, naming

_SIMPLELOGIN, _SIMPLELOGIN_TO = b"x-simplelogin-type", b"x-simplelogin-envelope-to"
_ADDY_TO, _ADDY_SENDER = b"x-anonaddy-original-to", b"x-anonaddy-original-sender"
_ADDY_FROM, _FEEDBACK = b"x-anonaddy-original-from-header", b"feedback-id"
_DUCK = b"duck-original-to"
_APPLE = b"x-icloud-hme"
_RELAY_DOMAIN = "mozmail.com"


def _simplelogin(letter: Letter) -> Iterator[Sign]:
    value = letter.first(_SIMPLELOGIN)
    if not value:
        return
    kind = Kind.FORWARD if value.lower() == b"forward" else Kind.REPLY
    evidence = field_evidence(_SIMPLELOGIN, value)
    boxes = mailboxes_in(letter.first(_SIMPLELOGIN_TO))
    yield Sign(kind, Strength.SURE, (evidence,), boxes[0] if boxes else "", domain_of(letter.sender))


def _addy(letter: Letter) -> Iterator[Sign]:
    if letter.first(_FEEDBACK)[:2].upper() in (b"R:", b"S:"):  # its user replies, or sends
        return
    for name in (_ADDY_TO, _ADDY_SENDER, _ADDY_FROM):
        value = letter.first(name)
        if value:
            boxes = mailboxes_in(letter.first(_ADDY_TO))
            alias = boxes[0] if boxes else letter.sender
            yield Sign(Kind.FORWARD, Strength.SURE, (field_evidence(name, value),), alias)
            return


def _apple(letter: Letter) -> Iterator[Sign]:
    """Read `p=ALIAS; f=TARGET; r=to; s=AUTHOR`."""
    value = letter.first(_APPLE)
    named: dict[bytes, list[str]] = {}
    for pair in value.split(b";"):
        key, _, text = pair.strip().partition(b"=")
        named.setdefault(key.lower(), mailboxes_in(text))
    aliases, targets = named.get(b"p", []), named.get(b"f", [])
    if aliases:
        yield Sign(Kind.FORWARD, Strength.SURE, (field_evidence(_APPLE, value),), aliases[0], targets=tuple(targets))


def _relay(letter: Letter) -> Iterator[Sign]:
    """Read a From of the service that says `[via Relay]`: there the author's name and address stand as a name."""
    value = letter.first(b"from")
    if _RELAY_DOMAIN in letter.author_domains and b"[via relay]" in value.lower():
        text = value.decode("utf-8", "replace")[:LONGEST_VALUE]
        yield Sign(Kind.FORWARD, Strength.SURE, (Evidence("header", "From", text),), letter.authors[-1])


MECHANISMS = (
    Mechanism(
        name="SimpleLogin alias",
        kind=Kind.FORWARD,
        fields=frozenset({_SIMPLELOGIN, _SIMPLELOGIN_TO}),
        read=_simplelogin,
        writes="`X-SimpleLogin-Type: Forward`, `X-SimpleLogin-Envelope-To: ALIAS`, sender `sl.…@simplelogin.co`",
        names="the alias",
        how_sure="sure; `Reply` is its user's mail",
        source="github.com/simple-login/app, app/email/headers.py and email_handler.py",
        on_copies=frozenset({_SIMPLELOGIN_TO}),
        is_hosted=True,
        switch_off="Trong SimpleLogin: tắt bí danh (alias), hoặc đổi hộp thư nhận ở mục Mailboxes",
    ),
    Mechanism(
        name="addy.io alias",
        kind=Kind.FORWARD,
        fields=frozenset({_ADDY_TO, _ADDY_SENDER, _ADDY_FROM}),
        read=_addy,
        writes="`X-AnonAddy-Original-To: ALIAS`, `X-AnonAddy-Original-Sender`, `Feedback-ID: F:…:anonaddy`",
        names="the alias",
        how_sure="sure; Feedback-ID R: and S: are its user's mail",
        source="github.com/anonaddy/anonaddy, app/Mail/ForwardEmail.php",
        on_copies=frozenset({_ADDY_TO, _ADDY_SENDER, _ADDY_FROM}),
        is_hosted=True,
        switch_off="Trong addy.io: tắt bí danh (alias), hoặc đổi người nhận ở mục Recipients",
    ),
    Mechanism(
        name="DuckDuckGo Email Protection",
        kind=Kind.FORWARD,
        fields=frozenset({_DUCK}),
        read=naming(_DUCK),
        writes="`Duck-Original-To: ALIAS`, `Duck-Original-From`, From `AUTHOR_at_DOMAIN_USER@duck.com`",
        names="the alias",
        how_sure="sure",
        since="2021",
        source="public header samples of 2025",
        on_copies=frozenset({_DUCK}),
        is_hosted=True,
        switch_off="Trong DuckDuckGo Email Protection (duckduckgo.com/email): Account > Forwarding Address, đổi "
        "địa chỉ nhận",
    ),
    Mechanism(
        name="Apple Hide My Email",
        kind=Kind.FORWARD,
        fields=frozenset({_APPLE}),
        read=_apple,
        writes="`X-ICLOUD-HME: p=ALIAS; f=TARGET; s=AUTHOR`",
        names="the alias, and its target",
        how_sure="sure for a target who is a recipient, or an alias of ours",
        since="2021",
        source="public header samples of 2025 and 2026",
        on_copies=frozenset({_APPLE}),
        is_hosted=True,
        switch_off="Trên iPhone: Cài đặt > Apple ID > iCloud > Ẩn địa chỉ email của tôi > Chuyển tiếp đến, chọn "
        "địa chỉ khác",
    ),
    Mechanism(
        name="Firefox Relay",
        kind=Kind.FORWARD,
        fields=frozenset(),
        read=_relay,
        writes='From `"AUTHOR [via Relay]" <MASK@mozmail.com>`',
        names="the mask",
        how_sure="sure; without [via Relay] it is its user's mail",
        since="2020",
        source="github.com/mozilla/fx-private-relay, emails/tests/fixtures",
        by_from=frozenset({b"mozmail.com"}),
        is_hosted=True,
        switch_off="Trong Firefox Relay (relay.firefox.com): tắt mặt nạ (mask) ở mục Email masks",
    ),
)
ALSO_READ = (_FEEDBACK,)
