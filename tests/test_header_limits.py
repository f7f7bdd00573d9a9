"""What of a header is read: each field that anybody reads, within limits, and what lies beyond is said."""

import pytest

from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.model import FIELDS_READ, Header, HeaderLimits, Mail, Session

LIMITS = HeaderLimits(fields=20, of_one_name=6, octets_of_one_name=60)


def mail_of(*fields: Header, limits: HeaderLimits = LIMITS) -> Mail:
    mail = Mail(Identity(Organization(frozenset({"hanam.gov.vn"}))), Session())
    mail.take_headers(list(fields), limits)
    return mail


def received(*values: bytes) -> list[Header]:
    return [(b"Received", value) for value in values]


@pytest.mark.parametrize(
    ("fields", "values", "exceeded"),
    [
        (received(*[b"a"] * 6), [b"a"] * 6, {}),
        (
            received(*b"1 2 3 4 5 6 7 8 9".split()),
            b"1 2 3 7 8 9".split(),
            {"fields-of-one-name": 6},
        ),
        (received(b"x" * 60), [b"x" * 60], {}),
        (received(b"x" * 61), [b"x" * 60], {"octets-of-fields-of-one-name": 60}),
        (
            received(b"a" * 20, b"b" * 20, b"c" * 20, b"d" * 20),
            [b"a" * 20, b"d" * 20],
            {"octets-of-fields-of-one-name": 60},
        ),
        (received(b"a", b"x" * 60, b"z"), [b"a", b"z"], {"octets-of-fields-of-one-name": 60}),
        ([*[(b"X-%d" % n, b"x" * 50) for n in range(19)], *received(b"a")], [b"a"], {}),
        ([*[(b"X-%d" % n, b"x") for n in range(20)], *received(b"a")], [], {"header-fields": 20}),
    ],
)
def test_the_first_and_the_last_fields_of_a_name_are_read(
    fields: list[Header], values: list[bytes], exceeded: dict[str, int]
) -> None:
    mail = mail_of(*fields)
    assert mail.header_values(b"received") == values
    assert mail.content.exceeded == exceeded
    assert len(mail.content.unread()) == len(exceeded)


def test_of_a_name_that_nobody_reads_no_value_is_kept_and_none_is_too_long() -> None:
    mail = mail_of((b"To", b"a@b.example, " * 1_000), *[(b"X-Spam", b"x" * 100)] * 10)
    assert mail.fields == {b"to": [], b"x-spam": []}
    assert mail.content.exceeded == {}


def test_fields_that_come_in_several_runs_are_counted_together() -> None:
    mail = mail_of(*[(b"X", b"x")] * 15)
    mail.take_headers([(b"X", b"x")] * 6, LIMITS)
    assert mail.content.exceeded == {"header-fields": 20}
    assert mail.header_octets == 21 * 2


def test_who_reads_another_field_is_told_where_to_name_it() -> None:
    with pytest.raises(KeyError, match="FIELDS_READ"):
        mail_of().header_values(b"x-new")
    assert all(name == name.lower() for name in FIELDS_READ)


def test_what_is_read_of_a_header_is_read_once() -> None:
    mail, reads = mail_of(*received(b"a")), []

    def read() -> int:
        reads.append(1)
        return len(reads)

    assert [mail.once("key", read), mail.once("key", read), mail.once("other", read)] == [1, 1, 2]
    mail.take_headers(received(b"b"), LIMITS)
    assert mail.once("key", read) == 3
