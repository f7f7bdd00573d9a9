"""The SMTP door: whose replies the client reads, what reaches the next hop, limits, and what happens when it fails.

The next hop is one by script where a test needs it to fail, and a real Postfix where it matters that it is one.
"""

import contextlib
import hashlib
import random
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import uvloop
from tests.lab.gates import Notes, make_gate, settings_of
from tests.lab.mails import letter_with
from tests.lab.next_hop import DROP, KEEP_AND_DROP, OFFERS, STALL, NextHop, Script, Talk
from tests.lab.ports import free_port
from tests.lab.smtp_client import Outcome, SmtpClient, status_of
from tests.lab.smtp_door import SmtpDoor
from tests.lab.waiting import wait_until
from tests.test_bytes_unchanged import SAMPLES

from mailgate.config import SmtpSection
from mailgate.model import Action, Evidence, Header, Mail
from mailgate.rule import Hit, RuleStanza

SENDER = "a@example.com"
ALICE, BOB = "alice@hanam.gov.vn", "bob@hanam.gov.vn"
SMALL = b"Subject: x\r\n\r\nKinh gui.\r\n"


@dataclass(frozen=True, kw_only=True)
class Found(RuleStanza):
    """Finds what a test wants at the end of a mail, in its body, or of one recipient at RCPT."""

    NAME = "found"
    CLAUSE = "QD27/2023 4.5"
    REPLY = "550 5.7.1 Not by this door\nKhong qua cua nay"

    action: Action = Action.ACCEPT
    stage: str = "end"
    recipient: str = ""
    headers: tuple[Header, ...] = ()
    breaks: bool = False

    def _hits(self, stage: str) -> Iterable[Hit]:
        if self.breaks and stage == self.stage:
            raise RuntimeError("a rule that is broken")
        if stage == self.stage and (self.action is not Action.ACCEPT or self.headers):
            yield Hit((Evidence("test", "x", "y"),), self.recipient, headers=self.headers)

    def at_mail(self, mail: Mail) -> Iterable[Hit]:
        return self._hits("mail")

    def at_rcpt(self, mail: Mail, recipient: str) -> Iterable[Hit]:
        return self._hits("rcpt") if recipient == self.recipient else ()

    def at_body(self, mail: Mail) -> Iterable[Hit]:
        return self._hits("body")

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        return self._hits("end")


@dataclass(frozen=True, slots=True)
class System:
    """A door and the next hop behind it, which keeps messages octet for octet."""

    door: SmtpDoor
    hop: NextHop
    hold: NextHop
    notes: Notes

    def use(self, rule: RuleStanza | None = None, **keys: Any) -> None:
        """Judge by this rule from here on, with these keys of [smtp]."""
        self.notes.records.clear()
        section = SmtpSection(**{"next_hop": self.hop.address, "hold_next_hop": self.hold.address, **QUICK, **keys})
        self.door.gate = make_gate(settings_of(rule or Found(), smtp=section), self.notes)

    def client(self) -> SmtpClient:
        return SmtpClient(self.door.port)

    def send(self, data: bytes = SMALL, rcpts: Sequence[str] = (ALICE,)) -> Outcome:
        """Send one mail over a connection of its own."""
        with self.client() as client:
            hello = client.ehlo()
            mail = client.mail(SENDER)
            if not mail.startswith("2"):
                return Outcome(hello, mail)
            replies = [client.rcpt(rcpt) for rcpt in rcpts]
            data_reply = client.data(data)
            client.send(b"QUIT\r\n")
            return Outcome(hello, mail, replies, data_reply)

    def commands(self) -> list[str]:
        """Return what the next hop was told, all connections together, greetings and goodbyes left out."""
        return [line for talk in self.hop.talks for line in talk.commands if line[:4] not in ("EHLO", "QUIT")]


QUICK = {"next_hop_connect_s": 2.0, "next_hop_reply_s": 2.0, "next_hop_final_s": 4.0}


@pytest.fixture(scope="module")
def one_system() -> Iterator[System]:
    with NextHop(strict=True) as hop, NextHop(strict=True) as hold:
        notes = Notes()
        section = SmtpSection(next_hop=hop.address, hold_next_hop=hold.address)
        # uvloop is the workers' loop; the other tests of this door run on asyncio's own.
        with SmtpDoor(make_gate(settings_of(Found(), smtp=section), notes), make_loop=uvloop.new_event_loop) as door:
            yield System(door, hop, hold, notes)


@pytest.fixture
def system(one_system: System) -> System:
    """The module's door and next hops, as new."""
    one_system.hop.script = one_system.hold.script = lambda stage, talk, line: ""
    one_system.hop.offers = OFFERS
    one_system.hop.clear()
    one_system.hold.clear()
    one_system.door.forget_offers()
    one_system.use()
    return one_system


def says(stage: str, reply: str, when: str = "") -> Script:
    """Return a script that says this at a stage, where `when` is in the command."""
    return lambda at, talk, line: reply if at == stage and when in line else ""


