"""The auditor: every planted forward is found, with its file and line, and nothing else.

On the real postconf, postmap and postalias, and a Postfix configuration in the test's own folder.
"""

import json
import os
import socketserver
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest
from tests.lab.daemon import find_program

from mailgate.audit.edges import Harvest
from mailgate.audit.forward_files import Home, harvest_homes, homes_of
from mailgate.audit.ldif import harvest_ldif
from mailgate.audit.local_names import LocalNames, local_names
from mailgate.audit.postfix_maps import harvest_postfix
from mailgate.audit.report import Audit, audit, exempting_document
from mailgate.audit.sieve import Script, harvest_script
from mailgate.audit.sieve_files import harvest_dovecot, harvest_folders
from mailgate.audit.zimbra import harvest_zimbra
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.model import Exemption
from mailgate.postfix.instance import read_instance

MAILGATE = Path(sys.executable).with_name("mailgate")
AT = datetime(2026, 11, 25, tzinfo=UTC)
OURS = Organization(frozenset({"hanam.gov.vn"}), frozenset({"mx.hanam.gov.vn"}), frozenset({"gov.vn"}))
LOCAL = LocalNames(frozenset({"hanam.gov.vn", "mx.hanam.gov.vn"}), ("hanam.gov.vn",))

MAIN_CF = {
    "compatibility_level": "3.6",
    "myhostname": "mx.hanam.gov.vn",
    "myorigin": "hanam.gov.vn",
    "mydestination": "$myhostname, hanam.gov.vn, localhost",
    "alias_maps": "",
    "recipient_delimiter": "+",
    "queue_directory": "/nonexistent",
}
MASTER_CF = """\
smtp inet n - y - - smtpd
cleanup unix n - y - 0 cleanup
smtp unix - - y - - smtp
relay unix - - y - - smtp
"""

Row = tuple[str, str, str, str, int]


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder; {dir} in them is the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{dir}", str(folder)))


def write_postfix(folder: Path, main_cf: Mapping[str, str], master_cf: str = MASTER_CF) -> None:
    """Write a Postfix's configuration: one line of main.cf a setting, in this order."""
    settings = {**MAIN_CF, **main_cf}
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    write(folder, {"main.cf": text, "master.cf": master_cf})
    # Postfix waits until main.cf is two seconds old, lest it read what an editor has half written.
    os.utime(folder / "main.cf", (0, 0))


def compile_table(kind: str, path: Path, program: str = "postmap") -> None:
    """Compile a table, as its administrator does."""
    subprocess.run([find_program(program, "postfix"), f"{kind}:{path}"], check=True)


def rows_of(result: Audit, folder: Path) -> set[Row]:
    """Return forwards as (mailbox, target, kind, file below the folder, line)."""
    return {(f.mailbox, f.target, f.kind, os.path.relpath(f.file, folder), f.line) for f in result.forwards}


def audited(harvest: Harvest, local: LocalNames = LOCAL, exemptions: Sequence[Exemption] = ()) -> Audit:
    return audit(harvest, Identity(OURS), local, exemptions, AT)


def audited_postfix(folder: Path, mailboxes: Iterable[str] = ()) -> Audit:
    instance = read_instance(folder)
    local = local_names(instance, OURS)
    return audited(harvest_postfix(instance, OURS, local, list(mailboxes)), local)


# -- Postfix' tables -------------------------------------------------------------------------------

# main.cf's own line of what follows MAIN_CF.
MAIN_LINE = len(MAIN_CF) + 1
ANY_OURS = "@hanam.gov.vn"

VIRTUAL = """\
# who goes where
a@hanam.gov.vn      a@gmail.com
b@hanam.gov.vn      c@hanam.gov.vn, B@Gmail.Com,
                    b2@yahoo.com
c                   c@gmail.com
@hanam.gov.vn       d@gmail.com
state@hanam.gov.vn  x@moha.gov.vn
sub+tag@hanam.gov.vn  sub@gmail.com
hoa@gmail.com       x@yahoo.com
quoted@hanam.gov.vn "a b"@gmail.com, Lan <lan@gmail.com>
"""
VIRTUAL_ROWS = {
    ("a@hanam.gov.vn", "a@gmail.com", "virtual-alias", "virtual", 2),
    ("b@hanam.gov.vn", "b@gmail.com", "virtual-alias", "virtual", 3),
    ("b@hanam.gov.vn", "b2@yahoo.com", "virtual-alias", "virtual", 3),
    ("c@hanam.gov.vn", "c@gmail.com", "virtual-alias", "virtual", 5),
    (ANY_OURS, "d@gmail.com", "virtual-alias", "virtual", 6),
    ("sub@hanam.gov.vn", "sub@gmail.com", "virtual-alias", "virtual", 8),
    ("quoted@hanam.gov.vn", '"a b"@gmail.com', "virtual-alias", "virtual", 10),
    ("quoted@hanam.gov.vn", "lan@gmail.com", "virtual-alias", "virtual", 10),
}
PATTERNS = r"""/^a\.b@hanam\.gov\.vn$/  a@gmail.com
# any of ours
/^(.*)@hanam\.gov\.vn$/   $1@gmail.com, archive@hanam.gov.vn
if /gov/
/^(.*)@(hanam|hanoi)\.gov\.vn$/i ${1}@$2.example.com
endif
/^sales@example\.com$/    s@gmail.com
!/^x@/                    not@gmail.com
/^boss/                   boss@gmail.com
"""


def pattern_rows(name: str) -> set[Row]:
    return {
        ("a.b@hanam.gov.vn", "a@gmail.com", "virtual-alias", name, 1),
        (r"/^(.*)@hanam\.gov\.vn$/", "$1@gmail.com", "virtual-alias", name, 3),
        (r"/^(.*)@(hanam|hanoi)\.gov\.vn$/", "", "virtual-alias", name, 5),
        (ANY_OURS, "not@gmail.com", "virtual-alias", name, 8),
        ("/^boss/", "boss@gmail.com", "virtual-alias", name, 9),
    }


