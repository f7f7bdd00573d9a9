"""The table of mechanisms: it is whole, its page is in README.md, and no header makes reading it raise."""

import gc
from collections.abc import Sequence
from pathlib import Path

import pytest

from mailgate.activity import mail_class
from mailgate.forwarding.letter import Letter, resenders_of
from mailgate.forwarding.lists import list_of
from mailgate.forwarding.mechanism import Kind, Mechanism
from mailgate.forwarding.table import COPY_FIELDS, FIELDS, MECHANISMS, page, signs
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.model import FIELDS_READ, Envelope, Header, Mail, Session
from mailgate_rules.auto_forward import Stanza

IDENTITY = Identity(
    Organization(
        frozenset({"hanam.gov.vn"}),
        frozenset({"mx.hanam.gov.vn"}),
        frozenset({"gov.vn"}),
        lists=frozenset({"nhom@hanam.gov.vn"}),
    )
)
OFFICER = "ptp.bl@hanam.gov.vn"


def mail_of(
    *fields: Header, sender: str = "c@x.example", client: str = "", recipients: Sequence[str] = (OFFICER,)
) -> Mail:
    session = Session("mx", "203.0.113.7", client, mta="mx.hanam.gov.vn")
    envelope = Envelope(
        sender_path=sender.encode(), sender=sender, recipients={to: (to.encode(),) for to in recipients}
    )
    mail = Mail(IDENTITY, session, envelope, headers=list(fields))
    mail.queue_id = "4Cw3Jx2yZz"
    return mail


def forwards(mail: Mail) -> dict[str, str]:
    """Return the mechanisms that find a forward, each with the mailbox or domain that it names."""
    return {mechanism.name: sign.end for mechanism, sign in signs(Letter(mail)) if sign.kind is Kind.FORWARD}


# -- the table is whole ------------------------------------------------------------------------------


def test_readme_has_the_table() -> None:
    assert page() in (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda mechanism: mechanism.name)
def test_an_entry_says_all_that_its_readers_need(mechanism: Mechanism) -> None:
    assert all((mechanism.writes, mechanism.names, mechanism.how_sure, mechanism.source))
    assert mechanism.switch_off or mechanism.kind is not Kind.FORWARD or "X.400" in mechanism.name
    assert mechanism.on_copies <= mechanism.fields | {b"x-simplelogin-envelope-to"}
    assert all(name == name.lower() for name in mechanism.fields)
    assert mechanism.fields <= FIELDS_READ


def test_no_two_entries_have_one_name() -> None:
    assert len({mechanism.name for mechanism in MECHANISMS}) == len(MECHANISMS)


def test_what_new_mail_bears_makes_no_copy_of_it() -> None:
    """Activity counts what bears a field of copies as sent before (`activity`)."""
    ordinary = {
        b"from",
        b"to",
        b"received",
        b"auto-submitted",
        b"precedence",
        b"x-loop",
        b"list-id",
        b"x-forwarded-for",
    }
    assert COPY_FIELDS.isdisjoint(ordinary)
    assert COPY_FIELDS <= FIELDS


VALUES = (
    b"",
    b" a@b",
    b" from nam@yahoo.com to ptp.bl@hanam.gov.vn",
    b' <\xff@\xfe>, "x" <ptp.bl@hanam.gov.vn',
    b" Forward; p=a@icloud.com; f=ptp.bl@hanam.gov.vn; =; p",
    b" h: redirect/forwarder owner a@b.example -> ",
    b" from a by cloudflare-email.net (cloudflare) id 1 for <a@b.example>; x",
    b" by h (fetchmail-6.4) for ptp.bl@hanam.gov.vn",
    b" true" * 2_000,
)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    "sender", ["", "c@x.example", "srs0=a=b=c.d=e@f.g", "a+caf_=b=c@d.e", "bounces+srs=a=b@c.d", "@", "=@="]
)
def test_any_value_in_every_field_is_read(value: bytes, sender: str) -> None:
    fields = [(name, value) for name in sorted(FIELDS_READ)]
    for mail in (
        mail_of(*fields, sender=sender),
        mail_of(*fields, *fields, sender=sender, recipients=("a@b", "c@d")),
    ):
        for mechanism, sign in signs(Letter(mail)):
            assert mechanism.name
            assert all(piece.value == piece.value[:500] for piece in sign.evidence)
        mail_class(mail)


