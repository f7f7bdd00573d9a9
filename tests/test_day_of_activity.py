"""A working day's mails, each as its hook sees it, and what each counts for which mailbox (6.2c, 7.2a)."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.lab.gates import NOTHING, Notes, make_gate, settings_of
from tests.lab.mailgate import Mailgate
from tests.lab.mails import OFFICE, OFFICER
from tests.lab.ports import free_port
from tests.lab.postfix import Postfix, shipped_settings
from tests.lab.sink import Sink
from tests.lab.system import MailSystem
from tests.lab.waiting import wait_until

from mailgate.config import ActivitySection, OrganizationSection
from mailgate.doors.offline import split_message
from mailgate.doors.transaction import Transaction
from mailgate.model import Action, ActivityEvent, Memory, Passage, Session

DOMAIN = "hanam.gov.vn"
MTA = "mx.hanam.gov.vn"
LAN, HA, SO, CU = (f"{name}@{DOMAIN}" for name in ("lan", "ha", "so", "cu"))
LIST, GROUP, ROOT, SHARED = (f"{name}@{DOMAIN}" for name in ("thongbao", "giaoban", "root", "motcua"))
OUTSIDE, STATE = "tu@example.com", "b@ninhbinh.gov.vn"
ALIASES = {GROUP: (HA, SO), ROOT: (CU,), SHARED: (LAN, HA)}
WORLD, OFFICE_NET, LOOPBACK, STORE = "203.0.113.7", "10.1.2.3", "127.0.0.1", "10.9.0.5"
SETTINGS = settings_of(
    organization=OrganizationSection(
        internal_networks=["127.0.0.0/8", "10.0.0.0/8"], lists=[LIST], hostnames=[MTA], domains=[DOMAIN]
    ),
    activity=ActivitySection(mail_programs=["iOffice/"], people_networks=["10.9.0.0/24"]),
)
QUEUE_ID, AT_EGRESS, NO_MESSAGE_ID = "4Cw3Jx2yZz", "4Cw3JxBBBB", "Message-ID:"
HERE = f"Received: from x ([10.1.2.3]) by {MTA} (Postfix) with ESMTP id {QUEUE_ID}; Mon, 30 Nov 2026 09:00:00 +0700"
TAKEN_IN = (Passage(QUEUE_ID, "mx", "", LAN, (), frozenset(), True, True, True),)
_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One mail: at which hook, by whom and to whom; `fields` of its header, From and Message-ID where they lack."""

    what: str
    hook: str = "submission"
    login: str = ""
    client: str = OFFICE_NET
    sender: str = LAN
    to: Sequence[str] = (OUTSIDE,)
    fields: Sequence[str] = ()
    passages: Sequence[Passage] = ()
    memory: Memory = NOTHING
    want: str


def by(login: str, what: str, want: str, *fields: str, **others: object) -> Sent:
    """Return a mail that a login hands over from anywhere."""
    made: dict[str, object] = {"sender": login, "client": WORLD, **others}
    return Sent(what=what, login=login, fields=fields, want=want, **made)  # type: ignore[arg-type]


def at(hook: str, what: str, want: str, *fields: str, **others: object) -> Sent:
    """Return a mail without a login, at a hook."""
    return Sent(what=what, hook=hook, fields=fields, want=want, **others)  # type: ignore[arg-type]


AUTO, OUTLOOK = "Auto-Submitted: auto-replied", "X-Mailer: Microsoft Outlook 16.0"
BULK = ("List-Id: <thongbao.hanam.gov.vn>", "Precedence: list")
REPORT = "Content-Type: multipart/report; report-type=delivery-status; boundary=x"
MDN = "Content-Type: multipart/report; report-type=disposition-notification; boundary=x"
RESENT = (f"Resent-From: Lan <{LAN}>", "Resent-Message-ID: <r1@hanam.gov.vn>", f"From: Tu <{OUTSIDE}>")

