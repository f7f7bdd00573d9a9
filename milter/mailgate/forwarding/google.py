"""Google: Gmail and Workspace. X-Forwarded-Encrypted is no mark: Gmail writes it on what people submit."""

from collections.abc import Iterator

from ..model import Evidence
from ..text.addresses import mailboxes_in
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_TO, _FOR = b"x-forwarded-to", b"x-forwarded-for"
_ORIGINAL = b"x-gm-original-to"
_HOSTS = ("google.com",)


def _pair(letter: Letter) -> Iterator[Sign]:
    """Read `X-Forwarded-For: MAILBOX TARGET...` and `X-Forwarded-To: TARGET`, Cloudflare's too.

    X-Forwarded-For of HTTP holds IP addresses. X-Forwarded-To alone names no forwarder; beside the other it says
    nothing more.
    """
    forwarders: dict[str, None] = {}
    evidence: list[tuple[bytes, list[str]]] = []
    for value, boxes in letter.named_in(_FOR):
        if boxes:
            forwarders[boxes[0]] = None
            evidence.append((value, boxes))
    told = [(value, boxes) for value, boxes in letter.named_in(_TO) if boxes]
    for value, boxes in evidence:
        pieces = [field_evidence(_FOR, value)]
        pieces += [field_evidence(_TO, other) for other, targets in told[:1] if targets[0] in boxes[1:]]
        yield Sign(Kind.FORWARD, Strength.SURE, tuple(pieces), boxes[0], targets=tuple(boxes[1:]) or _NOBODY)
    if not forwarders:
        for value, boxes in told:
            yield Sign(Kind.FORWARD, Strength.SURE, (field_evidence(_TO, value),), targets=tuple(boxes))


_NOBODY = ("",)  # a field that names a forwarder and no target speaks of no recipient


def _caf(letter: Letter) -> Iterator[Sign]:
    spoken = letter.spoken
    if spoken.scheme == "caf":
        evidence = Evidence("envelope", "MAIL FROM", letter.mail.envelope.sender)
        yield Sign(Kind.FORWARD, Strength.SURE, (evidence,), spoken.forwarder, spoken.by, (spoken.named,))


def _routing(letter: Letter) -> Iterator[Sign]:
    for value in letter.mail.header_values(_ORIGINAL):
        for box in mailboxes_in(value):
            if not letter.is_recipient(box):
                yield Sign(Kind.FORWARD, Strength.SURE, (field_evidence(_ORIGINAL, value),), box)


def _nothing(letter: Letter) -> Iterator[Sign]:
    return iter(())


_GMAIL = (
    "Trong Gmail: Cài đặt > Xem tất cả chế độ cài đặt > Chuyển tiếp và POP/IMAP, chọn Vô hiệu hóa tính năng chuyển "
    "tiếp; và ở thẻ Bộ lọc, xóa bộ lọc có Chuyển tiếp đến"
)

ROUTING = Mechanism(
    name="Workspace routing",
    kind=Kind.FORWARD,
    fields=frozenset({_ORIGINAL}),
    read=_routing,
    writes="`X-Gm-Original-To: MAILBOX`",
    names="the mailbox that the mail was addressed to",
    how_sure="sure where it is not the recipient's",
    source="Google Workspace Admin Help, 2685650",
    on_copies=frozenset({_ORIGINAL}),
    hosts=_HOSTS,
    switch_off="Quản trị viên Google Workspace: Ứng dụng > Gmail > Định tuyến (Routing), xóa quy tắc đổi người nhận",
)

MECHANISMS = (
    Mechanism(
        name="Gmail forwarding",
        kind=Kind.FORWARD,
        fields=frozenset({_TO, _FOR}),
        read=_pair,
        writes="`X-Forwarded-For: MAILBOX TARGET`, `X-Forwarded-To: TARGET`; Cloudflare Email Routing the same",
        names="the mailbox, and its targets",
        how_sure="sure for a target who is a recipient, or an alias of ours; else an earlier hop's",
        source="Google Workspace Admin Help, 14800 and 10957; public header samples",
        on_copies=frozenset({_TO}),
        is_hosted=True,
        hosts=_HOSTS,
        switch_off=_GMAIL,
    ),
    Mechanism(
        name="Gmail forwarding, by its sender",
        kind=Kind.FORWARD,
        fields=frozenset(),
        read=_caf,
        writes="the envelope sender `USER+caf_=LOCAL=DOMAIN@FORWARDER`",
        names="the mailbox, and its target",
        how_sure="sure",
        source="public header samples; rspamd's ENVFROM_VERP leaves it out",
        by_sender=True,
        is_hosted=True,
        hosts=_HOSTS,
        switch_off=_GMAIL,
    ),
    ROUTING,
    Mechanism(
        name="X-Forwarded-Encrypted",
        kind=Kind.NOTHING,
        fields=frozenset(),
        read=_nothing,
        writes="`X-Forwarded-Encrypted: i=N; HASH@DOMAIN` on what people and programs send through Gmail",
        names="nobody",
        how_sure="nothing",
        source="lore.kernel.org, ordinary mails of people at Gmail",
    ),
)
