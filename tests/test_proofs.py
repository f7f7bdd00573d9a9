"""What proves who sent a mail: network, SPF, DKIM, ARC, with a real name server on loopback; and DNS that is dead."""

import asyncio
import contextlib
import ipaddress
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dkim
import pytest
from tests.lab.dns import NameServer
from tests.lab.gates import make_gate, settings_of
from tests.lab.inspecting import InProcess
from tests.lab.mails import OFFICER, OUTSIDER, letter
from tests.lab.system import mail_system

from mailgate.config import WorkersSection
from mailgate.doors.offline import Case, judge_case, split_message
from mailgate.doors.transaction import header_octets
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.inspection.job import Proven, SignatureJob
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Content, Ending, Outcome, Pool
from mailgate.model import Action, Envelope, Mail, Session
from mailgate.probes import proofs, spf
from mailgate.probes.names import CarefulResolver, Resolver
from mailgate.probes.proofs import Prover, Workers
from mailgate.spool import Spool
from mailgate_rules import STANZAS

DATA = Path(__file__).parent / "data"
KEY = (DATA / "dkim-test-key.pem").read_bytes()  # made for these tests; it signs nothing else
PUBLIC = (DATA / "dkim-test-key.pub").read_text().strip()
STATE, OTHER_STATE, TARGET = "ninhbinh.gov.vn", "namdinh.gov.vn", "ptp.bl@hanam.gov.vn"
CLIENT, STRANGER = "198.51.100.9", "203.0.113.66"
TXT = "TXT"

RECORDS = {
    (STATE, TXT): [f'"v=spf1 ip4:{CLIENT} -all"', '"something else"'],
    ("all.example", TXT): ['"v=spf1 +all"'],
    ("none.example", TXT): ['"no record of ours"'],
    ("a.example", TXT): ['"v=spf1 a -all"'],
    ("a.example", "A"): [CLIENT],
    ("net.example", TXT): ['"v=spf1 a:a.example/24 -all"'],
    ("mx.example", TXT): ['"v=spf1 mx -all"'],
    ("mx.example", "MX"): ["10 a.example."],
    ("include.example", TXT): ['"v=spf1 include:all.example" " -all"'],
    ("fails.example", TXT): ['"v=spf1 include:none.example ?all"'],
    ("redirect.example", TXT): [f'"v=spf1 redirect={STATE}"'],
    ("macro.example", TXT): ['"v=spf1 exists:%{ir}.%{l}.list.example -all"'],
    ("9.100.51.198.lan.list.example", "A"): ["127.0.0.2"],
    ("minus.example", TXT): [f'"v=spf1 -ip4:{CLIENT} +all"'],
    ("two.example", TXT): ['"v=spf1 +all"', '"v=spf1 -all"'],
    ("broken.example", TXT): ['"v=spf1 ip4:no +all"'],
    ("unknown.example", TXT): ['"v=spf1 foo +all"'],
    ("loop.example", TXT): ['"v=spf1 include:loop.example +all"'],
    ("six.example", TXT): ['"v=spf1 ip6:2001:db8::/32 -all"'],
    ("ptr.example", TXT): ['"v=spf1 ptr -all"'],
    ("hanam.gov.vn", TXT): [f'"v=spf1 ip4:{CLIENT} -all"'],
    ("s1._domainkey.hanam.gov.vn", TXT): [f'"v=DKIM1; k=rsa; p={PUBLIC}"'],
    (f"s1._domainkey.{STATE}", TXT): [f'"v=DKIM1; k=rsa; p={PUBLIC}"'],
    (f"s1._domainkey.mail.{OTHER_STATE}", TXT): [f'"v=DKIM1; k=rsa; p={PUBLIC}"'],
    ("s1._domainkey.gov.vn", TXT): [f'"v=DKIM1; k=rsa; p={PUBLIC}"'],
    ("s1._domainkey.example.com", TXT): [f'"v=DKIM1; k=rsa; p={PUBLIC}"'],
}


@pytest.fixture(scope="module")
def server() -> Iterator[NameServer]:
    with NameServer(RECORDS) as running:
        yield running


