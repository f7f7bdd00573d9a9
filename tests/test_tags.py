"""The header fields that findings add to a mail: one line of printable ASCII, whatever the mail says."""

from pathlib import Path

import dkim
import pytest
from tests.lab.mails import letter

from mailgate.config import load
from mailgate.model import Inspection, ListEntry, Lists, Mail, Session, Spotted, Text, TextKind
from mailgate.rule import check_tag, tag
from mailgate_rules import STANZAS


@pytest.mark.parametrize(
    ("name", "value", "wants"),
    [
        ("X-A", "macro: VBA", ((b"X-A", b"macro: VBA"),)),
        ("X-A", "a\r\nX-B: c\0\t\x7f", ((b"X-A", b"a??X-B: c???"),)),
        ("X-A", "mật \udc80", ((b"X-A", b"m?t ?"),)),
        ("X-A", "a" * 2_000, ((b"X-A", b"a" * 900),)),
        ("", "a", ()),
    ],
)
def test_a_tag_is_one_line(name: str, value: str, wants: tuple[tuple[bytes, bytes], ...]) -> None:
    assert tag(name, value) == wants


@pytest.mark.parametrize("name", ["X A", "X:A", "X-A\r\nX-B", "X-Thẻ", "x" * 61])
def test_what_is_no_name_is_an_error_of_the_operator(name: str) -> None:
    with pytest.raises(ValueError, match="header: write a name"):
        check_tag(name)


_TAGGING = [name for name, stanza in STANZAS.items() if "header" in stanza.__dataclass_fields__]


@pytest.mark.parametrize("name", _TAGGING)
def test_every_rule_that_tags_says_so_when_it_is_configured(name: str) -> None:
    with pytest.raises(ValueError, match="header: write a name"):
        STANZAS[name](header="X Tag")  # type: ignore[call-arg]


@pytest.mark.parametrize("author", [b"\\\r@gmail.com", b"\\\n @gmail.com", b'"a\\\r\n X-B: c"@gmail.com'])
def test_an_author_adds_no_line(author: bytes) -> None:
    settings = load(None, {})
    mail = Mail(settings.identity(), Session("mx", "203.0.113.7"))
    mail.take_headers([(b"From", author), (b"Subject", b"[QC] giam gia"), (b"List-Unsubscribe", b"<http://a>")])
    mail.inspection = Inspection((Text("subject", TextKind.SUBJECT, "[qc] giảm giá 50%"),))
    words = ListEntry("giảm giá", {"weight": "4"})
    mail.lists = Lists({"advertising/words": {"giảm giá": words}})
    mail.spotted = [Spotted("advertising/words", words, "subject", TextKind.SUBJECT, 5)]
    mail.mailboxes = {}
    verdict = settings.policy().decide(mail, 0.0)
    ((_, value),) = [header for header in verdict.headers if header[0] == b"X-Mailgate-Advertising"]
    assert value.decode("ascii").isprintable()


DATA = Path(__file__).parent / "data"
PUBLIC = (DATA / "dkim-test-key.pub").read_bytes().strip()


@pytest.mark.parametrize("name", _TAGGING)
@pytest.mark.parametrize("canonicalize", [(b"relaxed", b"relaxed"), (b"simple", b"simple")])
def test_a_tag_breaks_no_signature_of_a_signer_before_us(name: str, canonicalize: tuple[bytes, bytes]) -> None:
    """Mailgate is the last milter: what it adds stands below the mail's fields, and in no signature."""
    message = letter()
    fields = [
        field.partition(b":")[0] for field in message.partition(b"\r\n\r\n")[0].split(b"\r\n") if field[:1] > b" "
    ]
    signed: bytes = dkim.sign(
        message,
        b"s1",
        b"hanam.gov.vn",
        (DATA / "dkim-test-key.pem").read_bytes(),
        canonicalize=canonicalize,
        include_headers=[*fields, b"From", b"Subject"],  # oversigned, as opendkim's OversignHeaders has it
    )
    header, _, body = (signed + message).partition(b"\r\n\r\n")
    ((field, value),) = tag(STANZAS[name]().header or "X-Mailgate", "x")  # type: ignore[attr-defined]
    tagged = header + b"\r\n" + field + b": " + value + b"\r\n\r\n" + body
    assert dkim.verify(tagged, dnsfunc=lambda *_, **__: b"v=DKIM1; k=rsa; p=" + PUBLIC)
    assert not dkim.verify(
        tagged.replace(b"Subject:", b"Subject: x"), dnsfunc=lambda *_, **__: b"v=DKIM1; p=" + PUBLIC
    )
