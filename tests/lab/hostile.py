"""Hostile mails, made from a seed: what a sender writes to be read otherwise, to be read for ever, or to break a
reader.

Each has the EICAR test text where some mail program finds a file of it, or a load that costs whoever opens it.
`python -m tests.lab.hostile FOLDER` writes them out.
"""

import base64
import bz2
import gzip
import io
import lzma
import os
import quopri
import random
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.lab.clamd import EICAR

COUNT = int(os.environ.get("HOSTILE_MAILS", "120"))  # the more, the longer; 1,000 take a minute


@dataclass(frozen=True, slots=True)
class Hostile:
    """A mail, and the trick that it plays."""

    trick: str
    message: bytes


def hostile_mails(count: int = COUNT, seed: int = 2026) -> Iterator[Hostile]:
    """Yield so many mails, each trick in its turn; the same for the same seed."""
    chance = random.Random(seed)
    for number in range(count):
        make = _TRICKS[number % len(_TRICKS)]
        yield Hostile(make.__name__.strip("_"), make(chance))


def _head(*fields: bytes) -> bytes:
    usual = (b"From: a@example.com", b"To: ptp.bl@hanam.gov.vn", b"MIME-Version: 1.0", *fields)
    return b"\r\n".join(usual) + b"\r\n\r\n"


def _parts(boundary: bytes, *parts: bytes, end: bytes = b"--") -> bytes:
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + end + b"\r\n"