# -- who redirects by hand -----------------------------------------------------------------------------

RESENT: dict[str, tuple[bytes, bool]] = {
    "a person's program": (b"<88.1.JavaMail.zimbra@hanam.gov.vn>", True),
    "Thunderbird": (b"<d3b07384-d113-4ec6-a7e5-3e8f1f1d1f1d@hanam.gov.vn>", True),
    "old mutt, on our own host": (b"<20261130083459.GA1234@mx.hanam.gov.vn>", True),
    "our MTA, for this mail": (b"<20261130083459.4Cw3Jx2yZz@somewhere.example>", False),
    "our MTA, at an earlier hop": (b"<20261130083459.AC2FC5F00B6@mx.hanam.gov.vn>", False),
    "our MTA, in capitals": (b"<20261130083459.AC2FC5F00B6@MX.HaNam.gov.vn>", False),
    "another's MTA": (b"<20261130083459.AC2FC5F00B6@mx.congty.example>", False),
    "a sendmail": (b"<202611240100.0AO1AbCd012345@mx.congty.example>", False),
    "nothing": (b"", True),
}


@pytest.mark.parametrize(("identity", "by_hand"), RESENT.values(), ids=RESENT)
def test_an_identity_that_our_mta_added_is_no_persons(identity: bytes, by_hand: bool) -> None:
    mail = mail_of((b"Resent-From", b" Lan <lan@hanam.gov.vn>"), (b"Resent-Message-ID", b" " + identity))
    assert resenders_of(mail) == (("lan@hanam.gov.vn",) if by_hand else ())


@pytest.mark.parametrize(
    ("mailbox", "known"),
    [
        ("owner-nhom@a.example", "nhom@a.example"),
        ("nhom-bounces@a.example", "nhom@a.example"),
        ("nhom-bounces+lan=b.example@a.example", "nhom@a.example"),
        ("nhom+bounces-17-lan=b.example@a.example", "nhom@a.example"),  # mlmmj
        ("duan+bncBCabcABCDEEHKsABBB@googlegroups.com", "duan@googlegroups.com"),
        ("nhom-return-17-lan=b.example@a.example", "nhom@a.example"),  # ezmlm
        ("lan@a.example", ""),
        ("lan.owner@a.example", ""),
        ("owner@a.example", ""),
        ("", ""),
    ],
)
def test_the_list_of_a_bounce_address(mailbox: str, known: str) -> None:
    assert list_of(mailbox) == known


# -- what an entry tells apart -------------------------------------------------------------------------

