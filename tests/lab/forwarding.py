"""A mail system with every mechanism of forwarding planted in it, and a mail for each: what becomes of the copy.

`python -m tests.lab.forwarding` prints the table. Postfix delivers to UNIX users that Debian always has (for .forward
and procmail), to aliases, and to two Dovecots, one that redirects by SMTP, one by a sendmail program.
"""

import asyncio
import contextlib
import re
import smtplib
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from tests.lab.dns import NameServer, Records
from tests.lab.dovecot import PASSWORD, Dovecot
from tests.lab.mailgate import Config, Mailgate
from tests.lab.ports import free_port
from tests.lab.postfix import Postfix, shipped_settings
from tests.lab.shipped_wiring import egress_door
from tests.lab.sink import Sink
from tests.lab.smtp_client import SmtpClient, send
from tests.lab.waiting import wait_until

DOMAIN = "hanam.gov.vn"
AUTHOR = "tac-gia@example.com"
OUTSIDE, STATE, EXEMPT = "lan@gmail.com", "vp@ninhbinh.gov.vn", "lan@mien-tru.example"
TARGETS = {"outside": OUTSIDE, "state": STATE, "exempt": EXEMPT}
BYPASS = "lan@vong.example"  # a domain that transport_maps sends past egress
EXEMPT_CLIENT = "203.0.113.50"
PROVIDER, STATE_CLIENT = "203.0.113.9", "198.51.100.9"
LIST = f"thongbao@{DOMAIN}"
OFFICER = f"an-toan@{DOMAIN}"

MARKERS = (
    "Delivered-To|X-Original-To|Envelope-To|X-Sieve|X-Sieve-Redirected-From|Auto-Submitted|Resent-[A-Za-z-]+|"
    "X-Loop|X-Forwarded-[A-Za-z]+|Return-Path"
)
SETTLE_S = 20.0
TABLES = {
    "": "As it is",
    "markers": "Every marker header stripped, ORCPT forged",
    "received": "Our Received lines stripped too: the memory of deliveries alone",
}


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One row's mechanism: how its mailboxes are called (`NAME-KIND@hanam.gov.vn`), who uses it, what is wanted.

    wanted: of the copy to a mailbox outside: held, refused or passes-round.
    """

    name: str
    local: str
    wanted: str = "held"


MECHANISMS = (
    Mechanism("alias", "alias-{}"),
    Mechanism("alias with owner-", "owned-{}"),
    Mechanism("alias to a pipe that runs sendmail", "pipe-{}"),
    Mechanism(".forward", "games+{}"),
    Mechanism(".forward to a pipe that runs sendmail", "news+{}"),
    Mechanism("procmail", "uucp+{}"),
    Mechanism("virtual_alias_maps", "virtual-{}"),
    Mechanism("recipient_bcc_maps", "rbcc-{}"),
    Mechanism("sender_bcc_maps", "sbcc-{}"),
    Mechanism("always_bcc", "abcc-{}"),
    Mechanism("Sieve through submission_host", "sieve-smtp-{}", "refused"),
    Mechanism("Sieve through sendmail_path", "sieve-pipe-{}"),
    Mechanism("a client's rule through submission", "rule-{}", "refused"),
    Mechanism("inbound, forwarded by a provider", "inbound-{}", "refused"),
    Mechanism("transport_maps past egress", "bypass-{}", "passes round"),
)


@dataclass(slots=True)
class Row:
    """One mail of the table: its mechanism and target, what is wanted and what was seen, on what evidence."""

    mechanism: Mechanism
    kind: str
    wanted: str
    seen: str = ""
    evidence: str = ""
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def mailbox(self) -> str:
        """The official mailbox of this row."""
        return f"{self.mechanism.local.format(self.kind)}@{DOMAIN}"

    @property
    def target(self) -> str:
        """Where its mechanism sends the copy."""
        if self.mechanism.local.startswith("bypass") and self.kind == "outside":
            return BYPASS
        return TARGETS[self.kind]


def rows(strips: str = "") -> list[Row]:
    """Return the table's rows, before they are seen.

    A client's rule that leaves no mark, not even Resent-From, is a login that sends as an outside author.
    """
    return [
        Row(
            mechanism, kind, mechanism.wanted if kind == "outside" or (strips and is_rule(mechanism)) else "delivered"
        )
        for mechanism in MECHANISMS
        for kind in TARGETS
    ]


def is_rule(mechanism: Mechanism) -> bool:
    """Tell whether a mail program forwards, with its owner's login."""
    return mechanism.local.startswith("rule")


