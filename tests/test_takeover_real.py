"""A mailbox that was taken over, on real Postfix: who sends as whom, how much, and what a lock stops and lets be."""

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dkim
import pytest
from tests.lab.dns import NameServer
from tests.lab.dovecot import PASSWORD, Dovecot
from tests.lab.mails import OFFICE, OFFICER, OUTSIDER, letter
from tests.lab.ports import free_port
from tests.lab.redis import Redis
from tests.lab.system import MailSystem, lock, mail_system, revoke
from tests.lab.waiting import wait_until

DATA = Path(__file__).parent / "data"
KEY = (DATA / "dkim-test-key.pem").read_bytes()
PUBLIC = (DATA / "dkim-test-key.pub").read_text().strip()
DOMAIN = "hanam.gov.vn"
ALLOWED, STRANGER = "198.51.100.9", "203.0.113.66"
RECORDS = {
    (DOMAIN, "TXT"): [f'"v=spf1 ip4:{ALLOWED} -all"'],
    (f"s1._domainkey.{DOMAIN}", "TXT"): [f'"v=DKIM1; k=rsa; p={PUBLIC}"'],
}
WAIT_S = 15.0


def rules_of(system: MailSystem) -> set[str]:
    """Return the rules whose findings the last incident holds."""
    return {finding["rule"] for finding in system.mailgate.incidents()[-1]["findings"]}


# -- who may send as whom --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def system() -> Iterator[MailSystem]:
    with NameServer(RECORDS) as names:
        config = {
            "dns": {"servers": [names.address]},
            "rules": {"sender-identity": {"grants": {OFFICE: [OFFICER]}}},
        }
        with mail_system(config) as running:
            yield running


def test_a_login_sends_as_itself(system: MailSystem) -> None:
    assert system.submit(OFFICER, [OUTSIDER], letter(author=OFFICER)).status == "250 2.0.0"


def test_a_login_that_sends_as_another_is_refused_at_mail(system: MailSystem) -> None:
    outcome = system.submit(OFFICE, [OUTSIDER], letter(author=OFFICE), login=OFFICER)
    assert (outcome.status, outcome.rcpts, outcome.data) == ("550 5.7.1", [], None)
    assert rules_of(system) == {"sender-identity"}


def test_a_login_that_writes_as_another_is_refused_at_the_end(system: MailSystem) -> None:
    outcome = system.submit(OFFICER, [OUTSIDER], letter(author=OFFICE))
    assert outcome.data is not None
    assert (outcome.status, outcome.mail and outcome.mail[:3]) == ("550 5.7.1", "250")
    assert rules_of(system) == {"sender-identity"}


def test_a_login_without_a_domain_and_one_with_a_grant(system: MailSystem) -> None:
    assert system.submit(OFFICER, [OUTSIDER], letter(author=OFFICER), login="ptp.bl").status == "250 2.0.0"
    assert system.submit(OFFICER, [OUTSIDER], letter(author=OFFICER), login=OFFICE).status == "250 2.0.0"


@pytest.mark.parametrize(
    ("sender", "author", "client", "wanted"),
    [
        (OFFICER, OFFICER, ALLOWED, "250 2.0.0"),
        (OFFICER, OFFICER, STRANGER, "550 5.7.1"),
        (OFFICER, OUTSIDER, STRANGER, "550 5.7.1"),
        (OUTSIDER, OFFICER, STRANGER, "550 5.7.1"),
        (OUTSIDER, OFFICER, ALLOWED, "550 5.7.1"),  # SPF speaks for the envelope's domain alone
        ("", OFFICER, STRANGER, "550 5.7.1"),
        (OUTSIDER, OUTSIDER, STRANGER, "250 2.0.0"),
    ],
)
def test_an_outside_client(system: MailSystem, sender: str, author: str, client: str, wanted: str) -> None:
    assert system.receive(sender, [OFFICE], letter(author=author), client, "mail.example.com").status == wanted


def test_a_signature_of_ours_proves_the_author(system: MailSystem) -> None:
    message = letter(author=OFFICER)
    field: bytes = dkim.sign(message, b"s1", DOMAIN.encode(), KEY, include_headers=[b"From", b"Subject"])
    assert system.receive(OUTSIDER, [OFFICE], field + message, STRANGER).status == "250 2.0.0"
    changed = field + message.replace(b"Subject: ", b"Subject: Re: ")
    assert system.receive(OUTSIDER, [OFFICE], changed, STRANGER).status == "550 5.7.1"


