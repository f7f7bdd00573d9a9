"""What administrators type: answers, formats, exit statuses, and one line for each thing that is wrong."""

import asyncio
import contextlib
import json
import socket
import sqlite3
from base64 import b64encode
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.lab.commands import ALONE, Done, Run, one_line, shown, table
from tests.lab.mails import (
    LIMIT_BYTES,
    OFFICE,
    OFFICER,
    OUTSIDER,
    base64_part,
    letter,
    letter_with,
    multipart,
    zipped,
)
from tests.lab.redis import Redis

from mailgate.ledger.opening import open_store
from mailgate.ledger.store import Batch
from mailgate.mailboxes.calendar import CIVIL_TIME, civil, months_after
from mailgate.model import ActivityEvent, ActivityKind, Beat, Exemption, MailboxKind, MailClass, Registration

GMAIL = (f"X-Forwarded-To: {OFFICER}", f"X-Forwarded-For: a@gmail.com {OFFICER}")


# -- what is wrong, and the mend -------------------------------------------------------------------

CONFIG_CHECK = ("config", "check", "mailgate.toml")
SERVE = ("serve",)

# (command, mailgate.toml, exit status, what the line says: the place, then the mend)
WRONG: tuple[tuple[tuple[str, ...], str, int, tuple[str, ...]], ...] = (
    (CONFIG_CHECK, "[workers]\n\ncont = 2\n", 1, ("mailgate.toml:3: workers.cont", "unknown key")),
    (CONFIG_CHECK, '[workers]\ncount = "many"\n', 1, ("mailgate.toml:2: workers.count", "integer", "'many'")),
    (CONFIG_CHECK, "[wrkers]\ncount = 2\n", 1, ("mailgate.toml:1: wrkers", "unknown key")),
    (CONFIG_CHECK, "[workers\n", 1, ("mailgate.toml", "line 1")),
    (CONFIG_CHECK, '[rules.virus]\nmode = "on"\n', 1, ("mailgate.toml:2: rules.virus.mode", "'enforce'")),
    (
        CONFIG_CHECK,
        '[rules.viruses]\nmode = "off"\n',
        1,
        ("mailgate.toml:1: rules.viruses", "there are"),
    ),
    (CONFIG_CHECK, '[rules.attachment-size]\nlimit_bytes = "x"\n', 1, ("mailgate.toml:2:", "limit_bytes", "integer")),
    (CONFIG_CHECK, '[clamav]\naddress = "/run/clamd"\n', 1, ("mailgate.toml:2: clamav.address", "unix:/PATH")),
    (CONFIG_CHECK, '[clamav]\non_error = "reject"\n', 1, ("mailgate.toml:2: clamav.on_error", "write tempfail")),
    (CONFIG_CHECK, '[listen]\nmilter = ["inet:a:0"]\n', 1, ("mailgate.toml:2: listen.milter.0", "inet:HOST:PORT")),
    (CONFIG_CHECK, "[organization]\ndomains = []\n", 1, ("mailgate.toml:2: organization.domains", "at least 1")),
    (
        CONFIG_CHECK,
        '[[exemption]]\nrule = "spam"\nuntil = 2026-12-31\n',
        1,
        ("mailgate.toml:1: exemption.0.document", "required"),
    ),
    (("config", "check", "nowhere.toml"), "", 1, ("nowhere.toml", "create it")),
    (("config", "check", "."), "", 1, (".: Is a directory",)),
    (SERVE, '[listen]\nmilter = ["unix:/nowhere/a.sock"]\n', 1, ("unix:/nowhere/a.sock", "create it")),
    (SERVE, '[listen]\nmilter = ["unix:/dev/null"]\n', 1, ("unix:/dev/null", "no socket", "change the address")),
    (SERVE, f'[listen]\nmilter = ["unix:/tmp/{"x" * 110}"]\n', 1, ("listen.milter", "longer than")),
    (SERVE, '[listen]\nmilter = ["inet:192.0.2.1:8891"]\n', 1, ("inet:192.0.2.1:8891", "no such address")),
    (("serve", "--config", "nowhere.toml"), "", 1, ("nowhere.toml", "create it")),
    (("mailboxes", "list"), '[store]\nurl = "mysql://x"\n', 1, ("mailgate.toml:2: store.url", "write sqlite:PATH")),
    (("mailboxes", "list"), '[store]\nurl = "redis://127.0.0.1:1"\n', 1, ("127.0.0.1:1",)),
    (("mailboxes", "list"), '[store]\nurl = "redis://h:port"\n', 1, ("[store] url",)),
    (("mailboxes", "list"), '[store]\nurl = "sqlite:mailgate.toml"\n', 1, ("mailgate.toml", "not a database")),
    (("mailboxes", "list", "--format", "xml"), ALONE, 2, ("--format", "table")),
    (("mailboxes", "show", "nonsense"), ALONE, 2, ("'nonsense'", "write LOCAL@DOMAIN")),
    (("mailboxes", "show", "a b@hanam.gov.vn"), ALONE, 2, ("'a b@hanam.gov.vn'", "write LOCAL@DOMAIN")),
    (("mailboxes", "lock", OUTSIDER, "--clause", "7.2a"), ALONE, 1, (OUTSIDER, "hanam.gov.vn")),
    (("mailboxes", "lock", OFFICER), ALONE, 2, ("--clause", "7.2a, 7.2b, 7.2c or 7.2d")),
    (("mailboxes", "restore", OFFICER), ALONE, 2, ("--document", "must not be empty")),
    (("mailboxes", "restore", OFFICER, "--document", "1"), ALONE, 1, (f"{OFFICER} is active", "locked or revoked")),
    (("mailboxes", "lost"), ALONE, 2, ("'lost'",)),
    (("nonsense",), ALONE, 2, ("'nonsense'",)),
    (("serve", "--nonsense"), ALONE, 2, ("--nonsense",)),
    (("incidents", "search", "--from", "2026-13-45"), ALONE, 2, ("--from 2026-13-45", "write a date")),
    (("incidents", "search", "--limit", "0"), ALONE, 2, ("--limit",)),
    (("incidents", "search"), ALONE, 1, ("incidents", "no incident log yet")),
    (("incidents", "verify"), ALONE, 1, ("incidents", "no incident log yet")),
    (CONFIG_CHECK, '[report]\nyear_begins = "02-29"\n', 1, ("mailgate.toml:2: report.year_begins", "11-01")),
    (CONFIG_CHECK, '[report]\nyear_begins = "W01-1"\n', 1, ("mailgate.toml:2: report.year_begins", "11-01")),
    (CONFIG_CHECK, '[activity]\ncounts_receive = "bulk"\n', 1, ("activity.counts_receive", "'human'")),
    (CONFIG_CHECK, '[activity]\ncounts_send = "none"\n', 1, ("activity.counts_send", "'human'", "'all'")),
    (CONFIG_CHECK, "[activity]\nlock_months = 0\n", 1, ("mailgate.toml:2: activity.lock_months", "greater")),
    (("inactivity", "--at", "soon"), ALONE, 2, ("--at soon", "write a date")),
    (("inactivity", "--apply"), ALONE, 2, ("--document", "must not be empty")),
    (("inactivity", "--apply", "--document", "1", "--at", "2026-11-24"), ALONE, 2, ("--apply", "--at")),
    (("inactivity", "--document", "1"), ALONE, 2, ("--document", "--apply")),
    (("inactivity", "--by", "me"), ALONE, 2, ("--by", "--apply")),
    (("inactivity", "--forget-node", "mx9", "--apply", "--document", "1"), ALONE, 2, ("--forget-node", "--apply")),
    (("inactivity", "--forget-node", "mx9"), ALONE, 1, ("no node mx9",)),
    (("report",), ALONE, 2, ("--year",)),
    (("report", "--year", "9000"), ALONE, 1, ("--year 9000", "8999-11-01")),
    (("report", "--year", "2020", "--unit", "X"), ALONE, 1, ("--unit X", "no mailbox")),
    (("check",), ALONE, 2, ("name one message file",)),
    (("check", "nowhere.eml"), ALONE, 2, ("nowhere.eml", "No such file")),
    (("check", "--batch", "nowhere.jsonl"), ALONE, 2, ("nowhere.jsonl", "No such file")),
    (("check", "--hook", "x", "mailgate.toml"), ALONE, 2, ("--hook x", "mx, submission, non-smtp, egress")),
    (("check", "--at", "x", "mailgate.toml"), ALONE, 2, ("'x'", "write 2026-11-24T08:00:00+07:00")),
)


