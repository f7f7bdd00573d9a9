"""Ordinary mails, made from a seed: what an official mail system carries on every day, in all its forms.

Nothing in them is to be refused. `python -m tests.lab.ordinary FOLDER [COUNT]` writes them out, with the cases.jsonl
that `mailgate check --batch` takes; `python -m tests.lab.ordinary --judge COUNT` has them judged by that command with
the shipped configuration, and prints what its rules find.
"""

import argparse
import base64
import json
import quopri
import random
import struct
import sys
import tempfile
import textwrap
import time
import tomllib
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.lab import documents as made
from tests.lab.hostile import uuencoded
from tests.lab.mailgate import Mailgate

from mailgate.text.charsets import read
from mailgate.text.folding import bare_of

COUNT = 10_000
SHIPPED = Path(__file__).parents[2] / "config"
DATA = Path(__file__).parents[1] / "data" / "ordinary"
CONTENT_RULES = (
    *("state-secret", "charset", "dangerous-attachment", "uninspectable", "advertising", "online-registration"),
    "prohibited-content",
)
"""The rules that judge by what a mail says or holds."""

_BEGINS = datetime(2026, 11, 2, 7, 0, tzinfo=timezone(timedelta(hours=7)))
_OURS = tuple(
    f"{name}@hanam.gov.vn" for name in ("ptp.bl", "stttt", "snv", "nguyenthithanhha", "tranvanmat", "vpubnd")
)
_OFFICIALS = (*_OURS, *(f"canbo{number}@hanam.gov.vn" for number in range(60)))
_STATE = ("vanthu@moha.gov.vn", "botttt@mic.gov.vn", "sotc@ninhbinh.gov.vn", "vp@chinhphu.vn")
_OUTSIDE = (
    "lan@example.com",
    "nguyenvana@gmail.com",
    "ketoan@xaydung.example",
    "toasoan@bao.example",
    "hr@vnpt.example",
)


@dataclass(frozen=True, slots=True)
class Ordinary:
    """A mail, of what kind it is, and the case's other fields as `mailgate check --batch` wants them."""

    kind: str
    fields: Mapping[str, Any]
    message: bytes


def ordinary_mails(count: int = COUNT, seed: int = 2026) -> Iterator[Ordinary]:
    """Yield so many mails, each kind in its turn and each direction in its; the same for the same seed."""
    chance = random.Random(seed)
    for number in range(count):
        make = _KINDS[number % len(_KINDS)]
        says = _Says(chance, number)
        message = make(says)
        yield Ordinary(make.__name__.strip("_"), says.envelope(), message)


# -- words ---------------------------------------------------------------------------------------------


@cache
def _sections(name: str) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    section: list[str] = []
    for line in (DATA / name).read_text().splitlines():
        if line.startswith("== "):
            section = found.setdefault(line.removeprefix("== "), [])
        elif line and not line.startswith("#"):
            section.append(line)
    return found


class _Says:
    """One author on one day: what he says, and from whom to whom the mail goes."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self.chance = chance
        self.number = number
        self.at = _BEGINS + timedelta(seconds=73 * number)
        self.direction = ("in", "out", "within", "state")[number // len(_KINDS) % 4]
        outside, ours = chance.choice(_OUTSIDE), chance.choice(_OFFICIALS)
        self.author = {"in": outside, "state": chance.choice(_STATE)}.get(self.direction, ours)
        others = _OUTSIDE if self.direction == "out" else _OFFICIALS
        self.recipients = chance.sample(others, chance.choice((1, 1, 1, 2, 3)))
        self.sender = self.author

    def comes_from(self, author: str, sender: str | None = None) -> None:
        """Have the mail come in from this author; sender: of its envelope."""
        self.direction, self.author = "in", author
        self.sender = author if sender is None else sender
        self.recipients = [self.chance.choice(_OFFICIALS)]

    def envelope(self) -> dict[str, Any]:
        """Return a case's fields but the message."""
        is_ours = self.direction in ("out", "within")
        return {
            "id": str(self.number),
            "client_ip": "127.0.0.1" if is_ours else f"203.0.113.{self.chance.randrange(1, 255)}",
            "mail_from": self.sender,
            "rcpts": self.recipients,
            "hook": "submission" if is_ours else "mx",
            "at": self.at.isoformat(),
            **({"auth": self.author} if is_ours else {}),
        }

    def word(self, name: str) -> str:
        """Return one of the words of a section."""
        return self.chance.choice(_sections("words.txt")[name])

    def filled(self, text: str) -> str:
        """Return a sentence with its blanks filled in."""
        roll = self.chance.randrange
        return text.format(
            office=self.word("office"),
            person=self.word("person"),
            topic=self.word("topic"),
            date=f"{roll(1, 29):02}/{roll(1, 13):02}/2026",
            number=roll(1, 3_000),
            count=roll(2, 999),
            percent=roll(1, 100),
            money=f"{roll(1, 999)}.{roll(0, 1000):03}.000",
        )

    def sentences(self, section: str, most: int = 8) -> list[str]:
        """Return some sentences of a section, in any order."""
        known = _sections("sentences.txt")[section]
        return [
            self.filled(text) for text in self.chance.sample(known, min(len(known), self.chance.randint(2, most)))
        ]

    def subject(self) -> str:
        """Return what an office letter is about."""
        return self.filled(self.word("subject"))

    def letter(self, *sections: str) -> str:
        """Return a letter with its salutation and signature."""
        sections = sections or ("work",)
        lines = [f"Kính gửi: {self.word('office')}", ""]
        for section in sections:
            lines += self.sentences(section)
        closing = self.filled(self.chance.choice(_sections("sentences.txt")["closing"]))
        lines += ["", closing, "", self.word("person"), self.word("office")]
        return "\n".join(lines)


