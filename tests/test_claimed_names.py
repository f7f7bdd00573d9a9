"""Whose name a display name claims, and the registry's names in a worker."""

import asyncio
import random
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from tests.test_mailbox_states import States

from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.mailboxes.names import Names
from mailgate.mailboxes.states import StateFollower
from mailgate.model import Action, Envelope, Evidence, Mail, MailboxKind, Session
from mailgate.text.claimed_names import bare, claims_of, key_of
from mailgate_rules.sender_identity import Names as Wanted
from mailgate_rules.sender_identity import Stanza

CHAIRMAN, CLERK, NAMESAKE = "Trần Thị Bưởi", "Nguyễn Văn Hùng", "NGUYEN VAN HUNG"
# Names that hold words of offices: trưởng, phó, tỉnh, sở.
ODD = ("Lê Xuân Trường", "Lê Xuân Trưởng", "Vũ Văn Tình", "Vũ Văn Tĩnh", "Đỗ Văn Sơ", "Đỗ Văn Số")
UNIT = "Sở Thông tin và Truyền thông"
REGISTERED = (key_of(CHAIRMAN), key_of(CLERK), key_of(NAMESAKE), key_of(UNIT, is_unit=True), *map(key_of, ODD))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Trần Thị Bưởi", "TRAN THI BUOI", True),
        ("Trần Thị Bưởi", "tran  thi\tbuoi", True),
        ("Trần Thị Bưởi", "Tr\u0061\u0302\u0300n Thi\u0323 Bu\u031bo\u031b\u0309i", True),
        ("Đỗ Đức Đạt", "Do Duc Dat", True),
        ("Đỗ Đức Đạt", "Ðỗ Ðức Ðạt", True),  # eth
        ("Trần Thị Bưởi", "Trần Thị Bười", True),
        ("Hoà Thuỷ", "Hòa Thủy", True),
        ("Trần Thị Bưởi", "Тrần Тhị Bưởi", True),  # Cyrillic
        ("Trần Thị Bưởi", "Trần Thị\u200b Bưởi", True),
        ("Trần Thị Bưởi", "Trần Văn Bưởi", False),
        ("Trần Thị Bưởi", "Bưởi Trần Thị", False),
    ],
)
def test_names_compare_by_their_letters(one: str, other: str, same: bool) -> None:
    assert (key_of(one) == key_of(other)) is same
    assert key_of(one, is_unit=True) == key_of(one) | 1


def test_keys_fit_a_table_of_signed_numbers() -> None:
    keys = [key_of(f"ten {number}", is_unit=bool(number % 2)) for number in range(1_000)]
    assert all(0 < key < 1 << 63 for key in keys)
    assert len(set(keys)) == 1_000
    assert (key_of(""), key_of(" -. "), bare("Đặng Ơ Ư")) == (0, 0, "dang o u")


def judged(author: str, names: Wanted = Wanted.ALL) -> list[Evidence]:
    """Return the evidence about an outside mail with this From."""
    mail = Mail(
        Identity(Organization(frozenset({"hanam.gov.vn"}), state_domains=frozenset({"gov.vn"}))),
        Session("mx", "203.0.113.7"),
        Envelope(b"<x@gmail.com>", "x@gmail.com"),
        [(b"From", b" " + author.encode())],
        names=REGISTERED,
    )
    return [piece for hit in Stanza(names=names).at_end(mail) for piece in hit.evidence]


@pytest.mark.parametrize(
    ("author", "found"),
    [
        ("Trần Thị Bưởi <x@gmail.com>", True),
        ("TRAN THI BUOI <x@gmail.com>", True),
        ('"Tran Thi Buoi" <x@gmail.com>', True),
        ("'Tran Thi Buoi' <x@gmail.com>", True),
        ("x@gmail.com (Tran Thi Buoi)", True),
        ("=?utf-8?b?VHLhuqduIFRo4buLIELGsOG7n2k=?= <x@gmail.com>", True),
        ("=?utf-8?q?Tran_Thi_Buoi?= <x@gmail.com>", True),
        ("Tran Thi Buoi - Chu tich <x@gmail.com>", True),
        ("Chủ tịch Trần Thị Bưởi <x@gmail.com>", True),
        ("Trần Thị Bưởi Chủ tịch UBND tỉnh <x@gmail.com>", True),
        ("Ông Trần Thị Bưởi <x@gmail.com>", True),
        ("PGS.TS. Trần Thị Bưởi <x@gmail.com>", True),
        ("Đ/c Trần Thị Bưởi, Phó Bí thư Tỉnh ủy <x@gmail.com>", True),
        ("Tran Thi Buoi (UBND tinh) <x@gmail.com>", True),
        ("UBND tỉnh: Trần Thị Bưởi <x@gmail.com>", True),
        ("Chủ tịch | Trần Thị Bưởi <x@gmail.com>", True),
        ("Tran.Thi.Buoi <x@gmail.com>", True),
        ("Sở Thông tin và Truyền thông <x@gmail.com>", True),
        ("SO THONG TIN VA TRUYEN THONG - Ha Nam <x@gmail.com>", True),
        # a name that two of ours have is anybody's, but with an office
        ("Nguyễn Văn Hùng <x@gmail.com>", False),
        ("Nguyễn Văn Hùng (Gmail) <x@gmail.com>", False),
        ("Giám đốc Nguyễn Văn Hùng <x@gmail.com>", True),
        ("Nguyễn Văn Hùng - Sở TT&TT <x@gmail.com>", True),
        ("Chủ tịch UBND tỉnh - Nguyễn Văn Hùng <x@gmail.com>", True),
        # others
        ("Trần Thị <x@gmail.com>", False),
        ("Bưởi <x@gmail.com>", False),
        ("Trần Thị Bưởi Hồng <x@gmail.com>", False),
        ("Hồng Trần Thị Bưởi <x@gmail.com>", False),
        ("Chủ tịch <x@gmail.com>", False),
        ("Sở Y tế <x@gmail.com>", False),
        ("x@gmail.com", False),
        ("", False),
        *((f"{name} <x@gmail.com>", False) for name in ODD),
        # our own, and another state body's
        ("Sở Thông tin và Truyền thông <stttt@namdinh.gov.vn>", False),
        ("Trần Thị Bưởi <buoi@namdinh.gov.vn>", False),
    ],
)
def test_a_registered_name_in_an_outside_display_name(author: str, found: bool) -> None:
    evidence = judged(author)
    assert [(piece.kind, piece.hard) for piece in evidence] == [("name", False)] * found
    assert judged(author, Wanted.OFF) == []
    assert judged(author, Wanted.UNITS) == (evidence if "TRUYEN THONG" in bare(author).upper() else [])


