"""One mailbox, however it is spelled: every rule says the same of all its addresses, by every door."""

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.lab.dns import NameServer
from tests.lab.gates import make_gate, settings_of
from tests.lab.libmilter import Libmilter
from tests.lab.mailgate import Mailgate
from tests.lab.mta import Letter, Mta
from tests.lab.ports import free_port
from tests.lab.sink import Sink
from tests.lab.smtp_client import send
from tests.lab.system import MailSystem, lock, mail_system, ordered, revoke

from mailgate.config import OrganizationSection
from mailgate_rules.mailbox_state import Stanza as MailboxState

OURS, SECOND, MARKED, A_LABEL = "hanam.gov.vn", "hn.gov.vn", "hàm.gov.vn", "xn--hm-jia.gov.vn"
LOCAL = (OURS, SECOND, A_LABEL, "mx.hanam.gov.vn", "localhost")
OUTSIDER, OUTSIDE = "lan@example.com", "lan@gmail.com"
MAILBOXES = ("thuhoi", "khoa", "chutich", "ptp.bl", "dem", "nhip")


def spellings(local: str) -> list[str]:
    """Return what people, programs and attackers write for one mailbox's address, each other than the rest."""
    half = len(local) // 2
    return [
        f"{local}@{OURS}",
        f"{local.upper()}@{OURS}",
        f"{local.title()}@HaNam.Gov.VN",
        local,
        local.upper(),
        f"{local}%{OURS}",
        f"{OURS}!{local}",
        f"{OURS.upper()}!{local}",
        f"{local[:half]}\\{local[half:]}@{OURS}",
        f"{local} @{OURS}",
        f"{local}@ {OURS}",
        f"{local}(x)@{OURS}",
        f"{local}@(x){OURS}",
        f"{local}@{OURS}(x (y))",
        f'"{local}"@{OURS}',
        f'"{local[:half]}\\{local[half:]}"@{OURS}',
        f'"{local}"',
        f"{local}@{OURS}.",
        f"{local}@{OURS}@",
        f"@relay.example:{local}@{OURS}",
        f"@a.example,@b.example:{local}@{OURS}",
        f"{local}+tag@{OURS}",
        f"{local}+tag+more@{OURS}",
        f'"{local}+tag"@{OURS}',
        f'"{local}+a tag"@{OURS}',
        f'"{local}+(x)"@{OURS}',
        f'"{local}+\\"x"@{OURS}',
        f"{local}+tag",
        f"{local}+tag%{OURS}",
        f"{local}%{OURS}@{OURS}",
        f"{OURS}!{local}@{OURS}",
        f'"{local}%{OURS}"@{OURS}',
        f'"{local}@{OURS}"@{OURS}',
        f"{local}@{SECOND}",
        f"{local}%{SECOND}",
        f"{SECOND}!{local}",
        f"{local}+tag@{SECOND}",
        f"{local}@{A_LABEL}",
        f"{local}@{A_LABEL.upper()}",
        f"{local}@{MARKED}",
        f"{local}+tag@{MARKED}",
        f"bi-danh.{local}@{OURS}",
        f"BI-DANH.{local}@{OURS}",
        f"bi-danh.{local}+tag@{OURS}",
        f"bi-danh.{local}%{OURS}",
        f"bi-danh.{local}@{SECOND}",
        f"bi-danh-nua.{local}@{OURS}",
        f"bi-danh-nua.{local}",
        f"bi-danh-la.{local}@{OURS}",
        f"bi-danh-la.{local}+tag@{SECOND}",
        f"{local}@mx.hanam.gov.vn",
        f"{local}@localhost",
        f"{local}@[127.0.0.1]",
    ]


def aliases() -> str:
    """Return a file of virtual(5): each mailbox has an alias, and an alias of that; the rest goes to one mailbox."""
    lines = []
    for local in MAILBOXES:
        lines += [f"{local}@{domain} {local}@{OURS}" for domain in (OURS, SECOND, A_LABEL)]
        lines += [f"bi-danh.{local}@{OURS} {local}@{OURS}", f"bi-danh.{local}@{SECOND} bi-danh.{local}@{OURS}"]
        lines.append(f"bi-danh-la.{local}@{OURS} {local}+la@{OURS}")
        lines.append(f"bi-danh-nua.{local}@{OURS} bi-danh.{local}@{OURS}")
    lines.append(f"@{OURS} chung@{OURS}")
    return "\n".join(lines) + "\n"


ORGANIZATION = {
    "domains": [OURS, SECOND, MARKED],
    "internal_networks": ["127.0.0.0/8", "10.0.0.0/8"],
    "merged_domains": {SECOND: OURS, MARKED: OURS},
}
REWRITING = {"mydestination": [*LOCAL, "[127.0.0.1]"]}
RULES = {"sending-rate": {"burst_mails": len(spellings("x")) - 1, "hour_mails": 10_000, "networks": 100}}


