"""Mails for tests and the demonstration, as the wire carries them: lines in CRLF, no dot-stuffing."""

import base64
import io
import uuid
import zipfile

OFFICER = "ptp.bl@hanam.gov.vn"
OFFICE = "stttt@hanam.gov.vn"
OUTSIDER = "lan@example.com"

MIB = 1 << 20
LIMIT_BYTES = 20 * MIB  # of all attachments of a mail (clause 8.1b)

BOUNDARY = "=_mailgate"


def letter(
    *fields: str, text: str = "Kính gửi quý cơ quan,\nxin gửi báo cáo tháng này.\n", author: str = OUTSIDER
) -> bytes:
    """Return a mail of one text, `fields` before the usual ones; its Message-ID is new with each call."""
    head = _head(*fields, "Content-Type: text/plain; charset=utf-8", author=author)
    return head + text.replace("\n", "\r\n").encode()


def letter_with(
    *files: bytes, fields: tuple[str, ...] = (), name: str = "báo cáo.bin", author: str = OUTSIDER
) -> bytes:
    """Return a mail with a text and these files in base64."""
    parts = (base64_part(file, f"name*=utf-8''{_percent(name)}") for file in files)
    return multipart(*parts, fields=fields, author=author)


def words(text: str) -> str:
    """Return a text as an encoded word (RFC 2047)."""
    return f"=?UTF-8?B?{base64.b64encode(text.encode()).decode()}?="


def multipart(*parts: bytes, fields: tuple[str, ...] = (), boundary: str = BOUNDARY, author: str = OUTSIDER) -> bytes:
    """Return a mail with a text and these parts, each a header block, a blank line and a body."""
    text = b"Content-Type: text/plain; charset=utf-8\r\n\r\nXem t\xe1\xbb\x87p g\xe1\xbb\xadi k\xc3\xa8m.\r\n"
    head = _head(*fields, f'Content-Type: multipart/mixed; boundary="{boundary}"', author=author)
    return head + joined(text, *parts, boundary=boundary)


def joined(*parts: bytes, boundary: str) -> bytes:
    """Return a multipart's body."""
    delimiter = b"--" + boundary.encode()
    return b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts) + delimiter + b"--\r\n"


def base64_part(data: bytes, parameter: str = 'name="a.bin"', kind: str = "application/octet-stream") -> bytes:
    """Return a part that holds a file."""
    head = f"Content-Type: {kind}; {parameter}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head.encode() + base64_lines(data)


def base64_lines(data: bytes) -> bytes:
    """Return base64 in lines of 76 digits."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def zipped(data: bytes, times: int = 1) -> bytes:
    """Return a zip archive that holds the data, in a zip archive, … `times` times."""
    for _ in range(times):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("a.bin", data)
        data = archive.getvalue()
    return data


def _head(*fields: str, author: str = OUTSIDER) -> bytes:
    has_subject = any(field.startswith("Subject:") for field in fields)
    usual = (
        f"From: Lan <{author}>",
        f"To: {OFFICER}",
        *(() if has_subject else ("Subject: =?UTF-8?B?QsOhbyBjw6Fv?=",)),
        f"Message-ID: <{uuid.uuid4().hex}@example.com>",
        "MIME-Version: 1.0",
    )
    return "\r\n".join((*fields, *usual, "", "")).encode()


def _percent(text: str) -> str:
    return "".join(f"%{octet:02X}" for octet in text.encode())
