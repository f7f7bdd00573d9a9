"""Text folded: every trap of the vectors, the map back to the original, and time in step with length."""

import json
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.text.folding import bare_of, fold

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())

# What the stages look for, so that they meet each other.
_PIECES = [
    *("hoà", "hòa", "thuỷ", "quý", "hoàn", "Đặng", "Ðoàn", "Ɖ", "ð", "Bınh", "İ", "H\u0331", "ẖ", "ß", "ﬁ", "½", "™"),
    *("Báº£o", "máº\xadt", "Viá»‡t", "Ã¡", "Ã¡ÂºÂ\xad", "XÃ”", "Á»‡", "a\u0301»‡", "â€™", "Â€œ"),
    *("T U Y Ệ T  M Ậ T", "A B", "M", "Ậ", "T", " ", "  ", "\n", "\r\n", "\u2028", "q", "o", "à", "u", "ỷ"),
    *("\u200b", "\xad", "\u034f", "\ufe0f", "\u3164", "\u202e", "\0", "\x1e", "\u0301", "\u0323", "\u0302", "\u031b"),
    *("а", "е", "о", "р", "Привет", "Μ", "ϒ", "Σ", "ς", "Ｍ", "𝐊", "ⓖ", "각", "\u1100\u1161", "ﷺ", "\ufdfa", "😀"),
]
TEXTS = st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=3)), max_size=12).map("".join)


@pytest.mark.parametrize("vector", VECTORS["fold"], ids=lambda vector: vector["id"])
def test_vectors(vector: dict[str, Any]) -> None:
    found = fold(vector["input"])
    assert (found.canon, found.ascii) == (vector["canon"], vector["ascii"])


@pytest.mark.parametrize(
    ("text", "canon"),
    [
        ("T U Y Ệ T  M Ậ T", "tuyệt mật"),
        ("T U Y E\u0323\u0302 T   M A\u0323\u0302 T", "tuyệt mật"),
        ("Mục A B và C", "mục a b và c"),
        ("x A B C", "x abc"),
        ("Ã¡ÂºÂ\xad", "ậ"),  # misread twice
        ("HÃ\xa0 Nam", "hà nam"),
        ("UBND “XÃ”", "ubnd “xã”"),  # a quotation mark, not Ô misread
        ("XÃ”", "xã”"),
        ("XÃ\xa0HƯNG", "xã hưng"),  # a no-break space, not à misread
        ("ngoèo, ngoẻo, xoài", "ngoèo, ngoẻo, xoài"),
        ("hoà_bình.doc", "hòa_bình.doc"),
        ("QUÝ, KHUỶU, UỶ", "quý, khuỷu, ủy"),
        ("H\u0331", "ẖ"),
        ("ТУУЕТ МАТ", "туует мат"),  # wholly Cyrillic
        ("", ""),
    ],
)
def test_canon(text: str, canon: str) -> None:
    assert fold(text).canon == canon


@pytest.mark.parametrize(
    ("text", "within", "where"),
    [
        ("Số 1\nM\u200bẬ\u200cT", "mật", [5, 7, 9]),
        ("Báº£o máº\xadt", "mật", [6, 7, 10]),
        ("T U Y Ệ T  M Ậ T", "mật", [11, 13, 15]),
        ("MA\u0323\u0302T", "mật", [0, 1, 4]),
        ("ﬁ MẬT", "mật", [2, 3, 4]),
    ],
)
def test_a_place_leads_back(text: str, within: str, where: list[int]) -> None:
    found = fold(text)
    at = found.canon.index(within)
    assert list(found.canon_at[at : at + len(within)]) == where
    at = found.ascii.index("mat")
    assert list(found.ascii_at[at : at + 3]) == where


def test_cased_stands_beside_canon() -> None:
    found = fold("Công văn Ｍ\u200bẬT hoà H\u0331")
    assert (found.canon, found.cased) == ("công văn mật hòa ẖ", "Công văn MẬT hoà H")


@given(TEXTS)
def test_every_place_is_in_range_and_none_goes_back(text: str) -> None:
    found = fold(text)
    for folded, at in ((found.canon, found.canon_at), (found.ascii, found.ascii_at), (found.cased, found.canon_at)):
        assert len(folded) == len(at)
        assert list(at) == sorted(at)
        assert all(0 <= place < len(text) for place in at)


@given(TEXTS)
def test_canon_folds_to_itself(text: str) -> None:
    canon = fold(text).canon
    assert fold(canon).canon == canon
    assert unicodedata.is_normalized("NFC", canon)


@given(TEXTS)
def test_ascii_is_canon_without_marks(text: str) -> None:
    found = fold(text)
    assert found.ascii == "".join(map(bare_of, found.canon))
    assert "đ" not in found.ascii


@given(TEXTS)
def test_a_glance_sees_whatever_is_to_be_done(text: str) -> None:
    """A text that needs no folding at a glance folds as one that shows at once that it does."""
    found, slowly = fold(text), fold(text + "\n\u200b")  # on a line of its own: what is misread is judged by lines
    assert (found.canon + "\n", found.cased + "\n") == (slowly.canon, slowly.cased)


_SENTENCE = "Kính gửi: Ủy ban nhân dân tỉnh Hà Nam, căn cứ Quyết định số 27/2023/QĐ-UBND về Hoà Bình\n"


@pytest.mark.parametrize(
    "piece",
    [
        *(_SENTENCE, unicodedata.normalize("NFD", _SENTENCE), "Báº£o máº\xadt ", "XÃ”\n", "ＭẬＴ ", "аhоà "),
        *("A ", "a\u200b", "\u1100\u1161", "\u0301", "á»", "aа"),
    ],
)
def test_time_is_linear(piece: str) -> None:
    text = piece * (1_000_000 // len(piece.encode()))
    start = time.process_time()
    found = fold(text)
    assert len(found.canon_at) == len(found.canon)
    assert time.process_time() - start < 2  # s for 1 MB; about a fifth of it is usual
