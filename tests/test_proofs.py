"""What proves who sent a mail: network, SPF, DKIM, ARC, with a real name server on loopback; and DNS that is dead."""

import contextlib
import ipaddress
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import dkim
import pytest
from tests.lab.dns import NameServer

from mailgate.doors.offline import split_message
from mailgate.doors.transaction import header_octets
from mailgate.model import Envelope, Mail, Organization, Session
from mailgate.probes import spf
from mailgate.probes.names import Resolver
from mailgate.probes.proofs import Prover
from mailgate.spool import Spool

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


async def proven(
    server: NameServer,
    message: bytes,
    claims: set[str],
    sender: str = "lan@example.com",
    client: str = STRANGER,
) -> dict[str, str]:
    organization = Organization(
        frozenset({"hanam.gov.vn"}),
        state_domains=frozenset({"gov.vn"}),
        state_networks=(ipaddress.ip_network("192.0.2.0/24"),),
    )
    fields, body = split_message(message)
    mail = Mail(organization, Session("mx", client), Envelope(sender.encode(), sender), fields)
    with contextlib.closing(Spool()) as raw:
        raw.write(header_octets(fields) + b"\r\n" + body)
        return await Prover(5, [server.address]).prove(mail, claims, raw)


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


async def test_a_dead_dns_is_waited_for_once() -> None:
    with NameServer({}) as silent:
        silent.silent = True
        resolver = Resolver(0.3, [silent.address])
        started = time.monotonic()
        for _ in range(20):
            with pytest.raises(OSError, match="DNS"):
                await spf.passes(resolver, CLIENT, STATE, f"a@{STATE}", "h")
        assert time.monotonic() - started < 2.0
        with pytest.raises(OSError, match="DNS"):
            await proven(silent, signed(LETTER, STATE), {STATE})