ALIASES = """\
postmaster: root
root: admin@gmail.com
list: :include:{dir}/list, /var/mail/archive
owner-list: boss@gmail.com
"quoted name": q@gmail.com
back: \\back, back@gmail.com
pipe: "|/usr/sbin/sendmail -f me@hanam.gov.vn -i p@gmail.com, p2@gmail.com"
blind: "|/usr/sbin/sendmail -t"
script: "|/usr/local/bin/ticket x@gmail.com"
inside: x@moha.gov.vn, root
"""
ALIAS_ROWS = {
    ("root@hanam.gov.vn", "admin@gmail.com", "alias", "aliases", 2),
    ("list@hanam.gov.vn", "l1@gmail.com", "alias", "list", 2),
    ("list@hanam.gov.vn", "l2@gmail.com", "alias", "deeper", 1),
    ("owner-list@hanam.gov.vn", "boss@gmail.com", "alias", "aliases", 4),
    ('"quoted name"@hanam.gov.vn', "q@gmail.com", "alias", "aliases", 5),
    ("back@hanam.gov.vn", "back@gmail.com", "alias", "aliases", 6),
    ("pipe@hanam.gov.vn", "p@gmail.com", "pipe", "aliases", 7),
    ("pipe@hanam.gov.vn", "p2@gmail.com", "pipe", "aliases", 7),
    ("blind@hanam.gov.vn", "", "pipe", "aliases", 8),
}
LISTS = {"list": "# members\nl1@gmail.com\n:include:{dir}/deeper\nx@moha.gov.vn\n", "deeper": "l2@gmail.com\n"}

# (main.cf, files, compiled tables, forwards)
POSTFIX: dict[str, tuple[dict[str, str], dict[str, str], tuple[tuple[str, str, str], ...], set[Row]]] = {
    "nothing": ({}, {}, (), set()),
    "hash": (
        {"virtual_alias_maps": "hash:{dir}/virtual"},
        {"virtual": VIRTUAL},
        (("hash", "virtual", "postmap"),),
        VIRTUAL_ROWS,
    ),
    "btree": (
        {"virtual_alias_maps": "btree:{dir}/virtual"},
        {"virtual": VIRTUAL},
        (("btree", "virtual", "postmap"),),
        VIRTUAL_ROWS,
    ),
    "hash, by proxy": (
        {"virtual_alias_maps": "proxy:hash:{dir}/virtual"},
        {"virtual": VIRTUAL},
        (("hash", "virtual", "postmap"),),
        VIRTUAL_ROWS,
    ),
    "texthash": ({"virtual_alias_maps": "texthash:{dir}/virtual"}, {"virtual": VIRTUAL}, (), VIRTUAL_ROWS),
    "regexp": ({"virtual_alias_maps": "regexp:{dir}/re"}, {"re": PATTERNS}, (), pattern_rows("re")),
    "pcre": ({"virtual_alias_maps": "pcre:{dir}/pcre"}, {"pcre": PATTERNS}, (), pattern_rows("pcre")),
    "pcre, inline": (
        {"virtual_alias_maps": r"pcre:{ { /^i@hanam\.gov\.vn$$/ i@gmail.com } }"},
        {},
        (),
        {("i@hanam.gov.vn", "i@gmail.com", "virtual-alias", "main.cf", MAIN_LINE)},
    ),
    "inline": (
        {"virtual_alias_maps": "inline:{ { a@hanam.gov.vn = a@gmail.com, b@gmail.com }, c@hanam.gov.vn=c@gov.vn }"},
        {},
        (),
        {
            ("a@hanam.gov.vn", "a@gmail.com", "virtual-alias", "main.cf", MAIN_LINE),
            ("a@hanam.gov.vn", "b@gmail.com", "virtual-alias", "main.cf", MAIN_LINE),
        },
    ),
    "static": (
        {"recipient_bcc_maps": "static:copy@gmail.com"},
        {},
        (),
        {(ANY_OURS, "copy@gmail.com", "bcc", "main.cf", MAIN_LINE)},
    ),
    "randmap": (
        {"recipient_bcc_maps": "randmap:{ a@gmail.com, b@gmail.com }"},
        {},
        (),
        {(ANY_OURS, f"{name}@gmail.com", "bcc", "main.cf", MAIN_LINE) for name in "ab"},
    ),
    "unionmap": (
        {"virtual_alias_maps": "unionmap:{ texthash:{dir}/one, inline:{ a@hanam.gov.vn=two@gmail.com } }"},
        {"one": "a@hanam.gov.vn one@gmail.com\n"},
        (),
        {
            ("a@hanam.gov.vn", "one@gmail.com", "virtual-alias", "one", 1),
            ("a@hanam.gov.vn", "two@gmail.com", "virtual-alias", "main.cf", MAIN_LINE),
        },
    ),
    "pipemap": (
        {"virtual_alias_maps": "pipemap:{ texthash:{dir}/one, inline:{ key=piped@gmail.com } }"},
        {"one": "# first\na@hanam.gov.vn key\nb@hanam.gov.vn other\n"},
        (),
        {("a@hanam.gov.vn", "piped@gmail.com", "virtual-alias", "one", 2)},
    ),
    "cidr answers no mailbox": (
        {"virtual_alias_maps": "cidr:{dir}/cidr"},
        {"cidr": "192.0.2.0/24 a@gmail.com\n"},
        (),
        set(),
    ),
    "aliases": (
        {"alias_maps": "hash:{dir}/aliases"},
        {"aliases": ALIASES, **LISTS},
        (("hash", "aliases", "postalias"),),
        ALIAS_ROWS,
    ),
    "aliases by pattern": (
        {"alias_maps": "regexp:{dir}/re"},
        {"re": "/^group-/ g@gmail.com\n/^exact$/ e@gmail.com\n"},
        (),
        {
            ("/^group-/", "g@gmail.com", "alias", "re", 1),
            ("exact@hanam.gov.vn", "e@gmail.com", "alias", "re", 2),
        },
    ),
    "copies": (
        {
            "recipient_bcc_maps": "texthash:{dir}/rbcc",
            "sender_bcc_maps": "texthash:{dir}/sbcc",
            "always_bcc": "all@gmail.com",
        },
        {
            "rbcc": "a@hanam.gov.vn ra@gmail.com\n@hanam.gov.vn archive@moha.gov.vn\n",
            "sbcc": "b@hanam.gov.vn sb@gmail.com\nlan@gmail.com lan@yahoo.com\n",
        },
        (),
        {
            ("a@hanam.gov.vn", "ra@gmail.com", "bcc", "rbcc", 1),
            ("b@hanam.gov.vn", "sb@gmail.com", "bcc", "sbcc", 1),
            (ANY_OURS, "all@gmail.com", "bcc", "main.cf", MAIN_LINE + 2),
        },
    ),
    "canonical": (
        {
            "canonical_maps": "texthash:{dir}/both",
            "recipient_canonical_maps": "texthash:{dir}/rcpt",
            "sender_canonical_maps": "texthash:{dir}/sender",
        },
        {
            "both": "a@hanam.gov.vn a@gmail.com\n",
            "rcpt": "b@hanam.gov.vn b@gmail.com\n",
            "sender": "c@hanam.gov.vn c@gmail.com\n",
        },
        (),
        {
            ("a@hanam.gov.vn", "a@gmail.com", "canonical", "both", 1),
            ("b@hanam.gov.vn", "b@gmail.com", "canonical", "rcpt", 1),
        },
    ),
    "transports": (
        {"transport_maps": "texthash:{dir}/transport"},
        {
            "transport": "a@hanam.gov.vn smtp:[gmail-smtp-in.l.google.com]\n"
            "b@hanam.gov.vn relay:[store.hanam.gov.vn]\n"
            "c@hanam.gov.vn smtp:[10.0.0.5]:2525\n"
            "d@hanam.gov.vn :[198.51.100.7]\n"
            "hanam.gov.vn   smtp:mx.example.com\n"
            "example.com    smtp:[mx.example.com]\n"
            "e@hanam.gov.vn local:\n"
            "f@hanam.gov.vn error:5.1.1 gone\n"
        },
        (),
        {
            ("a@hanam.gov.vn", "smtp:[gmail-smtp-in.l.google.com]", "transport", "transport", 1),
            ("d@hanam.gov.vn", ":[198.51.100.7]", "transport", "transport", 4),
            (ANY_OURS, "smtp:mx.example.com", "transport", "transport", 5),
        },
    ),
    "unknown names": (
        {"luser_relay": "$user@gmail.com"},
        {},
        (),
        {(ANY_OURS, "$user@gmail.com", "luser-relay", "main.cf", MAIN_LINE)},
    ),
    "by way of names that are not ours": (
        {
            "mydestination": "$myhostname, localhost",
            "myorigin": "$myhostname",
            "virtual_alias_maps": "texthash:{dir}/virtual",
            "alias_maps": "hash:{dir}/aliases",
        },
        {
            "virtual": "a@hanam.gov.vn adm@localhost\n@hanam.gov.vn @phong.gov.vn\nb@phong.gov.vn b@gmail.com\n",
            "aliases": "adm: adm2\nadm2: far@gmail.com\nother: nobodys@gmail.com\n",
        },
        (("hash", "aliases", "postalias"),),
        {
            ("a@hanam.gov.vn", "far@gmail.com", "alias", "aliases", 2),
            ("b@hanam.gov.vn", "b@gmail.com", "virtual-alias", "virtual", 3),
        },
    ),
}


