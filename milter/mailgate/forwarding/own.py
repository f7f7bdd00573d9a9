"""What our own system does by itself: no header shows it, but what was remembered of the mail."""

from collections.abc import Iterator

from .letter import Letter
from .mechanism import Kind, Mechanism, Sign


def _remembered(letter: Letter) -> Iterator[Sign]:
    return iter(())  # the rule asks the memory, not the header


OWN_COPY = Mechanism(
    name="copy made by this mail system",
    kind=Kind.FORWARD,
    fields=frozenset(),
    read=_remembered,
    writes="nothing, or what Postfix leaves: our own queue id in `Received`, ORCPT, the Message-ID of a mail that "
    "was delivered",
    names="the mailbox that the mail was addressed to when it was taken in",
    how_sure="sure: the queue id and the memory of what was taken in cannot be forged",
    source="postconf(5): alias_maps, virtual_alias_maps, recipient_bcc_maps, forward_path; ledger of this system",
    switch_off="Quản trị hệ thống thư: kiểm tra `mailgate forwards audit`; trong Zimbra: Tùy chọn > Thư > Chuyển "
    "tiếp bản sao "
    "tới; trên máy chủ: tệp .forward, alias, virtual alias, bcc map hoặc script Sieve của hộp thư",
)

MECHANISMS = (OWN_COPY,)
