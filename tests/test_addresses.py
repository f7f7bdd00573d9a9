"""Addresses: which are the same mailbox, whose a domain is, and what an address says of another."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.config import OrganizationSection, Settings
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.identity.rewriting import Rewriting, is_clear
from mailgate.identity.spelling import canonical_domain, domain_of, mailbox_of
from mailgate.model import Envelope
from mailgate.text.addresses import Spoken, is_bounce_home, mailboxes_in, spoken_of

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())

OURS = Settings(organization=OrganizationSection(internal_networks=["10.0.0.0/8", "2001:db8::/32"]))
ORGANIZATION = OURS.resolved_organization()


@pytest.mark.parametrize("vector", VECTORS["gov_domain"], ids=lambda vector: vector["domain"])
def test_state_domains(vector: dict[str, Any]) -> None:
    mailbox = mailbox_of(f"<vp@{vector['domain']}>".encode())
    assert ORGANIZATION.is_state(mailbox) is vector["gov"]


@pytest.mark.parametrize(
    ("mailbox", "official", "state"),
    [
        ("a@hanam.gov.vn", True, True),
        ("a@stttt.hanam.gov.vn", False, True),
        ("a@xhanam.gov.vn", False, True),
        ("a@gov.vn", False, True),
        ("a@hanam-gov.vn", False, False),
        ("a@hanam.gov.vn.", False, False),  # no canonical domain
        ("", False, False),
        ("a", False, False),
        ("a@", False, False),
        ("a@[203.0.113.7]", False, False),
        ("a@hanam.gov.vn@evil.example", False, False),
    ],
)
def test_official_and_state_mailboxes(mailbox: str, official: bool, state: bool) -> None:
    assert (ORGANIZATION.is_official(mailbox), ORGANIZATION.is_state(mailbox)) == (official, state)
    assert ORGANIZATION.is_official_domain(domain_of(mailbox)) is official


def test_an_official_domain_is_a_state_bodys_wherever_it_lies() -> None:
    elsewhere = Organization(frozenset({"hanam.example"}))
    assert elsewhere.is_state("a@hanam.example")
    assert not elsewhere.is_state("a@b.hanam.example")


@pytest.mark.parametrize(
    ("address", "internal"),
    [
        ("", True),  # a Unix socket
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("127.0.0.1", False),
        ("no address", False),
    ],
)
def test_internal_clients(address: str, internal: bool) -> None:
    assert ORGANIZATION.is_internal(address) is internal


@pytest.mark.parametrize(
    ("path", "want"),
    [
        (b"", ""),
        (b"<>", ""),
        (b"<a@b.vn>", "a@b.vn"),
        (b"a@b.vn", "a@b.vn"),
        (b" < a@b.vn > ", "a@b.vn"),
        (b"<A.B@HaNam.GOV.vn.>", "a.b@hanam.gov.vn"),
        (b"<@relay.example,@b.example:a@b.vn>", "a@b.vn"),
        (b'<"a.b"@b.vn>', "a.b@b.vn"),
        (b'<"a\\.b"@b.vn>', "a.b@b.vn"),
        (b'<"a b"@b.vn>', '"a b"@b.vn'),
        (b'<"a@b"@b.vn>', '"a@b"@b.vn'),
        (b'<""@b.vn>', '""@b.vn'),
        (b'<"@b.vn>', '"@b.vn>"'),
        (b"<postmaster>", "postmaster"),
        ("<a@hànam.vn>".encode(), "a@xn--hnam-0na.vn"),
        ("<a@hanam.gоv.vn>".encode(), "a@hanam.xn--gv-fmc.vn"),  # a Cyrillic о
        ("<bíthư@b.vn>".encode(), "bíthư@b.vn"),
        ("<BÍTHƯ@b.vn>".encode(), "bíthư@b.vn"),
        (b"<a\xff@b.vn>", "a\udcff@b.vn"),
        (b"<a@\xff.vn>", "a@\udcff.vn"),
        (b"<a@[203.0.113.7]>", "a@[203.0.113.7]"),
        (b"<a@IPv6.example>", "a@ipv6.example"),
    ],
)
def test_mailbox_of(path: bytes, want: str) -> None:
    mailbox = mailbox_of(path)
    assert mailbox == want
    assert mailbox_of(mailbox.encode("utf-8", "surrogateescape")) == want, "canonical once and for all"


@given(
    st.binary(max_size=30)
    | st.lists(st.sampled_from([b"<", b">", b"@", b'"', b"\\", b".", b"a", b":"])).map(b"".join)
)
def test_mailbox_of_never_raises_and_keeps_the_domain_apart(path: bytes) -> None:
    mailbox = mailbox_of(path)
    domain = domain_of(mailbox)
    assert "@" not in domain
    assert spoken_of(mailbox).by == (domain if "@" in mailbox else mailbox)


@pytest.mark.parametrize(
    ("domain", "want"),
    [
        ("HaNam.Gov.VN", "hanam.gov.vn"),
        ("hanam.gov.vn.", "hanam.gov.vn"),
        ("hanam。gov。vn", "hanam.gov.vn"),  # the ideographic full stop (UTS 46)
        ("ｈanam.gov.vn", "hanam.gov.vn"),
        ("xn--hnam-0na.vn", "xn--hnam-0na.vn"),
        ("", ""),
        (".", ""),
    ],
)
def test_canonical_domain(domain: str, want: str) -> None:
    assert canonical_domain(domain) == want


@pytest.mark.parametrize(
    ("mailbox", "separators", "want"),
    [
        ("a.b@hanam.gov.vn", "+", "a.b@hanam.gov.vn"),
        ("a.b+tag@hanam.gov.vn", "+", "a.b@hanam.gov.vn"),
        ("a.b+tag+more@hanam.gov.vn", "+", "a.b@hanam.gov.vn"),
        ("+tag@hanam.gov.vn", "+", "+tag@hanam.gov.vn"),
        ("a.b+@hanam.gov.vn", "+", "a.b@hanam.gov.vn"),
        ("a-tag@hanam.gov.vn", "+", "a-tag@hanam.gov.vn"),
        ("a-tag+more@hanam.gov.vn", "+-", "a@hanam.gov.vn"),
        ("a+tag@hanam.gov.vn", "", "a+tag@hanam.gov.vn"),
        ('"a+b c"@hanam.gov.vn', "+", "a@hanam.gov.vn"),
        ('"a+\\"x"@hanam.gov.vn', "+", "a@hanam.gov.vn"),
        ('"a b+c"@hanam.gov.vn', "+", '"a b"@hanam.gov.vn'),
        ('"a b"@hanam.gov.vn', "+", '"a b"@hanam.gov.vn'),
        ('"+a b"@hanam.gov.vn', "+", '"+a b"@hanam.gov.vn'),
        ("a+tag@gmail.com", "+", "a+tag@gmail.com"),
        ("a+tag@stttt.hanam.gov.vn", "+", "a+tag@stttt.hanam.gov.vn"),
        ("", "+", ""),
        ("a", "+", "a"),
    ],
)
def test_sub_addresses(mailbox: str, separators: str, want: str) -> None:
    identity = Identity(Organization(frozenset({"hanam.gov.vn"})), separators=separators)
    assert identity.account(mailbox) == want


OFFICER = "ptp.bl@hanam.gov.vn"


@pytest.mark.parametrize(
    ("mailbox", "want"),
    [
        ("lan@gmail.com", Spoken("", "", "gmail.com")),
        ("", Spoken("", "", "")),
        ("postmaster", Spoken("", "", "postmaster")),
        ("lan+a=b@example.com", Spoken("", "", "example.com")),
        (
            "tin-bounces+ptp.bl=hanam.gov.vn@lists.example",
            Spoken("verp", OFFICER, "lists.example", "tin-bounces@lists.example"),
        ),
        (
            "tin-return-17-ptp.bl=hanam.gov.vn@lists.example",
            Spoken("verp", OFFICER, "lists.example", "tin-return-17@lists.example"),
        ),
        ("lan+caf_=ptp.bl=hanam.gov.vn@gmail.com", Spoken("caf", OFFICER, "gmail.com", "lan@gmail.com")),
        ("lan+caf_=a=b=hanam.gov.vn@gmail.com", Spoken("caf", "a=b@hanam.gov.vn", "gmail.com", "lan@gmail.com")),
        (
            "lan+x+caf_=ptp.bl=hanam.gov.vn@workspace.example",
            Spoken("caf", OFFICER, "workspace.example", "lan+x@workspace.example"),
        ),
        ("caf_=ptp.bl=hanam.gov.vn@gmail.com", Spoken("", "", "gmail.com")),
        ("srs0=ab12=xy=hanam.gov.vn=ptp.bl@f.example", Spoken("srs", OFFICER, "f.example")),
        ("srs0+ab12=xy=hanam.gov.vn=ptp.bl@f.example", Spoken("srs", OFFICER, "f.example")),
        ("srs0-ab12=xy=hanam.gov.vn=ptp.bl@f.example", Spoken("srs", OFFICER, "f.example")),
        ("srs0=ab12=xy=hanam.gov.vn=a=b@f.example", Spoken("srs", "a=b@hanam.gov.vn", "f.example")),
        ("srs0=ab12=xy=hanam.gov.vn@f.example", Spoken("", "", "f.example")),
        ("srs1=cd34=f.example==ab12=xy=hanam.gov.vn=ptp.bl@g.example", Spoken("srs", OFFICER, "g.example")),
        ("srs1=cd34=f.example=+ab12=xy=hanam.gov.vn=ptp.bl@g.example", Spoken("srs", OFFICER, "g.example")),
        ("srs1+cd34=f.example=-ab12=xy=hanam.gov.vn=ptp.bl@g.example", Spoken("srs", OFFICER, "g.example")),
        ("bounces+srs=ab12c=xy@company.vn", Spoken("srs", "", "company.vn")),
        ("ptp.bl+srs=ab12c=xy=hanam.gov.vn=ptp.bl@company.vn", Spoken("srs", OFFICER, "company.vn")),
        ("prvs=1234567890=ptp.bl@hanam.gov.vn", Spoken("batv", OFFICER, "hanam.gov.vn")),
        ("ptp.bl=prvs=1234567890@hanam.gov.vn", Spoken("batv", OFFICER, "hanam.gov.vn")),
        ("prvs=ptp.bl@hanam.gov.vn", Spoken("", "", "hanam.gov.vn")),
    ],
)
def test_spoken_of(mailbox: str, want: Spoken) -> None:
    assert spoken_of(mailbox) == want
    assert is_bounce_home(mailbox) is (want.scheme in ("srs", "batv"))


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (b" <A@b.vn>", ["a@b.vn"]),
        (b' Lan <a@b.vn>, "B, C" <c@d.vn>;\r\n e@f.vn (g@h.vn)', ["a@b.vn", "c@d.vn", "e@f.vn", "g@h.vn"]),
        (b" 203.0.113.9, 10.0.0.1", []),
        (b" @b.vn a@ @", []),
        (b" a@b.vn from=c@d.vn", ["a@b.vn", "from=c@d.vn"]),
        (b"", []),
    ],
)
def test_mailboxes_in_a_header(value: bytes, want: list[str]) -> None:
    assert mailboxes_in(value) == want


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        ((), None),
        ((b"SIZE=1000",), 1_000),
        ((b"BODY=8BITMIME", b"size=20"), 20),
        ((b"SIZE=",), None),
        ((b"SIZE=-1",), None),
        ((b"SIZE=1e3",), None),
        ((b"XSIZE=1",), None),
        ((b"SIZE=99999999999999999999",), 99_999_999_999_999_999_999),
    ],
)
def test_declared_size(arguments: tuple[bytes, ...], want: int | None) -> None:
    assert Envelope(arguments=arguments).declared_bytes() == want


def test_a_size_of_thousands_of_digits_is_no_error() -> None:
    """Python refuses to read a number of over 4,300 digits."""
    declared = Envelope(arguments=(b"SIZE=" + b"9" * 5_000,)).declared_bytes()
    assert declared is None or declared > 1 << 40


@given(st.binary(max_size=60) | st.text(alphabet='abA.@%!"\\()<>[],:; \t', max_size=40).map(str.encode))
def test_whatever_is_typed_leads_to_one_mailbox_or_to_none(path: bytes) -> None:
    """What it leads to is written in the one form that compares: read again, it is the same."""
    rewriting = Rewriting("hanam.gov.vn", mydestination=frozenset({"hanam.gov.vn", "b.vn"}))
    mailbox = rewriting.mailbox(path)
    if is_clear(mailbox):
        assert mailbox_of(mailbox.encode("utf-8", "surrogateescape")) == mailbox
        assert rewriting.mailbox(mailbox.encode("utf-8", "surrogateescape")) == mailbox