SENDMAIL = """\
#!/bin/sh
# What aliases, .forward, procmail and Sieve run as sendmail: of the system's Postfix, which is ours here.
unset MAIL_CONFIG
{strip}exec /usr/sbin/sendmail "$@"
"""
STRIP = """\
/usr/bin/python3 -c '
import re, sys
head, blank, body = sys.stdin.buffer.read().replace(b"\\r\\n", b"\\n").partition(b"\\n\\n")
fields = re.split(rb"\\n(?![ \\t])", head)
sys.stdout.buffer.write(b"\\n".join(f for f in fields if not re.match(rb"(?i)({names}):", f)) + blank + body)
' | """
LIST_PROGRAM = """\
#!/bin/sh
# A mailing list of one member: what a list manager does with a mail.
unset MAIL_CONFIG
{{ printf 'List-Id: <thongbao.hanam.gov.vn>\\nPrecedence: list\\n'; sed '1{{/^From /d}}'; }} |
  /usr/sbin/sendmail -i -f thongbao-bounces@hanam.gov.vn {member}
"""
VACATION = 'require ["vacation"]; vacation :days 1 :subject "Vang mat" "Toi di cong tac.";'
NOTIFY = 'require ["enotify"]; notify :message "Co thu moi" "mailto:lan@gmail.com"; keep;'
REJECT = 'require ["reject"]; reject "Hop thu nay khong nhan thu.";'