def _lines(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


_TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nXin ch\xc3\xa0o\r\n"


def _file(octets: bytes, name: bytes = b"a.bin", kind: bytes = b"application/octet-stream") -> bytes:
    head = b"Content-Type: " + kind + b'; name="' + name + b'"\r\nContent-Transfer-Encoding: base64\r\n'
    return head + b'Content-Disposition: attachment; filename="' + name + b'"\r\n\r\n' + _lines(octets)


def _mixed(*parts: bytes, boundary: bytes = b"b1", type: bytes | None = None) -> bytes:
    field = type or b'Content-Type: multipart/mixed; boundary="' + boundary + b'"'
    return _head(field) + _parts(boundary, _TEXT, *parts)


# -- structure ---------------------------------------------------------------------------------------


def _contradictory_boundaries(chance: random.Random) -> bytes:
    one, two = b"one%d" % chance.randrange(99), b"two%d" % chance.randrange(99)
    types = [
        b"multipart/mixed; boundary=" + one + b"; boundary=" + two,
        b'multipart/mixed; boundary="' + one + b"\"; boundary*=utf-8''" + two,
        b"multipart/mixed; boundary*0=" + one[:2] + b"; boundary*1=" + one[2:] + b"; boundary=" + two,
        b'multipart/mixed; boundary="' + one + b'" (comment; boundary=' + two + b")",
        b"multipart/mixed;\r\n\tboundary=" + one + b"\r\nContent-Type: multipart/mixed; boundary=" + two,
        b'multipart/mixed; boundary="\\' + one + b'"',
        b'multipart/mixed; boundary="' + one + b' "',
        b"multipart/mixed; boundary = " + one,
        b"multipart/mixed; BOUNDARY=" + one.upper() + b"; boundary=" + one,
    ]
    said = chance.choice((one, two))
    return _mixed(_file(EICAR), boundary=said, type=b"Content-Type: " + chance.choice(types))


def _contradictory_encodings(chance: random.Random) -> bytes:
    encodings = [
        b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit",
        b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: Base64 (really)",
        b"Content-Transfer-Encoding: base64;",
        b'Content-Transfer-Encoding: "base64"',
        b"Content-Transfer-Encoding:\r\n base64",
        b"Content-Transfer-Encoding: x-base64",
        b"Content-Transfer-Encoding : base64",
        b"Content-Transfer-Encoding: ba\0se64",
    ]
    part = b"Content-Type: application/octet-stream; name=a.bin\r\n" + chance.choice(encodings)
    return _mixed(part + b"\r\n\r\n" + _lines(EICAR))


def _encoded_multipart(chance: random.Random) -> bytes:
    inner = _parts(b"in", _TEXT, _file(EICAR))
    encoding = chance.choice((b"base64", b"quoted-printable"))
    body = _lines(inner) if encoding == b"base64" else quopri.encodestring(inner)
    part = b"Content-Type: multipart/mixed; boundary=in\r\nContent-Transfer-Encoding: " + encoding
    return _mixed(part + b"\r\n\r\n" + body)


def _delimiters(chance: random.Random) -> bytes:
    message = _mixed(_file(EICAR))
    return message.replace(
        b"--b1\r\n", chance.choice((b"--b1 \t\r\n", b"--b1\n", b"--b1\r\r\n", b"\r\n--b1\r\n", b"--b1--\r\n--b1\r\n"))
    )


def _preamble_and_epilogue(chance: random.Random) -> bytes:
    payload = chance.choice((_lines(EICAR), EICAR, b"begin 644 a.com\r\n" + uuencoded(EICAR) + b"`\r\nend\r\n"))
    body = _parts(b"b1", _TEXT)
    where = chance.randrange(3)
    if where == 0:
        body = payload + b"\r\n" + body
    elif where == 1:
        body += payload
    else:
        body += b"--b1\r\n" + _file(EICAR) + b"\r\n--b1--\r\n"
    return _head(b"Content-Type: multipart/mixed; boundary=b1") + body


def uuencoded(octets: bytes) -> bytes:
    import binascii

    return b"".join(binascii.b2a_uu(octets[at : at + 45]).replace(b"\n", b"\r\n") for at in range(0, len(octets), 45))


def _no_blank_line(chance: random.Random) -> bytes:
    part = b"Content-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n"
    return _mixed(part + chance.choice((b"", b" \r\n", b"\t\r\n")) + _lines(EICAR))


def _unclosed(chance: random.Random) -> bytes:
    message = _mixed(_file(EICAR))
    return message[: chance.randrange(len(message) // 2, len(message))]


def _deep_multiparts(chance: random.Random) -> bytes:
    depth = chance.choice((20, 99, 100, 101, 1_000))
    part = _file(EICAR)
    for level in range(depth):
        boundary = b"l%d" % level
        part = b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + _parts(boundary, part)
    return _mixed(part)


def _deep_messages(chance: random.Random) -> bytes:
    part = _file(EICAR)
    for _ in range(chance.choice((5, 50, 100, 2_000))):
        part = b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\nMIME-Version: 1.0\r\n" + part
    return _mixed(part)


def _many_parts(chance: random.Random) -> bytes:
    count = chance.choice((1_000, 9_999, 10_000, 20_000))
    kind = chance.choice((_TEXT, b"\r\n\r\n", b"Content-Type: text/html\r\n\r\n<p>x\r\n", _file(b"x" * 50)))
    return _head(b"Content-Type: multipart/mixed; boundary=b1") + _parts(b"b1", *[kind] * count, _file(EICAR))


def _many_delimiters(chance: random.Random) -> bytes:
    line = chance.choice((b"--b1\r\n", b"--b1--\r\n", b"--b\r\n", b"\r\n--b1"))
    return _head(b"Content-Type: multipart/mixed; boundary=b1") + line * 100_000 + b"\r\n" + _file(EICAR)


def _prefix_boundaries(chance: random.Random) -> bytes:
    inner = b"Content-Type: multipart/mixed; boundary=b1x\r\n\r\n" + _parts(b"b1x", _file(EICAR))
    return _mixed(inner, boundary=b"b1" if chance.random() < 0.5 else b"b1xx")


# -- header fields -------------------------------------------------------------------------------------


def _huge_header_line(chance: random.Random) -> bytes:
    name = chance.choice((b"Subject", b"To", b"From", b"References", b"Content-Type", b"X-A", b"Content-Disposition"))
    unit = chance.choice(
        (
            b"a",
            b"a@b.vn, ",
            b"=?UTF-8?B?xJA=?= ",
            b'"\\',
            b"(",
            b"; a=b",
            b"\r\n ",
            b"=?",
            b"<",
            b"; name*1*=%41",
            b"\xe1",
        )
    )
    return _head(name + b": " + unit * (1_000_000 // len(unit))) + EICAR


def _file_name_tricks(chance: random.Random) -> bytes:
    name = "bao cao\u202efdp.exe"
    forms = [
        b"filename*=UTF-8''" + quote(name).encode(),
        b"filename*0*=UTF-8'vi'bao%20; filename*1*=cao.; filename*2=exe",
        b"filename*1=.exe; filename*0=bao",
        b"filename*0=a; filename*2=b; filename*1000000000=c.exe",
        b'filename="=?UTF-8?B?' + base64.b64encode(name.encode()) + b'?="',
        b"filename==?UTF-8?Q?a=2Eexe?=",
        b'filename="a.pdf"; filename="a.exe"',
        b"filename*=no-such-charset''a%2Eexe",
        b"filename*=utf-8''%",
        b'filename="a.exe',
        b"filename=a.exe .. . ",
        b"; ".join(b"filename*%d=a" % index for index in range(3_000)),
    ]
    part = b"Content-Disposition: attachment; " + chance.choice(forms)
    return _mixed(part + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + _lines(EICAR))


def _encoded_words(chance: random.Random) -> bytes:
    words = [
        b"=?UTF-8?B?xJ",
        b"=?UTF-8?B?" + b"A" * 100_001 + b"?=",
        b"=?utf-8*vi?Q?M=E1=BA?= =?utf-8?Q?=ADt?=",
        b"=?punycode?Q?" + b"a" * 50_000 + b"?=",
        b"=?unicode_escape?Q?=5Cu0041?=",
        b"=?utf-7?Q?+" + b"A" * 10_000 + b"-?=",
        b"=?idna?Q?xn--" + b"a" * 3_000 + b"?=",
        b"=?UTF-8?Q?" + b"=" * 20_000 + b"?=",
        b"=?UTF-8?X?x?= =??B??= =?UTF-8?B?=?=",
        b"=?utf-16?B?//8=?= " * 5_000,
        b"=?iso-2022-jp?B?" + base64.b64encode(b"\x1b$B" + b"!!" * 5_000) + b"?=",
        b"=?hex?Q?41?= =?zlib?B?eJw=?= =?undefined?Q?a?=",
    ]
    return _head(b"Subject: " + chance.choice(words), b"Content-Type: text/plain; charset=utf-8") + EICAR


def _charset_labels(chance: random.Random) -> bytes:
    label = chance.choice(
        (b"utf-7", b"utf-16", b"punycode", b"idna", b"base64", b"zlib_codec", b"iso-2022-kr", b"hz", b"cp65001",
         b"raw_unicode_escape", b"tcvn", b"viscii", b"x-vps", b"a" * 10_000, b"\xff", b"utf-8; charset=utf-16")
    )  # fmt: skip
    body = bytes(chance.randrange(256) for _ in range(4_096)) + "Cộng hòa xã hội".encode() * 500
    return _head(b"Content-Type: text/plain; charset=" + label, b"Content-Transfer-Encoding: 8bit") + body


# -- transfer encodings ----------------------------------------------------------------------------------


def _junk_in_base64(chance: random.Random) -> bytes:
    digits = base64.b64encode(EICAR)
    junk = chance.choice((b"*", b"\0", b" ", b"\xff", b"!\r\n", b"-", b"\r\n\r\n", b"=", b"====", b"\xc3\xa0"))
    at = chance.randrange(4, len(digits) - 4)
    body = digits[:at] + junk + digits[at:]
    part = b"Content-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return _mixed(part + body)


def _padding_in_base64(chance: random.Random) -> bytes:
    at = chance.choice((1, 2, 4, 31, 32, 34))
    body = base64.b64encode(EICAR[:at]) + chance.choice((b"", b"\r\n", b" ")) + base64.b64encode(EICAR[at:])
    part = b"Content-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return _mixed(part + body)


def _quoted_printable(chance: random.Random) -> bytes:
    at = chance.randrange(5, 60)
    text = EICAR[:at] + chance.choice((b"=\r\n", b"=  \r\n", b"=\n", b"=\t\r\n")) + EICAR[at:]
    if chance.random() < 0.5:
        text = b"".join(b"=%02x" % octet for octet in EICAR)
    part = (
        b"Content-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return _mixed(part + text)


# -- texts -----------------------------------------------------------------------------------------------


def _hostile_html(chance: random.Random) -> bytes:
    unit, count = chance.choice(
        (
            (b"<div>", 100_000), (b"<b><i><table>", 30_000), (b"<!--", 200_000), (b"<a href='", 100_000),
            (b"<style>", 50_000), (b"&" + b"a" * 30, 30_000), (b"<font face=.VnTime>x</font>", 40_000),
            (b"<p style='display:none'>x", 40_000), (b"<svg><math>", 60_000), (b"\0<p>", 200_000),
            (b"<table><td><tr>", 50_000), (b"<select><option>", 50_000), ("<p>TUYỆT MẬT</p>\n".encode(), 40_000),
        )
    )  # fmt: skip
    return _head(b"Content-Type: text/html; charset=utf-8") + unit * count


def _hostile_text(chance: random.Random) -> bytes:
    unit = chance.choice(
        ("MẬT\n", "m\u200bật ", "độ mật: ", "[MẬT]", "A B ", "a\u0323\u0302", "\u1100\u1161", "Ã¡ÂºÂ\xad", "аa",
         "\u202e", "T U Y Ệ T  M Ậ T ", "tài liệu mật ", "hoà ", "“MẬT", "\ufdfa", "khuyến mãi ", "begin 644 a\n")
    )  # fmt: skip
    text = (unit * (1_000_000 // len(unit.encode()))).encode()
    return _head(b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: 8bit") + text


# -- files -----------------------------------------------------------------------------------------------


def _zip(*members: tuple[str, bytes], level: int = 9) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, octets in members:
            archive.writestr(name, octets)
    return made.getvalue()


def _bomb(chance: random.Random) -> bytes:
    kind = chance.randrange(9)
    nothing = bytes(60_000_000)
    if kind == 0:
        octets, name = _zip(("a.txt", nothing)), b"a.zip"
    elif kind == 1:
        octets, name = gzip.compress(nothing), b"a.gz"
    elif kind == 2:
        octets, name = lzma.compress(nothing), b"a.xz"
    elif kind == 3:
        octets, name = bz2.compress(nothing), b"a.bz2"
    elif kind == 4:
        inner = _zip(("a.txt", bytes(10_000_000)))
        for _ in range(3):
            inner = _zip(*((f"{number}.zip", inner) for number in range(16)))
        octets, name = inner, b"a.zip"
    elif kind == 5:
        octets, name = _zip(*((f"{number}/" * 20 + "a.txt", b"x") for number in range(20_000))), b"a.zip"
    elif kind == 6:
        octets, name = (
            _zip(("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w:p>" * 4_000_000)),
            b"a.docx",
        )
    elif kind == 7:
        entity = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + b"".join(
            b'<!ENTITY %c "%s">' % (98 + level, b"&%c;" % (97 + level) * 10) for level in range(20)
        )
        octets, name = (
            _zip(("[Content_Types].xml", b"<Types/>"), ("word/document.xml", entity + b"]><a>&u;</a>")),
            b"a.docx",
        )
    else:
        octets, name = EICAR, b"a.zip"
        for _ in range(200):
            octets = _zip(("a.zip", octets), level=1)
    return _mixed(_file(octets, name, b"application/zip"))


def _polyglot(chance: random.Random) -> bytes:
    archive = _zip(("a.com", EICAR))
    kind = chance.randrange(6)
    if kind == 0:
        octets, name = b"GIF89a" + bytes(500) + archive, b"a.gif"
    elif kind == 1:
        octets, name = b"\xff\xd8\xff\xe0" + bytes(2_000) + archive, b"a.jpg"
    elif kind == 2:
        octets, name = b"%PDF-1.4\n%%EOF\n" + archive, b"a.pdf"
    elif kind == 3:
        octets, name = b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0" + bytes(200) + archive, b"a.pdf"
    elif kind == 4:
        octets, name = bytes(500) + b"%PDF-1.4\n" + archive + b"\n%%EOF", b"a.docx"
    else:
        octets, name = b"{\\rtf1 " + archive + b"}", b"a.doc"
    return _mixed(_file(octets, name))


def _broken_file(chance: random.Random) -> bytes:
    name, octets = chance.choice(samples())
    broken = bytearray(octets)
    for _ in range(chance.choice((1, 10, 200))):
        broken[chance.randrange(len(broken))] = chance.randrange(256)
    if chance.random() < 0.5:
        del broken[chance.randrange(1, len(broken)) :]
    return _mixed(_file(bytes(broken), name.encode()))


def samples() -> list[tuple[str, bytes]]:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo("a.com")
        entry.size = len(EICAR)
        archive.addfile(entry, io.BytesIO(EICAR))
    tar = made.getvalue()
    word = '<w:document xmlns:w="w"><w:body><w:p><w:t>TỐI MẬT</w:t></w:p></w:body></w:document>'.encode()
    sheet = b"<sst><si><t>x</t></si></sst>"
    types = ("[Content_Types].xml", b"<Types/>")
    opened = ("mimetype", b"application/vnd.oasis.opendocument.text")
    pdf = (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R>>endobj\n"
        b"4 0 obj<</Length 30>>stream\nBT /F1 9 Tf (abc) Tj ET\nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
    )
    return [
        ("a.zip", _zip(("a.com", EICAR), ("b.txt", b"x" * 1_000))),
        ("a.tar", tar), ("a.tar.gz", gzip.compress(tar)), ("a.xz", lzma.compress(tar)), ("a.bz2", bz2.compress(tar)),
        ("a.docx", _zip(types, ("word/document.xml", word))),
        ("a.xlsx", _zip(types, ("xl/sharedStrings.xml", sheet))),
        ("a.odt", _zip(opened, ("content.xml", b"<a><text:p>x</text:p></a>"))),
        ("a.pdf", pdf), ("a.rtf", b"{\\rtf1\\ansi {\\fonttbl{\\f0 .VnTime;}}\\f0 abc \\'e9\\par}"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + b"\x3e\0\x03\0\xfe\xff\x09\0" + bytes(1_500)),
        ("a.7z", b"7z\xbc\xaf'\x1c\0\x04" + bytes(200)), ("a.rar", b"Rar!\x1a\x07\x01\0" + bytes(200)),
        ("a.eml", b"Subject: x\r\n\r\n" + EICAR), ("a.html", b"<p>x<b>y"),
        ("a.msg", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 100),
    ]  # fmt: skip


def _noise(chance: random.Random) -> bytes:
    message = bytearray(_mixed(_file(EICAR)))
    for _ in range(chance.choice((1, 5, 50))):
        message[chance.randrange(len(message))] = chance.randrange(256)
    return bytes(message)


_TRICKS: tuple[Callable[[random.Random], bytes], ...] = (
    _contradictory_boundaries, _contradictory_encodings, _encoded_multipart, _delimiters, _preamble_and_epilogue,
    _no_blank_line, _unclosed, _deep_multiparts, _deep_messages, _many_parts, _many_delimiters, _prefix_boundaries,
    _huge_header_line, _file_name_tricks, _encoded_words, _charset_labels, _junk_in_base64, _padding_in_base64,
    _quoted_printable, _hostile_html, _hostile_text, _bomb, _polyglot, _broken_file, _noise,
)  # fmt: skip


def main() -> None:
    """Write the mails into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, mail in enumerate(hostile_mails()):
        (folder / f"{number:04}-{mail.trick}.eml").write_bytes(mail.message)


if __name__ == "__main__":
    main()
