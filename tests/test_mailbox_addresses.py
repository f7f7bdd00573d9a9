"""Addresses by clause 5: folding, abbreviations, every form from names, and explanations of what does not fit."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.mailboxes import addresses
from mailgate.mailboxes.addresses import collisions, explain, fold, forms_of, initials, kind_of, local_parts
from mailgate.model import MailboxKind, Registration

DATA = Path(__file__).parent / "data"
VECTORS: dict[str, list[dict[str, Any]]] = json.loads((DATA / "vectors.json").read_text())
OURS = Identity(Organization(frozenset({"hanam.gov.vn"})))
UNIT, PERSON = MailboxKind.UNIT, MailboxKind.INDIVIDUAL

with (DATA / "names.csv").open() as file:
    NAMES = list(csv.DictReader(file))


def clauses(explanation: addresses.Explanation) -> list[str]:
    return [form.clause for form in explanation.forms]


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["fold"], ids=lambda vector: vector["id"])
def test_fold_takes_marks_off_and_joins(vector: dict[str, Any]) -> None:
    assert fold(vector["input"]) == "".join(filter("abcdefghijklmnopqrstuvwxyz".__contains__, vector["ascii"]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nguyễn Văn Hùng", "Nguyễn Văn Hưng"),
        ("Lê Hoà", "Lê Hòa"),
        ("Phạm Thị Thuỷ", "Phạm Thị Thủy"),
        ("Đoàn", "Ðoàn"),
        ("Đoàn", "Ɖoàn"),
        ("đoàn", "ðoàn"),
        ("Lê Hoà", "Lê Hoa\u0300"),
    ],
)
def test_names_that_fold_to_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("Sở Thông tin và Truyền thông", "stttt"),
        ("So Thong tin va Truyen thong", "stttt"),
        ("SỞ THÔNG TIN VÀ TRUYỀN THÔNG", "stttt"),
        ("Sở TTTT", "stttt"),
        ("Sở TT&TT", "stttt"),
        ("Phòng Thông tin - Báo chí - Xuất bản", "pttbcxb"),
        ("Phòng Thông tin-Báo chí", "pttbc"),
        ("Sở Y tế", "syt"),
        ("Văn phòng UBND tỉnh", "vpubndt"),
        ("Bạc Liêu Vạ", "blv"),
        ("", ""),
    ],
)
def test_initials(name: str, want: str) -> None:
    assert initials(name) == want


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("Sở Y tế", UNIT),
        ("UBND xã Thanh Hà, huyện Thanh Liêm", UNIT),
        ("huyện Kim Bảng", UNIT),
        ("Nguyễn Văn Hùng", PERSON),
        ("Nguyễn Văn Hùng, Sở Y tế", PERSON),
        ("Đoàn Phương Xã", PERSON),
        ("", PERSON),
    ],
)
def test_whose_name_it_is(name: str, want: MailboxKind) -> None:
    assert kind_of(name) is want


def test_people_of_one_name_are_found() -> None:
    def holder(address: str, name: str, kind: MailboxKind = PERSON) -> Registration:
        return Registration(f"{address}@hanam.gov.vn", kind, name, "", "2025-01-01")

    registry = [
        holder("nguyenvanhung", "Nguyễn Văn Hùng"),
        holder("lehoa", "Lê Hoà"),
        holder("vp.stc", "Văn phòng", UNIT),
        holder("vp.snv", "Văn phòng", UNIT),
        holder("nguyenvanhung.ld", "Nguyễn Văn Hưng"),
        holder("tranthihoa", "Trần Thị Hoa"),
        holder("lehoa85", "Lê Hòa"),
    ]
    found = {
        name: [each.address.partition("@")[0] for each in people] for name, people in collisions(registry).items()
    }
    assert found == {"nguyenvanhung": ["nguyenvanhung", "nguyenvanhung.ld"], "lehoa": ["lehoa", "lehoa85"]}


# -- forms -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["address"], ids=lambda vector: vector["name"])
def test_the_clause_makes_its_own_examples(vector: dict[str, Any]) -> None:
    kind = PERSON if vector["kind"].startswith("person") else UNIT
    for asked in (kind, None):
        found = explain(vector["expect"], OURS, asked, vector["name"])
        assert clauses(found) == [vector["clause"]]
        assert found.reasons == ()
    assert vector["clause"] in clauses(explain(vector["expect"], OURS))


@pytest.mark.parametrize("row", NAMES, ids=lambda row: row["address"])
def test_a_made_up_name_has_its_address(row: dict[str, str]) -> None:
    kind = MailboxKind(row["kind"])
    by_name = explain(row["address"], OURS, kind, row["name"], row["unit"])
    assert (clauses(by_name), by_name.reasons) == ([row["clause"]], ())
    assert clauses(explain(row["address"], OURS, None, row["name"], row["unit"])) == [row["clause"]]
    alone = explain(row["address"], OURS)
    assert clauses(alone) == row["fits"].split()
    assert alone.is_ambiguous == (row["ambiguous"] == "yes") == (" " in row["fits"])
    assert any(note.startswith("ambiguous: ") for note in alone.notes) == alone.is_ambiguous


def test_the_made_up_names_cover_every_form() -> None:
    """Print, with -s, how many addresses fit each form, and which fit several."""
    made = Counter(row["clause"] for row in NAMES)
    fitting = Counter(form.clause for row in NAMES for form in forms_of(row["address"].partition("@")[0]))
    ambiguous = [row for row in NAMES if row["ambiguous"] == "yes"]
    print(f"\n{'form':6}{'made':>6}{'fit':>6}")
    for form in addresses.FORMS:
        print(f"{form.clause:6}{made[form.clause]:6}{fitting[form.clause]:6}  {form.english}")
    print(f"{len(ambiguous)} of {len(NAMES)} are ambiguous without the registry:")
    for row in ambiguous:
        print(f"  {row['address']:36} is {row['clause']}, fits {row['fits']}")
    assert len(NAMES) == 200
    assert min(made[form.clause] for form in addresses.FORMS) >= 10
    assert {form.clause for form in addresses.FORMS} == set(made)
    assert 0 < len(ambiguous) < len(NAMES)


@pytest.mark.parametrize(
    ("name", "unit", "kind", "want"),
    [
        ("Phòng Tư pháp thuộc Ủy ban nhân dân huyện Bình Lục", "", None, ["ptp.bl"]),
        ("Phòng Tư pháp huyện Bình Lục", "", None, ["ptp.bl"]),
        ("Phòng Lao động, Thương binh và Xã hội, huyện Kim Bảng", "", None, ["pldtbxh.kb"]),
        ("Báo Hà Nam", "", UNIT, ["bhn"]),
        ("UBND xã Thanh Hà", "", None, []),  # no district, no form
        ("Ban Tư pháp, xã Thanh Hà, huyện Thanh Liêm", "", None, []),
        ("", "", None, []),
        ("Lê Hoà", "", None, ["lehoa"]),
        ("Lê Hoà thuộc Sở Y tế", "", None, ["lehoa", "lehoa.yt", "lehoa.sy"]),
        ("Lê Hoà", "Sở Y tế", None, ["lehoa", "lehoa.yt", "lehoa.sy"]),
        (
            "Nguyễn Văn Nam",
            "UBND xã Thanh Hà, huyện Thanh Liêm",
            None,
            [f"nguyenvannam{two}" for two in ("", ".tl", ".th", ".ht", ".ub", ".xt")],
        ),
    ],
)
def test_local_parts_of_a_name(name: str, unit: str, kind: MailboxKind | None, want: list[str]) -> None:
    assert [made.local for made in local_parts(name, unit, kind)] == want


# -- explanations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("lan@example.com", "'example.com' is no domain of this system, which has hanam.gov.vn"),
        ("lan@x.hanam.gov.vn", "no domain of this system"),
        ("lan", "no domain of this system"),
        ("nguyễnvănhùng@hanam.gov.vn", "ễ, ă, ù: an address has no marks (không dấu): nguyenvanhung"),
        ("nguye\u0302\u0303nvana@hanam.gov.vn", "ễ: an address has no marks (không dấu): nguyenvana"),
        ("đoan@hanam.gov.vn", "đ: an address has no marks (không dấu): doan"),
        ("nguyen!van@hanam.gov.vn", "'!' (character 7): an address has letters a to z"),
        ("нам@hanam.gov.vn", "'н' (character 1), 'а' (character 2), 'м' (character 3)"),
        (f"{'x' * 65}@hanam.gov.vn", "longer than 64 octets"),
        ("1abc@hanam.gov.vn", "begins with '1'"),
        (".abc@hanam.gov.vn", "begins with '.'"),
        ("abc.@hanam.gov.vn", "ends with '.'"),
        ("nguyenvana..b@hanam.gov.vn", "two marks in a row"),
        ("p.bl@hanam.gov.vn", "'p' is too short"),
        ("abc1@hanam.gov.vn", "'abc' is too short"),
        ("a@hanam.gov.vn", "too short"),
    ],
)
def test_why_an_address_fits_no_form(address: str, says: str) -> None:
    found = explain(address, OURS)
    assert found.forms == ()
    assert any(says in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("address", "kind", "want"),
    [
        ("stttt", UNIT, ["5.1a"]),
        ("stttt", PERSON, ["5.2a"]),
        ("ptp.bl", UNIT, ["5.1d", "5.1đ"]),
        ("ubndtienson.dt", UNIT, ["5.1c"]),
        ("ubndtienson.dt", PERSON, ["5.2b"]),
        ("ubndkb", UNIT, ["5.1a", "5.1b"]),
        ("nguyenthithanhha", PERSON, ["5.2a"]),
    ],
)
def test_the_kind_of_the_registry_decides(address: str, kind: MailboxKind, want: list[str]) -> None:
    assert clauses(explain(f"{address}@hanam.gov.vn", OURS, kind)) == want


def test_an_address_of_the_other_kind_alone_is_told() -> None:
    found = explain("nguyenthithanhha@hanam.gov.vn", OURS, UNIT)
    assert found.forms == ()
    assert found.reasons == ("it fits 5.2a (person: the full name) alone, and no form of kind unit",)


@pytest.mark.parametrize(
    ("address", "name", "unit", "wanted"),
    [
        ("nguyenvanhai", "Nguyễn Văn Hùng", "", "nguyenvanhung@hanam.gov.vn (5.2a)"),
        ("nguyenvanhung.zz", "Nguyễn Văn Hai", "Sở LĐTBXH", "nguyenvanhai.ld@hanam.gov.vn (5.2b)"),
        ("lehoang", "Lê Hoa", "", "lehoa with a date or place (5.2c)"),  # what goes on in letters is another name
        ("sttt", "Sở Thông tin và Truyền thông", "", "stttt@hanam.gov.vn (5.1a)"),
        ("ptp.kb", "Phòng Tư pháp", "huyện Bình Lục", "ptp.bl@hanam.gov.vn (5.1đ)"),
        ("ubndthanhha", "UBND xã Thanh Hà", "", "clause 5 has no form for UBND xã Thanh Hà"),
        ("nguyễnvănhai", "Nguyễn Văn Hùng", "", "an address has no marks"),
    ],
)
def test_an_address_that_is_not_the_names(address: str, name: str, unit: str, wanted: str) -> None:
    found = explain(f"{address}@hanam.gov.vn", OURS, None, name, unit)
    assert found.forms == ()
    assert any(wanted in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("address", "note"),
    [
        ("stttt+news@hanam.gov.vn", "stttt+news@hanam.gov.vn is an address of stttt@hanam.gov.vn"),
        ("STTTT@hanam.gov.vn", "capitals are the same mailbox; write small letters"),
        ("ubndkb@hanam.gov.vn", "a form with a district (huyện) is of before 1 July 2025: no new mailbox gets one"),
        (
            "stttt@hanam.gov.vn",
            "ambiguous: the kind in the registry decides: 5.2a where that is individual, 5.1a where that is unit",
        ),
    ],
)
def test_what_else_is_to_be_known(address: str, note: str) -> None:
    found = explain(address, OURS)
    assert note in found.notes
    assert found.forms


def test_the_two_readings_of_a_units_letters_are_told() -> None:
    notes = [
        explain(f"nguyenvanhung.{two}@hanam.gov.vn", OURS, None, "Nguyễn Văn Hùng", "Sở Lao động - Thương binh").notes
        for two in ("ld", "sl")
    ]
    assert notes == [
        ("two letters of Lao động Thương binh",),
        ("two letters of Sở Lao động Thương binh, type word included",),
    ]
