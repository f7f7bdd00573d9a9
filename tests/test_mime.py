"""The MIME walk: no cut changes it, sizes are those of Python, names are read in every form, defects are named."""

import base64
import email
import json
import time
import unicodedata
from collections.abc import Iterable, Sequence
from email.message import EmailMessage
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lab.mails import base64_lines, base64_part, joined

from mailgate.doors.offline import split_message
from mailgate.mime.fields import decode_words, parse_parameters
from mailgate.mime.part import describe, read_fields
from mailgate.mime.transfer import decoder_for
from mailgate.mime.walker import Leaf, Walker, WalkLimits
from mailgate.model import Content

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())

QUICK_S = 2.0  # for the largest structures; they take a twentieth of it


def walk(
    message: bytes,
    places: Iterable[int] = (),
    exact: bool = False,
    limits: WalkLimits | None = None,
    size: int = 1 << 30,
) -> tuple[Content, list[Leaf]]:
    """Walk a message, its body cut at these places, or into pieces of a size."""
    fields, body = split_message(message)
    walker = Walker(limits, exact)
    offset = len(message) - len(body)
    walker.begin([(name.lower(), value) for name, value in fields], offset)
    cuts = {place % (len(body) + 1) for place in places} | set(range(0, len(body), size))
    for start, stop in pairwise(sorted({0, *cuts, len(body)})):
        walker.feed(b"<" + body[start:stop] + b">", 1, 1 + stop - start)
    return walker.finish(), walker.leaves


def seen(message: bytes, **how: Any) -> tuple[Any, ...]:
    """Return all that a walk says, in terms that compare."""
    content, leaves = walk(message, **how)
    files = [(f.name, f.type, f.size, f.encoding, f.inline, f.span) for f in content.attachments]
    numbers = (content.attachment_bytes, content.inline_bytes, content.depth, content.parts, content.octets)
    return files, numbers, sorted(content.defects), leaves, content.complete


def multipart(*parts: bytes, subtype: str = "mixed", head: bytes = b"") -> bytes:
    return b"%sContent-Type: multipart/%s; boundary=b\r\n\r\n%s" % (
        head,
        subtype.encode(),
        joined(*parts, boundary="b"),
    )


def files(message: bytes, **how: Any) -> list[tuple[str, str, int]]:
    content, _ = walk(message, **how)
    assert content.attachment_bytes == sum(file.size for file in content.attachments)
    return [(file.name, file.type, file.size) for file in content.attachments]


def attached(data: bytes = b"x", head: bytes = b"", name: bytes = b"a.bin") -> bytes:
    return b'Content-Disposition: attachment; filename="%s"\r\n%s\r\n%s' % (name, head, data)


TEXT = b"Content-Type: text/plain\r\n\r\nKinh gui.\r\n"
NESTED = b"Content-Type: multipart/mixed; boundary=n\r\n\r\n" + joined(TEXT, attached(b"xyz"), boundary="n")

# -- cuts -----------------------------------------------------------------------------------------

