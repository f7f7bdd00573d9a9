"""Aliases and sub-addresses count for the mailboxes behind them."""

from pathlib import Path

import pytest
from tests.lab.mails import OFFICE, OFFICER, OUTSIDER, letter
from tests.lab.system import mail_system
from tests.lab.waiting import wait_until

from mailgate.identity.aliases import Aliases
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.identity.rewriting import Rewriting

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
