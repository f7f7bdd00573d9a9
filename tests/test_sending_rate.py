"""What passes of one login, what waits and in which order, the same on every store, and how long a mail merge takes.

Time is simulated: a store is told what time it is.
"""

import heapq
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.lab.mails import OFFICE, OFFICER, OUTSIDER
from tests.lab.rates import HOME, LIMITS, hand_over, new_key
from tests.lab.redis import Redis

from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.ledger import sqlite_rates
from mailgate.ledger import store as ledger_store
from mailgate.ledger.redis import RedisStore, _key
from mailgate.ledger.sqlite import SqliteStore
from mailgate.ledger.sqlite_rates import RatesInMemory
from mailgate.ledger.store import COMES_AGAIN_S, FREE_RETURNS, MAIL_KEPT_S, Store
from mailgate.model import LOCK, Content, Envelope, Mail, Sending, SendingLimits, Session
from mailgate.probes.probe import Asked
from mailgate.probes.rates import AdvertisedProbe, SendingProbe, mail_key
from mailgate_rules.sending_rate import Stanza

START = 1_790_000_100.0 - 1_790_000_100.0 % 900
MINUTE, HOUR = 60.0, 3_600.0
IDENTITY = Identity(Organization(frozenset({"hanam.gov.vn"})))


# -- one mail after the other: when it comes, as which, and whether it passes ---------------------------

SMALL = replace(LIMITS, burst_mails=2, burst_recipients=10, hour_mails=4, day_mails=6, networks=2)
"""Limits of less than ten mails leave no tenth for single ones."""
Step = tuple[float, str, int, bool]  # seconds, which mail, recipients, whether it passes
SCRIPTS: dict[str, list[Step]] = {
    "the limit is the last number that passes": [(0, "a", 1, True), (0, "b", 1, True), (0, "c", 1, False)],
    "what is refused does not count": [
        *((0, "a", 1, True), (0, "b", 1, True), (10, "c", 1, False), (70, "c", 1, False), (290, "c", 1, False)),
        *((300, "c", 1, True), (301, "d", 1, True)),
    ],
    "a new mail goes where nobody who came again is before it": [
        *((0, "a", 1, True), (0, "b", 1, True), (10, "c", 1, False), (11, "d", 1, False)),
        *((300, "e", 1, True), (301, "f", 1, True)),
    ],
    "the oldest of those that came again go first": [
        *((0, "a", 1, True), (0, "b", 1, True), (1, "c", 1, False), (2, "d", 1, False), (60, "d", 1, False)),
        *((61, "c", 1, False), (300, "e", 1, False), (301, "d", 1, True), (302, "f", 1, False), (303, "c", 1, True)),
    ],
    "two of the three oldest find room": [
        *((0, "a", 1, True), (0, "b", 1, True), *((1, mail, 1, False) for mail in "cde")),
        *((60, mail, 1, False) for mail in "edc"),
        *((310, "e", 1, False), (320, "d", 1, True), (330, "c", 1, True), (340, "e", 1, False)),
    ],
    "who does not come again keeps nobody waiting": [
        *((0, "a", 1, True), (0, "b", 1, True), (1, "c", 1, False), (2, "d", 1, False)),
        *((60, "c", 1, False), (61, "d", 1, False), (59 + COMES_AGAIN_S, "e", 1, False)),
        *((60 + COMES_AGAIN_S, "f", 1, True), (60 + COMES_AGAIN_S, "g", 1, False)),
        *((61 + COMES_AGAIN_S, "g", 1, True),),
    ],
    "who comes again late has its turn as before": [
        *((0, "a", 1, True), (0, "b", 1, True), (1, "c", 1, False), (2, "d", 1, False), (60, "c", 1, False)),
        *((61, "d", 1, False), (9_000, "e", 1, True), (9_001, "f", 1, True), (9_002, "d", 1, False)),
        *((9_003, "c", 1, False), (9_302, "g", 1, False), (9_303, "d", 1, True), (9_304, "c", 1, True)),
    ],
    "recipients count as mails do": [(0, "a", 9, True), (1, "b", 2, False), (2, "c", 1, True), (300, "b", 2, True)],
    "a younger mail takes no room that many recipients wait for": [
        *((0, "a", 9, True), (1, "b", 9, False), (2, "b", 9, False), (300, "c", 2, False), (301, "d", 1, True)),
        *((302, "b", 9, True),),
    ],
    "a mail that could never pass has no turn": [
        *((0, "a", 11, False), (1, "a", 11, False), (2, "b", 9, True), (3, "c", 1, True)),
    ],
    "an hour": [
        *((0, "a", 1, True), (0, "b", 1, True), (600, "c", 1, True), (600, "d", 1, True), (1_200, "e", 1, False)),
        *((3_599, "e", 1, False), (3_600, "e", 1, True), (3_601, "f", 1, True), (3_602, "g", 1, False)),
    ],
    "a day": [
        *((4_000 * number, "abcdef"[number], 1, True) for number in range(6)),
        *((24_000, "g", 1, False), (85_500, "g", 1, False), (86_400, "g", 1, True), (86_401, "h", 1, False)),
    ],
    "a mail that passed comes again as the same": [
        *((0, "a", 1, True), (1, "b", 1, True), (2, "a", 1, True), (3, "a", 1, True), (4, "c", 1, False)),
        *((300, "a", 1, True), (301, "c", 1, True), (302, "d", 1, True)),
    ],
    "but not for ever": [
        *((number, "a", 1, True) for number in range(1 + FREE_RETURNS)),
        *((40, "a", 1, True), (41, "b", 1, False)),
    ],
    "after a day without it nobody knows a mail": [
        *((0, "a", 1, True), (MAIL_KEPT_S - 1, "a", 1, True), (2 * MAIL_KEPT_S - 1, "a", 1, True)),
        *((2 * MAIL_KEPT_S, "b", 1, True), (2 * MAIL_KEPT_S + 1, "c", 1, False)),
    ],
}


