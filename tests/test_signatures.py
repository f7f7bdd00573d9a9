"""DKIM and ARC: what holds, what does not, and that no content raises or takes more than its share of time."""

import base64
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from dkim.canonicalization import CanonicalizationPolicy
from hypothesis import given
from hypothesis import strategies as st

from mailgate.inspection import signatures
from mailgate.inspection.signatures import Chain, Message, chain, signers
from mailgate.inspection.tag_lists import instance_of, read_tags

DOMAIN, NAME = "hanam.gov.vn", "s1._domainkey.hanam.gov.vn"
PRIVATE = rsa.generate_private_key(65_537, 1_024)  # a weak one is signed with in no time
PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
NOW = int(time.time())


def der(key: rsa.RSAPublicKey, form: Any = serialization.PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return base64.b64encode(key.public_bytes(serialization.Encoding.DER, form))


PUBLIC = der(PRIVATE.public_key())
PKCS1 = der(PRIVATE.public_key(), serialization.PublicFormat.PKCS1)
OTHER = der(rsa.generate_private_key(65_537, 1_024).public_key())
RECORD = b"v=DKIM1; k=rsa; p=" + PUBLIC
LETTER = (
    b"From: Lan <lan@hanam.gov.vn>\r\nTo: x@y.example\r\nSubject:  Bao\r\n\tcao \r\nX-A: 1\r\nX-A: 2\r\n\r\n"
    b"Kinh  gui. \r\n\r\n \t\r\nHa Nam\t\r\n\r\n\r\n"
)


def message_of(octets: bytes, size: int = 65_536) -> Message:
    return Message(lambda: (octets[start : start + size] for start in range(0, len(octets), size)))


def holds(octets: bytes, *records: bytes, **keys: Sequence[bytes]) -> bool:
    return list(signers(message_of(octets), {NAME: records or (RECORD,), **keys})) == [DOMAIN]


def signed(octets: bytes = LETTER, private: Any = PEM, **options: Any) -> bytes:
    """Return a letter with a signature of dkimpy's."""
    options = {"include_headers": [b"From", b"Subject", b"X-A"], **options}
    field: bytes = dkim.sign(octets, b"s1", DOMAIN.encode(), private, **options)
    return field + octets


def tagged(tags: Mapping[str, str | None], octets: bytes = LETTER, names: str = "from:subject") -> bytes:
    """Return a letter with a signature of our own, which has these tags beside or instead of the usual ones.

    What is signed is computed as dkimpy does, so that any tag can stand in it.
    """
    forms = CanonicalizationPolicy.from_c_value((tags.get("c") or "relaxed/relaxed").encode())
    fields, body = dkim.rfc822_parse(octets)
    body_hash = base64.b64encode(hashlib.sha256(forms.canonicalize_body(body)).digest()).decode()
    usual = {"v": "1", "a": "rsa-sha256", "c": "relaxed/relaxed", "d": DOMAIN, "s": "s1", "h": names, "bh": body_hash}
    all_tags = {name: value for name, value in {**usual, **tags}.items() if value is not None}
    value = f" {'; '.join(f'{name}={text}' for name, text in all_tags.items())}; b=".encode()
    included = [name.strip().lower().encode() for name in all_tags.get("h", names).split(":")]
    chosen = dkim.select_headers(forms.canonicalize_headers(fields), included)
    (own,) = forms.canonicalize_headers([[b"DKIM-Signature", value + b"\r\n"]])
    octets_signed = b"".join(b"%s:%s" % (name, text) for name, text in chosen) + b"%s:%s" % (own[0], own[1].rstrip())
    signature = PRIVATE.sign(octets_signed, padding.PKCS1v15(), hashes.SHA256())
    return b"DKIM-Signature:" + value + base64.b64encode(signature) + b"\r\n" + octets


# -- DKIM ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header_form", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body_form", [b"simple", b"relaxed"])
@pytest.mark.parametrize(
    "letter",
    [
        LETTER,
        b"From: a@b.example\r\n\r\n",
        b"From: a@b.example\r\n\r\n\r\n\r\n",
        b"From: a@b.example\r\n\r\n \r\n\t\r\n",
        b"From: a@b.example\r\nSubject: x\ry\r\n\r\na\rb\r\n\rc\r\n",
        LETTER.replace(b"\r\n", b"\n"),
        b"From \x20a Mon\r\nFrom: a@b.example\r\n\r\nx\r\n",
    ],
)
def test_what_dkimpy_signed(header_form: bytes, body_form: bytes, letter: bytes) -> None:
    octets = signed(letter, canonicalize=(header_form, body_form))
    assert holds(octets)
    for size in (1, 2, 3, 7):
        assert list(signers(message_of(octets, size), {NAME: (RECORD,)})) == [DOMAIN]


@pytest.mark.parametrize(
    ("old", "new", "holds_still"),
    [
        (b"Kinh", b"kinh", False),
        (b"Bao", b"bao", False),
        (b"gui. \r\n", b"gui.\r\n", True),
        (b"Kinh  gui", b"Kinh gui", True),
        (b"Kinh  gui", b"Kinhgui", False),
        (b"\r\n\r\n\r\n", b"\r\n", True),
        (b"Ha Nam\t\r\n", b"Ha Nam\r\nx\r\n", False),
        (b"Subject:  Bao\r\n\tcao \r\n", b"SUBJECT: Bao cao\r\n", True),
        (b"X-A: 1\r\n", b"X-A: 3\r\n", True),
        (b"X-A: 2\r\n", b"X-A: 3\r\n", False),
        (b"From:", b"From: a@evil.example\r\nFrom:", False),
        (b"X-A: 1", b"From: a@evil.example\r\nX-A: 1", False),
        (b"X-A: 1", b"no field\r\nX-A: 1", False),
        (b"X-A: 1", b": none\r\nX-A: 1", False),
        (b"DKIM-Signature", b" folded into nothing\r\nDKIM-Signature", False),
    ],
)
def test_what_was_altered_since(old: bytes, new: bytes, holds_still: bool) -> None:
    octets = signed(canonicalize=(b"relaxed", b"relaxed"), include_headers=[b"From", b"Subject", b"X-A"])
    assert old in octets
    assert holds(octets.replace(old, new, 1)) is holds_still


@pytest.mark.parametrize(
    ("tags", "want"),
    [
        ({}, True),
        ({"c": "simple/simple"}, True),
        ({"c": "relaxed"}, True),
        ({"c": "simple/relaxed"}, True),
        ({"c": None}, False),
        ({"q": "dns/txt"}, True),
        ({"q": "other:dns/txt"}, True),
        ({"q": "other"}, False),
        ({"i": f"@{DOMAIN}"}, True),
        ({"i": f"lan@phong.{DOMAIN}"}, True),
        ({"i": f"x{DOMAIN}"}, False),
        ({"i": DOMAIN}, True),
        ({"i": "@evil.example"}, False),
        ({"i": "\u00e9"}, False),
        ({"t": str(NOW), "x": str(NOW + 60)}, True),
        ({"t": str(NOW + 86_400)}, False),
        ({"t": "9" * 5_000}, False),
        ({"t": "soon"}, False),
        ({"x": str(NOW - 86_400)}, False),
        ({"x": "9" * 5_000}, True),
        ({"x": "-1"}, False),
        ({"t": str(NOW), "x": str(NOW - 60)}, False),
        ({"v": "2"}, False),
        ({"v": None}, False),
        ({"a": "rsa-sha1"}, False),
        ({"a": "md5"}, False),
        ({"a": None}, False),
        ({"l": "23"}, True),
        ({"l": "0"}, False),
        ({"l": "22"}, False),
        ({"l": "9" * 5_000}, False),
        ({"l": "-1"}, False),
        ({"h": "subject"}, False),
        ({"h": "From : Subject :\r\n\tX-None"}, True),
        ({"h": "from:from:subject:from"}, True),
        ({"h": None}, False),
        ({"bh": "AAAA"}, False),
        ({"bh": "A=A"}, False),
        ({"bh": ""}, False),
        ({"d": None}, False),
        ({"s": None}, False),
        ({"d": "\u00e9.example"}, False),
        ({"other": "x"}, True),
        ({"9": "x"}, False),
    ],
)
def test_tags_of_a_signature(tags: dict[str, str | None], want: bool) -> None:
    assert holds(tagged(tags)) is want


def test_the_length_of_that_letter() -> None:
    body = dkim.rfc822_parse(LETTER)[1]
    assert len(CanonicalizationPolicy.from_c_value(b"relaxed/relaxed").canonicalize_body(body)) == 23


def _integer(octets: bytes) -> bytes:
    return b"\x02" + _length(len(octets) + 1) + b"\x00" + octets


def _length(count: int) -> bytes:
    return bytes([count]) if count < 128 else b"\x82" + count.to_bytes(2, "big")


def _rsa_key(modulus: int, exponent: int) -> bytes:
    """Return a PKCS#1 key of these numbers, whoever could use it."""
    body = b"".join(_integer(one.to_bytes((one.bit_length() + 7) // 8, "big")) for one in (modulus, exponent))
    return base64.b64encode(b"\x30" + _length(len(body)) + body)


NUMBERS = PRIVATE.public_key().public_numbers()


@pytest.mark.parametrize(
    ("records", "want"),
    [
        ([RECORD], True),
        ([b"p=" + PUBLIC], True),
        ([b"p=" + PKCS1], True),
        ([b"k=rsa;p=" + PUBLIC[:50] + b" \t" + PUBLIC[50:] + b";"], True),
        ([b"v=spf1 -all", RECORD], True),
        ([b"p=" + OTHER, RECORD], True),
        ([b"p=" + OTHER] * 4 + [RECORD], False),
        ([b"p=" + OTHER], False),
        ([b"v=DKIM2; p=" + PUBLIC], False),
        ([b"v=DKIM1; k=rsa; p="], False),
        ([b"v=DKIM1; k=rsa"], False),
        ([b"v=DKIM1; k=ed25519; p=" + PUBLIC], False),
        ([b"k=other; p=" + PUBLIC], False),
        ([b"h=sha1; p=" + PUBLIC], False),
        ([b"h=sha1:sha256; p=" + PUBLIC], True),
        ([b"s=tlsrpt; p=" + PUBLIC], False),
        ([b"s=email; p=" + PUBLIC], True),
        ([b"t=y; p=" + PUBLIC], True),
        ([b"t=y:s; p=" + PUBLIC], True),
        ([b"p=" + PUBLIC[:-8]], False),
        ([b"p=" + PUBLIC[:-1]], False),
        ([b"p=\xff\xfe"], False),
        ([b"p=" + base64.b64encode(bytes(range(256)))], False),
        ([b"p=" + base64.b64encode(b"\x30\x80" + b"\x30" * 400)], False),
        ([b"p=" + base64.b64encode(b"\x30\x0d\x30\x0b\x06\x00\x05\x02\x00\x00\x03\x03\x00\x30\x00")], False),
        ([b"p=" + _rsa_key(NUMBERS.n, NUMBERS.e)], True),
        ([b"p=" + _rsa_key(NUMBERS.n, 1 << 65 | 1)], False),
        ([b"p=" + _rsa_key(NUMBERS.n >> 512, NUMBERS.e)], False),
        ([b"p=" + _rsa_key((1 << 8_200) | 1, 3)], False),
        ([b"p=" + _rsa_key((1 << 100_000) | 1, 3)], False),
        ([b"p=" + _rsa_key(0, 0)], False),
        ([b"\x00" * 4_096], False),
        ([b";" * 4_096], False),
        ([], False),
    ],
)
def test_records_of_a_key(records: list[bytes], want: bool) -> None:
    assert (list(signers(message_of(signed()), {NAME: records})) == [DOMAIN]) is want


@pytest.mark.parametrize(("agent", "want"), [(f"lan@{DOMAIN}", True), (f"lan@phong.{DOMAIN}", False)])
def test_a_key_that_signs_for_its_own_domain_alone(agent: str, want: bool) -> None:
    assert holds(tagged({"i": agent}), b"t=s; p=" + PUBLIC) is want


def test_ed25519() -> None:
    """The example of RFC 8463, appendix A."""
    octets = (
        b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
        b" d=football.example.com; i=@football.example.com;\r\n"
        b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
        b" subject : date : message-id : from : subject : date;\r\n"
        b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
        b" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
        b" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
        b"From: Joe SixPack <joe@football.example.com>\r\n"
        b"To: Suzie Q <suzie@shopping.example.net>\r\n"
        b"Subject: Is dinner ready?\r\n"
        b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
        b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n"
        b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
    )
    name = "brisbane._domainkey.football.example.com"
    key = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert list(signers(message_of(octets), {name: [key]})) == ["football.example.com"]
    for record in (key.replace(b"p=11", b"p=12"), b"k=ed25519; p=AAAA", b"k=rsa; p=" + PUBLIC):
        assert list(signers(message_of(octets), {name: [record]})) == []
    assert list(signers(message_of(octets.replace(b"dinner", b"lunch")), {name: [key]})) == []


def test_so_many_signatures_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    monkeypatch.setattr(signatures, "_check_dkim", lambda message, place, *_: checked.append(place))
    field = b"DKIM-Signature: d=%s; s=s1; b=%d\r\n"
    octets = b"".join(field % (DOMAIN.encode(), number // 2) for number in range(100)) + LETTER
    strangers = b"".join(b"DKIM-Signature: d=evil.example; s=%d\r\n" % number for number in range(100))
    assert list(signers(message_of(strangers + octets), {NAME: [RECORD]})) == [DOMAIN] * 10
    assert len(checked) == 10, "each field once, and none whose key is not at hand"


@pytest.mark.parametrize(
    ("octets", "want"),
    [
        (b"a=1", {b"a": b"1"}),
        (b" a = 1 ;\r\n b_2=;", {b"a": b"1", b"b_2": b""}),
        (b"a=1=2;;", None),
        (b"a=1;a=2", None),
        (b"a", None),
        (b"=1", None),
        (b"1=a", None),
        (b"", {}),
        (b"a=" + b"x" * 65_535, None),
        (b";".join(b"a%d=" % number for number in range(102)), None),
    ],
)
def test_a_tag_list(octets: bytes, want: dict[bytes, bytes] | None) -> None:
    if want is None:
        with pytest.raises(ValueError, match="tag list"):
            read_tags(octets)
    else:
        assert read_tags(octets) == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (b" i=1; a", 1),
        (b" a=x;\r\n\ti = 50 ;", 50),
        (b"i=051", 51),
        (b"i=1000", 0),
        (b"i=-1", 0),
        (b"x", 0),
        (b"", 0),
    ],
)
def test_the_instance_of_a_field(value: bytes, want: int) -> None:
    assert instance_of(value) == want


# -- no content raises, nor takes more than its share ------------------------------------------------------

_PIECES = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"b=", b";", b":", b"From:", b"\xff", b"  x"])
).map(b"".join)


@given(_PIECES, st.sampled_from([b"simple", b"relaxed"]), st.integers(1, 5))
def test_a_body_is_canonical_as_dkimpy_has_it(body: bytes, form: bytes, size: int) -> None:
    body += b"\r\n"  # a mail ends with a line's end
    octets = b"From: x\r\n\r\n" + body
    policy = CanonicalizationPolicy.from_c_value(b"simple/" + form)
    wanted = policy.canonicalize_body(dkim.rfc822_parse(octets)[1])
    assert message_of(octets, size).body_hash(form) == (hashlib.sha256(wanted).digest(), len(wanted))


@given(_PIECES, _PIECES, st.booleans())
def test_no_message_raises(header: bytes, tags: bytes, is_arc: bool) -> None:
    name = b"ARC-Seal" if is_arc else b"DKIM-Signature"
    octets = name + b": i=1; d=hanam.gov.vn; s=s1;" + tags + b"\r\n" + header + b"\r\n\r\n" + tags
    assert list(signers(message_of(octets), {NAME: [RECORD]})) == []
    assert chain(message_of(octets), {NAME: [RECORD]})[0] in list(Chain)


def _arc_sets(count: int, filling: bytes = b"") -> bytes:
    one = (
        b"ARC-Seal: i=%(i)d; a=rsa-sha256; cv=%(cv)s; d=hanam.gov.vn; s=s1; x%(x)s=; b=AAAA\r\n"
        b"ARC-Message-Signature: i=%(i)d; a=rsa-sha256; d=hanam.gov.vn; s=s1; h=from; bh=%(bh)s; x%(x)s=; b=AAAA\r\n"
        b"ARC-Authentication-Results: i=%(i)d; x%(x)s\r\n"
    )
    sets = range(1, count + 1)
    return b"".join(
        one % {b"i": i, b"cv": b"none" if i == 1 else b"pass", b"x": filling, b"bh": NO_BODY} for i in sets
    )


SIGNATURE = b"DKIM-Signature: v=1; a=rsa-sha256; c=%s; d=hanam.gov.vn; s=s1; h=%s; bh=%s; b=%s\r\n"
NO_BODY = base64.b64encode(hashlib.sha256(b"").digest())  # so that also the header is hashed where there is none
USUAL = SIGNATURE % (b"relaxed/relaxed", b"from", NO_BODY, base64.b64encode(bytes(128)))
SIMPLE = USUAL.replace(b"relaxed/relaxed", b"simple/simple")
FROM = b"From: a@hanam.gov.vn\r\n"
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "blanks": lambda size: USUAL + FROM + b"\r\n" + b"a" + b" " * size + b"b\r\n",
    "blanks of two kinds": lambda size: USUAL + FROM + b"\r\na" + b" \t" * (size // 2) + b"b\r\n",
    "blanks at every line's end": lambda size: USUAL + FROM + b"\r\n" + b"a  \r\n" * (size // 5),
    "blanks and words": lambda size: USUAL + FROM + b"\r\n" + b"a " * (size // 2) + b"\r\n",
    "blank lines": lambda size: USUAL + FROM + b"\r\n" + b"\r\n" * (size // 2) + b"x\r\n",
    "blank lines at the end": lambda size: USUAL + FROM + b"\r\nx" + b"\r\n" * (size // 2),
    "simple blank lines": lambda size: SIMPLE + FROM + b"\r\nx" + b"\r\n" * (size // 2),
    "bare CR": lambda size: USUAL + FROM + b"\r\n" + b"\r" * size + b"\n",
    "bare LF": lambda size: SIMPLE + FROM + b"\r\n" + b"\n" * size + b"x",
    "folds": lambda size: USUAL + FROM + b"Subject: " + b"x\r\n " * (size // 4) + b"x\r\n\r\n",
    "blanks in the header": lambda size: (
        USUAL.replace(b"h=from", b"h=from:subject") + FROM + b"Subject: " + b" " * size + b"x\r\n\r\n"
    ),
    "a folded signature": lambda size: (
        USUAL.replace(b"b=AA", b"b=" + b"\r\n " * (size // 3) + b"AA") + FROM + b"\r\n"
    ),
    "blanks in a signature": lambda size: USUAL.replace(b"b=AA", b"b=" + b" " * size + b"!") + FROM + b"\r\n",
    "signatures": lambda size: USUAL * (size // len(USUAL)) + FROM + b"\r\n",
    "signatures that differ": lambda size: (
        b"".join(USUAL.replace(b"v=1", b"v=1; n=%d" % number) for number in range(size // len(USUAL)))
        + FROM
        + b"\r\n"
    ),
    "names in h=": lambda size: USUAL.replace(b"h=from", b"h=from" + b":a" * (size // 2)) + FROM + b"\r\n",
    "names that differ": lambda size: (
        USUAL.replace(b"h=from", b"h=from:" + b":".join(b"x%d" % number for number in range(min(size, 60_000) // 7)))
        + FROM
        + b"".join(b"x%d: \r\n" % number for number in range(size // 9))
        + b"\r\n"
    ),
    "one name often": lambda size: (
        USUAL.replace(b"h=from", b"h=from" + b":x" * 10_000) + FROM + b"x:\r\n" * (size // 4) + b"\r\n"
    ),
    "tags": lambda size: USUAL.replace(b"v=1", b"v=1" + b";x=" * (size // 3)) + FROM + b"\r\n",
    "a large tag": lambda size: USUAL.replace(b"v=1", b"v=1; x=" + b"9" * size) + FROM + b"\r\n",
    "semicolons": lambda size: USUAL.replace(b"v=1", b"v=1" + b";" * size) + FROM + b"\r\n",
    "ARC sets": lambda size: _arc_sets(size // 300) + FROM + b"\r\n",
    "large ARC sets": lambda size: _arc_sets(50, b"x" * (size // 150)) + FROM + b"\r\n",
    "no end of the header": lambda size: USUAL + FROM + b"x:\r\n" * (size // 4),
    "no header": lambda size: b"\r\n" * (size // 2),
}


@pytest.mark.parametrize("octets_of", HOSTILE.values(), ids=list(HOSTILE))
def test_time_grows_with_the_message_and_no_faster(octets_of: Callable[[int], bytes]) -> None:
    """From 64 KiB to 1 MiB are four doublings; each may take 2.3 times as long, and the clock is wrong by two."""

    def seconds(size: int) -> float:
        octets = octets_of(size)
        times = []
        for _ in range(3):
            started = time.process_time()
            assert list(signers(message_of(octets), {NAME: [RECORD]})) == []
            assert chain(message_of(octets), {NAME: [RECORD]})[0] is not Chain.PASS
            times.append(time.process_time() - started)
        return min(times)

    assert seconds(1_048_576) < max(seconds(65_536), 0.005) * 2.3**4 * 2