@pytest.mark.parametrize(
    ("domain", "client", "passes"),
    [
        (STATE, CLIENT, True),
        (STATE, f"::ffff:{CLIENT}", True),
        (STATE, STRANGER, False),
        (STATE, "", False),
        ("all.example", STRANGER, True),
        ("none.example", CLIENT, False),
        ("not-there.example", CLIENT, False),
        ("a.example", CLIENT, True),
        ("a.example", STRANGER, False),
        ("net.example", "198.51.100.200", True),
        ("mx.example", CLIENT, True),
        ("include.example", STRANGER, True),
        ("fails.example", CLIENT, False),
        ("redirect.example", CLIENT, True),
        ("macro.example", CLIENT, True),
        ("macro.example", STRANGER, False),
        ("minus.example", CLIENT, False),
        ("minus.example", STRANGER, True),
        ("two.example", CLIENT, False),
        ("broken.example", CLIENT, False),
        ("unknown.example", CLIENT, False),
        ("loop.example", CLIENT, False),
        ("six.example", "2001:db8::7", True),
        ("six.example", CLIENT, False),
        ("ptr.example", CLIENT, False),
    ],
)
async def test_spf(server: NameServer, domain: str, client: str, passes: bool) -> None:
    resolver = Resolver(5, [server.address])
    assert await spf.passes(resolver, client, domain, f"lan@{domain}", "helo.example") is passes


LETTER = (
    b"From: Lan <lan@example.com>\r\nTo: x@y.example\r\nSubject: Bao cao\r\n"
    b"Message-ID: <1@example.com>\r\n\r\nKinh gui.\r\n"
)


class _Results:
    """What dkimpy's ARC signer wants of the package authres: a header with one result that is not of ARC."""

    @staticmethod
    def parse(field: str) -> SimpleNamespace:
        service = field.partition(":")[2].partition(";")[0].strip()
        return SimpleNamespace(authserv_id=service, results=[SimpleNamespace(method="spf")])


def signed(message: bytes, domain: str) -> bytes:
    field: bytes = dkim.sign(message, b"s1", domain.encode(), KEY, include_headers=[b"From", b"Subject"])
    return field + message


def sealed(message: bytes, domain: str) -> bytes:
    dkim.authres = SimpleNamespace(AuthenticationResultsHeader=_Results)
    message = b"Authentication-Results: " + domain.encode() + b"; spf=none\r\n" + message
    fields: list[bytes] = dkim.arc_sign(
        message, b"s1", domain.encode(), KEY, domain.encode(), include_headers=[b"From", b"Subject"]
    )
    return b"".join(fields) + message


def prover(server: NameServer, workers: Workers | None = None, deadline_s: float = 5) -> Prover:
    return Prover(deadline_s, [server.address], workers or InProcess(), ("hanam.gov.vn", "gov.vn"), 1.5)


async def proven(
    server: NameServer,
    message: bytes,
    claims: set[str],
    sender: str = "lan@example.com",
    client: str = STRANGER,
    made: Prover | None = None,
) -> dict[str, str]:
    with received(message, sender, client) as (mail, raw):
        return await (made or prover(server)).prove(mail, claims, raw)


@contextlib.contextmanager
def received(message: bytes, sender: str = "lan@example.com", client: str = STRANGER) -> Iterator[tuple[Mail, Spool]]:
    organization = Organization(
        frozenset({"hanam.gov.vn"}),
        state_domains=frozenset({"gov.vn"}),
        state_networks=(ipaddress.ip_network("192.0.2.0/24"),),
    )
    fields, body = split_message(message)
    mail = Mail(Identity(organization), Session("mx", client), Envelope(sender.encode(), sender), fields)
    with contextlib.closing(Spool()) as raw:
        raw.write(header_octets(fields) + b"\r\n" + body)
        yield mail, raw


