"""Aliases and sub-addresses count for the mailboxes behind them."""

import subprocess
from pathlib import Path

import pytest
from tests.lab.daemon import find_program
from tests.lab.mails import OFFICE, OFFICER, OUTSIDER, letter
from tests.lab.postfix import Postfix
from tests.lab.sink import Sink
from tests.lab.smtp_client import send
from tests.lab.system import mail_system
from tests.lab.waiting import wait_until

from mailgate.identity.aliases import Aliases
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.identity.rewriting import Rewriting
from mailgate.identity.spelling import mailbox_of

REWRITING = Rewriting("hanam.gov.vn")
DOMAINS = frozenset({"hanam.gov.vn", "ninhbinh.gov.vn"})

VIRTUAL = """\
# a comment
vanthu@hanam.gov.vn   ptp.bl@hanam.gov.vn
Giao.Ban@hanam.gov.vn vanthu@hanam.gov.vn, stttt@hanam.gov.vn,
    a@example.com
giu@hanam.gov.vn      giu@hanam.gov.vn, stttt@hanam.gov.vn
ngoai@hanam.gov.vn    a@example.com
vong1@hanam.gov.vn    vong2@hanam.gov.vn
vong2@hanam.gov.vn    vong1@hanam.gov.vn
cu@ninhbinh.gov.vn    stttt@hanam.gov.vn
"""
LOCAL = """\
postmaster: stttt@hanam.gov.vn
in: "|/bin/false", /var/mail/in, :include:/etc/list
"""


@pytest.mark.parametrize(
    ("address", "mailboxes"),
    [
        ("vanthu@hanam.gov.vn", ("ptp.bl@hanam.gov.vn",)),
        ("vanthu+tag@hanam.gov.vn", ("ptp.bl@hanam.gov.vn",)),
        ("giao.ban@hanam.gov.vn", ("ptp.bl@hanam.gov.vn", "stttt@hanam.gov.vn")),
        ("giu@hanam.gov.vn", ("giu@hanam.gov.vn", "stttt@hanam.gov.vn")),
        ("ngoai@hanam.gov.vn", ("ngoai@hanam.gov.vn",)),
        ("vong1@hanam.gov.vn", ("vong1@hanam.gov.vn",)),
        ("postmaster@hanam.gov.vn", ("stttt@hanam.gov.vn",)),
        ("in@hanam.gov.vn", ("in@hanam.gov.vn",)),
        ("stttt@hanam.gov.vn", ("stttt@hanam.gov.vn",)),
        ("stttt+a@hanam.gov.vn", ("stttt@hanam.gov.vn",)),
        ("ai@ninhbinh.gov.vn", ("ai@ninhbinh.gov.vn",)),
        ("cu@ninhbinh.gov.vn", ("stttt@hanam.gov.vn",)),
    ],
)
def test_the_mailboxes_behind_an_address(tmp_path: Path, address: str, mailboxes: tuple[str, ...]) -> None:
    (tmp_path / "virtual").write_text(VIRTUAL)
    (tmp_path / "aliases").write_text(LOCAL)
    aliases = Aliases(["virtual", "alias:aliases"], tmp_path, DOMAINS, REWRITING)
    found, problems = aliases.read()
    assert [(Path(one.file).name, one.line) for one in problems] == [("virtual", 7), ("virtual", 8)], "a circle"
    aliases.take(found)
    assert Identity(Organization(DOMAINS), aliases=aliases).mailboxes(address) == mailboxes


def test_a_domain_may_stand_for_another(tmp_path: Path) -> None:
    (tmp_path / "virtual").write_text("@hanam.gov.vn @ninhbinh.gov.vn\nvt@ninhbinh.gov.vn ptp.bl@ninhbinh.gov.vn\n")
    aliases = Aliases(["virtual"], tmp_path, DOMAINS, REWRITING)
    aliases.take(aliases.read()[0])
    identity = Identity(Organization(DOMAINS), aliases=aliases)
    assert identity.mailboxes("lan+a@hanam.gov.vn") == ("lan@ninhbinh.gov.vn",)
    assert identity.mailboxes("vt@hanam.gov.vn") == ("ptp.bl@ninhbinh.gov.vn",)