@pytest.mark.parametrize(
    ("arguments", "config", "status", "says"), WRONG, ids=[f"{' '.join(w[0])} {w[3][0]}"[:60] for w in WRONG]
)
def test_what_is_wrong_is_one_line(
    run: Run, arguments: tuple[str, ...], config: str, status: int, says: tuple[str, ...]
) -> None:
    done = run(*arguments, config=config)
    line = one_line(done)
    assert done.returncode == status
    for text in says:
        assert text in line


def test_every_wrong_key_has_its_line(run: Run) -> None:
    done = run(*CONFIG_CHECK, config='[workers]\ncount = "x"\ncont = 1\n[rules.spam]\nmode = "x"\n')
    assert done.returncode == 1
    assert [line.split(":")[2] for line in done.stderr.splitlines()] == ["2", "3", "5"]


def test_a_wrong_environment_variable_is_named(run: Run) -> None:
    done = run(*CONFIG_CHECK, MAILGATE_WORKERS__COUNT="many")
    assert done.returncode == 1
    assert "environment MAILGATE_WORKERS__COUNT" in one_line(done)


@pytest.mark.parametrize("key", ["milter", "http"])
def test_a_port_in_use_is_named(run: Run, tmp_path: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        doors = {
            "milter": f'milter = ["inet:{place}"]\nhttp = ""\n',
            "http": f'milter = ["unix:{tmp_path}/a.sock"]\nhttp = "{place}"\n',
        }
        done = run(*SERVE, config="[listen]\n" + doors[key])
    line = one_line(done)
    assert done.returncode == 1
    assert f"listen.{key}: " in line
    assert f"{place}: Address already in use: " in line
    assert "change" in line


# -- configuration ---------------------------------------------------------------------------------


def test_config_check_says_that_all_is_well(run: Run) -> None:
    assert run(*CONFIG_CHECK).stdout == "mailgate.toml: valid\n"


def test_config_show_has_every_key_and_no_secret(run: Run) -> None:
    config = '[store]\nurl = "redis://mailgate:Hidden71@redis.hanam.gov.vn/0"\n[spam]\npassword = "Hidden72"\n'
    done = run("config", "show", "mailgate.toml", config=config, MAILGATE_WORKERS__COUNT="7")
    settings = shown(done)
    assert "Hidden7" not in done.stdout
    assert settings["store"]["url"] == "redis://mailgate:********@redis.hanam.gov.vn/0"
    assert settings["spam"]["password"] == "********"
    assert settings["workers"]["count"] == 7
    assert settings["rules"]["attachment-size"]["limit_bytes"] == LIMIT_BYTES


@pytest.mark.parametrize(
    "config",
    [
        '[store]\nurl = "redis://:Hidden7@redis/0"\n',
        '[store]\nurl = "rediss://mailgate:Hid%2Fden7@redis/0"\n',
        '[store]\nurl = "redis://:Hid@den7@redis/0"\n',
        '[store]\nurl = "redis://redis/0?password=Hidden7"\n',
        '[store]\nurl = "unix:///run/redis.sock?db=0&password=Hidden7"\n',
        '[spam]\nurl = "http://mailgate:Hidden7@rspamd:11333"\n',
        '[spam]\npassword = "Hidden7"\n',
    ],
)
def test_config_show_masks_every_secret(run: Run, config: str) -> None:
    done = run("config", "show", "mailgate.toml", config=config)
    assert done.returncode == 0
    assert "********" in done.stdout
    assert "den7" not in done.stdout
    assert "ret@" not in done.stdout


def test_an_error_shows_no_secret(run: Run) -> None:
    done = run(*CONFIG_CHECK, config="[spam]\npassword = [31415926]\n")
    assert done.returncode == 1
    line = one_line(done)
    assert "spam.password" in line
    assert "31415926" not in line


def test_version(run: Run) -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("mailgate 0.")


# -- mailboxes and incidents -----------------------------------------------------------------------


@pytest.fixture
def used(run: Run, tmp_path: Path) -> Run:
    """The same with a locked mailbox, a mail that was counted and two incidents."""
    (tmp_path / "forwarded.eml").write_bytes(letter(*GMAIL))
    (tmp_path / "clean.eml").write_bytes(letter())
    assert run("mailboxes", "lock", OFFICE, "--clause", "7.2b", "--document", "12/QĐ").returncode == 0
    for name in ("forwarded.eml", "forwarded.eml", "clean.eml"):
        done = run("check", "--record", "--client-ip", "203.0.113.7", "--from", OUTSIDER, "--rcpt", OFFICER, name)
        assert done.returncode == 0
    return run


def test_mailboxes_in_every_format(used: Run) -> None:
    rows = shown(used("mailboxes", "list", "--format", "json"))
    assert [(row["address"], row["status"], row.get("received")) for row in rows] == [
        (OFFICER, "active", 1),
        (OFFICE, "locked", None),
    ]
    assert rows[1]["at"].endswith("+07:00")
    cells = table(used("mailboxes", "list", "--format", "csv"))
    assert [(row["address"], row["status"], row["document"]) for row in cells] == [
        (OFFICER, "active", ""),
        (OFFICE, "locked", "12/QĐ"),
    ]
    head, *lines = used("mailboxes", "list").stdout.splitlines()
    assert head.startswith("ADDRESS")
    assert [line.split()[:2] for line in lines] == [[OFFICER, "active"], [OFFICE, "locked"]]


def test_a_mailbox_and_its_history(used: Run) -> None:
    assert used("mailboxes", "restore", OFFICE, "--document", "13/QĐ").stdout == f"{OFFICE}: active\n"
    found = shown(used("mailboxes", "show", OFFICE, "--format", "json"))
    assert (found["address"], found["status"]) == (OFFICE, "active")
    assert [(state["status"], state["document"]) for state in found["history"]] == [
        ("locked", "12/QĐ"),
        ("active", "13/QĐ"),
    ]


def test_incidents_in_every_format(used: Run) -> None:
    rows = shown(used("incidents", "search", "--rule", "auto-forward", "--format", "json"))
    assert [row["action"] for row in rows] == ["reject", "reject"]
    cells = table(used("incidents", "search", "--mailbox", OFFICER, "--format", "csv"))
    assert [row["case"] for row in cells] == [row["case"] for row in rows]
    assert [line.split()[1] for line in used("incidents", "tail", "-n", "1").stdout.splitlines()[1:]] == [
        rows[-1]["case"]
    ]
    assert shown(used("incidents", "show", rows[0]["case"])) == {
        name: value for name, value in rows[0].items() if name != "rules"
    }
    assert used("incidents", "verify").stdout == "2 lines verify\n"
    assert shown(used("incidents", "search", "--to", "2020-01-01", "--format", "json")) == []


def test_a_broken_chain_is_status_1(used: Run, tmp_path: Path) -> None:
    (file,) = (tmp_path / "incidents").glob("*.jsonl")
    file.write_text(file.read_text().replace(OUTSIDER, OFFICE, 1))
    done = used("incidents", "verify")
    assert done.returncode == 1
    assert f"{file.name}:1: line was changed" in one_line(done)


def test_an_unknown_case_is_status_1(used: Run) -> None:
    done = used("incidents", "show", "20261124-NOTACASE")
    assert done.returncode == 1
    assert "no case 20261124-NOTACASE" in one_line(done)


# -- inactivity and the yearly report --------------------------------------------------------------

NOW = datetime.now(CIVIL_TIME)
IDLE, LONG_IDLE, BUSY, NEW, AWAY = (f"{name}@hanam.gov.vn" for name in ("idle", "longidle", "busy", "new", "away"))
# The ledger's beats below are eight months apart, which must be no hole.
WATCHED = f"{ALONE}[activity]\nhole_minutes = 1000000\n"


def ago(months: int, days: int = 1) -> float:
    """Return a time so many months and days ago, in Unix seconds."""
    return (months_after(NOW, -months) - timedelta(days=days)).timestamp()


async def fill(folder: Path, url: str = "sqlite:mailgate.db") -> None:
    """Put mailboxes, their activity of eight months and their observation into a store."""
    store = open_store(url, folder)
    try:
        created = f"{civil(ago(9)):%Y-%m-%d}"
        await store.register(
            [
                *(
                    Registration(mailbox, MailboxKind.INDIVIDUAL, "A", "Sở Tư pháp", created, created)
                    for mailbox in (IDLE, LONG_IDLE, BUSY, AWAY)
                ),
                Registration(NEW, MailboxKind.UNIT, "B", "Sở <Tài chính>", f"{civil(ago(1)):%Y-%m-%d}"),
            ]
        )
        events = [
            ActivityEvent(bytes([number]), kind, mailbox, at, 100, mail_class)
            for number, (mailbox, kind, at, mail_class) in enumerate(
                (
                    (IDLE, ActivityKind.SENT, ago(3), MailClass.HUMAN),
                    (IDLE, ActivityKind.RECEIVED, ago(0), MailClass.BULK),
                    (IDLE, ActivityKind.SENT, ago(0), MailClass.AUTOMATIC),
                    (LONG_IDLE, ActivityKind.RECEIVED, ago(6), MailClass.HUMAN),
                    (BUSY, ActivityKind.RECEIVED, ago(0), MailClass.HUMAN),
                    (NEW, ActivityKind.SENT, ago(0), MailClass.HUMAN),
                    (AWAY, ActivityKind.SENT, ago(7), MailClass.HUMAN),
                )
            )
        ]
        await store.commit(Batch([Beat(ago(8)), *events, Beat(NOW.timestamp())], node="mx1"))
        await store.add_exemption(Exemption("inactivity", AWAY, "", ago(-1), "5/CV", "nghỉ thai sản", added=ago(7)))
    finally:
        await store.close()


@pytest.fixture
def kept(run: Run, tmp_path: Path) -> Run:
    """The same with a ledger of eight months."""
    asyncio.run(fill(tmp_path))
    return partial(run, config=WATCHED)


def proposals(done: Done) -> list[tuple[str, str, str]]:
    return [(row["address"], row["action"], row["clause"]) for row in shown(done)]


PROPOSED = [(AWAY, "exempt", "6.2c"), (IDLE, "lock", "7.2a"), (LONG_IDLE, "revoke", "6.2c"), (NEW, "lock", "7.2d")]


def test_inactivity_in_every_format(kept: Run) -> None:
    done = kept("inactivity", "--format", "json")
    assert proposals(done) == PROPOSED
    exempt, idle, long_idle, new = shown(done)
    assert set(idle) == {
        *("address", "kind", "unit", "action", "clause", "last_activity", "due_since", "reason", "exempt_until")
    }
    assert (idle["kind"], idle["unit"], idle["exempt_until"]) == ("individual", "Sở Tư pháp", None)
    assert idle["last_activity"] == civil(ago(3)).isoformat(timespec="seconds")
    assert idle["due_since"] == months_after(civil(ago(3)), 3).isoformat(timespec="seconds")
    assert (new["kind"], new["unit"]) == ("unit", "Sở <Tài chính>")
    assert new["last_activity"] == civil(ago(0)).isoformat(timespec="seconds")
    assert exempt["exempt_until"] == civil(ago(-1)).isoformat(timespec="seconds")
    cells = table(kept("inactivity", "--format", "csv"))
    assert [(row["address"], row["action"], row["clause"]) for row in cells] == PROPOSED
    head, *lines = kept("inactivity").stdout.splitlines()
    assert head.split()[:5] == ["ADDRESS", "KIND", "UNIT", "ACTION", "CLAUSE"]
    assert [line.split()[0] for line in lines] == [address for address, _, _ in PROPOSED]
    assert long_idle["reason"].startswith("6.2c: ")


def test_inactivity_from_a_shared_store(run: Run, tmp_path: Path, redis_server: Redis) -> None:
    redis_server.ask("FLUSHALL")
    asyncio.run(fill(tmp_path, redis_server.url))
    ask = partial(run, config=WATCHED, MAILGATE_STORE__URL=redis_server.url)
    assert proposals(ask("inactivity", "--format", "json")) == PROPOSED
    assert ask("inactivity", "--apply", "--document", "12/QĐ").returncode == 0
    assert proposals(ask("inactivity", "--format", "json")) == PROPOSED[:1]
    assert "node mx1" in ask("inactivity", "--forget-node", "mx1").stdout


def test_inactivity_only_proposes(kept: Run) -> None:
    for _ in range(2):
        assert proposals(kept("inactivity", "--format", "json")) == PROPOSED
    assert "locked" not in kept("mailboxes", "list").stdout


def test_which_received_mails_count_is_configured(kept: Run) -> None:
    for counts, addresses in (("all", {LONG_IDLE}), ("human", {IDLE, LONG_IDLE}), ("none", {IDLE, LONG_IDLE, BUSY})):
        rows = shown(kept("inactivity", "--format", "json", MAILGATE_ACTIVITY__COUNTS_RECEIVE=counts))
        assert {row["address"] for row in rows} - {AWAY, NEW} == addresses


def test_which_sent_mails_count_is_configured(kept: Run) -> None:
    for counts, is_proposed in (("human", True), ("all", False)):
        rows = shown(kept("inactivity", "--format", "json", MAILGATE_ACTIVITY__COUNTS_SEND=counts))
        assert (IDLE in {row["address"] for row in rows}) is is_proposed


def test_what_programs_sent_is_shown_apart(kept: Run) -> None:
    mailbox = shown(kept("mailboxes", "show", IDLE, "--format", "json"))
    by_people, by_programs = (civil(ago(months)).isoformat(timespec="seconds") for months in (3, 0))
    assert (mailbox["sent"], mailbox["last_sent"]) == (1, by_people)
    assert mailbox["sent_by_class"] == {
        "human": {"count": 1, "last": by_people},
        "automatic": {"count": 1, "last": by_programs},
    }
    lines = kept("mailboxes", "show", IDLE).stdout.splitlines()
    assert lines[lines.index(f"sent 1, last {by_people}") + 1] == f"  by programs: automatic 1, last {by_programs}"
    (row,) = [row for row in shown(kept("mailboxes", "list", "--format", "json")) if row["address"] == IDLE]
    assert (row["sent"], row["sent_by_programs"], row["received"]) == (1, 1, 1)


def test_a_look_ahead(kept: Run) -> None:
    ahead = (NOW + timedelta(days=3_000)).isoformat()
    assert {
        (row["address"], row["action"]) for row in shown(kept("inactivity", "--at", ahead, "--format", "json"))
    } == {(mailbox, "revoke") for mailbox in (IDLE, LONG_IDLE, BUSY, NEW, AWAY)}


def test_what_is_due_is_done_where_it_is_ordered(kept: Run) -> None:
    done = kept("inactivity", "--apply", "--document", "12/QĐ", "--by", "Trần B")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{IDLE}: locked (7.2a)",
        f"{LONG_IDLE}: revoked (6.2c)",
        f"{NEW}: locked (7.2d)",
    ]
    (state,) = shown(kept("mailboxes", "show", IDLE, "--format", "json"))["history"]
    assert (state["status"], state["clause"], state["document"], state["by"]) == ("locked", "7.2a", "12/QĐ", "Trần B")
    assert state["reason"].startswith("7.2a: ")
    assert proposals(kept("inactivity", "--format", "json")) == [(AWAY, "exempt", "6.2c")]
    assert kept("inactivity", "--apply", "--document", "13/QĐ").stdout == ""


