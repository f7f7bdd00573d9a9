"""Mails whose structure is written in every way that a program may read otherwise, made from a seed.

Each has files behind delimiters, header lines and boundaries of all kinds; what Dovecot's BODYSTRUCTURE shows of
them is what the walk is held against.
"""

import base64
import random
from collections.abc import Callable, Iterator, Sequence

_N = b"\r\n"
_NAMES = (b"a.exe", b"bao cao.docx", b"=?utf-8?B?aG9hLWRvbi5leGU=?=", b"x.txt", b"hoa-don.exe")
_SETS = (b"utf-8", b"us-ascii", b"windows-1258", b"utf-16")
_LETTERS = b"abcABC123'()+_,-./:=?"
_ODD_LINES = (
    *(
        b"no field here",
        b"From me@example.com Mon Nov 30 10:00:00 2026",
        b">From x",
        b"Content Type: text/html",
        b":",
    ),
    *(
        b"X",
        b": x",
        b"\xc3\xa1 \xff: 8 bit",
        b"Content-Type",
        b"-- ",
        b"--",
        b"X-\x00: nul",
        b"Content-Type : text/html",
    ),
    *(
        b"X-A: b",
        b"X-A:b",
        b"X-A:\tb",
        b"X-A: " + b"long " * 300,
        b"X-A: folded\r\n here",
        b"X-A:\r\n b",
        b"\tfolded",
    ),
    *(b" Content-Type: application/pdf", b"Content-Description: =?utf-8?q?x?=", b"content-id: <a@b>"),
)


class _Chance(random.Random):
    files: Sequence[bytes] = ()


def structures(count: int, seed: int, files: Sequence[bytes] = ()) -> Iterator[bytes]:
    """Yield so many mails, with CRLF; the same for the same seed. files: what is in their files, by chance."""
    for number in range(count):
        chance = _Chance(f"{seed}/{number}")
        chance.files = files
        yield _mail(chance)


def _mail(chance: _Chance) -> bytes:
    head = [b"From: a@example.com", b"To: ptp.bl@hanam.gov.vn", b"Subject: x", b"MIME-Version: 1.0"]
    chance.shuffle(head)
    part = _part(chance, 0, [])
    return _N.join(head) + _N + part


def _part(chance: _Chance, depth: int, outer: list[bytes]) -> bytes:
    """Return a part: its header lines, a blank line and its body; outer: the boundaries around it."""
    kinds = [_text, _text, _file, _file, _multipart, _message] if depth < 6 else [_text, _file]
    if depth == 0:
        kinds = [_multipart, _multipart, _multipart, _multipart, _message, _file]
    fields, body = chance.choice(kinds)(chance, depth, outer)
    fields = [_spelled(chance, field) for field in fields]
    chance.shuffle(fields)
    if depth and chance.random() < 0.3:
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            fields.insert(chance.randrange(len(fields) + 1), _odd_line(chance, outer))
    blank = _N if chance.random() > 0.04 else b""
    return b"".join(field + _N for field in fields) + blank + body


def _odd_line(chance: _Chance, outer: list[bytes]) -> bytes:
    if outer and chance.random() < 0.1:
        return b"--" + chance.choice(outer)[: chance.randrange(1, 90)]
    return chance.choice(_ODD_LINES)


def _spelled(chance: _Chance, field: bytes) -> bytes:
    name, _, value = field.partition(b": ")
    if chance.random() < 0.1:
        name = chance.choice((name.upper(), name.lower(), name.swapcase()))
    join = (
        b": "
        if chance.random() > 0.2
        else chance.choice((b":", b":\t", b":  ", b" : ", b"\t:", b":\r\n ", b":\r\n\t"))
    )
    if chance.random() < 0.1:
        value = value.replace(b"; ", chance.choice((b";", b" ;", b";\r\n\t", b"; (a comment) ", b";;", b"; ; ")))
    if chance.random() < 0.04:
        value = chance.choice((b"(c)" + value, value + b" (c)", value + b";", b'"' + value, value + b" junk"))
    return name + join + value