def test_what_cannot_be_read_is_named_and_the_rest_holds(tmp_path: Path) -> None:
    (tmp_path / "virtual").write_text("vt@hanam.gov.vn ptp.bl@hanam.gov.vn\nnichts\n")
    aliases = Aliases(["virtual", "fehlt"], tmp_path, DOMAINS, REWRITING)
    found, unread = aliases.read()
    assert found == {"vt@hanam.gov.vn": ("ptp.bl@hanam.gov.vn",)}
    assert [(Path(one.file).name, one.line) for one in unread] == [("virtual", 2), ("fehlt", 0)]


LOOKED_UP: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "a catch-all is not everybody's mailbox": (
        "ptp.bl@hanam.gov.vn ptp.bl@hanam.gov.vn\n@hanam.gov.vn chung@hanam.gov.vn\n",
        {"ptp.bl": ("ptp.bl",), "ptp.bl+a": ("ptp.bl",), "khong.co": ("chung",), "chung": ("chung",)},
    ),
    "an alias of an alias, before a catch-all": (
        "a@hanam.gov.vn b@hanam.gov.vn\nb@hanam.gov.vn c@hanam.gov.vn\nc@hanam.gov.vn c@hanam.gov.vn\n"
        "@hanam.gov.vn chung@hanam.gov.vn\n",
        {"a": ("c",), "b": ("c",), "c": ("c",), "d": ("chung",)},
    ),
    "a target that only the catch-all knows": (
        "a@hanam.gov.vn b@hanam.gov.vn\n@hanam.gov.vn chung@hanam.gov.vn\n",
        {"a": ("chung",), "b": ("chung",)},
    ),
    "the full address before its sub-address": (
        "a+x@hanam.gov.vn b@hanam.gov.vn\na@hanam.gov.vn c@hanam.gov.vn\n",
        {"a+x": ("b",), "a+y": ("c",), "a": ("c",)},
    ),
    "two lines for one name": ("a@hanam.gov.vn b@hanam.gov.vn\na@hanam.gov.vn c@hanam.gov.vn\n", {"a": ("b",)}),
    "names without a domain": ("a b\n", {"a": ("b",)}),
    "unclear ones": ("a@hanam.gov.vn b%hanam.gov.vn, hanam.gov.vn!c, d(x)@hanam.gov.vn\n", {"a": ("b", "c", "d")}),
    "targets that are sub-addresses": (
        "b1@hanam.gov.vn c+x@hanam.gov.vn\nb2@hanam.gov.vn b1+q@hanam.gov.vn\n"
        "b3@hanam.gov.vn c@hanam.gov.vn, C@hanam.gov.vn, c+q\nb4@hanam.gov.vn c+a, d+b@hanam.gov.vn\n",
        {"b1": ("c",), "b2": ("c",), "b1+z": ("c",), "b3": ("c",), "b4": ("c", "d"), "c": ("c",)},
    ),
    "capitals": ("A@HaNam.gov.vn B@HANAM.GOV.VN\n", {"a": ("b",)}),
}


@pytest.mark.parametrize("case", LOOKED_UP)
def test_aliases_are_looked_up_as_postfix_does(tmp_path: Path, case: str) -> None:
    """Here, and by the real cleanup(8) of a Postfix whose virtual_alias_maps is the same file."""
    text, wanted = LOOKED_UP[case]
    (tmp_path / "virtual").write_text(text)
    aliases = Aliases(["virtual"], tmp_path, DOMAINS, REWRITING)
    aliases.take(aliases.read()[0])
    identity = Identity(Organization(DOMAINS), aliases=aliases)
    found = {local: identity.mailboxes(f"{local}@hanam.gov.vn") for local in wanted}
    assert found == {local: tuple(f"{each}@hanam.gov.vn" for each in behind) for local, behind in wanted.items()}
    subprocess.run(
        [find_program("postmap", "postfix"), f"hash:{tmp_path / 'virtual'}"], check=True, capture_output=True
    )
    main_cf = {"virtual_alias_maps": f"hash:{tmp_path / 'virtual'}", "recipient_delimiter": "+", **POSTFIX}
    with Sink() as sink, Postfix(deliver_to=sink.port, main_cf=main_cf) as postfix:
        seen = 0
        for local in wanted:
            assert send(postfix.smtp_port, OUTSIDER, [f"{local}@hanam.gov.vn"], letter()).status == "250 2.0.0"
            wait_until(lambda: not postfix.queue(), 10, "the mail to be delivered")
            delivered = {mailbox_of(address.encode()) for mail in sink.mails()[seen:] for address in mail.recipients}
            seen = len(sink.mails())
            assert {identity.account(address) for address in delivered} == set(found[local]), local


