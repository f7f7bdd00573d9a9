"""Mails that are made to cost more than their share: each by its size in octets, by what of a reader it aims at.

A reader that is not linear in what a stranger writes shows in these when the size doubles. Whoever finds another way
adds it here: the tests of growth, of the daemon at work and the benchmark run all of them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

N = b"\r\n"
ME = "ptp.bl@hanam.gov.vn"
HEAD = (
    b"From: lan@example.com\r\nTo: ptp.bl@hanam.gov.vn\r\nSubject: x\r\nMessage-ID: <1@example.com>\r\n"
    b"MIME-Version: 1.0\r\n"
)


@dataclass(frozen=True, slots=True)
class Burning:
    """A mail that burns: its octets, with CRLF, and its envelope. sender, recipients: mailboxes."""

    message: bytes
    recipients: tuple[str, ...] = (ME,)
    sender: str = "lan@example.com"
    login: str = ""
    hook: str = "mx"


def _header(line: bytes, size: int, **envelope: object) -> Burning:
    """Return a mail with this field again and again; %d in it is a number."""
    return Burning(_repeated(line, size) + HEAD + N + b"x" + N, **envelope)  # type: ignore[arg-type]


def _repeated(line: bytes, size: int) -> bytes:
    lines, octets = [], 0
    for number in count():
        lines.append(line.replace(b"%d", b"%d" % number) + N)
        octets += len(lines[-1])
        if octets >= size:
            return b"".join(lines)
    raise AssertionError


def _field(name: bytes, text: bytes, size: int, join: bytes = b"", end: bytes = b"") -> Burning:
    """Return a mail with one field whose value is this text again and again, folded where `join` folds."""
    pieces = [text.replace(b"%d", b"%d" % number) for number in range(size // max(1, len(text + join)))]
    field_line = name + b": " + join.join(pieces) + end + N
    head = b"".join(line + N for line in HEAD.split(N) if line and not line.startswith(name + b":"))
    return Burning(head + field_line + N + b"x" + N)


def _body(body: bytes, header: bytes = b"", **envelope: object) -> Burning:
    return Burning(HEAD + header + N + body + N, **envelope)  # type: ignore[arg-type]


def _parts(part: bytes, size: int, header: bytes = b"Content-Type: multipart/mixed; boundary=b\r\n") -> Burning:
    return _body(_repeated(b"--b" + N + part, size) + b"--b--", header)


_QP = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n"
_B64 = b"Content-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n"
_TEXT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
_UU = b"Content-Type: application/octet-stream; name=a\r\nContent-Transfer-Encoding: x-uuencode\r\n"


def _boundaries(level: int, many: int) -> bytes:
    spelled = b"".join(b';boundary="%d.%d"' % (level, number) for number in range(many))
    return b"Content-Type: multipart/mixed" + spelled + N + N


def _boundaries_and_depth(size: int) -> Burning:
    """Many spellings of the boundary at each of 97 levels, and parts that open and close the innermost one."""
    many = min(700, max(40, size // 3_600))
    nested = b"".join(b"--%d.0" % level + N + _boundaries(level + 1, many) for level in range(97))
    innermost = (b"--97.0" + N + b"Content-Type: multipart/a; boundary=y" + N + N) * (size // 140)
    return Burning(HEAD + _boundaries(0, many) + nested + innermost)


def _traces(size: int, recipients: int) -> Burning:
    pair = b"Delivered-To: u%d@hanam.gov.vn\r\nX-Forwarded-For: v%d@hanam.gov.vn w%d@gmail.com"
    return _header(pair, size, recipients=tuple(f"u{number}@hanam.gov.vn" for number in range(recipients)))


def _nested(size: int) -> Burning:
    return _body((b"Content-Type: message/rfc822" + N + N) * (size // 32), b"Content-Type: message/rfc822" + N)


def _zip_of_names(size: int) -> Burning:
    return _parts(b'Content-Type: application/pdf; name="=?utf-8?B?YQ==?= %d.pdf"' + N + N + b"x", size)


INPUTS: Mapping[str, Callable[[int], Burning]] = {
    # transfer encodings
    "qp: blanks in one line": lambda size: _body(b"a" + b" " * size + b"b\r\n \r\n", _QP),
    "qp: blanks before each end": lambda size: _body((b"a" + b" \t" * 500 + b"\r\n") * (size // 1_003), _QP),
    "qp: blanks and bare CR": lambda size: _body((b" " * 200 + b"\r") * (size // 201) + b"\r\n \r\n", _QP),
    "qp: soft breaks": lambda size: _body(b"=\r\n" * (size // 3), _QP),
    "qp: soft break and blanks": lambda size: _body((b"=" + b" " * 300) * (size // 301) + b" \r\n", _QP),
    "qp: bad escapes": lambda size: _body(b"=" * size + b"\r\n", _QP),
    "qp: escapes": lambda size: _body(b"=41" * (size // 3), _QP),
    "qp: attachment of blanks": lambda size: _body(
        b"a" + b" " * size + b"b\r\n \r\n", _QP.replace(b"text/plain", b"application/pdf; name=a.pdf")
    ),
    "base64: QQ==": lambda size: _body(b"QQ==" * (size // 4), _B64),
    "base64: QQ== in lines": lambda size: _body(b"QQ==\r\n" * (size // 6), _B64),
    "base64: text of QQ==": lambda size: _body(b"QQ==" * (size // 4), _B64.replace(b"application/octet-stream; name=a.bin", b"text/plain")),
    "base64: pads": lambda size: _body(b"=" * size, _B64),
    "base64: junk": lambda size: _body(b"Q!" * (size // 2), _B64),
    "base64: lines of two widths": lambda size: _body(b"QUJD\r\nQUJDQUJD\r\n" * (size // 16), _B64),
    "uu: short lines": lambda size: _body(b"begin 644 a\r\n" + b"!`\r\n" * (size // 4), _UU),
    "uu: bad lines": lambda size: _body(b"\xff\r\n" * (size // 3), _UU),
    "uu: begins": lambda size: _body(b"begin 644 a\r\n" * (size // 13), _TEXT),
    "uu: files in text": lambda size: _body(b"begin 644 a\r\n#86)C\r\nend\r\n" * (size // 25), _TEXT),
    "yenc: begins": lambda size: _body(b"=ybegin size=1 name=a\r\n" * (size // 23), _TEXT),
    "yenc: one long begin": lambda size: _body(b"begin\r\n=ybegin " + b"size=1 " * (size // 7) + b"\r\n", _TEXT),
    # structure
    "boundaries and depth": _boundaries_and_depth,
    "parts": lambda size: _parts(N, size),
    "parts with a name": lambda size: _parts(b"Content-Type: application/pdf; name=%d.pdf" + N + N + b"x", size),
    "parts with a name in words": _zip_of_names,
    "parts with many parameters": lambda size: _parts(
        b"Content-Type: text/plain" + b"".join(b";a%d%%d=1" % n for n in range(300)) + N + N + b"x", size
    ),
    "parts without a body": lambda size: _parts(b"Content-Type: text/plain; a=%d", size),
    "attached messages": lambda size: _parts(b"Content-Type: message/rfc822" + N + N + b"Subject: %d" + N + N, size),
    "message in message": _nested,
    "delimiters of nothing": lambda size: _body(b"--\r\n" * (size // 4), b"Content-Type: multipart/mixed; boundary=b\r\n"),
    "delimiters that nearly are": lambda size: _body(
        (b"--b" + b" " * 60 + b"x\r\n") * (size // 66), b"Content-Type: multipart/mixed; boundary=b\r\n"
    ),
    "long delimiters": lambda size: _body(
        (b"--" + b"b" * 8_000 + b"\r\n") * (size // 8_004), b"Content-Type: multipart/mixed; boundary=b\r\n"
    ),
    "dashes": lambda size: _body(b"-" * size, b"Content-Type: multipart/mixed; boundary=b\r\n"),
    "closing delimiters": lambda size: _body(b"--b--\r\n" * (size // 7), b"Content-Type: multipart/mixed; boundary=b\r\n"),
    "header of a part": lambda size: _parts(b"X: " + b"y" * (size - 100) + N + N + b"x", 1),
    "header of a part without end": lambda size: _body(
        b"--b\r\n" + b"X: y\r\n" * (size // 6), b"Content-Type: multipart/mixed; boundary=b\r\n"
    ),
    "folds in a part's header": lambda size: _body(
        b"--b\r\nContent-Type: text/plain;" + b"\r\n a=b;" * (size // 7), b"Content-Type: multipart/mixed; boundary=b\r\n"
    ),
    # octets of a text
    "line ends: CR": lambda size: _body(b"\r" * size, _TEXT),
    "line ends: LF": lambda size: _body(b"\n" * size, _TEXT),
    "NUL": lambda size: _body(b"\0" * size, _TEXT),
    "stacked marks": lambda size: _body(("a" + "\u0301" * 4_000).encode() * (size // 8_001), _TEXT),
    "stacked marks of all kinds": lambda size: _body(
        ("a" + "".join(chr(0x300 + n % 112) for n in range(4_000))).encode() * (size // 8_001), _TEXT
    ),
    "high octets": lambda size: _body(bytes(range(128, 256)) * (size // 128), _TEXT),
    "high octets, no charset": lambda size: _body(bytes(range(128, 256)) * (size // 128)),
    "spread capitals": lambda size: _body(b"A " * (size // 2), _TEXT),
    "other scripts": lambda size: _body("TУ".encode() * (size // 3), _TEXT),
    "misread UTF-8": lambda size: _body("á»‡Ã¡".encode() * (size // 11), _TEXT),
    "invisible": lambda size: _body("a\u200b".encode() * (size // 4), _TEXT),
    "marks of secrecy": lambda size: _body("MẬT\r\n".encode() * (size // 7), _TEXT),
    "UTF-7": lambda size: _body(b"+AGE-" * (size // 5), _TEXT.replace(b"utf-8", b"utf-7")),
    "begins of PGP": lambda size: _body(b"-----BEGIN PGP MESSAGE\r\n" * (size // 24), _TEXT),
    "HTML": lambda size: _body(b"<b>" * (size // 3), b"Content-Type: text/html\r\n"),
    # header fields
    "fields": lambda size: _header(b"X:", size),
    "fields of other names": lambda size: _header(b"X%d:", size),
    "folds": lambda size: _field(b"X", b"\r\n y", size),
    "subjects": lambda size: _header(b"Subject: a", size),
    "subject": lambda size: _field(b"Subject", b"MAT ", size),
    "subject in words": lambda size: _field(b"Subject", b"=?utf-8?Q?M=E1=BA=ACT?=", size, b" "),
    "subject in open words": lambda size: _field(b"Subject", b"=?utf-8?Q?", size),
    "subject in words without charset": lambda size: _field(b"Subject", b"=?" + b"a" * 70, size),
    "from: many": lambda size: _field(b"From", b"a%d@hanam.gov.vn", size, b","),
    "from: many, folded": lambda size: _field(b"From", b"a%d@hanam.gov.vn", size, b",\r\n "),
    "from: comments": lambda size: _field(b"From", b"(", size),
    "from: quotes": lambda size: _field(b"From", b'"', size),
    "from: backslashes": lambda size: _field(b"From", b"\\", size, b"", b'"'),
    "from: brackets": lambda size: _field(b"From", b"<", size),
    "from: words": lambda size: _field(b"From", b"a ", size),
    "from: a long word": lambda size: _field(b"From", b"a", size, b"", b"@hanam.gov.vn"),
    "from: a long display name": lambda size: _field(b"From", b"a b", size, b"", b" <a@b.example"),
    "from: at signs": lambda size: _field(b"From", b"@", size),
    "from: dots": lambda size: _field(b"From", b" . ", size),
    "from: groups": lambda size: _field(b"From", b"a:;", size),
    "from: encoded words": lambda size: _field(b"From", b"=?utf-8?Q?a=40hanam.gov.vn?=", size, b" "),
    "from: an IDN of many labels": lambda size: _field(b"From", "é.".encode(), size, b"", b""),
    "from: an IDN": lambda size: _field(b"From", "é".encode(), size, b"", b""),
    "froms": lambda size: _header(b"From: a%d@hanam.gov.vn", size),
    "froms of one": lambda size: _header(b"From: a@hanam.gov.vn", size),
    "to: many": lambda size: _field(b"To", b"a%d@hanam.gov.vn", size, b", "),
    "traces, 1 recipient": lambda size: _traces(size, 1),
    "traces, 50 recipients": lambda size: _traces(size, 50),
    "traces, 1,000 recipients": lambda size: _traces(size, 1_000),
    "trace: one long": lambda size: _field(b"Delivered-To", b"a%d@hanam.gov.vn ", size),
    "trace: IDN": lambda size: _header(b"Delivered-To: a@%d" + "é".encode() * 20_000, size),
    "trace: long words": lambda size: _header(b"Delivered-To: a%d" + b"a" * 90_000 + b"@hanam.gov.vn", size),
    "forwarded pair": lambda size: _field(b"X-Forwarded-For", b"a%d@gmail.com ", size),
    "redirected": lambda size: _header(b"X-Sieve-Redirected-From: a%d@example.com", size),
    "resent": lambda size: _field(b"Resent-From", b"a%d@hanam.gov.vn", size, b","),
    "received": lambda size: _header(b"Received: from a by mx.hanam.gov.vn id ABCD%d for <a@example.com>; x", size),
    "received: one long": lambda size: _field(b"Received", b"by mx.hanam.gov.vn id ABCDEF%d ", size),
    "received: blanks": lambda size: _field(b"Received", b" ", size, b"", b"by x"),
    "received: comments": lambda size: _field(b"Received", b"by a (", size),
    "received: for": lambda size: _field(b"Received", b" for <a@example.com>", size, b"", b" by mx.hanam.gov.vn"),
    "list marks": lambda size: _header(b"List-Id: <a%d.example.com>", size),
    "references": lambda size: _field(b"References", b"<%d@example.com> ", size),
    "message id": lambda size: _field(b"Message-ID", b"a", size),
    "auto-submitted": lambda size: _header(b"Auto-Submitted: auto-forwarded; a=%d", size),
    "signatures": lambda size: _header(b"DKIM-Signature: d=a%d.example; s=k", size),
    "content-type: parameters": lambda size: _field(b"Content-Type", b"; a%d=b", size),
    "content-type: parameters of one name": lambda size: _field(b"Content-Type", b"; name=%d", size),
    "content-type: numbered": lambda size: _field(b"Content-Type", b"; name*%d=b", size),
    "content-type: boundaries": lambda size: _field(b"Content-Type", b"; boundary=b%d", size),
    "content-type: multipart, boundaries": lambda size: _field(b"Content-Type", b"multipart/mixed; boundary=b%d", size, b";"),
    "content-type: comments": lambda size: _field(b"Content-Type", b"(", size),
    "content-type: closed comments": lambda size: _field(b"Content-Type", b"()", size),
    "content-type: nested comments": lambda size: Burning(
        HEAD + b"Content-Type: text/plain " + b"(" * (size // 2) + b")" * (size // 2) + N + N + b"x" + N
    ),
    "content-type: quotes": lambda size: _field(b"Content-Type", b'"', size),
    "content-type: open quote": lambda size: _field(b"Content-Type", b'a="\\', size),
    "content-type: quoted comments": lambda size: _field(b"Content-Type", b'"a"(', size),
    "content-type: semicolons": lambda size: _field(b"Content-Type", b";", size),
    "content-type: blanks": lambda size: _field(b"Content-Type", b" ", size, b"", b"x"),
    "content-type: blanks in a parameter": lambda size: _field(b"Content-Type", b" ", size, b"", b"=x; name= a"),
    "content-type: words": lambda size: _field(b"Content-Type", b"=?utf-8?Q?a?=", size, b" "),
    "content-type: percents": lambda size: _field(b"Content-Type", b"%41", size, b"", b""),
    "content-disposition: names": lambda size: _field(b"Content-Disposition", b"attachment; filename=a%d.pdf", size, b";"),
    "content-types": lambda size: _header(b"Content-Type: text/plain; a=%d", size),
    "encodings": lambda size: _header(b"Content-Transfer-Encoding: base64", size),
    # the envelope
    "sender: long": lambda size: Burning(HEAD + N + b"x" + N, sender="a" * size + "@example.com"),
    "sender: IDN": lambda size: Burning(HEAD + N + b"x" + N, sender="a@" + "é" * (size // 2)),
    "sender: SRS": lambda size: Burning(HEAD + N + b"x" + N, sender="srs0=" + "a=" * (size // 2) + "@example.com"),
    "sender: caf": lambda size: Burning(HEAD + N + b"x" + N, sender="a+caf_=" * (size // 7) + "=b@gmail.com"),
    "sender: VERP": lambda size: Burning(HEAD + N + b"x" + N, sender="a-+" * (size // 3) + "b=c.d@example.com"),
    # as many as Postfix takes (smtpd_recipient_limit)
    "recipients": lambda size: Burning(
        HEAD + N + b"x" + N, tuple(f"u{number}@hanam.gov.vn" for number in range(min(1_000, size // 22)))
    ),
    # submitted by one of ours, and what leaves
    "submitted: from many": lambda size: _header(b"From: a%d@hanam.gov.vn", size, login=ME, sender=ME, hook="submission"),
    "leaving: traces": lambda size: _header(
        b"Delivered-To: u%d@hanam.gov.vn", size, hook="egress", recipients=tuple(f"u{n}@example.com" for n in range(50))
    ),
    "leaving: received": lambda size: _header(
        b"Received: by mx.hanam.gov.vn (Postfix) with ESMTP id ABCD%d for <u%d@hanam.gov.vn>; x",
        size,
        hook="egress",
        recipients=tuple(f"u{n}@example.com" for n in range(50)),
    ),
}  # fmt: skip
# ruff: noqa: E501


def chunks(body: bytes, octets: int = 65_535) -> Iterator[tuple[int, int]]:
    """Yield where Postfix cuts a body."""
    for start in range(0, len(body), octets):
        yield start, min(start + octets, len(body))
