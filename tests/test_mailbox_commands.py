"""`mailgate mailboxes`: the registry in and out, who did what to a mailbox, and addresses by clause 5."""

import getpass
import io
import json
from pathlib import Path

import pytest
from tests.lab.commands import Done, Run, one_line, runner, shown, table
from tests.lab.mails import OFFICE, OFFICER, OUTSIDER, letter

from mailgate.ledger.opening import open_store
from mailgate.mailboxes.registry import write_csv

HEAD = "address,kind,name,unit,created,password_changed"
HA = "nguyenthithanhha@hanam.gov.vn"
REGISTRY = f"""\
{HEAD}
{HA},individual,Nguyễn Thị Thanh Hà,Sở Nội vụ,2025-01-02,
{OFFICER},unit,Phòng Tư pháp,huyện Bình Lục,2025-01-02,2025-02-03
{OFFICE},unit,Sở Thông tin và Truyền thông,,2025-01-02,2025-02-03
"""
UNKNOWN = "nobody@hanam.gov.vn"


@pytest.fixture
def registered(run: Run) -> Run:
    """The same with a registry of three mailboxes."""
    assert run("mailboxes", "import", "-", stdin=REGISTRY).returncode == 0
    return run


def exported(run: Run) -> str:
    done = run("mailboxes", "export")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# -- import and export -----------------------------------------------------------------------------


def test_what_is_imported_is_exported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(REGISTRY)
    done = run("mailboxes", "import", "a.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a.csv: imported 3\n", "")
    assert exported(run) == REGISTRY
    assert run("mailboxes", "export", "--output", "b.csv").stdout == ""
    assert (tmp_path / "b.csv").read_bytes() == REGISTRY.replace("\n", "\r\n").encode()
    assert run("mailboxes", "import", "b.csv").returncode == 0
    assert exported(run) == REGISTRY
    assert {file.name for file in tmp_path.glob("*csv*")} == {"a.csv", "b.csv"}


def test_an_export_takes_the_place_of_the_old_one(registered: Run, tmp_path: Path) -> None:
    old = tmp_path / "old.csv"
    old.write_text("old")
    old.chmod(0o640)
    (tmp_path / "link.csv").symlink_to(old)
    assert registered("mailboxes", "export", "--output", "link.csv").returncode == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (old.stat().st_mode & 0o777, old.read_text()) == (0o640, REGISTRY)
    assert registered("mailboxes", "export", "--output", "/dev/stdout").stdout == REGISTRY


def test_nothing_is_imported_while_a_line_is_bad(registered: Run, tmp_path: Path) -> None:
    lines = ("lan@example.com,unit,A,,2025-01-02,", f"{HA},unit,Mới,,2025-01-02,", "x@hanam.gov.vn,a,A,,2025-01-02,")
    (tmp_path / "bad.csv").write_text("\n".join((HEAD, *lines)))
    done = registered("mailboxes", "import", "bad.csv")
    assert (done.returncode, done.stdout) == (1, "")
    first, second, summary = done.stderr.splitlines()
    assert first.startswith("bad.csv:2: address lan@example.com is not of this system")
    assert second.startswith("bad.csv:4: kind 'a' is unknown")
    assert summary == (
        "mailgate: bad.csv: nothing was imported; bad lines: 2: mend them, or import the rest with --skip-bad"
    )
    assert exported(registered) == REGISTRY
    done = registered("mailboxes", "import", "bad.csv", "--skip-bad")
    assert (done.returncode, done.stdout) == (0, "bad.csv: imported 1, skipped 2\n")
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == ["2", "4"]
    assert f"{HA},unit,Mới," in exported(registered)


def test_a_dry_run_changes_nothing(run: Run) -> None:
    done = run("mailboxes", "import", "-", "--dry-run", stdin=REGISTRY)
    assert (done.returncode, done.stdout) == (0, "-: would have imported 3\n")
    assert exported(run) == f"{HEAD}\n"


