"""What Mailgate lets through is octet for octet what Postfix would have sent without it.

Every kind of header meets every kind of body, 200 mails in all, the same in each run.
"""

import base64
import quopri
import random
from collections.abc import Iterator, Mapping
from itertools import product

import pytest
from tests.lab.mailgate import Mailgate
from tests.lab.mails import OUTSIDER, joined
from tests.lab.postfix import Postfix
from tests.lab.sink import Sink
from tests.lab.smtp_client import SmtpClient

CHANCE = random.Random(27_2023)
TEXT = "Ủy ban nhân dân tỉnh Hà Nam kính gửi các sở, ban, ngành báo cáo tháng mười một.\r\n"
RAW = TEXT.encode()
LATIN = bytes(range(0xA0, 0x100))
CHUNK = 65_535  # of a body, as Postfix hands it to a milter


def noise(size: int) -> bytes:
    """Return octets over 127 in lines, as an unlabelled 8-bit text has them."""
    return b"\r\n".join(bytes(CHANCE.choices(range(0x80, 0x100), k=60)) for _ in range(size // 62)) + b"\r\n"


def digits(size: int) -> bytes:
    """Return base64 in lines, as a signature has it."""
    return base64.encodebytes(CHANCE.randbytes(size)).replace(b"\n", b"\r\n")


HEADERS: dict[str, bytes] = {
    "plain": b"From: a@example.com\r\nTo: b@hanam.gov.vn\r\nSubject: x\r\n",
    "folded": b"Subject: one\r\n two\r\n\tthree\r\n\t\t four\r\nTo: a@hanam.gov.vn,\r\n\tb@hanam.gov.vn\r\n",
    "spacing": b"Subject:x\r\nX-Two:  x\r\nX-Tab:\tx\r\nX-Five:     x\r\nX-Trailing: x  \r\nX-Trailing-Tab: x\t\r\n",
    "empty": b"Subject:\r\nX-Blank: \r\nX-Blanks:   \r\nX-Tab:\t\r\nX-Folded:\r\n x\r\nX-Twice: \r\n\tx\r\n y\r\n",
    "duplicate": b"Subject: x\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\nSubject: x\r\nX-A: 1\r\n"
    + b"Received: from a by b; Tue, 24 Nov 2026 08:00:00 +0700\r\n" * 3,
    "raw": b"Subject: " + RAW + b"From: " + LATIN + b" <a@example.com>\r\nX-Folded: " + RAW + b"\t" + RAW,
    "signed": b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=example.com; s=s;\r\n\th=from:to:subject;\r\n"
    + b"\tb="
    + digits(256).rstrip().replace(b"\r\n", b"\r\n\t ")
    + b"\r\nARC-Seal: i=1;a=rsa-sha256;b=x==\r\nSubject: x\r\n",
    "long": b"Subject: " + b"x" * (998 - 9) + b"\r\nX-Folded: " + b"y" * 900 + b"\r\n " + b"z" * 997 + b"\r\n",
    "odd names": b"sUBJECT: x\r\nX-Space : y\r\nX_Under!#$%: z\r\nX-Blank-Fold: a\r\n \t \r\n b\r\nX: 1\r\n",
    "many": b"".join(b"X-%d: %s\r\n" % (number, b"v" * (number % 70)) for number in range(1_000))
    + b"To: "
    + b",\r\n ".join(b"a%d@hanam.gov.vn" % number for number in range(1_500))
    + b"\r\n",
}

SIMPLE = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
MIXED = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary="b"\r\n\r\n'
NESTED = joined(
    b'Content-Type: multipart/alternative; boundary="c"\r\n\r\n'
    + joined(b"\r\n" + RAW, b"Content-Type: text/html\r\n\r\n<p> \r\n", boundary="c"),
    b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + digits(5_000),
    b"",
    boundary="b",
)

QUOTED = quopri.encodestring(RAW.replace(b"\r", b"") * 20).replace(b"\n", b"\r\n")

# Each with its MIME fields; the blank line that ends the header is here too.
BODIES: dict[str, bytes] = {
    "no end of header": b"",
    "empty": b"\r\n",
    "blank lines": b"\r\n\r\n\r\n\r\n",
    "7-bit": b"\r\nXin chao.\r\n",
    "8-bit": SIMPLE + b"8bit\r\n\r\n" + RAW * 20,
    "unlabelled": b"\r\n" + noise(3_000),
    "quoted-printable": SIMPLE + b"quoted-printable\r\n\r\n" + QUOTED,
    "base64": SIMPLE + b"base64\r\n\r\n" + digits(20_000),
    "long lines": SIMPLE + b"7bit\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20,
    "trailing blanks": b"\r\nx \r\n \r\n\t\r\ny\t \r\n" + b"z" * 100 + b" " * 100 + b"\r\n",
    "dots": b"\r\n.\r\n..\r\n...x\r\n. \r\nx.\r\n.\r\n",
    "from lines": b"\r\nFrom a@example.com Tue Nov 24\r\n>From b\r\nSubject: not one\r\n\r\n",
    "bare carriage returns": b"\r\na\rb\r\rc\r\r\nd\r\n",
    "control characters": b"\r\n\x01\x02\x0b\x0c\x1b[0m\x7f\x00x\r\n",
    "uuencode": b"\r\nbegin 644 a.bin\r\n#0V%T\r\n`\r\nend\r\n",
    "nested": MIXED + b"preamble\r\n" + NESTED + b"epilogue\r\n",
    "unclosed": MIXED + NESTED.removesuffix(b"--b--\r\n"),
    "attached message": MIXED + joined(b"Content-Type: message/rfc822\r\n\r\n" + MIXED + NESTED, boundary="b"),
    "a line break where a chunk ends": b"\r\n" + (b"x" * 97 + b"\r\n") * (CHUNK // 99) + b"y" * 200 + b"\r\n",
    "several chunks": SIMPLE + b"base64\r\n\r\n" + digits(4 * CHUNK),
}

SAMPLES = {f"{header} / {body}": HEADERS[header] + BODIES[body] for header, body in product(HEADERS, BODIES)}
# What Postfix itself changes: a blank before the colon, a header without an end, octets that end a line.
POSTFIX_CHANGES = ("odd names /", "/ no end of header", "/ bare carriage returns", "/ control characters")


def through(postfix: Postfix, sink: Sink, samples: Mapping[str, bytes] = SAMPLES) -> list[bytes]:
    """Send every sample and return them as they arrived, without the Received field of this Postfix."""
    with SmtpClient(postfix.smtp_port) as client:
        client.xclient("203.0.113.7", "mail.example.com")
        client.ehlo()
        for number, data in enumerate(samples.values()):
            replies = client.mail(OUTSIDER, "BODY=8BITMIME"), client.rcpt(f"{number}@hanam.gov.vn"), client.data(data)
            assert [reply[:3] for reply in replies] == ["250"] * 3, (list(samples)[number], replies)
    arrived = {}
    for mail in sink.wait(len(samples), timeout_s=30):
        received = mail.header("Received")
        assert received is not None
        number = int(mail.recipients[0].partition("@")[0])
        arrived[number] = mail.data.removeprefix(b"Received: " + received + b"\r\n")
    return [arrived[number] for number in range(len(samples))]


@pytest.fixture(scope="module")
def without_mailgate() -> Iterator[list[bytes]]:
    """The samples as a Postfix without any milter passes them on."""
    with Sink() as sink, Postfix(deliver_to=sink.port) as postfix:
        yield through(postfix, sink)


def test_the_samples_are_a_fair_control(without_mailgate: list[bytes]) -> None:
    assert len(SAMPLES) == 200
    changed = {name for (name, sent), seen in zip(SAMPLES.items(), without_mailgate, strict=True) if sent != seen}
    assert {name for name in changed if not any(piece in name for piece in POSTFIX_CHANGES)} == set()


def test_mailgate_changes_no_octet(without_mailgate: list[bytes]) -> None:
    with Sink() as sink, Mailgate({}) as mailgate:
        with Postfix(deliver_to=sink.port, smtpd_milters=mailgate.milter) as postfix:
            with_mailgate = through(postfix, sink)
        mailgate.stop()
        verdicts = [line for line in mailgate.log() if line["event"] == "mail"]
    assert len(verdicts) == len(SAMPLES), "every sample was judged"
    differing = [
        name for name, wanted, seen in zip(SAMPLES, without_mailgate, with_mailgate, strict=True) if wanted != seen
    ]
    assert differing == []
