"""What an administrator reads of forwarding: `forwards seen`, `forwards mechanisms`, `check`; and whom a mark
accuses."""

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.lab.commands import ALONE, MAILGATE, Run, one_line, runner, shown
from tests.lab.gates import NOTHING, make_gate, settings_of

from mailgate.doors.offline import Case, judge_case
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.incidents.forwards import forwards_seen
from mailgate.model import Action, Envelope, Evidence, Exemption, Finding, Mail, Memory, Mode, Session
from mailgate.notices import notice
from mailgate.policy import covers
from mailgate_rules.auto_forward import Stanza

OFFICER, OTHER, OUTSIDE = "ptp.bl@hanam.gov.vn", "stttt@hanam.gov.vn", "lan@gmail.com"
NOW = datetime.now(UTC)
IDENTITY = Identity(Organization(frozenset({"hanam.gov.vn"})))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return runner(tmp_path)


# -- what was seen --------------------------------------------------------------------------------------


def record(days_ago: float, mechanism: str, recipient: str, forwarder: str, **others: object) -> dict[str, object]:
    finding = {
        "rule": "auto-forward",
        "mode": "monitor",
        "action": "reject",
        "direction": "in",
        "recipient": recipient,
        "mechanism": mechanism,
        "forwarder": forwarder,
        "evidence": [{"kind": "header", "name": "X", "value": "y", "strength": "hard"}],
    }
    time = (NOW - timedelta(days=days_ago)).isoformat()
    return {"time": time, "case": f"C{days_ago}", "findings": [finding | others]}


def test_mails_are_counted_by_mechanism_mailbox_and_counterpart() -> None:
    soft = [{"kind": "header", "name": "X", "value": "y", "strength": "soft"}]
    out = {"direction": "out", "mode": "enforce"}
    seen = forwards_seen(
        [
            record(3, "Sieve redirect", OFFICER, "a@b.example"),
            record(1, "Sieve redirect", OFFICER, "a@b.example"),
            record(2, "Sieve redirect", OTHER, "a@b.example"),
            record(2, "Sieve redirect", OTHER, "c@b.example", evidence=soft),
            record(2, "Sieve redirect", OTHER, "d@b.example", exemption="12/QD"),
            record(2, "copy made by this mail system", OUTSIDE, OFFICER, **out),
            record(2, "another rule's", OUTSIDE, OFFICER, rule="spam"),
            record(2, "Sieve redirect", "", "", evidence=[]) | {"count": 40},
        ]
    )
    assert [(one.mechanism, one.mailbox, one.counterpart, one.count, one.refused, one.last_case) for one in seen] == [
        ("Sieve redirect", "(several)", "", 40, 0, "C2"),
        ("Sieve redirect", OFFICER, "a@b.example", 2, 0, "C1"),
        ("Sieve redirect", OTHER, "a@b.example", 1, 0, "C2"),
        ("copy made by this mail system", OFFICER, OUTSIDE, 1, 1, "C2"),
    ]


LETTER = (
    b"X-MS-Exchange-ForwardingLoop: hoa@congty.example;1\r\nTo: hoa@congty.example\r\n"
    b"From: c@x.example\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\nx\r\n"
)


def test_in_monitor_mode_it_is_seen_what_would_be_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(LETTER)
    config = ALONE + '[rules.auto-forward]\nmode = "monitor"\n[dns]\nservers = ["127.0.0.1:9"]\n'
    where = ("--client-ip", "203.0.113.7", "--from", "c@x.example", "--rcpt", OFFICER)
    done = run("check", "--record", *where, "a.eml", config=config)
    assert "verdict: accept" in done.stdout
    assert f"Microsoft 365 mailbox forwarding of hoa@congty.example to {OFFICER}" in done.stdout
    (row,) = shown(run("forwards", "seen", "--days", "1", "--format", "json", config=config))
    assert (row["mechanism"], row["mailbox"], row["counterpart"]) == (
        "Microsoft 365 mailbox forwarding",
        OFFICER,
        "hoa@congty.example",
    )
    assert (row["count"], row["refused"], bool(row["last_case"])) == (1, 0, True)
    assert "hoa@congty.example" in run("forwards", "seen", config=config).stdout


def test_a_site_without_a_log_is_told(run: Run) -> None:
    assert "there is no incident log yet" in one_line(run("forwards", "seen"))


