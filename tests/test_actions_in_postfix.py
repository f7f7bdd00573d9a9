"""Each action of a verdict as a real Postfix carries it out: its reply, its log, its queue, what arrives."""

import re
from collections.abc import Iterator

import pytest
from tests.lab.clamd import EICAR, Clamd
from tests.lab.mails import LIMIT_BYTES, OFFICE, OFFICER, OUTSIDER, letter, letter_with
from tests.lab.ports import free_port
from tests.lab.rspamd import GTUBE, GTUBE_ADD_HEADER, Rspamd
from tests.lab.smtp_client import Outcome, send
from tests.lab.system import MailSystem, mail_system
from tests.lab.waiting import wait_until

CLIENT = r"from mail\.example\.com\[203\.0\.113\.7\]"
# Above Mailgate's limit for a whole mail, so that SIZE= is Mailgate's to judge.
GENEROUS = {"message_size_limit": "50000000"}


@pytest.fixture(scope="module")
def system(clamd: Clamd, rspamd: Rspamd) -> Iterator[MailSystem]:
    """A system with the default actions."""
    config = {"clamav": {"address": clamd.unix_address}, "spam": {"url": rspamd.url}}
    with mail_system(config, main_cf=GENEROUS) as running:
        yield running


@pytest.fixture(scope="module")
def other_actions(clamd: Clamd, rspamd: Rspamd) -> Iterator[MailSystem]:
    """A system that holds viruses and discards spam."""
    config = {
        "clamav": {"address": clamd.unix_address},
        "spam": {"url": rspamd.url},
        "rules": {"virus": {"action": "quarantine"}, "spam": {"actions": {"reject": "discard"}}},
    }
    with mail_system(config) as running:
        yield running


def queue_id(outcome: Outcome) -> str:
    """Return the queue id of an accepted mail."""
    match = re.fullmatch(r"250 2\.0\.0 Ok: queued as (\w+)", outcome.final)
    assert match, outcome
    return match[1]


def wait_log(system: MailSystem, pattern: str) -> None:
    """Wait for a line of Postfix's log that has the pattern in it."""
    wait_until(lambda: re.search(pattern, system.postfix.log_text()), timeout_s=5, what=f"{pattern} in Postfix's log")


def arrived(system: MailSystem, data: bytes) -> list[bytes]:
    """Return what of a mail has arrived by now, by its Message-ID."""
    wanted = re.search(rb"Message-ID: \S+", data)
    assert wanted
    return [mail.data for mail in system.sink.mails() if wanted[0] in mail.data]


def test_accept(system: MailSystem) -> None:
    data = letter()
    queued = queue_id(system.receive(OUTSIDER, [OFFICER], data))
    wait_log(system, f"{queued}: to=<{OFFICER}>.* status=sent")
    (mail,) = arrived(system, data)
    assert mail.endswith(data)
    assert b"X-Mailgate" not in mail


@pytest.mark.parametrize(
    ("data", "mail_args", "status", "stage", "log"),
    [
        (
            letter_with(EICAR),
            [],
            "550 5.7.1",
            "eom",
            rf"milter-reject: END-OF-MESSAGE {CLIENT}: 5\.7\.1 Virus found .*; from=<{OUTSIDER}>",
        ),
        (
            letter_with(bytes(LIMIT_BYTES), b"x"),
            [],
            "552 5.3.4",
            "body",
            rf"milter-reject: END-OF-MESSAGE {CLIENT}: 5\.3\.4 Attachments of \d+ bytes exceed",
        ),
        (
            letter(),
            ["SIZE=31457281"],
            "552 5.3.4",
            "mail",
            rf"NOQUEUE: milter-reject: MAIL {CLIENT}: 552.5\.3\.4 Message of 31457281 bytes",
        ),
    ],
    ids=["end of message", "body", "MAIL"],
)
def test_reject(system: MailSystem, data: bytes, mail_args: list[str], status: str, stage: str, log: str) -> None:
    seen = len(system.mailgate.incidents())
    outcome = send(
        system.postfix.smtp_port,
        OUTSIDER,
        [OFFICER],
        data,
        "203.0.113.7",
        "mail.example.com",
        mail_args=mail_args,
    )
    assert outcome.status == status
    wait_log(system, log)
    (incident,) = system.mailgate.incidents()[seen:]
    assert (incident["action"], incident["stage"]) == ("reject", stage)
    assert f"(case {incident['case']})" in outcome.final
    assert not arrived(system, data)


def test_a_header_is_added(system: MailSystem) -> None:
    data = letter(text=f"{GTUBE_ADD_HEADER}\n")
    queued = queue_id(system.receive(OUTSIDER, [OFFICER], data))
    wait_log(system, f"{queued}: to=<{OFFICER}>.* status=sent")
    (mail,) = arrived(system, data)
    head, _, body = mail.partition(b"\r\n\r\n")
    wanted_head, _, wanted_body = data.partition(b"\r\n\r\n")
    added = re.search(rb"\r\nX-Mailgate-Spam: action=add-header; score=[\d.]+; required=15\.00; symbols=.*", head)
    assert added
    assert head.replace(added[0], b"").endswith(wanted_head)
    assert body == wanted_body