@pytest.mark.parametrize("case", POSTFIX)
def test_every_planted_forward_of_postfix_is_found(tmp_path: Path, case: str) -> None:
    main_cf, files, compiled, wanted = POSTFIX[case]
    write_postfix(tmp_path, main_cf)
    write(tmp_path, files)
    for kind, name, program in compiled:
        compile_table(kind, tmp_path / name, program)
    result = audited_postfix(tmp_path)
    assert rows_of(result, tmp_path) == wanted
    assert result.unread == ()
    assert result.status == (1 if wanted else 0)


def test_a_service_of_its_own_settings_counts(tmp_path: Path) -> None:
    own = "pre-cleanup unix n - n - 0 cleanup\n  -o virtual_alias_maps=inline:{a@hanam.gov.vn=a@gmail.com}\n"
    write_postfix(tmp_path, {}, MASTER_CF + own)
    line = MASTER_CF.count("\n") + 1
    assert rows_of(audited_postfix(tmp_path), tmp_path) == {
        ("a@hanam.gov.vn", "a@gmail.com", "virtual-alias", "master.cf", line)
    }


@pytest.mark.parametrize("program", ["postmap", "postalias"])
def test_source_and_compiled_table_differ(tmp_path: Path, program: str) -> None:
    parameter = {"postmap": "virtual_alias_maps", "postalias": "alias_maps"}[program]
    colon = ":" if program == "postalias" else ""
    write_postfix(tmp_path, {parameter: "hash:{dir}/t"})
    write(tmp_path, {"t": f"both{colon} both@gmail.com\nold{colon} old@gmail.com\n"})
    compile_table("hash", tmp_path / "t", program)
    write(tmp_path, {"t": f"both{colon} both@gmail.com\nnew{colon} new@gmail.com\n"})
    said = {(Path(f.file).name, f.line, f.target, f.note) for f in audited_postfix(tmp_path).forwards}
    assert said == {
        ("t", 1, "both@gmail.com", ""),
        ("t", 2, "new@gmail.com", f"not compiled yet: {program} {tmp_path}/t"),
        ("t.db", 0, "old@gmail.com", f"in the compiled table alone: {tmp_path}/t"),
    }


def test_a_table_that_is_not_compiled_at_all(tmp_path: Path) -> None:
    write_postfix(tmp_path, {"virtual_alias_maps": "hash:{dir}/t"})
    write(tmp_path, {"t": "a@hanam.gov.vn a@gmail.com\n"})
    (forward,) = audited_postfix(tmp_path).forwards
    assert (forward.line, forward.note) == (1, f"not compiled yet: postmap {tmp_path}/t")


def test_a_table_that_cannot_be_listed_is_asked_for_what_is_known(tmp_path: Path) -> None:
    """environ:, unix: and the like answer questions alone; unix:passwd.byname knows root, and says no address."""
    write_postfix(tmp_path, {"virtual_alias_maps": "unix:passwd.byname"})
    alone = audited_postfix(tmp_path)
    assert [entry.line for entry in alone.unread] == [MAIN_LINE]
    assert "name them with --mailboxes FILE" in alone.unread[0].reason
    asked = audited_postfix(tmp_path, ["root@hanam.gov.vn"])
    assert asked.unread == ()
    (note,) = asked.notes
    assert note.startswith(f"{tmp_path}/main.cf:{MAIN_LINE}: unix:passwd.byname cannot be listed")


class _Answers(socketserver.StreamRequestHandler):
    """Speaks tcp_table(5), as tables do that can be asked and not listed."""

    known: ClassVar = {"a@hanam.gov.vn": "a@gmail.com", "@hanam.gov.vn": "d@gmail.com", "c@hanam.gov.vn": "c@gov.vn"}

    def handle(self) -> None:
        for line in self.rfile:
            value = self.known.get(line.decode().split()[1])
            self.wfile.write(f"200 {value}\n".encode() if value else b"500 none\n")


def test_what_such_a_table_answers_is_found(tmp_path: Path) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        spec = f"tcp:127.0.0.1:{server.server_address[1]}"
        write_postfix(tmp_path, {"virtual_alias_maps": f"proxy:{spec}"})
        result = audited_postfix(tmp_path, ["a@hanam.gov.vn", "b@hanam.gov.vn", "c@hanam.gov.vn"])
        server.shutdown()
    assert result.unread == ()
    assert rows_of(result, tmp_path) == {
        ("a@hanam.gov.vn", "a@gmail.com", "virtual-alias", "main.cf", MAIN_LINE),
        (ANY_OURS, "d@gmail.com", "virtual-alias", "main.cf", MAIN_LINE),
    }
    assert {forward.note for forward in result.forwards} == {f"answered by {spec}"}