def config(folder: Path, names: NameServer, **more: Any) -> dict[str, Any]:
    (folder / "virtual").write_text(aliases())
    return {
        "organization": {**ORGANIZATION, "alias_files": [str(folder / "virtual")]},
        "rewriting": REWRITING,
        "dns": {"servers": [names.address]},
        "rules": RULES,
        "workers": {"count": 1},
        **more,
    }


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailSystem]:
    folder = tmp_path_factory.mktemp("identity")
    records = {(domain, "TXT"): ['"v=spf1 -all"'] for domain in (OURS, SECOND, A_LABEL)}
    with NameServer(records) as names:
        settings = config(folder, names)
        main_cf = {
            "mydestination": ", ".join((*LOCAL, MARKED)),
            "myorigin": OURS,
            "mynetworks": "127.0.0.0/8, 10.0.0.0/8",
            "allow_percent_hack": "yes",
            "swap_bangpath": "yes",
            "local_transport": "$relay_transport",
            "local_recipient_maps": "",
            "recipient_delimiter": "+",
            "virtual_alias_maps": f"texthash:{folder / 'virtual'}",
        }
        orders = (revoke(f"thuhoi@{OURS}"), lock(f"bi-danh.khoa@{SECOND}"))
        with mail_system(settings, orders=orders, domains=(), main_cf=main_cf) as running:
            yield running


def message(*fields: str) -> bytes:
    lines = (*fields, f"Message-ID: <{uuid.uuid4()}@example.com>", "Subject: x", "", "x", "")
    return "\r\n".join(lines).encode()


SMTPUTF8 = ("SMTPUTF8",)


def outside(system: MailSystem, sender: str, recipient: str, data: bytes) -> str:
    return send(
        system.postfix.smtp_port, sender, [recipient], data, "203.0.113.7", "x.example", mail_args=SMTPUTF8
    ).status


def inside(system: MailSystem, sender: str, *fields: str) -> str:
    data = message(*fields)
    return send(
        system.postfix.smtp_port, sender, [OUTSIDE], data, "10.1.1.5", "app.hanam.gov.vn", mail_args=SMTPUTF8
    ).status


@pytest.mark.parametrize("spelling", spellings("thuhoi"))
def test_a_revoked_mailbox_receives_nothing(system: MailSystem, spelling: str) -> None:
    assert outside(system, OUTSIDER, spelling, message(f"From: {OUTSIDER}")) == "550 5.2.1"


@pytest.mark.parametrize("spelling", spellings("khoa"))
def test_a_locked_mailbox_does_not_send(system: MailSystem, spelling: str) -> None:
    assert inside(system, spelling, "From: app@example.com") == "550 5.7.1"


@pytest.mark.parametrize("spelling", [name for name in spellings("khoa") if "@" in name[:-1] and "[" not in name])
def test_nor_from_the_null_sender(system: MailSystem, spelling: str) -> None:
    assert inside(system, "", f"From: <{spelling}>") == "550 5.7.1"


@pytest.mark.parametrize("port", ["smtp", "submission"])
@pytest.mark.parametrize("login", ["khoa", f"KHOA@{OURS}", f"khoa@{SECOND}", f"khoa%{OURS}", "bi-danh.khoa"])
def test_nor_by_a_login_at_any_port(system: MailSystem, login: str, port: str) -> None:
    where = system.postfix.smtp_port if port == "smtp" else system.postfix.submission_port
    sent = send(where, "", [OUTSIDE], message(f"From: khoa@{OURS}"), "203.0.113.7", "x.example", login=login)
    assert sent.status == "550 5.7.1"
    assert "locked" in sent.final


@pytest.mark.parametrize("spelling", spellings("ptp.bl"))
def test_a_forward_into_a_mailbox(system: MailSystem, spelling: str) -> None:
    data = message(f"From: {OUTSIDER}", f"X-Forwarded-To: ptp.bl@{OURS}", f"X-Forwarded-For: {OUTSIDE} ptp.bl@{OURS}")
    assert outside(system, OUTSIDE, spelling, data) == "550 5.7.1"
    found = system.mailgate.incidents()[-1]
    assert [finding["rule"] for finding in found["findings"]] == ["auto-forward"]
    assert found["mailboxes"] == [f"ptp.bl@{OURS}"]


@pytest.mark.parametrize("spelling", spellings("chutich"))
def test_an_outsider_who_writes_as_a_mailbox(system: MailSystem, spelling: str) -> None:
    assert outside(system, spelling, f"stttt@{OURS}", message(f"From: {OUTSIDER}")) == "550 5.7.1"
    assert system.mailgate.incidents()[-1]["findings"][0]["rule"] == "sender-identity"


def test_a_forward_out_of_a_mailbox_however_its_login_is_spelled(system: MailSystem) -> None:
    for login in logins("ptp.bl"):
        data = message(f"From: ptp.bl@{OURS}", "Auto-Submitted: auto-forwarded")
        sent = send(system.postfix.submission_port, f"ptp.bl@{OURS}", [OUTSIDE], data, login=login)
        assert (login, sent.status) == (login, "550 5.7.1")
        assert system.mailgate.incidents()[-1]["mailboxes"] == [f"ptp.bl@{OURS}"]