def test_one_recipient_of_two_is_deleted(system: MailSystem) -> None:
    """Hard evidence names one of two recipients: he alone does not get the mail."""
    named, other = OFFICER, OFFICE
    data = letter(f"X-Forwarded-To: {named}", f"X-Forwarded-For: a@gmail.com {named}")
    seen = len(system.mailgate.incidents())
    queued = queue_id(system.receive(OUTSIDER, [named, other], data))
    wait_log(system, f"{queued}: to=<{other}>.* status=sent")
    wait_log(system, f"{queued}: removed")
    (mail,) = [mail for mail in system.sink.mails() if data in mail.data]
    assert mail.recipients == (other,)
    (incident,) = system.mailgate.incidents()[seen:]
    assert incident["kind"] == "recipient-refusal"
    assert list(incident["recipient_replies"]) == [named]


def test_quarantine(other_actions: MailSystem) -> None:
    data = letter_with(EICAR)
    queued = queue_id(other_actions.receive(OUTSIDER, [OFFICER], data))
    wait_log(other_actions, rf"{queued}: milter-hold: END-OF-MESSAGE {CLIENT}: milter triggers HOLD action")
    (held,) = [mail for mail in other_actions.postfix.queue() if mail["queue_id"] == queued]
    assert held["queue_name"] == "hold"
    assert not arrived(other_actions, data)


def test_discard(other_actions: MailSystem) -> None:
    data = letter(text=f"{GTUBE}\n")
    queued = queue_id(other_actions.receive(OUTSIDER, [OFFICER], data))
    wait_log(other_actions, rf"{queued}: milter-discard: END-OF-MESSAGE {CLIENT}: milter triggers DISCARD action")
    assert queued not in {mail["queue_id"] for mail in other_actions.postfix.queue()}
    assert not arrived(other_actions, data)


def test_tempfail_and_an_error_of_our_own() -> None:
    """A scanner that is away is 451 4.7.1; a verdict that cannot be recorded is 451 4.3.0 and a traceback."""
    with Clamd() as clamd, mail_system({"clamav": {"address": clamd.unix_address}}) as system:
        clamd.stop()
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "451 4.7.1"
        wait_log(system, rf"milter-reject: END-OF-MESSAGE {CLIENT}: 4\.7\.1 ")

        clamd.start()
        incidents = system.mailgate.folder / "incidents"
        kept = incidents.rename(incidents.with_name("incidents.kept"))
        incidents.write_text("a file where the folder should be")
        outcome = system.receive(OUTSIDER, [OFFICER], letter_with(EICAR))
        assert outcome.status == "451 4.3.0"
        wait_log(system, rf"milter-reject: END-OF-MESSAGE {CLIENT}: 4\.3\.0 Internal error")
        assert "Traceback (most recent call last)" in system.mailgate.wait_event("own error")["exception"]

        incidents.unlink()
        kept.rename(incidents)
        assert system.receive(OUTSIDER, [OFFICER], letter_with(EICAR)).status == "550 5.7.1"
        assert [incident["action"] for incident in system.mailgate.incidents()] == ["tempfail", "reject"]
        assert not system.sink.mails()


@pytest.mark.parametrize("copy_action", ["quarantine", "discard", "reject"])
def test_a_copy_that_an_alias_makes_is_seen_at_egress(copy_action: str) -> None:
    """No milter of an smtpd sees what an alias makes of a recipient; a refusal there is a bounce to the author."""
    milter = f"inet:127.0.0.1:{free_port()}"
    names = ("mx", "submission", "egress")
    config = {
        "listen": {"milter": [milter]},
        "hook": [{"name": name, "listener": milter, "daemon_name": name.upper()} for name in names],
        "rules": {"auto-forward": {"copy_action": copy_action}},
    }
    alias = {"virtual_alias_maps": f"inline:{{ {{ {OFFICER} = lan@gmail.com }} }}"}
    with mail_system(config, egress=True, main_cf=alias) as system:
        assert system.submit(OFFICE, ["lan@gmail.com"], letter(author=OFFICE)).status == "250 2.0.0"
        assert system.sink.wait(1)[0].recipients == ("lan@gmail.com",)
        queued = queue_id(system.receive(OUTSIDER, [OFFICER], letter()))
        dsn, status = ("5.7.1", "bounced") if copy_action == "reject" else ("2.0.0", "sent")
        wait_log(system, f"{queued}: to=<lan@gmail.com>, orig_to=<{OFFICER}>.* dsn={dsn}, status={status}")
        (incident,) = system.mailgate.incidents()
        (finding,) = incident["findings"]
        assert (incident["hook"], incident["action"]) == ("egress", copy_action)
        assert (finding["rule"], finding["direction"]) == ("auto-forward", "out")
        if copy_action == "reject":
            report = system.sink.wait(2)[1]
            assert (report.sender, report.recipients) == ("", (OUTSIDER,))
        held = [mail["queue_id"] for mail in system.postfix.queue() if mail["queue_name"] == "hold"]
        assert held == ([incident["queue_id"]] if copy_action == "quarantine" else [])