def test_warnings_are_told_and_hinder_nothing(run: Run) -> None:
    lines = [f"q{n}@hanam.gov.vn,unit,Đội {n},,2025-01-02," for n in range(102)]
    done = run("mailboxes", "import", "-", stdin="\n".join([HEAD, *lines]))
    assert (done.returncode, done.stdout) == (0, "-: imported 102\n")
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("-:2: warning: its address fits no form of clause 5")
    assert last == "-: warning: 2 more warnings are not shown"


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        ("", "-: is empty"),
        ("a,b\n", "-:1: unknown column 'a', 'b'; missing column 'address'"),
        (f"{HEAD}\nx\n", "-:2: has 1 fields"),
    ],
)
def test_skip_bad_wants_one_good_line(run: Run, stdin: str, says: str) -> None:
    done = run("mailboxes", "import", "-", "--skip-bad", stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    problem, summary = done.stderr.splitlines()
    assert problem.startswith(says)
    assert summary == "mailgate: -: nothing was imported; bad lines: 1: mend them"


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same with one mailbox locked, one revoked and one restored; no test changes it."""
    registered = runner(tmp_path_factory.mktemp("changed"))
    assert registered("mailboxes", "import", "-", stdin=REGISTRY).returncode == 0
    for arguments in (
        ("lock", HA, "--clause", "7.2b", "--reason", "virus"),
        ("revoke", OFFICER, "--document", "1/QĐ"),
        ("revoke", OFFICE, "--document", "2/QĐ"),
        ("restore", OFFICE, "--document", "3/QĐ"),
    ):
        done = registered("mailboxes", *arguments, "--by", "lan")
        assert done.returncode == 0
    return registered


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (
            ("zmprov",),
            f"ma {HA} zimbraAccountStatus locked\n"
            f"ma {OFFICER} zimbraAccountStatus closed\n"
            f"ma {OFFICE} zimbraAccountStatus active zimbraPasswordMustChange TRUE\n",
        ),
        (("dovecot-passwd-file",), f"{HA}\n{OFFICER}\n"),
        (
            ("ldif", "--base", "dc=vn", "--rdn", "uid", "--locked", "nsAccountLock: true", "--must-change", ""),
            "".join(
                f"\ndn: uid={address.partition('@')[0]},dc=vn\nchangetype: modify\nreplace: nsAccountLock\n{value}-\n"
                for address, value in (
                    (HA, "nsAccountLock: true\n"),
                    (OFFICER, "nsAccountLock: true\n"),
                    (OFFICE, ""),
                )
            ),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_states_for_what_holds_logins(changed: Run, tmp_path: Path, arguments: tuple[str, ...], want: str) -> None:
    done = changed("mailboxes", "export", "--format", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines(keepends=True) if not line.startswith(("#", "version: 1"))]
    assert "".join(lines) == want
    assert changed("mailboxes", "export", "--format", *arguments, "--output", str(tmp_path / "out")).returncode == 0
    assert (tmp_path / "out").read_text() == done.stdout


def test_the_registry_as_json(changed: Run) -> None:
    rows = shown(changed("mailboxes", "export", "--format", "json"))
    assert [(row["address"], row["status"], row["must_change_password"]) for row in rows] == [
        (HA, "locked", False),
        (OFFICER, "revoked", False),
        (OFFICE, "active", True),
    ]
    assert set(HEAD.split(",")) < set(rows[0])


# -- what is wrong, and the mend -------------------------------------------------------------------

LOCK = ("lock", OFFICER, "--clause", "7.2a")
EXEMPT = ("exempt", OFFICER, "--until", "2099-01-31", "--reason", "nghỉ phép", "--document", "5/QĐ")

# (command, exit status, what its one line says)
WRONG: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("import", "nowhere.csv"), 2, "nowhere.csv: No such file"),
    (("import", "."), 2, ".: Is a directory"),
    (("export", "--format", "xml"), 2, "--format"),
    (("export", "--format", "ldif"), 2, "--base is needed"),
    (("export", "--format", "ldif", "--base", "dc=vn", "--locked", "x"), 2, "write NAME: VALUE"),
    (("export", "--output", "nowhere/a.csv"), 1, "--output nowhere/a.csv: No such file"),
    (("list", "--kind", "x"), 2, "--kind"),
    (("list", "--status", "x"), 2, "--status"),
    (LOCK, 2, "--document or --reason is needed"),
    ((*LOCK, "--reason", " "), 2, "--document or --reason is needed"),
    (("lock", OFFICER, "--reason", "x", "--clause", "6.2"), 2, "write the ground for the lock"),
    (("lock", UNKNOWN, "--clause", "7.2a", "--reason", "x"), 1, f"{UNKNOWN} is neither in the registry nor seen"),
    (("revoke", UNKNOWN, "--document", "1"), 1, f"{UNKNOWN} is neither in the registry nor seen"),
    (("revoke", OFFICER), 2, "--document is needed"),
    (("restore", OFFICER), 2, "--document is needed"),
    (("restore", OFFICER, "--document", "1"), 1, f"{OFFICER} is active: restore takes a mailbox that is locked or"),
    (("password-changed", UNKNOWN), 1, f"{UNKNOWN} is not in the registry"),
    (("password-changed", OFFICER, "--at", "x"), 2, "--at x: write a date"),
    (("password-changed", OFFICER, "--at", "2999-01-01"), 1, "--at 2999-01-01: that day is in the future"),
    (("password-changed", OFFICER, "--at", "2024-01-01"), 1, f"{OFFICER} was created on 2025-01-02"),
    ((*EXEMPT, "--until", "2020-01-31"), 1, "--until 2020-01-31: that day is past"),
    ((*EXEMPT, "--until", "x"), 2, "--until x: write a date"),
    ((*EXEMPT, "--until", ""), 2, "--until is needed"),
    ((*EXEMPT, "--reason", ""), 2, "--reason is needed"),
    ((*EXEMPT, "--document", ""), 2, "--document is needed"),
    (("exempt", UNKNOWN, *EXEMPT[2:]), 1, f"{UNKNOWN} is neither in the registry nor seen"),
    (("exempt", OUTSIDER, *EXEMPT[2:]), 1, "is not of this system"),
    (("check-address", "stttt"), 2, "'stttt' is no address"),
    (("check-address", OFFICE, "--kind", "x"), 2, "--kind"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry of three mailboxes, which no test changes."""
    folder = tmp_path_factory.mktemp("site")
    assert runner(folder)("mailboxes", "import", "-", stdin=REGISTRY).returncode == 0
    return folder


@pytest.mark.parametrize(("arguments", "status", "says"), WRONG, ids=[" ".join(wrong[0])[:60] for wrong in WRONG])
async def test_what_is_wrong_is_one_line_and_changes_nothing(
    site: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    done = runner(site)("mailboxes", *arguments)
    assert says in one_line(done)
    assert done.returncode == status
    store = open_store("sqlite:mailgate.db", site)
    assert (await store.states(), await store.exemptions()) == ({}, [])
    out = io.StringIO(newline="")
    write_csv(await store.registrations(), out)
    assert out.getvalue().splitlines() == REGISTRY.splitlines()
    await store.close()


# -- states ----------------------------------------------------------------------------------------


def state(run: Run, address: str) -> dict[str, object]:
    last: dict[str, object] = shown(run("mailboxes", "show", address, "--format", "json"))["history"][-1]
    return last


@pytest.mark.parametrize(
    ("environment", "arguments", "by"),
    [
        ({}, ("--by", "lan.snv"), "lan.snv"),
        ({"SUDO_USER": "lan"}, (), "lan"),
        ({"SUDO_USER": ""}, (), getpass.getuser()),
    ],
)
def test_who_did_it_is_kept(run: Run, environment: dict[str, str], arguments: tuple[str, ...], by: str) -> None:
    assert run("mailboxes", *LOCK, "--reason", "x", *arguments, **environment).returncode == 0
    assert state(run, OFFICER)["by"] == by


def test_a_site_without_a_registry_locks_whom_it_likes(run: Run) -> None:
    assert run("mailboxes", "lock", UNKNOWN, "--clause", "7.2c", "--reason", "x").stdout == f"{UNKNOWN}: locked\n"


def test_a_mailbox_seen_in_mail_is_known(registered: Run, tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(letter())
    arguments = ("--client-ip", "203.0.113.7", "--from", OUTSIDER, "--rcpt", UNKNOWN, "a.eml")
    assert registered("check", "--record", *arguments).returncode == 0
    rows = table(registered("mailboxes", "list", "--unregistered", "--format", "csv"))
    assert [(row["address"], row["received"], row["registered"]) for row in rows] == [(UNKNOWN, "1", "False")]
    lines = registered("mailboxes", "show", UNKNOWN).stdout.splitlines()
    assert any(line.startswith("received 1, last 20") for line in lines)
    assert any(line.startswith("  human 1, last 20") for line in lines)
    assert registered("mailboxes", "revoke", UNKNOWN, "--document", "1/QĐ").returncode == 0


def test_a_lock_is_not_moved_to_another_ground(registered: Run) -> None:
    assert registered("mailboxes", *LOCK, "--document", "1/QĐ").returncode == 0
    done = registered("mailboxes", "lock", OFFICER, "--clause", "7.2b", "--document", "2/QĐ")
    assert done.returncode == 1
    assert f"{OFFICER} is locked: lock takes a mailbox that is active; restore or revoke takes this one" in one_line(
        done
    )


def test_a_restored_mailbox_must_change_its_password(registered: Run) -> None:
    registered("mailboxes", *LOCK, "--reason", "x")
    done = registered("mailboxes", "restore", OFFICER, "--document", "1/QĐ", "--by", "lan")
    assert done.stdout == f"{OFFICER}: active\n"
    assert done.stderr.endswith(f": then run mailgate mailboxes password-changed {OFFICER}\n")
    before = state(registered, OFFICER)
    assert (before["must_change_password"], before["by"]) == (True, "lan")
    assert "was restored on" in one_line(registered("mailboxes", "password-changed", OFFICER, "--at", "2026-01-31"))
    assert state(registered, OFFICER) == before
    day = str(before["at"])[:10]
    done = registered("mailboxes", "password-changed", OFFICER, "--at", day, "--by", "hoa")
    assert (done.returncode, done.stdout) == (0, f"{OFFICER}: password changed {day}\n")
    assert state(registered, OFFICER) == before | {"must_change_password": False, "by": "hoa"}
    assert f"{OFFICER},unit,Phòng Tư pháp,huyện Bình Lục,2025-01-02,{day}\n" in exported(registered)


def test_a_mailbox_is_exempt_from_inactivity(registered: Run) -> None:
    assert registered("mailboxes", *EXEMPT, "--by", "lan").stdout == (
        f"exemption 1: {OFFICER} from inactivity, 2099-01-31 included\n"
    )
    (row,) = shown(registered("exemptions", "list", "--format", "json"))
    columns = ("rule", "mailbox", "destination", "until", "state", "document", "approver", "reason")
    assert {name: row[name] for name in columns} == {
        "rule": "inactivity",
        "mailbox": OFFICER,
        "destination": "",
        "until": "2099-01-31",
        "state": "holds",
        "document": "5/QĐ",
        "approver": "lan",
        "reason": "nghỉ phép",
    }


# -- listings --------------------------------------------------------------------------------------


def test_a_list_joins_registry_states_and_totals(changed: Run) -> None:
    rows = shown(changed("mailboxes", "list", "--format", "json"))
    assert [row["address"] for row in rows] == [HA, OFFICER, OFFICE]
    row = rows[0]
    assert {name: row[name] for name in (*HEAD.split(","), "status", "clause", "by", "sent", "registered")} == {
        "address": HA,
        "kind": "individual",
        "name": "Nguyễn Thị Thanh Hà",
        "unit": "Sở Nội vụ",
        "created": "2025-01-02",
        "password_changed": "",
        "status": "locked",
        "clause": "7.2b",
        "by": "lan",
        "sent": None,
        "registered": True,
    }


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (("--kind", "individual"), [HA]),
        (("--kind", "unit"), [OFFICER, OFFICE]),
        (("--status", "revoked"), [OFFICER]),
        (("--status", "active"), [OFFICE]),
        (("--unit", "nội vụ"), [HA]),
        (("--unit", "nội vụ", "--status", "active"), []),
        (("--unregistered",), []),
    ],
)
def test_a_list_of_some(changed: Run, arguments: tuple[str, ...], want: list[str]) -> None:
    assert [row["address"] for row in shown(changed("mailboxes", "list", *arguments, "--format", "json"))] == want


def test_a_mailbox_is_shown(changed: Run) -> None:
    shown_json = shown(changed("mailboxes", "show", OFFICER, "--format", "json"))
    assert (shown_json["name"], shown_json["forms"], shown_json["ambiguous"]) == ("Phòng Tư pháp", ["5.1đ"], False)
    head, holder, form, sent, received, columns, act = changed("mailboxes", "show", OFFICER).stdout.splitlines()
    assert head == f"{OFFICER}: revoked"
    assert holder == "unit: Phòng Tư pháp, huyện Bình Lục; created 2025-01-02, password changed 2025-02-03"
    assert form.startswith("address by clause 5: 5.1đ; ")
    assert (sent, received) == ("sent 0", "received 0")
    assert columns.split()[-2:] == ["BY", "MUST_CHANGE_PASSWORD"]
    assert act.split()[-2:] == ["lan", "False"]
    head, *_ = changed("mailboxes", "show", OFFICE).stdout.splitlines()
    assert head == f"{OFFICE}: active; must change its password"
    _, holder, form, *_ = changed("mailboxes", "show", UNKNOWN).stdout.splitlines()
    assert (holder, form.startswith("address by clause 5: 5.1a or 5.2a; ambiguous: ")) == (
        "not in the registry",
        True,
    )


# -- addresses -------------------------------------------------------------------------------------


def explained(done: Done, status: int) -> list[str]:
    assert (done.returncode, done.stderr) == (status, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((OFFICE,), 0, "ambiguous: the kind in the registry decides: 5.2a where that is individual, 5.1a where"),
        ((OFFICE, "--kind", "unit"), 0, "5.1a unit: department: its initials (sở, ban, ngành)"),
        (("nguyễn@hanam.gov.vn",), 1, "ễ: an address has no marks (không dấu): nguyen"),
        ((OUTSIDER,), 1, "'example.com' is no domain of this system"),
        ((HA, "--name", "Nguyễn Thị Thanh Hà"), 0, "5.2a individual"),
        ((HA, "--name", "Nguyễn Thị Hà", "--unit", "Sở Y tế"), 1, "nguyenthiha.yt@hanam.gov.vn (5.2b)"),
    ],
)
def test_check_address(run: Run, arguments: tuple[str, ...], status: int, says: str) -> None:
    head, *lines = explained(run("mailboxes", "check-address", *arguments), status)
    assert head == f"{arguments[0]}: {'fits' if status == 0 else 'fits no form of clause 5'}"
    assert any(says in line for line in lines)


def test_check_address_as_json(run: Run) -> None:
    done = run("mailboxes", "check-address", HA, "--name", "Nguyễn Thị Hà", "--format", "json")
    found = json.loads("\n".join(explained(done, 1)))
    assert found["wanted"] == [{"address": "nguyenthiha@hanam.gov.vn", "clause": "5.2a", "how": ""}]
    assert (found["fits"], found["ambiguous"], found["forms"]) == (False, False, [])
    found = shown(run("mailboxes", "check-address", OFFICE, "--format", "json"))
    assert (found["fits"], found["ambiguous"]) == (True, True)
    assert [form["clause"] for form in found["forms"]] == ["5.1a", "5.2a"]