# -- whose replies the client reads ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "mail", "rcpts", "data"),
    [
        (says("MAIL", ""), "250 2.1.0 Ok", ["250 2.1.5 Ok"] * 2, "250 2.0.0 Ok: queued as 4Cw3Jx2yZz"),
        (says("MAIL", "550 5.1.8 Not you"), "550 5.1.8 Not you", [], None),
        (says("MAIL", "452-4.3.1 Full\r\n452 4.3.1 Later"), "452-4.3.1 Full\n452 4.3.1 Later", [], None),
        (
            says("RCPT", "550 5.1.1 <alice@hanam.gov.vn>: unknown", ALICE),
            "250 2.1.0 Ok",
            ["550 5.1.1 <alice@hanam.gov.vn>: unknown", "250 2.1.5 Ok"],
            "250 2.0.0 Ok: queued as 4Cw3Jx2yZz",
        ),
        (
            says("RCPT", "450 4.2.0 Later"),
            "250 2.1.0 Ok",
            ["450 4.2.0 Later"] * 2,
            "554 5.5.1 No valid recipients",
        ),
        (says("DATA", "452 4.3.1 Full"), "250 2.1.0 Ok", ["250 2.1.5 Ok"] * 2, "452 4.3.1 Full"),
        (says("END", "554 5.7.1 Spam"), "250 2.1.0 Ok", ["250 2.1.5 Ok"] * 2, "554 5.7.1 Spam"),
        (says("END", "451 4.3.0 Try again"), "250 2.1.0 Ok", ["250 2.1.5 Ok"] * 2, "451 4.3.0 Try again"),
        # 421 is the next hop's goodbye to us, and not ours to the client.
        (says("MAIL", "421 4.3.2 Down"), "451 4.3.2 Down", [], None),
        (says("RCPT", "421 4.3.2 Down", ALICE), "250 2.1.0 Ok", ["451 4.3.2 Down"] * 2, "451 4.3.2 Down"),
        (says("END", "421 4.3.2 Down"), "250 2.1.0 Ok", ["250 2.1.5 Ok"] * 2, "451 4.3.2 Down"),
    ],
)
def test_the_client_reads_what_the_next_hop_said(
    system: System, script: Script, mail: str, rcpts: Sequence[str], data: str | None
) -> None:
    system.hop.script = script
    outcome = system.send(rcpts=(ALICE, BOB))
    assert (outcome.mail, outcome.rcpts, outcome.data) == (mail, rcpts, data)
    taken = [bob for bob, reply in zip((ALICE, BOB), rcpts, strict=False) if reply.startswith("2")]
    delivered = [(taken_mail.recipients, taken_mail.data) for taken_mail in system.hop.mails()]
    assert delivered == ([(tuple(taken), SMALL)] if data and data.startswith("2") else [])


STAGES = ("CONNECT", "MAIL", "RCPT", "DATA", "END")
ENDLESS = "250-x\r\n" * 9_000 + "250 x"
FAILURES = [
    *product(STAGES, (DROP, STALL, "hello", "99 x", "999 x", "150 x")),
    *product(STAGES[1:], (ENDLESS,)),
    ("MAIL", "354 x"),
    ("DATA", "250 2.0.0 Ok"),
    ("DATA", "350 x"),
    ("MAIL", "250 2.1.0 Ok\r\n250 2.1.0 Ok"),  # more replies than commands: whose is the next one?
    ("DATA", "354 Go\r\n250 2.0.0 Taken"),
    ("RCPT", "250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n354 Go"),
    ("END", "354 x"),
    ("END", KEEP_AND_DROP),
]


@pytest.mark.parametrize(("stage", "failure"), FAILURES, ids=[f"{stage} {said[:20]}" for stage, said in FAILURES])
def test_a_next_hop_that_fails_is_a_deferral(system: System, stage: str, failure: str) -> None:
    system.use(next_hop_connect_s=0.3, next_hop_reply_s=0.3, next_hop_final_s=0.3)
    system.hop.script = says(stage, failure)
    outcome = system.send()
    assert re.match(r"451 4\.4\.[12] ", outcome.final), outcome
    system.hop.script = says("", "")
    assert system.send().status == "250 2.0.0", "the next mail"
    is_kept_all_the_same = stage == "END" and failure in (KEEP_AND_DROP, ENDLESS)
    assert len(system.hop.mails()) == 1 + is_kept_all_the_same


def test_an_answer_before_the_end_is_not_taken_for_the_final_one(system: System) -> None:
    def refuse_after_praise(stage: str, talk: Talk, line: str) -> str:
        return {"DATA": "354 Go\r\n250 2.0.0 Taken", "END": "554 5.7.1 No"}.get(stage, "")

    system.hop.script = refuse_after_praise
    assert system.send().status == "451 4.4.2"
    assert not system.hop.mails()


def test_who_was_taken_before_the_next_hop_went_away_gets_the_mail(system: System) -> None:
    system.hop.script = says("RCPT", DROP, BOB)
    outcome = system.send(rcpts=(ALICE, BOB, "carol@hanam.gov.vn"))
    assert [status_of(reply) for reply in outcome.rcpts] == ["250 2.1.5", "451 4.4.2", "451 4.4.2"]
    assert outcome.status == "250 2.0.0"
    assert [mail.recipients for mail in system.hop.mails()] == [(ALICE,)]