def test_with_a_field_for_it_the_mail_is_marked_and_goes_on() -> None:
    mail = Mail(
        Identity(Organization(frozenset({"hanam.gov.vn"}))),
        Session("mx", "203.0.113.7"),
        Envelope(b"<x@h4nam-gov.vn>", "x@h4nam-gov.vn"),
        [(b"From", b" Tran Thi Buoi <x@h4nam-gov.vn>")],
        names=REGISTERED,
    )
    soft, hit = Stanza(name_header="X-Mailgate-Impersonation").at_end(mail)
    assert (soft.is_soft, soft.headers, [piece.kind for piece in soft.evidence]) == (True, (), ["look-alike", "name"])
    assert (hit.is_soft, hit.action) == (False, Action.ACCEPT)
    assert hit.headers == ((b"X-Mailgate-Impersonation", b"look-alike hanam.gov.vn; name From"),)
    (plain,) = Stanza().at_end(mail)
    assert (plain.is_soft, plain.headers) == (True, ())
    with pytest.raises(ValueError, match="write a name in ASCII"):
        Stanza(name_header="a b")


def test_what_is_noted_of_one_mail_is_bounded() -> None:
    many = ", ".join(f"Tran Thi Buoi <x{number}@hanam{number}-gov.vn>" for number in range(500))
    assert len(judged(many)) <= 9
    assert len(claims_of("Chu tich Tran Thi Buoi - " * 1_000)) <= 19


# -- the registry's names ----------------------------------------------------------------------------


def test_names_count_as_a_list_does() -> None:
    choice = random.Random(7)
    keys = [choice.randrange(1 << 63) for _ in range(5_000)]
    keys += keys[:500]
    names = Names()
    names.add(keys[:3_000])
    names.add(keys[3_000:])
    names.sort(0, 1_000)
    names.sort(1_000, 2_000)
    held = Names()
    held.take(names)
    assert len(held) == 5_500
    for key in (*keys[::7], *(choice.randrange(1 << 63) for _ in range(500)), 0, (1 << 63) - 1):
        assert held.count(key) == keys.count(key)
    assert Names().count(keys[0]) == 0


def test_a_name_takes_eight_octets() -> None:
    names = Names()
    tracemalloc.start()
    try:
        for start in range(0, 200_000, 500):
            names.add([key_of(str(number)) for number in range(start, start + 500)])
        names.sort(0, 1 << 30)
        octets, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert octets < 200_000 * 10 + (1 << 18)


class Registry(States):
    """A store whose registry changes."""

    def __init__(self) -> None:
        super().__init__(None)
        self.version = 0
        self.held: list[tuple[str, MailboxKind]] = []
        self.readings = 0

    def register(self, name: str, kind: MailboxKind) -> None:
        self.held.append((name, kind))
        self.version += 1

    async def registry_version(self) -> int:
        return self.version

    async def names(self) -> AsyncIterator[list[tuple[str, MailboxKind]]]:
        self.readings += 1
        for one in list(self.held):
            yield [one]


async def test_names_are_read_when_the_registry_changes() -> None:
    store = Registry()
    wanted = True
    follower = StateFollower(store, lambda error: None, wants_names=lambda: wanted)
    names = follower.names
    store.register(CHAIRMAN, MailboxKind.INDIVIDUAL)
    store.register(UNIT, MailboxKind.UNIT)
    for _ in range(3):
        await follower.load_names()
    assert store.readings == 1
    assert [names.count(key) for key in REGISTERED[:4]] == [1, 0, 0, 1]
    store.register(CLERK, MailboxKind.INDIVIDUAL)
    await follower.load()
    assert (len(names), store.readings) == (2, 1), "states do not wait for names"
    await follower.load_names()
    assert [names.count(key) for key in REGISTERED[:4]] == [1, 1, 1, 1]
    wanted = False
    await follower.load_names()
    assert (len(names), follower.names is names) == (0, True)
    wanted = True
    await follower.load_names()
    assert len(names) == 3


async def test_the_loop_runs_while_names_are_read() -> None:
    store = Registry()
    store.held = [(f"{CLERK} {number}", MailboxKind.INDIVIDUAL) for number in range(200)]
    follower = StateFollower(store, lambda error: None, wants_names=lambda: True)
    reading = asyncio.ensure_future(follower.load_names())
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(follower.names) == 200
    assert turns > 200