@pytest.mark.parametrize(
    ("message", "sender", "client", "want"),
    [
        (LETTER, "lan@example.com", "192.0.2.7", "network"),
        (LETTER, f"srs0=ab=cd=example.com=lan@{STATE}", CLIENT, "spf"),
        (LETTER, f"srs0=ab=cd=example.com=lan@{STATE}", STRANGER, ""),
        (LETTER, "lan@all.example", STRANGER, ""),
        (LETTER, "lan@example.com", STRANGER, ""),
        (signed(LETTER, STATE), "lan@example.com", STRANGER, "dkim"),
        (signed(LETTER, STATE).replace(b"Kinh gui", b"Kinh  gui!"), "lan@example.com", STRANGER, ""),
        (signed(LETTER, "example.com"), "lan@example.com", STRANGER, ""),
        (signed(LETTER, "gov.vn"), "lan@example.com", STRANGER, ""),
        (sealed(LETTER, STATE), "lan@example.com", STRANGER, "arc"),
        (sealed(LETTER, "example.com"), "lan@example.com", STRANGER, ""),
        (sealed(LETTER, STATE).replace(b"Subject: Bao", b"Subject: BAO"), "lan@example.com", STRANGER, ""),
    ],
)
async def test_proofs_of_a_claim(server: NameServer, message: bytes, sender: str, client: str, want: str) -> None:
    assert await proven(server, message, {STATE}, sender, client) == {STATE: want}


async def test_a_state_bodys_network_proves_nobody_to_be_one_of_us(server: NameServer) -> None:
    claims = {STATE, "hanam.gov.vn"}
    assert await proven(server, LETTER, claims, client="192.0.2.7") == {STATE: "network", "hanam.gov.vn": ""}
    message = signed(LETTER, "hanam.gov.vn")
    assert await proven(server, message, claims, client="192.0.2.7") == {STATE: "network", "hanam.gov.vn": "dkim"}


async def test_spf_speaks_for_the_envelopes_domain_alone(server: NameServer) -> None:
    claims = {"hanam.gov.vn"}
    assert await proven(server, LETTER, claims, "a@hanam.gov.vn", CLIENT) == {"hanam.gov.vn": "spf"}
    assert await proven(server, LETTER, claims, f"a@{STATE}", CLIENT) == {"hanam.gov.vn": ""}


async def test_a_domain_speaks_for_what_is_above_and_below_it(server: NameServer) -> None:
    message = signed(LETTER, f"mail.{OTHER_STATE}")
    claims = {OTHER_STATE, f"phong.mail.{OTHER_STATE}", STATE}
    assert await proven(server, message, claims) == {
        OTHER_STATE: "dkim",
        f"phong.mail.{OTHER_STATE}": "dkim",
        STATE: "",
    }


async def test_answers_are_cached(server: NameServer) -> None:
    resolver = Resolver(5, [server.address])
    before = len(server.asked)
    for _ in range(3):
        assert await spf.passes(resolver, CLIENT, STATE, f"a@{STATE}", "h")
    assert len(server.asked) == before + 1


# -- what strangers write -----------------------------------------------------------------------------


def field_of(domain: str, selector: str = "k1", name: str = "DKIM-Signature", more: str = "") -> bytes:
    return (
        f"{name}: v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector}; h=from:subject;{more}\r\n"
        " bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
    ).encode()


SLOW = field_of("slow.example")


async def test_a_strangers_signature_is_not_asked_for(server: NameServer) -> None:
    server.asked.clear()
    letter = SLOW + field_of("evil.example") + signed(LETTER, "hanam.gov.vn")
    assert await proven(server, letter, {"hanam.gov.vn"}) == {"hanam.gov.vn": "dkim"}
    assert server.asked == [("s1._domainkey.hanam.gov.vn", TXT)]


async def test_a_silent_stranger_holds_back_nobody() -> None:
    """Its seal in a chain is asked for; then the chain proves nothing, and the next mails are proven as ever."""
    older = field_of("slow.example", "k1", "ARC-Seal", " i=1;")
    newest = field_of(STATE, "s1", "ARC-Seal", " i=2;")
    with NameServer(RECORDS) as own:
        own.dead = ("slow.example",)
        made = prover(own, deadline_s=0.6)
        with pytest.raises(OSError, match=r"slow\.example"):
            await proven(own, newest + older + LETTER, {STATE}, made=made)
        assert made.silent == ["slow.example"]
        started = time.monotonic()
        assert await proven(own, signed(LETTER, "hanam.gov.vn"), {"hanam.gov.vn"}, made=made) == {
            "hanam.gov.vn": "dkim"
        }
        assert await proven(own, LETTER, {"hanam.gov.vn"}, "a@hanam.gov.vn", CLIENT, made) == {"hanam.gov.vn": "spf"}
        assert await proven(own, LETTER, {STATE}, f"a@{STATE}", CLIENT, made) == {STATE: "spf"}
        assert time.monotonic() - started < 0.5


