"""hMailServer: a count of hops, which tells a forward no more than an answer, and a rule's copy."""

from collections.abc import Iterator

from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_HMAILSERVER, _COPY_RULE = b"x-hmailserver-loopcount", b"x-copyrule"


def _hmailserver(letter: Letter) -> Iterator[Sign]:
    if not letter.is_answer:
        evidence = field_evidence(_HMAILSERVER, letter.first(_HMAILSERVER))
        yield Sign(Kind.FORWARD, Strength.HINT, (evidence,))


def _copy_rule(letter: Letter) -> Iterator[Sign]:
    if letter.unaddressed:
        evidence = field_evidence(_COPY_RULE, letter.first(_COPY_RULE))
        yield Sign(Kind.FORWARD, Strength.SURE, (evidence,), targets=letter.unaddressed)


MECHANISMS = (
    Mechanism(
        name="hMailServer loop count",
        kind=Kind.FORWARD,
        fields=frozenset({_HMAILSERVER}),
        read=_hmailserver,
        writes="`X-hMailServer-LoopCount: COUNT`, on forwards, copies and automatic replies",
        names="nobody",
        how_sure="recorded; on an automatic reply nothing",
        source="github.com/hmailserver/hmailserver, SMTPForwarding.cpp",
        switch_off="Trong hMailServer Administrator: Accounts > hộp thư > Forwarding, bỏ chọn Enabled",
    ),
    Mechanism(
        name="hMailServer copy rule",
        kind=Kind.FORWARD,
        fields=frozenset({_COPY_RULE}),
        read=_copy_rule,
        writes="`X-CopyRule: RULE`",
        names="nobody",
        how_sure="sure where the recipient stands in neither To nor Cc",
        source="github.com/hmailserver/hmailserver, SMTP/RuleApplier.cpp",
        on_copies=frozenset({_COPY_RULE}),
        switch_off="Trong hMailServer Administrator: Rules, xóa quy tắc có Create copy hoặc Forward email",
    ),
)
