"""What administrators type: answers, formats, exit statuses, and one line for each thing that is wrong."""

import json
import socket
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from tests.lab.commands import ALONE, Run, one_line, shown, table
from tests.lab.mails import LIMIT_BYTES, OFFICE, OFFICER, OUTSIDER, letter, letter_with

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
    config = '[store]\nurl = "redis://mailgate:Secret1@redis.hanam.gov.vn/0"\n[spam]\npassword = "Secret2"\n'
    done = run("config", "show", "mailgate.toml", config=config, MAILGATE_WORKERS__COUNT="7")
    settings = shown(done)
    assert "Secret" not in done.stdout
    assert settings["store"]["url"] == "redis://mailgate:********@redis.hanam.gov.vn/0"
    assert settings["spam"]["password"] == "********"
    assert settings["workers"]["count"] == 7
    assert settings["rules"]["attachment-size"]["limit_bytes"] == LIMIT_BYTES


@pytest.mark.parametrize(
    "config",
    [
        '[store]\nurl = "redis://:Secret@redis/0"\n',
        '[store]\nurl = "rediss://mailgate:Sec%2Fret@redis/0"\n',
        '[store]\nurl = "redis://:Se@cret@redis/0"\n',
        '[store]\nurl = "redis://redis/0?password=Secret"\n',
        '[store]\nurl = "unix:///run/redis.sock?db=0&password=Secret"\n',
        '[spam]\nurl = "http://mailgate:Secret@rspamd:11333"\n',
        '[spam]\npassword = "Secret"\n',
    ],
)
def test_config_show_masks_every_secret(run: Run, config: str) -> None:
    done = run("config", "show", "mailgate.toml", config=config)
    assert done.returncode == 0
    assert "********" in done.stdout
    assert "cret" not in done.stdout
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


def test_check_as_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(letter_with(bytes(1_000), name="báo cáo.pdf"))
    accepted = shown(run("check", *OUTSIDE, "--json", "a.eml"))
    assert set(accepted) == ANSWER_FIELDS
    assert (accepted["action"], accepted["reply"], accepted["findings"]) == ("accept", None, [])
    assert accepted["attachments"] == [{"name": "báo cáo.pdf", "type": "application/octet-stream", "bytes": 1_000}]
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