def test_what_a_command_does_is_for_a_person_to_see(tmp_path: Path) -> None:
    write_postfix(tmp_path, {"alias_maps": "hash:{dir}/aliases"})
    write(tmp_path, {"aliases": 'script: "|/usr/local/bin/ticket x@gmail.com"\n'})
    compile_table("hash", tmp_path / "aliases", "postalias")
    result = audited_postfix(tmp_path)
    assert result.forwards == ()
    (note,) = result.notes
    assert (
        note
        == f"{tmp_path}/aliases:1: script is given to a command: see what it does: /usr/local/bin/ticket x@gmail.com"
    )


# -- people's own files ----------------------------------------------------------------------------


def test_every_planted_forward_of_homes_is_found(tmp_path: Path) -> None:
    write_postfix(tmp_path, {})
    write(
        tmp_path,
        {
            "home/an/.forward": "# mine\n\\an, an@gmail.com\n",
            "home/binh/.forward": '"|/usr/sbin/sendmail -i binh@gmail.com"\n',
            "home/binh/.forward+work": "work@gmail.com\n",
            "home/chi/.forward": "x@moha.gov.vn\n/home/chi/archive\n",
            "home/dung/.forward": ":include:~/friends\n",
            "home/dung/friends": "f@gmail.com\n",
            "home/em/.procmailrc": (
                "LOGFILE=x\n:0 c\n* ! ^X-Loop\n! -oi em@gmail.com, em@moha.gov.vn\n:0\n! $BACKUP\n"
                ":0\n| /usr/sbin/sendmail -oi em2@gmail.com\n:0\n| /usr/bin/vacation em\n"
            ),
            "home/giang/mail/.forward": "not-a-home@gmail.com\n",
        },
    )
    result = audited(harvest_homes(homes_of([f"{tmp_path}/home/*"]), read_instance(tmp_path)))
    assert rows_of(result, tmp_path) == {
        ("an@hanam.gov.vn", "an@gmail.com", "forward-file", "home/an/.forward", 2),
        ("binh@hanam.gov.vn", "binh@gmail.com", "pipe", "home/binh/.forward", 1),
        ("binh@hanam.gov.vn", "work@gmail.com", "forward-file", "home/binh/.forward+work", 1),
        ("dung@hanam.gov.vn", "f@gmail.com", "forward-file", "home/dung/friends", 1),
        ("em@hanam.gov.vn", "em@gmail.com", "procmail", "home/em/.procmailrc", 4),
        ("em@hanam.gov.vn", "", "procmail", "home/em/.procmailrc", 6),
        ("em@hanam.gov.vn", "em2@gmail.com", "procmail", "home/em/.procmailrc", 8),
    }
    assert result.unread == ()


# name → (command of an alias, files of rules, forwards)
PROCMAIL: dict[str, tuple[str, dict[str, str], set[Row]]] = {
    "its rules": (
        "/usr/bin/procmail -m {dir}/rc",
        {"rc": ":0\n! a@gmail.com\n"},
        {("x@hanam.gov.vn", "a@gmail.com", "procmail", "rc", 2)},
    ),
    "as procmail's manual has it": (
        "IFS=' ' && exec /usr/bin/procmail -f- -a y DROP=1 {dir}/rc || exit 75 #x",
        {"rc": "! a@gmail.com\n"},
        {("x@hanam.gov.vn", "a@gmail.com", "procmail", "rc", 1)},
    ),
    "rules that stay here": ("procmail -m {dir}/rc", {"rc": ":0\nMail/\n"}, set()),
    "rules with arguments": ("procmail -p -m {dir}/rc {dir}/rc2", {"rc": "", "rc2": "! a@gmail.com\n"}, set()),
}


@pytest.mark.parametrize("case", PROCMAIL)
def test_rules_that_a_command_gives_procmail_are_read(tmp_path: Path, case: str) -> None:
    command, files, wanted = PROCMAIL[case]
    write(tmp_path, {"aliases": f'x: "|{command}"\n', **files})
    write_postfix(tmp_path, {"alias_maps": "hash:{dir}/aliases"})
    compile_table("hash", tmp_path / "aliases", "postalias")
    result = audited_postfix(tmp_path)
    assert (rows_of(result, tmp_path), result.unread, result.notes) == (wanted, (), ())


@pytest.mark.parametrize("command", ["exec procmail", "procmail -d an", "procmail rules", "procmailer {dir}/rc"])
def test_procmail_without_a_file_of_rules_is_for_a_person_to_see(tmp_path: Path, command: str) -> None:
    write_postfix(tmp_path, {"alias_maps": "hash:{dir}/aliases"})
    write(tmp_path, {"aliases": f'x: "|{command}"\n', "rc": "! a@gmail.com\n"})
    compile_table("hash", tmp_path / "aliases", "postalias")
    result = audited_postfix(tmp_path)
    assert (result.forwards, len(result.notes), result.status) == ((), 1, 0)


def test_rules_that_a_forward_file_names_count_once(tmp_path: Path) -> None:
    write_postfix(tmp_path, {})
    files = {"home/an/.forward": '"|procmail .procmailrc"\n', "home/an/.procmailrc": "! an@gmail.com\n"}
    write(tmp_path, files)
    (forward,) = audited(harvest_homes(homes_of([f"{tmp_path}/home/*"]), read_instance(tmp_path))).forwards
    assert (forward.kind, forward.line) == ("procmail", 1)
    assert forward.note == f"procmail is run by {tmp_path}/home/an/.forward:1"


def test_users_who_share_a_home_each_have_a_forward(tmp_path: Path) -> None:
    write_postfix(tmp_path, {"forward_path": "{dir}/forward/$user, $home/.forward"})
    write(tmp_path, {"forward/binh": "binh@gmail.com\n", "home/.forward": "both@gmail.com\n"})
    homes = [Home(user, tmp_path / "home") for user in ("an", "binh")]
    assert rows_of(audited(harvest_homes(homes, read_instance(tmp_path))), tmp_path) == {
        ("an@hanam.gov.vn", "both@gmail.com", "forward-file", "home/.forward", 1),
        ("binh@hanam.gov.vn", "both@gmail.com", "forward-file", "home/.forward", 1),
        ("binh@hanam.gov.vn", "binh@gmail.com", "forward-file", "forward/binh", 1),
    }