HEADS = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: multipart/alternative; boundary=c\r\n",
        b'Content-Type: multipart/signed; boundary="b"; boundary="c"\r\n',
        b"Content-Type: multipart/digest; boundary=c\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/plain\r\n",
        b"Content-Type: text/html;\r\n charset=utf-8\r\n",
        b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n",
        b"Content-Type: application/pdf; name=a.pdf\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: x-uuencode\r\n",
        b"Content-Disposition: attachment; filename=a\r\n",
        b"Subject: x\r\n",
        b"no field\r\n",
        b" folded\r\n",
    ]
)
LINES = st.sampled_from(
    [
        b"--b\r\n",
        b"--c\r\n",
        b"--b--\r\n",
        b"--c--\r\n",
        b"--b \r\n",
        b"--b\n",
        b"--bb\r\n",
        b"--\r\n",
        b"-",
        b"--",
        b"--b",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"text\r\n",
        b"=E1=BA=AD =\r\n",
        b"begin 644 a.bin\r\n#0V%T\r\n`\r\nend\r\n",
        b"=ybegin line=128 size=3 name=y.bin\r\nabc\r\n=yend size=3\r\n",
        base64_lines(bytes(120)),
        b"QUI=\r\nQUJD",
        b"QU",
    ]
)
# A part: mostly a delimiter, a header block, a blank line and a body, though any of them may be odd or absent.
PART = st.tuples(
    st.sampled_from([b"--b\r\n", b"--b\r\n", b"--c\r\n", b"--b--\r\n", b"--c--\r\n", b""]),
    st.lists(HEADS, max_size=2).map(b"".join),
    st.sampled_from([b"\r\n", b"\r\n", b"\n", b""]),
    st.lists(LINES | HEADS | st.binary(max_size=3), max_size=4).map(b"".join),
    st.sampled_from([b"\r\n", b"\r\n", b"\n", b""]),
).map(b"".join)
MULTIPART = st.sampled_from([b"Content-Type: multipart/mixed; boundary=%s\r\n" % name for name in (b"b", b"b", b"c")])
MESSAGES = st.tuples(
    MULTIPART | HEADS,
    st.lists(HEADS, max_size=1).map(b"".join),
    st.just(b"\r\n"),
    st.lists(PART, max_size=8).map(b"".join),
).map(b"".join)


@pytest.mark.parametrize("exact", [False, True])
@settings(max_examples=300)
@given(message=MESSAGES, places=st.lists(st.integers(0, 10_000), max_size=8))
def test_cuts_change_nothing(exact: bool, message: bytes, places: list[int]) -> None:
    whole = seen(message, exact=exact)
    assert seen(message, places=places, exact=exact) == whole
    assert seen(message, size=1, exact=exact) == whole


@settings(max_examples=200)
@given(message=MESSAGES)
def test_exact_changes_no_file(message: bytes) -> None:
    """A closer look adds defects, and changes no more than the size of irregular base64."""
    quick, exact = walk(message)[0], walk(message, exact=True)[0]
    assert [(f.name, f.type, f.span) for f in quick.attachments] == [
        (f.name, f.type, f.span) for f in exact.attachments
    ]
    assert quick.defects <= exact.defects


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_each_leaf_stands_where_it_says(size: int) -> None:
    data = bytes(range(256)) * 3
    message = multipart(
        TEXT,
        base64_part(data),
        multipart(attached(b"x=3D\r\ny", b"Content-Transfer-Encoding: quoted-printable\r\n"))
        .replace(b"=b", b"=c")
        .replace(b"--b", b"--c"),
    )
    _, leaves = walk(message, exact=True, size=size)
    got = []
    for leaf in leaves:
        decoder = decoder_for(leaf.encoding)
        got.append((leaf.type, decoder.feed(message[slice(*leaf.span)]) + decoder.finish()))
    assert got == [
        ("text/plain", b"Kinh gui.\r\n"),
        ("application/octet-stream", data),
        ("text/plain", b"x=\r\ny"),
    ]


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (b"a.pdf", "a.pdf"),
        (b'"b c.pdf"', "b c.pdf"),
        (b'"a\\"b\\\\c.pdf"', 'a"b\\c.pdf'),
        ('"báo cáo.pdf"'.encode(), "báo cáo.pdf"),
        (b'"b\xe1o.pdf"', "báo.pdf"),  # raw Latin-1
        (b'"=?UTF-8?B?QsOhbyBjw6FvLnBkZg==?="', "Báo cáo.pdf"),
        (b"=?UTF-8?Q?B=C3=A1o_c=C3=A1o.pdf?=", "Báo cáo.pdf"),
        (b'"=?UTF-8?Q?M=E1=BA?=\r\n =?UTF-8?Q?=ADt.pdf?="', "Mật.pdf"),
        (b'"=?windows-1258?Q?Vi=EA=F2t.pdf?="', "Việt.pdf"),
    ],
)
def test_plain_and_rfc_2047_names(value: bytes, want: str) -> None:
    for field in (b"Content-Disposition: attachment; filename=", b"Content-Type: application/pdf; name="):
        ((name, _, _),) = files(field + value + b"\r\n\r\nx")
        assert unicodedata.normalize("NFC", name) == want


