"""Marks of state secrecy: the ladder by the vectors, 200 and more texts of our own, places, and time."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailgate.model import Grade, Level, Mark, MarkForm, TextKind
from mailgate.text.marks import marks_in
from mailgate.text.reading import MOST_MARKS, told

DATA = Path(__file__).parent / "data"
VECTORS: dict[str, list[dict[str, Any]]] = json.loads((DATA / "vectors.json").read_text())
TEXTS: list[dict[str, str]] = [json.loads(line) for line in (DATA / "marks" / "texts.jsonl").read_text().splitlines()]
_KINDS = {"file name": TextKind.FILE_NAME, "subject prefix": TextKind.SUBJECT}
_GRADES = list(Grade)


def strongest(text: str, kind: TextKind) -> str:
    """Return "A" to "C" for a mark that holds, "A review", "declassified" or "none"."""
    marks = sorted(marks_in(text, kind), key=lambda mark: (_GRADES.index(mark.grade), mark.level or "Z"))
    if not marks:
        return "none"
    level = str(marks[0].level or "")
    return {Grade.HOLD: level, Grade.REVIEW: f"{level} review", Grade.DECLASSIFIED: "declassified"}[marks[0].grade]


@pytest.mark.parametrize("vector", VECTORS["secret_mark"], ids=lambda vector: vector["text"])
def test_vectors(vector: dict[str, str]) -> None:
    found = strongest(vector["text"], _KINDS.get(vector["why"], TextKind.BODY))
    assert found == vector["expect"] or found.endswith(f" {vector['expect']}")


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row["text"])
def test_our_own_texts(row: dict[str, str]) -> None:
    assert strongest(row["text"], TextKind(row["kind"])) == row["want"]


def test_precision_and_recall_on_our_own_texts() -> None:
    """Print, with -s, both for each grade."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in TEXTS:
        found = strongest(row["text"], TextKind(row["kind"]))
        counts[_grade(row["want"]), _grade(found)] += 1
    print(f"\n{'grade':14}{'texts':>6}{'precision':>11}{'recall':>8}")
    for grade in ("hold", "review", "declassified"):
        right = counts[grade, grade]
        wanted = sum(count for (want, _), count in counts.items() if want == grade)
        found_ones = sum(count for (_, found), count in counts.items() if found == grade)
        print(f"{grade:14}{wanted:6}{right / found_ones:11.3f}{right / wanted:8.3f}")
        assert right == wanted == found_ones > 0
    assert min(counts["none", "none"], sum(counts.values()) - counts["none", "none"]) >= 100


def _grade(want: str) -> str:
    return "hold" if want in ("A", "B", "C") else want.rpartition(" ")[2]


def test_wrapped_headings_and_what_stands_below_a_stamp_differ() -> None:
    for below in (
        "BÁO CÁO",
        "DANH SÁCH",
        "NGHỊ QUYẾT",
        "LỆNH",
        "THƯ MỜI",
        "Độ khẩn: Khẩn",
        "ĐỘ KHẨN: KHẨN",
        "MÃ SỐ: 5",
    ):
        for gap in ("\n", "\r\n", "\n\n", "\u2028"):
            assert strongest(f"MẬT{gap}{below}", TextKind.BODY) == "C"
    for text in ("BẢO\nMẬT", "BÍ\r\nMẬT", "MẬT\nKHẨU", "MẬT\n\nĐỘ", "MẬT\nMÃ"):
        assert strongest(text, TextKind.BODY) == "none"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        *(
            ("TUYỆT MẬT (Bản số 1)", "A"),
            ("TỐI MẬT   Bản số: 03/05", "B"),
            ("MẬT (BẢN SỐ 1)", "C"),
            ("MẬT (1)", "none"),
        ),
        *(
            ("Mức độ mật của tài liệu: Tối mật", "B"),
            ("Độ mật của văn bản: Mật", "C"),
            ("Độ mật của rừng: cao", "none"),
        ),
        *(("NGUYỄN THỊ\tMẬT\t1975", "C review"), ("1 | TRẦN VĂN | MẬT |", "C review"), ("Em NGUYỄN THỊ MẬT", "none")),
        *(("TỈNH ỦY HÀ NAM\tMẬT", "C"), ("SỞ NỘI VỤ | MẬT", "C"), ("Bảo mật: MẬT", "none")),
    ],
)
def test_company(text: str, want: str) -> None:
    assert strongest(text, TextKind.BODY) == want