# -- the forms of a mail --------------------------------------------------------------------------------


def _words(text: str, form: str) -> bytes:
    """Return a header field's text: form B or Q (RFC 2047), cut (words that end inside a character), raw."""
    octets = text.encode()
    if form == "raw" or text.isascii():
        return octets
    if form == "Q":
        coded = ["".join(f"={octet:02X}" for octet in letter.encode()) for letter in text]
        pieces = ["".join(coded[at : at + 8]) for at in range(0, len(coded), 8)]
        return b"\r\n ".join(f"=?UTF-8?Q?{piece}?=".encode() for piece in pieces)
    step = 31 if form == "cut" else 0
    cuts = [octets[at : at + step] for at in range(0, len(octets), step)] if step else _whole(text)
    return b"\r\n ".join(b"=?utf-8?B?" + base64.b64encode(cut) + b"?=" for cut in cuts)


def _whole(text: str) -> list[bytes]:
    return [text[at : at + 14].encode() for at in range(0, len(text), 14)]


def _head(says: _Says, subject: str, *fields: str | bytes) -> bytes:
    roll = says.chance
    date = says.at.strftime("%a, %d %b %Y %H:%M:%S +0700")
    author = _words(says.word("person"), roll.choice("BQ")) + f" <{says.author}>".encode()
    lines: list[bytes] = [
        b"Date: " + date.encode(),
        b"From: " + author,
        b"To: " + ", ".join(says.recipients).encode(),
        b"Subject: " + _words(subject, roll.choice(("B", "B", "Q", "cut", "raw"))),
        f"Message-ID: <{says.number}.{roll.getrandbits(64):x}@{says.author.partition('@')[2]}>".encode(),
        b"MIME-Version: 1.0",
        *(field.encode() if isinstance(field, str) else field for field in fields),
    ]
    return b"\r\n".join(lines) + b"\r\n"