async def test_a_claimed_domains_own_signatures_come_first(server: NameServer) -> None:
    strangers = b"".join(field_of(f"x{number}.hanam.gov.vn") for number in range(30))
    assert await proven(server, strangers + signed(LETTER, "hanam.gov.vn"), {"hanam.gov.vn"}) == {
        "hanam.gov.vn": "dkim"
    }


@pytest.mark.parametrize("count", [0, 99, 100, 101, 1_000])
async def test_of_very_many_signatures_first_and_last_are_read(server: NameServer, count: int) -> None:
    strangers = b"".join(field_of(f"x{number}.example") for number in range(count))
    last = signed(LETTER, "hanam.gov.vn")
    first = last[: last.index(b"From:")] + strangers + LETTER
    for message in (strangers + last, first):
        assert await proven(server, message, {"hanam.gov.vn"}) == {"hanam.gov.vn": "dkim"}


def test_the_signatures_of_a_mail_are_read_in_no_time() -> None:
    strangers = b"".join(b"DKIM-Signature: d=x%d.example; s=a\r\n" % number for number in range(30_000))
    with received(strangers + LETTER) as (mail, _):
        started = time.process_time()
        assert proofs._signers(mail, {"hanam.gov.vn": ""}) == []
        assert time.process_time() - started < 0.05


async def test_questions_of_one_mail_are_asked_at_once_and_within_its_time() -> None:
    """Six signatures, each of a name of ours that nobody answers for, take the time of one."""
    with NameServer(RECORDS) as own:
        own.dead = ("_domainkey.hanam.gov.vn",)
        letter = b"".join(field_of("hanam.gov.vn", f"k{number}") for number in range(6)) + LETTER
        started = time.monotonic()
        with pytest.raises(OSError, match="DNS"):
            await proven(own, letter, {"hanam.gov.vn"}, made=prover(own, deadline_s=0.5))
        assert time.monotonic() - started < 1.0


async def test_a_server_that_fails_is_trouble_and_a_missing_key_is_none(server: NameServer) -> None:
    message = signed(LETTER, STATE).replace(b"s=s1", b"s=s2")
    assert await proven(server, message, {STATE}) == {STATE: ""}
    with NameServer(RECORDS) as failing:
        failing.failing = (f"_domainkey.{STATE}",)
        with pytest.raises(OSError, match="NoNameservers"):
            await proven(failing, message, {STATE})


# -- who verifies, and what he cannot ----------------------------------------------------------------


class Scripted:
    """A worker that ends each job as the script says, with these domains."""

    def __init__(self, *script: tuple[Ending, tuple[str, ...]]) -> None:
        self._script = list(script)

    async def run(self, job: SignatureJob, content: Content) -> Outcome[Proven]:
        ending, domains = self._script.pop(0)
        return Outcome(ending, ending.value, [], [Proven(domain) for domain in domains])


TOO_LONG = "not verified within 1.5 s of processor time"


@pytest.mark.parametrize(
    ("script", "want", "too_much"),
    [
        ([(Ending.DONE, (STATE,))], "dkim", ""),
        ([(Ending.DONE, ())], "", ""),
        ([(Ending.DONE, ("hanam.gov.vn", "gov.vn", "", "evil.example"))], "", ""),
        ([(Ending.CPU, ())], "", TOO_LONG),
        ([(Ending.CPU, (STATE,))], "dkim", ""),
        ([(Ending.DIED, ()), (Ending.DONE, (STATE,))], "dkim", ""),
        ([(Ending.DIED, ()), (Ending.DIED, ())], "", "not verified: the worker: the process died"),
    ],
)
async def test_what_a_worker_says(
    server: NameServer, script: list[tuple[Ending, tuple[str, ...]]], want: str, too_much: str
) -> None:
    with received(signed(LETTER, STATE)) as (mail, raw):
        assert await prover(server, Scripted(*script)).prove(mail, {STATE}, raw) == {STATE: want}
    assert mail.missing == ({"signatures": too_much} if too_much else {})


