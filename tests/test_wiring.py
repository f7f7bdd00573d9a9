"""Postfix's wiring: what `show` prints closes every road, and one setting that is broken is exactly one finding.

On the real postconf and Debian's own main.cf and master.cf, in a folder of the test's own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from tests.lab.daemon import find_program
from tests.lab.mails import OFFICE, OFFICER, OUTSIDER, letter
from tests.lab.ports import free_port
from tests.lab.shipped_wiring import egress_door
from tests.lab.system import mail_system
from tests.lab.waiting import wait_until

from mailgate.config import HookSection, ListenSection, OrganizationSection, Settings, SmtpSection, load
from mailgate.postfix.instance import read_instance
from mailgate.wiring.check import Wiring, open_roads, wiring_of
from mailgate.wiring.show import by_hand, commands, stanzas

MAILGATE = Path(sys.executable).with_name("mailgate")
STOCK = Path("/usr/share/postfix")
SHIPPED = Path(__file__).parents[1] / "config"
SUBMISSION = """\
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
"""
MAIN = "inet:127.0.0.1:8891"
LOCAL = "inet:127.0.0.1:8893"
HOOKS = [
    HookSection(name="mx", listener=MAIN, daemon_name="MX"),
    HookSection(name="submission", listener=MAIN, daemon_name="SUBMISSION"),
    HookSection(name="egress", listener=MAIN, daemon_name="EGRESS"),
    HookSection(name="non-smtp", listener=LOCAL),
]
EGRESS = "127.0.0.1:10026/inet"

Edit = Sequence[str]
Found = set[tuple[str, str]]


def settle(folder: Path) -> None:
    """Make main.cf old: Postfix waits two seconds lest it read what an editor has half written."""
    os.utime(folder / "main.cf", (0, 0))


def edit(folder: Path, *edits: Edit) -> None:
    """Run postconf with each of these arguments."""
    for arguments in edits:
        subprocess.run(
            [find_program("postconf", "postfix"), "-c", folder, *arguments], check=True, capture_output=True
        )
        settle(folder)


def stock(folder: Path, master_cf: str = SUBMISSION) -> Path:
    """Write Debian's own configuration, with a submission service, into a folder."""
    folder.mkdir()
    shutil.copy(STOCK / "main.cf.debian", folder / "main.cf")
    master = folder / "master.cf"
    shutil.copy(STOCK / "master.cf.dist", master)
    master.write_text(master.read_text() + master_cf)
    names = ("myhostname=mx.hanam.gov.vn", "mydestination=localhost", "relay_domains=hanam.gov.vn")
    edit(folder, ("-e", *names, "myorigin=hanam.gov.vn", "append_dot_mydomain=no"))
    return folder


def wiring(folder: Path, hooks: Sequence[HookSection] = HOOKS, listeners: Sequence[str] = (MAIN, LOCAL)) -> Wiring:
    return wiring_of(read_instance(folder), wiring_settings(ListenSection(milter=list(listeners)), hooks))


def wiring_settings(listen: ListenSection, hooks: Sequence[HookSection], smtp: SmtpSection | None = None) -> Settings:
    update = {
        "organization": OrganizationSection(),
        "listen": listen,
        "hook": list(hooks),
        "smtp": smtp or SmtpSection(),
    }
    return load(None, {}).model_copy(update=update)


def roads(wired: Wiring) -> Found:
    """Return findings as (road, FILE:LINE without its folder)."""
    return {(road.road, Path(road.where).name) for road in open_roads(wired)}


def apply(folder: Path, wired: Wiring) -> int:
    """Run what show prints; return how many commands that were."""
    found = commands(wired, str(folder))
    for command in found:
        done = subprocess.run(["sh", "-c", command.line()], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), command.line()
        settle(folder)
    return len(found)


@pytest.fixture(scope="module")
def wired_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock Postfix into which Mailgate was put."""
    folder = stock(tmp_path_factory.mktemp("wired") / "postfix")
    apply(folder, wiring(folder))
    return folder


@pytest.fixture
def folder(wired_folder: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test to break."""
    copy = tmp_path / "postfix"
    shutil.copytree(wired_folder, copy)
    settle(copy)
    return copy


# -- show ------------------------------------------------------------------------------------------

# name → (what is done to a stock Postfix, more of master.cf)
BEFORE: dict[str, tuple[Sequence[Edit], str]] = {
    "Debian's own": ((), ""),
    "a relay host": ((("-e", "relayhost=[relay.example]:587"),), ""),
    "a smart host by default_transport": ((("-e", "default_transport=smtp:[gw.example]"),), ""),
    "other filters": ((("-e", "smtpd_milters=inet:127.0.0.1:8890", "non_smtpd_milters=inet:127.0.0.1:8890"),), ""),
    "our milter, to be asked in a bad way": (
        (("-e", f"smtpd_milters={{ {MAIN}, default_action=accept, content_timeout=30s }}, inet:127.0.0.1:8890"),),
        "",
    ),
    "accept for all milters": ((("-e", f"smtpd_milters={MAIN}", "milter_default_action=accept"),), ""),
    "a service with milters of its own": ((("-P", "submission/inet/smtpd_milters=inet:127.0.0.1:8890"),), ""),
    "a service without milters": ((("-P", "submission/inet/smtpd_milters="),), ""),
    "milters turned off": (
        (
            ("-e", "receive_override_options=no_milters"),
            ("-P", "submission/inet/receive_override_options=no_milters,no_address_mappings"),
        ),
        "",
    ),
    "a smaller limit for a service": ((("-P", "submission/inet/message_size_limit=1000000"),), ""),
    "an older protocol": ((("-e", "milter_protocol=2"),), ""),
    "a port that is taken": ((), "127.0.0.1:10026 inet n - y - - smtpd\n"),
    "checks that would change mail on its way": (
        (("-e", "smtp_header_checks=regexp:/etc/postfix/h", "smtp_fallback_relay=[fallback.example]"),),
        "",
    ),
    "a hop that default_transport does not lead to": (
        (
            ("-M", "egress/unix=egress unix - - y - - smtp"),
            ("-M", "127.0.0.1:10026/inet=127.0.0.1:10026 inet n - y - - smtpd -o milter_macro_daemon_name=EGRESS"),
            ("-P", f"{EGRESS}/smtpd_milters={MAIN}"),
        ),
        "",
    ),
    "a content filter": (
        (("-e", "content_filter=smtp:[127.0.0.1]:10024"),),
        "127.0.0.1:10025 inet n - y - - smtpd\n  -o content_filter=\n",
    ),
}
NOTES = {"re-injection"}


