"""Transfer encodings: the cuts change nothing, ordinary input decodes as Python's own, the rest has its defect."""

import base64
import binascii
import quopri
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailgate.mime.transfer import Base64Counter, Base64Decoder, decoder_for, is_known

ENCODINGS = ("base64", "quoted-printable", "x-uuencode", "8bit")

CUTS = st.lists(st.integers(0, 1_000), max_size=8)

# What encoded bodies are made of: digits, pads, breaks of both kinds, escapes, begin and end of files.
# fmt: off
PIECES = (
    b"QUJD", b"QQ==", b"QUI=", b"=", b"==", b"A", b"\r\n", b"\n", b"\r", b" ", b"\t", b"=20", b"=E1=BA=AD", b"=e1",
    b"=\r\n", b"= \r\n", b"=\n", b"-", b"*", b"\0", b"\xff", b"begin 644 a\r\n", b"#0V%T\r\n", b"`\r\n", b"end\r\n",
    b"!!!!\r\n", b"M\r\n", b"QUJD" * 19 + b"\r\n",
)
# fmt: on
FRAGMENTS = st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=40).map(b"".join)


def cut(octets: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    return [octets[start:stop] for start, stop in pairwise(bounds)]


def decode(encoding: str, pieces: Sequence[bytes]) -> tuple[bytes, set[str]]:
    decoder = decoder_for(encoding)
    octets = b"".join(decoder.feed(piece) for piece in pieces) + decoder.finish()
    return octets, decoder.defects


def count(pieces: Sequence[bytes], exact: bool) -> int:
    counter = Base64Counter(exact)
    for piece in pieces:
        counter.take(b"<" + piece + b">", 1, 1 + len(piece))
    return counter.size


def lines(octets: bytes, width: int = 76) -> bytes:
    digits = base64.b64encode(octets)
    return b"".join(digits[start : start + width] + b"\r\n" for start in range(0, len(digits), width))


# -- cuts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(octets=FRAGMENTS, places=CUTS)
def test_cuts_change_neither_octets_nor_defects(encoding: str, octets: bytes, places: list[int]) -> None:
    whole = decode(encoding, [octets])
    assert decode(encoding, cut(octets, places)) == whole
    assert decode(encoding, [octets[i : i + 1] for i in range(len(octets))]) == whole


@pytest.mark.parametrize("exact", [False, True])
@given(octets=FRAGMENTS | st.builds(lines, st.binary(max_size=400), st.sampled_from([4, 60, 76])), places=CUTS)
@example(octets=lines(bytes(200)) + b"QQ==", places=[78, 156])
def test_cuts_change_no_count(exact: bool, octets: bytes, places: list[int]) -> None:
    whole = count([octets], exact)
    assert count(cut(octets, places), exact) == whole
    assert count([octets[i : i + 1] for i in range(len(octets))], exact) == whole


@pytest.mark.parametrize(
    ("encoding", "octets"),
    [
        ("base64", b"QUJD" * 30_000),
        ("quoted-printable", b"x" * 70_000 + b"=20" + b"y" * 70_000),
        ("quoted-printable", b"=20" * 50_000 + b"\r\n"),
        ("quoted-printable", b"x" * 65_530 + b"=   \r\ny"),
        ("quoted-printable", b"x" * 65_530 + b"          \r\ny"),
        ("x-uuencode", b"A" * 4_100),
        ("x-uuencode", b"M" * 9_000 + b"\n#0V%T\n"),
        ("x-uuencode", b"begin 644 " + b"a" * 5_000 + b"\n#0V%T\nend\n"),
    ],
)
@pytest.mark.parametrize("size", [1_000, 4_097, 65_535, 65_537])
def test_cuts_change_nothing_in_long_lines(encoding: str, octets: bytes, size: int) -> None:
    pieces = [octets[start : start + size] for start in range(0, len(octets), size)]
    got, want = decode(encoding, pieces), decode(encoding, [octets])
    assert got[1] == want[1]
    assert got[0] == want[0], f"{len(got[0])} octets, whole {len(want[0])}"


# -- ordinary input -------------------------------------------------------------------------------


@given(octets=st.binary(max_size=600), width=st.sampled_from([4, 60, 72, 76, 100]), places=CUTS)
def test_base64_decodes_and_counts_as_python(octets: bytes, width: int, places: list[int]) -> None:
    encoded = lines(octets, width)
    assert decode("base64", cut(encoded, places)) == (octets, set())
    assert {count(cut(encoded, places), exact) for exact in (False, True)} == {len(octets)}


@given(octets=st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")), places=CUTS)
def test_quoted_printable_decodes_as_python(octets: bytes, places: list[int]) -> None:
    encoded = quopri.encodestring(octets)
    assert decode("quoted-printable", cut(encoded, places)) == (quopri.decodestring(encoded), set())


@given(octets=st.binary(max_size=400), places=CUTS)
def test_uuencode_decodes_as_python(octets: bytes, places: list[int]) -> None:
    rows = [binascii.b2a_uu(octets[start : start + 45]) for start in range(0, len(octets), 45)]
    encoded = b"begin 644 a.bin\n" + b"".join(rows) + b"`\nend\nafter the end\n"
    assert decode("x-uuencode", cut(encoded, places)) == (octets, set())


@pytest.mark.parametrize(
    ("encoding", "known"),
    [
        ("base64", True),
        ("quoted-printable", True),
        ("x-uuencode", True),
        ("uue", True),
        ("8bit", False),
        ("x", False),
    ],
)
def test_an_unknown_encoding_is_the_octets_themselves(encoding: str, known: bool) -> None:
    assert is_known(encoding) is known
    assert (decode(encoding, [b"=41 QUJD"])[0] == b"=41 QUJD") is not known


# -- what is not ordinary -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "want", "defects"),
    [
        (b"", b"", set()),
        (b"QUJD", b"ABC", set()),
        (b"QU JD\r\n\t", b"ABC", set()),
        (b"QUI=", b"AB", set()),
        (b"QQ==\r\n", b"A", set()),
        (b"QQ==QUJD", b"AABC", {"base64-data-after-pad"}),
        (b"QQ==\r\nQg==\r\n", b"AB", {"base64-data-after-pad"}),
        (b"QQ=QUJD", b"AABC", {"base64-data-after-pad"}),
        (b"Q*U-J_D", b"ABC", {"base64-junk"}),
        (b"\0QUJD\xff", b"ABC", {"base64-junk"}),
        (b"QUJDR", b"ABC", {"base64-unpadded"}),
        (b"QUJDRA", b"ABCD", {"base64-unpadded"}),
        (b"====", b"", set()),
    ],
)
def test_base64(octets: bytes, want: bytes, defects: set[str]) -> None:
    for pieces in ([octets], [octets[i : i + 1] for i in range(len(octets))]):
        assert decode("base64", pieces) == (want, defects)


@pytest.mark.parametrize(
    ("octets", "want", "defects"),
    [
        (b"a=20b", b"a b", set()),
        (b"a \t\r\nb", b"a\r\nb", set()),
        (b"a=\r\nb=\nc", b"abc", set()),
        (b"a= \r\nb", b"ab", {"qp-space-after-soft-break"}),
        (b"a=zz", b"a=zz", {"qp-bad-escape"}),
        (b"a=e1", b"a\xe1", {"qp-bad-escape"}),  # lower case is not legal, and every program takes it
        (b"M=E1=BA=ADt", "Mật".encode(), set()),
        (b"a\xe1\xba\xad", b"a\xe1\xba\xad", set()),
    ],
)
def test_quoted_printable(octets: bytes, want: bytes, defects: set[str]) -> None:
    for pieces in ([octets], [octets[i : i + 1] for i in range(len(octets))]):
        assert decode("quoted-printable", pieces) == (want, defects)


@pytest.mark.parametrize(
    ("octets", "want", "defects"),
    [
        (b"begin 644 a\r\n#0V%T\r\n`\r\nend\r\n", b"Cat", set()),
        (b"#0V%T\r\n", b"Cat", set()),
        (b"begin 644 a\n#0V%T\nend\n#0V%T\n", b"Cat", set()),
        (b"#0V%T!!!!\n", b"Cat", {"uu-bad-line"}),
    ],
)
def test_uuencode(octets: bytes, want: bytes, defects: set[str]) -> None:
    for pieces in ([octets], [octets[i : i + 1] for i in range(len(octets))]):
        assert decode("x-uuencode", pieces) == (want, defects)


@pytest.mark.parametrize(
    ("octets", "want"),
    [
        (b"", 0),
        (b"QUJD", 3),
        (b"QUI=", 2),
        (b"QQ==", 1),
        (b"QUJD\r\nQUJD\r\n", 6),
        (b"QUJD\r\nQUI=\r\n", 5),
        (b"QUJD\r\nQUJ\r\nDQUJD\r\n", 9),  # a line that breaks in the middle of a group
        (b"QUJDQUJD\nQUJD\n", 9),
        (b" QUJD\r\n QUJD\r\n", 6),
        (b"QUJD" * 300, 900),  # no line break within the longest line
        (b"QUJD" * 300 + b"\r\nQUJD", 903),
        (b"-----", 0),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_counter(octets: bytes, want: int, exact: bool) -> None:
    assert count([octets], exact) == want
    assert count([octets[i : i + 1] for i in range(len(octets))], exact) == want


@given(octets=FRAGMENTS)
def test_an_exact_count_is_never_under_what_decodes(octets: bytes) -> None:
    """Digits that a pad cuts off make no octet: then the count is the larger."""
    decoded, _ = decode("base64", [octets])
    counted = count([octets], exact=True)
    assert counted >= len(decoded)
    if b"=" not in octets:
        assert counted == len(decoded)


@pytest.mark.parametrize("make", [Base64Decoder, lambda: decoder_for("quoted-printable")])
def test_finish_leaves_nothing(make: Callable[[], Base64Decoder]) -> None:
    decoder = make()
    assert decoder.feed(b"QUJDR") + decoder.finish()
    assert decoder.finish() == b""
