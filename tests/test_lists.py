"""The site's lists: what a line may say, how a bad one is named, and a folder that is followed."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.lab.commands import Run

from mailgate.lists.entries import KINDS, kind_of, read_list
from mailgate.lists.folder import Folder
from mailgate.model import ListEntry

SHIPPED = Path(__file__).parents[1] / "config" / "lists"

GOOD = {
    "a phrase, its blanks": ("prohibited/gambling", " cá  độ\tbóng đá \n", {"cá độ bóng đá": {}}),
    "a comment": ("prohibited/a-b", "# một\n  # hai\ncờ bạc # ba\n", {"cờ bạc": {}}),
    "a mark that is no comment": ("prohibited/x", "c# cơ bản\n", {"c# cơ bản": {}}),
    "attributes": ("advertising/words", "mua ngay|weight = 3", {"mua ngay": {"weight": "3"}}),
    "a byte order mark, CRLF": ("advertising/not", "\ufeffhóa đơn\r\nvận đơn\r\n", {"hóa đơn": {}, "vận đơn": {}}),
    "a domain": (
        "registration/domains",
        "FacebookMail.com. | service=Facebook",
        {"facebookmail.com": {"service": "Facebook"}},
    ),
    "an address or a domain": (
        "registration/exempt",
        "A@Example.com\nexample.org",
        {"a@example.com": {}, "example.org": {}},
    ),
    "parties": (
        "blocklist",
        "203.0.113.7\n198.51.100.0/24 | until=2027-06-30 | source=x | request=12/YC\n2001:DB8::/32\nspam.example\n"
        "A@b.example",
        {
            "203.0.113.7": {},
            "198.51.100.0/24": {"until": "2027-06-30", "source": "x", "request": "12/YC"},
            "2001:db8::/32": {},
            "spam.example": {},
            "a@b.example": {},
        },
    ),
    "the last of two": (
        "advertising/words",
        "sale off | weight=1\nsale off | weight=2",
        {"sale off": {"weight": "2"}},
    ),
    "records": (
        "advertising/refusals",
        'address,advertiser,date,source\nLan@hanam.gov.vn,shop.com.vn,2026-11-01,"thư, 12"\n\n'
        "lan@hanam.gov.vn,*,2026-11-02,x",
        {
            "lan@hanam.gov.vn shop.com.vn": {"date": "2026-11-01", "source": "thư, 12"},
            "lan@hanam.gov.vn *": {"date": "2026-11-02", "source": "x"},
        },
    ),
    "records as a spreadsheet writes them": (
        "advertising/consents",
        "\ufeffDate;Address;Source;Advertiser\r\n2026-11-01;a@hanam.gov.vn;x;lan@gmail.com\r\n",
        {"a@hanam.gov.vn lan@gmail.com": {"date": "2026-11-01", "source": "x"}},
    ),
    "nothing": ("blocklist", "", {}),
}


@pytest.mark.parametrize(("name", "text", "wanted"), GOOD.values(), ids=GOOD)
def test_good_lines(name: str, text: str, wanted: Mapping[str, Mapping[str, str]]) -> None:
    kind = kind_of(name)
    assert kind is not None
    reading = read_list(kind, text, "x")
    assert (reading.problems, reading.entries) == ([], {key: ListEntry(key, value) for key, value in wanted.items()})


RECORDS = "address,advertiser,date,source\n"
BAD = [
    ("prohibited/x", "***", "x:1: '***': write a word or a phrase"),
    ("prohibited/x", "a\n" + "b" * 201, f"x:2: '{'b' * 57}...': write a phrase of 200 letters at the most"),
    ("prohibited/x", "cờ bạc | weight=1", "x:1: 'weight': unknown key: no key may stand here"),
    ("advertising/words", "a | wieght=1", "x:1: 'wieght': unknown key: write weight"),
    ("advertising/words", "a | weight=11", "x:1: 'weight=11': write a whole number from 1 to 10"),
    ("advertising/words", "a | weight", "x:1: 'weight': write key=value"),
    ("advertising/words", "a | weight=1 | weight=1", "x:1: weight: a second time: take one out"),
    ("advertising/words", "| weight=1", "x:1: '': write a word or a phrase"),
    ("registration/domains", "a b.example", "x:1: 'a b.example': write a domain, such as example.com"),
    ("registration/domains", "com", "x:1: 'com': write a domain, such as example.com"),
    ("registration/exempt", "@example.com", "x:1: '@example.com': write an address, such as lan@example.com"),
    ("registration/exempt", "a.example | reason=", "x:1: 'reason=': write something, or take the key out"),
    ("blocklist", "203.0.113.7/24", "x:1: '203.0.113.7/24': write an IP address, or a network as 203.0.113.0/24 or"),
    ("blocklist", "203.0.113.999", "x:1: '203.0.113.999': write an IP address, or a network as"),
    ("blocklist", "a.example | until=30/6/2027", "x:1: 'until=30/6/2027': write a date as 2027-01-31"),
    ("blocklist", "a.example | until=2027-02-30", "x:1: 'until=2027-02-30': write a date as 2027-01-31"),
    ("advertising/refusals", "", f"x:1: the columns are not named: write {RECORDS.strip()} in the first line"),
    ("advertising/refusals", "a@b.vn,*,2026-11-01,x", "x:1: the columns are not named: write"),
    ("advertising/refusals", RECORDS + "a@b.vn,*,2026-11-01", "x:2: 3 columns: write address,advertiser,date,source"),
    ("advertising/refusals", RECORDS + "\na@b.vn,*,1.11.2026,x", "x:3: 'date=1.11.2026': write a date as 2027-01-31"),
    ("advertising/refusals", RECORDS + "b.vn,*,2026-11-01,x", "x:2: 'address=b.vn': write an address"),
    ("advertising/refusals", RECORDS + "a@b.vn,,2026-11-01,x", "x:2: 'advertiser=': write a domain"),
    (
        "advertising/refusals",
        RECORDS + "a@b.vn,mail.shop.com.vn,2026-11-01,x",
        "x:2: 'advertiser=mail.shop.com.vn': write the organisational domain, shop.com.vn",
    ),
]


@pytest.mark.parametrize(("name", "text", "problem"), BAD)
def test_a_bad_line_is_named(name: str, text: str, problem: str) -> None:
    kind = kind_of(name)
    assert kind is not None
    problems = read_list(kind, text, "x").problems
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_of_many_bad_lines_some_are_named() -> None:
    problems = read_list(KINDS["blocklist"], "?\n" * 100_000, "x").problems
    assert len(problems) == 21
    assert problems[-1] == "x:21: more lines are wrong from here on: is it the right file?"


def test_many_records() -> None:
    rows = "".join(
        f"can.bo.{i}@hanam.gov.vn,shop{i % 500}.com.vn,2026-11-01,phieu {i % 50}\n" for i in range(100_000)
    )
    reading = read_list(KINDS["advertising/refusals"], RECORDS + rows, "x")
    assert (len(reading.entries), reading.problems) == (100_000, [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "lists"
    (path / "prohibited").mkdir(parents=True)
    (path / "prohibited" / "gambling.txt").write_text("cờ bạc\n")
    (path / "blocklist.txt").write_text("spam.example\n")
    return path


def test_a_folder_is_followed(folder: Path) -> None:
    followed = Folder(folder)
    assert followed.changed()
    lists, problems = followed.read()
    assert ({name: set(one) for name, one in lists.entries.items()}, problems) == (
        {"blocklist": {"spam.example"}, "prohibited/gambling": {"cờ bạc"}},
        [],
    )
    assert not followed.changed()
    (folder / "registration").mkdir()
    assert not followed.changed()
    (folder / "registration" / "domains.txt").write_text("facebookmail.com | service=Facebook\n")
    assert followed.changed()
    assert "registration/domains" in followed.read()[0].entries
    os.utime(folder / "blocklist.txt", (1, 1))
    assert followed.changed()
    (folder / "blocklist.txt").unlink()
    followed.read()
    assert set(followed.read()[0].entries) == {"prohibited/gambling", "registration/domains"}
    assert not followed.changed()


def test_a_list_with_a_bad_line_keeps_its_last_good_state(folder: Path) -> None:
    followed = Folder(folder)
    followed.read()
    file = folder / "blocklist.txt"
    file.write_text("new.example\nspam example\n")
    (folder / "prohibited" / "gambling.txt").write_text("cá độ\n")
    for _ in range(2):  # also once it was read before
        lists, problems = followed.read()
        assert ({name: set(one) for name, one in lists.entries.items()}, problems) == (
            {"blocklist": {"spam.example"}, "prohibited/gambling": {"cá độ"}},
            [f"{file}:2: 'spam example': write a domain, such as example.com"],
        )
        assert not followed.changed()
    file.write_bytes(b"\xff\n")
    assert set(followed.read()[0].entries["blocklist"]) == {"spam.example"}
    file.write_text("new.example\n")
    lists, problems = followed.read()
    assert (set(lists.entries["blocklist"]), problems) == ({"new.example"}, [])


def test_a_list_without_a_good_state_has_its_good_lines(folder: Path) -> None:
    (folder / "blocklist.txt").write_text("spam.example\nspam example\n")
    lists, problems = Folder(folder).read()
    assert (set(lists.entries["blocklist"]), len(problems)) == ({"spam.example"}, 1)


def test_what_holds_until_a_day_ends_with_it(folder: Path) -> None:
    (folder / "blocklist.txt").write_text("old.example | until=2020-01-31\nnew.example | until=2999-12-31\n")
    lists, problems = Folder(folder).read()
    assert (set(lists.entries["blocklist"]), problems) == ({"new.example"}, [])


ODD_FILES = {
    "an unknown list": ("blacklist.txt", b"", "blacklist.txt: there is no such list: give it one of these names: "),
    "a category's name": ("prohibited/Cờ bạc.txt", b"", "prohibited/Cờ bạc.txt: there is no such list"),
    "another suffix": ("advertising/refusals.txt", b"", "refusals.txt: this list has the suffix .csv: rename it"),
    "not UTF-8": ("allowlist.txt", b"a.example\n\xff", "allowlist.txt: not UTF-8 at octet 10: save it as UTF-8"),
    "too large": ("allowlist.txt", b"#" * (32 * 1024 * 1024 + 1), "allowlist.txt: larger than 32 MB"),
    "an editor's copy": (".blocklist.txt.swp", b"?", ""),
    "a hidden file": (".blocklist.txt", b"?", ""),
    "a note": ("README.md", b"?", ""),
}


@pytest.mark.parametrize(("name", "octets", "problem"), ODD_FILES.values(), ids=ODD_FILES)
def test_odd_files(folder: Path, name: str, octets: bytes, problem: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(octets)
    lists, problems = Folder(folder).read()
    assert {"blocklist", "prohibited/gambling"} <= set(lists.entries)
    assert [problem in one for one in problems] == ([True] if problem else [])


def test_a_missing_folder_is_no_lists(tmp_path: Path) -> None:
    followed = Folder(tmp_path / "no")
    assert followed.changed()
    lists, problems = followed.read()
    assert (lists.entries, problems) == (
        {},
        [f"{tmp_path / 'no'}: no such folder: create it, or name another in [lists] path"],
    )
    assert not followed.changed()


def test_the_shipped_lists_are_good() -> None:
    lists, problems = Folder(SHIPPED).read()
    assert problems == []
    assert set(KINDS) < set(lists.entries)
    for name in ("advertising/words", "advertising/not", "advertising/services", "registration/domains"):
        assert len(lists.entries[name]) >= 40


def test_lists_check(run: Run, folder: Path) -> None:
    good = run("lists", "check", str(folder))
    assert (good.returncode, good.stdout.split()) == (
        0,
        ["LIST", "ENTRIES", "blocklist", "1", "prohibited/gambling", "1"],
    )
    (folder / "blocklist.txt").write_text("spam example\n")
    bad = run("lists", "check", str(folder))
    assert bad.returncode == 1
    assert bad.stderr == f"mailgate: {folder}/blocklist.txt:1: 'spam example': write a domain, such as example.com\n"