@pytest.mark.parametrize(
    ("parameters", "want"),
    [
        (b"filename*=utf-8''B%C3%A1o%20c%C3%A1o.pdf", "Báo cáo.pdf"),
        (b"filename*=UTF-8'vi'B%C3%A1o.pdf", "Báo.pdf"),
        (b"filename*=iso-8859-1''b%E1o.pdf", "báo.pdf"),
        (b'filename*0=bao; filename*1=" cao.pdf"', "bao cao.pdf"),
        (b"filename*1=b; filename*0=a", "ab"),
        (b"filename*0*=utf-8''M%E1%BA; filename*1*=%ADt; filename*2=.pdf", "Mật.pdf"),  # cut inside a character
        (b"filename*0*=utf-8''a; filename*10=c; filename*2=b", "abc"),
        (b"filename=bao.pdf; filename*=utf-8''b%C3%A1o.pdf", "báo.pdf"),
        (b"filename*=utf-8''b%C3%A1o.pdf; filename=bao.pdf", "báo.pdf"),
        (b"FILENAME*=UTF-8''a.pdf", "a.pdf"),
        (b"filename*=no-such-charset''b%C3%A1o.pdf", "báo.pdf"),
        (b"filename*=a.pdf", "a.pdf"),
        (b"filename*=utf-8''100%", "100%"),
        (b'filename="a;b.pdf"', "a;b.pdf"),
        (b"filename=a.pdf (a comment)", "a.pdf"),
        (b'filename="unterminated.pdf', "unterminated.pdf"),
        (b"\r\n\tfilename=folded.pdf", "folded.pdf"),
    ],
)
def test_rfc_2231_names(parameters: bytes, want: str) -> None:
    assert files(b"Content-Disposition: attachment; " + parameters + b"\r\n\r\nx")[0][0] == want


@pytest.mark.parametrize("vector", VECTORS["rfc2047"], ids=lambda vector: vector["id"])
def test_words(vector: dict[str, str]) -> None:
    assert unicodedata.normalize("NFC", decode_words(vector["header"].encode())) == vector["expect"]


@settings(max_examples=500)
@given(st.lists(st.sampled_from([*"=?\"\\;*'%() \r\n\tab0Q", "=?utf-8?Q?", "?=", "name*0*="]), max_size=40))
def test_no_field_raises(pieces: list[str]) -> None:
    value = "".join(pieces).encode()
    assert isinstance(decode_words(value), str)
    assert set(parse_parameters(value).values) == set(parse_parameters(value).readings)


# -- sizes ----------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    data=st.lists(st.binary(max_size=400), min_size=1, max_size=4),
    encoding=st.sampled_from(["base64", "quoted-printable"]),
    text=st.text(max_size=50),
    places=st.lists(st.integers(0, 10_000), max_size=6),
)
def test_sizes_are_those_of_pythons_email(data: Sequence[bytes], encoding: str, text: str, places: list[int]) -> None:
    mail = EmailMessage()
    mail.set_content(text.encode("utf-8", "replace").decode())
    for number, octets in enumerate(data):
        mail.add_attachment(octets, "application", "x-test", filename=f"{number}.bin", cte=encoding)
    message = mail.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    parsed = email.message_from_bytes(message)
    want = [len(part.get_payload(decode=True)) for part in parsed.walk() if part.get_filename()]
    assert [size for _, _, size in files(message, places=places)] == want
    assert [size for _, _, size in files(message, exact=True)] == want


