"""DNS for names that strangers choose: what is kept, whom a silent server holds back, and when DNS counts as dead."""

import time
from collections.abc import Iterator

import pytest
import structlog
from tests.lab.dns import NameServer
from tests.lab.waiting import until

from mailgate.probes import names
from mailgate.probes.names import CarefulResolver, Resolver, Silence

OURS, STATE = "hanam.gov.vn", "gov.vn"
RECORDS = {
    (OURS, "TXT"): ['"v=spf1 -all"'],
    ("a.example", "TXT"): ['"one" " and more"', '"two"'],
    ("a.example", "A"): ["192.0.2.1"],
    ("a.example", "AAAA"): ["2001:db8::1"],
    ("a.example", "MX"): ["20 b.example.", "10 c.example.", "30 ."],
    ("1.2.0.192.in-addr.arpa", "PTR"): ["a.example."],
    ("alias.example", "CNAME"): ["alias2.example."],
    ("alias2.example", "CNAME"): ["a.example."],
    ("nowhere.example", "CNAME"): ["not-there.example."],
    ("loop.example", "CNAME"): ["loop2.example."],
    ("loop2.example", "CNAME"): ["loop.example."],
    ("large.example", "TXT"): [" ".join(f'"{"x" * 250}"' for _ in range(10))] * 7,
}
DEADLINE_S = 0.3


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server with these records."""
    with NameServer(RECORDS) as running:
        yield running


def careful(server: NameServer, deadline_s: float = DEADLINE_S) -> CarefulResolver:
    return CarefulResolver(deadline_s, [server.address], (OURS, STATE))


async def is_silent(resolver: Resolver, name: str) -> bool:
    try:
        await resolver.texts(name)
    except Silence:
        return True
    return False


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("a.example", [b"one and more", b"two"]),
        ("A.Example", [b"one and more", b"two"]),
        ("alias.example", [b"one and more", b"two"]),
        ("nowhere.example", []),
        ("not-there.example", []),
        ("1.2.0.192.in-addr.arpa", []),
        ("", []),
        (".", []),
        ("a..example", []),
        ("a.example.", []),
        ("@", []),
        ("a\\.example", []),
        ("a\x00.example", []),
        ("hà.example", []),
        ("x" * 64 + ".example", []),
        ("x." * 126 + "xx", []),
    ],
)
async def test_texts_of_a_name(server: NameServer, name: str, want: list[bytes]) -> None:
    assert sorted(await Resolver(5, [server.address]).texts(name)) == want


@pytest.mark.parametrize("name", ["x." * 127 + "x", "x" * 64 + ".example", "a..example", "hà.example", "a\x00b"])
async def test_what_is_no_name_is_never_asked(server: NameServer, name: str) -> None:
    assert await careful(server).texts(name) == []
    assert server.asked == []


async def test_other_records(server: NameServer) -> None:
    resolver = Resolver(5, [server.address])
    assert await resolver.addresses("a.example", 4) == ["192.0.2.1"]
    assert await resolver.addresses("a.example", 6) == ["2001:db8::1"]
    assert await resolver.exchanges("a.example") == ["c.example", "b.example", "."]
    assert await resolver.pointers("1.2.0.192.in-addr.arpa") == ["a.example"]


@pytest.mark.parametrize(("name", "failing"), [("loop.example", ()), ("a.example", ("a.example",))])
async def test_a_broken_name_is_its_own_trouble(server: NameServer, name: str, failing: tuple[str, ...]) -> None:
    server.failing = failing
    resolver = careful(server)
    with pytest.raises(OSError, match="DNS") as caught:
        await resolver.texts(name)
    assert not isinstance(caught.value, Silence)
    assert await resolver.texts(OURS) == [b"v=spf1 -all"]
    assert resolver.silent == []


async def test_answers_are_kept_by_octets(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_KEPT_OCTETS", 1_200)
    resolver = Resolver(5, [server.address])
    for name in ("a.example", "a.example", OURS, OURS, "a.example", "not-there.example", "a.example", OURS):
        await resolver.texts(name)
    assert [name for name, _ in server.asked] == ["a.example", OURS, "not-there.example", OURS]


async def test_a_large_answer_is_not_kept(server: NameServer) -> None:
    resolver = Resolver(5, [server.address])
    for _ in range(2):
        assert len(await resolver.texts("large.example")) == 1
        assert resolver.known_addresses("large.example", 4) is None
    kept = names._Answers()
    kept.put(("a", "TXT"), (b"x" * 16_385,), 300)
    assert kept.get(("a", "TXT")) is None
    kept.put(("a", "TXT"), (b"x" * 16_384,), 300)
    assert kept.get(("a", "TXT")) is not None


async def test_a_silent_server_holds_back_its_own_domain_alone(server: NameServer) -> None:
    server.dead = ("slow.example", "slow2.example")
    resolver = careful(server)
    with structlog.testing.capture_logs() as logs:
        assert await is_silent(resolver, "k1._domainkey.slow.example")
        started = time.monotonic()
        assert await is_silent(resolver, "k2._domainkey.mail.slow.example")
        assert time.monotonic() - started < 0.1
        assert await is_silent(resolver, "slow2.example")
        assert resolver.silent == ["slow.example", "slow2.example"]
        assert await resolver.texts(OURS) == [b"v=spf1 -all"]
        assert len(await resolver.texts("a.example")) == 2
    assert [(line["event"], line["zone"]) for line in logs] == [
        ("DNS is silent", "slow.example"),
        ("DNS is silent", "slow2.example"),
    ]


async def test_a_silent_name_of_ours_holds_back_no_other_of_ours(server: NameServer) -> None:
    server.dead = (f"k._domainkey.{OURS}", "x.ninhbinh.gov.vn")
    resolver = careful(server)
    assert await is_silent(resolver, f"k._domainkey.{OURS}")
    assert await is_silent(resolver, "x.ninhbinh.gov.vn")
    assert await resolver.texts(OURS) == [b"v=spf1 -all"]
    assert await resolver.texts("ninhbinh.gov.vn") == []


async def test_a_domain_is_asked_again_and_said_to_answer(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_SILENT_S", 0.0)
    resolver = careful(server)
    server.dead = ("a.example",)
    with structlog.testing.capture_logs() as logs:
        assert await is_silent(resolver, "a.example")
        server.dead = ()
        assert len(await resolver.texts("a.example")) == 2
    assert [line["event"] for line in logs] == ["DNS is silent", "DNS answers again"]


async def test_what_is_remembered_of_silence_is_bounded(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_MOST_SILENT", 2)
    server.dead = ("example",)
    resolver = careful(server, 0.02)
    for name in ("one.example", "two.example", "three.example"):
        assert await is_silent(resolver, name)
    assert resolver.silent == ["two.example", "three.example"]


@pytest.mark.parametrize(
    ("name", "failing", "dead", "want"),
    [
        ("a.example", (), (), (True, True)),
        ("not-there.example", (), (), (True, True)),
        (".", (), (), (True, True)),
        ("a.example", ("a.example",), (), (False, True)),
        ("a.example", (), ("a.example",), (False, False)),
        ("a..example", (), (), (False, False)),
    ],
)
async def test_whether_anything_answers(
    server: NameServer, name: str, failing: tuple[str, ...], dead: tuple[str, ...], want: tuple[bool, bool]
) -> None:
    server.failing, server.dead = failing, dead
    resolver = Resolver(0.2, [server.address])
    assert (
        await resolver.is_answered(name, "A", 0.2),
        await resolver.is_answered(name, "A", 0.2, or_failed=True),
    ) == want


async def test_a_dead_dns_is_waited_for_once_and_found_again(server: NameServer) -> None:
    resolver = careful(server, 1.0)
    assert len(await resolver.texts("a.example")) == 2
    server.silent = True
    with structlog.testing.capture_logs() as logs:
        assert await is_silent(resolver, OURS)
        assert "." in resolver.silent, "it is known before the first mail has waited"
        started = time.monotonic()
        for number in range(20):
            assert await is_silent(resolver, f"{number}.{OURS}")
            assert await is_silent(resolver, f"{number}.example")
        assert len(await resolver.texts("a.example")) == 2, "what is known is told"
        assert time.monotonic() - started < 0.2
        server.silent = False

        async def is_back() -> bool:
            return not await is_silent(resolver, "b.example")

        deadline = time.monotonic() + 5
        while not await is_back():
            assert time.monotonic() < deadline
            await until(lambda: resolver._look is None, 5, "a look")
        assert resolver.silent == [], "what was silent with it may be asked at once"
        assert await resolver.texts(OURS) == [b"v=spf1 -all"]
    assert [line["event"] for line in logs if line["zone"] == "."] == ["DNS is dead", "DNS answers again"]


async def test_silent_strangers_never_make_dns_dead(server: NameServer) -> None:
    server.dead = ("example",)
    resolver = careful(server, 0.1)
    for number in range(5):
        assert await is_silent(resolver, f"{number}.example")
    await until(lambda: resolver._look is None, 5, "the last look")
    assert "." not in resolver.silent
    assert await resolver.texts(OURS) == [b"v=spf1 -all"]
