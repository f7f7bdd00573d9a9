"""No automatic forward leaves or enters unseen: every mechanism on real Postfix and Dovecot, and what must pass.

`pytest -s` prints the tables, as `python -m tests.lab.forwarding` does.
"""

import json
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.lab.dovecot import PASSWORD
from tests.lab.forwarding import (
    AUTHOR,
    BYPASS,
    DOMAIN,
    EXEMPT,
    LIST,
    OFFICER,
    OUTSIDE,
    TABLES,
    ForwardingSystem,
    Row,
    forwarding_system,
    print_table,
    rows,
)
from tests.lab.redis import Redis
from tests.lab.sink import Delivered
from tests.lab.smtp_client import send
from tests.lab.waiting import wait_until

LONG_S = 20.0


@pytest.fixture(scope="module")
def system() -> Iterator[ForwardingSystem]:
    """The system with the default actions, nothing stripped."""
    with forwarding_system() as running:
        yield running


def check_table(system: ForwardingSystem, strips: str) -> list[Row]:
    table = rows(strips)
    system.judge(table)
    print_table(TABLES[strips], table)
    assert [(row.mechanism.name, row.kind, row.seen) for row in table] == [
        (row.mechanism.name, row.kind, row.wanted) for row in table
    ]
    for row in table:
        if row.kind == "exempt" and row.mechanism.wanted != "passes round":
            exempt = [f.get("exemption") for i in system.incidents(row) for f in i["findings"]]
            assert "15/QD-STTTT" in exempt, f"{row.mechanism.name}: what an exemption lets through is on record"
    return table


def test_every_mechanism(system: ForwardingSystem) -> None:
    for row in check_table(system, ""):
        if row.seen in ("held", "refused"):
            assert row.evidence, row.mechanism.name
            copies = [mail for mail in system.sink.mails() if row.target in mail.recipients]
            assert not [mail for mail in copies if row.token.encode() in mail.data]


@pytest.mark.parametrize("strips", ["markers", "received"])
def test_every_mechanism_without_its_marks(strips: str) -> None:
    """Join and memory still know each copy."""
    with forwarding_system(strips) as stripped:
        for row in check_table(stripped, strips):
            if row.seen == "held":
                kind = "passage" if strips == "markers" else "memory"
                assert kind in row.evidence, row.mechanism.name


def test_every_mechanism_where_egress_is_the_smtp_door() -> None:
    with forwarding_system(by_smtp_door=True) as system:
        check_roads(system)
        check_table(system, "")


# -- what can be seen before any mail flows --------------------------------------------------------

Planted = tuple[str, str, str, str, int, str]


def line_of(file: Path, start: str) -> int:
    (number,) = (n for n, line in enumerate(file.read_text().splitlines(), 1) if line.startswith(start))
    return number


def planted(system: ForwardingSystem) -> list[Planted]:
    """Return each forward of the system: mailbox, target, kind, file, line, and the document that allows it."""
    aliases = system.folder / "aliases"
    main_cf, master_cf = (system.postfix.config / name for name in ("main.cf", "master.cf"))
    found = [(f"bao@{DOMAIN}", OUTSIDE, "sieve-notify", system.by_program.scripts / "bao.sieve", 1, "")]
    for kind, target, document in (("outside", OUTSIDE, ""), ("exempt", EXEMPT, "15/QD-STTTT")):

        def add(name: str, how: str, file: Path, line: int, target: str = target, document: str = document) -> None:
            found.append((f"{name}@{DOMAIN}", target, how, file, line, document))

        for name, how in (("alias", "alias"), ("owned", "alias"), ("pipe", "pipe")):
            add(f"{name}-{kind}", how, aliases, line_of(aliases, f"{name}-{kind}:"))
        line = line_of(aliases, f"bypass-{kind}:")
        add(f"bypass-{kind}", "alias", aliases, line, BYPASS if kind == "outside" else EXEMPT)
        # local(8) takes games+outside for games; the file's name tells the extension.
        add("games", "forward-file", system.folder / "forward" / f"games+{kind}", 1)
        add("news", "pipe", system.folder / "forward" / f"news+{kind}", 1)
        rules = system.folder / f"procmailrc-{kind}"
        add("uucp", "procmail", rules, line_of(rules, "! "))
        for name, how, parameter in (
            ("virtual", "virtual-alias", "virtual_alias_maps"),
            ("rbcc", "bcc", "recipient_bcc_maps"),
            ("sbcc", "bcc", "sender_bcc_maps"),
        ):
            add(f"{name}-{kind}", how, main_cf, line_of(main_cf, parameter))
        add("", "bcc", master_cf, line_of(master_cf, f"bcc-{kind} unix"))
        for name, store in (("smtp", system.by_smtp), ("pipe", system.by_program)):
            add(f"sieve-{name}-{kind}", "sieve", store.scripts / f"sieve-{name}-{kind}.sieve", 1)
    return sorted((mailbox, target, how, str(file), line, paper) for mailbox, target, how, file, line, paper in found)


