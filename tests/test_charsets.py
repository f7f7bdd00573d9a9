"""Octets as text: vectors, four legacy charsets under every label, and Western text that is none of them."""

import base64
import json
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.text.charsets import LEGACY, TCVN3, VISCII, VNI, WINDOWS_1258, charset_of_font, read

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())

_LETTERS = "aàáảãạăằắẳẵặâầấẩẫậeèéẻẽẹêềếểễệiìíỉĩịoòóỏõọôồốổỗộơờớởỡợuùúủũụưừứửữựyỳýỷỹỵđ"
# Written out by hand from xvnkb's vni.h and vnisoft.com's table, to hold the decoder against.
_VNI = (
    "a aø aù aû aõ aï aê aè aé aú aü aë aâ aà aá aå aã aä e eø eù eû eõ eï eâ eà eá eå eã eä i ì í æ ó ò "
    "o oø où oû oõ oï oâ oà oá oå oã oä ô ôø ôù ôû ôõ ôï u uø uù uû uõ uï ö öø öù öû öõ öï y yø yù yû yõ î ñ"
)
_VNI_PAIRS = dict(zip(_LETTERS, _VNI.split(), strict=True))


def _by_octet(charset: str) -> dict[str, bytes]:
    octets = [bytes([octet]) for octet in range(256)]
    return {read(octet, charset).text: octet for octet in octets}


_OCTETS = {charset: _by_octet(charset) for charset in (TCVN3, VISCII)}


def encode(text: str, charset: str) -> bytes:
    """Write a text as an old program did."""
    if charset == VNI:
        pairs = _VNI_PAIRS | {letter.upper(): pair.upper() for letter, pair in _VNI_PAIRS.items()}
        return "".join(pairs.get(letter, letter) for letter in text).encode("cp1252")
    if charset == WINDOWS_1258:
        return b"".join(_in_1258(letter) for letter in text)
    if charset == TCVN3:  # its capitals are small letters in a font of capitals
        text = "".join(letter if letter in _OCTETS[TCVN3] else letter.lower() for letter in text)
    return b"".join(_OCTETS[charset][letter] for letter in text)


def _in_1258(letter: str) -> bytes:
    try:
        return letter.encode("cp1258")
    except UnicodeEncodeError:
        parts = unicodedata.normalize("NFD", letter)
        tone = next(part for part in parts if part in "\u0300\u0301\u0309\u0303\u0323")
        return (unicodedata.normalize("NFC", parts.replace(tone, "")) + tone).encode("cp1258")


TEXTS = [
    "Cộng hòa xã hội chủ nghĩa Việt Nam",
    "Độc lập - Tự do - Hạnh phúc",
    "Kính gửi: Ủy ban nhân dân huyện Kim Bảng, tỉnh Hà Nam",
    "Căn cứ Quyết định số 27/2023/QĐ-UBND ngày 12/6/2023 của Ủy ban nhân dân tỉnh về quản lý hộp thư điện tử công vụ",
    "Đề nghị các đồng chí gửi báo cáo trước ngày 15/11 để tổng hợp, trình Chủ tịch xem xét.",
    "Tuyệt đối không chuyển tiếp thư ra ngoài hệ thống",
    "Mời họp giao ban tuần",
    "Subject: Re: FW: Báo cáo kết quả kiểm tra định kỳ (Windows Server 2019, SQL Server)",
]


@pytest.mark.parametrize("vector", VECTORS["bytes"], ids=lambda vector: vector["id"])
def test_vectors(vector: dict[str, str]) -> None:
    found = read(base64.b64decode(vector["bytes_b64"]), vector["declared"])
    assert (found.text, found.charset) == (vector["expect"], vector["true_charset"])
    assert found.declared == vector["declared"]
    assert found.differs == (vector["true_charset"] != vector["declared"])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("label", ["", "us-ascii", "iso-8859-1", "windows-1252", "utf-8", "x-unknown", *LEGACY])
