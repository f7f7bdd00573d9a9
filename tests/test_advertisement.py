"""What an advertisement lacks, who advertises, and that no text costs more than its length."""

import time

import pytest
from pydantic import TypeAdapter, ValidationError

from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.model import Envelope, Inspection, ListEntry, Lists, Mail, Session, Spotted, Text, TextKind
from mailgate.text.advertisement import faults_in, offers, prices_in, speaks_to_customers
from mailgate.text.folding import fold
from mailgate.text.origin import advertiser_of, author_of, signers_of
from mailgate_rules.advertising import Stanza

COMPANY = "công ty tnhh sao mai, số 12 trần phú, hà nam. đt 0226 385 0001, thư lienhe@saomai.example\n"
REFUSAL = "từ chối nhận tất cả: https://saomai.example/huy, huy@saomai.example, 0226 385 0002"
FAULTS = [
    (COMPANY + REFUSAL, False, []),
    (fold(COMPANY + REFUSAL).ascii, False, []),
    (COMPANY + REFUSAL.replace("https://saomai.example/huy", "bấm vào đây"), True, []),
    (COMPANY + REFUSAL.replace("https://saomai.example/huy", "bấm vào đây"), False, ["no opt-out by web"]),
    (COMPANY + REFUSAL.replace("0226 385 0002", "01-12-2026"), False, ["no opt-out by phone"]),
    (COMPANY + REFUSAL.replace("0226 385 0002", "1900 1234"), False, []),
    (COMPANY + REFUSAL.replace("0226 385 0002", "(024) 3851.2345"), False, []),
    (COMPANY + REFUSAL.replace("0226 385 0002", "+84912345678"), False, []),
    (COMPANY.replace("đt 0226 385 0001", "giá 1.900.000") + REFUSAL, False, ["advertiser's phone missing"]),
    (COMPANY.replace("số 12 trần phú, hà nam", "địa chỉ: phủ lý") + REFUSAL, False, []),
    (
        COMPANY.replace("số 12 trần phú, hà nam", "địa chỉ e-mail") + REFUSAL,
        False,
        ["advertiser's postal address missing"],
    ),
    (COMPANY + "hàng lỗi được đổi, trừ khi khách từ chối thanh toán", False, ["opt-out missing"]),
    ("", False, ["advertiser's name, phone, e-mail, postal address missing", "opt-out missing"]),
]


@pytest.mark.parametrize(("text", "is_html", "wanted"), FAULTS)
def test_faults(text: str, is_html: bool, wanted: list[str]) -> None:
    assert [fault.missing for fault in faults_in(text, is_html)] == wanted


OFFERS = [
    ("áo 199.000đ, quần 299.000 vnd, mũ 99k", 3, True, False),
    ("áo 199.000đ, áo 199.000đ", 1, True, False),
    ("giảm ngay 20% khi quý khách đặt hàng", 0, True, True),
    ("sale up to 50%, order now", 0, True, True),
    ("tỷ lệ hộ nghèo giảm còn 2,5%", 0, False, False),
    ("ip 10.100.200.3, số 1.250.000", 0, False, False),
]


@pytest.mark.parametrize(("text", "prices", "offer", "to_customers"), OFFERS)
def test_offers(text: str, prices: int, offer: bool, to_customers: bool) -> None:
    assert (prices_in(text), offers(text), speaks_to_customers(text)) == (prices, offer, to_customers)


UNITS = (
    "a",
    "a.",
    "a@",
    "a-",
    "0912 ",
    "0 1 ",
    "từ chối nhận ",
    "số 1 ",
    "1.000.000đ ",
    "100k ",
    "giảm ",
    " ",
    "\n",
    "\ncông ty ",
)


@pytest.mark.parametrize("unit", UNITS)
def test_no_text_takes_long(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    start = time.process_time()
    for is_html in (False, True):
        faults_in(text, is_html)
    prices_in(text), offers(text), speaks_to_customers(text)
    assert time.process_time() - start < 0.5


# -- who advertises -----------------------------------------------------------------------------------------

IDENTITY = Identity(Organization(frozenset({"hanam.gov.vn"}), state_domains=frozenset({"gov.vn"})))
OFFICE = "ptp.bl@hanam.gov.vn"


def advertisement(author: str, login: str = "", word: str = "mua 1 tặng 1") -> Mail:
    """Return an advertisement by its words and its subject, as the gate gives it to the rules."""
    mail = Mail(
        IDENTITY,
        Session("submission" if login else "mx", "203.0.113.7"),
        Envelope(b"<a@example.com>", "a@example.com", recipients={OFFICE: (OFFICE.encode(),)}, login=login),
        [(b"From", author.encode()), (b"Subject", "[QC] Mua 1 tặng 1".encode()), (b"Precedence", b"bulk")],
    )
    subject = Text("subject", TextKind.SUBJECT, "[qc] mua 1 tặng 1")
    mail.inspection = Inspection((subject,))
    entry = ListEntry(word, {"weight": "4"})
    mail.spotted = [Spotted("advertising/words", entry, "subject", TextKind.SUBJECT, 5)]
    mail.lists = Lists({"advertising/words": {word: entry}})
    return mail


ADVERTISERS = [
    ("Sao Mai <tin@mail.saomai.com.vn>", "", "saomai.com.vn"),
    ("tin@saomai.hanam.vn", "", "saomai.hanam.vn"),
    ("SaoMai@Gmail.com", "", "saomai@gmail.com"),
    ("tin@localhost", "", ""),
    ("tin@[203.0.113.7]", "", ""),
    ("Sao Mai", "", ""),
    ("", "", ""),
    (OFFICE, OFFICE, ""),
]


@pytest.mark.parametrize(("author", "login", "wanted"), ADVERTISERS)
def test_who_is_asked_for_at_the_store(author: str, login: str, wanted: str) -> None:
    assert Stanza().advertiser(advertisement(author, login)) == wanted


def test_ordinary_mail_is_not_counted() -> None:
    mail = advertisement("tin@saomai.com.vn")
    mail.spotted = ()
    mail.inspection = Inspection((Text("subject", TextKind.SUBJECT, "báo cáo"),))
    assert Stanza().advertiser(mail) == ""
    mail = advertisement("tin@saomai.com.vn")
    mail.inspection = None
    assert Stanza().advertiser(mail) == ""


def test_who_signed() -> None:
    values = (
        b"v=1; a=rsa-sha256; d=Shop.example; s=a; b=x",
        b"v=1;\r\n\td=mailgun.org;\r\n\tbh=d=no",
        b"v=1; bd=no.example",
        b"d=shop.example",
        b"",
    )
    mail = Mail(IDENTITY, Session(), headers=[(b"DKIM-Signature", value) for value in values])
    assert signers_of(mail) == ["shop.example", "mailgun.org"]
    assert author_of(mail) == ""
    assert advertiser_of("") == ""


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"threshold": 4}, "threshold: write 5 or more"),
        ({"day_limit": -1}, "day_limit: write 0 or more"),
        ({"header": "X Tag"}, "header: write a name"),
    ],
)
def test_a_bad_key_is_named(keys: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TypeAdapter(Stanza).validate_python(keys)