def test_the_audit_finds_every_forward_that_is_planted_and_no_other(system: ForwardingSystem) -> None:
    sieve = [f"--sieve={store.scripts}/%n.sieve" for store in (system.by_smtp, system.by_program)]
    where = ("--config-dir", str(system.postfix.config), *sieve)
    done = system.mailgate.run("forwards", "audit", "--format", "json", *where)
    rows = json.loads(done.stdout)
    columns = ("mailbox", "target", "kind", "file", "line", "exempt")
    assert sorted(tuple(row[name] for name in columns) for row in rows) == planted(system)
    assert done.returncode == 1
    # A list's members are no forward; who they are is in its program.
    said = [line for line in done.stderr.splitlines() if "forward_path" not in line]
    assert said == [
        f"note: {system.folder}/aliases:1: thongbao is given to a command: see what it does: {system.folder}/list"
    ]


def check_roads(system: ForwardingSystem) -> None:
    """See that the bypass of the table, and nothing else, is named; how addresses are written is another matter."""
    done = system.mailgate.run("postfix", "check", "--format", "json", "--config-dir", str(system.postfix.config))
    main_cf = system.postfix.config / "main.cf"
    found = [road for road in json.loads(done.stdout) if not road["road"].startswith("address-")]
    assert [(road["road"], road["where"], road["what"]) for road in found] == [
        (
            "round-egress",
            f"{main_cf}:{line_of(main_cf, 'transport_maps')}",
            f"transport_maps: {BYPASS.partition('@')[2]} smtp:[127.0.0.1]:{system.sink.port}",
        )
    ]
    assert (done.returncode, done.stderr) == (1, "")


def test_the_road_that_passes_round_is_named_and_no_other_is_open(system: ForwardingSystem) -> None:
    check_roads(system)


# -- what must pass --------------------------------------------------------------------------------


def outside_to(system: ForwardingSystem, mailbox: str, data: bytes, sender: str = AUTHOR, port: int = 0) -> None:
    outcome = send(port or system.postfix.smtp_port, sender, [mailbox], data, "203.0.113.7", "mail.example.com")
    assert outcome.status[:3] == "250", outcome


def submitted(system: ForwardingSystem, data: bytes, sender: str, recipients: list[str]) -> None:
    with smtplib.SMTP("127.0.0.1", system.postfix.submission_port, timeout=30) as client:
        client.login(f"ptp.bl@{DOMAIN}", PASSWORD)
        client.sendmail(sender, recipients, data)


OWNER = f"ptp.bl@{DOMAIN}"


def message(token: str, *fields: str, to: str = OWNER, author: str = AUTHOR) -> bytes:
    usual = (f"From: <{author}>", f"To: {to}", "Subject: Bao cao", f"Message-ID: <{token}@example.com>")
    return "\r\n".join((*fields, *usual, "", f"noi dung {token}", "")).encode()


def vacation(system: ForwardingSystem, token: str) -> str:
    outside_to(system, f"vang@{DOMAIN}", message(token, to=f"vang@{DOMAIN}"))
    return AUTHOR


def notify(system: ForwardingSystem, token: str) -> str:
    outside_to(system, f"bao@{DOMAIN}", message(token, to=f"bao@{DOMAIN}"))
    return OUTSIDE


def sieve_reject(system: ForwardingSystem, token: str) -> str:
    outside_to(system, f"tu-choi@{DOMAIN}", message(token, to=f"tu-choi@{DOMAIN}"))
    return AUTHOR


def bounce(system: ForwardingSystem, token: str) -> str:
    submitted(system, message(token, author=OWNER), OWNER, [f"khong-co@{DOMAIN}", AUTHOR])
    return AUTHOR