@pytest.mark.parametrize("charset", LEGACY)
def test_legacy_vietnamese_under_any_label(charset: str, label: str, text: str) -> None:
    found = read(encode(text, charset), label)
    want = text
    if charset == TCVN3:
        want = "".join(letter if letter in _OCTETS[TCVN3] else letter.lower() for letter in text)
    assert (found.text, found.charset, found.differs) == (want, charset, charset != label)


def test_every_letter_of_vni() -> None:
    for letter, pair in _VNI_PAIRS.items():
        assert read(pair.encode("latin-1"), VNI).text == letter
        assert read(pair.upper().encode("latin-1"), VNI).text == letter.upper()


@pytest.mark.parametrize("charset", [TCVN3, VISCII, WINDOWS_1258])
def test_every_letter_has_an_octet(charset: str) -> None:
    capitals = "" if charset == TCVN3 else _LETTERS.upper()
    for letter in _LETTERS + capitals:
        assert read(encode(letter, charset), charset).text == letter


def test_the_six_capitals_of_viscii_in_c0() -> None:
    """RFC 1456 section 2."""
    assert read(b"\x02\x05\x06\x14\x19\x1e", "VISCII").text == "ẲẴẪỶỸỴ"
    assert read("T\x1e GIÁ".encode("latin-1"), "viscii").text == "TỴ GIÁ"


WESTERN = [
    *("Le comité a été réuni à Paris; voilà où l'élève était.", "Ça va? Très bien, merci à vous.", "Noël à Orléans"),
    *("Caïn et Abel", "Le maître goûte le pâté.", "août", "L'hôtel est situé près de la forêt, côté sud", "déjà vu"),
    *("Où est le café? Là-bas.", "Citroën, Peugeot et Škoda", "Société Générale", "Côte d'Ivoire"),
    *(
        "Mit freundlichen Grüßen",
        "Müller",
        "Für Ihre Bemühungen danken wir schön.",
        "Straße",
        "Tür zu!",
        "Österreich",
    ),
    *("Größe: 5 µm ± 0,2", "Zürich, Köln und München", "„Anführung“ – so", "Übermäßig höflich", "Bär"),
    *("El niño comió piñas en España.", "¿Qué tal? Mañana será otro día", "señor", "São Paulo", "Não há coração são"),
    *("Ciò che può", "Perché no? Così è più facile", "Città", "Malmö och Göteborg", "Ærø, Tromsø, Ålesund"),
    *("© 2024 Microsoft® – “Windows”", "Price: £5 or €6 · 20°C", "• first\n• second", "½ or ¼", "naïve café résumé"),
    *("Beyoncé", "Zoë", "Chloë Sevigny", "Dvo\xf8\xe1k", "Þórður Ægisson", "Löw", "Jörg", "Thaïs", "Saül", "Haïti"),
]


@pytest.mark.parametrize("label", ["", "iso-8859-1", "windows-1252", "us-ascii", "x-unknown"])
@pytest.mark.parametrize("text", WESTERN)
def test_western_text_is_not_taken_for_vietnamese(text: str, label: str) -> None:
    found = read(text.encode("cp1252"), label)
    assert (found.text, found.charset) == (text, "windows-1252")
    assert found.differs == (label not in ("iso-8859-1", "windows-1252"))


@pytest.mark.parametrize("label", ["", "us-ascii", "utf-8", "iso-8859-1", "gb2312", "x-unknown", "hex", "\0", "é"])
@pytest.mark.parametrize("text", ["Kinh gui cac dong chi, em gui bao cao tuan.", "Phong Noi vu", ""])
def test_vietnamese_without_marks_is_ascii(text: str, label: str) -> None:
    found = read(text.encode(), label)
    assert (found.text, found.charset, found.differs) == (text, "us-ascii", False)