def test_what_a_mailing_list_sends_to_its_members_is_a_note(tmp_path: Path) -> None:
    write_postfix(tmp_path, {"virtual_alias_maps": "texthash:{dir}/v"})
    write(tmp_path, {"v": "tin@hanam.gov.vn m@gmail.com\nan@hanam.gov.vn tin@hanam.gov.vn\n"})
    instance = read_instance(tmp_path)
    lists = replace(OURS, lists=frozenset({"tin@hanam.gov.vn"}))
    result = audit(harvest_postfix(instance, lists, LOCAL, []), Identity(lists), LOCAL, [], AT)
    assert (result.forwards, result.status) == ((), 0)
    assert result.notes == (f"{tmp_path}/v:1: tin@hanam.gov.vn is a mailing list; goes to m@gmail.com",)


@pytest.mark.parametrize(
    ("forward_path", "found"),
    [("$home/.forward", "an@gmail.com"), ("{dir}/forward/$user", "elsewhere@gmail.com"), ("", "")],
)
def test_forward_path_is_followed(tmp_path: Path, forward_path: str, found: str) -> None:
    write_postfix(tmp_path, {"forward_path": forward_path})
    write(tmp_path, {"home/an/.forward": "an@gmail.com\n", "forward/an": "elsewhere@gmail.com\n"})
    result = audited(harvest_homes(homes_of([f"{tmp_path}/home/*"]), read_instance(tmp_path)))
    assert [forward.target for forward in result.forwards] == [found] * bool(found)


# -- Sieve -----------------------------------------------------------------------------------------