def test_a_next_hop_that_is_down_is_a_deferral(system: System) -> None:
    system.use(next_hop=f"inet:127.0.0.1:{free_port()}")
    outcome = system.send()
    assert outcome.hello.startswith("250")
    assert status_of(outcome.final) == "451 4.4.1"


def test_a_next_hop_that_hung_up_meanwhile_is_asked_anew(system: System) -> None:
    with system.client() as client:
        client.ehlo()
        for _ in range(2):  # over a connection that was closed after the mail before, or after EHLO
            hop_talks = len(system.hop.talks)
            client.mail(SENDER)
            client.rcpt(ALICE)
            system.hop.hang_up()
            assert status_of(client.data(SMALL)) == "250 2.0.0"
            assert len(system.hop.talks) > hop_talks
            system.hop.hang_up()
    assert len(system.hop.mails()) == 2


def test_many_mails_go_over_one_connection(system: System) -> None:
    with system.client() as client:
        client.ehlo()
        for number in range(3):
            assert client.mail(SENDER).startswith("250")
            client.rcpt(f"{number}@hanam.gov.vn")
            assert status_of(client.data(SMALL)) == "250 2.0.0"
    assert [mail.recipients for mail in system.hop.mails()] == [(f"{number}@hanam.gov.vn",) for number in range(3)]
    assert len(system.hop.talks) == 1


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "END"])
@pytest.mark.parametrize("reply", ["450 4.7.1 Later", "550 5.7.1 Never", "421 4.3.2 Stopping", DROP])
def test_after_a_failure_the_next_mail_of_the_client_is_as_any_other(system: System, stage: str, reply: str) -> None:
    with system.client() as client:
        client.ehlo()
        system.hop.script = says(stage, reply)
        client.mail(SENDER)
        client.rcpt(ALICE)
        client.data(SMALL)
        client.command("RSET")
        system.hop.script = says("", "")
        replies = client.mail(SENDER), client.rcpt(BOB), client.data(SMALL)
        assert [status_of(reply) for reply in replies] == ["250 2.1.0", "250 2.1.5", "250 2.0.0"]
    assert [mail.recipients for mail in system.hop.mails()][-1] == (BOB,)


