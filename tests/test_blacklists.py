"""DNS blacklists: who is asked for, what an answer means, and what a silent zone costs."""

import time
from collections.abc import Iterator
from functools import partial

import pytest
import structlog
from tests.lab.dns import NameServer
from tests.lab.mails import OFFICER, OUTSIDER, letter
from tests.lab.system import mail_system
from tests.lab.waiting import until

from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.model import Envelope, Listing, Mail, Session
from mailgate.probes import blacklists
from mailgate.probes.blacklists import Blacklists, reversed_address
from mailgate.probes.names import Resolver

ZONE, OTHER, DOMAINS = "dnsbl.example.net", "other.example.net", "dbl.example.net"
CLIENT, IPV6, CLEAN = "203.0.113.7", "2001:db8::7", "203.0.113.8"
NIBBLES = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
RECORDS = {
    (f"7.113.0.203.{ZONE}", "A"): ["127.0.0.2", "127.0.0.4"],
    (f"7.113.0.203.{OTHER}", "A"): ["127.0.0.10"],
    (f"{NIBBLES}.{ZONE}", "A"): ["127.0.0.3"],
    (f"9.113.0.203.{ZONE}", "A"): ["127.255.255.254"],  # asked through a public resolver, as Spamhaus says it
    (f"10.113.0.203.{ZONE}", "A"): ["192.0.2.1"],  # a zone that was sold, and lists all the world
    (f"11.113.0.203.{ZONE}", "A"): ["127.255.255.254", "127.0.0.2"],
    (f"spam.example.{DOMAINS}", "A"): ["127.0.1.2"],
    (f"12.113.0.203.{ZONE}", "TXT"): ["no address"],
}


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server with two zones of addresses and one of domains."""
    with NameServer(RECORDS) as running:
        yield running


@pytest.mark.parametrize(
    ("address", "want"),
    [
        ("192.0.2.99", "99.2.0.192"),
        ("::ffff:192.0.2.99", "99.2.0.192"),
        (IPV6, NIBBLES),
        ("2001:DB8:0::7", NIBBLES),
        ("", ""),
        ("unknown", ""),
        ("192.0.2.256", ""),
        ("192.0.2.1/24", ""),
        ("fe80::1%eth0", ".".join("1" + "0" * 28 + "8ef")),
    ],
)
def test_how_an_address_is_asked_for(address: str, want: str) -> None:
    assert reversed_address(address) == want


def mail_from(client: str, sender: str = "lan@example.com") -> Mail:
    return Mail(
        Identity(Organization(frozenset({"hanam.gov.vn"}))),
        Session("mx", client),
        Envelope(f"<{sender}>".encode(), sender),
    )


@pytest.mark.parametrize(
    ("client", "sender", "want"),
    [
        (CLIENT, OUTSIDER, [Listing(ZONE, CLIENT, "127.0.0.2"), Listing(OTHER, CLIENT, "127.0.0.10")]),
        (f"::ffff:{CLIENT}", OUTSIDER, [(ZONE, "127.0.0.2"), (OTHER, "127.0.0.10")]),
        (IPV6, OUTSIDER, [(ZONE, "127.0.0.3")]),
        (CLEAN, OUTSIDER, []),
        (CLEAN, "a@spam.example", [(DOMAINS, "127.0.1.2")]),
        (CLEAN, "a@other.example", []),
        (CLEAN, "", []),
        (CLEAN, "a@[192.0.2.1]", []),
        (CLEAN, "a@" + "x" * 64 + ".example", []),
        (CLEAN, "a@x..example", []),
        (CLEAN, "a@hà-nam.example", []),
        ("", OUTSIDER, []),
        ("203.0.113.9", OUTSIDER, []),
        ("203.0.113.10", OUTSIDER, []),
        ("203.0.113.11", OUTSIDER, [(ZONE, "127.0.0.2")]),
        ("203.0.113.12", OUTSIDER, []),
    ],
)
async def test_who_is_listed(
    server: NameServer, client: str, sender: str, want: list[Listing | tuple[str, str]]
) -> None:
    mail = mail_from(client, sender)
    await Blacklists((ZONE, OTHER), (DOMAINS,), partial(Resolver, 5, [server.address])).ask(mail)
    assert [
        one if isinstance(two, Listing) else (one.zone, one.answer)
        for one, two in zip(mail.listings, want, strict=True)
    ] == want


async def test_an_answer_is_kept(server: NameServer) -> None:
    blacklists = Blacklists((ZONE,), (), partial(Resolver, 5, [server.address]))
    for _ in range(5):
        await blacklists.ask(mail_from(CLIENT))
    assert server.asked == [(f"7.113.0.203.{ZONE}", "A")]


async def test_a_silent_zone_costs_one_mail_and_is_skipped_until_it_answers(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.dead = (OTHER,)
    made = Blacklists((OTHER, ZONE), (DOMAINS,), partial(Resolver, 0.2, [server.address]))
    with structlog.testing.capture_logs() as logs:
        times = []
        for client in (CLIENT, CLIENT, f"::ffff:{CLIENT}", IPV6):
            mail = mail_from(client)
            started = time.monotonic()
            await made.ask(mail)
            times.append(time.monotonic() - started)
            assert [listing.zone for listing in mail.listings] == [ZONE]
        assert times[0] > 0.15
        assert max(times[1:]) < 0.1
        assert made.skipped == [OTHER]
        server.dead, server.failing = (), (OTHER,)
        monkeypatch.setattr(blacklists, "_AGAIN_S", 0.0)
        await made.ask(mail_from(CLIENT))
        await until(lambda: not made._looks, 5, "a look at a zone that fails")
        assert made.skipped == [OTHER], "to fail is not to answer"
        server.failing = ()
        await made.ask(mail := mail_from(CLIENT))
        assert [listing.zone for listing in mail.listings] == [ZONE], "it is asked on nobody's time"
        await until(lambda: not made.skipped, 5, "the zone that answers again")
        await made.ask(mail := mail_from(CLIENT))
        assert [listing.zone for listing in mail.listings] == [OTHER, ZONE]
    assert [(line["event"], line["zone"]) for line in logs] == [
        ("DNS blacklist is silent, and skipped", OTHER),
        ("DNS blacklist answers again", OTHER),
    ]
    assert [name for name, _ in server.asked].count(f"2.0.0.127.{OTHER}") == 2


async def test_what_is_known_of_a_silent_zone_still_counts(server: NameServer) -> None:
    made = Blacklists((ZONE,), (), partial(Resolver, 0.2, [server.address]))
    await made.ask(mail_from(CLIENT))
    server.silent = True
    await made.ask(mail_from(CLEAN))
    assert made.skipped == [ZONE]
    await made.ask(mail := mail_from(CLIENT))
    assert [listing.zone for listing in mail.listings] == [ZONE]


async def test_a_zone_that_fails_silences_no_other(server: NameServer) -> None:
    server.failing = (OTHER,)
    made = Blacklists((OTHER, ZONE), (DOMAINS,), partial(Resolver, 0.5, [server.address]))
    mail = mail_from(CLIENT)
    with pytest.raises(OSError, match="DNS"):
        await made.ask(mail)
    assert mail.listings == [Listing(ZONE, CLIENT, "127.0.0.2")]
    assert made.skipped == []


# -- in the daemon ---------------------------------------------------------------------------------


def test_a_listed_client_is_tagged_and_ours_is_not_asked_for(server: NameServer) -> None:
    config = {
        "dns": {"servers": [server.address]},
        "blacklists": {"zones": [ZONE, OTHER], "domain_zones": [DOMAINS]},
        "workers": {"count": 1},
    }
    with mail_system(config) as system:
        assert system.submit(OFFICER, [OUTSIDER], letter(author=OFFICER)).status == "250 2.0.0"
        assert system.receive("a@spam.example", [OFFICER], letter(), client_addr="127.0.0.1").status == "250 2.0.0"
        assert [name for name, _ in server.asked if name.endswith("example.net")] == []
        system.sink.wait(2)
        system.sink.clear()
        for client, sender, tag in (
            (CLIENT, OUTSIDER, f"dnsbl={ZONE},{OTHER}"),
            (IPV6, OUTSIDER, f"dnsbl={ZONE}"),
            (CLEAN, "a@spam.example", f"dnsbl={DOMAINS}"),
            (CLEAN, OUTSIDER, ""),
        ):
            assert system.receive(sender, [OFFICER], letter(), client_addr=client).status == "250 2.0.0"
            (mail,) = system.sink.wait(1)
            assert (mail.header("X-Mailgate-Spam") or b"").decode() == tag
            system.sink.clear()


def test_while_dns_is_dead_mail_passes_and_one_waits(server: NameServer) -> None:
    server.silent = True
    config = {
        "dns": {"servers": [server.address], "deadline_s": 2.0},
        "blacklists": {"zones": [ZONE], "domain_zones": [DOMAINS]},
        "workers": {"count": 1},
    }
    with mail_system(config) as system:
        times = []
        for _ in range(5):
            started = time.monotonic()
            assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
            times.append(time.monotonic() - started)
        assert 0.5 < times[0] < 2
        assert max(times[1:]) < 0.5
        assert all(mail.header("X-Mailgate-Spam") is None for mail in system.sink.wait(5))
        assert system.mailgate.incidents() == []