def test_a_registered_name_from_outside_is_noted_and_marked(tmp_path: Path) -> None:
    """The workers have read the registry by then, or read it soon: until then the mail goes on unmarked."""
    registry = tmp_path / "registry.csv"
    registry.write_text(
        "address,kind,name,unit,created,password_changed\n"
        f"{OFFICER},individual,Trần Thị Bưởi,Sở TTTT,2026-01-02,2026-01-03\n"
    )
    config = {
        "dns": {"servers": []},
        "rules": {"sender-identity": {"name_header": "X-Mailgate-Impersonation"}},
    }
    message = letter().replace(b"From: Lan", b"From: Chu tich TRAN THI BUOI")

    with mail_system(config, orders=[("mailboxes", "import", str(registry))]) as system:

        def evidence() -> list[dict[str, Any]]:
            assert system.receive(OUTSIDER, [OFFICE], message, STRANGER).status == "250 2.0.0"
            return [
                piece
                for incident in system.mailgate.incidents()
                for finding in incident["findings"]
                for piece in finding["evidence"]
            ]

        (piece, *_) = wait_until(evidence, WAIT_S, "a finding of the name")
        assert (piece["kind"], piece["name"]) == ("name", "From")
        tagged = b"X-Mailgate-Impersonation: name From"
        wait_until(lambda: any(tagged in mail.data for mail in system.sink.mails()), WAIT_S, "a marked mail")


def test_a_mailing_list_that_broke_the_signature_is_held(system: MailSystem) -> None:
    before = len(system.postfix.queue())
    message = letter("List-Id: <ai-do.lists.example>", author=OFFICER)
    assert system.receive("list@lists.example", [OFFICE], message, STRANGER).status == "250 2.0.0"
    wait_until(
        lambda: [mail["queue_name"] for mail in system.postfix.queue()[before:]] == ["hold"], WAIT_S, "the mail held"
    )


def test_while_dns_cannot_be_asked_a_claim_waits() -> None:
    with NameServer(RECORDS) as names:
        names.silent = True
        with mail_system({"dns": {"servers": [names.address], "deadline_s": 1}}) as system:
            assert system.receive(OFFICER, [OFFICE], letter(author=OFFICER), ALLOWED).status == "451 4.7.1"
            unsigned = system.receive(OUTSIDER, [OFFICE], letter(author=OFFICER), ALLOWED)
            assert unsigned.status == "550 5.7.1", "nothing that DNS could say would prove it"
            assert system.receive(OUTSIDER, [OFFICE], letter(), ALLOWED).status == "250 2.0.0"


# -- how much --------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield "sqlite:mailgate.db"
    else:
        with Redis() as redis:
            yield redis.url


def test_a_burst_is_deferred(url: str) -> None:
    config = {"store": {"url": url}, "rules": {"sending-rate": {"burst_mails": 2, "burst_recipients": 5}}}
    with mail_system(config) as system:

        def sent(login: str, recipients: int = 1) -> str:
            names = [f"lan{number}@example.com" for number in range(recipients)]
            return system.submit(login, names, letter(author=login)).status

        assert [sent(OFFICER), sent(OFFICER), sent(OFFICER)] == ["250 2.0.0", "250 2.0.0", "450 4.7.1"]
        assert [sent(OFFICE, 5), sent(OFFICE)] == ["250 2.0.0", "450 4.7.1"], "each login for itself"
        assert sent("vanthu@hanam.gov.vn", 6) == "550 5.7.1", "a deferral would never end"
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
        (finding,) = system.mailgate.incidents()[0]["findings"]
        assert [piece["kind"] for piece in finding["evidence"]] == ["login", "rate"], "a burst proposes no lock"


def test_a_mail_that_is_tried_again_locks_nobody(url: str) -> None:
    """With a Message-ID, and without one: our Postfix makes another at each attempt."""
    limits = {"burst_mails": 1, "hour_mails": 3, "lock": True}
    config = {"store": {"url": url}, "rules": {"sending-rate": limits}}
    with mail_system(config, main_cf={"always_add_missing_headers": "yes"}) as system:

        def sent(message: bytes) -> str:
            return system.submit(OFFICER, [OUTSIDER], message).status

        assert sent(letter(author=OFFICER)) == "250 2.0.0"
        named = letter(author=OFFICER)
        nameless = b"".join(line for line in named.splitlines(True) if not line.startswith(b"Message-ID:"))
        assert len(nameless) < len(named)
        assert {sent(message) for _ in range(5) for message in (named, nameless)} == {"450 4.7.1"}
        incidents = system.mailgate.incidents()
        assert {piece["kind"] for one in incidents for piece in one["findings"][0]["evidence"]} == {"login", "rate"}
        ids = {one["message_id"] for one in incidents}
        assert len(ids) == 6, "so it is as the test says"