def _transfer(chance: _Chance, octets: bytes) -> tuple[list[bytes], bytes]:
    encoding = chance.choice(
        (b"base64", b"base64", b"BASE64", b"7bit", b"8bit", b"quoted-printable", b"binary", b"x", b"")
    )
    body = base64.encodebytes(octets).replace(b"\n", _N) if encoding.lower() == b"base64" else octets + _N
    fields = [b"Content-Transfer-Encoding: " + encoding] if encoding else []
    if encoding and chance.random() < 0.05:
        fields.append(b"Content-Transfer-Encoding: " + chance.choice((b"base64", b"7bit", b"quoted-printable")))
    return fields, body


def _named(chance: _Chance, field: bytes, parameter: bytes) -> bytes:
    name = chance.choice(_NAMES)
    form = chance.randrange(7)
    if form == 0:
        return field
    if form == 1:
        return field + b"; " + parameter + b"*=utf-8''" + name.replace(b" ", b"%20").replace(b"?", b"%3F")
    if form == 2:
        return field + b"; " + parameter + b'*0="' + name[:2] + b'"; ' + parameter + b'*1="' + name[2:] + b'"'
    if form == 3 and b" " not in name and b"?" not in name:
        return field + b"; " + parameter + b"=" + name
    if form == 4:
        return field + b"; " + parameter + b'="' + name + b'"; ' + parameter + b'="x.txt"'
    return field + b"; " + parameter + b'="' + name + b'"'


def _text(chance: _Chance, depth: int, outer: list[bytes]) -> tuple[list[bytes], bytes]:
    kind = chance.choice((b"text/plain", b"text/html", b"text/calendar", b"TEXT/Plain"))
    fields = [b"Content-Type: " + kind + b"; charset=" + chance.choice(_SETS)] if chance.random() < 0.9 else []
    if fields and chance.random() < 0.1:
        fields[0] = _named(chance, fields[0], b"name")
    lines = [
        chance.choice((b"xin chao", b"", b"-- ", b"--", b"From x", b".", b"- a"))
        for _ in range(chance.randrange(1, 5))
    ]
    if outer and chance.random() < 0.15:
        lines.insert(chance.randrange(len(lines)), _near(chance, chance.choice(outer)))
    transfer, body = _transfer(chance, _N.join(lines) + b" %d" % chance.randrange(10**9))
    return fields + transfer, body


def _file(chance: _Chance, depth: int, outer: list[bytes]) -> tuple[list[bytes], bytes]:
    kind = chance.choice(
        (
            b"application/octet-stream",
            b"application/pdf",
            b"image/png",
            b"text/plain",
            b"x",
            b"message/delivery-status",
        )
    )
    if chance.random() < 0.08:
        kind = chance.choice(
            (b"message/partial; id=a; number=1; total=1", b"message/external-body; access-type=local-file")
        )
    fields = [_named(chance, b"Content-Type: " + kind, b"name")]
    if chance.random() < 0.7:
        disposition = chance.choice((b"attachment", b"inline", b"ATTACHMENT", b"x"))
        fields.append(_named(chance, b"Content-Disposition: " + disposition, b"filename"))
    if chance.random() < 0.06:
        fields.append(
            b"Content-Type: " + chance.choice((b"text/plain", b"application/zip", b"multipart/mixed; boundary=z"))
        )
    octets = b"MZ" + b"%d" % chance.randrange(10**9) * chance.randrange(1, 20)
    transfer, body = _transfer(chance, chance.choice(chance.files) if chance.files else octets)
    return fields + transfer, body


