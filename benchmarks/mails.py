"""The sample mails of the benchmarks: an ordinary Vietnamese mail with one attachment, in three sizes; daily mail.

A mail is the same octets on every run but for QUEUE_ID, which stands wherever Postfix or the author would
write something that no other mail has (Message-ID, Received). Whoever sends it replaces that mark, which
has the length of a queue id, so that neither the sizes nor the frames change.
"""

import base64
import random
from dataclasses import dataclass

QUEUE_ID = b"0QUEUE0ID00"  # as long as "5AA3F20C7B2", Postfix' short queue id; occurs nowhere else

SIZES = {"4 KB": 4 * 1024, "60 KB": 60 * 1024, "5 MB": 5 * 1024 * 1024}

# Daily mail: text alone, and the same text beside HTML (multipart/alternative), as mail programs write it.
DAILY = {"1 KB text": 1_024, "4 KB text": 4_096, "5 KB HTML": 5_120, "30 KB HTML": 30_720}

SENDER = b"a@example.com"
RECIPIENT = b"ptp.bl@hanam.gov.vn"
OUTSIDER = b"lan@gmail.com"  # to whom RECIPIENT writes, in outgoing mail

BOUNDARY = b"=_mailgate-" + QUEUE_ID  # each mail has its own, as real ones have: nothing may profit from a cache

# 20 fields of an ordinary mail and the 2 of MIME, as they stand in the message: the value keeps its leading
# space, a folded line its line feed.
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"Received",
        b" from mail.example.com (mail.example.com [203.0.113.7])\n"
        b"\tby relay.example.com (Postfix) with ESMTPS id " + QUEUE_ID + b"\n"
        b"\tfor <" + RECIPIENT + b">; Tue, 24 Nov 2026 08:00:03 +0700 (+07)",
    ),
    (
        b"Received",
        b" from [192.0.2.25] (unknown [192.0.2.25])\n"
        b"\tby mail.example.com (Postfix) with ESMTPSA;\n"
        b"\tTue, 24 Nov 2026 08:00:02 +0700 (+07)",
    ),
    (
        b"DKIM-Signature",
        b" v=1; a=rsa-sha256; c=relaxed/simple; d=example.com; s=2026;\n"
        b"\tt=1795482002; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=;\n"
        b"\th=From:To:Subject:Date:Message-ID;\n"
        b"\tb=Qm9uZyBoYSBub2kgbmF5IGxhIGNodSBreSB0aHUgbmdoaWVtLCBraG9uZyBraWVt",
    ),
    (b"From", b" =?UTF-8?B?Tmd1eeG7hW4gVsSDbiBBbg==?= <" + SENDER + b">"),
    (b"Sender", b" <" + SENDER + b">"),
    (b"Reply-To", b" <" + SENDER + b">"),
    (b"To", b" =?UTF-8?B?UGjDsm5nIELDrG5oIEzhu6Vj?= <" + RECIPIENT + b">"),
    (
        b"Subject",
        b" =?UTF-8?B?QsOhbyBjw6FvIHTDrG5oIGjDrG5oIHRo4buxYyBoaeG7h24=?=\n"
        b" =?UTF-8?B?IGvhur8gaG/huqFjaCB0aMOhbmcgMTE=?=",
    ),
    (b"Date", b" Tue, 24 Nov 2026 08:00:00 +0700"),
    (b"Message-ID", b" <" + QUEUE_ID + b"@example.com>"),
    (b"In-Reply-To", b" <20261123091500.1@hanam.gov.vn>"),
    (b"References", b" <20261120080000.1@example.com> <20261123091500.1@hanam.gov.vn>"),
    (b"Thread-Topic", b" =?UTF-8?B?QsOhbyBjw6Fv?="),
    (b"Thread-Index", b" AdxdHnqjxeEWm0yKQ0u3Xv0mB3Hk8g=="),
    (b"User-Agent", b" Mozilla Thunderbird"),
    (b"Accept-Language", b" vi-VN, en-US"),
    (b"Content-Language", b" vi"),
    (b"Organization", b" =?UTF-8?B?Q8O0bmcgdHkgVMawIHbhuqVu?="),
    (b"Importance", b" Normal"),
    (b"X-Priority", b" 3"),
    (b"MIME-Version", b" 1.0"),
    (b"Content-Type", b' multipart/mixed;\n boundary="' + BOUNDARY + b'"'),
)


def _outgoing(value: bytes) -> bytes:
    value = value.replace(RECIPIENT, OUTSIDER).replace(SENDER, RECIPIENT)
    return value.replace(QUEUE_ID + b"@example.com", QUEUE_ID + b"@hanam.gov.vn")


# The same mail as RECIPIENT's mail program hands it over, to OUTSIDER: no server has written into it yet.
OUTGOING_HEADERS = tuple(
    (name, _outgoing(value)) for name, value in HEADERS if name not in (b"Received", b"DKIM-Signature")
)

TEXT = """\
Kính gửi Phòng Bình Lục,

Thực hiện Công văn của Ủy ban nhân dân tỉnh về việc báo cáo tình hình thực hiện kế hoạch
tháng 11, đơn vị chúng tôi xin gửi kèm theo thư này bản tổng hợp số liệu. Đề nghị Quý phòng
xem xét, cho ý kiến trước ngày 30 tháng 11 để chúng tôi hoàn thiện và gửi bản chính thức
qua Trục liên thông văn bản.

Trân trọng cảm ơn.

Nguyễn Văn An
"""

BASE64_COLUMNS = 76


