"""Proton Mail."""

from .mechanism import Kind, Mechanism, naming

_FROM = b"x-pm-forwarded-from"

MECHANISMS = (
    Mechanism(
        name="Proton forwarding",
        kind=Kind.FORWARD,
        fields=frozenset({_FROM}),
        read=naming(_FROM),
        writes="`X-Pm-Forwarded-From: MAILBOX`",
        names="the mailbox that forwards",
        how_sure="sure",
        since="2023",
        source="proton.me/support/email-forwarding; public header samples",
        on_copies=frozenset({_FROM}),
        is_hosted=True,
        switch_off="Trong Proton Mail: Cài đặt > Tất cả cài đặt > Chuyển tiếp và tự động trả lời (Forward and "
        "auto-reply), xóa "
        "quy tắc",
    ),
)