def test_a_next_hop_that_knows_helo_alone(system: System) -> None:
    system.hop.script = says("EHLO", "502 5.5.2 What")
    with system.client() as client:
        assert offered(client.ehlo()) == ["PIPELINING", "SIZE", "XFORWARD"]
        client.mail(SENDER, "SIZE=100")
        client.rcpt(ALICE)
        assert client.data(SMALL).startswith("250")
    assert system.commands() == ["HELO mx.hanam.gov.vn", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{ALICE}>", "DATA"]


# -- what the verdict does -------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["mail", "body", "end"])
@pytest.mark.parametrize(("action", "status"), [(Action.REJECT, "550 5.7.1"), (Action.TEMPFAIL, "451 4.7.1")])
def test_a_refusal_is_said_and_the_next_hop_sent_no_data(
    system: System, stage: str, action: Action, status: str
) -> None:
    reply = "451 4.7.1 Later" if action is Action.TEMPFAIL else ""
    system.use(Found(stage=stage, action=action, reply=reply))
    outcome = system.send()
    assert outcome.status == status
    assert len(outcome.final.split("\n")) == (2 if action is Action.REJECT else 1)
    assert "(case " in outcome.final
    assert "DATA" not in system.commands()
    assert len(system.notes.records) == 1


def test_after_a_refusal_the_next_hop_begins_anew(system: System) -> None:
    system.use(Found(action=Action.REJECT))
    with system.client() as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(ALICE)
        assert status_of(client.data(SMALL)) == "550 5.7.1"
        system.use()
        client.mail(SENDER)
        client.rcpt(BOB)
        assert status_of(client.data(SMALL)) == "250 2.0.0"
    (mail,) = system.hop.mails()
    assert mail.recipients == (BOB,)
    assert system.commands() == [
        f"MAIL FROM:<{SENDER}>",
        f"RCPT TO:<{ALICE}>",
        "RSET",
        f"MAIL FROM:<{SENDER}>",
        f"RCPT TO:<{BOB}>",
        "DATA",
    ]


def test_a_recipient_refused_at_rcpt_is_not_said_to_the_next_hop(system: System) -> None:
    system.use(Found(stage="rcpt", recipient=ALICE, action=Action.REJECT))
    outcome = system.send(rcpts=(ALICE, BOB))
    assert [status_of(reply) for reply in outcome.rcpts] == ["550 5.7.1", "250 2.1.5"]
    assert outcome.status == "250 2.0.0"
    assert f"RCPT TO:<{ALICE}>" not in system.commands()


def test_a_recipient_refused_at_the_end_is_left_out(system: System) -> None:
    system.use(Found(recipient=ALICE, action=Action.REJECT))
    assert system.send(rcpts=(ALICE, BOB)).status == "250 2.0.0"
    (mail,) = system.hop.mails()
    assert (mail.recipients, mail.data) == ((BOB,), SMALL)
    assert system.commands()[3:] == ["RSET", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{BOB}>", "DATA"]


def test_a_next_hop_that_then_refuses_whom_it_took_defers_the_mail(system: System) -> None:
    system.use(Found(recipient=ALICE, action=Action.REJECT))

    def refuse_later(stage: str, talk: Talk, line: str) -> str:
        return "550 5.1.1 No" if stage == "RCPT" and "RSET" in talk.commands else ""

    system.hop.script = refuse_later
    assert system.send(rcpts=(ALICE, BOB)).status == "451 4.4.0"
    assert not system.hop.mails()


def test_what_is_found_of_a_recipient_whom_the_next_hop_refuses_is_forgotten(system: System) -> None:
    system.use(Found(stage="rcpt", recipient=ALICE, action=Action.DISCARD))
    system.hop.script = says("RCPT", "550 5.1.1 No", ALICE)
    assert system.send(rcpts=(ALICE, BOB)).status == "250 2.0.0"
    assert [mail.recipients for mail in system.hop.mails()] == [(BOB,)]


def test_discard_is_taken_and_goes_nowhere(system: System) -> None:
    system.use(Found(action=Action.DISCARD))
    assert system.send().status == "250 2.0.0"
    assert not system.hop.mails()
    assert "DATA" not in system.commands()


@pytest.mark.parametrize(
    ("script", "status", "held"),
    [
        (says("", ""), "250 2.0.0", 1),
        (says("RCPT", "550 5.1.1 No"), "451 4.4.0", 0),
        (says("END", "452 4.3.1 Full"), "452 4.3.1", 0),
        (says("END", DROP), "451 4.4.2", 0),
    ],
)
def test_what_is_quarantined_goes_to_the_hop_that_holds(
    system: System, script: Script, status: str, held: int
) -> None:
    system.use(Found(action=Action.QUARANTINE))
    system.hold.script = script
    assert system.send(rcpts=(ALICE, BOB)).status == status
    assert [mail.recipients for mail in system.hold.mails()] == [(ALICE, BOB)] * held
    assert not system.hop.mails()


def test_without_a_hop_that_holds_quarantine_is_a_deferral(system: System) -> None:
    system.use(Found(action=Action.QUARANTINE), hold_next_hop="")
    assert system.send().status == "451 4.7.1"
    assert not system.hop.mails()


@pytest.mark.parametrize("stage", ["mail", "rcpt", "body", "end"])
def test_an_error_of_our_own_is_a_deferral_with_an_incident(system: System, stage: str) -> None:
    system.use(Found(stage=stage, recipient=ALICE, breaks=True))
    outcome = system.send()
    assert outcome.status == "451 4.3.0", outcome
    assert len(system.notes.records) == 1
    assert "DATA" not in system.commands()
    assert not system.hop.mails()


def test_after_an_error_of_our_own_the_session_goes_on(system: System) -> None:
    system.use(Found(stage="mail", breaks=True))
    with system.client() as client:
        client.ehlo()
        assert status_of(client.mail(SENDER)) == "451 4.3.0"
        system.use()
        assert status_of(client.mail(SENDER)) == "250 2.1.0"


def test_attachments_of_a_finding_are_on_record_with_their_hash(system: System) -> None:
    system.use(Found(action=Action.REJECT))
    file = bytes(range(256)) * 2_000
    assert system.send(letter_with(file)).status == "550 5.7.1"
    (attachment,) = system.notes.records[0]["attachments"]
    assert attachment["sha256"] == hashlib.sha256(file).hexdigest()


# -- octets ----------------------------------------------------------------------------------------

BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


@pytest.mark.parametrize("headers", [(), ((b"X-Mailgate-Test", b"yes"),)])
def test_every_octet_arrives_as_it_came(system: System, headers: tuple[Header, ...]) -> None:
    system.use(Found(headers=headers))
    added = b"".join(b"%s: %s\r\n" % header for header in headers)
    with system.client() as client:
        client.ehlo()
        for name, data in SAMPLES.items():
            if BARE.search(data):
                continue
            system.hop.clear()
            client.mail(SENDER, "BODY=8BITMIME")
            client.rcpt(ALICE)
            assert status_of(client.data(data)) == "250 2.0.0", name
            (mail,) = system.hop.mails()
            assert mail.data == added + data, name


@pytest.mark.parametrize("name", [name for name, data in SAMPLES.items() if BARE.search(data)])
def test_a_lone_carriage_return_is_refused(system: System, name: str) -> None:
    with system.client() as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(ALICE)
        assert status_of(client.data(SAMPLES[name])) == "554 5.6.0"
        with pytest.raises(ConnectionError):
            client.command("NOOP")
    assert "DATA" not in system.commands()


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", b"X-A: b\r\n"),
        (b"\r\nx\r\n", b"X-A: b\r\n\r\nx\r\n"),
        (b"x\r\n", b"X-A: b\r\nx\r\n"),
        (b" x\r\n", b"X-A: b\r\n\r\n x\r\n"),
        (b"From a@b Tue\r\nA: b\r\n\r\n", b"From a@b Tue\r\nX-A: b\r\nA: b\r\n\r\n"),
        (b".\r\n..\r\n", b"X-A: b\r\n.\r\n..\r\n"),
    ],
)
def test_a_header_is_added_at_the_top(system: System, data: bytes, wanted: bytes) -> None:
    system.use(Found(headers=((b"X-A", b"b"),)))
    with system.client() as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(ALICE)
        client.command("DATA")
        client.send((b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        assert status_of(client.reply()) == "250 2.0.0"
    (mail,) = system.hop.mails()
    assert mail.data == wanted


def test_the_scanner_is_shown_the_octets_as_they_came(system: System) -> None:
    system.use()
    gate = make_gate(system.door.gate.settings, system.notes, scans=())
    system.door.gate = gate
    system.notes.scanned.clear()
    odd = b"X-Space : y\r\nX-Folded: a\r\n \t\r\n b\r\nno field\r\n\r\nx\r\n"
    assert system.send(odd).status == "250 2.0.0"
    assert system.notes.scanned == [odd]


# -- extensions ------------------------------------------------------------------------------------


def offered(hello: str) -> list[str]:
    return [line[4:].partition(" ")[0] for line in hello.split("\n")[1:]]


@pytest.mark.parametrize(
    ("offers", "wanted"),
    [
        (OFFERS, ["PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "XFORWARD"]),
        (("HELP", "DSN"), ["PIPELINING", "SIZE", "DSN", "XFORWARD"]),
        (("STARTTLS", "CHUNKING", "AUTH PLAIN"), ["PIPELINING", "SIZE", "XFORWARD"]),
    ],
)
def test_ehlo_offers_what_the_next_hop_offers_too(
    system: System, offers: Sequence[str], wanted: Sequence[str]
) -> None:
    system.hop.offers = offers
    with system.client() as client:
        assert offered(client.ehlo()) == wanted


@pytest.mark.parametrize(
    ("offer", "size"),
    [
        ("SIZE", 31_457_280),
        ("SIZE 0", 31_457_280),
        ("SIZE 1000", 1_000),
        ("SIZE 99999999", 31_457_280),
        ("SIZE ²", 31_457_280),
    ],
)
def test_size_is_the_lesser_limit(system: System, offer: str, size: int) -> None:
    system.hop.offers = (offer,)
    with system.client() as client:
        assert f"250-SIZE {size}" in client.ehlo().split("\n")


DSN = ("RET=HDRS", "ENVID=QQ314159"), ("NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Bob+40hanam.gov.vn")


def test_dsn_is_passed_on_as_it_is(system: System) -> None:
    with system.client() as client:
        client.ehlo()
        assert client.mail(SENDER, *DSN[0]).startswith("250")
        assert client.rcpt(BOB, *DSN[1]).startswith("250")
        assert client.data(SMALL).startswith("250")
    assert system.commands() == [
        " ".join((f"MAIL FROM:<{SENDER}>", *DSN[0])),
        " ".join((f"RCPT TO:<{BOB}>", *DSN[1])),
        "DATA",
    ]


def test_smtputf8_is_passed_on_as_it_is(system: System) -> None:
    with system.client() as client:
        client.ehlo("máy.vn")
        assert client.mail("lan@hànam.vn", "SMTPUTF8", "BODY=8BITMIME", "SIZE=100").startswith("250")
        assert client.rcpt("hợp@hanam.gov.vn").startswith("250")
        assert client.data("Subject: Kính gửi\r\n\r\nx\r\n".encode()).startswith("250")
    (mail,) = system.hop.mails()
    assert (mail.sender, mail.recipients) == ("lan@hànam.vn", ("hợp@hanam.gov.vn",))
    assert system.commands()[0] == "MAIL FROM:<lan@hànam.vn> SMTPUTF8 BODY=8BITMIME SIZE=100"


@pytest.mark.parametrize("parameter", [*DSN[0], "SMTPUTF8", "BODY=8BITMIME", "AUTH=<>", "FUTURE"])
def test_a_parameter_that_is_not_offered_is_refused(system: System, parameter: str) -> None:
    system.hop.offers = ("SIZE 0",)
    with system.client() as client:
        client.ehlo()
        assert status_of(client.mail(SENDER, parameter)) == "555 5.5.4"
        assert client.mail(SENDER).startswith("250")
        assert status_of(client.rcpt(ALICE, DSN[1][0])) == "555 5.5.4"


def test_what_the_next_hop_offers_no_more_is_a_deferral(system: System) -> None:
    with system.client() as client:
        client.ehlo()
    system.hop.offers = ("PIPELINING",)
    with system.client() as client:
        assert "DSN" in offered(client.ehlo()), "as it was when it was last asked"
        assert status_of(client.mail(SENDER, *DSN[0])) == "451 4.3.2"
        assert client.mail(SENDER, "SIZE=100").startswith("250")
        assert "DSN" not in offered(client.ehlo())
    assert f"MAIL FROM:<{SENDER}>" in system.commands(), "SIZE is for a next hop that knows it"


def test_xforward_says_whose_mail_it_is(system: System) -> None:
    system.use(Found(action=Action.DISCARD))
    with system.client() as client:
        client.ehlo()
        assert client.command("XFORWARD NAME=mail.example.com ADDR=203.0.113.7 PORT=5").startswith("250")
        assert client.command("XFORWARD PROTO=ESMTP HELO=a+20b IDENT=4Cw3Jx2yZz SOURCE=REMOTE").startswith("250")
        for _ in range(2):  # the second without a word of its client
            client.mail(SENDER)
            client.rcpt(ALICE)
            assert client.data(SMALL).startswith("250")
    first, second = system.notes.records
    assert (first["client_ip"], first["client_name"], first["queue_id"]) == (
        "203.0.113.7",
        "mail.example.com",
        "4Cw3Jx2yZz",
    )
    assert (second["client_ip"], second["client_name"]) == ("127.0.0.1", "")
    assert system.commands()[:2] == [
        "XFORWARD NAME=mail.example.com ADDR=203.0.113.7 PORT=5",
        "XFORWARD PROTO=ESMTP HELO=a+20b IDENT=4Cw3Jx2yZz SOURCE=REMOTE",
    ]


def test_xforward_is_for_whom_it_is_configured(system: System) -> None:
    system.use(xforward_networks=["192.0.2.0/24"])
    with system.client() as client:
        assert "XFORWARD" not in offered(client.ehlo())
        assert status_of(client.command("XFORWARD ADDR=203.0.113.7")) == "550 5.7.1"


# -- order and limits ------------------------------------------------------------------------------


MAIL, RCPT = "MAIL FROM:<a@b.c>", "RCPT TO:<b@hanam.gov.vn>"


# Commands in order, after `->` the status of each reply.
@pytest.mark.parametrize(
    "talk",
    [
        (MAIL, RCPT, "DATA", "NOOP", "-> 503 5.5.1, 503 5.5.1, 503 5.5.1, 250 2.0.0"),
        ("EHLO x", RCPT, "DATA", "RSET", "-> 250, 503 5.5.1, 503 5.5.1, 250 2.0.0"),
        ("EHLO x", MAIL, MAIL, "DATA", "-> 250, 250 2.1.0, 503 5.5.1, 554 5.5.1"),
        ("EHLO x", MAIL, "EHLO x", "DATA", "-> 250, 250 2.1.0, 250, 503 5.5.1"),
        ("EHLO x", MAIL, "RSET", RCPT, "-> 250, 250 2.1.0, 250 2.0.0, 503 5.5.1"),
        ("EHLO x", MAIL, "XFORWARD ADDR=192.0.2.1", "-> 250, 250 2.1.0, 503 5.5.1"),
        ("EHLO", "HELO", "EHLO x", "-> 501 5.5.4, 501 5.5.4, 250"),
        ("HELO x", MAIL + " SIZE=1 BODY=8BITMIME", MAIL, "-> 250, 555 5.5.4, 250 2.1.0"),
        ("EHLO x", "MAIL FROM:a@b.c", "MAIL <a@b.c>", "MAIL FROM:<>", "-> 250, 501 5.5.4, 501 5.5.4, 250 2.1.0"),
        ("EHLO x", MAIL, "RCPT TO:<>", "RCPT TO:x", RCPT, "-> 250, 250 2.1.0, 501 5.1.3, 501 5.5.4, 250 2.1.5"),
        ("EHLO x", MAIL, RCPT, "DATA x", "-> 250, 250 2.1.0, 250 2.1.5, 501 5.5.4"),
        ("XYZZY", "STARTTLS", "AUTH PLAIN", "NOOP", "-> 500 5.5.2, 502 5.5.2, 502 5.5.2, 250 2.0.0"),
        ("VRFY x", "EXPN x", "HELP", "noop", "QUIT", "-> 252 2.0.0, 502 5.5.2, 214 2.0.0, 250 2.0.0, 221 2.0.0"),
        ("", " ", "NOOP", "-> 500 5.5.2, 500 5.5.2, 250 2.0.0"),
        ("EHLO x", "MAIL FROM:<a\0@b.c>", MAIL + "\tSIZE=1", MAIL, "-> 250, 500 5.5.2, 500 5.5.2, 250 2.1.0"),
        ("NOOP " + "x" * 2_043, "NOOP " + "x" * 2_044, "NOOP", "-> 250 2.0.0, 500 5.5.2, 250 2.0.0"),
        ("NOOP " + "x" * 300_000, "NOOP", "-> 500 5.5.2, 250 2.0.0"),
    ],
    ids=lambda talk: talk[-1],
)
def test_commands_out_of_order_and_malformed(system: System, talk: Sequence[str]) -> None:
    *commands, statuses = talk
    with system.client() as client:
        assert ", ".join(status_of(client.command(command)) for command in commands) == statuses.removeprefix("-> ")


@pytest.mark.parametrize("word", ["BDAT 10 LAST", "GET / HTTP/1.1", "POST / HTTP/1.1"])
def test_words_of_another_protocol_end_the_connection(system: System, word: str) -> None:
    with system.client() as client:
        assert status_of(client.command(word)) in ("500 5.5.2", "502 5.5.2")
        with pytest.raises(ConnectionError):
            client.command("NOOP")


@pytest.mark.parametrize("line", [b"NOOP\nNOOP\r\n", b"NOOP\n", b"NOOP\rNOOP\r\n", b"NO\rOP\n", b"\n", b"NOOP\r\r\n"])
def test_a_command_that_a_lone_cr_or_lf_ends_is_refused_and_nothing_after_it_heard(
    system: System, line: bytes
) -> None:
    with system.client() as client:
        client.send(line + b"EHLO x\r\nMAIL FROM:<a@b.c>\r\n")
        assert status_of(client.reply()) == "500 5.5.2"
        with pytest.raises(ConnectionError):
            client.reply()
    assert not system.commands()


def test_pipelined_commands_are_answered_in_order(system: System) -> None:
    system.hop.script = says("RCPT", "550 5.1.1 No", ALICE)
    with system.client() as client:
        client.ehlo()
        client.send(
            f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{ALICE}>\r\nRCPT TO:<{BOB}>\r\nXYZZY\r\nRSET\r\n"
            f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n".encode()
        )
        replies = ", ".join(status_of(client.reply()) for _ in range(8))
        assert replies == "250 2.1.0, 550 5.1.1, 250 2.1.5, 500 5.5.2, 250 2.0.0, 250 2.1.0, 250 2.1.5, 354"
        client.send(SMALL + b".\r\nQUIT\r\n")
        assert [status_of(client.reply()) for _ in range(2)] == ["250 2.0.0", "221 2.0.0"]
    assert [mail.recipients for mail in system.hop.mails()] == [(BOB,)]


def test_what_comes_with_data_is_neither_message_nor_command(system: System) -> None:
    with system.client() as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(ALICE)
        client.send(b"DATA\r\n" + SMALL + b".\r\n")
        assert status_of(client.reply()) == "503 5.5.0"
        with pytest.raises(ConnectionError):
            client.reply()
    assert not system.hop.mails()


@pytest.mark.parametrize(
    ("keys", "arguments", "data", "status"),
    [
        ({"message_bytes": 65_536}, ("SIZE=65536",), b"x" * 65_534, "250 2.0.0"),
        ({"message_bytes": 65_536}, ("SIZE=65537",), b"", "552 5.3.4"),
        ({"message_bytes": 65_536}, (), b"x" * 65_535, "552 5.3.4"),
        ({"message_bytes": 65_536}, (), b"x\r\n" * 50_000, "552 5.3.4"),
        ({"line_bytes": 998}, (), b"x" * 998, "250 2.0.0"),
        ({"line_bytes": 998}, (), b"x" * 999, "554 5.6.0"),
        ({}, (), b"Subject: x\r\n\r\n" + b"x" * 1_048_576, "250 2.0.0"),
        ({}, (), b"Subject: x\r\n\r\n" + b"x" * 1_048_577, "554 5.6.0"),
        ({}, (), b"A: b\r\n" * 160_000, "250 2.0.0"),
        ({}, (), b"A: b\r\n" * 180_000, "552 5.3.4"),
        ({}, (), b"A: b\r\n" * 180_000 + b"\r\nx\r\n", "552 5.3.4"),
        ({}, (), b"no header\r\n" * 180_000, "250 2.0.0"),
    ],
)
def test_a_message_and_its_lines_have_their_limits(
    system: System, keys: Mapping[str, Any], arguments: Sequence[str], data: bytes, status: str
) -> None:
    system.use(**keys)
    with system.client() as client:
        client.ehlo()
        replies = [client.mail(SENDER, *arguments)]
        if data:
            replies += [client.rcpt(ALICE), client.data(data)]
        assert status_of(replies[-1]) == status, replies
        assert client.command("RSET").startswith("250"), "the session goes on"
    assert len(system.hop.mails()) == (status == "250 2.0.0")


def test_a_message_without_any_measure_is_not_read_to_its_end(system: System) -> None:
    system.use(message_bytes=65_536)
    with system.client() as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(ALICE)
        client.command("DATA")
        client.send(b"x" * 300_000)
        assert status_of(client.reply()) == "552 5.3.4"


def test_a_mail_has_so_many_recipients(system: System) -> None:
    system.use(recipients=100)
    with system.client() as client:
        client.ehlo()
        client.mail(SENDER)
        replies = [status_of(client.rcpt(f"{number}@hanam.gov.vn")) for number in range(102)]
        assert replies == ["250 2.1.5"] * 100 + ["452 4.5.3"] * 2
        assert status_of(client.data(SMALL)) == "250 2.0.0"
    assert len(system.hop.mails()[0].recipients) == 100


def test_a_client_has_so_many_errors(system: System) -> None:
    system.use(errors=3)
    with system.client() as client:
        assert [status_of(client.command("XYZZY")) for _ in range(3)] == ["500 5.5.2", "500 5.5.2", "421 4.7.0"]
        with pytest.raises(ConnectionError):
            client.command("NOOP")


def test_a_refused_mail_with_all_that_came_with_it_is_no_error(system: System) -> None:
    system.use(errors=1)
    system.hop.script = says("MAIL", "450 4.7.1 Later")
    with system.client() as client:
        client.ehlo()
        for _ in range(3):
            client.send(f"{MAIL}\r\n{RCPT}\r\nDATA\r\n".encode())
            assert [status_of(client.reply()) for _ in range(3)] == ["450 4.7.1", "503 5.5.1", "503 5.5.1"]


def test_a_door_has_so_many_connections(system: System) -> None:
    wait_until(lambda: not system.door.open_connections(), 5, "earlier connections to end")
    system.use(connections=2)
    with system.client(), system.client() as second:
        assert second.greeting.startswith("220")
        with system.client() as third:
            assert status_of(third.greeting) == "421 4.3.2"
    wait_until(lambda: not system.door.open_connections(), 5, "the connections to end")
    with system.client() as client:
        assert client.greeting.startswith("220")


@pytest.mark.parametrize("before", [(), ("EHLO x",), ("EHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<a@b.c>", "DATA")])
def test_a_silent_client_is_told_to_go(system: System, before: Sequence[str]) -> None:
    system.use(idle_s=0.3)
    with system.client() as client:
        for command in before:
            client.command(command)
        assert status_of(client.reply()) == "421 4.4.2"
        with pytest.raises(ConnectionError):
            client.reply()
    assert not system.hop.mails()


@pytest.mark.parametrize(
    ("before", "octets"),
    [((), b"NOOP" * 100), (("EHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<a@b.c>", "DATA"), b"Subject: x" * 100)],
    ids=["a command", "a message"],
)
def test_a_client_that_sends_an_octet_now_and_then_is_told_to_go(
    system: System, before: Sequence[str], octets: bytes
) -> None:
    system.use(idle_s=1.0, command_s=0.5, data_rate=10_000)
    with system.client() as client:
        for command in before:
            client.command(command)
        sent = 0
        for octet in octets:
            client.send(bytes([octet]))
            sent += 1
            if client.has_reply(0.05):  # each octet comes well within idle_s
                break
        assert 5 < sent < len(octets)
        assert status_of(client.reply()) == "421 4.4.2"
    assert not system.hop.mails()


def test_a_client_that_reads_no_reply_is_dropped(system: System) -> None:
    system.use(idle_s=0.3)
    with socket.create_connection(("127.0.0.1", system.door.port), 20) as client, pytest.raises(ConnectionError):
        client.sendall(b"HELP\r\n" * 2_000_000)


@pytest.mark.parametrize("cut", [0, 5, 20, len(SMALL)])
def test_a_client_that_hangs_up_in_the_message_has_sent_none(system: System, cut: int) -> None:
    with system.client() as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(ALICE)
        client.command("DATA")
        client.send(SMALL[:cut])
    wait_until(lambda: not system.door.open_connections(), 5, "the connection to end")
    assert "DATA" not in system.commands()


# -- anything at all -------------------------------------------------------------------------------

WORDS = [
    *(b"MAIL FROM:<a@b.c>", b"RCPT TO:<a@hanam.gov.vn>", b"DATA") * 8,
    *(b"EHLO x", b"HELO x", b"MAIL FROM:<a@b.c>", b"MAIL FROM:<>", b"MAIL FROM:<a@b.c> SIZE=99 RET=FULL SMTPUTF8"),
    *(b"RCPT TO:<a@hanam.gov.vn>", b"RCPT TO:<b@hanam.gov.vn> NOTIFY=NEVER", b"DATA", b"DATA", b"RSET", b"NOOP"),
    *(b"XFORWARD ADDR=192.0.2.1 NAME=x", b"XFORWARD IDENT=[UNAVAILABLE]", b"VRFY", b"QUIT", b"BDAT 3 LAST"),
    *(b"Subject: x", b"", b".", b"..", b" x", b"From x", b"x" * 3_000, b"\x00", b"\xff\xfe", b"a\nb", b"a\rb"),
]  # fmt: skip


def hearsay(client: SmtpClient, chance: random.Random) -> None:
    """Talk as one who knows SMTP by hearsay, until the door has enough."""
    reply = client.ehlo()
    for _ in range(chance.randrange(40)):
        if reply.startswith("354"):
            lines = [*chance.choices(WORDS, k=chance.randrange(6)), b"."]
        else:
            lines = [chance.choice(WORDS)]
            if lines[0] and chance.random() < 0.05:
                octets = bytearray(lines[0])
                octets[chance.randrange(len(octets))] = chance.randrange(256)
                lines = [bytes(octets)]
        client.send(b"".join(line + b"\r\n" for line in lines))
        reply = client.reply()


def test_no_talk_is_an_error_of_our_own(system: System, capfd: pytest.CaptureFixture[str]) -> None:
    system.use(errors=100)
    chance = random.Random(5_321)
    for _ in range(1_000):
        with system.client() as client, contextlib.suppress(ConnectionError):
            hearsay(client, chance)
    assert system.notes.records == []
    assert "own error" not in "".join(capfd.readouterr())
    assert all(mail.recipients for mail in system.hop.mails())
    assert len(system.hop.mails()) > 50, "some of it was mail"
    assert system.send().status == "250 2.0.0"


@pytest.mark.parametrize(
    ("reply", "counted"),
    [("250 2.0.0 Ok", 1), ("550 5.7.1 Not here", 0), ("451 4.3.0 Later", 0), (DROP, 0)],
    ids=["taken", "refused", "deferred", "dropped"],
)
def test_a_mail_counts_once_the_next_hop_has_taken_it(system: System, reply: str, counted: int) -> None:
    system.notes.events.clear()
    system.hop.script = says("END", reply)
    outcome = system.send(rcpts=["ptp.bl@hanam.gov.vn"])
    assert outcome.final.startswith("2") is bool(counted)
    assert len(system.notes.events) == counted