@dataclass(frozen=True, slots=True)
class SampleMail:
    """A message as the milter protocol cuts it: header fields, and the body with CRLF line ends."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def wire_bytes(self) -> int:
        """Count what SMTP carries, as MAIL's SIZE= says it."""
        return len(self.text(QUEUE_ID).replace(b"\n", b"\r\n"))

    def text(self, queue_id: bytes) -> bytes:
        """Give the whole message with LF line ends, as smtp-source -F reads it."""
        head = b"".join(name + b":" + value + b"\n" for name, value in self.headers)
        return (head + b"\n" + self.body.replace(b"\r\n", b"\n")).replace(QUEUE_ID, queue_id)


def sample_mail(total_bytes: int, headers: tuple[tuple[bytes, bytes], ...] = HEADERS) -> SampleMail:
    """Compose the mail whose header and body are total_bytes on the wire, filled up by its attachment."""
    room = total_bytes - SampleMail(headers, _body(b"", 0)).wire_bytes
    attachment = _attachment(room)
    return SampleMail(headers, _body(attachment, room - len(attachment)))


def mail_of(size: str, headers: tuple[tuple[bytes, bytes], ...] = HEADERS) -> SampleMail:
    """Compose the mail of a name of SIZES or DAILY."""
    if size in SIZES:
        return sample_mail(SIZES[size], headers)
    fields = tuple((name, value) for name, value in headers if name not in (b"Content-Type", b"DKIM-Signature"))
    if size.endswith("text"):
        fields = fields[-12:] if size.startswith("1 ") else fields
        fields += ((b"Content-Type", b" text/plain; charset=UTF-8"), (b"Content-Transfer-Encoding", b" 8bit"))
        room = DAILY[size] - SampleMail(fields, b"").wire_bytes
        return SampleMail(fields, _prose(room))
    fields += ((b"Content-Type", b' multipart/alternative;\n boundary="' + BOUNDARY + b'"'),)
    room = DAILY[size] - SampleMail(fields, _alternative(b"", b"")).wire_bytes
    text = _prose(room * 3 // 10)
    return SampleMail(fields, _alternative(text, _page(room - len(text))))


def _prose(octets: int) -> bytes:
    """Return lines of text, so many octets or a few less."""
    lines, count = [], 0
    for number in range(octets):
        line = TEXT.splitlines()[number % 10].encode() + b"\r\n"
        if count + len(line) > octets:
            break
        lines.append(line)
        count += len(line)
    return b"".join(lines)


def _page(octets: int) -> bytes:
    """Return HTML of paragraphs, as Outlook writes them."""
    head = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head>'
    head += '<body lang="EN-US">\r\n'
    end = "</body></html>\r\n"
    count = len(head) + len(end)
    pieces = [head]
    for number in range(octets):
        piece = (
            '<p class="MsoNormal"><span style="font-size:12.0pt;font-family:&quot;Times New Roman&quot;,serif">'
            f"{TEXT.splitlines()[number % 10]}<o:p></o:p></span></p>\r\n"
        )
        if count + len(piece.encode()) > octets:
            break
        pieces.append(piece)
        count += len(piece.encode())
    return "".join((*pieces, end)).encode()


def _alternative(text: bytes, page: bytes) -> bytes:
    """Frame the two readings of one text."""
    part = _lines(b"--" + BOUNDARY, b"Content-Type: text/%s; charset=UTF-8", b"Content-Transfer-Encoding: 8bit", b"")
    end = _lines(b"--" + BOUNDARY + b"--")
    return part % b"plain" + text + b"\r\n" + part % b"html" + page + b"\r\n" + end


def _body(attachment: bytes, blanks: int) -> bytes:
    """Frame the attachment; base64 grows in steps, the blanks after the text make up for what is left."""
    return b"".join(
        (
            _lines(
                b"--" + BOUNDARY,
                b"Content-Type: text/plain; charset=UTF-8",
                b"Content-Transfer-Encoding: 8bit",
                b"",
                *TEXT.encode().splitlines(),
                b" " * blanks,
                b"--" + BOUNDARY,
                b'Content-Type: application/pdf; name="bao-cao.pdf"',
                b"Content-Transfer-Encoding: base64",
                b'Content-Disposition: attachment; filename="bao-cao.pdf"',
                b"",
            ),
            attachment,
            _lines(b"--" + BOUNDARY + b"--"),
        )
    )


def _attachment(wire_bytes: int) -> bytes:
    """Make a file whose base64 lines take at most wire_bytes, and as nearly so as base64 can."""
    full_lines, rest = divmod(wire_bytes, BASE64_COLUMNS + 2)
    last_line = max(rest - 2, 0) // 4 * 4
    content_bytes = (full_lines * BASE64_COLUMNS + last_line) // 4 * 3
    encoded = base64.b64encode(pdf(content_bytes))
    columns = range(0, len(encoded), BASE64_COLUMNS)
    return _lines(*(encoded[column : column + BASE64_COLUMNS] for column in columns))


def pdf(octets: int) -> bytes:
    """Return a PDF of one page and exactly so many octets, most of them in a stream that no page shows."""
    filler = random.Random(octets).randbytes(max(0, octets - len(_pdf(b""))))
    while len(made := _pdf(filler)) > octets:
        filler = filler[: len(filler) - (len(made) - octets)]
    return made + b"\n" * (octets - len(made))


def _pdf(filler: bytes) -> bytes:
    text = b"BT /F1 12 Tf 72 720 Td (Bao cao thang 11) Tj ET"
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(filler), filler),
    )
    made = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj%s endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    return bytes(made) + end % (len(objects) + 1, table, len(objects) + 1, len(made))


def _lines(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)