Edges = set[tuple[str, str, int]]
# script → (target, kind, line) of what it sends on
SCRIPTS: dict[str, tuple[str, Edges]] = {
    "redirect": ('redirect "a@gmail.com";', {("a@gmail.com", "sieve", 1)}),
    "copies in branches": (
        'require ["copy"];\n# redirect "no@gmail.com";\n/* redirect "no@gmail.com"; */\n'
        'if header :contains "Subject" "redirect" {\n  redirect :copy "a@gmail.com";\n}\n'
        'elsif true { redirect "b@gmail.com"; }\nelse {\n  redirect\n "c@gmail.com"; }\n',
        {("a@gmail.com", "sieve", 5), ("b@gmail.com", "sieve", 7), ("c@gmail.com", "sieve", 9)},
    ),
    "variables": (
        'require "variables";\nset "once" "a@gmail.com";\nset :lower "made" "B";\n'
        'redirect "${once}";\nredirect "${made}";',
        {("a@gmail.com", "sieve", 4), ("", "sieve", 5)},
    ),
    "octets in hexadecimal": (
        'require "encoded-character";\nredirect "a${hex:40}gmail.com";',
        {("a@gmail.com", "sieve", 2)},
    ),
    "a text over lines": ("redirect text:\na@gmail.com\n.\n;", {("a@gmail.com", "sieve", 1)}),
    "notify": (
        'require "enotify";\nnotify :message "x@yahoo.com" "mailto:a@gmail.com?cc=b@gmail.com";\nnotify "xmpp:a@b";',
        {("a@gmail.com", "sieve-notify", 2), ("b@gmail.com", "sieve-notify", 2)},
    ),
    "vacation does not forward": (
        'require "vacation";\nvacation :addresses ["a@gmail.com"] "redirect \\"a@gmail.com\\";";',
        set(),
    ),
    "Zimbra's own words": (
        'require ["fileinto", "copy", "reject", "tag", "flag", "variables", "log", "enotify"];\n# my rule\n'
        'if anyof (header :contains ["subject"] "x") {\n tag "t";\n flag "read";\n redirect "a@gmail.com";\n}\n'
        'disabled_if true { redirect "b@gmail.com"; }\nnotify "c@gmail.com" "subject" "body";',
        {("a@gmail.com", "sieve", 6), ("b@gmail.com", "sieve", 8), ("c@gmail.com", "sieve-notify", 9)},
    ),
    "other scripts, headers": (
        'require ["include", "ereject", "editheader"];\ninclude :personal "o";\naddheader "X" "y";\nereject "no";',
        set(),
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_redirects_of_a_script(name: str) -> None:
    text, wanted = SCRIPTS[name]
    harvest = harvest_script(Script(text, "an@hanam.gov.vn", "sieve", "f"))
    assert harvest.unread == []
    assert {(edge.target, edge.kind, edge.line) for edge in harvest.edges} == wanted


@pytest.mark.parametrize(
    ("text", "line", "edges"),
    [
        ('keep;\nredirect "a@gmail.com;\n', 2, set()),
        ('redirect "a@gmail.com";\nforeverypart { break; }', 2, {("a@gmail.com", "sieve", 1)}),
        ('if true {\nredirect "a@gmail.com";\n', 3, {("a@gmail.com", "sieve", 2)}),
        ('redirect :copy "a@gmail.com";', 1, {("a@gmail.com", "sieve", 1)}),
    ],
)
def test_a_script_that_is_not_understood_is_named_with_its_line(text: str, line: int, edges: Edges) -> None:
    harvest = harvest_script(Script(text, "an@hanam.gov.vn", "sieve", "f"))
    assert [(entry.file, entry.line) for entry in harvest.unread] == [("f", line)]
    assert {(edge.target, edge.kind, edge.line) for edge in harvest.edges} == edges


@pytest.mark.parametrize(
    "text",
    ['redirect "a@gmail.com";\n' * 20_000, "notify " * 70_000, 'notify "a@b.com" "x" ' * 20_000, "if not " * 70_000],
    ids=["many redirects", "notify without an end", "notify without a semicolon", "tests in tests"],
)
def test_a_hostile_script_costs_no_more_than_its_length(text: str) -> None:
    begun = time.process_time()
    harvest_script(Script(text, "an@hanam.gov.vn", "sieve", "f"))
    assert time.process_time() - begun < 10


def test_every_planted_forward_of_sieve_folders_is_found(tmp_path: Path) -> None:
    vmail = tmp_path / "vmail"
    write(
        vmail,
        {
            "hanam.gov.vn/an/sieve/a.sieve": 'redirect "an@gmail.com";\n',
            "binh@hanam.gov.vn/.dovecot.sieve": 'redirect "binh@gmail.com";\n',
            "chi/sieve/rules.sieve": 'keep;\nredirect "chi@gmail.com";\n',
            "dung@hanam.gov.vn.sieve": 'redirect "dung@gmail.com";\n',
            "before.sieve": 'redirect "all@gmail.com";\n',
            "em/sieve/rules.txt": 'redirect "not-a-script@gmail.com";\n',
            "giang/keep": "",
        },
    )
    (vmail / "chi" / ".dovecot.sieve").symlink_to("sieve/rules.sieve")
    (vmail / "em" / ".dovecot.sieve").symlink_to("sieve/rules.txt")
    (vmail / "giang" / ".dovecot.sieve").symlink_to("../em/sieve/rules.txt")
    (vmail / "giang" / "up").symlink_to("..")
    result = audited(harvest_folders([vmail], OURS, LOCAL))
    assert rows_of(result, vmail) == {
        ("an@hanam.gov.vn", "an@gmail.com", "sieve", "hanam.gov.vn/an/sieve/a.sieve", 1),
        ("binh@hanam.gov.vn", "binh@gmail.com", "sieve", "binh@hanam.gov.vn/.dovecot.sieve", 1),
        ("chi@hanam.gov.vn", "chi@gmail.com", "sieve", "chi/sieve/rules.sieve", 2),
        ("dung@hanam.gov.vn", "dung@gmail.com", "sieve", "dung@hanam.gov.vn.sieve", 1),
        (ANY_OURS, "all@gmail.com", "sieve", "before.sieve", 1),
        ("em@hanam.gov.vn", "not-a-script@gmail.com", "sieve", "em/.dovecot.sieve", 1),
        ("giang@hanam.gov.vn", "not-a-script@gmail.com", "sieve", "giang/.dovecot.sieve", 1),
    }


def test_what_dovecot_is_set_to_is_found(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "home/an/.dovecot.sieve": 'redirect "an@gmail.com";\n',
            "home/an/sieve/other.sieve": 'redirect "other@gmail.com";\n',
            "before/b.sieve": 'redirect "all@gmail.com";\n',
            "vmail/hanam.gov.vn/binh/.dovecot.sieve": 'redirect "binh@gmail.com";\n',
        },
    )
    settings = {
        "sieve": "file:~/sieve;active=~/.dovecot.sieve",
        "sieve_before": f"{tmp_path}/before",
        "mail_home": f"{tmp_path}/vmail/%d/%n",
    }
    result = audited(harvest_dovecot(settings, homes_of([f"{tmp_path}/home/*"]), OURS, LOCAL))
    assert rows_of(result, tmp_path) == {
        ("an@hanam.gov.vn", "an@gmail.com", "sieve", "home/an/.dovecot.sieve", 1),
        ("an@hanam.gov.vn", "other@gmail.com", "sieve", "home/an/sieve/other.sieve", 1),
        (ANY_OURS, "all@gmail.com", "sieve", "before/b.sieve", 1),
        ("binh@hanam.gov.vn", "binh@gmail.com", "sieve", "vmail/hanam.gov.vn/binh/.dovecot.sieve", 1),
    }


# what Dovecot's `sieve` is set to → whose scripts are found there
TEMPLATES: dict[str, set[Row]] = {
    "{dir}/%n.sieve": {("an@hanam.gov.vn", "an@gmail.com", "sieve", "an.sieve", 1)},
    "{dir}/%Lu/%{user}.sieve": {
        ("binh@hanam.gov.vn", "binh@gmail.com", "sieve", "binh@hanam.gov.vn/binh@hanam.gov.vn.sieve", 1)
    },
    "{dir}/mail/%d/%n": {("chi@hanam.gov.vn", "chi@gmail.com", "sieve", "mail/hanam.gov.vn/chi/s.sieve", 1)},
    "{dir}/%d/all.sieve": {(ANY_OURS, "all@gmail.com", "sieve", "hanam.gov.vn/all.sieve", 1)},
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_variables_of_a_path_tell_whose_a_script_is(tmp_path: Path, template: str) -> None:
    write(
        tmp_path,
        {
            "an.sieve": 'redirect "an@gmail.com";\n',
            "binh@hanam.gov.vn/binh@hanam.gov.vn.sieve": 'redirect "binh@gmail.com";\n',
            "binh@hanam.gov.vn/another@hanam.gov.vn.sieve": 'redirect "another@gmail.com";\n',
            "mail/hanam.gov.vn/chi/s.sieve": 'redirect "chi@gmail.com";\n',
            "hanam.gov.vn/all.sieve": 'redirect "all@gmail.com";\n',
            "mail/hanam-gov.vn/dung/s.sieve": 'redirect "dung@gmail.com";\n',
        },
    )
    path = template.replace("{dir}", str(tmp_path))
    named = audited(harvest_folders([Path(path)], OURS, LOCAL))
    by_dovecot = audited(harvest_dovecot({"sieve": f"file:{path}"}, [], OURS, LOCAL))
    assert rows_of(named, tmp_path) == rows_of(by_dovecot, tmp_path) == TEMPLATES[template]


def test_a_path_that_matches_nothing_is_named(tmp_path: Path) -> None:
    for name in ("%n.sieve", "%x.sieve"):
        (unread,) = audited(harvest_folders([tmp_path / name], OURS, LOCAL)).unread
        assert unread.file == f"{tmp_path}/{name}"


# -- exports ---------------------------------------------------------------------------------------

ZIMBRA = """\
# name an@hanam.gov.vn
cn: Nguyen Van An
description: first line
zimbraPrefMailForwardingAddress: is-text@gmail.com
zimbraId: 1

# name binh@hanam.gov.vn
zimbraMailForwardingAddress: b1@gmail.com,b2@yahoo.com, x@moha.gov.vn
zimbraMailForwardingAddress: b3@gmail.com
zimbraMailSieveScript: require ["fileinto", "copy", "vacation"];
# rule: one
if header :contains "subject" "x" {
    redirect :copy "b4@gmail.com";
}
vacation text:
zimbra: hello
mail: redirect "no@gmail.com";
.
;
zimbraMailOutgoingSieveScript: redirect "b5@gmail.com";
mail: binh@hanam.gov.vn

# name lan@other.gov.vn
zimbraPrefMailForwardingAddress: lan@gmail.com
"""


def test_every_planted_forward_of_a_zimbra_export_is_found(tmp_path: Path) -> None:
    write(tmp_path, {"z": ZIMBRA})
    result = audited(harvest_zimbra(tmp_path / "z"))
    assert result.unread == ()
    assert rows_of(result, tmp_path) == {
        ("an@hanam.gov.vn", "is-text@gmail.com", "zimbra-preference", "z", 4),
        ("binh@hanam.gov.vn", "b1@gmail.com", "zimbra-forwarding", "z", 8),
        ("binh@hanam.gov.vn", "b2@yahoo.com", "zimbra-forwarding", "z", 8),
        ("binh@hanam.gov.vn", "b3@gmail.com", "zimbra-forwarding", "z", 9),
        ("binh@hanam.gov.vn", "b4@gmail.com", "zimbra-sieve", "z", 13),
        ("binh@hanam.gov.vn", "b5@gmail.com", "zimbra-outgoing-sieve", "z", 20),
    }


def test_a_broken_script_of_an_account_hides_nothing_that_follows(tmp_path: Path) -> None:
    export = (
        "# name an@hanam.gov.vn\nzimbraMailSieveScript: if true {\nzimbraPrefMailForwardingAddress: a@gmail.com\n"
    )
    write(tmp_path, {"z": export})
    result = audited(harvest_zimbra(tmp_path / "z"))
    assert rows_of(result, tmp_path) == {("an@hanam.gov.vn", "a@gmail.com", "zimbra-preference", "z", 3)}
    assert [(entry.file, entry.line) for entry in result.unread] == [(f"{tmp_path}/z", 2)]


SCRIPT = b64encode(b'require "copy";\nredirect :copy "sieve@gmail.com";\n').decode()
LDIF = f"""\
version: 1
# people
dn: uid=an,ou=people
mail: lan@example.com
mail: an@hanam.gov.vn
zimbraPrefMailForwardingAddress: fol
 ded@gmail.com
mailForwardingAddress:: {b64encode(b"base64@gmail.com").decode()}
mailRoutingAddress: an@store.hanam.gov.vn
zimbraMailSieveScript:: {SCRIPT[:20]}
 {SCRIPT[20:]}

dn: cn=list
mail: list@hanam.gov.vn
mgrpRFC822MailMember: m1@gmail.com
rfc822MailMember: Lan <m2@gmail.com>
mailRoutingAddress: r@gmail.com

dn: cn=maildrop
mail: drop@hanam.gov.vn
maildrop: drop
maildrop: d@gmail.com

dn: cn=other
mail: x@other.gov.vn
maildrop: y@gmail.com
"""


def test_every_planted_forward_of_an_ldif_is_found(tmp_path: Path) -> None:
    write(tmp_path, {"l": LDIF})
    result = audited(harvest_ldif(tmp_path / "l", OURS))
    assert result.unread == ()
    assert rows_of(result, tmp_path) == {
        ("an@hanam.gov.vn", "folded@gmail.com", "zimbra-preference", "l", 6),
        ("an@hanam.gov.vn", "base64@gmail.com", "ldap-forwarding", "l", 8),
        ("an@hanam.gov.vn", "sieve@gmail.com", "zimbra-sieve", "l", 11),
        ("list@hanam.gov.vn", "m1@gmail.com", "ldap-member", "l", 15),
        ("list@hanam.gov.vn", "m2@gmail.com", "ldap-member", "l", 16),
        ("list@hanam.gov.vn", "r@gmail.com", "ldap-routing", "l", 17),
        ("drop@hanam.gov.vn", "d@gmail.com", "ldap-maildrop", "l", 22),
    }


# -- what cannot be read ---------------------------------------------------------------------------


def _link_in_a_circle(path: Path) -> None:
    path.symlink_to(path)


# source → (main.cf, files, what else is done to the folder, file that is named, line, words of the reason)
BROKEN: dict[str, tuple[dict[str, str], dict[str, str], Callable[[Path], None], str, int, str]] = {
    "no such table": ({"virtual_alias_maps": "hash:{dir}/t"}, {}, lambda _: None, "t", 0, "no such file"),
    "a source line": (
        {"virtual_alias_maps": "texthash:{dir}/t"},
        {"t": "a@hanam.gov.vn x@moha.gov.vn\nalone\n"},
        lambda _: None,
        "t",
        2,
        "write KEY VALUE",
    ),
    "an alias": (
        {"alias_maps": "hash:{dir}/t"},
        {"t": "a: x@moha.gov.vn\nno colon here\n"},
        lambda _: None,
        "t",
        2,
        "write NAME: VALUE",
    ),
    "a pattern": (
        {"virtual_alias_maps": "regexp:{dir}/t"},
        {"t": "/open x@gmail.com\n"},
        lambda _: None,
        "t",
        1,
        "write /PATTERN/ RESULT",
    ),
    "a list that is missing": (
        {"alias_maps": "hash:{dir}/t"},
        {"t": "a: :include:{dir}/nowhere\n"},
        lambda _: None,
        "nowhere",
        0,
        "no such file",
    ),
    "a list in a circle": (
        {"alias_maps": "hash:{dir}/t"},
        {"t": "a: :include:{dir}/l\n", "l": "x@moha.gov.vn\n:include:{dir}/l\n"},
        lambda _: None,
        "l",
        2,
        "includes itself",
    ),
    "a link in a circle": (
        {},
        {"home/an/x": ""},
        lambda folder: _link_in_a_circle(folder / "home/an/.forward"),
        "home/an/.forward",
        0,
        "circle",
    ),
    "a pipe": (
        {},
        {"home/an/x": ""},
        lambda folder: os.mkfifo(folder / "home/an/.forward"),
        "home/an/.forward",
        0,
        "no regular file",
    ),
    "a folder": ({}, {"home/an/.forward/x": ""}, lambda _: None, "home/an/.forward", 0, "no regular file"),
    "a file too large": (
        {},
        {"home/an/.forward": "x" * ((1 << 20) + 1)},
        lambda _: None,
        "home/an/.forward",
        0,
        "too large",
    ),
    "a type of table that this Postfix lacks": (
        {"virtual_alias_maps": "ldap:{dir}/ldap.cf"},
        {"ldap.cf": "server_host = 127.0.0.1\n"},
        lambda _: None,
        "main.cf",
        MAIN_LINE,
        "unsupported dictionary type: ldap",
    ),
    "rules in another file": (
        {},
        {"home/an/.procmailrc": "INCLUDERC=more\n"},
        lambda _: None,
        "home/an/.procmailrc",
        1,
        "not read",
    ),
    "a script": ({}, {"sieve/a.sieve": "keep;\nredirect\n"}, lambda _: None, "sieve/a.sieve", 2, "not understood"),
    "a Zimbra export": ({}, {"zimbra": "uid: an\n"}, lambda _: None, "zimbra", 1, "zmprov"),
    "an LDIF line": ({}, {"ldif": "dn: x\nnonsense\n"}, lambda _: None, "ldif", 2, "NAME: VALUE"),
    "an LDIF's base64": ({}, {"ldif": "mail:: a*b\n"}, lambda _: None, "ldif", 1, "no base64"),
    "an LDIF's URL": ({}, {"ldif": "mail:< file:///etc/passwd\n"}, lambda _: None, "ldif", 1, "not read"),
}


def run_audit(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a folder's Postfix, homes and, where they are, scripts and exports."""
    (folder / "mailgate.toml").write_text('[store]\nurl = "sqlite:store.db"\n')
    arguments = ["--config", "mailgate.toml", "--config-dir", str(folder), "--home", f"{folder}/home/*"]
    arguments += ["--sieve", f"{folder}/sieve"] if (folder / "sieve").exists() else ["--sieve", f"{folder}/empty"]
    (folder / "empty").mkdir(exist_ok=True)
    for name in ("zimbra", "ldif", "mailboxes"):
        arguments += [f"--{name}", f"{folder}/{name}"] if (folder / name).exists() else []
    return subprocess.run(
        [MAILGATE, "forwards", "audit", *arguments, *more],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path: Path, case: str) -> None:
    main_cf, files, also, file, line, reason = BROKEN[case]
    write_postfix(tmp_path, {**main_cf, "always_bcc": "rest@gmail.com"})
    write(tmp_path, {**files, "mailboxes": "an@hanam.gov.vn\n"})
    also(tmp_path)
    done = run_audit(tmp_path, "--format", "json")
    assert done.returncode == 2
    *forwards, unread = json.loads(done.stdout)
    assert [forward["target"] for forward in forwards] == ["rest@gmail.com"]
    assert (unread["kind"], unread["file"], unread["line"]) == ("not-audited", f"{tmp_path}/{file}", line)
    assert reason in unread["note"]
    said = done.stderr.splitlines()[0]
    assert said.startswith(f"mailgate: {tmp_path}/{file}:{line}: " if line else f"mailgate: {tmp_path}/{file}: ")


# -- exemptions and the command --------------------------------------------------------------------

UNTIL = AT.timestamp() + 1


@pytest.mark.parametrize(
    ("mailbox", "counterpart", "until", "rule", "document"),
    [
        ("a@hanam.gov.vn", "lan@gmail.com", UNTIL, "auto-forward", "12"),
        ("", "", UNTIL, "auto-forward", "12"),
        ("hanam.gov.vn", "gmail.com", UNTIL, "auto-forward", "12"),
        ("b@hanam.gov.vn", "", UNTIL, "auto-forward", ""),
        ("", "yahoo.com", UNTIL, "auto-forward", ""),
        ("lan@gmail.com", "a@hanam.gov.vn", UNTIL, "auto-forward", ""),
        ("", "", AT.timestamp(), "auto-forward", ""),
        ("", "", UNTIL, "spam", ""),
    ],
)
def test_what_a_document_allows(mailbox: str, counterpart: str, until: float, rule: str, document: str) -> None:
    exemption = Exemption(rule, mailbox, counterpart, until, "12")
    assert exempting_document([exemption], "a@hanam.gov.vn", "lan@gmail.com", AT) == document


def test_the_command_lists_forwards_and_what_allows_them(tmp_path: Path) -> None:
    write_postfix(tmp_path, {"virtual_alias_maps": "texthash:{dir}/v"})
    write(tmp_path, {"v": "a@hanam.gov.vn lan@gmail.com\n", "home/an/.forward": "\\an\n"})
    exemption = (
        '[[exemption]]\nrule = "auto-forward"\nmailbox = "a@hanam.gov.vn"\nuntil = 2099-12-31\ndocument = "12/QĐ"\n'
    )
    refused = run_audit(tmp_path, "--format", "csv")
    assert (refused.returncode, refused.stderr) == (1, "")
    head, row = refused.stdout.splitlines()
    assert head == "mailbox,target,kind,file,line,exempt,note"
    assert row == f"a@hanam.gov.vn,lan@gmail.com,virtual-alias,{tmp_path}/v,1,,"
    (tmp_path / "exempt.toml").write_text(exemption)
    allowed = run_audit(tmp_path, "--format", "json", "--config", "exempt.toml")
    assert (allowed.returncode, allowed.stderr) == (0, "")
    (forward,) = json.loads(allowed.stdout)
    assert forward["exempt"] == "12/QĐ"


@pytest.mark.parametrize("target", ["x@moha.gov.vn", "b@hanam.gov.vn", "lan@mien-tru.example"])
def test_state_bodies_and_what_a_document_allows_are_status_0(tmp_path: Path, target: str) -> None:
    bcc = {"recipient_bcc_maps": "texthash:{dir}/v", "always_bcc": target}
    write_postfix(tmp_path, {"alias_maps": "hash:{dir}/aliases", "virtual_alias_maps": "texthash:{dir}/v", **bcc})
    files = {"v": f"a@hanam.gov.vn {target}\n", "aliases": f'a: {target}\np: "|sendmail -i {target}"\n'}
    homes = {"home/an/.forward": f"{target}\n", "sieve/an@hanam.gov.vn.sieve": f'redirect "{target}";\n'}
    write(tmp_path, files | homes)
    compile_table("hash", tmp_path / "aliases", "postalias")
    (tmp_path / "exempt.toml").write_text(
        '[[exemption]]\nrule = "auto-forward"\ncounterpart = "mien-tru.example"\nuntil = 2099-12-31\n'
        'document = "12/QĐ"\n'
    )
    done = run_audit(tmp_path, "--format", "json", "--config", "exempt.toml")
    assert done.returncode == 0, done.stdout
    assert {forward["exempt"] for forward in json.loads(done.stdout)} <= {"12/QĐ"}


def test_an_exemption_of_the_store_allows_a_forward(tmp_path: Path) -> None:
    write_postfix(tmp_path, {"virtual_alias_maps": "texthash:{dir}/v"})
    write(tmp_path, {"v": "a@hanam.gov.vn lan@gmail.com\n"})
    assert run_audit(tmp_path).returncode == 1
    order = ("a@hanam.gov.vn", "lan@gmail.com", "--until", "2099-12-31", "--document", "12", "--approver", "An")
    arguments = [str(MAILGATE), "exemptions", "add", *order, "--reason", "x", "--config", "mailgate.toml"]
    subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True)
    allowed = run_audit(tmp_path, "--format", "json")
    assert allowed.returncode == 0
    assert [forward["exempt"] for forward in json.loads(allowed.stdout)] == ["12"]


def test_the_table_ends_with_what_was_not_audited_and_what_helps(tmp_path: Path) -> None:
    write_postfix(tmp_path, {"virtual_alias_maps": "texthash:{dir}/nowhere"})
    write(tmp_path, {"home/an/.forward": "an@gmail.com\n"})
    done = run_audit(tmp_path)
    assert done.returncode == 2
    assert "an@hanam.gov.vn  an@gmail.com  forward-file" in done.stdout
    assert "not audited:\n" in done.stdout
    assert f"note: `forward_path =` (empty) in {tmp_path}/main.cf would end all .forward files" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--config-dir", "nowhere"), "nowhere/main.cf"),
        (("--mailboxes", "nowhere"), "nowhere: no such file"),
    ],
)
def test_a_wrong_call_is_status_2_and_one_line(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    write_postfix(tmp_path, {})
    done = run_audit(tmp_path, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line