class _Relay:
    """A hop between Dovecot and Postfix that takes headers away: a redirect that leaves no mark."""

    def __init__(self, port: int, strip: bytes) -> None:
        self.to_port = 0
        self._strip = re.compile(rb"(?i)(?:%b):" % strip) if strip else None
        self._controller = Controller(self, hostname="127.0.0.1", port=port, data_size_limit=0)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Hand a mail on, and answer what Postfix answered; called by aiosmtpd at the end of DATA."""
        assert isinstance(envelope.content, bytes)
        data = envelope.content
        if self._strip is not None:
            head, blank, body = data.partition(b"\r\n\r\n")
            fields = re.split(rb"\r\n(?![ \t])", head)
            data = b"\r\n".join(field for field in fields if not self._strip.match(field)) + blank + body
        return await asyncio.to_thread(self._hand_on, envelope.mail_from or "", list(envelope.rcpt_tos), data)

    def _hand_on(self, sender: str, recipients: list[str], data: bytes) -> str:
        with smtplib.SMTP("127.0.0.1", self.to_port, timeout=30) as client:
            try:
                client.sendmail(sender, recipients, data)
            except smtplib.SMTPDataError as error:
                return f"{error.smtp_code} {error.smtp_error!r}"
            except smtplib.SMTPRecipientsRefused as error:
                code, text = next(iter(error.recipients.values()))
                return f"{code} {text!r}"
        return "250 2.0.0 handed on"


@dataclass(slots=True)
class ForwardingSystem:
    """Everything that runs, and the rows that were sent through it."""

    postfix: Postfix
    mailgate: Mailgate
    sink: Sink
    by_smtp: Dovecot
    by_program: Dovecot
    always_bcc_ports: dict[str, int]
    holding_port: int  # where whatever comes is put on hold, by an administrator's order
    strips: str
    folder: Path  # of the aliases, of .forward files, of what they run

    def letter(self, row: Row, *fields: str, author: str = AUTHOR) -> bytes:
        """Return a row's mail."""
        lines = (
            *fields,
            f"From: Tac gia <{author}>",
            f"To: {row.mailbox}",
            f"Subject: {row.mechanism.name} {row.kind}",
            f"Message-ID: <{row.token}@example.com>",
            "",
            f"Kinh gui, {row.token}",
            "",
        )
        return "\r\n".join(lines).encode()

    def send(self, row: Row) -> None:
        """Send a row's mail as its mechanism wants it; what was refused at once is seen at once."""
        local = row.mechanism.local
        data = self.letter(row)
        arguments = ("ORCPT=rfc822;khac@elsewhere.example",) if self.strips else ()
        if local.startswith("inbound"):
            row.seen = self._inbound(row)
        elif local.startswith("sbcc"):
            data = self.letter(row, author=row.mailbox)
            row.seen = "" if self._submit(row.mailbox, "ai-do@partner.example", data) == "250" else "refused"
        elif is_rule(row.mechanism):
            self._receive(self.postfix.smtp_port, row.mailbox, data, arguments)
            marks = () if self.strips else (f"Resent-From: {row.mailbox}", "Auto-Submitted: auto-forwarded")
            code = self._submit(row.mailbox, row.target, self.letter(row, *marks))
            row.seen = {"250": "", "550": "refused"}.get(code, code)
        else:
            port = self.always_bcc_ports[row.kind] if local.startswith("abcc") else self.postfix.smtp_port
            self._receive(port, row.mailbox, data, arguments)

    def _receive(self, port: int, mailbox: str, data: bytes, arguments: Sequence[str]) -> None:
        with SmtpClient(port) as client:
            client.xclient("203.0.113.7", "mail.example.com")
            client.ehlo("mail.example.com")
            assert client.mail(AUTHOR).startswith("250")
            reply = client.rcpt(mailbox, *arguments)
            assert reply.startswith("250"), reply
            reply = client.data(data)
            assert reply.startswith("250"), reply

    def _submit(self, login: str, recipient: str, data: bytes) -> str:
        """Submit a mail with SASL, and return the reply's code."""
        with smtplib.SMTP("127.0.0.1", self.postfix.submission_port, timeout=30) as client:
            client.login(login, PASSWORD)
            try:
                client.sendmail(login, [recipient], data)
            except smtplib.SMTPDataError as error:
                return str(error.smtp_code)
            return "250"

    def _inbound(self, row: Row) -> str:
        """Send what a provider forwards: a Gmail mailbox, a state body's, an exempt one whose SPF passes."""
        target = f"{row.mechanism.local.format(row.kind)}={DOMAIN}"
        forwarder, client = {
            "outside": (OUTSIDE, PROVIDER),
            "state": (STATE, STATE_CLIENT),
            "exempt": (EXEMPT, EXEMPT_CLIENT),
        }[row.kind]
        local, _, domain = forwarder.partition("@")
        marks = (
            () if self.strips else (f"X-Forwarded-To: {row.mailbox}", f"X-Forwarded-For: {forwarder} {row.mailbox}")
        )
        data = self.letter(row, *marks)
        outcome = send(
            self.postfix.smtp_port, f"{local}+caf_={target}@{domain}", [row.mailbox], data, client, "mail.example.com"
        )
        return {"250": "delivered", "550": "refused"}.get(outcome.status[:3], outcome.status)

    # -- what became of it --------------------------------------------------------------------

    def seen(self, row: Row) -> str:
        """Return what can be seen of a row's copy by now, "" for nothing."""
        if row.seen:
            return row.seen
        token = row.token.encode()
        if any(row.target in mail.recipients and token in mail.data for mail in self.sink.mails()):
            return "passes round" if row.target == BYPASS else "delivered"
        if any(row.target in mail.recipients for mail in self.held(row)):
            return "held"
        if row.mechanism.local.startswith("sieve-smtp"):
            kept = self.by_smtp.delivered(row.mailbox.partition("@")[0])
            if any(token in mail for mail in kept) and self.incidents(row):
                return "refused"
        return ""

    @dataclass(frozen=True, slots=True)
    class Held:
        """One mail in the hold queue."""

        queue_id: str
        sender: str
        recipients: tuple[str, ...]

    def held(self, row: Row) -> list["ForwardingSystem.Held"]:
        """Return the mails of a row that Postfix holds, known by the incidents' queue ids."""
        known = {incident["queue_id"] for incident in self.incidents(row)}
        return [
            self.Held(mail["queue_id"], mail["sender"], tuple(to["address"] for to in mail["recipients"]))
            for mail in self.postfix.queue()
            if mail["queue_name"] == "hold" and mail["queue_id"] in known
        ]

    def incidents(self, row: Row) -> list[dict[str, Any]]:
        """Return the incidents of a row's mail."""
        return [incident for incident in self.mailgate.incidents() if row.token in incident["message_id"]]

    def judge(self, table: Sequence[Row]) -> None:
        """Send every row's mail, wait until each copy is seen, and fill the rows in."""
        for row in table:
            self.send(row)
        for row in table:
            with contextlib.suppress(TimeoutError):
                wait_until(lambda row=row: self.seen(row), SETTLE_S, row.mechanism.name)  # type: ignore[misc]
            row.seen = self.seen(row) or "nothing"
            row.evidence = "; ".join(
                f"{piece['kind']} {piece['name']}"
                for incident in self.incidents(row)[-1:]
                for finding in incident["findings"]
                for piece in finding["evidence"]
                if piece["strength"] == "hard"
            )


