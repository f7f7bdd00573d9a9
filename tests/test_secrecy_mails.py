"""Marks of state secrecy and what looks like them, in some 200 whole mails: held when they leave, never within.

tests/secrecy/*.cases has the texts; here is how a mail has each.
"""

import base64
import quopri
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.lab import documents as made
from tests.lab.gates import make_gate, settings_of
from tests.lab.hostile import uuencoded
from tests.lab.ordinary import in_tcvn3

from mailgate.doors.offline import Case, judge_case
from mailgate.gate import Gate
from mailgate.model import Action
from mailgate_rules.state_secret import Stanza

FOLDER = Path(__file__).parent / "secrecy"
OFFICE, COLLEAGUE, OUTSIDER = "ptp.bl@hanam.gov.vn", "stttt@hanam.gov.vn", "lan@example.com"
_PLAIN = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit"


def mail(body: bytes, fields: str = _PLAIN, subject: bytes = b"Thu") -> bytes:
    head = f"From: <{OFFICE}>\r\nMIME-Version: 1.0\r\n{fields}\r\n".encode()
    return (
        head + b"Subject: " + subject + b"\r\n\r\n" + body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    )


def with_file(octets: bytes, name: str) -> bytes:
    part = (
        b"--b\r\n" + f"{_PLAIN}\r\n\r\nXin gửi kèm.\r\n--b\r\nContent-Type: application/octet-stream\r\n".encode()
        + f"Content-Disposition: attachment; filename*=utf-8''{quote(name)}\r\n".encode()
        + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(octets) + b"--b--\r\n"
    )  # fmt: skip
    return mail(part, "Content-Type: multipart/mixed; boundary=b")


def as_html(text: str) -> bytes:
    shown = "".join(f"<p><b>{escape(line)}</b></p>" for line in text.split("\n"))
    return mail(f"<body>{shown}</body>".encode(), "Content-Type: text/html; charset=utf-8")


def as_table(text: str) -> bytes:
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line.split("|")) + "</tr>"
        for line in text.split("\n")
    )
    return mail(f"<table>{rows}</table>".encode(), "Content-Type: text/html; charset=utf-8")


def words(octets: bytes, cut: int) -> bytes:
    """Return encoded words, cut after so many octets, whatever character that is in (RFC 2047 forbids it)."""
    pieces = [octets[at : at + cut] for at in range(0, len(octets), cut)]
    return b"\r\n ".join(b"=?utf-8?B?" + base64.b64encode(piece) + b"?=" for piece in pieces)


def in_a_subject(text: str) -> bytes:
    return mail(b"x", subject=words(text.encode(), 4_000))


def with_words_cut(text: str) -> bytes:
    return mail(b"x", subject=words(text.encode(), 3))


def with_words_in_q(text: str) -> bytes:
    return mail(b"x", subject=b"=?UTF-8?Q?" + "".join(f"={octet:02X}" for octet in text.encode()).encode() + b"?=")


def hidden_between(text: str) -> str:
    return "\u200b".join(text)


def docx(text: str) -> bytes:
    return made.docx(*map(escape, text.split("\n")))


def xlsx(text: str) -> bytes:
    return made.xlsx(*([escape(cell) for cell in line.split("|")] for line in text.split("\n")))


def attached_mail(inner: bytes) -> bytes:
    part = b"--c\r\n" + f"{_PLAIN}\r\n\r\nXem thư kèm.\r\n".encode()
    part += b"--c\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--c--\r\n"
    return mail(part, "Content-Type: multipart/mixed; boundary=c")


def textbox(text: str) -> bytes:
    box = f"<w:pict><w:txbxContent>{made.paragraph(text)}</w:txbxContent></w:pict>"
    return made.docx("Kính gửi", body=f"<w:p><w:r>{box}</w:r></w:p>")


def with_property(text: str) -> bytes:
    core = f'<cp:coreProperties xmlns:cp="cp" xmlns:dc="dc"><dc:subject>{text}</dc:subject></cp:coreProperties>'
    return made.docx("Kính gửi", parts={"docProps/core.xml": core})


def with_note(text: str) -> bytes:
    comment = f'<comment ref="A1"><text><t>{text}</t></text></comment>'
    note = f'<comments xmlns="{made.S}"><commentList>{comment}</commentList></comments>'
    return made.xlsx(["x"], parts={"xl/comments1.xml": note})


def misread(letter: str) -> str:
    """Return a letter as a program shows it that takes its UTF-8 for windows-1252, or Latin-1 where that has none."""
    return "".join(bytes((octet,)).decode("cp1252", "ignore") or chr(octet) for octet in letter.encode())