POSTFIX = {"myorigin": "hanam.gov.vn", "allow_percent_hack": "yes", "swap_bangpath": "yes"}


ALIASES = """\
in: "|/usr/bin/procmail -l log", ptp.bl
hop: "|/usr/lib/mailman/mail/mailman post thongbao"
ghi: /var/mail/ghi, "/var/mail/ghi hai"
them: :include:/etc/mail/list
thoat: \\ptp.bl
"Van Thu": stttt
ca.hai: ptp.bl, "stttt"
nua: |"/usr/bin/vacation -a x", stttt
"""


@pytest.mark.parametrize(
    ("local", "wanted"),
    [
        ("in", ("ptp.bl",)),
        ("hop", ("hop",)),
        ("ghi", ("ghi",)),
        ("them", ("them",)),
        ("thoat", ("ptp.bl",)),
        ("ca.hai", ("ptp.bl", "stttt")),
        ("nua", ("stttt",)),
    ],
)
def test_a_command_a_file_and_a_list_are_no_mailbox(tmp_path: Path, local: str, wanted: tuple[str, ...]) -> None:
    (tmp_path / "aliases").write_text(ALIASES)
    aliases = Aliases(["alias:aliases"], tmp_path, frozenset({"hanam.gov.vn"}), REWRITING)
    found, problems = aliases.read()
    assert problems == []
    aliases.take(found)
    identity = Identity(Organization(frozenset({"hanam.gov.vn"})), aliases=aliases)
    assert identity.mailboxes(f"{local}@hanam.gov.vn") == tuple(f"{each}@hanam.gov.vn" for each in wanted)
    assert not any("-l" in name or "/" in name for behind in found.values() for name in behind)


@pytest.mark.parametrize("files", [["virtual"], ["virtual", "other"]])
def test_a_file_with_a_bad_line_keeps_what_it_held(tmp_path: Path, files: list[str]) -> None:
    virtual, other = tmp_path / "virtual", tmp_path / "other"
    virtual.write_text("a@hanam.gov.vn b@hanam.gov.vn\n")
    other.write_text("c@hanam.gov.vn d@hanam.gov.vn\n")
    aliases = Aliases(files, tmp_path, DOMAINS, REWRITING)
    aliases.take(aliases.read()[0])
    virtual.write_text("a@hanam.gov.vn e@hanam.gov.vn\nbroken\n")
    other.write_text("c@hanam.gov.vn f@hanam.gov.vn\n")
    found, problems = aliases.read()
    aliases.take(found)
    assert [(Path(one.file).name, one.line) for one in problems] == [("virtual", 2)]
    assert aliases["a@hanam.gov.vn"] == ("b@hanam.gov.vn",)
    if "other" in files:
        assert aliases["c@hanam.gov.vn"] == ("f@hanam.gov.vn",), "another file goes on"
    virtual.write_text("a@hanam.gov.vn e@hanam.gov.vn\n")
    aliases.take(aliases.read()[0])
    assert aliases["a@hanam.gov.vn"] == ("e@hanam.gov.vn",), "mended, it holds"


def test_a_running_daemon_counts_for_the_mailbox_and_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "virtual"
    file.write_text(f"vanthu@hanam.gov.vn {OFFICER}\n")
    with mail_system({"organization": {"alias_files": [str(file)]}}) as system:
        assert system.receive(OUTSIDER, ["vanthu@hanam.gov.vn"], letter()).status == "250 2.0.0"
        assert system.mailgate.received() == {OFFICER: 1}
        file.write_text(f"vanthu@hanam.gov.vn {OFFICE}\n")

        def reaches_the_other() -> bool:
            assert system.receive(OUTSIDER, ["vanthu@hanam.gov.vn"], letter()).status == "250 2.0.0"
            return OFFICE in system.mailgate.received()

        wait_until(reaches_the_other, 15, "mail to count for the mailbox that the alias names now")
        assert set(system.mailgate.received()) == {OFFICE, OFFICER}
