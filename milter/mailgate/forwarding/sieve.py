"""Sieve (RFC 5228): Dovecot's Pigeonhole, as in mailcow and SOGo; Cyrus redirects without a mark of its own.

`X-Sieve` stands on vacation replies too (RFC 5230), and says nothing.
"""

from collections.abc import Iterator

from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_REDIRECTED = b"x-sieve-redirected-from"


def _redirect(letter: Letter) -> Iterator[Sign]:
    for value, boxes in letter.named_in(_REDIRECTED):
        for box in boxes:
            is_answer = letter.is_by(box) and letter.has(b"in-reply-to") and letter.is_answer
            kind = Kind.REPLY if is_answer else Kind.FORWARD
            yield Sign(kind, Strength.SURE, (field_evidence(_REDIRECTED, value),), box)


MECHANISMS = (
    Mechanism(
        name="Sieve redirect",
        kind=Kind.FORWARD,
        fields=frozenset({_REDIRECTED}),
        read=_redirect,
        writes="`X-Sieve-Redirected-From: MAILBOX`",
        names="the mailbox whose script it is",
        how_sure="sure",
        since="Pigeonhole 0.4.10",
        source="github.com/dovecot/pigeonhole, src/lib-sieve/cmd-redirect.c",
        on_copies=frozenset({_REDIRECTED}),
        switch_off="Trong webmail (Roundcube, SOGo, RainLoop): Cài đặt > Bộ lọc (Filters) hoặc Chuyển tiếp "
        "(Forward), xóa "
        "quy tắc redirect; hoặc sửa tệp .dovecot.sieve",
    ),
)