@pytest.mark.parametrize("encoding", [b"", b"7bit", b"8bit", b"binary"])
def test_identity_encodings_count_as_they_stand(encoding: bytes) -> None:
    head = b"Content-Transfer-Encoding: %s\r\n" % encoding if encoding else b""
    data = "một\r\nhai".encode()
    assert files(multipart(attached(data, head))) == [("a.bin", "text/plain", len(data))]


@pytest.mark.parametrize(
    "vector", VECTORS["size"], ids=lambda vector: str(vector.get("decoded_bytes", vector.get("parts")))
)
def test_size_vectors(vector: dict[str, Any]) -> None:
    """The sum is exact around the limit, as it arrives in the chunks of an MTA."""
    sizes = vector.get("parts") or [vector["decoded_bytes"]]
    content, _ = walk(multipart(*(base64_part(bytes(size)) for size in sizes)), size=65_535)
    assert content.attachment_bytes == sum(sizes)
    assert (content.attachment_bytes <= vector["limit"]) is (vector["expect"] == "accept")


YENC = b"=ybegin line=128 size=5 name=y.bin\r\nab=}cd\r\n=yend size=5\r\n"
UU = b"text\r\nbegin 644 b\xc3\xa1o.bin\r\n#0V%T\r\n#0V%T\r\n`\r\nend\r\n"
RFC822 = b"Content-Type: message/rfc822\r\n\r\n" + NESTED
TNEF = b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
HTML = b"Content-Type: text/html\r\n\r\n<p>x\r\n"