def test_what_lasts_locks_the_mailbox_where_configured(url: str) -> None:
    config = {"store": {"url": url}, "rules": {"sending-rate": {"hour_mails": 2, "lock": True}}}
    with mail_system(config) as system:

        def sent() -> str:
            return system.submit(OFFICER, [OUTSIDER], letter(author=OFFICER)).status

        assert [sent(), sent(), sent()] == ["250 2.0.0", "250 2.0.0", "450 4.7.1"]
        wait_until(lambda: sent() == "550 5.7.1", WAIT_S, "the lock")
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0", "it still receives (7.1)"
        incidents = system.mailgate.incidents()
        (deed,) = (incident for incident in incidents if incident["kind"] == "lock")
        assert (deed["mailboxes"], deed["clause"], deed["by"]) == ([OFFICER], "7.2b", "mailgate")
        assert deed["of_case"] == incidents[0]["case"]
        assert "mails in an hour 3, limit 2" in deed["reason"]
        shown = json.loads(system.mailgate.run("mailboxes", "show", OFFICER, "--format", "json").stdout)
        assert deed["of_case"] in json.dumps(shown)
        done = system.mailgate.run("mailboxes", "restore", OFFICER, "--document", "14/QD-STTTT")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: sent() == "450 4.7.1", WAIT_S, "the restored mailbox to be heard again")
        system.mailgate.wait_event("not locked again")
        assert sum(incident["kind"] == "lock" for incident in system.mailgate.incidents()) == 1
        assert system.mailgate.run("incidents", "verify").returncode == 0


def test_a_store_that_is_away_stops_nobody() -> None:
    with Redis() as redis:
        rules = {"sending-rate": {"burst_mails": 1}}
        # Nothing is remembered, lest egress wait for the past of what leaves.
        config = {"store": {"url": redis.url}, "rules": rules, "forwarding": {"keep_days": 0}}
        with mail_system(config) as system:
            assert system.submit(OFFICER, [OUTSIDER], letter(author=OFFICER)).status == "250 2.0.0"
            redis.kill()
            assert system.submit(OFFICER, [OUTSIDER], letter(author=OFFICER)).status == "250 2.0.0"
            (finding,) = system.mailgate.incidents()[-1]["findings"]
            piece = finding["evidence"][0]
            assert (finding["rule"], piece["kind"], piece["name"]) == ("sending-rate", "missing", "sending")


# -- what a lock stops, with a password that is right ------------------------------------------------


def test_a_locked_mailbox_receives_and_does_not_send() -> None:
    local = f"inet:127.0.0.1:{free_port()}"
    milter = f"inet:127.0.0.1:{free_port()}"
    config = {
        "listen": {"milter": [milter, local]},
        "hook": [{"name": "non-smtp", "listener": local}],
    }
    with Dovecot({}, submission_port=free_port()) as dovecot:
        settings = {"smtpd_sasl_path": dovecot.sasl_path}
        orders = [lock(OFFICER), revoke("thuhoi@hanam.gov.vn")]
        with mail_system(config, orders=orders, non_smtpd_milters=local, main_cf=settings) as system:

            def submitted(login: str) -> int:
                with smtplib.SMTP("127.0.0.1", system.postfix.submission_port, timeout=30) as client:
                    assert client.login(login, PASSWORD)[0] == 235, "the password is right"
                    try:
                        client.sendmail(login, [OUTSIDER], letter(author=login))
                    except smtplib.SMTPSenderRefused as error:
                        return error.smtp_code
                    return 250

            assert submitted(OFFICE) == 250
            assert submitted(OFFICER) == 550
            assert submitted("thuhoi@hanam.gov.vn") == 550
            wait_until(lambda: len(system.sink.mails()) == 1, WAIT_S, "the mail of the active mailbox")
            system.postfix.sendmail(letter(author=OFFICER).replace(b"\r\n", b"\n"), OFFICER, [OUTSIDER])
            wait_until(
                lambda: [mail for mail in system.sink.mails() if mail.recipients == (OFFICER,)],
                WAIT_S,
                "the report that the local program's mail was refused",
            )
            incident = system.mailgate.incidents()[-1]
            assert (incident["hook"], incident["kind"], incident["mail_from"]) == ("non-smtp", "refusal", OFFICER)
            assert [mail.recipients for mail in system.sink.mails()].count((OUTSIDER,)) == 1, "nothing of it left"
            system.postfix.sendmail(letter(author=OFFICE).replace(b"\r\n", b"\n"), OFFICE, [OUTSIDER])
            wait_until(
                lambda: [mail.recipients for mail in system.sink.mails()].count((OUTSIDER,)) == 2,
                WAIT_S,
                "the local mail of an active mailbox",
            )
            assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
            outcome = system.receive(OUTSIDER, ["thuhoi@hanam.gov.vn"], letter())
            assert (outcome.status, outcome.rcpts[0][:3], outcome.data) == ("550 5.2.1", "550", None)