@pytest.mark.parametrize("steps", SCRIPTS.values(), ids=SCRIPTS)
async def test_what_passes(store: Store, steps: Sequence[Step]) -> None:
    keys: dict[str, bytes] = {}
    for at, name, recipients, passes in steps:
        key = keys.setdefault(name, new_key())
        sending = await hand_over(store, OFFICER, START + at, recipients, key=key, limits=SMALL)
        assert sending.passes is passes, f"{name} after {at} s: {sending}"


async def test_what_came_counts_each_mail_once_and_what_passed_apart(store: Store) -> None:
    key = new_key()
    script = [
        (0, new_key(), Sending(1, 2, 1, 2, 1, 2, 1, passes=True, passed=(1, 2, 1, 2, 1, 2))),
        (0, new_key(), Sending(2, 4, 2, 4, 2, 4, 1, passes=True, passed=(2, 4, 2, 4, 2, 4))),
        (1, key, Sending(3, 6, 3, 6, 3, 6, 1, passes=False, passed=(2, 4, 2, 4, 2, 4))),
        *((60 * n, key, Sending(3, 6, 3, 6, 3, 6, 1, passes=False, passed=(2, 4, 2, 4, 2, 4))) for n in (1, 2, 3, 4)),
        (310, key, Sending(0, 0, 3, 6, 3, 6, 1, passes=True, passed=(1, 2, 3, 6, 3, 6))),
        (320, key, Sending(0, 0, 3, 6, 3, 6, 1, passes=True, passed=(1, 2, 3, 6, 3, 6))),
    ]
    for at, mail, wanted in script:
        assert await hand_over(store, OFFICER, START + at, 2, key=mail, limits=SMALL) == wanted, f"after {at} s"
    assert (await hand_over(store, OFFICE, START, 5, key=key)).day_mails == 1, "each login for itself"


async def test_the_network_of_a_retry_counts(store: Store) -> None:
    limits = replace(LIMITS, networks=3)
    key = new_key()
    for number, passes in ((1, True), (2, True), (3, False)):
        await hand_over(store, OFFICER, START + number, network=f"198.51.{number}.0/24", key=key, limits=limits)
        sending = await hand_over(store, OFFICER, START + number, limits=limits)
        assert (sending.networks, sending.passes) == (number + 1, passes)
    assert (await hand_over(store, OFFICER, START + HOUR + 4, limits=limits)).networks == 1