def mechanisms(*name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MAILGATE, "forwards", "mechanisms", *name], capture_output=True, text=True, check=False, timeout=30
    )


def test_one_mechanism_is_shown_whole() -> None:
    assert "| Sieve redirect |" in mechanisms().stdout
    whole = mechanisms("sieve redirect").stdout
    assert "switch off:  Trong webmail" in whole
    assert "X-Sieve-Redirected-From" in whole
    assert "there is no 'x'" in mechanisms("x").stderr


def test_what_is_recorded_alone_does_not_read_as_a_refusal(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(
        b"X-Loop: hoa@congty.example\r\nFrom: c@x.example\r\nMessage-ID: <1@x>\r\n\r\nx\r\n"
    )
    done = run("check", "--client-ip", "203.0.113.7", "--from", "c@x.example", "--rcpt", OFFICER, "a.eml")
    assert "recorded, since nothing in it decides alone" in done.stdout


# -- whom a mark accuses ---------------------------------------------------------------------------------

DELIVERED = Memory((OFFICER,))
SIEVE = b"X-Sieve-Redirected-From: %s\r\n"
FORGED = b"X-Zimbra-Forwarded: " + OTHER.encode() + b"\r\n"


async def found(message: bytes, memory: Memory = NOTHING, **where: Any) -> Finding:
    """Return what auto-forward finds of a mail that leaves, with what is remembered of it."""
    gate = make_gate(settings_of(Stanza()), memory=memory)
    case = Case(
        message + b"From: c@x.example\r\nMessage-ID: <1@x>\r\n\r\nx\r\n",
        client_ip="10.1.1.5",
        rcpts=(OUTSIDE,),
        **where,
    )
    answer = await judge_case(gate, case)
    (finding,) = [one for one in answer.findings if one.rule == "auto-forward"]
    return finding


@pytest.mark.parametrize(
    ("message", "where", "mailboxes", "owners"),
    [
        (SIEVE % OFFICER.encode(), {}, (OFFICER,), ()),
        (SIEVE % OFFICER.encode() + FORGED, {}, (OFFICER, OTHER), ()),
        (SIEVE % OTHER.encode(), {"auth": OFFICER, "mail_from": OFFICER}, (OFFICER,), (OFFICER,)),
        (FORGED, {"hook": "egress", "mail_from": "c@x.example"}, (), ()),
    ],
)
async def test_an_unproven_mark_accuses_nobody(
    message: bytes, where: Mapping[str, Any], mailboxes: tuple[str, ...], owners: tuple[str, ...]
) -> None:
    finding = await found(message, **where)
    assert any(piece.hard for piece in finding.evidence)
    assert (set(finding.mailboxes), finding.owners) == (set(mailboxes), owners)


@pytest.mark.parametrize(
    ("mailboxes", "owners", "lets_through"),
    [
        ((OTHER,), (), True),
        ((OFFICER, OTHER), (), False),
        ((OFFICER, OTHER), (OFFICER, OTHER), True),
        ((OFFICER,), (OFFICER,), False),
        ((), (), False),
    ],
)
def test_an_exemption_covers_what_is_its_own(
    mailboxes: tuple[str, ...], owners: tuple[str, ...], lets_through: bool
) -> None:
    finding = Finding("auto-forward", "4.5", Mode.ENFORCE, Action.REJECT, recipient=OUTSIDE, direction="out")
    mail = Mail(IDENTITY, Session("mx", "10.1.1.5"), Envelope(recipients={OUTSIDE: (OUTSIDE.encode(),)}))
    exemption = Exemption("auto-forward", OTHER, OUTSIDE, 2e9, "12/QD")
    assert covers(exemption, replace(finding, mailboxes=mailboxes, owners=owners), mail, 1e9) is lets_through


def test_a_notice_says_where_it_is_switched_off() -> None:
    finding = Finding(
        "auto-forward",
        "4.5",
        Mode.ENFORCE,
        Action.QUARANTINE,
        direction="out",
        mailboxes=(OFFICER,),
        owners=(OFFICER,),
        mechanism="Gmail forwarding",
        evidence=(Evidence("header", "X-Forwarded-For", "x"),),
    )
    text = notice(finding, "postmaster@hanam.gov.vn", OFFICER, "4C", NOW).get_content()
    assert "Cách chuyển tiếp: Gmail forwarding" in text
    assert "Trong Gmail: Cài đặt" in text
