"""Marks that count hops, and tell a forward no more than an answer: recorded at the most."""

from collections.abc import Iterator

from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_HMAILSERVER = b"x-hmailserver-loopcount"


def _hmailserver(letter: Letter) -> Iterator[Sign]:
    if not letter.is_answer:
        evidence = field_evidence(_HMAILSERVER, letter.first(_HMAILSERVER))
        yield Sign(Kind.FORWARD, Strength.HINT, (evidence,))


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
)