def test_what_cannot_be_done_does_not_keep_the_others(kept: Run, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mailgate.db")) as store:
        store.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON state"
            f" WHEN new.address = '{IDLE}' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    done = kept("inactivity", "--apply", "--document", "12/QĐ")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [f"{LONG_IDLE}: revoked (6.2c)", f"{NEW}: locked (7.2d)"]
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"mailgate: {IDLE}: not done: ")
    assert "refused" in line


def test_a_restored_mailbox_starts_anew(kept: Run) -> None:
    kept("inactivity", "--apply", "--document", "12/QĐ")
    for mailbox in (IDLE, LONG_IDLE, NEW):
        assert kept("mailboxes", "restore", mailbox, "--document", "13/QĐ").returncode == 0
    assert proposals(kept("inactivity", "--format", "json")) == [(AWAY, "exempt", "6.2c")]
    for months, mailbox, clause in ((1, NEW, "7.2d"), (3, IDLE, "7.2a"), (3, LONG_IDLE, "7.2a")):
        for days, is_due in ((-1, False), (1, True)):
            at = (months_after(NOW, months) + timedelta(days=days)).isoformat()
            found = proposals(kept("inactivity", "--at", at, "--format", "json"))
            assert ((mailbox, "lock", clause) in found) == is_due