async def test_a_worker_that_had_no_turn_is_trouble(server: NameServer) -> None:
    with pytest.raises(OSError, match="signatures"):
        await proven(server, signed(LETTER, STATE), {STATE}, made=prover(server, Scripted((Ending.WALL, ()))))


@pytest.mark.parametrize(
    ("name", "value", "want"),
    [
        ("_LARGEST", 300, r"not verified: \d+ octets, of at most 300"),
        ("_LARGEST_HEADER", 100, r"not verified: a header of \d+ octets, of at most 100"),
    ],
)
async def test_what_is_too_large_is_neither_good_nor_bad(
    server: NameServer, monkeypatch: pytest.MonkeyPatch, name: str, value: int, want: str
) -> None:
    monkeypatch.setattr(proofs, name, value)
    for message, is_told in ((signed(LETTER, STATE), True), (LETTER, False), (SLOW + LETTER, False)):
        with received(message) as (mail, raw):
            assert await prover(server).prove(mail, {STATE}, raw) == {STATE: ""}
        assert bool(re.fullmatch(want, mail.missing.get("signatures", ""))) is is_told


async def test_a_mail_as_large_as_postfix_takes_is_proven_by_a_worker(server: NameServer) -> None:
    line = b"Kinh gui cac don vi, \t tai lieu  kem theo, xin y kien truoc ngay 30. \r\n"
    message = signed(LETTER + line * (31_457_280 // len(line)), "hanam.gov.vn")
    pool = Pool(InspectionLimits())
    try:
        assert await proven(server, message, {"hanam.gov.vn"}, made=prover(server, pool)) == {"hanam.gov.vn": "dkim"}
    finally:
        await pool.close()


async def test_a_dead_dns_is_waited_for_once() -> None:
    with NameServer({}) as silent:
        silent.silent = True
        resolver = CarefulResolver(0.3, [silent.address])
        started = time.monotonic()
        for _ in range(20):
            with pytest.raises(OSError, match="DNS"):
                await spf.passes(resolver, CLIENT, STATE, f"a@{STATE}", "h")
        assert time.monotonic() - started < 2.0
        with pytest.raises(OSError, match="DNS"):
            await proven(silent, signed(LETTER, STATE), {STATE}, made=prover(silent, deadline_s=0.4))


async def test_a_proof_that_comes_too_late_is_no_forgery() -> None:
    class Stuck:
        async def prove(self, *_: object, **__: object) -> dict[str, str]:
            await asyncio.Event().wait()
            return {}

    settings = settings_of(STANZAS["sender-identity"](), workers=WorkersSection(deadline_s=0.05))
    gate = make_gate(settings, prover=Stuck())
    ours = LETTER.replace(b"lan@example.com", b"lan@hanam.gov.vn")
    answer = await judge_case(gate, Case(ours, client_ip=STRANGER, mail_from=OUTSIDER, rcpts=(OFFICER,)))
    assert answer.verdict.action is Action.TEMPFAIL


# -- in the daemon -------------------------------------------------------------------------------------


def test_a_mails_signatures_delay_no_other_mail(server: NameServer) -> None:
    """No rule looks into mails here: the workers start with the first claim, which waits for them."""
    config = {
        "dns": {"servers": [server.address]},
        "workers": {"count": 1},
        "rules": {rule.NAME: {"mode": "off"} for rule in STANZAS.values() if rule.NEEDS == "inspection"},
    }
    ours = LETTER.replace(b"lan@example.com", b"lan@hanam.gov.vn")
    blanks = signed(ours, "hanam.gov.vn") + b"a" + b" " * 5_000_000 + b"b\r\n"
    with mail_system(config) as system:
        assert system.receive(OUTSIDER, [OFFICER], ours).status.startswith("550 5.7.1")
        assert system.receive(OUTSIDER, [OFFICER], signed(ours, "hanam.gov.vn")).status == "250 2.0.0"
        attack = threading.Thread(target=system.receive, args=(OUTSIDER, [OFFICER], blanks))
        attack.start()
        times = []
        while attack.is_alive():
            started = time.monotonic()
            assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
            times.append(time.monotonic() - started)
        attack.join()
        assert max(times) < 1.0