def _coded(octets: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return base64.encodebytes(octets).replace(b"\n", b"\r\n")
    if encoding == "quoted-printable":
        return quopri.encodestring(octets).replace(b"\n", b"\r\n")
    return octets.replace(b"\n", b"\r\n")


def _text(says: _Says, text: str, kind: str = "plain", charset: str = "utf-8", parameters: str = "") -> bytes:
    """Return a text with the fields of its part, in one of the transfer encodings."""
    encoding = says.chance.choice(("8bit", "base64", "quoted-printable"))
    octets = text.encode() if charset == "utf-8" else text.encode("latin-1")
    head = (
        f"Content-Type: text/{kind}; charset={charset}{parameters}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + _coded(octets, encoding) + b"\r\n"


_TYPES = {
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "pdf": "application/pdf",
    "zip": "application/zip",
    "jpg": "image/jpeg",
    "png": "image/png",
    "xml": "application/xml",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
}


def _file(says: _Says, octets: bytes, name: str, type: str = "") -> bytes:
    """Return an attachment; its name in one of the ways in which mail programs write one."""
    type = type or _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    how = says.chance.choice(("2231", "pieces", "2047", "bare"))
    if how == "2231":
        named = f"filename*=UTF-8''{quote(name)}"
    elif how == "pieces":
        pieces = [quote(name[at : at + 12]) for at in range(0, len(name), 12)]
        named = ";\r\n ".join(
            f"filename*{number}*={'UTF-8' + chr(39) * 2 if not number else ''}{piece}"
            for number, piece in enumerate(pieces)
        )
    elif how == "2047":
        named = 'filename="' + _words(name, "B").decode() + '"'
    else:
        named = f'filename="{"".join(map(bare_of, name))}"'
    head = f"Content-Type: {type}\r\nContent-Disposition: attachment;\r\n {named}\r\n"
    return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + _coded(octets, "base64")


def _multipart(says: _Says, kind: str, *parts: bytes) -> bytes:
    boundary = f"----=_{says.chance.getrandbits(80):x}".encode()
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return (
        f"Content-Type: multipart/{kind}; ".encode()
        + b'boundary="' + boundary + b'"\r\n\r\n' + body + b"--" + boundary + b"--\r\n"
    )  # fmt: skip


def _with_files(says: _Says, *files: bytes, text: str = "", subject: str = "") -> bytes:
    body = _text(says, text or says.letter())
    return _head(says, subject or says.subject()) + _multipart(says, "mixed", body, *files)


def _html(says: _Says, text: str) -> str:
    """Return the HTML that one of the mail programs makes of a text."""
    lines = [escape(line) or "&nbsp;" for line in text.split("\n")]
    program = says.chance.choice(("outlook", "gmail", "apple", "zimbra"))
    if program == "outlook":
        shown = "".join(
            f'<p class="MsoNormal"><span lang="VI" style="font-size:13.0pt">{line}<o:p></o:p></span></p>\n'
            for line in lines
        )
        styles = '<style><!-- p.MsoNormal {margin:0cm; font-family:"Times New Roman",serif;} --></style>'
        names = 'xmlns:o="urn:schemas-microsoft-com:office:office"'
        return f"<html {names}><head>{styles}</head><body>{shown}</body></html>"
    if program == "gmail":
        return (
            f'<div dir="ltr">{"<br>".join(lines)}</div><div class="gmail_signature">--<br>{says.word("person")}</div>'
        )
    shown = "".join(f"<div>{line}</div>" for line in lines)
    if program == "apple":
        return f'<html><body style="overflow-wrap: break-word;">{shown}</body></html>'
    return (
        f'<html><body><div style="font-family: arial, helvetica, sans-serif; color: #000">{shown}</div></body></html>'
    )


# -- files ----------------------------------------------------------------------------------------------

_FILE_NAMES = (
    "Báo cáo kết quả", "Dự thảo Kế hoạch", "Danh sách cán bộ", "Phụ lục kèm theo", "Biểu mẫu số 02",
    "Bao_cao_thang_11", "Quy chế bảo vệ bí mật nhà nước", "Tài liệu tập huấn bảo mật", "12.QD-UBND", "Mật độ dân số",
    "Thong bao (1)",
)  # fmt: skip


def _name(says: _Says, extension: str) -> str:
    return f"{says.chance.choice(_FILE_NAMES)}.{extension}"


def _lines(says: _Says) -> list[str]:
    """Return an administrative document, in the form of decree 30/2020."""
    heading = ["ỦY BAN NHÂN DÂN\tCỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "TỈNH HÀ NAM\tĐộc lập - Tự do - Hạnh phúc"]
    number = says.filled("Số: {number}/UBND-VXNV\tHà Nam, ngày {date}")
    sections = says.chance.sample(("work", "work", "secrecy", "password", "honey", "news"), 2)
    body = [line for section in sections for line in says.sentences(section)]
    return [
        *heading,
        number,
        says.subject(),
        "Kính gửi: " + says.word("office"),
        *body,
        "Nơi nhận:",
        "- Như trên;",
        "- Lưu: VT.",
    ]


def _document(says: _Says, extension: str) -> bytes:
    lines = _lines(says)
    safe = [escape(line) for line in lines]
    if extension == "docx":
        return made.docx(*safe)
    if extension in ("xlsx", "xlsm"):
        rows = [[str(number), line] for number, line in enumerate(safe, 1)]
        code = 'Sub Tinh_Tong()\r\n  Range("B1").Value = 1\r\nEnd Sub\r\n'
        parts = {"xl/vbaProject.bin": made.vba_project(code)} if extension == "xlsm" else {}
        return made.xlsx(*rows, parts=parts)
    if extension == "pptx":
        return made.pptx(*safe)
    if extension == "odt":
        return made.odt(*safe)
    if extension == "rtf":
        return made.rtf(*lines)
    if extension == "doc":
        return made.doc("\r".join(lines))
    if extension == "xls":
        return made.xls(*lines)
    return made.pdf(*("\n".join(lines[at : at + 30]).replace("\t", "   ") for at in range(0, len(lines), 30)))


def _png(says: _Says) -> bytes:
    def chunk(kind: bytes, octets: bytes) -> bytes:
        return struct.pack(">I", len(octets)) + kind + octets + struct.pack(">I", zlib.crc32(kind + octets))

    rows = b"".join(b"\0" + says.chance.randbytes(64) for _ in range(64))
    head = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _jpeg(says: _Says) -> bytes:
    """Return a photograph: its frame, and noise for what it shows."""
    noise = says.chance.randbytes(says.chance.randrange(2_000, 20_000)).replace(b"\xff", b"\xfe")
    return (
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
        + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
        + noise
        + b"\xff\xd9"
    )


def _scan(says: _Says) -> bytes:
    """Return a PDF that a scanner makes: pages without text, pictures."""
    picture = made.stream(
        _jpeg(says), "/Type/XObject/Subtype/Image/Width 64/Height 64/Filter/DCTDecode", compress=False
    )
    return made.pdf("", objects=[picture])


def _locked_zip(says: _Says) -> bytes:
    """Return a zip whose member is encrypted (APPNOTE 4.4.4, bit 0): the password goes by telephone."""
    octets = bytearray(made.zipped({"luong-thang-11.xlsx": says.chance.randbytes(3_000)}))
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        octets[octets.index(signature) + at] |= 1
    return bytes(octets)


# -- kinds: letters ---------------------------------------------------------------------------------------


def _letter(says: _Says) -> bytes:
    return _head(says, says.subject()) + _text(says, says.letter())


def _letter_of_two_forms(says: _Says) -> bytes:
    text = says.letter()
    forms = _multipart(says, "alternative", _text(says, text), _text(says, _html(says, text), "html"))
    return _head(says, says.subject()) + forms


def _html_letter(says: _Says) -> bytes:
    return _head(says, says.subject()) + _text(says, _html(says, says.letter("work", "honey")), "html")


def _flowed(says: _Says) -> bytes:
    text = "\n".join(
        " \n".join(textwrap.wrap(line, 66, break_long_words=False) or [""]) for line in says.letter().split("\n")
    )
    return _head(says, says.subject()) + _text(says, text, parameters="; format=flowed; delsp=no")


def _narrow(says: _Says) -> bytes:
    """Return a text that an old program breaks after so many letters, wherever that is."""
    sections = says.chance.choice((("secrecy", "password"), ("work", "honey"), ("password", "honey")))
    width = says.chance.choice((20, 40, 60, 72))
    text = "\n".join("\n".join(textwrap.wrap(line, width)) for line in says.letter(*sections).split("\n"))
    return _head(says, says.subject()) + _text(says, text.upper() if says.chance.random() < 0.2 else text)


def _thread(says: _Says) -> bytes:
    text = says.letter("password", "work")
    for _ in range(says.chance.randint(1, 4)):
        text = (
            f"{says.sentences('work', 3)[0]}\n\nVào ngày {says.at:%d/%m/%Y} {says.word('person')} đã viết:\n"
            + "\n".join(f"> {line}" for line in text.split("\n"))
        )
    subject = "Re: " * says.chance.randint(1, 3) + says.subject()
    return _head(says, subject, "In-Reply-To: <1@hanam.gov.vn>", "References: <1@hanam.gov.vn>") + _text(says, text)


def _forwarded(says: _Says) -> bytes:
    about = f"From: {says.word('person')} <a@example.com>\nDate: Thứ 2\nSubject: {says.subject()}"
    inner = f"---------- Forwarded message ---------\n{about}\n\n"
    return _head(says, "Fwd: " + says.subject()) + _text(says, "Chuyển đồng chí xử lý.\n\n" + inner + says.letter())


def _forwarded_as_file(says: _Says) -> bytes:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + _letter(says)
    return _with_files(says, inner, text="Chuyển anh thư này.")


def _circular(says: _Says) -> bytes:
    others = _OUTSIDE if says.direction == "out" else _OFFICIALS
    says.recipients = list(others[: says.chance.randint(5, 60)])
    return _with_files(says, _file(says, _document(says, "pdf"), _name(says, "pdf")))


def _without_marks(says: _Says) -> bytes:
    text = "".join(map(bare_of, says.letter("work", "password", "honey", "secrecy")))
    return _head(says, "".join(map(bare_of, says.subject()))) + _text(says, text)


def _decomposed(says: _Says) -> bytes:
    text = unicodedata.normalize("NFD", says.letter("work", "secrecy", "password"))
    return _head(says, unicodedata.normalize("NFD", says.subject())) + _text(says, text)


def _windows_1258(says: _Says) -> bytes:
    octets = _as_windows_1258(says.letter("work", "honey"))
    head = b"Content-Type: text/plain; charset=windows-1258\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return _head(says, says.subject()) + head + _coded(octets, "quoted-printable")


def _as_windows_1258(text: str) -> bytes:
    tones = "\u0300\u0301\u0303\u0309\u0323"
    out = []
    for letter in unicodedata.normalize("NFC", text):
        parts = unicodedata.normalize("NFD", letter)
        base = unicodedata.normalize("NFC", "".join(part for part in parts if part not in tones))
        out.append(base + "".join(part for part in parts if part in tones))
    return "".join(out).encode("cp1258", "replace")


@cache
def _tcvn3() -> Mapping[str, int]:
    return {read(bytes((octet,)), "tcvn3").text: octet for octet in range(0xA1, 0x100)}


def in_tcvn3(text: str) -> bytes:
    """Return a text in TCVN3 (ABC): capitals that only its font of capitals has are small letters."""
    known = _tcvn3()
    return bytes(
        known.get(letter) or known.get(letter.lower()) or ord(letter.encode("ascii", "replace"))
        for letter in unicodedata.normalize("NFC", text)
    )


def _old_program(says: _Says) -> bytes:
    octets = in_tcvn3(says.letter("work", "honey"))
    label = says.chance.choice(("iso-8859-1", "x-viet-tcvn", "us-ascii"))
    head = f"Content-Type: text/plain; charset={label}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return _head(says, "Bao cao tuan") + head.encode() + octets.replace(b"\n", b"\r\n")


def _very_short(says: _Says) -> bytes:
    text = says.chance.choice(
        ("", "Ok", "ok a", "Vâng ạ", "Đã nhận.", "Nhận đc r nhé", ".", "👍", "Mất rồi", "Gặp mặt lúc 3h")
    )
    return _head(says, says.chance.choice(("", "Re:", "hi", "(no subject)", "Họp"))) + _text(says, text)


def _no_mime(says: _Says) -> bytes:
    head = f"From: {says.author}\r\nSubject: test\r\nDate: {says.at:%d %b %Y %H:%M:%S} +0700\r\n\r\n"
    return head.encode() + "\r\n".join(says.sentences("english")).encode() + b"\r\n"


def _english(says: _Says) -> bytes:
    return _head(says, says.chance.choice(("Draft agenda", "Invoice", "Workshop 2026"))) + _text(
        says, "\n".join(says.sentences("english"))
    )


# -- kinds: what offices attach ---------------------------------------------------------------------------


def _draft(says: _Says) -> bytes:
    extension = says.chance.choice(("docx", "xlsx", "pdf", "pptx", "odt", "rtf", "doc", "xls"))
    return _with_files(says, _file(says, _document(says, extension), _name(says, extension)))


def _several_files(says: _Says) -> bytes:
    extensions = says.chance.sample(("docx", "xlsx", "pdf", "pptx", "odt", "rtf"), says.chance.randint(2, 4))
    return _with_files(says, *(_file(says, _document(says, each), _name(says, each)) for each in extensions))


def _scanned(says: _Says) -> bytes:
    return _with_files(says, _file(says, _scan(says), "Scan_20261102.pdf"))


def _photos(says: _Says) -> bytes:
    files = [_file(says, _jpeg(says), f"IMG_{says.chance.randrange(9_999):04}.jpg") for _ in range(3)]
    return _with_files(says, *files, _file(says, _png(says), "Ảnh chụp màn hình.png"))


def _inline_picture(says: _Says) -> bytes:
    html = _text(says, _html(says, says.letter()) + '<img src="cid:logo">', "html")
    head = b"Content-Type: image/png\r\nContent-ID: <logo>\r\nContent-Disposition: inline\r\n"
    head += b"Content-Transfer-Encoding: base64\r\n\r\n"
    return _head(says, says.subject()) + _multipart(says, "related", html, head + _coded(_png(says), "base64"))


def _archive(says: _Says) -> bytes:
    members = {_name(says, each): _document(says, each) for each in ("docx", "pdf", "xlsx")}
    return _with_files(says, _file(says, made.zipped({**members, "ghi chú.txt": says.letter()}), "Ho so.zip"))


def _locked_archive(says: _Says) -> bytes:
    text = "Gửi anh bảng lương, mật khẩu giải nén em nhắn qua điện thoại."
    return _with_files(says, _file(says, _locked_zip(says), "Bảng lương.zip"), text=text)


def _macros(says: _Says) -> bytes:
    return _with_files(says, _file(says, _document(says, "xlsm"), "Bang tinh luong.xlsm"))


def _uuencoded(says: _Says) -> bytes:
    body = f"{says.letter()}\n\nbegin 644 bao-cao.txt\n".encode() + uuencoded(says.letter().encode()) + b"`\nend\n"
    fields = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return _head(says, says.subject()) + fields + body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _winmail(says: _Says) -> bytes:
    octets = b'x\x9f>"' + says.chance.randbytes(800)  # TNEF (MS-OXTNEF), which Outlook sends to its own
    return _with_files(says, _file(says, octets, "winmail.dat", "application/ms-tnef"))


def _card(says: _Says) -> bytes:
    card = f"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{says.word('person')}\r\nORG:{says.word('office')}\r\nEND:VCARD\r\n"
    return _with_files(says, _file(says, card.encode(), "danh-thiep.vcf", "text/vcard"))


def _text_files(says: _Says) -> bytes:
    log = "\n".join(f"2026-11-02T07:00:{second:02} sshd[71]: Failed password for root" for second in range(40))
    code = 'def cong(a, b):\n    """Cộng hai số."""\n    return a + b\n'
    table = "\n".join(f"{number};{says.word('person')};{says.word('office')}" for number in range(30))
    files = [("he-thong.log", log), ("danh-sach.csv", table), ("cấu hình.json", '{"mat_khau": "***"}')]
    return _with_files(
        says, *(_file(says, octets.encode(), name) for name, octets in files), text=f"Đoạn mã:\n\n{code}"
    )


def _signed(says: _Says) -> bytes:
    detached = bytes.fromhex(
        "06092a864886f70d010702a0820100308200fc020101310b300906052b0e03021a0500300b06092a864886f70d010701"
    )
    signature = b"\x30\x82\x01\x0d" + detached + says.chance.randbytes(220)
    part = b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    kind = 'signed; protocol="application/pkcs7-signature"; micalg=sha-256'
    return _head(says, says.subject()) + _multipart(
        says, kind, _text(says, says.letter()), part + _coded(signature, "base64")
    )


def _invitation(says: _Says) -> bytes:
    at = f"{says.at:%Y%m%dT%H%M%S}"
    calendar = (
        "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\n"
        f"UID:{says.number}@hanam.gov.vn\r\nDTSTART:{at}\r\nSUMMARY:{says.subject()}\r\nLOCATION:Phòng họp tầng 3\r\n"
        "END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    part = _text(says, calendar, "calendar", parameters="; method=REQUEST")
    return _head(says, "Giấy mời: " + says.subject()) + _multipart(
        says, "alternative", _text(says, says.letter()), part
    )


# -- kinds: what programs send ------------------------------------------------------------------------------


def _report(says: _Says, kind: str, status: str, text: str) -> bytes:
    told = f"Content-Type: message/{kind}\r\n\r\n{status}".encode()
    original = b"Content-Type: text/rfc822-headers\r\n\r\nFrom: a@example.com\r\nSubject: " + _words(
        says.subject(), "B"
    )
    return _multipart(says, f"report; report-type={kind}", _text(says, text), told, original + b"\r\n")


def _bounce(says: _Says) -> bytes:
    says.comes_from("MAILER-DAEMON@mx.example.com", "")
    status = "Reporting-MTA: dns; mx.example.com\r\n\r\nFinal-Recipient: rfc822; x@example.com\r\n"
    status += "Action: failed\r\nStatus: 5.1.1\r\n"
    report = _report(says, "delivery-status", status, "Your message could not be delivered: user unknown.")
    return _head(says, "Undelivered Mail Returned to Sender", "Auto-Submitted: auto-replied") + report


def _read_receipt(says: _Says) -> bytes:
    status = f"Final-Recipient: rfc822; {says.author}\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n"
    return _head(says, "Đã đọc: " + says.subject()) + _report(
        says, "disposition-notification", status, "Thư của bạn đã được mở."
    )


def _vacation(says: _Says) -> bytes:
    text = says.filled("Tôi nghỉ phép đến hết ngày {date}, việc gấp xin liên hệ đồng chí {person}.")
    says.sender = says.author
    return _head(says, "Re: " + says.subject(), "Auto-Submitted: auto-replied", "Precedence: bulk") + _text(
        says, text
    )


def _mailing_list(says: _Says) -> bytes:
    says.comes_from(says.chance.choice(_OUTSIDE), "opensource-bounces@lists.example.org")
    fields = ("List-Id: <opensource.lists.example.org>", "List-Post: <mailto:opensource@lists.example.org>",
              "List-Unsubscribe: <https://lists.example.org/u>", "Precedence: list")  # fmt: skip
    return _head(says, "[opensource] release plan", *fields) + _text(says, "\n".join(says.sentences("english")))


def _newsletter(says: _Says) -> bytes:
    says.comes_from("bantin@hanoi.gov.vn" if says.chance.random() < 0.5 else "bantin@baohanam.example")
    items = says.sentences("news", 10)
    html = "".join(
        f'<h3>{escape(item)}</h3><p><a href="https://baohanam.example/{says.number}">Xem tiếp</a></p>'
        for item in items
    )
    fields = ("List-Unsubscribe: <https://baohanam.example/huy>", "Precedence: bulk")
    return _head(says, says.filled("Bản tin ngày {date}"), *fields) + _text(says, f"<body>{html}</body>", "html")


def _press_release(says: _Says) -> bytes:
    file = _file(says, _document(says, "docx"), "Thông cáo báo chí.docx")
    return _with_files(says, file, text=says.letter("news"), subject="Thông cáo báo chí: " + says.word("topic"))


def _invoice(says: _Says) -> bytes:
    says.comes_from("hoadon@vnpt-invoice.example")
    text = says.filled(
        "Kính gửi Quý khách hàng,\nCông ty gửi Quý khách hóa đơn điện tử số {number}, ký hiệu 1C26TYY.\n"
        "Tổng tiền thanh toán: {money} đồng, thuế GTGT 8%: {money} đồng, giảm 2% theo Nghị định 174/2024/NĐ-CP.\n"
        "Mã tra cứu: A7K{number}. Tra cứu tại https://tracuu.example. Hotline 1900 1234."
    )
    xml = says.filled(
        "<HDon><DLHDon><SHDon>{number}</SHDon><NBan>Công ty A</NBan><TgTien>{money}</TgTien></DLHDon></HDon>"
    )
    files = (
        _file(says, xml.encode(), f"HD_{says.number}.xml"),
        _file(says, _document(says, "pdf"), f"HD_{says.number}.pdf"),
    )
    return _with_files(says, *files, text=text, subject=says.filled("Hóa đơn điện tử số {number}"))


def _bank_notice(says: _Says) -> bytes:
    says.comes_from("no-reply@bank.example")
    code = says.filled("Mã OTP của Quý khách là {number}{count}. Không cung cấp mã OTP, mật khẩu cho bất kỳ ai.")
    notice = says.filled("Giao dịch thành công: {money} VND lúc 08:05 {date}. Số dư {money} VND. Hotline 1900 5555.")
    return _head(says, "Thông báo giao dịch") + _text(says, says.chance.choice((code, notice)))


def _code(says: _Says) -> bytes:
    """Return what a service writes that officials sign up to for their work (clause 4.4 allows it)."""
    services = ("dichvucong.gov.vn", "muasamcong.mpi.gov.vn", "daotao.example")
    says.comes_from(f"no-reply@{says.chance.choice(services)}")
    subject = says.chance.choice(("Mã xác thực OTP", "Kích hoạt tài khoản", "Xác minh email", "Đăng ký thành công"))
    return _head(says, subject) + _text(says, says.filled("Mã của bạn là {number}{count}, có hiệu lực 5 phút."))


def _delivery_notice(says: _Says) -> bytes:
    says.comes_from("thongbao@vnpost.example")
    text = says.filled(
        "Bưu gửi EA{number}VN của quý cơ quan đã được phát ngày {date}. Cước: {money} đồng. Mã vận đơn EA{number}VN."
    )
    return _head(says, "Thông báo phát bưu gửi") + _text(says, text)


# -- kinds: from citizens and firms --------------------------------------------------------------------------


def _complaint(says: _Says) -> bytes:
    says.comes_from("nguyenvana@gmail.com")
    files = [_file(says, _jpeg(says), "20261101_201500.jpg")] if says.chance.random() < 0.5 else []
    return _with_files(says, *files, text=says.letter("complaint"), subject="Đơn phản ánh, kiến nghị")


def _application(says: _Says) -> bytes:
    says.comes_from("nguyenvana@gmail.com")
    extension = says.chance.choice(("pdf", "docx"))
    return _with_files(
        says,
        _file(says, _document(says, extension), f"CV_{says.word('person')}.{extension}"),
        text=says.letter("job"),
    )


def _from_a_firm(says: _Says) -> bytes:
    says.comes_from("ketoan@xaydung.example")
    return _with_files(says, _file(says, _document(says, "pdf"), "Bao gia.pdf"), text=says.letter("firm"))


def _lawful_advertising(says: _Says) -> bytes:
    """Return advertising with all that decree 91/2020 wants (articles 18 to 20)."""
    says.comes_from("marketing@huongque.example")
    text = says.filled(
        "Kính gửi Quý khách,\n\nNội thất Hương Quê giảm giá {percent}% bàn ghế văn phòng, giá chỉ từ {money} đồng.\n"
        "Đặt hàng ngay để nhận ưu đãi hấp dẫn.\n\n"
        "Công ty TNHH Nội thất Hương Quê\nĐịa chỉ: số 12 đường Lê Hoàn, thành phố Phủ Lý, tỉnh Hà Nam\n"
        "Điện thoại: 0226 385 1234 - Email: cskh@huongque.example - Website: https://huongque.example\n\n"
        "Quý khách có quyền từ chối nhận tất cả quảng cáo của chúng tôi: truy cập https://huongque.example/tu-choi, "
        "gửi email tới tuchoi@huongque.example hoặc gọi 0226 385 1235.\n"
    )
    fields = ("List-Unsubscribe: <https://huongque.example/tu-choi>",)
    return _head(says, "[QC] Ưu đãi bàn ghế văn phòng", *fields) + _text(says, text)


# -- kinds: words that secrets share with everyday -----------------------------------------------------------


def _training(says: _Says) -> bytes:
    extension = says.chance.choice(("pptx", "docx", "pdf"))
    file = _file(says, _document(says, extension), f"Tài liệu tập huấn bảo vệ bí mật nhà nước.{extension}")
    return _with_files(says, file, text=says.letter("secrecy"), subject="Tập huấn công tác bảo vệ bí mật nhà nước")


def _law_on_secrets(says: _Says) -> bytes:
    text = _html(says, says.letter("secrecy", "secrecy"))
    return _head(says, "Phổ biến Luật Bảo vệ bí mật nhà nước") + _text(says, text, "html")


def _password(says: _Says) -> bytes:
    subject = says.chance.choice(("Đổi mật khẩu", "MẬT KHẨU MỚI", "Cấp lại mật khẩu", "[Bảo mật] Cảnh báo đăng nhập"))
    return _head(says, subject) + _text(says, says.letter("password"))


def _honey(says: _Says) -> bytes:
    subject = says.chance.choice(("Mật ong Hà Nam", "MẬT ĐỘ DÂN SỐ", "Phẫu thuật túi mật", "Giá mật ong"))
    return _head(says, subject) + _text(says, says.letter("honey", "news"))


def _table_of_names(says: _Says) -> bytes:
    rows = "".join(
        f"<tr><td>{number}</td><td>{says.word('person')}</td><td>{says.word('office')}</td></tr>"
        for number in range(20)
    )
    return _head(says, "Danh sách cán bộ") + _text(says, f"<table>{rows}</table>", "html")


_KINDS: tuple[Callable[[_Says], bytes], ...] = (
    _letter, _letter_of_two_forms, _html_letter, _flowed, _narrow, _thread, _forwarded, _forwarded_as_file, _circular,
    _without_marks, _decomposed, _windows_1258, _old_program, _very_short, _no_mime, _english, _draft, _several_files,
    _scanned, _photos, _inline_picture, _archive, _locked_archive, _macros, _uuencoded, _winmail, _card, _text_files,
    _signed, _invitation, _bounce, _read_receipt, _vacation, _mailing_list, _newsletter, _press_release, _invoice,
    _bank_notice, _delivery_notice, _code, _complaint, _application, _from_a_firm, _lawful_advertising, _training,
    _law_on_secrets, _password, _honey, _table_of_names,
)  # fmt: skip


# -- written out, and judged --------------------------------------------------------------------------------


def write(folder: Path, count: int) -> list[Ordinary]:
    """Write mails and their cases.jsonl into a folder; return the mails, their octets left out."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with (folder / "cases.jsonl").open("w") as cases:
        for mail in ordinary_mails(count):
            name = f"{mail.fields['id']:0>5}-{mail.kind}.eml"
            (folder / name).write_bytes(mail.message)
            cases.write(json.dumps({**mail.fields, "message": name}, ensure_ascii=False) + "\n")
            written.append(Ordinary(mail.kind, mail.fields, b""))
    return written


@dataclass(frozen=True, slots=True)
class Judged:
    """What the command says of so many mails: how often each rule, in its mode, found what; each finding of a rule on
    content that refuses; mails_per_s with the start of the command in it."""

    findings: Mapping[tuple[str, str, str], int]
    refusals: Sequence[str]
    actions: Mapping[str, int]
    mails_per_s: float


def judge(folder: Path, count: int) -> Judged:
    """Have so many mails, written into a folder, judged by `mailgate check --batch` with the shipped configuration.

    Raises RuntimeError where the command fails, or does not answer each of them.
    """
    mails = write(folder, count)
    shipped = tomllib.loads((SHIPPED / "mailgate.toml").read_text())
    there = {name: shipped[name] for name in ("clamav", "spam", "lists")}
    there["clamav"] |= {"address": ""}
    there["spam"] |= {"url": ""}
    there["lists"] |= {"path": str(SHIPPED / "lists")}
    mailgate = Mailgate(shipped | there)
    try:
        started = time.perf_counter()
        done = mailgate.run("check", "--batch", str(folder / "cases.jsonl"))
        seconds = time.perf_counter() - started
    finally:
        mailgate.close()
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or [answer["id"] for answer in answers] != [mail.fields["id"] for mail in mails]:
        raise RuntimeError(f"{len(answers)} answers to {count} mails: {done.stderr[:500]}")
    findings: Counter[tuple[str, str, str]] = Counter()
    refusals = []
    for mail, answer in zip(mails, answers, strict=True):
        for finding in answer["findings"]:
            findings[finding["rule"], finding["mode"], finding["action"]] += 1
            refuses = finding["mode"] == "enforce" and finding["action"] != "accept"
            if refuses and finding["rule"] in CONTENT_RULES:
                refusals.append(f"{mail.fields['id']:0>5}-{mail.kind}: {finding['rule']}: {finding['evidence']}")
    return Judged(findings, refusals, Counter(answer["action"] for answer in answers), count / seconds)


def say(judged: Judged) -> None:
    """Print what was found."""
    print(f"{sum(judged.actions.values())} ordinary mails: {dict(judged.actions)}; {judged.mails_per_s:.0f} mails/s")
    for (rule, mode, action), number in sorted(judged.findings.items()):
        print(f"  {rule:22}{mode:9}{action:12}{number:6}")
    for refusal in judged.refusals[:50]:
        print(f"  {refusal}")


def main() -> int:
    """Write the mails out, or have them judged."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.ordinary", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER")
    parser.add_argument("count", type=int, nargs="?", default=COUNT, metavar="COUNT")
    parser.add_argument("--judge", type=int, metavar="COUNT", help="have so many judged, and print what is found")
    asked = parser.parse_args()
    if (asked.folder is None) == (asked.judge is None):
        parser.error("name a folder to write to, or --judge COUNT")
    if asked.folder is not None:
        write(asked.folder, asked.count)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        judged = judge(Path(folder), asked.judge)
    say(judged)
    return 1 if judged.refusals else 0


if __name__ == "__main__":
    sys.exit(main())
