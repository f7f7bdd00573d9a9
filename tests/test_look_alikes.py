"""Which domains look like ours, and which are somebody else's own."""

from itertools import product

import pytest

from mailgate.text.look_alikes import _is_one_edit, look_alike_of, shapes_of, skeleton

OURS = frozenset({"hanam.gov.vn", "stttt.hanam.gov.vn", "hanam.edu.vn", "hn.gov.vn", "thuvienhanam.com"})
US = "hanam.gov.vn"


def a_label(label: str) -> str:
    return "xn--" + label.encode("punycode").decode()


@pytest.mark.parametrize(
    ("domain", "wanted"),
    [
        # joined otherwise
        ("hanam-gov.vn", US),
        ("hanamgov.vn", US),
        ("hanam.gov-vn.com", US),
        ("hanam-gov-vn.com", US),
        ("hanamgovvn.com", US),
        ("ha-nam.gov.vn.example", US),
        ("hanam.gov.vn.example.com", US),
        ("mail.hanam.gov.vn.example.com", US),
        ("mail.hanam-gov.vn", US),
        ("gov-hanam.vn", US),
        ("govhanam.com", US),
        ("hanamgov.com", US),
        ("hanam-gov.vn.example.com", US),
        ("a.b.c.d.hanam.gov.vn.x.example", ""),  # longer than what anybody is shown
        ("stttt-hanam.gov-vn.net", "stttt.hanam.gov.vn"),
        ("hanamedu.vn", "hanam.edu.vn"),
        # other letters
        ("h4nam-gov.vn", US),
        ("hanarn-gov.vn", US),
        ("hanam-g0v.vn", US),
        ("hanam.g0v.vn", US),
        (f"{a_label('hànam-gov')}.vn", US),
        (f"{a_label('hаnаm-gov')}.vn", US),  # Cyrillic а
        (f"{a_label('ћanam-gov')}.vn", US),
        (f"{a_label('hanaｍ-gov')}.vn", US),
        ("thuv1enhanam.com", "thuvienhanam.com"),
        ("thuvienhanarn.com", "thuvienhanam.com"),
        # one letter
        ("hanan-gov.vn", US),
        ("hanamm-gov.vn", US),
        ("hnam-gov.vn", US),
        ("hnaam-gov.vn", US),
        ("thuvienhnam.com", "thuvienhanam.com"),
        ("thuvienhanaam.com", "thuvienhanam.com"),
        # two are another name
        ("hanoi-gov.vn", ""),
        ("hainan-gov.vn", ""),
        # ours, and below ours
        (US, ""),
        ("mail.hanam.gov.vn", ""),
        ("hanam.edu.vn", ""),
        ("a.thuvienhanam.com", ""),
        # the name is everybody's
        ("hanam.vn", ""),
        ("hanam.com", ""),
        ("hanam.com.vn", ""),
        ("baohanam.com.vn", ""),
        ("dulichhanam.vn", ""),
        ("hanamgo.vn", ""),
        ("hanam-go.vn", ""),
        ("hanam.go.kr", ""),
        ("hanamgolf.vn", ""),
        ("thuvienhanam.vn", ""),
        # short names have too many neighbours
        ("hn-gov.vn", "hn.gov.vn"),
        ("hp-gov.vn", ""),
        ("bn-gov.vn", ""),
        # others
        *((domain, "") for domain in ("gmail.com", "example.com", "vn", "", "localhost", "[192.0.2.1]", "gov.vn")),
        *((domain, "") for domain in ("xn--", "xn--a\u00e9", "a" * 300 + ".vn", "." * 200, "gov.gov.gov", "vnpt.vn")),
    ],
)
def test_a_domain_that_looks_like_ours(domain: str, wanted: str) -> None:
    assert look_alike_of(domain, OURS) == wanted


PROVINCES = [
    "angiang",
    "bacgiang",
    "backan",
    "baclieu",
    "bacninh",
    "baria-vungtau",
    "bentre",
    "binhdinh",
    "binhduong",
    "binhphuoc",
    "binhthuan",
    "camau",
    "cantho",
    "caobang",
    "daklak",
    "daknong",
    "danang",
    "dienbien",
    "dongnai",
    "dongthap",
    "gialai",
    "hagiang",
    "haiduong",
    "haiphong",
    "hanoi",
    "hatinh",
    "haugiang",
    "hoabinh",
    "hungyen",
    "khanhhoa",
    "kiengiang",
    "kontum",
    "laichau",
    "lamdong",
    "langson",
    "laocai",
    "longan",
    "namdinh",
    "nghean",
    "ninhbinh",
    "ninhthuan",
    "phutho",
    "phuyen",
    "quangbinh",
    "quangnam",
    "quangngai",
    "quangninh",
    "quangtri",
    "soctrang",
    "sonla",
    "tayninh",
    "thaibinh",
    "thainguyen",
    "thanhhoa",
    "thuathienhue",
    "tiengiang",
    "travinh",
    "tuyenquang",
    "vinhlong",
    "vinhphuc",
    "yenbai",
    "hochiminhcity",
]


@pytest.mark.parametrize("name", ["hanam", "namdinh", "ninhbinh", "quangnam", "thaibinh", "hoabinh"])
def test_no_province_looks_like_another(name: str) -> None:
    """Even where its domain is not known to be a state body's, and however its own look-alikes are written."""
    ours = frozenset({f"{name}.gov.vn"})
    written = ("{}.gov.vn", "{}-gov.vn", "{}gov.vn", "{}.com.vn", "{}.vn", "mail.{}.gov.vn")
    others = [form.format(other) for other, form in product(set(PROVINCES) - {name}, written)]
    assert [domain for domain in others if look_alike_of(domain, ours)] == []


def distance(one: str, other: str) -> int:
    """Return the restricted Damerau-Levenshtein distance, by its textbook's table."""
    rows = [[max(i, j) for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i, j in product(range(1, len(one) + 1), range(1, len(other) + 1)):
        rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (one[i - 1] != other[j - 1]))
        if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
            rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


def test_one_edit_is_what_the_textbook_says() -> None:
    words = ["".join(letters) for size in range(5) for letters in product("ab", repeat=size)]
    for one, other in product(words, words):
        assert _is_one_edit(one, other) == (distance(one, other) <= 1), (one, other)


def test_shapes_and_skeletons() -> None:
    assert shapes_of("a.b-c.vn") == ("a", "abc", "bc", "abcvn", "bcvn", "vn")
    assert [skeleton(label) for label in ("h4nam", "xn--80ak6aa92e", "viet")] == ["hanam", "apple", "vlet"]