@dataclass(frozen=True, slots=True)
class Additions:
    """What a larger system has beside: lines of aliases, Sieve scripts of the store that redirects by SMTP, settings,
    services, DNS records, milters that are asked after Mailgate.

    maps: further tables for parameters that the system sets itself.
    """

    aliases: Sequence[str] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    main_cf: Mapping[str, str] = field(default_factory=dict)
    maps: Mapping[str, str] = field(default_factory=dict)
    master_cf: Sequence[str] = ()
    records: Records = field(default_factory=dict)
    milters: Sequence[str] = ()


@contextmanager
def forwarding_system(
    strips: str = "",
    config: Config | None = None,
    by_smtp_door: bool = False,
    more: Additions = Additions(),
    **rule: Any,
) -> Iterator[ForwardingSystem]:
    """Run the system; `rule` are keys of [rules.auto-forward], `config` further sections, `more` what is beside.

    by_smtp_door: what leaves passes Mailgate's SMTP door instead of a second smtpd with the milter, wired as
    config/mailgate.toml says.

    strips: "" for nothing, "markers" takes every marker header away before egress sees the copy and forges ORCPT,
    "received" takes our Received lines too, so that only the memory is left.
    """
    names = MARKERS + ("|Received" if strips == "received" else "")
    relay_port = free_port()
    records = {("mien-tru.example", "TXT"): [f'"v=spf1 ip4:{EXEMPT_CLIENT} -all"'], **more.records}
    with ExitStack() as running:
        folder = Path(running.enter_context(_folder()))
        sendmail = folder / "sendmail"
        sendmail.write_text(SENDMAIL.format(strip=STRIP.format(names=names) if strips else ""))
        sendmail.chmod(0o755)
        names_server = running.enter_context(NameServer(records))
        sink = running.enter_context(Sink())
        relay = running.enter_context(_Relay(relay_port, names.encode() if strips else b""))
        scripts = {f"sieve-{{}}-{kind}": f'redirect "{target}";' for kind, target in TARGETS.items()}
        by_smtp = Dovecot(
            {**{name.format("smtp"): text for name, text in scripts.items()}, **more.scripts},
            submission_port=relay_port,
        )
        by_program = Dovecot(
            {
                **{name.format("pipe"): text for name, text in scripts.items()},
                "vang": VACATION,
                "bao": NOTIFY,
                "tu-choi": REJECT,
            },
            sendmail=sendmail,
        )
        door, back, hold = (free_port() for _ in range(3))
        wired = egress_door({10025: door, 10026: back, 10027: hold}, f"smtp:[127.0.0.1]:{sink.port}")
        milter, local = (f"unix:{folder}/{name}.sock" for name in ("milter", "local"))
        mailgate = Mailgate(
            {
                "organization": {"lists": [LIST], "state_networks": [f"{STATE_CLIENT}/32"]},
                "listen": {"milter": [milter, local], "smtp": [f"inet:127.0.0.1:{door}"] if by_smtp_door else []},
                "smtp": {"next_hop": f"inet:127.0.0.1:{back}", "hold_next_hop": f"inet:127.0.0.1:{hold}"},
                "hook": [
                    {"name": "mx", "listener": milter, "daemon_name": "MX"},
                    {"name": "submission", "listener": milter, "daemon_name": "SUBMISSION"},
                    wired.hook if by_smtp_door else {"name": "egress", "listener": milter, "daemon_name": "EGRESS"},
                    {"name": "non-smtp", "listener": local},
                ],
                "dns": {"servers": [names_server.address]},
                "rules": {"auto-forward": rule},
                **(config or {}),
            }
        )
        paper = ("--until", "2099-12-31", "--document", "15/QD-STTTT", "--reason", "thu", "--approver", "Giam doc")
        done = mailgate.run("exemptions", "add", DOMAIN, EXEMPT, *paper)
        assert done.returncode == 0, done.stderr
        settings = shipped_settings()
        milters = settings["smtpd_milters"].replace("unix:/run/mailgate/milter.sock", milter)
        bcc_ports = {kind: free_port() for kind in TARGETS}
        holding_port = free_port()
        at_door = ", ".join((milters, *more.milters))
        non_smtpd = settings["non_smtpd_milters"].replace("unix:/run/mailgate/local.sock", local)
        postfix = Postfix(
            smtpd_milters=at_door,
            submission_milters=at_door,
            non_smtpd_milters=", ".join((non_smtpd, *more.milters)),
            egress_milters=None if by_smtp_door else milters,
            deliver_to=sink.port,
            domains=(),
            is_system=True,
            main_cf={
                **_main_cf(folder, sendmail, by_smtp, by_program, sink.port, names if strips else "", more),
                **(wired.main_cf if by_smtp_door else {}),
            },
            master_cf=[
                *(line for kind in TARGETS for line in _always_bcc(kind, bcc_ports[kind])),
                f"127.0.0.1:{holding_port} inet n - n - - smtpd",
                "  -o milter_macro_daemon_name=MX",
                "  -o { smtpd_data_restrictions = check_client_access static:HOLD }",
                *(wired.master_cf if by_smtp_door else ()),
                *more.master_cf,
            ],
        )
        postfix.build_aliases(folder / "aliases")
        by_program.as_etc_postfix = postfix.config
        notice = {"notice": {"relay": f"inet:127.0.0.1:{postfix.smtp_port}", "officer": OFFICER}}
        mailgate.configure({**mailgate.config, **notice})
        for server in (mailgate, by_smtp, by_program, postfix):
            running.enter_context(server)
        relay.to_port = postfix.smtp_port
        yield ForwardingSystem(postfix, mailgate, sink, by_smtp, by_program, bcc_ports, holding_port, strips, folder)


