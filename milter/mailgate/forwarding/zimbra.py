"""Zimbra, and Carbonio: filters mark all that they send; a preference forwards without a mark."""

from collections.abc import Iterator

from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_FORWARDED = b"x-zimbra-forwarded"


def _filter(letter: Letter) -> Iterator[Sign]:
    """Read the accounts whose filters sent this on; a filter's own reply or notice is from the account."""
    for value, boxes in letter.named_in(_FORWARDED):
        for box in boxes:
            is_own = letter.is_by(box) and (letter.has(b"in-reply-to") or letter.is_answer or letter.is_report)
            kind = Kind.REPLY if is_own else Kind.FORWARD
            yield Sign(kind, Strength.SURE, (field_evidence(_FORWARDED, value),), box)


MECHANISMS = (
    Mechanism(
        name="Zimbra filter",
        kind=Kind.FORWARD,
        fields=frozenset({_FORWARDED}),
        read=_filter,
        writes="`X-Zimbra-Forwarded: ACCOUNT`, on redirects, replies and notices",
        names="the account whose filter it is",
        how_sure="sure where From is another's; from the account itself and in reply to something, an answer",
        since="Zimbra 7",
        source="github.com/Zimbra/zm-mailbox, store/src/java/com/zimbra/cs/filter/FilterUtil.java",
        on_copies=frozenset({_FORWARDED}),
        switch_off="Trong Zimbra: Tùy chọn (Preferences) > Thư > Chuyển tiếp bản sao tới, xóa địa chỉ; và Tùy "
        "chọn > Bộ lọc "
        "(Filters), xóa bộ lọc có Chuyển hướng tới (Redirect to)",
    ),
)