def disposition(system: ForwardingSystem, token: str) -> str:
    kind = 'Content-Type: multipart/report; report-type=disposition-notification; boundary="x"'
    submitted(system, message(token, kind, "Auto-Submitted: auto-replied", to=AUTHOR, author=OWNER), "", [AUTHOR])
    return AUTHOR


def local_list(system: ForwardingSystem, token: str) -> str:
    submitted(system, message(token, to=LIST, author=OWNER), OWNER, [LIST])
    return OUTSIDE


def by_hand(system: ForwardingSystem, token: str) -> str:
    data = message(token, "In-Reply-To: <1@example.com>", "References: <1@example.com>", to=OUTSIDE, author=OWNER)
    submitted(system, data.replace(b"Subject: ", b"Subject: Fwd: "), f"ptp.bl@{DOMAIN}", [OUTSIDE])
    return OUTSIDE


def redirect_by_hand(system: ForwardingSystem, token: str) -> str:
    """Redirect a mail that was received, as mutt's bounce does: all of it, with its trace."""
    outside_to(system, f"ptp.bl@{DOMAIN}", message(token))
    received = wait_until(
        lambda: [mail for mail in system.by_smtp.delivered("ptp.bl") if token.encode() in mail], LONG_S, "the mail"
    )[0]
    resent = f"Resent-From: ptp.bl@{DOMAIN}\nResent-To: {OUTSIDE}\nResent-Message-ID: <re.{token}@{DOMAIN}>\n"
    submitted(system, resent.encode() + received, f"ptp.bl@{DOMAIN}", [OUTSIDE])
    return OUTSIDE


def portal(system: ForwardingSystem, token: str) -> str:
    """Send as a web application on this machine does, to an official and an outsider at once."""
    data = message(token, "Auto-Submitted: auto-generated", to=OUTSIDE).replace(b"\r\n", b"\n")
    system.postfix.sendmail(data, f"cong@{DOMAIN}", [f"ptp.bl@{DOMAIN}", OUTSIDE])
    return OUTSIDE


def portal_by_smtp(system: ForwardingSystem, token: str) -> str:
    """The same from another machine of ours, to each in a mail of its own, with the same Message-ID."""
    for recipient in (f"ptp.bl@{DOMAIN}", OUTSIDE):
        outcome = send(system.postfix.smtp_port, "cong@vnpt.example", [recipient], message(token, to=recipient))
        assert outcome.status[:3] == "250"
    return OUTSIDE


def inside_and_outside(system: ForwardingSystem, token: str) -> str:
    submitted(system, message(token, author=OWNER), OWNER, [f"stttt@{DOMAIN}", OUTSIDE])
    return OUTSIDE


ORDINARY = (
    vacation,
    notify,
    sieve_reject,
    bounce,
    disposition,
    local_list,
    by_hand,
    redirect_by_hand,
    portal,
    portal_by_smtp,
    inside_and_outside,
)


@pytest.mark.parametrize("sends", ORDINARY, ids=lambda sends: sends.__name__)
def test_what_is_no_forward_passes(
    system: ForwardingSystem, sends: Callable[[ForwardingSystem, str], str], request: pytest.FixtureRequest
) -> None:
    token = f"khong-chan-{sends.__name__}"
    before, incidents = len(system.sink.mails()), len(system.mailgate.incidents())
    recipient = sends(system, token)

    def arrived() -> list[Delivered]:
        return [mail for mail in system.sink.mails()[before:] if recipient in mail.recipients]

    wait_until(arrived, LONG_S, f"the mail of {sends.__name__}")
    decided = [i for i in system.mailgate.incidents()[incidents:] if i["action"] != "accept"]
    assert decided == [], "nothing of it was kept back"


# -- the loop --------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy_action", ["quarantine", "discard", "reject"])
def test_a_pipe_that_forwards_begins_no_loop(copy_action: str) -> None:
    """`.forward "|sendmail outside"` and a refusal made 50 mails a second, for ever: each bounce was piped again."""
    with forwarding_system(copy_action=copy_action) as loops:
        token = "vong-lap"
        mailbox = f"news+outside@{DOMAIN}"
        outside_to(loops, mailbox, message(token, to=mailbox))
        wait_until(lambda: [i for i in loops.mailgate.incidents() if token in i["message_id"]], LONG_S, "the copy")
        wait_until(
            lambda: all(m["queue_name"] == "hold" for m in loops.postfix.queue()), LONG_S, "the queue to empty"
        )
        judged = [
            line for line in loops.mailgate.log() if line.get("event") == "mail" and line["hook"] != "submission"
        ]
        notices = [line for line in judged if not line["mail_from"]]
        assert len(judged) - len(notices) <= 2, "the mail and one copy"
        assert not [mail for mail in loops.sink.mails() if OUTSIDE in mail.recipients]