@pytest.mark.parametrize("case", BEFORE)
def test_what_show_prints_closes_every_road_and_is_done_once(tmp_path: Path, case: str) -> None:
    edits, master_cf = BEFORE[case]
    folder = stock(tmp_path / "postfix", SUBMISSION + master_cf)
    edit(folder, *edits)
    assert roads(wiring(folder))
    assert apply(folder, wiring(folder)) > 0
    assert {name for name, _ in roads(wiring(folder))} - NOTES == set()
    assert apply(folder, wiring(folder)) == 0
    subprocess.run([find_program("postconf", "postfix"), "-c", folder, "-M"], check=True, capture_output=True)


def test_show_keeps_other_filters_and_where_mail_went(tmp_path: Path) -> None:
    folder = stock(tmp_path / "postfix")
    edit(folder, ("-e", "smtpd_milters=inet:127.0.0.1:8890", "relayhost=[relay.example]:587"))
    apply(folder, wiring(folder))
    instance = read_instance(folder)
    assert instance.get("smtpd_milters").startswith(f"inet:127.0.0.1:8890, {{ {MAIN}, default_action=tempfail, ")
    assert instance.get("smtpd_milters").endswith("content_timeout=180s }")
    server = instance.named("127.0.0.1:10026", "inet")
    assert server is not None
    assert server.options["content_filter"] == "smtp:[relay.example]:587"


@pytest.mark.parametrize(
    ("listener", "address", "chroot"),
    [
        ("unix:/run/mailgate/milter.sock", "unix:/run/mailgate/milter.sock", False),
        ("unix:/var/spool/postfix/mailgate/milter.sock", "unix:mailgate/milter.sock", True),
        (MAIN, MAIN, True),
    ],
)
def test_a_socket_outside_the_chroot_takes_services_out_of_it(
    tmp_path: Path, listener: str, address: str, chroot: bool
) -> None:
    folder = stock(tmp_path / "postfix")
    apply(folder, wiring(folder, [], [listener]))
    instance = read_instance(folder)
    services = [service for service in instance.services if service.command in ("smtpd", "cleanup")]
    assert len(services) == 4
    assert {service.chroot for service in services} == {chroot}
    assert f" {address}, " in instance.get("smtpd_milters")
    # Without [[hook]] Mailgate would not know what it is shown.
    assert {name for name, _ in roads(wiring(folder, [], [listener]))} == {"hook-name"}