def logins(local: str) -> Sequence[str]:
    """Return the spellings that a server of logins may hand on."""
    return [name for name in spellings(local) if not set(name) & set('(" \\:[')]


def test_one_budget_a_mailbox(system: MailSystem) -> None:
    most = RULES["sending-rate"]["burst_mails"]
    known = logins("nhip")
    answers = []
    for number in range(most + 1):
        data = message(f"From: nhip@{OURS}")
        login = known[number % len(known)]
        answers.append(send(system.postfix.submission_port, f"nhip@{OURS}", [OUTSIDE], data, login=login).status)
    assert answers == ["250 2.0.0"] * most + ["450 4.7.1"]


def test_each_spelling_counts_for_the_mailbox(system: MailSystem) -> None:
    before = system.mailgate.received().get(f"dem@{OURS}", 0)
    for spelling in spellings("dem"):
        assert outside(system, OUTSIDER, spelling, message(f"From: {OUTSIDER}")) == "250 2.0.0", spelling
    counts = system.mailgate.received()
    assert counts[f"dem@{OURS}"] - before == len(spellings("dem"))
    assert {name for name in counts if counts[name]} <= {f"dem@{OURS}", f"chung@{OURS}"}


def test_a_catch_all_is_not_everybodys_mailbox(system: MailSystem) -> None:
    before = system.mailgate.received().get(f"chung@{OURS}", 0)
    assert outside(system, OUTSIDER, f"khong.co@{OURS}", message(f"From: {OUTSIDER}")) == "250 2.0.0"
    assert system.mailgate.received()[f"chung@{OURS}"] == before + 1
    login = f"chung@{OURS}"
    as_other = send(
        system.postfix.submission_port, f"khong.co@{OURS}", [OUTSIDE], message(f"From: khong.co@{OURS}"), login=login
    )
    assert as_other.status == "550 5.7.1"


# -- the same by the other doors -------------------------------------------------------------------


EVERYWHERE = [name for name in spellings("thuhoi") if not name.endswith("[127.0.0.1]")]
"""Without the address of the host itself: whether it is ours, a filter is not told."""


def test_by_libmilter(libmilter: Libmilter, tmp_path: Path) -> None:
    settings = settings_of(MailboxState(), organization=organization_of(tmp_path), rewriting=REWRITING)
    aliases = settings.aliases()
    aliases.take(aliases.read()[0])
    libmilter.gate = make_gate(settings, revoked=[f"thuhoi@{OURS}"], locked=[f"khoa@{OURS}"], aliases=aliases)
    with Mta(libmilter.address) as mta:
        for spelling in EVERYWHERE:
            outcome = mta.deliver(Letter(recipients=(f"<{spelling}>".encode(),)))
            assert (spelling, outcome.answer.code) == (spelling, "550 5.2.1")
    with Mta(libmilter.address) as mta:
        for spelling in EVERYWHERE:
            typed = (
                f"<{spelling.replace('thuhoi', 'khoa').replace('THUHOI', 'KHOA').replace('Thuhoi', 'Khoa')}>".encode()
            )
            outcome = mta.deliver(Letter(sender=typed, client_ip="10.1.1.5"))
            assert (spelling, outcome.answer.code) == (spelling, "550 5.7.1")


def organization_of(folder: Path) -> OrganizationSection:
    (folder / "virtual").write_text(aliases())
    return OrganizationSection(**ORGANIZATION, alias_files=[str(folder / "virtual")])


def test_by_the_smtp_door(tmp_path: Path) -> None:
    door = f"inet:127.0.0.1:{free_port()}"
    records = {(domain, "TXT"): ['"v=spf1 -all"'] for domain in (OURS, SECOND, A_LABEL)}
    with NameServer(records) as names, Sink() as sink:
        settings = config(tmp_path, names)
        settings |= {
            "listen": {"milter": [], "smtp": [door]},
            "smtp": {"next_hop": f"inet:127.0.0.1:{sink.port}"},
            "hook": [{"name": "mx", "listener": door}],
        }
        with ordered(Mailgate(settings), (revoke(f"thuhoi@{OURS}"), lock(f"khoa@{OURS}"))):
            port = int(door.rpartition(":")[2])
            for spelling in EVERYWHERE:
                answer = send(port, OUTSIDER, [spelling], message(f"From: {OUTSIDER}"), mail_args=SMTPUTF8)
                assert (spelling, answer.status) == (spelling, "550 5.2.1")
                typed = spelling.replace("thuhoi", "khoa").replace("THUHOI", "KHOA").replace("Thuhoi", "Khoa")
                answer = send(port, typed, [OUTSIDE], message("From: app@example.com"), mail_args=SMTPUTF8)
                assert (spelling, answer.status) == (spelling, "550 5.7.1")
            for nobody in ("lan@a..b", f"a,b@{OURS}", "a b@"):
                answer = send(port, OUTSIDER, [nobody], message(f"From: {OUTSIDER}"), mail_args=SMTPUTF8)
                assert (nobody, answer.status) == (nobody, "553 5.1.3")
        assert sink.mails() == []