DAY = [
    # people, with their logins
    by(LAN, "Outlook in the office", "lan sent human, ha received human", OUTLOOK, to=[HA]),
    by(LAN, "a phone that names itself nowhere", "lan sent human"),
    by(LAN, "Auto-Submitted: no", "lan sent human", "Auto-Submitted: no"),
    by(LAN, "a login at the MX", "lan sent human", hook="mx"),
    by(LAN, "as the unit's mailbox", "lan sent human", f"From: So <{SO}>", sender=SO),
    by(LAN, "a mail merge", "lan sent human", OUTLOOK, to=[OUTSIDE, "b@example.com"]),
    by(LAN, "an invitation is accepted", "lan sent human", "Content-Type: text/calendar; method=REPLY"),
    by(LAN, "a redirect by hand", "lan sent human", *RESENT, f"Delivered-To: {LAN}", HERE),
    by(LAN, "a newsletter is redirected by hand", "lan sent human", *RESENT, "List-Unsubscribe: <https://a.example>"),
    by(LAN, "a post to a list", "lan sent human, thongbao received human", to=[LIST]),
    by(SHARED, "a shared alias logs in", ""),
    # programs, with people's logins
    by(LAN, "Outlook's absence rule", "lan sent automatic", AUTO),
    by(LAN, "an old absence reply", "lan sent automatic", "Precedence: auto_reply"),
    by(LAN, "Exchange's absence reply", "lan sent automatic", "X-Auto-Response-Suppress: All"),
    by(LAN, "a rule of Outlook forwards", "lan sent automatic", "X-MS-Exchange-Inbox-Rules-Loop: lan@hanam.gov.vn"),
    by(LAN, "a client rule redirects", "lan sent automatic", f"Resent-From: {LAN}", f"From: Tu <{OUTSIDE}>"),
    by(LAN, "one that says so", "lan sent automatic", f"Resent-From: {LAN}", "Auto-Submitted: auto-forwarded"),
    by(LAN, "a script takes a mail out of the mailbox", "lan sent automatic", HERE, f"From: Tu <{OUTSIDE}>"),
    by(LAN, "a newsletter tool", "lan sent bulk", "List-Unsubscribe: <https://hanam.gov.vn/u>"),
    by(LAN, "a reading report", "", MDN, sender=""),
    by(LAN, "a reading report under his name", "lan sent report", MDN),
    # people, without a login
    at("mx", "Zimbra's web client", "lan sent human", "X-Mailer: Zimbra 8.8.15_GA_3996 (ZimbraWebClient - FF87)"),
    at("mx", "Roundcube", "lan sent human, so received human", "User-Agent: Roundcube Webmail/1.6.1", to=[SO]),
    at("mx", "SOGo", "lan sent human", "User-Agent: SOGoMail 5.10.0"),
    at("mx", "webmail that names the browser", "lan sent human", "X-Originating-IP: [10.4.4.4]"),
    at("mx", "what a content filter hands back", "lan sent human", HERE, "User-Agent: Mozilla Thunderbird",
       client=LOOPBACK),
    at("mx", "Exchange before this Postfix", "lan sent human", "X-MS-TNEF-Correlator:", "X-MS-Has-Attach:"),
    at("mx", "an old Outlook on the office's network", "lan sent human", "X-Mailer: Microsoft Office Outlook 12.0"),
    at("mx", "the site's own program", "lan sent human", "X-Mailer: iOffice/3.1"),
    at("mx", "a store of people_networks", "lan sent human", client=STORE),
    at("mx", "its absence reply", "lan sent automatic", AUTO, client=STORE),
    at("mx", "Zimbra's redirect by hand", "lan sent human", *RESENT),
    at("non-smtp", "Roundcube through mail()", "lan sent human", "User-Agent: Roundcube Webmail/1.6.1", client=""),
    # programs, without a login
    at("non-smtp", "cron", "cu sent automatic, cu received automatic",
       "X-Cron-Env: <SHELL=/bin/sh>", sender=ROOT, to=[ROOT], client=""),
    at("non-smtp", "a script with mailx", "lan sent automatic", "User-Agent: s-nail v14.9", client=""),
    at("non-smtp", "a script", "lan sent automatic", client=""),
    at("non-smtp", "a local program as a store of people_networks", "lan sent automatic", client=STORE),
    at("non-smtp", "Sieve's vacation", "", AUTO, sender="", client=""),
    at("non-smtp", "Sieve's vacation by its own name", "lan sent automatic", AUTO, client=""),
    at("non-smtp", "Sieve's notify", "lan sent automatic", "Auto-Submitted: auto-notified", client=""),
    at("non-smtp", "Sieve redirects a stranger's mail", "", f"X-Sieve-Redirected-From: {LAN}", sender=OUTSIDE),
    at("mx", "Sieve redirects a colleague's mail", "ha received human",
       f"Delivered-To: {SO}", "User-Agent: Mozilla Thunderbird", HERE, to=[HA], client=LOOPBACK),
    at("mx", "Zimbra's filter redirects a stranger's", "lan sent automatic", f"X-Zimbra-Forwarded: {LAN}",
       f"From: Tu <{OUTSIDE}>", "X-Mailer: iPhone Mail (20H240)"),
    at("mx", "a scanner", "lan sent automatic, lan received human", to=[LAN]),
    at("submission", "a scanner where people submit", "lan sent automatic"),
    at("mx", "an application", "so sent automatic", "X-Mailer: PHPMailer 6.8.0 (https://github.com/…)", sender=SO),
    at("mx", "an application that tells whose browser it was", "so sent automatic",
       "X-Mailer: PHPMailer 6.8.0", "X-Originating-IP: [10.4.4.4]", sender=SO),
    at("mx", "an application's newsletter", "so sent bulk", "List-Unsubscribe: <https://hanam.gov.vn/u>", sender=SO),
    at("mx", "an application in a person's name", "so sent automatic", f"From: Lan <{LAN}>",
       "User-Agent: Mozilla Thunderbird", sender=SO),
    at("mx", "as MAILER-DAEMON", "lan sent automatic", f"From: MAILER-DAEMON@{MTA}", OUTLOOK),
    at("mx", "a shared alias", "", "User-Agent: Mozilla Thunderbird", sender=SHARED),
    at("mx", "a group", "ha received human, so received human", sender=OUTSIDE, to=[GROUP], client=WORLD),
    at("mx", "a stranger in our name", "", "User-Agent: Mozilla Thunderbird", client=WORLD),
    # reports and replies that come in
    at("mx", "a delivery report", "lan received report", REPORT, sender="", to=[LAN], client=WORLD),
    at("mx", "a reading report", "lan received report", MDN, sender=OUTSIDE, to=[LAN], client=WORLD),
    at("mx", "Exchange's absence reply", "lan received automatic", AUTO, sender="", to=[LAN], client=WORLD),
    at("mx", "a bounce of what SRS rewrote", "", REPORT, sender="", to=[f"SRS0=ab=cd=example.com=tu@{DOMAIN}"]),
    # a list
    at("mx", "Mailman hands a post on", "ha received bulk", *BULK, f"From: Lan <{LAN}>",
       sender=f"thongbao-bounces@{DOMAIN}", to=[HA], client=LOOPBACK),
    at("mx", "with VERP", "ha received bulk", *BULK, f"From: Lan <{LAN}>",
       sender=f"thongbao-bounces+ha={DOMAIN}@{DOMAIN}", to=[HA], client=LOOPBACK),
    at("non-smtp", "a list manager without marks", "ha received human", f"From: Lan <{LAN}>",
       sender=f"owner-thongbao@{DOMAIN}", to=[HA], client=""),
    at("non-smtp", "one of which the configuration knows nothing", "ha received bulk", "List-Id: <a.hanam.gov.vn>",
       sender=f"a-owner@{DOMAIN}", to=[HA], client=""),
    at("egress", "its copy leaves", "", *BULK, HERE, sender=f"thongbao-bounces@{DOMAIN}", client=LOOPBACK),
    # at egress
    at("egress", "an official's mail leaves", "", HERE, passages=TAKEN_IN, client=LOOPBACK),
    at("egress", "a copy of an alias leaves", "", "User-Agent: Mozilla Thunderbird", HERE, passages=TAKEN_IN,
       client=LOOPBACK),
    at("egress", "a copy for another state body", "", "User-Agent: Mozilla Thunderbird", HERE, to=[STATE],
       client=LOOPBACK),
    at("egress", "an official's mail that no hook saw", "lan sent human", "User-Agent: Mozilla Thunderbird", HERE,
       client=LOOPBACK),
    at("egress", "a script's that no hook saw", "lan sent automatic", HERE, client=LOOPBACK),
    at("egress", "rewritten by SRS", "", HERE, sender=f"SRS0=ab=cd=example.com=tu@{DOMAIN}", client=LOOPBACK),
    at("egress", "signed by BATV", "lan sent human", "User-Agent: Mozilla Thunderbird", f"From: Lan <{LAN}>",
       sender=f"prvs=123456abcd=lan@{DOMAIN}", client=LOOPBACK),
    at("egress", "a report", "", REPORT, sender="", client=LOOPBACK),
]  # fmt: skip