async def test_a_mail_that_waits_for_its_networks_keeps_its_turn(store: Store) -> None:
    """From a third network nothing passes, and what came meanwhile goes in order."""
    first, second = new_key(), new_key()
    for network in ("198.51.100.0/24", "192.0.2.0/24", HOME):
        await hand_over(store, OFFICE, START, 0, network, limits=SMALL)
    for key in (first, second, first, second):
        assert not (await hand_over(store, OFFICE, START + 300, key=key, limits=SMALL)).passes
    later = START + 300 + HOUR
    assert not (await hand_over(store, OFFICE, later, limits=replace(SMALL, burst_mails=1))).passes
    assert (await hand_over(store, OFFICE, later, key=first, limits=SMALL)).passes
    assert (await hand_over(store, OFFICE, later, key=second, limits=SMALL)).passes


# -- single mails --------------------------------------------------------------------------------------


async def test_a_tenth_more_is_for_single_mails(store: Store) -> None:
    merge = [new_key() for _ in range(80)]
    passed = [(await hand_over(store, OFFICER, START, key=key)).passes for key in merge]
    assert passed.count(True) == 30 == passed.index(False)
    after = [(await hand_over(store, OFFICER, START + 120 * n)).passes for n in (1, 2)]
    retry = [(await hand_over(store, OFFICER, START + 241, key=key)).passes for key in merge[30:]]
    assert (after, any(retry)) == ([True, True], False), "a merge's retries are no single mails"
    more = [(await hand_over(store, OFFICER, START + 250)).passes for _ in range(3)]
    assert more == [True, False, False], "three are a tenth of thirty"
    big = await hand_over(store, OFFICER, START + 420, LIMITS.burst_recipients // 10 + 1)
    assert not big.passes, "more than a tenth of the recipients waits for the line"
    assert (await hand_over(store, OFFICER, START + 421)).passes


async def test_single_mails_take_nothing_from_the_line(store: Store) -> None:
    """Whoever sends single mails all the time has his merge go as fast."""
    merge = [new_key() for _ in range(40)]
    for key in merge:
        await hand_over(store, OFFICER, START, key=key)
    for key in merge[30:]:
        await hand_over(store, OFFICER, START + 30, key=key)
    for second in range(180, 300, 20):
        await hand_over(store, OFFICER, START + second)
    assert [(await hand_over(store, OFFICER, START + 300, key=key)).passes for key in merge[30:]] == [True] * 10


# -- every store says the same ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_stores_agree(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    rates = RatesInMemory()
    limits = replace(LIMITS, burst_mails=chance.randint(1, 20), hour_mails=chance.randint(10, 60), day_mails=150)
    keys = [new_key() for _ in range(120)]
    sizes = {key: chance.choice((1, 1, 2, 30, 600)) for key in keys}
    outcomes = set()
    at = START
    for number in range(600):
        at += chance.choice((0, 0, 1, 7, 40, 120, 700, 5_000 if number % 100 == 50 else 3))
        key = chance.choice(keys[: 1 + number // 4])
        network = chance.choice((HOME, HOME, "198.51.100.0/24", f"10.0.{number % 7}.0/24"))
        wanted = rates.sending(OFFICER, key, sizes[key], network, at, limits)
        assert await store.sending(OFFICER, key, sizes[key], network, at, limits) == wanted, number
        outcomes.add((wanted.passes, wanted.waiting > 0))
    assert outcomes >= {(True, False), (True, True), (False, False)}


async def test_stores_forget_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends a million mails fills no memory; what is forgotten is a new mail."""
    rates = RatesInMemory()
    monkeypatch.setattr(sqlite_rates, "MOST_MAILS", 40)
    monkeypatch.setattr(sqlite_rates, "LOOKED_AT", 8)
    monkeypatch.setattr("mailgate.ledger.redis._SENDING", (MAIL_KEPT_S, COMES_AGAIN_S, FREE_RETURNS, 3, 10, 40, 8))
    keys = [new_key() for _ in range(100)]
    order = [*keys, *keys[::-1]]
    for number, key in enumerate(order):
        wanted = rates.sending(OFFICER, key, 1, HOME, START + number, LIMITS)
        assert await hand_over(store, OFFICER, START + number, key=key) == wanted, number
    assert wanted.day_mails > 100


async def test_what_is_kept_of_a_login_is_bounded(redis_server: Redis) -> None:
    redis_server.ask("FLUSHALL")
    store = RedisStore(redis_server.url)
    for number in range(ledger_store.MOST_MAILS + 100):
        sending = await hand_over(store, OFFICER, START + number / 10)
    assert sending.day_mails == ledger_store.MOST_MAILS + 100, "all that came counts"
    client = store._client
    assert await client.hlen(f"{_key('rate', OFFICER)}:mails") <= ledger_store.MOST_MAILS + ledger_store.LOOKED_AT
    names = [name async for name in client.scan_iter()]
    ttls = [await client.ttl(name) for name in names if b":rate:" in name]
    assert len(ttls) >= 3
    assert all(0 < ttl <= 90_000 for ttl in ttls)
    await store.close()


# -- a store of the version before -----------------------------------------------------------------------


async def test_what_the_version_before_counted_is_left(redis_server: Redis, tmp_path: Path) -> None:
    redis_server.ask("FLUSHALL")
    old = _key("sending", OFFICER)
    redis_server.ask(f'HSET {old} m{int(START) // 60} "40 40" q{int(START) // 900} "40 40"')
    connection = sqlite3.connect(tmp_path / "mailgate.db")
    connection.executescript(
        "CREATE TABLE sending (login TEXT NOT NULL, minute INTEGER NOT NULL, mails INTEGER NOT NULL,"
        " recipients INTEGER NOT NULL, PRIMARY KEY (login, minute)) WITHOUT ROWID;"
        "CREATE TABLE sending_network (login TEXT NOT NULL, network TEXT NOT NULL, at REAL NOT NULL,"
        " PRIMARY KEY (login, network)) WITHOUT ROWID;"
        f"INSERT INTO sending VALUES ('{OFFICER}', {int(START) // 60}, 40, 40);"
    )
    connection.close()
    for store in (RedisStore(redis_server.url), SqliteStore(tmp_path / "mailgate.db")):
        assert (await hand_over(store, OFFICER, START)) == Sending(1, 1, 1, 1, 1, 1, 1, True, (1, 1, 1, 1, 1, 1))
        await store.close()


# -- senders that try again --------------------------------------------------------------------------------

Retries = Callable[[float, random.Random], float]  # seconds until the next attempt, by the age of a mail


def postfix(age: float, chance: random.Random) -> float:
    """Its age, at least 300 s and at most 4,000 (minimal and maximal_backoff_time), at the next run of its queue."""
    return max(300.0, min(age, 4_000.0)) + chance.uniform(0, 300)


def every(seconds: float) -> Retries:
    """Outlook tries its outbox in order at each cycle of send and receive: 30 minutes by default, else 1 or more."""
    return lambda age, chance: seconds


@dataclass(slots=True)
class Run:
    """When each mail came first, when it came again and when it passed, seconds; how many attempts there were; and
    what the rule found that speaks for a lock: when, and how many mails within an hour."""

    came: dict[int, float] = field(default_factory=dict)
    again: dict[int, float] = field(default_factory=dict)
    passed: dict[int, float] = field(default_factory=dict)
    attempts: int = 0
    locks: list[tuple[float, int]] = field(default_factory=list)


async def run(store: Store, first: Sequence[float], retries: Retries, singles: Sequence[float] = ()) -> Run:
    """Have a login hand over mails to one recipient each until all have passed; singles have the last numbers."""
    chance = random.Random(1)
    rule = Stanza(lock=True)
    result = Run(dict(enumerate((*first, *singles))))
    keys = {number: new_key() for number in result.came}
    due = [(at, chance.random(), number) for number, at in result.came.items()]
    heapq.heapify(due)
    envelope = Envelope(OFFICER.encode(), OFFICER, (), {OUTSIDER: (b"",)}, OFFICER)
    while due:
        at, _, number = heapq.heappop(due)
        result.attempts += 1
        if at > result.came[number]:
            result.again.setdefault(number, at)
        assert result.attempts < 20_000, "it never ends"
        mail = Mail(IDENTITY, Session("submission"), envelope)
        limits = rule.limits(mail)
        assert limits == LIMITS, "these are the defaults"
        mail.sending = await store.sending(OFFICER, keys[number], 1, HOME, START + at, limits)
        hits = list(rule.at_end(mail))
        assert bool(hits) is not mail.sending.passes
        if LOCK in {piece.kind for hit in hits for piece in hit.evidence}:
            result.locks.append((at, mail.sending.hour_mails))
        if mail.sending.passes:
            result.passed[number] = at
        else:
            heapq.heappush(due, (at + retries(at - result.came[number], chance), chance.random(), number))
    return result


def in_order(result: Run, mails: int, longest_s: float) -> None:
    """Once a mail came again, it passes at its next attempt, at the latest, after any younger one did."""
    for older in range(mails):
        again = result.again.get(older, 0.0)
        after = [result.passed[number] for number in range(older + 1, mails) if result.passed[number] > again]
        assert result.passed[older] <= min(after, default=float("inf")) + longest_s, older


SENDERS: dict[str, tuple[Retries, float, float, float]] = {
    # at the earliest after 65 minutes: 100 pass in the first hour, 90 in 15 minutes of the second
    "Postfix": (postfix, 4_300, 3.5 * HOUR, 6.5 * HOUR),
    "Outlook, each minute": (every(60), 61, 70 * MINUTE, 80 * MINUTE),
    "Outlook, each 30 minutes": (every(1_800), 1_801, 2.5 * HOUR, 3.5 * HOUR),
}


@pytest.mark.parametrize(("retries", "longest_s", "earliest", "latest"), SENDERS.values(), ids=SENDERS)
async def test_a_merge_of_200_ends(
    store: Store, retries: Retries, longest_s: float, earliest: float, latest: float
) -> None:
    colleague = (150.0, 1_000.0, 2_500.0, 6_000.0)
    result = await run(store, [number / 10 for number in range(200)], retries, colleague)
    ended = max(result.passed[number] for number in range(200))
    print(f"200 mails in {ended / MINUTE:.0f} minutes, {result.attempts} attempts")
    assert earliest <= ended <= latest
    in_order(result, 200, longest_s)
    assert [result.passed[200 + number] - at for number, at in enumerate(colleague)] == [0.0] * 4
    # What speaks for a lock are 200 different mails within an hour, while they are within it; no retry adds to them.
    assert result.locks[0][0] == 10.0, "with the 101st"
    assert max(at for at, _ in result.locks) < HOUR
    assert max(count for _, count in result.locks) <= 200 + len(colleague)


@pytest.mark.parametrize("retries", [postfix, every(60), every(1_800)])
async def test_a_merge_within_the_hours_limit_locks_nobody(store: Store, retries: Retries) -> None:
    result = await run(store, [number / 10 for number in range(100)], retries)
    in_order(result, 100, 4_300)
    assert (len(result.passed), result.locks) == (100, [])


async def test_60_mails_that_are_tried_each_minute_go(store: Store) -> None:
    result = await run(store, [0.0] * 60, every(60))
    assert sorted(result.passed.values())[29] == 0.0
    assert max(result.passed.values()) <= 300 + 61, "the limit of a burst is 30 within 5 minutes"
    assert result.locks == []


async def test_who_floods_does_not_starve_what_waits(store: Store) -> None:
    """20 mails that Postfix tries each hour, and new ones each 20 seconds that are never tried again."""
    waiting = [number / 10 for number in range(50)]
    flood = [200.0 + 20 * number for number in range(1_500)]
    result = Run()
    keys = [new_key() for _ in waiting]
    left = set(range(50))
    due = sorted([(at, -1) for at in flood] + [(at + 4_000 * n, i) for i, at in enumerate(waiting) for n in range(9)])
    for at, number in due:
        if number < 0:
            await hand_over(store, OFFICER, START + at)
        elif number in left and (await hand_over(store, OFFICER, START + at, key=keys[number])).passes:
            left.discard(number)
            result.passed[number] = at
    assert not left
    assert max(result.passed.values()) < 3 * HOUR


# -- evidence of a takeover ----------------------------------------------------------------------------------


async def test_5000_different_mails_in_an_hour_are_found(store: Store) -> None:
    """Each tried once, as a spammer's program does: no less is known of them than before."""
    rule = Stanza(lock=True)
    envelope = Envelope(OFFICER.encode(), OFFICER, (), {OUTSIDER: (b"",)}, OFFICER)
    passed, first_lock, last = 0, 0, ""
    for number in range(1, 5_001):
        mail = Mail(IDENTITY, Session("submission"), envelope)
        mail.sending = await store.sending(OFFICER, new_key(), 1, HOME, START + number * 0.7, LIMITS)
        passed += mail.sending.passes
        for hit in rule.at_end(mail):
            if any(piece.kind == LOCK for piece in hit.evidence):
                first_lock = first_lock or number
                last = "; ".join(f"{piece.name} {piece.value}" for piece in hit.evidence)
    assert (passed, first_lock) == (100, 101)
    assert "mails in an hour 5000, limit 100" in last
    assert "mails in a day 5000, limit 500" in last


# -- which mail it is ------------------------------------------------------------------------------------------


def mail_of(
    *headers: tuple[bytes, bytes], recipients: Sequence[str] = (OUTSIDER,), octets: int = 9, digest: bytes = b""
) -> Mail:
    content = Content()
    content.octets = octets
    envelope = Envelope(OFFICER.encode(), OFFICER, (), dict.fromkeys(recipients, (b"",)), OFFICER)
    mail = Mail(IDENTITY, Session("submission"), envelope, list(headers), content)
    mail.queue_id = "4ABCDEF"
    mail.digest = digest
    return mail


ID, SUBJECT, DATE = (b"Message-ID", b" <a@b>"), (b"Subject", b" x"), (b"Date", b" Mon, 30 Nov 2026 08:00:00 +0700")
MADE = [(b"Message-ID", b" <20261130010000.%b@mx.hanam.gov.vn>" % name) for name in (b"4ABCDEF", b"4ABCDEG")]
KEYS: dict[str, tuple[Mail, Mail, bool]] = {
    "the same": (mail_of(ID, SUBJECT), mail_of(ID, SUBJECT), True),
    "recipients in another order": (
        mail_of(ID, recipients=(OUTSIDER, OFFICE)),
        mail_of(ID, recipients=(OFFICE, OUTSIDER)),
        True,
    ),
    "another recipient": (mail_of(ID), mail_of(ID, recipients=(OFFICE,)), False),
    "another Message-ID": (mail_of(ID), mail_of((b"Message-ID", b" <b@b>")), False),
    "a Message-ID decides alone": (mail_of(ID, octets=9), mail_of(ID, octets=10), True),
    "none: the same fields": (mail_of(SUBJECT, DATE), mail_of(SUBJECT, DATE), True),
    "none: a Date may be one that our Postfix added": (mail_of(SUBJECT, DATE), mail_of(SUBJECT), True),
    "none: another content of that size": (mail_of(SUBJECT), mail_of(SUBJECT, digest=b"another"), False),
    "none: another subject": (mail_of(SUBJECT, DATE), mail_of((b"Subject", b" y"), DATE), False),
    "none: another author": (mail_of(SUBJECT), mail_of(SUBJECT, (b"From", b" a@b")), False),
    "none: another size": (mail_of(SUBJECT), mail_of(SUBJECT, octets=10), False),
    "one that our Postfix made is none": (mail_of(MADE[0], SUBJECT), mail_of(SUBJECT), True),
    "one that another Postfix made is one": (mail_of(MADE[1], SUBJECT), mail_of(SUBJECT), False),
}


@pytest.mark.parametrize(("one", "other", "same"), KEYS.values(), ids=KEYS)
def test_which_mail_it_is(one: Mail, other: Mail, same: bool) -> None:
    assert len(mail_key(one)) == 8
    assert (mail_key(one) == mail_key(other)) is same


class Told:
    """Keeps the keys of the mails that it is told of."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []

    async def sending(
        self, login: str, key: bytes, recipients: int, network: str, at: float, limits: SendingLimits
    ) -> Sending:
        self.keys.append(key)
        return Sending()

    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        self.keys.append(key)
        return dict.fromkeys(recipients, 1)


@pytest.mark.parametrize(("exempt", "told"), [((), 1), ((OFFICER,), 0)])
async def test_nobody_is_asked_about_a_login_that_is_exempt(exempt: tuple[str, ...], told: int) -> None:
    rates, mail = Told(), mail_of(ID)
    await SendingProbe(rates, Stanza(exempt=exempt).limits, lambda: START, 1.0, None).ask(Asked(mail, None, ()))
    assert (len(rates.keys), mail.sending is None) == (told, not told)


@pytest.mark.parametrize(("one", "other", "same"), KEYS.values(), ids=KEYS)
async def test_which_advertisement_it_is(one: Mail, other: Mail, same: bool) -> None:
    """The same as which mail, but for its recipients, each of whom is counted for himself."""
    rates = Told()
    probe = AdvertisedProbe(rates, lambda mail: "shop.example", lambda: START, 1.0, None)
    for mail in (one, other):
        await probe.ask(Asked(mail, None, ()))
    is_for_the_same = sorted(one.envelope.recipients) == sorted(other.envelope.recipients)
    assert (rates.keys[0] == rates.keys[1]) is (same or not is_for_the_same)