def test_show_on_the_command_line(tmp_path: Path) -> None:
    folder = stock(tmp_path / "postfix")
    (tmp_path / "mailgate.toml").write_text("")

    def run() -> str:
        arguments = ["postfix", "show", "--config", "mailgate.toml", "--config-dir", str(folder)]
        done = subprocess.run([MAILGATE, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        settle(folder)
        return done.stdout

    first = run()
    lines = first.splitlines()
    assert lines[0].startswith("# Postfix 3.")
    assert '#   name = "egress"' in lines
    assert lines[-1] == f"postfix -c {folder} reload"
    for number, line in enumerate(lines):
        if line.startswith("postconf "):
            assert lines[number - 1].startswith("# ")
    # All but the reload: nothing runs here.
    subprocess.run(["sh", "-e", "-c", "\n".join(lines[:-1])], check=True, capture_output=True)
    settle(folder)
    assert "postconf" not in run()


# -- check -----------------------------------------------------------------------------------------


def test_a_wired_postfix_has_no_open_road(folder: Path) -> None:
    assert open_roads(wiring(folder)) == []


def table(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


def nothing(folder: Path) -> None:
    """Nothing more is done."""


def test_the_pieces_that_are_shipped_leave_no_road_open(tmp_path: Path) -> None:
    """main.cf.mailgate and master.cf.mailgate, put in by hand, with the stanzas that mailgate.toml has for them."""
    folder = tmp_path / "postfix"
    folder.mkdir()
    (folder / "main.cf").write_text(
        (STOCK / "main.cf.debian").read_text() + (SHIPPED / "postfix/main.cf.mailgate").read_text()
    )
    replaced = ("smtp      inet", "cleanup ")
    lines = (STOCK / "master.cf.dist").read_text().splitlines(keepends=True)
    kept = "".join(line for line in lines if not line.startswith(replaced))
    (folder / "master.cf").write_text(kept + (SHIPPED / "postfix/master.cf.mailgate").read_text())
    unqualified = (
        "smtpd_sender_restrictions=reject_non_fqdn_sender",
        "smtpd_recipient_restrictions=reject_non_fqdn_recipient",
    )
    edit(folder, ("-e", "myorigin=hanam.gov.vn", "append_dot_mydomain=no", *unqualified))
    toml = (SHIPPED / "mailgate.toml").read_text().replace('"inet:127.0.0.1:8891"', ", ".join(SOCKETS))
    stanzas = toml[toml.index("# [[hook]]") :].partition("\n\n")[0]
    (folder / "mailgate.toml").write_text(toml.replace(stanzas, re.sub("(?m)^# ", "", stanzas)))
    settings = load(folder / "mailgate.toml", {})
    assert [hook.name for hook in settings.hook] == ["mx", "submission", "egress", "non-smtp"]
    assert open_roads(wiring_of(read_instance(folder), settings)) == []


SOCKETS = ('"unix:/run/mailgate/milter.sock"', '"unix:/run/mailgate/local.sock"')

# A line of main.cf or master.cf where `?`; {dir} is the folder.
# name → (edits, what else is done, findings)
BROKEN: dict[str, tuple[Sequence[Edit], Callable[[Path], None], set[tuple[str, str]]]] = {
    "no milters": ((("-e", "smtpd_milters="),), nothing, {("smtpd-without-milter", "main.cf:?")}),
    "another's milter": (
        (("-e", "smtpd_milters=inet:127.0.0.1:8890"),),
        nothing,
        {("smtpd-without-milter", "main.cf:?")},
    ),
    "none for submission": (
        (("-P", "submission/inet/smtpd_milters="),),
        nothing,
        {("smtpd-without-milter", "master.cf:?")},
    ),
    "one more smtpd": (
        (("-M", "2525/inet=2525 inet n - y - - smtpd -o smtpd_milters="),),
        nothing,
        {("smtpd-without-milter", "master.cf:?")},
    ),
    "an smtpd behind postscreen": (
        (("-M", "smtpd/pass=smtpd pass - - y - - smtpd -o smtpd_milters="),),
        nothing,
        {("smtpd-without-milter", "master.cf:?")},
    ),
    "an smtpd on a socket": (
        (("-M", "private-smtp/unix=private-smtp unix - - y - - smtpd -o smtpd_milters="),),
        nothing,
        {("smtpd-without-milter", "master.cf:?")},
    ),
    "loopback, without a filter": (
        (("-M", "127.0.0.1:10025/inet=127.0.0.1:10025 inet n - y - - smtpd -o smtpd_milters="),),
        nothing,
        {("smtpd-without-milter", "master.cf:?")},
    ),
    "a filter's way back": (
        (
            ("-e", "content_filter=smtp:[127.0.0.1]:10024"),
            ("-M", "127.0.0.1:10025/inet=127.0.0.1:10025 inet n - y - - smtpd -o smtpd_milters= -o content_filter="),
        ),
        nothing,
        {("re-injection", "master.cf:?")},
    ),
    "a proxy before the filter": (
        (("-P", "smtp/inet/smtpd_proxy_filter=127.0.0.1:10024"),),
        nothing,
        {("proxy-filter", "master.cf:?")},
    ),
    "clients without milters": (
        (("-e", "smtpd_milter_maps=cidr:{ { 10.0.0.0/8 DISABLE } }"),),
        nothing,
        {("milter-maps", "main.cf:?")},
    ),
    "local programs": ((("-e", "non_smtpd_milters="),), nothing, {("non-smtpd-without-milter", "main.cf:?")}),
    "local programs by another cleanup": (
        (("-P", "cleanup/unix/non_smtpd_milters="),),
        nothing,
        {("non-smtpd-without-milter", "master.cf:?")},
    ),
    "no_milters": (
        (("-e", "receive_override_options=no_milters"),),
        nothing,
        {("no-milters", "main.cf:?")},
    ),
    "no_milters for submission": (
        (("-P", "submission/inet/receive_override_options=no_milters"),),
        nothing,
        {("no-milters", "master.cf:?")},
    ),
    "accept, for our milter": (
        (("-e", f"smtpd_milters={{ {MAIN}, default_action=accept, content_timeout=180s }}"),),
        nothing,
        {("default-action", "main.cf:?")},
    ),
    "accept, for all milters": (
        (("-e", f"smtpd_milters={{ {MAIN}, content_timeout=180s }}", "milter_default_action=accept"),),
        nothing,
        {("default-action", "main.cf:?")},
    ),
    "accept for all, and tempfail for ours": ((("-e", "milter_default_action=accept"),), nothing, set()),
    "accept at egress": (
        (("-P", f"{EGRESS}/smtpd_milters={{{MAIN},default_action=accept,content_timeout=180s}}"),),
        nothing,
        {("default-action", "master.cf:?")},
    ),
    "a timeout that is too short": (
        (("-e", f"smtpd_milters={{ {MAIN}, default_action=tempfail, content_timeout=2m }}"),),
        nothing,
        {("content-timeout", "main.cf:?")},
    ),
    "an old protocol": ((("-e", "milter_protocol=4"),), nothing, {("protocol", "main.cf:?")}),
    "a limit under ours": ((("-e", "message_size_limit=10240000"),), nothing, {("message-size-limit", "main.cf:?")}),
    "a limit of one service": (
        (("-P", "smtp/inet/message_size_limit=10240000"),),
        nothing,
        {("message-size-limit", "master.cf:?")},
    ),
    "no limit": ((("-e", "message_size_limit=0"),), nothing, set()),
    "bare newlines": ((("-e", "smtpd_forbid_bare_newline=no"),), nothing, {("bare-newline", "main.cf:?")}),
    "bare newlines at submission": (
        (("-P", "submission/inet/smtpd_forbid_bare_newline=no"),),
        nothing,
        {("bare-newline", "master.cf:?")},
    ),
    "the name of a hook": (
        (("-P", "smtp/inet/milter_macro_daemon_name=SUBMISSION"),),
        nothing,
        {("hook-name", "master.cf:?")},
    ),
    "the name of egress": (
        (("-P", f"{EGRESS}/milter_macro_daemon_name=OTHER"),),
        nothing,
        {("hook-name", "master.cf:?")},
    ),
    "egress' name elsewhere": (
        (("-P", "submission/inet/milter_macro_daemon_name=EGRESS"),),
        nothing,
        {("hook-name", "master.cf:?")},
    ),
    "local programs by the wrong door": (
        (("-e", f"non_smtpd_milters={{ {MAIN}, content_timeout=180s }}"),),
        nothing,
        {("hook-name", "main.cf")},
    ),
    "straight out": ((("-e", "default_transport=smtp"),), nothing, {("no-egress", "main.cf:?")}),
    "to a smart host": ((("-e", "default_transport=smtp:[gw.example]"),), nothing, {("no-egress", "main.cf:?")}),
    "to nobody": ((("-e", "default_transport=egress:[127.0.0.1]:10099"),), nothing, {("no-egress", "main.cf:?")}),
    "egress without a milter": ((("-P", f"{EGRESS}/smtpd_milters="),), nothing, {("no-egress", "master.cf:?")}),
    "egress for all": (
        (("-F", f"{EGRESS}/service=0.0.0.0:10026"),),
        nothing,
        {("egress-open", "master.cf:?")},
    ),
    "egress, all interfaces": (
        (("-F", f"{EGRESS}/service=10026"),),
        nothing,
        {("egress-open", "master.cf:?")},
    ),
    "egress without a way out": (
        (("-PX", f"{EGRESS}/content_filter"),),
        nothing,
        {("egress-loop", "main.cf")},
    ),
    "egress to itself": (
        (("-P", f"{EGRESS}/content_filter=egress:[127.0.0.1]:10026"),),
        nothing,
        {("egress-loop", "master.cf:?")},
    ),
    "egress to a transport that is not there": (
        (("-P", f"{EGRESS}/content_filter=smtpx:"),),
        nothing,
        {("egress-exit", "master.cf:?")},
    ),
    "egress past the relay host": (
        (("-e", "relayhost=[relay.example]"),),
        nothing,
        {("egress-relayhost", "master.cf:?")},
    ),
    "egress by a fallback": (
        (("-e", "smtp_fallback_relay=[f.example]"), ("-PX", "egress/unix/smtp_fallback_relay")),
        nothing,
        {("egress-fallback", "main.cf:?")},
    ),
    "egress rewrites": (
        (("-PX", "egress/unix/disable_mime_output_conversion"),),
        nothing,
        {("egress-conversion", "main.cf")},
    ),
    "egress breaks lines": (
        (("-PX", "egress/unix/smtp_line_length_limit"),),
        nothing,
        {("egress-lines", "main.cf")},
    ),
    "egress maps once more": (
        (("-P", f"{EGRESS}/receive_override_options=no_header_body_checks"),),
        nothing,
        {("egress-addresses", "master.cf:?")},
    ),
    "egress without DSN": (
        (("-P", f"{EGRESS}/smtpd_discard_ehlo_keywords=dsn,chunking"),),
        nothing,
        {("egress-dsn", "master.cf:?")},
    ),
    "egress' client without DSN": (
        (("-P", "egress/unix/smtp_discard_ehlo_keywords=DSN"),),
        nothing,
        {("egress-dsn", "master.cf:?")},
    ),
    "egress, many recipients": (
        (("-X", "egress_destination_recipient_limit"),),
        nothing,
        {("egress-recipient-limit", "main.cf")},
    ),
    "egress, one recipient by default": (
        (("-X", "egress_destination_recipient_limit"), ("-e", "default_destination_recipient_limit=1")),
        nothing,
        set(),
    ),
    "all mail to egress": (
        (("-e", "content_filter=egress:[127.0.0.1]:10026"),),
        nothing,
        {("content-filter", "main.cf:?")},
    ),
    "a filter outside": (
        (("-e", "content_filter=smtp:[scan.example.com]"),),
        nothing,
        {("content-filter", "main.cf:?")},
    ),
    "a route by recipient": (
        (("-e", "transport_maps=texthash:{dir}/t"),),
        table(
            "t",
            "#\nhanam.gov.vn smtp:[10.0.0.5]\nmoha.gov.vn smtp:\ngmail.com smtp:\nx.vn egress:[127.0.0.1]:10026\n",
        ),
        {("round-egress", "t:4")},
    ),
    "a route of ours to outside": (
        (("-e", "transport_maps=texthash:{dir}/t"),),
        table("t", "a@hanam.gov.vn smtp:[mx.example.com]\nb@hanam.gov.vn lmtp:unix:private/lmtp\n"),
        {("round-egress", "t:1")},
    ),
    "the default transport to another host": (
        (("-e", "transport_maps=inline:{ gmail.com=:[mx.example.com], yahoo.com=: , * = error:no }"),),
        nothing,
        {("round-egress", "main.cf:?")},
    ),
    "routes by patterns": (
        (("-e", "transport_maps=regexp:{dir}/t"),),
        table("t", r"/@hanam\.gov\.vn$/ smtp:[10.0.0.5]" "\n" r"/@.*$/ relay:" "\n" r"/@gmail\.com$/ uucp:x" "\n"),
        {("round-egress", "t:2"), ("round-egress", "t:3")},
    ),
    "a route by sender": (
        (("-e", "sender_dependent_default_transport_maps=texthash:{dir}/t"),),
        table("t", "a@hanam.gov.vn smtp:[smtp.gmail.com]:587\nb@hanam.gov.vn DUNNO\n"),
        {("round-egress", "t:1")},
    ),
    "a relay host by sender": (
        (("-e", "sender_dependent_relayhost_maps=inline:{a@hanam.gov.vn=[gw.example]}"),),
        nothing,
        {("sender-relayhost", "main.cf:?")},
    ),
    "relay_transport": (
        (("-e", "relay_transport=relay:[gw.example.com]"),),
        nothing,
        {("round-egress", "main.cf:?")},
    ),
    "relay_domains of others": (
        (("-e", "relay_domains=hanam.gov.vn, example.com"),),
        nothing,
        {("round-egress", "main.cf:?")},
    ),
    "another way out for one service": (
        (("-P", "rewrite/unix/default_transport=smtp:"),),
        nothing,
        {("round-egress", "master.cf:?")},
    ),
    "another Postfix": (
        (("-e", "multi_instance_directories=/etc/postfix-out"),),
        nothing,
        {("other-instance", "main.cf:?")},
    ),
    "virtual_transport": ((("-e", "virtual_transport=smtp:[gw.example]"),), nothing, {("round-egress", "main.cf:?")}),
    "mailbox_transport": ((("-e", "mailbox_transport=smtp:[gw.example]"),), nothing, {("round-egress", "main.cf:?")}),
    "fallback_transport": (
        (("-e", "fallback_transport=smtp:[gw.example]"),),
        nothing,
        {("round-egress", "main.cf:?")},
    ),
    "Dovecot": (
        (
            (
                "-e",
                "virtual_transport=lmtp:unix:private/dovecot-lmtp",
                "mailbox_transport=lmtp:unix:private/dovecot-lmtp",
            ),
        ),
        nothing,
        set(),
    ),
    "the percent hack": ((("-e", "allow_percent_hack=yes"),), nothing, {("address-forms", "main.cf:?")}),
    "bang paths": ((("-e", "swap_bangpath=yes"),), nothing, {("address-forms", "main.cf:?")}),
    "a sender without a domain": (
        (("-e", "smtpd_sender_restrictions=permit"),),
        nothing,
        {("address-forms", "main.cf:?")},
    ),
    "a milter behind": (
        (("-e", f"smtpd_milters={{ {MAIN}, default_action=tempfail, content_timeout=180s }}, inet:127.0.0.1:8890"),),
        nothing,
        {("milter-behind", "main.cf:?")},
    ),
    "a milter before": (
        (("-e", f"smtpd_milters=inet:127.0.0.1:8890, {{ {MAIN}, default_action=tempfail, content_timeout=180s }}"),),
        nothing,
        set(),
    ),
    "logins where mail from outside comes": (
        (("-P", "smtp/inet/smtpd_sasl_auth_enable=yes"),),
        nothing,
        {("login-at-mx", "master.cf:?")},
    ),
    "another delimiter": ((("-e", "recipient_delimiter=-"),), nothing, {("address-settings", "main.cf:?")}),
    "another origin": ((("-e", "myorigin=hn.gov.vn"),), nothing, {("address-settings", "main.cf:?")}),
    "a domain that is completed": (
        (("-e", "append_dot_mydomain=yes"),),
        nothing,
        {("address-settings", "main.cf:?")},
    ),
    "aliases that Mailgate does not know": (
        (("-e", "virtual_alias_maps=texthash:{dir}/t"),),
        table("t", "vanthu@hanam.gov.vn ptp.bl@hanam.gov.vn\n"),
        {("address-settings", "main.cf:?")},
    ),
    "addresses that cleanup(8) makes of others": (
        (("-e", "recipient_canonical_maps=hash:{dir}/t"),),
        table("t", "cu@hanam.gov.vn ptp.bl@hanam.gov.vn\n"),
        {("address-settings", "main.cf:?")},
    ),
    "routes that cannot be read": (
        (("-e", "transport_maps=texthash:{dir}/nowhere"),),
        nothing,
        {("unread", "nowhere")},
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_one_broken_setting_is_one_finding(folder: Path, case: str) -> None:
    edits, also, wanted = BROKEN[case]
    edit(folder, *([part.replace("{dir}", str(folder)) for part in arguments] for arguments in edits))
    also(folder)
    found = open_roads(wiring(folder))
    placed = {(name, _numbered(place, edits, folder)) for name, place in wanted}
    assert roads(wiring(folder)) == placed
    for road in found:
        assert road.what
        assert road.why
        assert road.mend


def _numbered(place: str, edits: Sequence[Edit], folder: Path) -> str:
    """Put in the number of the line that the last edit of main.cf, or of a service, stands on."""
    if not place.endswith(":?"):
        return place
    file = place.removesuffix(":?")
    wanted = ""
    for _, *values in edits:
        for value in values:
            name = value.partition("=")[0].strip()
            is_service = "/" in name
            if is_service == (file == "master.cf"):
                wanted = name
    lines = (folder / file).read_text().splitlines()
    if file == "main.cf":
        return f"{file}:{1 + max(n for n, line in enumerate(lines) if line.partition('=')[0].strip() == wanted)}"
    service, kind = (wanted or EGRESS).split("/")[:2]
    service = next((v.partition("=")[2] for _, v in edits if v.startswith(f"{service}/{kind}/service=")), service)
    return f"{file}:{1 + max(n for n, line in enumerate(lines) if line.split()[:2] == [service, kind])}"


def test_a_socket_that_a_chroot_hides_is_a_finding(folder: Path) -> None:
    edit(folder, ("-e", "non_smtpd_milters={ unix:/run/mailgate/local.sock, content_timeout=180s }"))
    hidden = "unix:/run/mailgate/local.sock"
    hooks = [*HOOKS[:3], HookSection(name="non-smtp", listener=hidden)]
    assert {name for name, _ in roads(wiring(folder, hooks, [MAIN, hidden]))} == {"socket-outside-chroot"}
    inside = "unix:/var/spool/postfix/run/mailgate/local.sock"
    hooks = [*HOOKS[:3], HookSection(name="non-smtp", listener=inside)]
    assert roads(wiring(folder, hooks, [MAIN, inside])) == set()


@pytest.mark.parametrize(
    ("edits", "back"),
    [
        ((("-e", "content_filter=mailgate:[127.0.0.1]:10025"),), {"re-injection"}),
        (
            tuple(("-P", f"{name}/inet/smtpd_proxy_filter=127.0.0.1:10025") for name in ("smtp", "submission")),
            {"re-injection", "non-smtpd-without-milter"},
        ),
    ],
    ids=["after the queue", "before it"],
)
def test_an_smtp_door_of_ours_judges_as_well(tmp_path: Path, edits: Sequence[Edit], back: set[str]) -> None:
    """Without milters: what local(8) copies passes no content filter, and there is no hop to see it."""
    more = "mailgate unix - - n - 20 smtp\n127.0.0.1:10026 inet n - n - - smtpd\n  -o content_filter=\n"
    folder = stock(tmp_path / "postfix", SUBMISSION + more)
    clear = (
        "allow_percent_hack=no",
        "swap_bangpath=no",
        "smtpd_client_restrictions=reject_non_fqdn_recipient,reject_non_fqdn_sender",
    )
    edit(folder, ("-e", "message_size_limit=31457280", "smtpd_forbid_bare_newline=yes", *clear), *edits)
    settings = wiring_settings(ListenSection(milter=[], smtp=["inet:127.0.0.1:10025"]), [])
    assert {name for name, _ in roads(wiring_of(read_instance(folder), settings))} == {"no-egress"} | back


# -- where the hop is the SMTP door ----------------------------------------------------------------

DOOR = egress_door({})  # as config/mailgate.toml has it
BACK, HOLDING, CLIENT = "127.0.0.1:10026/inet", "127.0.0.1:10027/inet", "mailgate/unix"
DOOR_HOOKS = [*HOOKS[:2], HookSection.model_validate(DOOR.hook), HOOKS[3]]
WAYS_BACK = {"next_hop": "inet:127.0.0.1:10026", "hold_next_hop": "inet:127.0.0.1:10027"}


def door_wiring(
    folder: Path, hooks: Sequence[HookSection] = DOOR_HOOKS, ways: Mapping[str, str] | None = None
) -> Wiring:
    listen = ListenSection(milter=[MAIN, LOCAL], smtp=[DOOR.hook["listener"]])
    smtp = SmtpSection.model_validate(WAYS_BACK | dict(ways or {}))
    return wiring_of(read_instance(folder), wiring_settings(listen, hooks, smtp))


@pytest.fixture(scope="module")
def wired_door(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock Postfix with the wiring that config/mailgate.toml shows, and what show prints of the rest."""
    folder = stock(
        tmp_path_factory.mktemp("door") / "postfix", SUBMISSION + "".join(f"{line}\n" for line in DOOR.master_cf)
    )
    edit(folder, ("-e", *(f"{name}={value}" for name, value in DOOR.main_cf.items())))
    assert all("mailgate" not in c.line() and "1002" not in c.line() for c in commands(door_wiring(folder)))
    apply(folder, door_wiring(folder))
    return folder


@pytest.fixture
def door_folder(wired_door: Path, tmp_path: Path) -> Path:
    """A copy of it, for a test to break."""
    copy = tmp_path / "postfix"
    shutil.copytree(wired_door, copy)
    settle(copy)
    return copy


def test_the_door_that_is_shipped_as_the_hop_leaves_no_road_open(door_folder: Path) -> None:
    assert open_roads(door_wiring(door_folder)) == []
    assert commands(door_wiring(door_folder)) == []


# name → (edits, findings, whether show mends them)
BROKEN_DOOR: dict[str, tuple[Sequence[Edit], Found, bool]] = {
    "straight out": ((("-e", "default_transport=smtp"),), {("no-egress", "main.cf:?")}, True),
    "straight out, and no client": (
        (("-X", "mailgate_destination_recipient_limit"), ("-MX", CLIENT), ("-e", "default_transport=smtp")),
        {("no-egress", "main.cf:?")},
        True,
    ),
    "many recipients": (
        (("-X", "mailgate_destination_recipient_limit"),),
        {("egress-recipient-limit", "main.cf")},
        True,
    ),
    "a client that rewrites": (
        (("-PX", f"{CLIENT}/disable_mime_output_conversion"),),
        {("egress-conversion", "main.cf")},
        True,
    ),
    "a client that breaks lines": (
        (("-P", f"{CLIENT}/smtp_line_length_limit=998"),),
        {("egress-lines", "master.cf:?")},
        True,
    ),
    "a client without XFORWARD": (
        (("-PX", f"{CLIENT}/smtp_send_xforward_command"),),
        {("egress-xforward", "main.cf")},
        True,
    ),
    "a client that says no to XFORWARD": (
        (("-P", f"{CLIENT}/smtp_send_xforward_command=no"),),
        {("egress-xforward", "master.cf:?")},
        True,
    ),
    "a client with a fallback": (
        (("-P", f"{CLIENT}/smtp_fallback_relay=[f.example]"),),
        {("egress-fallback", "master.cf:?")},
        True,
    ),
    "a client without DSN": (
        (("-P", f"{CLIENT}/smtp_discard_ehlo_keywords=dsn"),),
        {("egress-dsn", "master.cf:?")},
        True,
    ),
    "no way out": ((("-PX", f"{BACK}/content_filter"),), {("egress-loop", "main.cf")}, True),
    "no way out of hold": ((("-P", f"{HOLDING}/content_filter="),), {("egress-loop", "master.cf:?")}, True),
    "out by the same client": (
        (("-P", f"{BACK}/content_filter=mailgate:[127.0.0.1]:10025"),),
        {("egress-loop", "master.cf:?")},
        True,
    ),
    "out to the door by another client": (
        (("-P", f"{HOLDING}/content_filter=smtp:[127.0.0.1]:10025"),),
        {("egress-loop", "master.cf:?")},
        True,
    ),
    "out by what is not there": ((("-P", f"{BACK}/content_filter=smtpx:"),), {("egress-exit", "master.cf:?")}, True),
    "back on all interfaces": ((("-F", f"{BACK}/service=10026"),), {("egress-open", "master.cf:?")}, True),
    "hold on all interfaces": ((("-F", f"{HOLDING}/service=0.0.0.0:10027"),), {("egress-open", "master.cf:?")}, True),
    "aliases once more": (
        (("-P", f"{BACK}/receive_override_options=no_header_body_checks"),),
        {("egress-addresses", "master.cf:?")},
        True,
    ),
    "back without DSN": (
        (("-P", f"{BACK}/smtpd_discard_ehlo_keywords=dsn"),),
        {("egress-dsn", "master.cf:?")},
        True,
    ),
    "judged twice": ((("-P", f"{BACK}/smtpd_milters={MAIN}"),), {("egress-twice", "master.cf:?")}, True),
    "nothing is held": ((("-PX", f"{HOLDING}/smtpd_client_restrictions"),), {("egress-hold", "main.cf")}, True),
    "held too late": (
        (("-P", f"{HOLDING}/smtpd_client_restrictions=permit_mynetworks,check_client_access,static:HOLD,reject"),),
        {("egress-hold", "master.cf:?")},
        True,
    ),
    "held for others alone": (
        (("-P", f"{HOLDING}/smtpd_client_restrictions=check_client_access,inline:{{10.0.0.1=HOLD}}"),),
        {("egress-hold", "master.cf:?")},
        True,
    ),
    "not held, but accepted": (
        (("-P", f"{HOLDING}/smtpd_client_restrictions=check_client_access,static:OK"),),
        {("egress-hold", "master.cf:?")},
        True,
    ),
    "held by another list": (
        (
            ("-P", f"{HOLDING}/smtpd_client_restrictions="),
            ("-P", f"{HOLDING}/smtpd_data_restrictions=check_sender_access,static:hold"),
        ),
        set(),
        True,
    ),
    "a route round the door": (
        (("-e", "transport_maps=inline:{ gmail.com=smtp:, yahoo.com=mailgate:[127.0.0.1]:10025 }"),),
        {("round-egress", "main.cf:?")},
        False,
    ),
    "all mail to the door": (
        (("-e", "content_filter=mailgate:[127.0.0.1]:10025"),),
        {("content-filter", "main.cf:?")},
        False,
    ),
}


@pytest.mark.parametrize("case", BROKEN_DOOR)
def test_one_broken_setting_of_the_door_is_one_finding_and_mended(door_folder: Path, case: str) -> None:
    edits, wanted, is_mended = BROKEN_DOOR[case]
    edit(door_folder, *edits)
    placed = {(name, _numbered(place, edits, door_folder)) for name, place in wanted}
    assert roads(door_wiring(door_folder)) == placed
    if is_mended:
        apply(door_folder, door_wiring(door_folder))
        assert open_roads(door_wiring(door_folder)) == []
        assert commands(door_wiring(door_folder)) == []


@pytest.mark.parametrize(
    ("hook", "what"),
    [(None, "no hook"), (HookSection(name="mx", listener=DOOR.hook["listener"]), "the hook mx")],
)
def test_a_door_that_is_not_the_hook_egress_is_no_egress(
    door_folder: Path, hook: HookSection | None, what: str
) -> None:
    wired = door_wiring(door_folder, [*HOOKS[:2], *filter(None, [hook]), HOOKS[3]])
    (road,) = open_roads(wired)
    assert road.road == "no-egress"
    assert f"leads to an SMTP door that is {what} of mailgate.toml" in road.what
    assert stanzas(wired) == ["[[hook]]", 'name = "egress"', f'listener = "{DOOR.hook["listener"]}"']


@pytest.mark.parametrize(
    ("ways", "where"),
    [
        ({"next_hop": "inet:127.0.0.1:10099"}, "[smtp] next_hop"),
        ({"next_hop": "inet:192.0.2.1:25"}, "[smtp] next_hop"),
        ({"hold_next_hop": ""}, "[smtp] hold_next_hop"),
    ],
)
def test_a_next_hop_that_is_not_of_this_postfix_is_a_note(
    door_folder: Path, ways: dict[str, str], where: str
) -> None:
    """Nothing passes by it that we know of; its smtpd in this master.cf is one as any other."""
    (edited,) = {BACK, HOLDING} - {{"[smtp] next_hop": HOLDING, "[smtp] hold_next_hop": BACK}[where]}
    edit(door_folder, ("-MX", edited))
    (road,) = open_roads(door_wiring(door_folder, ways=ways))
    assert (road.road, road.where, road.is_note) == ("egress-way-back", where, True)
    assert by_hand(door_wiring(door_folder, ways=ways))


def test_a_way_back_by_a_socket_of_postfix_is_known(door_folder: Path) -> None:
    edit(door_folder, ("-F", f"{BACK}/type=unix"), ("-F", "127.0.0.1:10026/unix/service=back"))
    ways = {"next_hop": "unix:/var/spool/postfix/private/back"}
    assert open_roads(door_wiring(door_folder, ways=ways)) == []


# -- names of sockets, and the command -------------------------------------------------------------


@pytest.mark.parametrize("address", ["inet:localhost:8891", "inet:[127.0.0.1]:8891"])
def test_a_socket_in_another_spelling_is_ours(folder: Path, address: str) -> None:
    edit(folder, ("-e", f"smtpd_milters={{ {address}, content_timeout=180s }}"))
    assert roads(wiring(folder)) == set()


def test_check_on_the_command_line(folder: Path) -> None:
    toml = f'[listen]\nmilter = ["{MAIN}", "{LOCAL}"]\n' + "".join(
        f'[[hook]]\nname = "{hook.name}"\nlistener = "{hook.listener}"\ndaemon_name = "{hook.daemon_name}"\n'
        for hook in HOOKS
    )
    (folder / "mailgate.toml").write_text(toml)

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        arguments = ["postfix", "check", "--config", "mailgate.toml", "--config-dir", str(folder), *more]
        return subprocess.run([MAILGATE, *arguments], cwd=folder, capture_output=True, text=True, check=False)

    well = run()
    assert (well.returncode, well.stdout, well.stderr) == (0, "no open road\n", "")
    edit(folder, ("-e", "receive_override_options=no_milters"))
    bad = run()
    assert bad.returncode == 1
    assert bad.stdout.startswith(f"OPEN  no-milters  {folder}/main.cf:")
    (road,) = json.loads(run("--format", "json").stdout)
    assert set(road) == {"road", "where", "what", "why", "mend", "is_note"}
    assert run("--config-dir", "nowhere").returncode == 2


# -- in a real Postfix -----------------------------------------------------------------------------


def test_mail_passes_a_postfix_that_show_has_wired() -> None:
    """A copy that an alias sends outside is held at the hop; what a person or a program sends out passes it."""
    milter, local = (f"inet:127.0.0.1:{free_port()}" for _ in range(2))
    hooks = [{"name": n, "listener": milter, "daemon_name": n.upper()} for n in ("mx", "submission", "egress")]
    config = {"listen": {"milter": [milter, local]}, "hook": [*hooks, {"name": "non-smtp", "listener": local}]}
    alias = {"virtual_alias_maps": f"inline:{{ {{ {OFFICER} = lan@gmail.com }} }}"}
    clear = {"myorigin": "hanam.gov.vn", "append_dot_mydomain": "no"}
    with mail_system(config, main_cf=alias | clear) as system:
        folder = system.postfix.config
        arguments = ("postfix", "show", "--config-dir", str(folder))
        *lines, _ = system.mailgate.run(*arguments).stdout.splitlines()
        subprocess.run(["sh", "-e", "-c", "\n".join(lines)], check=True, capture_output=True)
        settle(folder)
        checked = system.mailgate.run("postfix", "check", "--config-dir", str(folder))
        assert (checked.returncode, checked.stdout) == (0, "no open road\n")
        system.postfix.reload()
        assert system.submit(OFFICE, ["lan@gmail.com"], letter(author=OFFICE)).status == "250 2.0.0"
        assert system.sink.wait(1)[0].recipients == ("lan@gmail.com",)
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
        system.postfix.sendmail(letter().replace(b"\r\n", b"\n"), OFFICE, ["hoa@gmail.com"])
        assert system.sink.wait(2)[1].recipients == ("hoa@gmail.com",)
        wait_until(lambda: system.mailgate.incidents(), timeout_s=5, what="an incident")
        (incident,) = system.mailgate.incidents()
        assert (incident["hook"], incident["action"]) == ("egress", "quarantine")
        wait_until(
            lambda: [m["queue_name"] for m in system.postfix.queue()] == ["hold"], 5, "the copy alone, on hold"
        )