@pytest.mark.parametrize(
    ("text", "kind", "want"),
    [
        ("Kính gửi\r\n\r\n  MẬT\r\nSố 1", TextKind.BODY,
         [Mark(Level.CONFIDENTIAL, Grade.HOLD, MarkForm.STAMP, 3, 14)]),
        ("\nTUYE\u0323\u0302T M\u200bẬT", TextKind.BODY, [Mark(Level.TOP_SECRET, Grade.HOLD, MarkForm.STAMP, 2, 1)]),
        ("Re: [TỐI MẬT] A", TextKind.SUBJECT, [Mark(Level.SECRET, Grade.HOLD, MarkForm.BRACKETED, 1, 5)]),
        ("MẬT: A", TextKind.SUBJECT, [Mark(Level.CONFIDENTIAL, Grade.HOLD, MarkForm.PREFIX, 1, 0)]),
        ("MẬT: A", TextKind.BODY, []),
        ("\u2028\x85\vĐộ mật: Mật", TextKind.BODY, [Mark(Level.CONFIDENTIAL, Grade.HOLD, MarkForm.FIELD, 4, 11)]),
        ("thuộc độ Tối mật", TextKind.BODY, [Mark(Level.SECRET, Grade.HOLD, MarkForm.PHRASE, 1, 9)]),
        ("tài liệu mật", TextKind.BODY, [Mark(Level.CONFIDENTIAL, Grade.REVIEW, MarkForm.NOUN, 1, 9)]),
        ("a TUYỆT MẬT b", TextKind.BODY, [Mark(Level.TOP_SECRET, Grade.REVIEW, MarkForm.RUNNING, 1, 2)]),
        ("a_TUYET_MAT.doc", TextKind.FILE_NAME, [Mark(Level.TOP_SECRET, Grade.REVIEW, MarkForm.FILE_NAME, 1, 2)]),
        ("GIẢI MẬT\nMẬT", TextKind.DOCUMENT,
         [Mark(None, Grade.DECLASSIFIED, MarkForm.STAMP, 1, 5),
          Mark(Level.CONFIDENTIAL, Grade.HOLD, MarkForm.STAMP, 2, 9)]),
    ],
)  # fmt: skip
def test_where_and_how(text: str, kind: TextKind, want: list[Mark]) -> None:
    assert list(marks_in(text, kind)) == want


def test_a_stamp_counts_anywhere_in_a_long_text() -> None:
    filler = "Thực hiện nhiệm vụ được giao, đơn vị báo cáo kết quả như sau. " * 40
    for place in range(0, 200, 7):
        text = filler[:place] + "\nTỐI MẬT\n" + filler
        assert [(mark.line, mark.offset) for mark in marks_in(text, TextKind.BODY)] == [(2, place + 1)]
        assert strongest(f"{filler[:place]}TỐI MẬT{filler}", TextKind.BODY) in ("B review", "none")


@given(st.text(), st.sampled_from(TextKind))
def test_any_text_is_read(text: str, kind: TextKind) -> None:
    for mark in marks_in(f"{text}\nMẬT\n{text}", kind):
        assert 0 <= mark.offset <= 2 * len(text) + 4


@pytest.mark.parametrize("piece", ["MẬT\n", "MẬT ", "độ mật ", "BẢO\n\n", "[MẬT", "bảo mật mật khẩu. "])
def test_time_is_linear(piece: str) -> None:
    text = piece * (300_000 // len(piece.encode()))
    start = time.process_time()
    assert sum(1 for _ in marks_in(text, TextKind.BODY)) <= text.count("MẬT")
    assert time.process_time() - start < 3  # s for 300 kB of nothing but what may be a mark


@pytest.mark.parametrize(
    ("grades", "want"),
    [
        ([], []),
        ([Grade.REVIEW, Grade.HOLD], [Grade.REVIEW, Grade.HOLD]),
        ([Grade.HOLD] * 1_000, [Grade.HOLD] * MOST_MARKS),
        ([Grade.REVIEW] * 500 + [Grade.HOLD] * 2, [Grade.REVIEW] * MOST_MARKS + [Grade.HOLD]),
    ],
    ids=["none", "few", "many", "one that counts behind many that do not"],
)
def test_the_mark_that_counts_is_told_however_many_stand_before_it(grades: list[Grade], want: list[Grade]) -> None:
    marks = [Mark(Level.SECRET, grade, MarkForm.STAMP, 1, 0) for grade in grades]
    assert [mark.grade for mark in told(marks)] == want