@contextmanager
def _folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="forwards-") as folder:
        Path(folder).chmod(0o755)
        yield folder


def _always_bcc(kind: str, port: int) -> list[str]:
    return [
        f"127.0.0.1:{port} inet n - n - - smtpd",
        f"  -o cleanup_service_name=bcc-{kind}",
        "  -o milter_macro_daemon_name=MX",
        f"bcc-{kind} unix n - n - 0 cleanup",
        f"  -o always_bcc={TARGETS[kind]}",
    ]


def _main_cf(
    folder: Path,
    sendmail: Path,
    by_smtp: Dovecot,
    by_program: Dovecot,
    sink_port: int,
    strips: str,
    more: Additions,
) -> dict[str, str]:
    """Return main.cf's settings, and write the maps, aliases and .forward files that they name."""
    aliases, forward = [], folder / "forward"
    forward.mkdir()
    lister = folder / "list"
    lister.write_text(LIST_PROGRAM.format(member=OUTSIDE))
    lister.chmod(0o755)
    aliases.append(f'thongbao: "|{lister}"')
    for kind, target in TARGETS.items():
        aliases += [f"alias-{kind}: {target}", f"owned-{kind}: {target}", f"owner-owned-{kind}: chu-{kind}"]
        aliases.append(f'pipe-{kind}: "|{sendmail} -i {target}"')
        (forward / f"games+{kind}").write_text(f"{target}\n")
        (forward / f"news+{kind}").write_text(f'"|{sendmail} -i {target}"\n')
        rc = folder / f"procmailrc-{kind}"
        rc.write_text(f"SENDMAIL={sendmail}\nSENDMAILFLAGS=-oi\n:0\n! {target}\n")
        (forward / f"uucp+{kind}").write_text(f'"|/usr/bin/procmail -m {rc}"\n')
    bypass = [BYPASS if kind == "outside" else target for kind, target in TARGETS.items()]
    aliases += [f"bypass-{kind}: {target}" for kind, target in zip(TARGETS, bypass, strict=True)]
    (folder / "aliases").write_text("\n".join((*aliases, *more.aliases)) + "\n")
    pairs = {
        name: " ".join(f"{{ {name}-{kind}@{DOMAIN} = {target} }}" for kind, target in TARGETS.items())
        for name in ("virtual", "rbcc", "sbcc")
    }
    checks = folder / "header_checks"
    checks.write_text(f"/^({strips}):/ IGNORE\n" if strips else "")
    settings = {
        "mydestination": DOMAIN,
        "myorigin": DOMAIN,
        "local_recipient_maps": "",
        "relay_domains": "",
        "recipient_delimiter": "+",
        "alias_maps": f"hash:{folder}/aliases",
        "virtual_alias_maps": f"inline:{{ {pairs['virtual']} }}",
        "recipient_bcc_maps": f"inline:{{ {pairs['rbcc']} }}",
        "sender_bcc_maps": f"inline:{{ {pairs['sbcc']} }}",
        "transport_maps": f"inline:{{ {{ vong.example = smtp:[127.0.0.1]:{sink_port} }} }}",
        "forward_path": f"{forward}/${{user}}${{recipient_delimiter}}${{extension}}",
        "mailbox_transport_maps": f"regexp:{_store_map(folder, by_program)}",
        "mailbox_transport": by_smtp.lmtp,
        "egress_destination_recipient_limit": "1",
        "smtp_header_checks": f"regexp:{checks}",
        "smtpd_sasl_path": by_smtp.sasl_path,
        "default_privs": "nobody",
    }
    further = {name: f"{settings[name]}, {table}" for name, table in more.maps.items()}
    return {**settings, **further, **more.main_cf}


def _store_map(folder: Path, by_program: Dovecot) -> Path:
    path = folder / "stores"
    path.write_text(f"/^(sieve-pipe-.*|vang|bao|tu-choi)$/ {by_program.lmtp}\n")
    return path


def print_table(title: str, table: Sequence[Row]) -> None:
    """Print the rows as a table."""
    print(f"\n{title}\n  {'MECHANISM':<40} {'TARGET':<8} {'WANTED':<13} {'SEEN':<13} EVIDENCE")
    for row in table:
        mark = " " if row.seen == row.wanted else "✗"
        print(
            f"{mark} {row.mechanism.name:<40} {row.kind:<8} {row.wanted:<13} {row.seen:<13} {row.evidence}",
            flush=True,
        )


def main() -> int:
    """Print the table three times: as it is, with every marker stripped, and with our Received lines stripped too."""
    fits = True
    for strips, title in TABLES.items():
        with forwarding_system(strips) as system:
            table = rows()
            system.judge(table)
        print_table(title, table)
        fits = fits and all(row.seen == row.wanted for row in table)
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
