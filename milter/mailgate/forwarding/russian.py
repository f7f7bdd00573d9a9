"""Yandex and Mail.ru: marks without a mailbox, believed from their own hosts alone."""

from collections.abc import Iterator

from ..text.addresses import mailboxes_in
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_YANDEX, _MAILRU, _RESENT = b"x-yandex-forward", b"x-mailru-forward", b"x-resentfrom"
_YANDEX_HOSTS = ("yandex.net", "yandex.ru", "yandex.com")
_MAILRU_HOSTS = ("mail.ru", "smailru.net")


def _marked(letter: Letter, name: bytes, hosts: tuple[str, ...], forwarder: str = "") -> Iterator[Sign]:
    value = letter.first(name)
    if not value:
        return
    is_own_report = letter.is_report or not letter.sender
    strength = Strength.SURE if letter.is_from_host_of(*hosts) and not is_own_report else Strength.HINT
    domain = hosts[0] if strength is Strength.SURE else ""
    yield Sign(Kind.FORWARD, strength, (field_evidence(name, value),), forwarder, domain)


def _yandex(letter: Letter) -> Iterator[Sign]:
    return _marked(letter, _YANDEX, _YANDEX_HOSTS)


def _mailru(letter: Letter) -> Iterator[Sign]:
    boxes = mailboxes_in(letter.first(_RESENT))
    return _marked(letter, _MAILRU, _MAILRU_HOSTS, boxes[0] if boxes else "")


MECHANISMS = (
    Mechanism(
        name="Yandex forwarding",
        kind=Kind.FORWARD,
        fields=frozenset({_YANDEX}),
        read=_yandex,
        writes="`X-Yandex-Forward: HASH`, at each delivery into a mailbox there",
        names="nobody",
        how_sure="sure from a host of Yandex, but on its own reports; else recorded",
        source="rspamd, rules/forwarding.lua; headers in public test data of bounce parsers",
        on_copies=frozenset({_YANDEX}),
        is_hosted=True,
        switch_off="Trong Yandex Mail: Cài đặt > Quy tắc xử lý thư (Message filtering), xóa quy tắc có Chuyển "
        "tiếp đến",
    ),
    Mechanism(
        name="Mail.ru forwarding",
        kind=Kind.FORWARD,
        fields=frozenset({_MAILRU}),
        read=_mailru,
        writes="`X-MailRu-Forward: 1`, `X-ResentFrom: MAILBOX`",
        names="the mailbox, where X-ResentFrom is there",
        how_sure="sure from a host of Mail.ru; else recorded",
        source="rspamd, rules/forwarding.lua; headers in public test data of bounce parsers",
        on_copies=frozenset({_MAILRU}),
        is_hosted=True,
        switch_off="Trong Mail.ru: Cài đặt > Quy tắc lọc (Filtering rules) > Chuyển tiếp, tắt chuyển tiếp",
    ),
)
ALSO_READ = (_RESENT,)