def test_nobody_is_proposed_whom_a_hole_explains(kept: Run) -> None:
    done = kept("inactivity", "--format", "json", config=ALONE)
    assert done.returncode == 0
    assert [row["address"] for row in json.loads(done.stdout)] == [NEW], "its password needs no observation"
    (line,) = done.stderr.splitlines()
    assert line.startswith("mailgate: 3 mailboxes are not proposed: the ledger has a hole from ")
    assert line.endswith("(node mx1)")


def test_what_is_not_counted_yet_is_a_hole(kept: Run, tmp_path: Path) -> None:
    (tmp_path / "activity-0.run-1.journal").write_bytes(b"")
    done = kept("inactivity", "--format", "json")
    assert [row["address"] for row in json.loads(done.stdout)] == [NEW]
    said = done.stderr.splitlines()
    assert "*.journal is not counted yet" in said[0]
    assert "3 mailboxes are not proposed: the ledger has a hole from " in said[1]


def test_a_node_that_is_no_more_is_forgotten(kept: Run, tmp_path: Path) -> None:
    async def beat() -> None:
        store = open_store("sqlite:mailgate.db", tmp_path)
        await store.commit(Batch([Beat(ago(10))], node="mx2"))
        await store.close()

    asyncio.run(beat())
    narrow = WATCHED.replace("1000000", "400000")  # nine months: mx1, seen after eight, leaves no hole
    assert "node mx2 has not been seen since" in kept("inactivity", config=narrow).stderr
    assert kept("inactivity", "--forget-node", "mx2").stdout == "node mx2: forgotten\n"
    assert "mx2" not in kept("inactivity", config=narrow).stderr
    again = kept("inactivity", "--forget-node", "mx2")
    assert again.returncode == 1
    assert "no node mx2" in one_line(again)