FORMS: Mapping[str, Callable[[str], bytes]] = {
    "body": lambda text: mail(text.encode()),
    "thread": lambda text: mail(text.encode(), f"{_PLAIN}\r\nIn-Reply-To: <1@hanam.gov.vn>", b"Re: Thu"),
    "html": as_html,
    "table": as_table,
    "qp": lambda text: mail(quopri.encodestring(text.encode()), _PLAIN.replace("8bit", "quoted-printable")),
    "base64": lambda text: mail(base64.encodebytes(text.encode()), _PLAIN.replace("8bit", "base64")),
    "nfd": lambda text: mail(unicodedata.normalize("NFD", text).encode()),
    "zero-width": lambda text: mail("\n".join(map(hidden_between, text.split("\n"))).encode()),
    "tcvn3": lambda text: mail(in_tcvn3(text), "Content-Type: text/plain; charset=x-viet-tcvn"),
    "misread": lambda text: mail("".join(map(misread, text)).encode()),
    "flowed": lambda text: mail(text.encode(), _PLAIN.replace("charset=utf-8", "charset=utf-8; format=flowed")),
    "subject": in_a_subject,
    "cut": with_words_cut,
    "q-subject": with_words_in_q,
    "nfd-subject": lambda text: in_a_subject(unicodedata.normalize("NFD", text)),
    "zero-width-subject": lambda text: in_a_subject(hidden_between(text)),
    "docx": lambda text: with_file(docx(text), "van-ban.docx"),
    "xlsx": lambda text: with_file(xlsx(text), "bang.xlsx"),
    "pptx": lambda text: with_file(made.pptx(*map(escape, text.split("\n"))), "trinh-chieu.pptx"),
    "odt": lambda text: with_file(made.odt(*map(escape, text.split("\n"))), "van-ban.odt"),
    "rtf": lambda text: with_file(made.rtf(*text.split("\n")), "van-ban.rtf"),
    "doc": lambda text: with_file(made.doc(text.replace("\n", "\r")), "van-ban.doc"),
    "xls": lambda text: with_file(made.xls(*text.split("\n")), "bang.xls"),
    "pdf": lambda text: with_file(made.pdf(text), "van-ban.pdf"),
    "txt": lambda text: with_file(text.encode(), "ghi-chu.txt"),
    "csv": lambda text: with_file(text.encode(), "danh-sach.csv"),
    "msg": lambda text: with_file(made.msg("Thư", text), "thu.msg"),
    "zip>docx": lambda text: with_file(made.zipped({"a/van-ban.docx": docx(text)}), "ho-so.zip"),
    "zip>pdf": lambda text: with_file(made.zipped({"van-ban.pdf": made.pdf(text)}), "ho-so.zip"),
    "zip>txt": lambda text: with_file(made.zipped({"ghi-chu.txt": text.encode()}), "ho-so.zip"),
    "zip>zip>docx": lambda text: with_file(made.zipped({"b.zip": made.zipped({"a.docx": docx(text)})}), "ho-so.zip"),
    "eml>docx": lambda text: attached_mail(with_file(docx(text), "van-ban.docx")),
    "eml>body": lambda text: attached_mail(mail(text.encode())),
    "uuencode": lambda text: mail(b"Xin chao\nbegin 644 a.txt\n" + uuencoded(text.encode()) + b"`\nend\n"),
    "filename": lambda text: with_file(b"x", text),
    "filename-zip": lambda text: with_file(made.zipped({text: docx("x")}), "ho-so.zip"),
    "docx-header": lambda text: with_file(
        made.docx("Kính gửi", parts={"word/header1.xml": made.word_part("hdr", text)}), "a.docx"
    ),
    "docx-footnote": lambda text: with_file(
        made.docx("Kính gửi", parts={"word/footnotes.xml": made.word_part("footnotes", text)}), "a.docx"
    ),
    "docx-textbox": lambda text: with_file(textbox(text), "a.docx"),
    "property": lambda text: with_file(with_property(text), "a.docx"),
    "comment": lambda text: with_file(with_note(text), "a.xlsx"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A mail: what it is a sample of, in which form, the text, and whether it is to be held."""

    title: str
    form: str
    text: str
    holds: bool

    def message(self) -> bytes:
        return FORMS[self.form](self.text)


def read_samples(name: str, holds: bool) -> Iterator[Sample]:
    lines = (FOLDER / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).strip()
    for block in text.removeprefix("== ").split("\n== "):
        head, _, body = block.partition("\n")
        forms, _, title = head.partition(": ")
        for form in forms.split():
            yield Sample(title, form, body.rstrip("\n"), holds)


SAMPLES = [*read_samples("marked.cases", True), *read_samples("alike.cases", False)]


@cache
def gate() -> Gate:
    """Return one gate for all: to make one takes longer than to judge a mail."""
    return make_gate(settings_of(Stanza()))


async def judged(sample: Sample, recipient: str) -> tuple[Action, bool]:
    """Return the verdict on a mail of ours to this recipient, and whether a mark was found to hold a mail for."""
    case = Case(sample.message(), client_ip="203.0.113.7", auth=OFFICE, mail_from=OFFICE, rcpts=(recipient,))
    answer = await judge_case(gate(), case)
    pieces = [piece.value for finding in answer.findings for piece in finding.evidence]
    return answer.verdict.action, any(value.endswith("to hold") for value in pieces)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.title} ({sample.form})")
async def test_what_leaves_is_held_and_what_stays_is_recorded(sample: Sample) -> None:
    held = Action.QUARANTINE if sample.holds else Action.ACCEPT
    assert await judged(sample, OUTSIDER) == (held, sample.holds)
    assert await judged(sample, COLLEAGUE) == (Action.ACCEPT, sample.holds)


async def test_precision_and_recall() -> None:
    """Print, with -s, both."""
    found = [(sample.holds, (await judged(sample, OUTSIDER))[0] is Action.QUARANTINE) for sample in SAMPLES]
    right = found.count((True, True))
    wanted, held = right + found.count((True, False)), right + found.count((False, True))
    print(f"\n{wanted} mails with a mark, {len(found) - wanted} without")
    print(f"precision {right / held:.3f}, recall {right / wanted:.3f}")
    assert min(wanted, len(found) - wanted) >= 90
    assert right == wanted == held