async def judged(mail: Sent, queue_id: str = "") -> Sequence[ActivityEvent]:
    """Have a mail judged, and return what it counts. A field `Message-ID:` of nothing is none."""
    notes = Notes()
    gate = make_gate(SETTINGS, notes, passages=mail.passages, memory=mail.memory, aliases=ALIASES)
    transaction = Transaction(gate, Session(mail.hook, mail.client, mta=MTA))
    transaction.mail_data.queue_id = queue_id or f"4Cw3Jx{next(_numbers):04}"
    assert transaction.mail(f"<{mail.sender}>".encode(), (), mail.login, 0.0) is None
    for recipient in mail.to:
        assert transaction.recipient(f"<{recipient}>".encode(), 0.0) is None
    fields = [field for field in mail.fields if field != NO_MESSAGE_ID]
    if not any(field.startswith("Message-ID:") for field in mail.fields):
        fields.append(f"Message-ID: <{next(_numbers)}@{DOMAIN}>")
    if not any(field.startswith("From:") for field in fields):
        fields.append(f"From: A <{mail.sender}>")
    header, _ = split_message("\r\n".join((*fields, "", "Kính gửi", "")).encode())
    transaction.headers(header, 0.0)
    verdict = await transaction.end()
    transaction.close()
    assert verdict.action is Action.ACCEPT
    return notes.events