@pytest.mark.parametrize(
    ("octets", "label", "text", "charset", "differs"),
    [
        ("Hà Nội".encode(), "", "Hà Nội", "utf-8", True),
        ("Hà Nội".encode(), "UTF8", "Hà Nội", "utf-8", False),
        ("Hà Nội".encode(), "utf-8*vi", "Hà Nội", "utf-8", False),
        ("Hà Nội".encode(), "tcvn3", "Hà Nội", "utf-8", True),
        ("\ufeffHà Nội".encode(), "utf-8", "Hà Nội", "utf-8", False),
        ("Kính gửi Hà Nội".encode()[:-2], "utf-8", "Kính gửi Hà N\ufffd", "utf-8", False),
        ("Hà Nội".encode() * 3 + b"\xff", "", "Hà Nội" * 3 + "\ufffd", "utf-8", True),
        (b"\xef\xbb\xbfHa Noi", "", "Ha Noi", "utf-8", True),
        ("café".encode("cp1252"), "utf-8", "café", "windows-1252", True),
        ("Hà Nội".encode("utf-16"), "utf-16", "Hà Nội", "utf-16", False),
        ("Hà Nội".encode(), "utf-16", "Hà Nội", "utf-8", True),
        (b"+AOA-", "utf-7", "à", "utf-7", False),
        ("Привет".encode("koi8-r"), "koi8-r", "Привет", "koi8-r", False),
        ("日本語".encode("iso-2022-jp"), "iso-2022-jp", "日本語", "iso-2022-jp", False),
        ("中文".encode("gb2312") + b"\xd6", "gb2312", "中文\ufffd", "gb2312", False),
        ("Müller".encode("cp1252"), "utf-8", "Müller", "windows-1252", True),
        (b"\x93\x8f\x94", "", "“\x8f”", "windows-1252", True),
    ],
)
def test_labels(octets: bytes, label: str, text: str, charset: str, differs: bool) -> None:
    found = read(octets, label)
    assert (found.text, found.charset, found.differs) == (text, charset, differs)


@pytest.mark.parametrize("label", ["x-viet-vps", "VPS"])
def test_vps_is_only_known_by_its_label(label: str) -> None:
    found = read(b"Vi\xcft Nam", label)
    assert (found.charset, found.differs) == ("vps", False)


@pytest.mark.parametrize(
    ("font", "charset"),
    [
        *((".VnTime", TCVN3), ("'.VnTimeH'", TCVN3), (".vnarial", TCVN3), ("VNI-Times", VNI), ("VNI Times", VNI)),
        *(("VPS Times", "vps"), ("Times New Roman", ""), ("Vni", ""), ("", "")),
    ],
)
def test_fonts_give_their_charset_away(font: str, charset: str) -> None:
    assert charset_of_font(font) == charset


@given(
    st.binary(max_size=80), st.one_of(st.text(max_size=20), st.sampled_from(["utf-16", "utf-7", "punycode", "hz"]))
)
def test_nothing_raises(octets: bytes, label: str) -> None:
    found = read(octets, label)
    assert found.text or not octets.strip(b"\0\xff\xfe+~")
    assert found.declared in label.lower()


@given(st.text())
def test_utf8_wins_over_any_label(text: str) -> None:
    for label in ("", "windows-1258", "tcvn3", "gb2312"):
        found = read(text.encode(), label)
        assert found.text == text.removeprefix("\ufeff")


@pytest.mark.parametrize(
    ("piece", "label"),
    [
        (b"Vi\xd6t Nam ", ""),
        (b"\xe9", ""),
        (b"a\xe9" * 3 + b" ", "utf-8"),
        (b"\xe1\xba\xad\xff", ""),
        (b"\xff-", "punycode"),
    ],
)
def test_time_is_linear(piece: bytes, label: str) -> None:
    octets = piece * (1_000_000 // len(piece))
    start = time.process_time()
    assert read(octets, label).text
    assert time.process_time() - start < 1  # s for 1 MB