TO_HOA, TO_US = (b"To", b" hoa@congty.example"), (b"To", b" " + OFFICER.encode())
LOOP = (b"X-MS-Exchange-Inbox-Rules-Loop", b" hoa@congty.example")
TOLD: dict[str, tuple[list[Header], str, dict[str, str]]] = {
    "a rule redirects": (
        [LOOP, (b"From", b"c@x.example"), TO_HOA],
        "c@x.example",
        {"Exchange inbox rule": "hoa@congty.example"},
    ),
    "a rule forwards": (
        [LOOP, (b"From", b"hoa@congty.example"), (b"Subject", b" FW: Bao cao")],
        "hoa@congty.example",
        {"Exchange inbox rule": "hoa@congty.example"},
    ),
    "a rule answers": ([LOOP, (b"From", b"hoa@congty.example"), TO_US], "hoa@congty.example", {}),
    "it answers under another of its addresses": (
        [LOOP, (b"From", b"hoa@congty.onmicrosoft.example"), (b"X-MS-Exchange-Parent-Message-Id", b"<1@x>"), TO_US],
        "",
        {},
    ),
    "Gmail's older mark": (
        [(b"X-Forwarded-For", b" lan@gmail.com hoa@congty.example")],
        "c@x.example",
        {"Gmail forwarding": "lan@gmail.com"},
    ),
    "HTTP's": ([(b"X-Forwarded-For", b" 203.0.113.9")], "c@x.example", {}),
    "Gmail's encrypted": ([(b"X-Forwarded-Encrypted", b" i=1; AJv@hanam.gov.vn")], "c@x.example", {}),
    "SimpleLogin's user answers": ([(b"X-SimpleLogin-Type", b" Reply")], "a@simplelogin.co", {}),
    "addy.io's user answers": (
        [(b"X-AnonAddy-Original-Sender", b"c@x.example"), (b"Feedback-ID", b" R:12:anonaddy")],
        "a@anonaddy.me",
        {},
    ),
    "a person at forwardemail.net": (
        [(b"X-Forward-Email-ID", b" 1"), (b"From", b"lan@x.example")],
        "lan@x.example",
        {},
    ),
    "cPanel's person": ([(b"X-Get-Message-Sender-Via", b" h: authenticated_id: lan@x.example")], "lan@x.example", {}),
    "a helpdesk's loop": ([(b"X-Loop", b" hotro@x.example"), (b"From", b"hotro@x.example")], "hotro@x.example", {}),
    "Firefox Relay's user": ([(b"From", b' "Lan" <abc@mozmail.com>')], "lan@x.example", {}),
    "Firefox Relay": (
        [(b"From", b' "c@x.example [via Relay]" <abc@mozmail.com>')],
        "010@us-west-2.amazonses.com",
        {"Firefox Relay": "abc@mozmail.com"},
    ),
    "what was written to us as well": (
        [
            (b"To", b" hoa@congty.example, " + OFFICER.encode()),
            (b"Received", b" from a by mx.congty.example with ESMTP id 1 for <hoa@congty.example>; x"),
        ],
        "srs0=ab=cd=chinhanh.example=lan@congty.example",
        {"forward with SRS": "congty.example", "delivery to another mailbox": "hoa@congty.example"},
    ),
}


@pytest.mark.parametrize(("fields", "sender", "found"), TOLD.values(), ids=TOLD)
def test_what_the_table_tells_apart(fields: list[Header], sender: str, found: dict[str, str]) -> None:
    assert forwards(mail_of(*fields, sender=sender)) == found


def test_what_was_read_does_not_wait_for_the_collector_of_garbage() -> None:
    """A mail of 20 MiB that something of its own refers to in a circle stays in memory until many more have come."""
    mails = [
        mail_of(
            *[(name, value) for name in sorted(FIELDS_READ)], sender=sender, recipients=(OFFICER, "lan@gmail.com")
        )
        for value in VALUES[:5]
        for sender in ("c@x.example", "srs0=a=b=c.d=e@hanam.gov.vn")
    ]
    for mail in mails:
        mail.session.client_ip = ""
    gc.collect()
    gc.disable()
    try:
        hits = 0
        for mail in mails:
            hits += len(list(Stanza().at_end(mail)))
            Stanza().claims(mail)
            Stanza().classes(mail)
        del mail, mails
        assert (gc.collect(), hits > 0) == (0, True)
    finally:
        gc.enable()


def test_to_that_is_too_long_is_no_defect_and_names_nobody() -> None:
    """A mail to a thousand people is lawful: then who of its recipients stands in To is not known."""
    many = b", ".join(b"can-bo-%d@hanam.gov.vn" % number for number in range(3_000))
    mail = mail_of((b"To", many), (b"Cc", b" x@y.example"), (b"Delivered-To", b" x@y.example"))
    assert mail.content.exceeded == {}
    assert Letter(mail).unaddressed == ()