# -- what follows ----------------------------------------------------------------------------------


def test_owner_and_officer_get_one_notice_a_day(system: ForwardingSystem) -> None:
    mailbox = f"rbcc-outside@{DOMAIN}"
    for number in range(3):
        outside_to(system, mailbox, message(f"thong-bao-{number}", to=mailbox))
    wait_until(
        lambda: sum("thong-bao-" in i["message_id"] for i in system.mailgate.incidents()) == 3,
        LONG_S,
        "3 copies held",
    )

    def notices(name: str) -> list[bytes]:
        wanted = f"forwarding of {mailbox}".encode()
        return [mail for mail in system.by_smtp.delivered(name) if wanted in mail.replace(b"\n ", b" ")]

    for name in ("rbcc-outside", OFFICER.partition("@")[0]):
        wait_until(lambda name=name: notices(name), LONG_S, f"the notice of {name}")  # type: ignore[misc]
        (notice,) = notices(name)
        assert b"Auto-Submitted: auto-generated" in notice
        assert OUTSIDE.encode() not in notice, "where it went is in the incident log alone"


def test_quarantine_works_on_what_mailgate_held_and_nothing_else(system: ForwardingSystem) -> None:
    mailgate, postfix = system.mailgate, system.postfix
    where = ("--config-dir", str(postfix.config))
    mailbox = f"virtual-outside@{DOMAIN}"
    tokens = [f"giu-{number}" for number in range(4)]
    for token in tokens:
        outside_to(system, mailbox, message(token, to=mailbox))

    def cases() -> dict[str, dict[str, object]]:
        found = [i for i in mailgate.incidents() if i["action"] == "quarantine"]
        return {token: i for i in found for token in tokens if f"<{token}@" in i["message_id"]}

    wait_until(lambda: len(cases()) == len(tokens), LONG_S, "4 copies held")
    # An administrator holds a mail by himself: it is not ours to release.
    outside_to(system, f"ptp.bl@{DOMAIN}", message("cua-quan-tri"), port=system.holding_port)
    held = [mail["queue_id"] for mail in postfix.queue() if mail["queue_name"] == "hold"]
    ours = {
        row["queue_id"] for row in json.loads(mailgate.run("quarantine", "list", "--format", "json", *where).stdout)
    }
    (foreign,) = [queue_id for queue_id in held if queue_id not in ours]
    assert {str(case["queue_id"]) for case in cases().values()} <= ours
    for order in (("release", foreign, "--reason", "thu"), ("delete", "khong-co", "--reason", "thu")):
        done = mailgate.run("quarantine", *order, *where)
        assert (done.returncode, done.stderr.count("no such mail held here")) == (1, 1)
    first, second, third, fourth = (cases()[token] for token in tokens)
    shown = mailgate.run("quarantine", "show", str(first["case"]), *where)
    assert shown.returncode == 0
    assert "giu-0@example.com" in shown.stdout
    assert "noi dung giu-0" not in shown.stdout, "never the text"
    assert mailgate.run("quarantine", "release", str(first["case"]), "--reason", "cho phep", *where).returncode == 0
    wait_until(lambda: [m for m in system.sink.mails() if b"noi dung giu-0" in m.data], LONG_S, "the released mail")
    done = mailgate.run("quarantine", "delete", str(second["queue_id"]), "--reason", "khong can", *where)
    assert done.returncode == 0, done.stderr
    done = mailgate.run("quarantine", "release", str(third["queue_id"]), *where)
    assert done.returncode == 2, "a reason is needed"
    done = mailgate.run("quarantine", "expire", "--days", "1", *where)
    assert done.stdout.startswith("0 of ")
    left = {
        row["queue_id"] for row in json.loads(mailgate.run("quarantine", "list", "--format", "json", *where).stdout)
    }
    assert ours - left == {first["queue_id"], second["queue_id"]}
    done = mailgate.run("quarantine", "expire", "--days", "0", *where)
    assert done.returncode == 0, done.stderr
    assert fourth["queue_id"] not in {mail["queue_id"] for mail in postfix.queue()}
    assert foreign in {mail["queue_id"] for mail in postfix.queue()}, "what others held stays"
    deeds = [i for i in mailgate.incidents() if i["kind"] in ("release", "deletion")]
    assert {(i["kind"], i["of_case"]) for i in deeds} >= {("release", first["case"]), ("deletion", second["case"])}
    assert mailgate.run("incidents", "verify").returncode == 0