def test_an_empty_ledger_proposes_nobody_and_says_so(run: Run) -> None:
    done = run("inactivity", "--format", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert "nothing was observed yet" in done.stderr


@pytest.fixture
def year() -> str:
    """The report's year of yesterday, which begins on 1 November."""
    day = civil(ago(0))
    return str(day.year + (day.month >= 11))


def test_a_report_in_every_format(kept: Run, tmp_path: Path, year: str) -> None:
    known = shown(kept("report", "--year", year, "--format", "json"))
    assert known["mailboxes"][0] == {"kind": "individual", "active": 4, "locked": 0, "revoked": 0}
    assert known["mailboxes"][1] == {"kind": "unit", "active": 1, "locked": 0, "revoked": 0}
    month = next(row for row in known["traffic"] if row["month"] == f"{civil(ago(0)):%Y-%m}")
    assert (month["sent"], month["received_human"], month["received_other"]) == (1, 1, 1)
    assert {(row["action"], row["clause"], row["mailboxes"]) for row in known["inactive"]} == {
        ("exempt", "6.2c", 1),
        ("lock", "7.2a", 1),
        ("lock", "7.2d", 1),
        ("revoke", "6.2c", 1),
    }
    assert [row["unit"] for row in known["units"]] == ["Sở <Tài chính>", "Sở Tư pháp"]
    assert "no-incident-log" in {row["reason"] for row in known["unknown"]}
    rows = table(kept("report", "--year", year, "--format", "csv"))
    assert {"section": "mailboxes", "label": "individual", "key": "active", "value": "4"} in rows
    done = kept("report", "--year", year, "--output", "report.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert f"năm {year}" in page
    assert "Sở &lt;Tài chính&gt;" in page
    assert kept("report", "--year", year).stdout.startswith("<!DOCTYPE html>")


def test_a_report_of_one_unit(kept: Run, year: str) -> None:
    known = shown(kept("report", "--year", year, "--unit", "Sở <Tài chính>", "--format", "json"))
    assert [row["unit"] for row in known["units"]] == ["Sở <Tài chính>"]
    assert sum(row["sent"] for row in known["traffic"]) == 1
    assert "<b>Sở &lt;Tài chính&gt;</b>" in kept("report", "--year", year, "--unit", "Sở <Tài chính>").stdout
    done = kept("report", "--year", year, "--unit", "Sở Y tế")
    assert done.returncode == 1
    assert "--unit Sở Y tế" in one_line(done)


def test_a_report_has_the_incidents(used: Run) -> None:
    year = str(NOW.year + (NOW.month >= 11))
    known = shown(used("report", "--year", year, "--format", "json"))
    assert known["refused"] == [
        {"rule": "auto-forward", "clause": "QD27/2023 4.5", "action": "reject", "mails": 2},
    ]
    assert known["changes"] == [{"change": "lock", "clause": "7.2b", "acts": 1}]


def test_a_report_that_cannot_be_written(kept: Run, year: str) -> None:
    done = kept("report", "--year", year, "--output", "nowhere/report.html")
    assert done.returncode == 1
    assert "--output nowhere/report.html: No such file" in one_line(done)


# -- check -----------------------------------------------------------------------------------------

OUTSIDE = ("--client-ip", "203.0.113.7", "--from", OUTSIDER, "--rcpt", OFFICER)
ANSWER_FIELDS = {
    "id",
    "action",
    "reply",
    "stage",
    "findings",
    "rcpt_replies",
    "headers_added",
    "attachments",
    "attachment_bytes",
    "elapsed_ms",
}


def test_check_explains_rule_by_rule(run: Run) -> None:
    done = run("check", *OUTSIDE, "-", stdin=letter(*GMAIL).decode())
    assert done.returncode == 0
    verdict, reply, *_ = done.stdout.splitlines()
    assert verdict.startswith("verdict: reject")
    assert reply.startswith("  550 5.7.1 ")
    for line in (
        "  attachment-size (QD27/2023 8.1b): nothing found",
        "header X-Forwarded-For: a@gmail.com ptp.bl@hanam.gov.vn",
    ):
        assert line in done.stdout


def test_check_prints_the_parts_and_the_files_in_them(run: Run, tmp_path: Path) -> None:
    archive = zipped(b"MZ" + bytes(200))
    (tmp_path / "mail.eml").write_bytes(multipart(base64_part(archive, 'name="a.zip"', "application/zip")))
    done = run("check", "--from", OUTSIDER, "--rcpt", OFFICER, str(tmp_path / "mail.eml"))
    shown = done.stdout.partition("parts as they were read:\n")[2].splitlines()
    assert shown[0].startswith("  part 1: text/plain, ")
    assert shown[1].startswith("  part 2: application/zip, base64, ")
    assert shown[1].endswith(" octets  a.zip")
    assert shown[2] == f"      a.zip: zip, {len(archive)} octets"
    assert shown[3].startswith("      a.zip > ")


def test_check_as_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(letter_with(bytes(1_000), name="báo cáo.bin"))
    accepted = shown(run("check", *OUTSIDE, "--json", "a.eml"))
    assert set(accepted) == ANSWER_FIELDS
    assert (accepted["action"], accepted["reply"], accepted["findings"]) == ("accept", None, [])
    assert accepted["attachments"] == [{"name": "báo cáo.bin", "type": "application/octet-stream", "bytes": 1_000}]
    assert accepted["attachment_bytes"] == 1_000
    (tmp_path / "a.eml").write_bytes(letter(*GMAIL))
    refused = shown(run("check", *OUTSIDE, "--json", "a.eml"))
    assert set(refused) == ANSWER_FIELDS
    assert refused["action"] == "reject"
    assert refused["reply"].startswith("550 5.7.1 ")
    (finding,) = refused["findings"]
    assert (finding["rule"], finding["clause"], finding["mode"], finding["action"], finding["direction"]) == (
        "auto-forward",
        "QD27/2023 4.5",
        "enforce",
        "reject",
        "in",
    )
    assert {"kind", "name", "value"} <= set(finding["evidence"][0])


def test_check_of_a_batch_answers_line_by_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clean.eml").write_bytes(letter())
    forwarded = {"base64": b64encode(letter(*GMAIL)).decode()}
    cases: list[Any] = [
        {"id": "c1", "message": "clean.eml"},
        {"id": "c2", "client_ip": "203.0.113.7", "mail_from": OUTSIDER, "rcpts": [OFFICER], "message": forwarded},
        {
            "id": "c3",
            "auth": OFFICER,
            "hook": "submission",
            "mail_from": OFFICER,
            "mail_args": ["SIZE=99999999"],
            "rcpts": [OUTSIDER],
            "at": "2026-11-24T08:00:00+07:00",
            "message": str(tmp_path / "clean.eml"),
        },
    ]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
    done = run("check", "--batch", "cases.jsonl")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [(answer["id"], answer["action"], answer["stage"]) for answer in answers] == [
        ("c1", "accept", "eom"),
        ("c2", "reject", "eom"),
        ("c3", "reject", "mail"),
    ]
    assert all(set(answer) == ANSWER_FIELDS for answer in answers)
    assert {file.name for file in tmp_path.iterdir()} == {"mailgate.toml", "clean.eml", "cases.jsonl"}


@pytest.fixture
def bad_lines(run: Run, tmp_path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The answers to a batch of wrong lines between two right ones, and what was said of them."""
    (tmp_path / "clean.eml").write_bytes(letter())
    right = {"id": "right", "message": "clean.eml"}
    wrong: tuple[Any, ...] = (
        {"id": "w1"},
        {"id": "w2", "message": "nowhere.eml"},
        {"id": "w3", "message": {"base64": "!"}},
        {"id": "w4", "message": "clean.eml", "rcpt": "a@b.vn"},
        {"id": "w5", "message": "clean.eml", "rcpts": "a@b.vn"},
        {"id": "w6", "message": "clean.eml", "hook": "x"},
        {"id": "w7", "message": "clean.eml", "at": "x"},
        {"id": "w8", "message": None},
        ["w9"],
    )
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(c) + "\n" for c in (right, *wrong)) + "nonsense\n")
    done = run("check", "--batch", "cases.jsonl")
    assert done.returncode == 1
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.splitlines()


def test_a_wrong_line_of_a_batch_is_answered_with_its_error(
    bad_lines: tuple[list[dict[str, Any]], list[str]],
) -> None:
    answers, said = bad_lines
    assert [answer["id"] for answer in answers] == ["right", *(f"w{n}" for n in range(1, 9)), None, None]
    assert [("error" in answer) for answer in answers] == [False] + [True] * 10
    assert [line.split(": ")[1] for line in said] == [f"cases.jsonl:{number}" for number in range(2, 12)]
