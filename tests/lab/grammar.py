"""Contents without end: what strangers and services write, legal, nearly legal and hostile, made from a seed.

Everything is put together from the pieces that our readers look for, and then mostly spoilt a little: octets at
random would be turned away at the first look. Each generator takes a `random.Random` and costs microseconds.
"""

import base64
import quopri
import random
from collections.abc import Callable, Sequence
from functools import cache

from tests.lab.hostile import samples

from mailgate.model import FIELDS_READ

ME, OFFICE, LIST = b"ptp.bl@hanam.gov.vn", b"stttt@hanam.gov.vn", b"all@hanam.gov.vn"

# What a reader may stumble over, wherever it stands.
ODDITIES: tuple[bytes, ...] = (
    b"", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\r\n ", b"\0", b"\x7f", b"\x1b[2J", b"%s%n", b"%", b"%%", b"\\", b'"',
    b"'", b"<", b">", b"<>", b"(", b")", b"((", b"@", b"@@", b",", b";", b":", b"=", b"==", b"[", b"]", b"{", b"}",
    b".", b"..", b"-", b"--", b"+", b"/", b"//", b"*", b"?", b"=?", b"?=", b"!", b"#", b"&", b"$", b"~", b"`", b"|",
    b"\xff", b"\xfe\xff", b"\xc3", b"\xe1\xba", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xc0\xaf",
    b"0", b"-1", b"1e400", b"nan", b"inf", b"1" * 25, b"9" * 400, b"9" * 5_000, b"0x1F", "٣".encode(), "²".encode(),
    "Mật".encode(), "đ".encode(), "ß".encode(), "İ".encode(), "ﬃ".encode(), "Ⅷ".encode(), "。".encode(),
    "＠".encode(), "\u200b".encode(), "\u202e".encode(), "\ufeff".encode(), "\U0001f600".encode(),
    "\U000e0041".encode(), "a\u0323\u0302".encode(), "\u0301".encode() * 40, "á»‡".encode(), "\x85".encode(),
    "\u2028".encode(), "\u0600".encode(), "א".encode(), "ا".encode(), "\u1100\u1161".encode(), b"xn--", b"xn--a",
    b"xn--\xff", b"xn--" + b"a" * 70, b"a" * 64, b"a." * 40, b"a" * 300, b"A" * 3_000, b"null", b"None", b"true",
    b"[]", b"[" * 60,
)  # fmt: skip


def some(chance: random.Random, least: int, most: int) -> range:
    """Return so many turns, few mostly."""
    return range(min(most, least + int(chance.expovariate(1.0))))


def odd(chance: random.Random) -> bytes:
    """Return a piece that is nobody's."""
    return chance.choice(ODDITIES)


def spoilt(chance: random.Random, octets: bytes, times: int = 1) -> bytes:
    """Return octets with a few of them changed, taken away, doubled, or with something odd between."""
    for _ in range(times):
        at = chance.randrange(len(octets) + 1)
        until = min(len(octets), at + chance.choice((0, 1, 1, 2, 5, 40)))
        kind = chance.randrange(5)
        if kind < 2:
            octets = octets[:at] + odd(chance) + octets[at:]
        elif kind == 2:
            octets = octets[:at] + octets[until:]
        elif kind == 3:
            octets = octets[:until] + octets[at:]
        else:
            octets = octets[:at] + bytes((chance.randrange(256),)) + octets[at + 1 :]
    return octets


def maybe_spoilt(chance: random.Random, octets: bytes, odds: float = 0.3) -> bytes:
    """Return octets as they are mostly."""
    return spoilt(chance, octets, 1 + int(chance.expovariate(1.0))) if chance.random() < odds else octets


def without(octets: bytes, unwanted: bytes) -> bytes:
    """Return octets without those that cannot come this way."""
    return octets.translate(None, unwanted)


# -- addresses and names ---------------------------------------------------------------------------------

_LOCALS = (
    b"a", b"lan", b"ptp.bl", b"stttt", b"ptp.bl+x", b"PTP.BL", b'"ptp.bl"', b'"a b"', b'"a@b"', b'"\\""', b"all",
    b"a+caf_=ptp.bl=hanam.gov.vn", b"a+caf_=b", b"SRS0=ab=cd=example.com=lan", b"srs0+ab=cd=hanam.gov.vn=ptp.bl",
    b"SRS1=ab=example.com==cd=ef=gmail.com=a", b"x+SRS=ab=cd=hanam.gov.vn=a", b"prvs=0123456789=ptp.bl",
    b"ptp.bl=prvs=0123456789", b"list-bounces+lan=example.com", "nguyễn".encode(),
    b"\xff", b"\xed\xb3\xbf", b"",
)  # fmt: skip
_DOMAINS = (
    b"hanam.gov.vn", b"hanam.gov.vn", b"hanam.gov.vn.", b"HANAM.GOV.VN", b"ninhbinh.gov.vn", b"gmail.com",
    b"example.com", b"mail.example.com", b"[203.0.113.7]", b"[IPv6:2001:db8::7]", b"localhost",
    "hà-nam.vn".encode(), b"xn--h-nam-7qa.vn",
    b"facebookmail.com", b"shopee.vn", b"a" * 63 + b".vn", b"a..b", b"-a-.vn", b"vn", b"gov.vn", b"", b".",
    b"\xff.vn",
)  # fmt: skip


def mailbox(chance: random.Random) -> bytes:
    """Return an address without brackets."""
    whole = chance.choice((ME, OFFICE, LIST)) if chance.random() < 0.4 else b""
    whole = whole or chance.choice(_LOCALS) + b"@" + chance.choice(_DOMAINS)
    return maybe_spoilt(chance, whole, 0.15)


def path(chance: random.Random) -> bytes:
    """Return an RFC 5321 path."""
    form = chance.randrange(12)
    if form == 0:
        return b"<>"
    if form == 1:
        return b"<@a.example,@b.example:" + mailbox(chance) + b">"
    if form == 2:
        return mailbox(chance)
    return maybe_spoilt(chance, b"<" + mailbox(chance) + b">", 0.1)


def domain(chance: random.Random) -> bytes:
    """Return the name of a host or a domain."""
    return maybe_spoilt(chance, chance.choice(_DOMAINS), 0.2)


def client(chance: random.Random) -> bytes:
    """Return a client's IP address."""
    usual = (b"203.0.113.7", b"203.0.113.7", b"198.51.100.9", b"10.1.1.5", b"127.0.0.1", b"2001:db8::7", b"::1",
             b"::ffff:203.0.113.7", b"fe80::1%eth0", b"fe80::1%\xff", b"::ffff:10.0.0.1%a/b", b"unknown", b"",
             b"0.0.0.0", b"255.255.255.255", b"::", b"1.2.3", b"1" * 5_000)  # fmt: skip
    return maybe_spoilt(chance, chance.choice(usual), 0.05)


_ARGUMENTS = (
    b"SIZE=1000", b"SIZE=31457281", b"SIZE=", b"SIZE=-1", b"SIZE=" + b"9" * 5_000, "SIZE=²".encode(),
    b"BODY=8BITMIME", b"SMTPUTF8", b"RET=HDRS", b"ENVID=a+2Bb", b"AUTH=<>", b"NOTIFY=NEVER",
    b"ORCPT=rfc822;ptp.bl@hanam.gov.vn", b"ORCPT=rfc822;a+40b", b"ORCPT=rfc822;+FF+ED+A0+80@hanam.gov.vn",
    b"ORCPT=utf-8;\\x{110}@hanam.gov.vn", b"ORCPT=;",
    b"ORCPT=", b"ORCPT", b"XYZ",
)  # fmt: skip


def arguments(chance: random.Random) -> tuple[bytes, ...]:
    """Return ESMTP parameters."""
    return tuple(maybe_spoilt(chance, chance.choice(_ARGUMENTS), 0.2) for _ in some(chance, 0, 4))


# -- header fields -----------------------------------------------------------------------------------------


def words(chance: random.Random) -> bytes:
    """Return text of a header field: words, encoded words, phrases that rules know."""
    pieces = (b"Bao cao", "Báo cáo tuần".encode(), "[QC] Giảm giá 50%".encode(), b"[AD] x", "MẬT: kế hoạch".encode(),
              b"=?utf-8?B?" + base64.b64encode("Tuyệt mật".encode()) + b"?=", b"=?utf-8?Q?M=E1=BA=ADt?=", b"Fwd: a",
              b"=?x?B?x?=", b"=?utf-7?Q?+AGE-?=", b"=?utf-16?B?//8=?=", b"=?idna?Q?xn--a?=", b"=?punycode?Q?a-?=",
              b"=?unicode_escape?Q?=5Cud800?=", b"=?utf-8?Q?=ED=A0=80?=", b"=?hex?Q?4?=", b"Re: x",
              "12345 là mã xác nhận".encode(), b"=?undefined?Q?a?=", b"=?utf-8?B?=====?=",
              b"Welcome to Facebook")  # fmt: skip
    joined = b" ".join([chance.choice(pieces) for _ in some(chance, 1, 5)])
    return maybe_spoilt(chance, joined, 0.3)


def address_list(chance: random.Random) -> bytes:
    """Return what stands in a From."""
    forms: tuple[Callable[[], bytes], ...] = (
        lambda: mailbox(chance),
        lambda: words(chance) + b" <" + mailbox(chance) + b">",
        lambda: b'"' + mailbox(chance) + b'" <' + mailbox(chance) + b">",
        lambda: b"Nhom: " + mailbox(chance) + b", " + mailbox(chance) + b";",
        lambda: b"(" + words(chance) + b") " + mailbox(chance),
        lambda: b"=?UTF-8?B?" + base64.b64encode(mailbox(chance)) + b"?=",
    )
    return maybe_spoilt(chance, b", ".join([chance.choice(forms)() for _ in some(chance, 1, 4)]), 0.3)


def received(chance: random.Random) -> bytes:
    """Return a Received line."""
    by = chance.choice((b"mx.hanam.gov.vn", b"mx.hanam.gov.vn", b"mx.example.com", domain(chance)))
    line = b"from " + domain(chance) + b" (unknown [203.0.113.7])\n\tby " + by + b" (Postfix) with ESMTP id "
    line += chance.choice((b"4Cw3Jx2yZz", b"AAAA%d" % chance.randrange(50), b"x")) + b"\n\tfor <" + mailbox(chance)
    return maybe_spoilt(chance, line + b">; Tue, 24 Nov 2026 08:00:00 +0700", 0.3)


def date(chance: random.Random) -> bytes:
    """Return a date."""
    dates = (b"Tue, 24 Nov 2026 08:00:00 +0700", b"Tue, 99 Nov 99999 99:99:99 +9999", b"1 Jan 0000 00:00 -2400", b"x")
    return maybe_spoilt(chance, chance.choice(dates), 0.4)


def tags(chance: random.Random) -> bytes:
    """Return a DKIM or ARC field."""
    signed = chance.choice((b"hanam.gov.vn", b"ninhbinh.gov.vn", b"example.com", domain(chance)))
    values = [b"v=1", b"a=" + chance.choice((b"rsa-sha256", b"ed25519-sha256", b"x")), b"c=relaxed/simple",
              b"d=" + signed, b"s=" + chance.choice((b"k", b"\xff", b"a b", b"")), b"h=from:subject:" + odd(chance),
              b"i=%d" % chance.randrange(60), b"t=" + chance.choice((b"1", b"9" * 5_000, b"-1")), b"l=0", b"cv=pass",
              b"bh=" + base64.b64encode(odd(chance)), b"b=" + base64.b64encode(odd(chance) * 9)]  # fmt: skip
    chance.shuffle(values)
    return maybe_spoilt(chance, b"; ".join(values[: chance.randrange(4, 12)]), 0.3)


def content_type(chance: random.Random, boundary: bytes = b"b") -> bytes:
    """Return a Content-Type."""
    types = (b"text/plain; charset=utf-8", b"text/html", b"multipart/mixed; boundary=" + boundary,
             b'multipart/alternative; boundary="' + boundary + b'"', b"multipart/digest; boundary=" + boundary,
             b"multipart/signed; boundary=" + boundary, b"multipart/report", b"multipart/", b"message/rfc822",
             b"message/delivery-status", b"application/octet-stream; name=a.exe", b"image/png", b"application/pdf",
             b"application/ms-tnef; name=winmail.dat", b"application/pkcs7-mime", b"multipart/mixed; boundary*0=b",
             b"text/plain; charset=" + chance.choice(_CHARSETS), b"text/plain; name*0*=utf-8''a; name*1=.exe",
             b"text/plain; name*" + b"9" * 5_000 + b"=a", b'x/y; name="=?utf-8?Q?=ED=A0=80?="', b"x/y; name=\xff.zip",
             b"text; boundary", b"/", b";", b"multipart/mixed; boundary=b; boundary=c")  # fmt: skip
    return maybe_spoilt(chance, chance.choice(types), 0.25)


_CHARSETS = (
    b"utf-8", b"utf-7", b"utf-16", b"windows-1258", b"tcvn3", b"viscii", b"vni", b"iso-2022-kr", b"hz", b"punycode",
    b"idna", b"base64", b"zlib", b"undefined", b"raw_unicode_escape", b"unicode_escape", b"mbcs", b"utf-8\0", b"\xff",
    b"a" * 5_000, b"..", b"rot13", b"hex", b"bz2", b"unknown-8bit",
)  # fmt: skip
_ENCODINGS = (
    b"base64",
    b"quoted-printable",
    b"8bit",
    b"7bit",
    b"binary",
    b"x-uuencode",
    b"base64;",
    b"x",
    b"\xff",
    b"",
)
_OTHER_FIELDS = (b"To", b"Cc", b"Date", b"Reply-To", b"X-A", b"References", b"MIME-Version", b"Return-Path", b"Bcc")
_SHORT = (b"yes", b"no", b"auto-forwarded", b"auto-replied", b"auto-generated; a=b", b"bulk", b"list", b"true",
b"Rules", b"<list.example.com>", b"<mailto:a@b.vn>", b"fetchmail", b"(fetchmail-6.4.37)")  # fmt: skip
_NAMES = sorted(FIELDS_READ)
_ADDRESSED = frozenset(
    name for name in _NAMES if name.endswith((b"from", b"sender", b"to")) or name.startswith((b"x-f", b"x-y", b"x-z"))
)


def field(chance: random.Random, name: bytes) -> bytes:
    """Return the value of a header field of this (lower-case) name, with the space that it begins with."""
    if name == b"received":
        value = received(chance)
    elif name == b"content-type":
        value = content_type(chance)
    elif name == b"content-transfer-encoding":
        value = maybe_spoilt(chance, chance.choice(_ENCODINGS), 0.1)
    elif name == b"content-disposition":
        value = maybe_spoilt(
            chance, b'attachment; filename="a.' + chance.choice((b"pdf", b"exe", b"zip")) + b'"', 0.3
        )
    elif name in (b"dkim-signature", b"arc-seal", b"arc-message-signature"):
        value = tags(chance)
    elif name in _ADDRESSED:
        value = address_list(chance)
    elif name == b"date":
        value = date(chance)
    elif name.endswith(b"-id") or name == b"in-reply-to":
        value = maybe_spoilt(chance, b"<%d@example.com>" % chance.randrange(200), 0.2)
    else:
        value = maybe_spoilt(chance, chance.choice((words(chance), address_list(chance), *_SHORT)), 0.2)
    return value if chance.random() < 0.05 else b" " + value


def header(chance: random.Random) -> list[tuple[bytes, bytes]]:
    """Return a message's header fields: those of a letter, and some that rules read."""
    fields = [
        (name, field(chance, name.lower())) for name in (b"From", b"Subject", b"Message-ID") if chance.random() < 0.9
    ]
    for _ in some(chance, 1, 12):
        name = chance.choice(_NAMES) if chance.random() < 0.8 else chance.choice(_OTHER_FIELDS)
        fields.append((maybe_spoilt(chance, name.title(), 0.03), field(chance, name.lower())))
    for name in (b"Content-Type", b"Content-Transfer-Encoding", b"Content-Disposition"):
        if chance.random() < 0.5:
            fields.append((name, field(chance, name.lower())))
    if chance.random() < 0.02:
        fields *= chance.choice((30, 400))
    chance.shuffle(fields)
    return fields


# -- bodies ------------------------------------------------------------------------------------------------

_TEXTS = (
    "Kính gửi ông.\r\n".encode(), "TUYỆT MẬT\r\nT U Y Ệ T  M Ậ T\r\n".encode(), b"x", b"",
    b"begin 644 a.com\r\n#86)C\r\n`\r\nend\r\n", b"=ybegin line=128 size=9 name=a.exe\r\nabc\r\n=yend\r\n",
    b"-----BEGIN PGP MESSAGE-----\r\n", b"<p>x<b>y",
    "<div style='display:none'>MẬT</div><font face='.VnTime'>§é mËt</font>".encode(), b"<!--" * 20,
    b"&#xD800;&#9999999999;", "Giảm giá 50%, mua ngay, giá chỉ 99.000đ http://shop.example/ từ chối".encode(),
    b"%PDF-1.4\n", b"PK\x03\x04", "cá độ bóng đá".encode(), "độ mật: A\r\nhoà thuỷ".encode(),
    "§é mËt: TuyÖt mËt".encode("latin-1"),
)  # fmt: skip


@cache
def _files() -> Sequence[bytes]:
    return [octets for _, octets in samples() if len(octets) < 20_000]


def content(chance: random.Random) -> bytes:
    """Return what a part holds, decoded."""
    if chance.random() < 0.04:
        return maybe_spoilt(chance, chance.choice(_files()), 0.8)
    return maybe_spoilt(chance, b"".join([chance.choice(_TEXTS) for _ in some(chance, 1, 6)]), 0.4)


def encoded(chance: random.Random, octets: bytes) -> tuple[bytes, bytes]:
    """Return the Content-Transfer-Encoding of a part, and its octets in it, or nearly."""
    encoding = chance.choice(_ENCODINGS)
    if encoding == b"base64":
        octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    elif encoding == b"quoted-printable":
        octets = quopri.encodestring(octets).replace(b"\n", b"\r\n")
    return encoding, maybe_spoilt(chance, octets, 0.3)


def part(chance: random.Random, depth: int = 0) -> bytes:
    """Return a part with its header block."""
    if depth < 4 and chance.random() < 0.3:
        boundary = chance.choice((b"b", b"b1", b"b" * chance.randrange(1, 80), b"b c"))
        return b"Content-Type: " + content_type(chance, boundary) + b"\r\n\r\n" + body(chance, boundary, depth + 1)
    encoding, octets = encoded(chance, content(chance))
    fields = [b"Content-Type:" + field(chance, b"content-type"), b"Content-Transfer-Encoding: " + encoding]
    if chance.random() < 0.4:
        fields.append(b"Content-Disposition:" + field(chance, b"content-disposition"))
    return maybe_spoilt(chance, b"\r\n".join(fields) + b"\r\n\r\n", 0.1) + octets


def body(chance: random.Random, boundary: bytes = b"b", depth: int = 0) -> bytes:
    """Return a body: a multipart's of this boundary, mostly, or a text."""
    if chance.random() < 0.4:
        return encoded(chance, content(chance))[1]
    parts = [b"--" + boundary + b"\r\n" + part(chance, depth) + b"\r\n" for _ in some(chance, 1, 5)]
    end = chance.choice((b"--" + boundary + b"--\r\n", b"--" + boundary + b"--", b"", b"--" + boundary))
    return maybe_spoilt(chance, b"".join(parts) + end, 0.2)


# -- what services answer ------------------------------------------------------------------------------------


def json_value(chance: random.Random, depth: int = 0) -> bytes:
    """Return JSON that no service of ours answers, and sometimes none at all."""
    kind = chance.randrange(16)
    if kind < 3 and depth < 3:
        return b"[" + b",".join([json_value(chance, depth + 1) for _ in some(chance, 0, 5)]) + b"]"
    if kind < 6 and depth < 3:
        pairs = [json_text(chance) + b":" + json_value(chance, depth + 1) for _ in some(chance, 0, 5)]
        return b"{" + b",".join(pairs) + b"}"
    if kind < 8:
        return json_text(chance)
    numbers = (b"null", b"5", b"-1", b"1.5", b"1e308", b"1e400", b"-0", b"true", b"false", b"9" * 20, b"9" * 400,
               b"0", b"NaN", b"Infinity", b'"nan"', b'"1e400"', b"[" * 1_000 + b"]" * 1_000,
               b'{"a":' * 1_000 + b"1" + b"}" * 1_000, b'"\\ud800"', b'"' + b"9" * 5_000 + b'"')  # fmt: skip
    return chance.choice(numbers)


def json_text(chance: random.Random) -> bytes:
    """Return a string as JSON."""
    known = (
        b"action",
        b"score",
        b"symbols",
        b"name",
        b"reject",
        b"no action",
        b"text",
        b"mx",
        b"a@hanam.gov.vn",
        b"x",
    )
    plain = chance.choice(known) if chance.random() < 0.6 else odd(chance)
    text = plain.decode("utf-8", "replace")
    return b'"' + "".join(c if c >= " " and c not in '"\\' else f"\\u{ord(c):04x}" for c in text).encode() + b'"'


def json_of(chance: random.Random, legal: Sequence[bytes], odds: float = 0.3) -> list[bytes]:
    """Return JSON values, some of them others than they should be."""
    return [json_value(chance) if chance.random() < odds else value for value in legal]


def clamd_answer(chance: random.Random) -> bytes:
    """Return what clamd answers to a scan."""
    answers = (
        b"stream: OK\0",
        b"fd[10]: OK\0",
        b"fd[10]: Eicar-Test-Signature FOUND\0",
        b"stream: x: y FOUND\0",
        b"fd[10]: Heuristics.Encrypted.Zip FOUND\0",
        b"INSTREAM size limit exceeded. ERROR\0",
        b"stream: Heuristics.Limits.Exceeded.MaxFiles FOUND\0",
        b"COMMAND READ TIMED OUT ERROR\0",
        b"OK\0",
        b"",
    )
    return maybe_spoilt(chance, chance.choice(answers), 0.4)


def rspamd_answer(chance: random.Random) -> bytes:
    """Return what rspamd answers to /checkv2."""
    if chance.random() < 0.1:
        return json_value(chance)
    action = b'"' + chance.choice((b"reject", b"no action", b"soft reject", b"add header", b"greylist")) + b'"'
    symbols = []
    for _ in some(chance, 0, 6):
        name, score = json_of(chance, (json_text(chance), b"%.2f" % chance.uniform(-9, 9)), 0.1)
        symbols.append(json_text(chance) + b':{"name":' + name + b',"score":' + score + b"}")
    values = json_of(chance, (action, b"7.5", b"15.0", b"{" + b",".join(symbols) + b"}"), 0.08)
    names = (b'"action":', b'"score":', b'"required_score":', b'"symbols":')
    whole = b",".join([name + value for name, value in zip(names, values, strict=True) if chance.random() < 0.97])
    return maybe_spoilt(chance, b"{" + whole + b"}", 0.1)


def spamd_answer(chance: random.Random) -> bytes:
    """Return what SpamAssassin's spamd answers to SYMBOLS."""
    answer = b"SPAMD/1.1 0 EX_OK\r\nContent-length: 27\r\nSpam: True ; 1000.0 / 5.0\r\n\r\nGTUBE,NO_RECEIVED\r\n"
    number = chance.choice((b"1000.0", b"-3.1", b"7", b"nan", b"9" * 400, b"1e5", odd(chance)))
    status = chance.choice((*[b"0 EX_OK"] * 9, b"74 EX_IOERR", b"9" * 5_000 + b" x", odd(chance)))
    answer = answer.replace(b"1000.0", number).replace(b"0 EX_OK", status)
    return maybe_spoilt(chance, answer, 0.3)


def trace_value(chance: random.Random, at: float) -> bytes:
    """Return what a store may have under a key of a trace: what this version wrote, another one, or anything."""
    form = chance.randrange(8)
    if form == 0:
        return maybe_spoilt(chance, json_value(chance), 0.5)
    if form == 1:
        return odd(chance)
    legal = (b"%d" % at, b'"mx"', b'""', b'"a@example.com"', b'"0123456789ab,"', b'"0123456789ab,"', b"true",
             b'["ptp.bl@hanam.gov.vn"]', b'"0123456789ab,"')  # fmt: skip
    values = json_of(chance, legal, chance.choice((0.0, 0.2)))
    if chance.random() < 0.1:
        values = values[: chance.randrange(9)] + [b"1"] * chance.choice((0, 3))
    return maybe_spoilt(chance, b"[" + b",".join(values) + b"]", 0.2)


_REPLIES: tuple[object, ...] = (
    None, 0, 1, -1, 2**63, 1.5, True, b"", b"OK", b"1", b"-1", b"\xff", b"nan", b"9" * 5_000, "OK", [], {}, set(),
    [None],
    [[]], {b"a": b"b"}, {b"\xff": None}, [b"1", b"2"], {b"x"}, [1, 2, 3, 4, 5, 6, 7], [1, 2], b"[1", b"null", b"{}",
    b'{"address":"a"}', [b"a", 1.0], {b"a": 1}, (b"a", 1.5), b"\0" * 11, b"a" * 65, b"a" * 32,
)  # fmt: skip


def redis_reply(chance: random.Random) -> object:
    """Return what a Redis answers that is none of ours: another type, another version's value."""
    return chance.choice(_REPLIES)


def spf_record(chance: random.Random) -> bytes:
    """Return a TXT record that says it is SPF."""
    terms = (b"a", b"mx", b"ptr", b"all", b"-all", b"ip4:203.0.113.0/24", b"ip6:2001:db8::/32", b"ip4:1.2.3.4/99",
             b"ip6:fe80::1%25eth0", b"include:_spf.example.com", b"exists:%{i}._spf.%{d}",
             b"exists:%{S1r+}.%{L}.%{h}.vn", b"a:%{p}.%{d2r}.vn", b"redirect=%{O}.vn", b"exp=%{c}.%{t}", b"mx//0",
             b"a/33", b"exists:%{v}.%{ir}.vn", b"ptr:%{l999}.vn", b"include:", b"unknown=%{x}",
             b"exists:%{l" + b"9" * 300 + b"}.a")  # fmt: skip
    chosen = [chance.choice(terms) for _ in some(chance, 1, 8)]
    return maybe_spoilt(chance, b"v=spf1 " + b" ".join(chosen), 0.2)


def key_record(chance: random.Random) -> bytes:
    """Return a TXT record that says it is a key of DKIM."""
    key = base64.b64encode(bytes(chance.randrange(256) for _ in range(chance.choice((0, 31, 32, 33, 90)))))
    return maybe_spoilt(chance, b"v=DKIM1; k=" + chance.choice((b"rsa", b"ed25519")) + b"; p=" + key, 0.3)


def worker_frame(chance: random.Random) -> bytes:
    """Return what an inspection worker that a file took over may say."""
    forms = (
        (
            b'"text"',
            b'"a.pdf"',
            b'"body"',
            json_text(chance),
            b'[["A","hold","stamp",1,2]]',
            b'"tcvn3"',
            b'"x"',
            b"false",
        ),
        (
            b'"file"',
            b'"a > b"',
            b'"b.exe"',
            b'"exe"',
            b'"x/y"',
            b"10",
            b'"' + b"0" * 64 + b'"',
            b'[["program","exe"]]',
        ),
        (b'"uninspected"', b'"a"', b'"damaged"', json_text(chance)),
        (b'"proven"', b'"hanam.gov.vn"'),
        (b'"end"', b"0"),
    )
    return maybe_spoilt(chance, b"[" + b",".join(json_of(chance, chance.choice(forms), 0.1)) + b"]", 0.1)