@pytest.mark.parametrize("on_error", ["tempfail", "quarantine"])
def test_what_would_leave_while_the_store_is_down(on_error: str) -> None:
    """It waits, or is held, and nothing passes; a person's own mail that waits goes on once the store is back."""
    with Redis() as redis:
        config = {"store": {"url": redis.url}, "forwarding": {"on_error": on_error}}
        with forwarding_system(config=config) as system:
            mailbox = f"virtual-outside@{DOMAIN}"
            outside_to(system, mailbox, message("truoc", to=mailbox))
            wait_until(
                lambda: [i for i in system.mailgate.incidents() if "<truoc@" in i["message_id"]],
                LONG_S,
                "a copy held",
            )
            redis.kill()
            for number in range(3):
                outside_to(system, mailbox, message(f"sap-{number}", to=mailbox))
                submitted(system, message(f"gui-{number}", to=OUTSIDE, author=OWNER), OWNER, [OUTSIDE])

            def passed(token: str) -> list[Delivered]:
                """What left but notices, which their owner reads where he forwards his mail."""
                return [mail for mail in system.sink.mails() if f"<{token}".encode() in mail.data]

            def kept_back(token: str) -> set[str]:
                found = [i for i in system.mailgate.incidents() if f"<{token}" in i.get("message_id", "")]
                return {i["message_id"] for i in found if i["action"] == on_error}

            wait_until(lambda: len(kept_back("sap-")) == 3, LONG_S, "3 kept back")
            wait_until(lambda: len(kept_back("gui-")) == 3, LONG_S, "3 kept back")
            assert not [*passed("sap-"), *passed("gui-")], "nothing passed"
            evidence = [p for i in system.mailgate.incidents() for f in i["findings"] for p in f["evidence"]]
            assert ("missing", "history") in {(piece["kind"], piece["name"]) for piece in evidence}
            redis.start()

            def gone() -> bool:
                system.postfix.flush()
                return len(passed("gui-")) == 3

            if on_error == "tempfail":
                wait_until(gone, LONG_S, "the person's own 3 mails to leave")
                assert all(OUTSIDE in delivered.recipients for delivered in passed("gui-"))
                assert not passed("sap-")
                wait_until(
                    lambda: {mail["queue_name"] for mail in system.postfix.queue()} == {"hold"}, LONG_S, "copies held"
                )


def test_exemptions_are_refused_without_what_they_need(system: ForwardingSystem) -> None:
    paper = ["--document", "1", "--reason", "x", "--approver", "y"]
    table: list[tuple[list[str], int, str]] = [
        ([f"a@{DOMAIN}", "b@gmail.com", *paper], 2, "--until is needed"),
        ([f"a@{DOMAIN}", "b@gmail.com", *paper, "--until", "2020-01-01"], 1, "is past"),
        ([f"a@{DOMAIN}", "b@gmail.com", *paper, "--until", "mai"], 2, "write a date"),
        ([f"a@{DOMAIN}", "gmail", *paper, "--until", "2099-01-01"], 2, "DESTINATION 'gmail'"),
        ([f"a@{DOMAIN}", "b@@gmail.com", *paper, "--until", "2099-01-01"], 2, "DESTINATION"),
        (["a@gmail.com", "b@gmail.com", *paper, "--until", "2099-01-01"], 1, "is not of this system"),
        ([f"a@{DOMAIN}", "vp@ninhbinh.gov.vn", *paper, "--until", "2099-01-01"], 1, "needs no exemption"),
        ([f"a@{DOMAIN}", "b@gmail.com", *paper[:4], "--until", "2099-01-01"], 2, "--approver is needed"),
    ]
    for arguments, status, said in table:
        done: subprocess.CompletedProcess[str] = system.mailgate.run("exemptions", "add", *arguments)
        assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (status, True, 1), done.stderr
    assert OFFICER