def _message(chance: _Chance, depth: int, outer: list[bytes]) -> tuple[list[bytes], bytes]:
    fields = [
        _named(
            chance,
            b"Content-Type: " + chance.choice((b"message/rfc822", b"message/rfc822", b"message/global")),
            b"name",
        )
    ]
    if chance.random() < 0.2:
        fields.append(
            b"Content-Transfer-Encoding: " + chance.choice((b"7bit", b"8bit", b"base64", b"quoted-printable"))
        )
    return fields, b"Subject: inner\r\n" + _part(chance, depth + 1, outer)


def _boundary(chance: _Chance) -> bytes:
    length = chance.choice((1, 2, 3, 8, 24, 60, 69, 70, 71, 79, 80, 81, 90, 200, 1_000))
    return bytes(chance.choice(_LETTERS) for _ in range(length))


def _near(chance: _Chance, boundary: bytes) -> bytes:
    """Return a line that is this boundary's delimiter for some program."""
    forms: tuple[Callable[[], bytes], ...] = (
        lambda: b"--" + boundary + b" x",
        lambda: b"--" + boundary + b"_9",
        lambda: b"--" + boundary + b"--x",
        lambda: b"--" + boundary + b"-",
        lambda: b"--" + boundary + b" ",
        lambda: b"--" + boundary + b"\t",
        lambda: b"--" + boundary + b"\rx",
        lambda: b"--" + boundary + b"--",
        lambda: b"--" + boundary + b"-- ",
        lambda: b" --" + boundary,
        lambda: b"-" + boundary,
        lambda: b"---" + boundary,
        lambda: b"--" + boundary[:-1],
        lambda: b"--" + boundary[:80],
        lambda: b"--" + boundary[:70],
        lambda: b"--" + boundary.swapcase(),
        lambda: b"--" + boundary + b"\x00",
    )
    return chance.choice(forms)()


def _multipart(chance: _Chance, depth: int, outer: list[bytes]) -> tuple[list[bytes], bytes]:
    boundary = _boundary(chance)
    if outer and chance.random() < 0.25:
        near = chance.choice(outer)
        boundary = chance.choice((near, near + b"x", near[:-1] or near, near + b"--", near + boundary))
    subtype = chance.choice(
        (b"mixed", b"mixed", b"alternative", b"related", b"digest", b"parallel", b"signed", b"MIXED", b"x-y", b"")
    )
    spelled = (b'boundary="' + boundary + b'"', b"boundary=" + boundary, b'BOUNDARY="' + boundary + b'"')
    form = chance.randrange(12)
    parameter = (
        spelled[0]
        if form < 8
        else spelled[1]
        if form == 8
        else spelled[2]
        if form == 9
        else b"boundary*=us-ascii''" + boundary
    )
    if form == 11:
        parameter = b'boundary*0="' + boundary[:1] + b'"; boundary*1="' + boundary[1:] + b'"'
    if chance.random() < 0.05:
        parameter += chance.choice((b"; boundary=zz", b'; boundary="' + boundary + b'"', b"; type=text/html"))
    fields = [b"Content-Type: multipart/" + subtype + b"; " + parameter]
    if chance.random() < 0.05:
        fields.append(
            chance.choice(
                (
                    fields[0],
                    b"Content-Type: text/plain",
                    b"Content-Type: multipart/mixed; boundary=zz",
                    b"Content-Type: message/rfc822",
                )
            )
        )
    if chance.random() < 0.05:
        fields.append(b"Content-Transfer-Encoding: " + chance.choice((b"7bit", b"base64", b"quoted-printable")))
    known = [*outer, boundary]
    body = chance.choice((b"", b"", b"preamble\r\n", b"\r\n", b"x: y\r\n"))
    for _ in range(chance.randrange(1, 4)):
        delimiter = b"--" + boundary if chance.random() > 0.12 else _near(chance, boundary)
        body += delimiter + _N + _part(chance, depth + 1, known)
    end = chance.random()
    if end < 0.75:
        body += b"--" + boundary + b"--" + chance.choice((_N, _N, b"", b"\r\nepilogue\r\n", b" \r\n"))
    elif end < 0.85:
        body += _near(chance, boundary) + _N
    return fields, body