@pytest.mark.parametrize(
    ("message", "want"),
    [
        (b"Subject: x\r\n\r\nx\r\n", []),
        (multipart(TEXT, HTML), []),
        (multipart(TEXT, HTML, subtype="alternative"), []),
        (
            multipart(TEXT, attached(b"x", b"Content-Type: text/html\r\n"), subtype="alternative"),
            [("a.bin", "text/html", 1)],
        ),
        (
            multipart(TEXT, b"Content-Type: text/calendar; name=i.ics\r\n\r\nx", subtype="alternative"),
            [("i.ics", "text/calendar", 1)],
        ),
        (multipart(TEXT, b"Content-Type: text/calendar\r\n\r\nx", subtype="alternative"), []),
        (multipart(TEXT, b"Content-Type: image/png\r\n\r\nxy", subtype="related"), [("", "image/png", 2)]),
        (multipart(TEXT, b"Content-Type: text/plain; name=a.txt\r\n\r\nxy"), [("a.txt", "text/plain", 2)]),
        (
            multipart(
                TEXT,
                attached(b"xy", b"Content-Type: application/pkcs7-signature\r\n", b"smime.p7s"),
                subtype="signed",
            ),
            [],
        ),
        (
            multipart(TEXT, attached(b"xy", b"Content-Type: application/pkcs7-signature\r\n", b"smime.p7s")),
            [("smime.p7s", "application/pkcs7-signature", 2)],
        ),
        (multipart(TEXT, TNEF + base64_lines(b"tnef")), [("winmail.dat", "application/ms-tnef", 4)]),
        (multipart(TEXT, RFC822), [("", "message/rfc822", len(NESTED))]),
        (
            multipart(multipart(TEXT, RFC822).replace(b"=b", b"=c").replace(b"--b", b"--c")),
            [("", "message/rfc822", None)],
        ),
        (multipart(b"\r\n" + NESTED, subtype="digest"), [("", "message/rfc822", len(NESTED))]),
        (b"\r\n" + UU, [("báo.bin", "application/octet-stream", 6)]),
        (multipart(b"\r\n" + UU + UU), [("báo.bin", "application/octet-stream", 6)] * 2),
        (b"\r\nbegin 644 cut.bin\r\n#0V%T\r\n", [("cut.bin", "application/octet-stream", 3)]),
        (b"\r\nbegin 644 no file\r\nbut words\r\n", []),
        (b"\r\n" + YENC, [("y.bin", "application/octet-stream", 5)]),
        (b"\r\n=ybegin no file\r\nx\r\n", []),
        (
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\nbegin 644 a=20b\r\n#0V%T\r\nend\r\n",
            [("a b", "application/octet-stream", 3)],
        ),
        (attached(b"#0V%T\r\n", b"Content-Transfer-Encoding: x-uuencode\r\n"), [("a.bin", "text/plain", 3)]),
        (b"Content-Type: application/pdf\r\n\r\n%PDF", [("", "application/pdf", 4)]),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", [("", "multipart/mixed", 11)]),
        (
            multipart(attached(b"abc", b"", b"1"), b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"),
            [("1", "text/plain", 3)],
        ),
    ],
)
def test_what_counts(message: bytes, want: list[tuple[str, str, int | None]]) -> None:
    for exact in (False, True):
        got = files(message, exact=exact)
        assert [file[:2] for file in got] == [file[:2] for file in want]
        assert all(size == file[2] for (_, _, size), file in zip(got, want, strict=True) if file[2] is not None)


def test_an_attached_message_counts_once_as_its_raw_octets() -> None:
    """Files in it, and messages in it, are octets of it."""
    inner = multipart(base64_part(bytes(3_000)), RFC822).replace(b"=b", b"=c").replace(b"--b", b"--c")
    message = multipart(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + inner)
    assert files(message) == [("", "message/rfc822", len(inner))]


@pytest.mark.parametrize(
    ("head", "inline"),
    [(b"Content-Type: image/png\r\n", 3), (b"Content-Type: image/png; name=a\r\n", 0)],
)
def test_what_is_shown_in_the_text_is_told_apart(head: bytes, inline: int) -> None:
    content, _ = walk(multipart(TEXT, head + b"\r\nabc", subtype="related"))
    assert (content.attachment_bytes, content.inline_bytes) == (3, inline)


def test_the_sum_is_up_to_date_while_the_mail_arrives() -> None:
    message = multipart(TEXT, attached(bytes(1_000)), base64_part(bytes(1_500)))
    fields, body = split_message(message)
    walker = Walker()
    walker.begin([(name.lower(), value) for name, value in fields])
    sums = []
    for start in range(0, len(body), 100):
        walker.feed(body, start, min(start + 100, len(body)))
        sums.append(walker.content.attachment_bytes)
    assert sums == sorted(sums)
    assert max(b - a for a, b in pairwise(sums)) <= 110, "nothing waits for the end of its part"
    assert walker.finish().attachment_bytes == 2_500


# -- limits ---------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    """Return multiparts in each other, with a file in the middle."""
    start = b"Content-Type: multipart/mixed; boundary=b%04d\r\n\r\n--b%04d\r\n"
    opening = b"".join(start % (n, n) for n in range(depth))
    closing = b"".join(b"\r\n--b%04d--" % n for n in reversed(range(depth)))
    return opening + attached(b"x" * 50) + closing + b"\r\n"


@pytest.mark.parametrize(("depth", "too_deep"), [(1, False), (9, False), (10, True), (100, True)])
def test_nesting(depth: int, too_deep: bool) -> None:
    content, _ = walk(nested(depth), limits=WalkLimits(depth=10))
    assert content.exceeded == ({"levels-of-nesting": 10} if too_deep else {})
    assert content.depth == min(depth, 10)
    assert content.attachment_bytes >= 50, "what is not looked into counts as a whole"


@pytest.mark.parametrize(("parts", "too_many"), [(9, False), (10, True), (50, True)])
def test_number_of_parts(parts: int, too_many: bool) -> None:
    content, _ = walk(multipart(*[attached(b"x" * 50)] * parts), limits=WalkLimits(parts=10))
    assert content.exceeded == ({"parts": 10} if too_many else {})
    assert content.attachment_bytes >= 50 * parts, "the rest is one part"
    assert content.parts == min(parts + 1, 11)


@pytest.mark.parametrize(("octets", "too_long"), [(250_000, False), (262_145, True), (3_000_000, True)])
@pytest.mark.parametrize("line", [b"X: %s", b"X: a\r\n %s"])
def test_header_of_a_part(octets: int, too_long: bool, line: bytes) -> None:
    header = line % (b"x" * octets) + b"\r\n"
    started = time.perf_counter()
    content, _ = walk(multipart(header + attached(b"abc"), attached(b"abc")), size=65_535)
    assert time.perf_counter() - started < QUICK_S
    assert content.exceeded == ({"octets-of-a-part's-header": 262_144} if too_long else {})
    assert content.attachments[-1].size == 3
    assert len(content.attachments) == (1 if too_long else 2)


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        pytest.param(multipart(*[b"\r\nx"] * 10_000), 2_001, id="10,000 parts"),
        pytest.param(multipart(*[attached()] * 10_000), 2_001, id="10,000 files"),
        pytest.param(multipart(b"\r\n" + b"--no\r\n" * 100_000), 2, id="100,000 lines like delimiters"),
        pytest.param(multipart(b"\r\n" + b"--b\x00\r\n" * 100_000), 2_001, id="100,000 lines that begin as one"),
        pytest.param(multipart(b"\r\n" + b"--" * 300_000), 2, id="dashes without a line break"),
        pytest.param(multipart(b"\r\n" + (b"--" + b"x" * 8_000 + b"\r\n") * 500), 2, id="long lines like delimiters"),
        pytest.param(b"\r\n" + b"begin 644 a\r\n" * 50_000, 1, id="50,000 lines that begin a file"),
        pytest.param(nested(1_000), 101, id="1,000 levels"),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_large_structures_are_quick(message: bytes, parts: int, exact: bool) -> None:
    started = time.perf_counter()
    content, _ = walk(message, size=65_535, exact=exact)
    assert time.perf_counter() - started < QUICK_S
    assert content.parts == parts


@pytest.mark.parametrize(
    "value",
    [
        b"multipart/mixed" + b"; a=b" * 200_000,
        b"multipart/mixed; boundary=" + b"(" * 500_000,
        b'text/plain; name="' + b"\\" * 1_000_000,
        b"text/plain; name=" + b"=?utf-8?Q?a?= " * 70_000,
        b"text/plain; name=" + b"=?utf-8?Q?" * 100_000,
        b";" * 1_000_000,
        b"text/plain" + b"; n*%d*=x" % 1 * 100_000,
        b'"' * 1_000_001,
        b"(" * 500_000 + b")" * 500_000,
        b'("' * 300_000,
    ],
    ids=[
        "parameters",
        "comments",
        "backslashes",
        "words",
        "openings",
        "semicolons",
        "pieces",
        "quotes",
        "nest",
        "mixed",
    ],
)
def test_one_megabyte_of_header_is_quick(value: bytes) -> None:
    started = time.perf_counter()
    parse_parameters.anew(value)
    decode_words(value)
    assert time.perf_counter() - started < QUICK_S


# -- defects --------------------------------------------------------------------------------------

DEFECTS: dict[str, bytes] = {
    "bare-cr": b"\r\na\rb\r\n",
    "base64-data-after-pad": base64_part(b"").rstrip() + b"\r\n\r\nQQ==QUJD\r\n",
    "base64-junk": base64_part(b"").rstrip() + b"\r\n\r\nQU*JD\r\n",
    "base64-unpadded": base64_part(b"").rstrip() + b"\r\n\r\nQUJDR\r\n",
    "comment": b"Content-Type: text/plain (a comment)\r\n\r\nx",
    "delimiter-by-prefix": multipart(TEXT).replace(b"--b\r\n", b"--b_9\r\n"),
    "delimiter-padding": multipart(TEXT).replace(b"--b\r\n", b"--b \r\n"),
    "differing-names": b"Content-Type: text/plain; name=a.vbs\r\nContent-Disposition: inline; filename=a.md\r\n\r\nx",
    "duplicate-content-type": b"Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx",
    "duplicate-parameter": b"Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n--b--\r\n",
    "duplicate-transfer-encoding": b"Content-Transfer-Encoding: 8bit\r\n" * 2 + b"\r\nx",
    "encoded-multipart": multipart(TEXT, head=b"Content-Transfer-Encoding: base64\r\n"),
    "escape": b'Content-Type: multipart/mixed; boundary="\\b"\r\n\r\n--b--\r\n',
    "folded-type": b"Content-Type: multipart/\r\n mixed; boundary=b\r\n\r\n--b--\r\n",
    "long-boundary": b"Content-Type: multipart/mixed; boundary=" + b"b" * 71 + b"\r\n\r\n--" + b"b" * 71 + b"--\r\n",
    "missing-blank-line": multipart(b"Content-Type: text/plain\r\nno field\r\n"),
    "ambiguous-delimiters": multipart(multipart(TEXT, head=b"Content-Type: text/plain\r\n")),
    "multipart-or-file": multipart(multipart(TEXT, head=b"Content-Type: text/plain\r\n")),
    "no-boundary": b"Content-Type: multipart/mixed\r\n\r\nx",
    "part-after-end": multipart(TEXT) + b"epilogue\r\n--b\r\n\r\nx\r\n--b--\r\n",
    "part-without-body": multipart(b"Content-Type: text/plain"),
    "qp-bad-escape": b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=zz\r\n",
    "qp-space-after-soft-break": b"Content-Transfer-Encoding: quoted-printable\r\n\r\na= \r\nb\r\n",
    "rfc2231-boundary": b"Content-Type: multipart/mixed; boundary*=us-ascii''b\r\n\r\n--b--\r\n",
    "too-many-parameters": b"Content-Type: text/plain" + b"; a=b (c)" * 201 + b"\r\n\r\nx",
    "unclosed-multipart": multipart(TEXT).replace(b"--b--", b""),
    "unknown-transfer-encoding": b"Content-Transfer-Encoding: x-secret\r\n\r\nx",
    "unterminated-quote": b'Content-Type: text/plain; name="a\r\n\r\nx',
    "uu-bad-line": attached(b"#0V%T!!!!\r\n", b"Content-Transfer-Encoding: x-uuencode\r\n"),
    "uu-long-line": attached(b"x" * 9_000, b"Content-Transfer-Encoding: x-uuencode\r\n"),
}


_MANY_BOUNDARIES = b"".join(b"; boundary=b%d" % number for number in range(21))


@pytest.mark.parametrize(
    ("message", "exceeded"),
    [
        (b"Content-Type: text/plain" + b"; a=b (c)" * 201 + b"\r\n\r\nx", {"parameters-of-a-field": 200}),
        (b"Content-Type: text/plain" + b"; a=b" * 200 + b"\r\n\r\nx", {}),
        (b"Content-Type: text/plain; name=" + b"x" * 16_384 + b"\r\n\r\nx", {"octets-of-a-content-field": 16_384}),
        (multipart(b"Content-Type: a; name=" + b"x" * 16_384 + b"\r\n\r\nx"), {"octets-of-a-content-field": 16_384}),
        (b"Content-Type: text/plain\r\n" * 21 + b"\r\nx", {"octets-of-a-content-field": 16_384}),
        (b"Content-Type: multipart/mixed" + _MANY_BOUNDARIES + b"\r\n\r\nx", {"boundaries-of-a-multipart": 20}),
    ],
)  # fmt: skip
def test_what_lies_beyond_a_limit_is_said_with_its_number(message: bytes, exceeded: dict[str, int]) -> None:
    content, _ = walk(message)
    assert content.exceeded == exceeded
    assert len(content.unread()) == len(exceeded)


def test_boundaries_of_a_multipart_that_ended_are_no_longer_known_and_outer_ones_are_again() -> None:
    inner = multipart(TEXT, TEXT).replace(b"boundary=b", b"boundary=b; boundary=c")
    content, _ = walk(multipart(inner, attached(b"abc")) + b"\r\n--c\r\n\r\nepilogue\r\n")
    assert [attachment.size for attachment in content.attachments] == [3]


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_has_its_input(defect: str) -> None:
    assert defect in walk(DEFECTS[defect], exact=True)[0].defects


def test_every_defect_of_the_code_is_in_the_table() -> None:
    source = "".join(path.read_text() for path in Path(__file__).parents[1].glob("milter/mailgate/mime/*.py"))
    assert [name for name in DEFECTS if f'"{name}"' not in source] == []
    named = {line.split('"')[1] for line in source.splitlines() if "defect" in line and '("' in line}
    assert {name for name in named if "-" in name} <= set(DEFECTS)


@pytest.mark.parametrize(
    "message", [NESTED, multipart(TEXT, HTML, subtype="alternative"), multipart(base64_part(b"x"), RFC822)]
)
def test_ordinary_mail_has_no_defect(message: bytes) -> None:
    assert walk(message, exact=True)[0].defects == set()


@pytest.mark.parametrize(
    "types",
    [
        b'Content-Type: multipart/mixed; boundary="x"; boundary="b"\r\n',
        b"Content-Type: multipart/mixed; boundary=x; boundary*=us-ascii''b\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        b'Content-Type: multipart/mixed; boundary="\\b"\r\n',
        b"Content-Type: multipart/mixed; boundary=(a comment)b\r\n",
        b'Content-Type: multipart/mixed;\r\n boundary*0=b; boundary*1=""\r\n',
        b'Content-Type: multipart/mixed; boundary="b\r\n',
    ],
)
def test_every_reading_of_a_boundary_delimits(types: bytes) -> None:
    assert files(types + b"\r\n--b\r\n" + attached(b"abc") + b"\r\n--b--\r\n") == [("a.bin", "text/plain", 3)]
    assert walk(types + b"\r\n--b--\r\n")[0].defects


@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"epilogue\r\n"])
def test_a_part_after_the_end_is_a_part(epilogue: bytes) -> None:
    """Some programs take a boundary up again after its end."""
    message = multipart(TEXT) + epilogue + b"--b\r\n" + attached(b"abc") + b"\r\n--b--\r\n"
    assert files(message) == [("a.bin", "text/plain", 3)]
    assert "part-after-end" in walk(message)[0].defects


def test_padding_in_the_middle_of_base64_is_decoded_past_it() -> None:
    half = base64.b64encode(b"EICAR").rstrip(b"=") + b"=="
    content, _ = walk(base64_part(b"").rstrip() + b"\r\n\r\n" + half + b"\r\n" + half, exact=True)
    assert "base64-data-after-pad" in content.defects
    assert content.attachment_bytes >= 10


@given(
    st.lists(
        st.sampled_from(
            [
                b"multipart/",
                b"mixed",
                b";",
                b" ",
                b"\r\n",
                b"\t",
                b'boundary="',
                b'"',
                b"=",
                b"?",
                b"--",
                b"b",
                b"(",
                b"\\",
            ]
        ),
        max_size=9,
    ).map(b"".join)
    | st.text("ab=?(); '-_.\xe9", max_size=80).map(lambda text: b' multipart/mixed; boundary="%b"' % text.encode())
)
def test_the_usual_multipart_is_read_at_sight_as_any_other(value: bytes) -> None:
    fields = ((b"content-type", value),)
    assert describe(fields) == read_fields(fields)
