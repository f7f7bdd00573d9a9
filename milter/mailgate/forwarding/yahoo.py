"""Yahoo Mail."""

from collections.abc import Iterator

from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_FIELDS = (b"x-yahoo-forwarded", b"x-yahoo-forwardonly")


def _forwarded(letter: Letter) -> Iterator[Sign]:
    """Read `from MAILBOX to TARGET`."""
    for name in _FIELDS:
        for value, boxes in letter.named_in(name):
            if boxes:
                evidence = (field_evidence(name, value),)
                yield Sign(Kind.FORWARD, Strength.SURE, evidence, boxes[0], targets=tuple(boxes[1:]))


MECHANISMS = (
    Mechanism(
        name="Yahoo forwarding",
        kind=Kind.FORWARD,
        fields=frozenset(_FIELDS),
        read=_forwarded,
        writes="`X-Yahoo-Forwarded: from MAILBOX to TARGET`, `X-Yahoo-ForwardOnly`",
        names="the mailbox, and its target",
        how_sure="sure for a target who is a recipient, or an alias of ours",
        source="public archives of linux-kernel, 2001 and later",
        on_copies=frozenset(_FIELDS),
        is_hosted=True,
        switch_off="Trong Yahoo Mail: Cài đặt > Thêm cài đặt > Hộp thư, chọn địa chỉ và xóa ở mục Chuyển tiếp "
        "(Forwarding)",
    ),
)