@pytest.mark.parametrize("mail", DAY, ids=lambda mail: f"{mail.hook}: {mail.what}")
async def test_what_a_mail_counts(mail: Sent) -> None:
    events = await judged(mail)
    assert ", ".join(map(said, events)) == mail.want


def said(event: ActivityEvent) -> str:
    """Return an event as the table has it."""
    return f"{event.mailbox.removesuffix('@' + DOMAIN)} {event.kind} {event.mail_class}"


# -- the same mail at another hook -------------------------------------------------------------------

FIRST = at("mx", "at the MX", "", sender=OUTSIDE, to=[GROUP], client=WORLD)
NAMED = "Message-ID: <1@example.com>"
ADDED = "Message-ID: <20261130090000.{}@{}>"


@pytest.mark.parametrize(
    ("first", "later", "is_one"),
    [
        pytest.param([NAMED], [NAMED, HERE], True, id="by its Message-ID"),
        pytest.param([NO_MESSAGE_ID], [NO_MESSAGE_ID, HERE], True, id="by its queue id"),
        pytest.param([NO_MESSAGE_ID], [ADDED.format(QUEUE_ID, MTA), HERE], True, id="by Postfix' Message-ID"),
        pytest.param([NO_MESSAGE_ID], [ADDED.format(AT_EGRESS, MTA), HERE], True, id="that it adds where it leaves"),
        pytest.param([ADDED.format(QUEUE_ID, MTA)], [ADDED.format(QUEUE_ID, MTA), HERE], True, id="by it at both"),
        pytest.param([NO_MESSAGE_ID], [ADDED.format(QUEUE_ID, "mx.example.com"), HERE], False, id="of another host"),
        pytest.param([NO_MESSAGE_ID], [ADDED.format("4Cw3JxAAAA", MTA), HERE], False, id="of another mail"),
        pytest.param(
            [NO_MESSAGE_ID], [NO_MESSAGE_ID, HERE.replace(QUEUE_ID, "4Cw3JxAAAA")], False, id="another mail"
        ),
    ],
)
async def test_a_mail_counts_once_at_whatever_hooks(first: list[str], later: list[str], is_one: bool) -> None:
    """A group's expanded copies pass egress with another queue id, for the mailboxes that it was counted for."""
    copy = replace(FIRST, hook="egress", to=[HA, SO], fields=later, client=LOOPBACK)
    keys = [
        {event.key for event in await judged(mail, queue_id)}
        for mail, queue_id in ((replace(FIRST, fields=first), QUEUE_ID), (copy, AT_EGRESS))
    ]
    assert [len(of_one) for of_one in keys] == [2, 2]
    assert (keys[0] == keys[1]) is is_one


# -- on a real Postfix -------------------------------------------------------------------------------


