"""Phrases of the lists in texts: whole words, with marks and without, wherever lines break."""

import time

import pytest

from mailgate.model import ListEntry, Lists, Text, TextKind
from mailgate.text.folding import fold
from mailgate.text.lexicon import MOST_OF_ONE, Lexicon


def lexicon(*phrases: str, name: str = "prohibited/x") -> Lexicon:
    return Lexicon(Lists({name: {phrase: ListEntry(phrase) for phrase in phrases}}))


def body(text: str) -> Text:
    return Text("part 1", TextKind.BODY, fold(text).canon)


CASES = [
    ("cờ bạc", "Chơi cờ bạc là xấu", ["cờ bạc"]),
    ("cờ bạc", "CỜ BẠC", ["cờ bạc"]),
    ("Cờ  Bạc", "cờ bạc", ["cờ bạc"]),
    ("cờ bạc", "co bac truc tuyen", ["co bac"]),
    ("cờ bạc", "có bác nào", []),
    ("cờ bạc", "cờ bac", []),
    ("cò", "co co", []),
    ("co", "cò", []),
    ("co", "co", ["co"]),
    ("cờ bạc", "(cờ bạc), \u201ccờ bạc\u201d", ["cờ bạc", "cờ bạc"]),
    ("cờ bạc", "cờ bạcx xcờ bạc cờ bạcđ đcờ bạc cờ bạc_ 9cờ bạc", []),
    ("cờ bạc", "cờ bạc\u0488", []),  # a mark that composes with nothing
    ("cờ bạc", "cờ bạc\u2014cờ bạc\u2026", ["cờ bạc", "cờ bạc"]),
    ("cờ bạc", "cờ\r\nbạc cờ\t bạc cờ\u00a0bạc cờ\u2028bạc", ["cờ\r\nbạc", "cờ\t bạc", "cờ bạc", "cờ\u2028bạc"]),
    ("cờ bạc", "c\u1edd ba\u0323c", ["cờ bạc"]),
    ("cờ bạc", "c\u200bờ bạc", ["cờ bạc"]),
    ("nạp tiền tặng 100%", "Nạp tiền tặng 100%!", ["nạp tiền tặng 100%"]),
    ("100%", "tặng100% 1100%", []),
    ("#sale", "x#sale", ["#sale"]),
    ("cá độ", "cá độ cá độ", ["cá độ", "cá độ"]),
    ("hòa bình", "hoà bình", ["hòa bình"]),
    ("a b a", "a b a b a", ["a b a", "a b a"]),
    ("cờ bạc", "", []),
]


@pytest.mark.parametrize(("phrase", "text", "wanted"), CASES)
def test_whole_words_are_found_where_they_stand(phrase: str, text: str, wanted: list[str]) -> None:
    read = body(f"\n  Kính gửi:\tông Đặng,\n\n{text}\n")
    found = lexicon(phrase).find(read)
    assert [
        read.canon[one.offset : one.offset + len(piece)] for one, piece in zip(found, wanted, strict=True)
    ] == wanted
    assert {(one.list, one.entry.text, one.place, one.kind) for one in found} <= {
        ("prohibited/x", phrase, "part 1", TextKind.BODY)
    }


def test_overlapping_phrases_are_all_found() -> None:
    found = lexicon("đánh bạc", "đánh bạc trực tuyến", "trực tuyến").find(body("đánh bạc trực tuyến"))
    assert [(one.entry.text, one.offset) for one in found] == [
        ("đánh bạc", 0),
        ("đánh bạc trực tuyến", 0),
        ("trực tuyến", 9),
    ]


def test_a_phrase_of_two_lists_is_of_both_and_domains_are_no_phrases() -> None:
    both = Lists(
        {
            "prohibited/x": {"sale off": ListEntry("sale off")},
            "advertising/words": {"sale off": ListEntry("sale off", {"weight": "2"})},
            "blocklist": {"sale.example": ListEntry("sale.example")},
        }
    )
    found = Lexicon(both).find(body("sale off, sale.example"))
    assert [(one.list, dict(one.entry.attributes)) for one in found] == [
        ("prohibited/x", {}),
        ("advertising/words", {"weight": "2"}),
    ]


def test_without_phrases_nothing_is_found() -> None:
    assert Lexicon(Lists()).find(body("cờ bạc")) == []
    assert Lexicon(Lists({"prohibited/x": {}})).find(body("cờ bạc")) == []


def test_of_one_phrase_some_places_are_told() -> None:
    assert len(lexicon("cá độ").find(body("cá độ " * 1_000))) == MOST_OF_ONE


HOSTILE = {
    "nothing but matches": "cá độ " * 150_000,
    "nothing but halves of words": "cá độx" * 150_000,
    "blanks": "cá" + " " * 900_000 + "độ",
    "one word": "cá-" * 300_000,
    "marks": "cá độ" + "\u0488" * 400_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_time_linear_in_its_length(text: str) -> None:
    search = lexicon("cá độ", "độ cá", "độ", "cá")
    whole = Text("part 1", TextKind.BODY, text)
    third = Text("part 1", TextKind.BODY, text[: len(text) // 8])

    def seconds(read: Text) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            search.find(read)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(whole) < 8 * 4 * max(seconds(third), 0.002)


def test_many_phrases_cost_what_few_do() -> None:
    words = [
        f"{a} {b}x{i}"
        for i in range(50)
        for a in ("cờ", "cá", "nhà", "mua", "giá")
        for b in ("bạc", "độ", "cái", "ơi")
    ]
    read = body("Kính gửi các đơn vị, thực hiện kế hoạch công tác năm 2026 của tỉnh. " * 900)
    few, many = lexicon(*words[:10]), lexicon(*(f"{word} {i}" for word in words for i in range(5)))

    def seconds(search: Lexicon) -> float:
        times = []
        for _ in range(20):
            start = time.process_time()
            assert search.find(read) == []
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(many) < 4 * seconds(few) + 0.000_1