@contextmanager
def running(tmp_path: Path) -> Iterator[MailSystem]:
    """Run a Postfix with Mailgate at its four hooks, whose every mail leaves through egress, also to our own."""
    ours, theirs = (f"inet:127.0.0.1:{free_port()}" for _ in range(2))
    virtual = tmp_path / "virtual"
    virtual.write_text(f"{GROUP} {OFFICER}, {OFFICE}, {STATE}, {OUTSIDE}\n")
    hooks = [{"name": name, "listener": ours, "daemon_name": name.upper()} for name in ("mx", "submission", "egress")]
    off = ("auto-forward", "sender-identity", "sending-rate", "advertising", "spam")
    config: dict[str, Any] = {
        "organization": {
            "internal_networks": ["127.0.0.0/8", "10.0.0.0/8"],
            "lists": [LIST],
            "alias_files": [str(virtual)],
        },
        "listen": {"milter": [ours, theirs]},
        "hook": [*hooks, {"name": "non-smtp", "listener": theirs}],
        "dns": {"servers": ["127.0.0.1:9"]},
        "rules": {name: {"mode": "off"} for name in off},
    }
    shipped = shipped_settings()
    milters = shipped["smtpd_milters"].replace("unix:/run/mailgate/milter.sock", ours)
    with Sink() as sink, Mailgate(config) as mailgate:
        postfix = Postfix(
            smtpd_milters=milters,
            submission_milters=milters,
            non_smtpd_milters=shipped["non_smtpd_milters"].replace("unix:/run/mailgate/local.sock", theirs),
            egress_milters=milters,
            deliver_to=sink.port,
            main_cf={
                "relay_transport": "$default_transport",
                "virtual_alias_maps": f"texthash:{virtual}",
                "local_header_rewrite_clients": "static:all",
            },
        )
        with postfix as server:
            yield MailSystem(server, mailgate, sink)


def test_a_day_on_a_real_postfix(tmp_path: Path) -> None:
    def mail(author: str, *fields: str) -> bytes:
        return "\r\n".join((*fields, f"From: <{author}>", f"To: <{OFFICER}>", "", "Kính gửi", "")).encode()

    with running(tmp_path) as system:
        cron = mail(OFFICE, "X-Cron-Env: <SHELL=/bin/sh>", "Subject: Cron").replace(b"\r", b"")
        post = mail(OFFICER, *BULK, NAMED).replace(b"\r", b"")
        answers = [
            system.submit(OFFICER, [OUTSIDE], mail(OFFICER)),
            system.submit(OFFICER, [STATE], mail(OFFICER, "User-Agent: Mozilla Thunderbird")),
            system.submit(OFFICER, [OUTSIDE], mail(OFFICER, AUTO)),
            system.receive(OFFICE, [OFFICER], mail(OFFICE, "User-Agent: Roundcube Webmail/1.6.1"), OFFICE_NET),
            system.receive(OFFICE, [OFFICER], mail(OFFICE, "Subject: scan"), OFFICE_NET),
            system.receive(OUTSIDE, [GROUP], mail(OUTSIDE)),
            system.submit(OFFICER, [GROUP], mail(OFFICER, NAMED.replace("1@", "2@"))),
        ]
        assert {answer.status for answer in answers} == {"250 2.0.0"}
        system.postfix.sendmail(cron, OFFICE, [OFFICER])
        system.postfix.sendmail(post, f"thongbao-bounces@{DOMAIN}", [OFFICE, OUTSIDE])
        wait_until(lambda: sum(len(one.recipients) for one in system.sink.mails()) == 16, 60, "all mails to leave")
        assert counts_of(system, OFFICER) == {
            "sent_by_class": {"human": 3, "automatic": 1},
            "received_by_class": {"human": 4, "automatic": 1},
        }
        assert counts_of(system, OFFICE) == {
            "sent_by_class": {"human": 1, "automatic": 2},
            "received_by_class": {"human": 2, "bulk": 1},
        }
        listed = json.loads(system.mailgate.run("mailboxes", "list", "--format", "json").stdout)
        assert {row["address"] for row in listed} == {OFFICER, OFFICE}


def counts_of(system: MailSystem, mailbox: str) -> dict[str, dict[str, int]]:
    """Return what is counted for a mailbox, by class."""
    shown = json.loads(system.mailgate.run("mailboxes", "show", mailbox, "--format", "json").stdout)
    return {
        name: {kind: mails["count"] for kind, mails in shown[name].items()}
        for name in ("sent_by_class", "received_by_class")
    }
