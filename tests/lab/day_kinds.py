"""The kinds of mail of a day: what people and programs send, and every forbidden forward.

Each is written as the program that makes it does. Texts are templates, as tests.lab.day_system.Step has them.
"""

import re

from tests.lab.day_system import (
    ALIAS_GROUP,
    CLOSED_GROUP,
    COLLEAGUE,
    FORWARDING_MEMBER,
    GROUP,
    LEAKING_ALIAS,
    LEAKING_GROUP,
    LEAKING_VIRTUAL,
    LIST_OWNER,
    MEMBERS,
    NESTED_GROUP,
    NOTICE,
    PLAIN_GROUP,
    REDIRECTING_GROUP,
    STATE_BY_SPF,
    STATE_MEMBER,
    STATE_NETWORK,
    VIRTUAL_GROUP,
    Day,
    Kind,
    Mail,
    Step,
)
from tests.lab.forwarding import DOMAIN, EXEMPT, EXEMPT_CLIENT, LIST, OUTSIDE, STATE

OFFICIAL, SECOND, AUTHOR, CITIZEN, FRIEND = "{m.official}", "{m.second}", "{m.author}", "{m.citizen}", "{m.friend}"
BCC_MAILBOX = "bao-{m.token}@{d}"  # recipient_bcc_maps sends its copies to OUTSIDE
STATE_AUTHOR = "vanthu@bonoivu.gov.vn"
FORWARDER = "hoa@congty.example"  # whose mailbox outside forwards to an official
GMAIL = ("209.85.221.41", "mail-wr1-f41.google.com")
COMPANY = ("203.0.113.20", "mx.congty.example")
EXEMPT_HOST = (EXEMPT_CLIENT, "mail.mien-tru.example")
OUTLOOK = ("40.107.130.70", "mail-am6eur05on2070.outbound.protection.outlook.com")

# -- what messages are made of ---------------------------------------------------------------------


def report(day: Day, mail: Mail, step: Step) -> bytes:
    """Return a delivery status notification (RFC 3464) on a mail of the official's."""
    return _report(
        day,
        mail,
        step,
        "delivery-status",
        "Final-Recipient: rfc822; x@example.com\r\nAction: failed\r\nStatus: 5.1.1",
    )


def receipt(day: Day, mail: Mail, step: Step) -> bytes:
    """Return a message disposition notification (RFC 8098)."""
    return _report(
        day, mail, step, "disposition-notification", "Disposition: manual-action/MDN-sent-manually; displayed"
    )


def _report(day: Day, mail: Mail, step: Step, kind: str, said: str) -> bytes:
    author = day.filled(step.author or step.sender, mail)
    original = (
        f"From: <{mail.official}>\r\nTo: <{mail.citizen}>\r\nMessage-ID: <{mail.token}@{DOMAIN}>\r\nSubject: Bao cao"
    )
    lines = (
        *(day.filled(one, mail) for one in step.fields),
        f"From: <{author}>",
        f"To: {day.filled(step.shown or OFFICIAL, mail)}",
        "Date: Mon, 30 Nov 2026 09:00:00 +0700",
        "Subject: Report",
        f"Message-ID: <r.{mail.token}@{author.rpartition('@')[2]}>",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={kind}; boundary="b"',
        "",
        "--b",
        "Content-Type: text/plain",
        "",
        "This is a report.",
        "--b",
        f"Content-Type: message/{kind}",
        "",
        "Reporting-MTA: dns; mail.example.com",
        "",
        said,
        "",
        "--b",
        "Content-Type: text/rfc822-headers",
        "",
        original,
        "",
        "--b--",
        "",
    )
    return "\r\n".join(lines).encode()


def signed(day: Day, mail: Mail, step: Step) -> bytes:
    """Return a letter with a detached S/MIME signature."""
    head = Day.letter(day, mail, step).partition(b"\r\nMIME-Version:")[0]
    return head + b"\r\n" + day.signed


def redirected(day: Day, mail: Mail, step: Step) -> bytes:
    """Return what a mail program redirects: the fields of the step, and the mail as its store has it."""
    (copy,) = day.copy(mail, day.filled(step.after, mail))[:1]
    return "".join(f"{day.filled(one, mail)}\r\n" for one in step.fields).encode() + copy.data


def stripped(day: Day, mail: Mail, step: Step) -> bytes:
    """Return what a rule sends on that leaves no mark: the author's mail as it was, without its trace."""
    data = redirected(day, mail, step)
    fields = re.split(rb"\r\n(?![ \t])", data.partition(b"\r\n\r\n")[0])
    kept = [one for one in fields if not re.match(rb"(?i)(received|return-path|delivered-to|x-original-to):", one)]
    return b"\r\n".join(kept) + b"\r\n\r\n" + data.partition(b"\r\n\r\n")[2]


# -- how mail comes --------------------------------------------------------------------------------


def comes(*fields: str, to: str | tuple[str, ...] = OFFICIAL, sender: str = AUTHOR, **others: object) -> Step:
    """Come from outside."""
    return Step("mx", sender, _tuple(to), fields, **others)  # type: ignore[arg-type]


def goes(*fields: str, to: str | tuple[str, ...] = CITIZEN, sender: str = OFFICIAL, **others: object) -> Step:
    """Be submitted by an official."""
    return Step("submission", sender, _tuple(to), fields, **others)  # type: ignore[arg-type]


def inside(*fields: str, to: str | tuple[str, ...] = OFFICIAL, sender: str = OFFICIAL, **others: object) -> Step:
    """Come from a machine of ours, without a login."""
    return Step("store", sender, _tuple(to), fields, **others)  # type: ignore[arg-type]


def local(*fields: str, to: str | tuple[str, ...] = OFFICIAL, sender: str = OFFICIAL, **others: object) -> Step:
    """Come from a program on the mail server."""
    return Step("program", sender, _tuple(to), fields, **others)  # type: ignore[arg-type]


def rewritten(*fields: str, to: str | tuple[str, ...] = OFFICIAL, sender: str = AUTHOR, **others: object) -> Step:
    """Come from outside to a server that rewrites senders."""
    return Step("srs", sender, _tuple(to), fields, **others)  # type: ignore[arg-type]


def _tuple(to: str | tuple[str, ...]) -> tuple[str, ...]:
    return (to,) if isinstance(to, str) else to


def lawful(name: str, *steps: Step, to: str | tuple[str, ...] = (), **others: object) -> Kind:
    """Return a kind whose recipients, or these, must get a copy."""
    expects = _tuple(to) or tuple(one for step in steps for one in step.to)
    return Kind(name, steps, expects, **others)  # type: ignore[arg-type]


def forbidden(name: str, *steps: Step, target: str = OUTSIDE, to: str | tuple[str, ...] = ()) -> Kind:
    """Return a forward whose target must get no copy."""
    return Kind(name, steps, _tuple(to), (target,))


def sieve(name: str) -> str:
    """Return a mailbox of ours."""
    return f"{name}@{DOMAIN}"


# -- fields that programs write --------------------------------------------------------------------

REPLY = ("In-Reply-To: <hoi.{m.number}@hanam.gov.vn>", "References: <hoi.{m.number}@hanam.gov.vn>")
EXCHANGE_ABSENCE = (
    *REPLY,
    "X-Auto-Response-Suppress: All",
    "X-MS-Exchange-Inbox-Rules-Loop: {m.author}",
    "x-ms-exchange-parent-message-id: <hoi.{m.number}@hanam.gov.vn>",
    "auto-submitted: auto-generated",
    "x-ms-exchange-generated-message-source: Mailbox Rules Agent",
)
CALENDAR = 'Content-Type: text/calendar; method={}; charset="utf-8"'
BULK = ("List-Id: <tin.doitac.example>", "List-Unsubscribe: <https://doitac.example/u>", "Precedence: bulk")
OUTSIDE_LIST = ("List-Id: <cntt.nhom.example>", "List-Post: <mailto:cntt@nhom.example>", "Precedence: list")
GOOGLE_GROUP = (
    "Received: by mail-wr1-f41.google.com with SMTP id a1-2002so1; Mon, 30 Nov 2026 01:00:00 -0800 (PST)",
    "X-Google-Group-Id: 123456789",
    "List-ID: <cntt.googlegroups.com>",
    "List-Post: <https://groups.google.com/group/cntt/post>, <mailto:cntt@googlegroups.com>",
    "Mailing-list: list cntt@googlegroups.com; contact cntt+owners@googlegroups.com",
    "X-Original-Sender: {m.author}",
    "Precedence: list",
)
GMAIL_FORWARD = ("X-Forwarded-To: {m.official}", "X-Forwarded-For: " + FORWARDER + " {m.official}")
RESENT = ("Resent-From: {m.official}", "Resent-To: {m.citizen}", "Resent-Date: Mon, 30 Nov 2026 09:00:00 +0700")
LISTED_RESENT = (
    f"Resent-From: {COLLEAGUE}",
    "Resent-To: {m.citizen}",
    "Resent-Date: Mon, 30 Nov 2026 09:00:00 +0700",
    "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>",
)
THUNDERBIRD = "User-Agent: Mozilla Thunderbird"
ZIMBRA = "X-Mailer: Zimbra 8.8.15_GA_4581 (ZimbraWebClient - FF115 (Win)/8.8.15_GA_4581)"
ZIMBRA_ID = "<{m.number}.7.{m.token}.JavaMail.zimbra@hanam.gov.vn>"
VERP_OF_PORTAL = "tb+{verp}@congdichvu.example"


ATTACHED = (
    "--b\r\nContent-Type: text/plain\r\n\r\nXem thu.\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    "Delivered-To: {m.official}\r\nX-Forwarded-To: {m.official}\r\nResent-From: {m.official}\r\n"
    "From: {m.author}\r\nTo: {m.official}\r\nSubject: Bao cao\r\n\r\nKinh gui.\r\n--b--"
)


# -- the kinds -------------------------------------------------------------------------------------

INCOMING = (
    lawful("outside to one official", comes()),
    lawful("outside to several officials at once", comes(to=(OFFICIAL, SECOND, COLLEAGUE))),
    lawful(
        "outside to several officials, one by one",
        comes(to=(OFFICIAL, SECOND), is_alone=True, shown=f"{OFFICIAL}, {SECOND}"),
    ),
    lawful("outside to an official, another one in Bcc", comes(to=(OFFICIAL, SECOND), shown=OFFICIAL)),
    lawful("outside to a sub-address", comes(to="cb01+hoso@{d}"), to="cb01@{d}"),
    lawful("outside to undisclosed recipients", comes(shown="undisclosed-recipients:;")),
    lawful(
        "a reply to what an official wrote",
        goes(),
        comes(*REPLY, sender=CITIZEN, after=CITIZEN, subject="Re: Bao cao"),
        to=(CITIZEN, OFFICIAL),
    ),
    lawful(
        "Gmail: a person's reply with X-Forwarded-Encrypted",
        comes(
            *REPLY,
            "X-Forwarded-Encrypted: i=1; AJvYcCX{m.number}@hanam.gov.vn",
            "X-Gm-Message-State: AOJu0Yx",
            sender=CITIZEN,
            client=GMAIL,
            subject="Re: Bao cao",
        ),
    ),
    lawful("a person outside forwards by hand", comes(sender=CITIZEN, subject="Fwd: Giay moi", client=GMAIL)),
    lawful("a mail with 8-bit text in its header", comes(subject="Kính mời họp", author=AUTHOR)),
    lawful("a mail of a megabyte", comes(text="Nội dung. " * 100_000)),
    lawful("S/MIME from outside", comes(content=signed)),
    lawful(
        "a calendar invitation from outside",
        comes(
            CALENDAR.format("REQUEST"),
            "x-ms-exchange-calendar-originator-id: x",
            text="BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR",
        ),
    ),
    lawful(
        "Exchange accepts a calendar invitation",
        comes(
            CALENDAR.format("REPLY"),
            *REPLY,
            "X-MS-Exchange-Generated-Message-Source: Calendar Assistant Agent",
            text="BEGIN:VCALENDAR\r\nMETHOD:REPLY\r\nEND:VCALENDAR",
            client=OUTLOOK,
        ),
    ),
    # answers that programs outside write
    lawful(
        "Exchange's absence reply",
        comes(*EXCHANGE_ABSENCE, sender="", author=AUTHOR, client=OUTLOOK, subject="Automatic reply: Gop y"),
    ),
    lawful(
        "an absence reply to what an official wrote",
        goes(),
        comes(
            "In-Reply-To: <{m.token}@hanam.gov.vn>",
            "X-MS-Exchange-Inbox-Rules-Loop: {m.citizen}",
            "auto-submitted: auto-generated",
            "x-ms-exchange-generated-message-source: Mailbox Rules Agent",
            sender="",
            to="{back}",
            author=CITIZEN,
            after=CITIZEN,
            shown=OFFICIAL,
            message_id="<ooo.{m.token}@gmail.com>",
        ),
        to=(CITIZEN, OFFICIAL),
    ),
    lawful(
        "Gmail's vacation responder",
        comes(
            *REPLY,
            "X-Autoreply: yes",
            "Auto-Submitted: auto-replied",
            "Precedence: bulk",
            sender=AUTHOR,
            client=GMAIL,
        ),
    ),
    lawful(
        "Zimbra's absence reply",
        comes(
            "Auto-Submitted: auto-replied (zimbra; vacation)",
            "X-Zimbra-Forwarded: {m.author}",
            "Precedence: bulk",
            *REPLY,
            sender="",
            author=AUTHOR,
        ),
    ),
    lawful(
        "Sieve's vacation outside",
        comes(
            "Auto-Submitted: auto-replied (vacation)",
            "X-Sieve: Pigeonhole Sieve 0.5.19",
            *REPLY,
            sender="",
            author=AUTHOR,
        ),
    ),
    lawful(
        "a read receipt from outside",
        comes(
            "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
            content=receipt,
            sender="",
            author=AUTHOR,
            client=OUTLOOK,
        ),
    ),
    lawful(
        "a bounce from outside",
        goes(),
        comes(content=report, sender="", to="{back}", author="mailer-daemon@gmail.com", after=CITIZEN, client=GMAIL),
        to=(CITIZEN, OFFICIAL),
    ),
    # services
    lawful("a newsletter with VERP", comes(*BULK, sender="tin+{verp}@doitac.example", author="tin@doitac.example")),
    lawful(
        "a newsletter by SendGrid",
        comes(
            *BULK,
            "X-SG-EID: u001",
            sender="bounces+1234567-ab12-{verp}@em123.doitac.example",
            author="tin@doitac.example",
        ),
    ),
    lawful(
        "a newsletter by Amazon SES",
        comes(
            *BULK,
            "Feedback-ID: 1.ap-southeast-1:AmazonSES",
            sender="0107019{m.number}-000000@ap-southeast-1.amazonses.com",
            author="tin@doitac.example",
        ),
    ),
    lawful(
        "a helpdesk acknowledges",
        comes(
            "Auto-Submitted: auto-replied",
            "X-Auto-Response-Suppress: All",
            "X-Mailer: Znuny 6.4",
            *REPLY,
            author="hotro@doitac.example",
            sender="hotro@doitac.example",
        ),
    ),
    lawful(
        "a helpdesk's ticket with a loop mark",
        comes(
            "Auto-Submitted: auto-generated",
            "X-Loop: hotro@doitac.example",
            "X-RT-Loop-Prevention: doitac.example",
            "Precedence: bulk",
            author="hotro@doitac.example",
            sender="hotro@doitac.example",
        ),
    ),
    lawful(
        "a notification that has its Message-ID again",
        comes("Auto-Submitted: auto-generated", sender="noreply@congdichvu.example"),
        comes("Auto-Submitted: auto-generated", sender="noreply@congdichvu.example", after=OFFICIAL),
    ),
    # lists outside
    lawful(
        "a list outside",
        comes(*OUTSIDE_LIST, sender="cntt-bounces+{verp}@nhom.example", author=AUTHOR, shown="cntt@nhom.example"),
    ),
    lawful(
        "a mail to an official and a list outside, whose copy comes too",
        comes(shown=f"{OFFICIAL}, cntt@nhom.example"),
        comes(
            *OUTSIDE_LIST,
            "Received: from a.example by nhom.example with ESMTP id 4X for <cntt@nhom.example>; "
            "Mon, 30 Nov 2026 09:00:00 +0700",
            sender="cntt-bounces@nhom.example",
            author=AUTHOR,
            shown=f"{OFFICIAL}, cntt@nhom.example",
            after=OFFICIAL,
            message_id="<{m.token}@doitac.example>",
        ),
    ),
    lawful(
        "an official writes to a list outside, whose copy comes back",
        goes(to="cntt@nhom.example"),
        comes(
            *OUTSIDE_LIST,
            sender="cntt-bounces@nhom.example",
            author=OFFICIAL,
            shown="cntt@nhom.example",
            after="cntt@nhom.example",
        ),
    ),
    lawful(
        "Google Groups: a post",
        comes(
            *GOOGLE_GROUP,
            sender="cntt+bncBCA{m.number}@googlegroups.com",
            author=AUTHOR,
            shown="cntt@googlegroups.com",
            client=GMAIL,
        ),
    ),
    lawful(
        "Google Groups: a post by an official comes back",
        goes(to="cntt@googlegroups.com"),
        comes(
            *GOOGLE_GROUP,
            "X-Forwarded-Encrypted: i=1; AJvYcC",
            sender="cntt+bncBCA@googlegroups.com",
            author=OFFICIAL,
            shown="cntt@googlegroups.com",
            client=GMAIL,
            after="cntt@googlegroups.com",
        ),
    ),
    # state bodies
    lawful("a state body writes", comes(sender=STATE_AUTHOR)),
    lawful(
        "a state mailbox forwards as Gmail does, from a state network",
        comes(
            "X-Forwarded-To: {m.official}",
            f"X-Forwarded-For: {STATE_MEMBER} {{m.official}}",
            sender="vp+caf_={verp}@ninhbinh.gov.vn",
            author=AUTHOR,
            client=STATE_NETWORK,
        ),
    ),
    lawful(
        "a state mailbox redirects by Sieve, from a state network",
        comes(f"X-Sieve-Redirected-From: {STATE_MEMBER}", "X-Sieve: Pigeonhole Sieve 0.5.19", client=STATE_NETWORK),
    ),
    lawful(
        "a state mailbox forwards as Gmail does, SPF passes",
        comes(
            "X-Forwarded-To: {m.official}",
            f"X-Forwarded-For: {STATE_MEMBER} {{m.official}}",
            sender="vp+caf_={verp}@ninhbinh.gov.vn",
            author=AUTHOR,
            client=STATE_BY_SPF,
        ),
    ),
    lawful(
        "a state mailbox forwards by SRS, SPF passes",
        comes(
            "Delivered-To: vp@ninhbinh.gov.vn",
            sender="SRS0=ab1c=XY=doitac.example=khach{m.number}@ninhbinh.gov.vn",
            author=AUTHOR,
            client=STATE_BY_SPF,
        ),
    ),
    lawful(
        "an exempt mailbox forwards to us, SPF passes",
        comes(sender="lan+caf_={verp}@mien-tru.example", author=AUTHOR, client=EXEMPT_HOST),
    ),
    lawful(
        "a list outside behind a host that rewrites senders",
        comes(
            *OUTSIDE_LIST,
            sender="SRS0=ab1c=XY=nhom.example=cntt-bounces@relay.example",
            author=AUTHOR,
            shown="cntt@nhom.example",
        ),
    ),
    lawful(
        "an author's provider rewrites what it sends",
        comes(sender="SRS0=ab1c=XY=doitac.example=khach{m.number}@mail.doitac.example", author=AUTHOR),
    ),
    lawful(
        "a person outside redirects by hand, as mutt does",
        comes(
            "Resent-From: " + FORWARDER,
            "Resent-To: {m.official}",
            "Resent-Date: Mon, 30 Nov 2026 09:00:00 +0700",
            "Resent-Message-ID: <Z1@congty.example>",
            "Delivered-To: " + FORWARDER,
            sender=FORWARDER,
            author=AUTHOR,
            shown=FORWARDER,
        ),
    ),
    lawful(
        "a reply to all: an official and a list of ours",
        goes(to=(SECOND, GROUP, AUTHOR)),
        comes(
            "In-Reply-To: <{m.token}@hanam.gov.vn>",
            to=(OFFICIAL, GROUP),
            after=AUTHOR,
            subject="Re: Bao cao",
            message_id="<re.{m.token}@doitac.example>",
        ),
        to=(SECOND, AUTHOR, OFFICIAL, *MEMBERS[GROUP], *MEMBERS[GROUP]),
    ),
    lawful(
        "a mail that its author sends again, to another official",
        comes(),
        comes(to=SECOND, after=OFFICIAL, shown=OFFICIAL),
    ),
    lawful("outside to an official, the sender rewritten", rewritten(to=(OFFICIAL, SECOND))),
    lawful(
        "a group of a company's aliases, with an owner",
        comes(
            "Delivered-To: nhom@congty.example",
            "Received: from mail.doitac.example by mx.congty.example (Postfix) with ESMTPS id 4XyZ "
            "for <nhom@congty.example>; Mon, 30 Nov 2026 09:00:00 +0700",
            sender="owner-nhom@congty.example",
            author=AUTHOR,
            shown="nhom@congty.example",
            client=COMPANY,
        ),
    ),
    lawful(
        "a company's Exchange relays through Microsoft 365",
        comes(
            "X-MS-Exchange-CrossTenant-AuthAs: Anonymous",
            "X-MS-Exchange-CrossTenant-FromEntityHeader: HybridOnPrem",
            sender="bounces+SRS=aB1cD=XY@doitac.onmicrosoft.com",
            author=AUTHOR,
            client=OUTLOOK,
        ),
    ),
    lawful(
        "a list by SmartList",
        comes(
            "Resent-From: cntt@nhom.example",
            "Resent-Message-ID: <x.A.1.ab@bendel>",
            "X-Loop: cntt@nhom.example",
            "X-Mailing-List: <cntt@nhom.example> archive/latest/1",
            *OUTSIDE_LIST,
            sender="bounce-cntt={verp}@nhom.example",
            author=AUTHOR,
            shown="cntt@nhom.example",
        ),
    ),
    lawful("a person at Yandex", comes("X-Yandex-Fwd: 1", client=("178.154.239.145", "forward500b.mail.yandex.net"))),
    lawful(
        "an official's mail to a list outside comes back to him with its trace",
        goes(to="cntt@nhom.example"),
        comes(*OUTSIDE_LIST, sender="cntt-bounces@nhom.example", after="cntt@nhom.example", content=redirected),
    ),
)

# To an official, to outside, or both.
WEB = (
    lawful(
        "a portal's circular to an official and citizens at once",
        inside("Auto-Submitted: auto-generated", sender="tb@congdichvu.example", to=(OFFICIAL, CITIZEN, FRIEND)),
    ),
    lawful(
        "a portal's circular, one by one",
        inside(
            "Auto-Submitted: auto-generated",
            sender="tb@congdichvu.example",
            to=(OFFICIAL, CITIZEN, FRIEND),
            is_alone=True,
        ),
    ),
    lawful(
        "a portal's circular in our name, one by one",
        inside(sender="tb@{d}", to=(OFFICIAL, CITIZEN, FRIEND), is_alone=True, shown="tb@{d}"),
    ),
    lawful(
        "a portal's circular, a VERP sender for each",
        inside(sender=VERP_OF_PORTAL, author="tb@congdichvu.example"),
        inside(
            sender="tb+dan{m.number}=gmail.com@congdichvu.example",
            author="tb@congdichvu.example",
            to=CITIZEN,
            after=OFFICIAL,
        ),
    ),
    lawful(
        "a portal on the mail server to an official and a citizen",
        local("Auto-Submitted: auto-generated", sender="tb@{d}", to=(OFFICIAL, CITIZEN)),
    ),
    lawful("a scanner to an official", inside("X-Mailer: KONICA MINOLTA bizhub C258", sender="scan@{d}")),
    lawful(
        "a scanner to an official and a citizen",
        inside("X-Mailer: KONICA MINOLTA bizhub C258", sender="scan@{d}", to=(OFFICIAL, CITIZEN)),
    ),
    lawful("cron", local("X-Cron-Env: <SHELL=/bin/sh>", "Auto-Submitted: auto-generated", sender="root@{d}")),
    lawful(
        "monitoring to an official and outside",
        local("Auto-Submitted: auto-generated", sender="nagios@{d}", to=(OFFICIAL, FRIEND)),
    ),
    lawful("webmail, without a login, to outside", inside("User-Agent: Roundcube Webmail/1.6.1", to=CITIZEN)),
    lawful(
        "webmail, without a login, to a colleague and outside",
        inside(ZIMBRA, to=(SECOND, CITIZEN), message_id=ZIMBRA_ID),
    ),
    lawful(
        "webmail, without a login, to each in a mail of his own",
        inside(
            ZIMBRA,
            to=(SECOND, CITIZEN, FRIEND),
            shown=f"{SECOND}, {CITIZEN}, {FRIEND}",
            message_id=ZIMBRA_ID,
            is_alone=True,
        ),
    ),
)

OUTGOING = (
    lawful("an official to one outside", goes(THUNDERBIRD)),
    lawful("an official to several outside", goes(THUNDERBIRD, to=(CITIZEN, FRIEND, AUTHOR))),
    lawful("an official to outside and himself at once", goes(THUNDERBIRD, to=(CITIZEN, OFFICIAL))),
    lawful(
        "an official to outside, himself in Bcc, one by one",
        goes(THUNDERBIRD, to=(OFFICIAL, CITIZEN), shown=CITIZEN, is_alone=True),
    ),
    lawful("an official to a colleague and outside", goes(THUNDERBIRD, to=(SECOND, CITIZEN))),
    lawful("an official to a state body and outside", goes(to=(STATE_AUTHOR, CITIZEN))),
    lawful("a mail merge with one Message-ID", goes(to=(CITIZEN, FRIEND, SECOND), is_alone=True)),
    lawful(
        "an official answers",
        comes(),
        goes(
            "In-Reply-To: <{m.token}@doitac.example>",
            "References: <{m.token}@doitac.example>",
            to=AUTHOR,
            subject="Re: Bao cao",
            after=OFFICIAL,
        ),
        to=(OFFICIAL, AUTHOR),
    ),
    lawful(
        "a forward by hand",
        comes(),
        goes(
            "References: <{m.token}@doitac.example>",
            subject="Fwd: Bao cao",
            after=OFFICIAL,
            message_id="<fw.{m.token}@hanam.gov.vn>",
        ),
        to=(OFFICIAL, CITIZEN),
    ),
    lawful(
        "a redirect by hand through submission",
        comes(),
        goes(*RESENT, "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>", after=OFFICIAL, content=redirected),
        to=(OFFICIAL, CITIZEN),
    ),
    lawful(
        "a redirect by hand by Zimbra's web client",
        comes(),
        inside(*RESENT, f"Resent-Message-ID: {ZIMBRA_ID}", to=CITIZEN, after=OFFICIAL, content=redirected),
        to=(OFFICIAL, CITIZEN),
    ),
    lawful(
        "one's own sent mail is sent again by hand",
        goes(to=(CITIZEN, OFFICIAL)),
        goes(
            "Resent-From: {m.official}",
            "Resent-To: {m.friend}",
            "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>",
            to=FRIEND,
            after=OFFICIAL,
            content=redirected,
        ),
    ),
    lawful("S/MIME to outside", goes(content=signed), holds=Day.is_as_signed),
    lawful("a mail that OpenDKIM signs", goes(THUNDERBIRD), holds=Day.is_signed),
    lawful(
        "a calendar invitation to a colleague and outside",
        goes(
            CALENDAR.format("REQUEST"),
            to=(SECOND, CITIZEN),
            text="BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR",
        ),
    ),
    lawful(
        "an official's read receipt",
        comes("Disposition-Notification-To: {m.author}"),
        goes(content=receipt, sender="", login=OFFICIAL, author=OFFICIAL, shown=AUTHOR, to=AUTHOR, after=OFFICIAL),
        to=(OFFICIAL, AUTHOR),
    ),
    # answers and reports that our programs write
    lawful("Dovecot's vacation by sendmail", comes(to=sieve("vang")), to=(sieve("vang"), AUTHOR)),
    lawful("Dovecot's vacation by SMTP", comes(to=sieve("nghi")), to=(sieve("nghi"), AUTHOR)),
    lawful(
        "Dovecot's vacation by sendmail to a rewritten sender",
        rewritten(to=sieve("vang")),
        to=(sieve("vang"), AUTHOR),
    ),
    lawful(
        "Dovecot's vacation by SMTP to a rewritten sender", rewritten(to=sieve("nghi")), to=(sieve("nghi"), AUTHOR)
    ),
    lawful("Sieve refuses a mail, and tells its author", comes(to=sieve("tu-choi")), to=AUTHOR),
    lawful("our bounce to an author outside", comes(to=sieve("hong")), to=AUTHOR),
    lawful("our bounce to a rewritten sender", rewritten(to=sieve("hong")), to=AUTHOR),
    lawful("our report that a mail arrived", comes(rcpt_args=("NOTIFY=SUCCESS",)), to=(OFFICIAL, AUTHOR)),
    lawful("our bounce to an official", goes(to=(sieve("hong"), CITIZEN)), to=(CITIZEN, OFFICIAL)),
    # what is forwarded and may be
    lawful("an alias to a colleague", comes(to=sieve("trong")), to=COLLEAGUE),
    lawful(".forward to a colleague", comes(to=sieve("games+trong")), to=COLLEAGUE),
    lawful("Sieve redirects to a colleague", comes(to=sieve("doi-phong")), to=COLLEAGUE),
    lawful("Sieve redirects to a state body", comes(to=sieve("sieve-smtp-state")), to=STATE),
    lawful(".forward to a state body, the sender rewritten", rewritten(to=sieve("games+state")), to=STATE),
    lawful("an alias to an exempt mailbox", comes(to=sieve("alias-exempt")), to=EXEMPT),
    lawful("an official writes as his unit's mailbox", goes(login=OFFICIAL, sender=SECOND, to=(CITIZEN, OFFICIAL))),
    lawful(
        "a redirect by hand to a colleague and outside",
        comes(),
        goes(
            *RESENT,
            "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>",
            to=(SECOND, CITIZEN),
            after=OFFICIAL,
            content=redirected,
        ),
        to=(OFFICIAL, SECOND, CITIZEN),
    ),
    lawful(
        "a newsletter is redirected by hand",
        comes(*BULK, sender="tin+{verp}@doitac.example", author="tin@doitac.example"),
        goes(*RESENT, "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>", after=OFFICIAL, content=redirected),
        to=(OFFICIAL, CITIZEN),
    ),
    lawful(
        "an official answers all on a list of ours",
        comes(to=GROUP),
        goes(
            "In-Reply-To: <{m.token}@doitac.example>",
            sender=COLLEAGUE,
            to=(AUTHOR, GROUP),
            after=COLLEAGUE,
            subject="Re: Bao cao",
            message_id="<re.{m.token}@hanam.gov.vn>",
        ),
        to=(*MEMBERS[GROUP], *MEMBERS[GROUP], AUTHOR),
    ),
    lawful(
        "to a colleague whose .forward names another one, and outside",
        goes(to=(sieve("games+trong"), CITIZEN)),
        to=(COLLEAGUE, CITIZEN),
    ),
    lawful(
        "our Exchange's absence reply",
        comes(),
        inside(
            "In-Reply-To: <{m.token}@doitac.example>",
            "X-Auto-Response-Suppress: All",
            "X-MS-Exchange-Inbox-Rules-Loop: {m.official}",
            "x-ms-exchange-parent-message-id: <{m.token}@doitac.example>",
            "auto-submitted: auto-generated",
            "x-ms-exchange-generated-message-source: Mailbox Rules Agent",
            sender="",
            author=OFFICIAL,
            to=AUTHOR,
            after=OFFICIAL,
            message_id="<ooo.{m.token}@hanam.gov.vn>",
        ),
        to=(OFFICIAL, AUTHOR),
    ),
    lawful(
        "our Zimbra's absence reply",
        comes(),
        inside(
            "In-Reply-To: <{m.token}@doitac.example>",
            "Auto-Submitted: auto-replied (zimbra; vacation)",
            "X-Zimbra-Forwarded: {m.official}",
            "Precedence: bulk",
            sender="",
            author=OFFICIAL,
            to=AUTHOR,
            after=OFFICIAL,
            message_id="<ooo.{m.token}@hanam.gov.vn>",
        ),
        to=(OFFICIAL, AUTHOR),
    ),
    lawful(
        "a store's bounce to an author outside",
        comes(),
        inside(
            content=report,
            sender="",
            author="mailer-daemon@store.hanam.gov.vn",
            shown=AUTHOR,
            to=AUTHOR,
            after=OFFICIAL,
        ),
        to=(OFFICIAL, AUTHOR),
    ),
    lawful(
        "a forward by hand as an attached mail",
        comes(),
        goes(
            'Content-Type: multipart/mixed; boundary="b"',
            text=ATTACHED,
            subject="Fwd: Bao cao",
            after=OFFICIAL,
            message_id="<fw.{m.token}@hanam.gov.vn>",
        ),
        to=(OFFICIAL, CITIZEN),
    ),
)

LISTS = (
    lawful("outside to a list by mlmmj", comes(to=GROUP), to=MEMBERS[GROUP]),
    lawful("outside to a list by aliases with an owner", comes(to=ALIAS_GROUP), to=MEMBERS[ALIAS_GROUP]),
    lawful("outside to a list by aliases, the sender rewritten", rewritten(to=PLAIN_GROUP), to=MEMBERS[PLAIN_GROUP]),
    lawful("outside to a list by virtual aliases", comes(to=VIRTUAL_GROUP), to=MEMBERS[VIRTUAL_GROUP]),
    lawful("To: a colleague, Cc: a list by mlmmj", goes(to=(SECOND, GROUP)), to=(SECOND, *MEMBERS[GROUP])),
    lawful(
        "To: a colleague, Cc: a list by aliases", goes(to=(SECOND, PLAIN_GROUP)), to=(SECOND, *MEMBERS[PLAIN_GROUP])
    ),
    lawful(
        "To: a colleague, Cc: a list by virtual aliases",
        goes(to=(SECOND, VIRTUAL_GROUP)),
        to=(SECOND, *MEMBERS[VIRTUAL_GROUP]),
    ),
    lawful("To: a colleague, Cc: a list by a program", goes(to=(SECOND, LIST)), to=(SECOND, *MEMBERS[LIST])),
    lawful("outside to an official and a list by mlmmj", comes(to=(OFFICIAL, GROUP)), to=(OFFICIAL, *MEMBERS[GROUP])),
    lawful(
        "a list answers a request for help",
        comes(to=GROUP.replace("@", "+help@"), sender="{m.token}@doitac.example"),
        to="{m.token}@doitac.example",
    ),
    lawful(
        "a list asks to confirm a subscription",
        comes(to=GROUP.replace("@", "+subscribe@"), sender="{m.token}@doitac.example"),
        to="{m.token}@doitac.example",
    ),
    lawful(
        "a list tells a stranger that he may not post",
        comes(to=CLOSED_GROUP, sender="{m.token}@doitac.example"),
        to="{m.token}@doitac.example",
    ),
    lawful("to the owner of a list by mlmmj", comes(to=GROUP.replace("@", "+owner@")), to=LIST_OWNER),
    lawful(
        "a bounce of a list's copy, to mlmmj",
        comes(to=GROUP),
        comes(
            content=report, sender="", to="{back}", author="mailer-daemon@congty.example", after="minh@congty.example"
        ),
        to=MEMBERS[GROUP],
    ),
    lawful(
        "a bounce of a list's copy, to its owner",
        comes(to=ALIAS_GROUP),
        comes(
            content=report, sender="", to="{back}", author="mailer-daemon@congty.example", after="binh@congty.example"
        ),
        to=(*MEMBERS[ALIAS_GROUP], LIST_OWNER),
    ),
    lawful(
        "a bounce of a list's copy, home to a rewritten sender",
        rewritten(to=PLAIN_GROUP),
        comes(
            content=report, sender="", to="{back}", author="mailer-daemon@congty.example", after="chi@congty.example"
        ),
        to=(*MEMBERS[PLAIN_GROUP], AUTHOR),
    ),
    lawful(
        "a member's absence reply, home to a rewritten sender",
        rewritten(to=PLAIN_GROUP),
        comes(
            "Auto-Submitted: auto-replied",
            *REPLY,
            sender="",
            to="{back}",
            author="chi@congty.example",
            after="chi@congty.example",
        ),
        to=(*MEMBERS[PLAIN_GROUP], AUTHOR),
    ),
    lawful("an official to a list by virtual aliases", goes(to=VIRTUAL_GROUP), to=MEMBERS[VIRTUAL_GROUP]),
    lawful(
        "a program on the mail server to a list by aliases",
        local("Auto-Submitted: auto-generated", sender="root@{d}", to=PLAIN_GROUP),
        to=MEMBERS[PLAIN_GROUP],
    ),
    lawful(
        "to two lists of ours and a colleague",
        goes(to=(SECOND, GROUP, VIRTUAL_GROUP)),
        to=(SECOND, *MEMBERS[GROUP], *MEMBERS[VIRTUAL_GROUP]),
    ),
    lawful("outside to a list by mlmmj, the sender rewritten", rewritten(to=GROUP), to=MEMBERS[GROUP]),
    lawful(
        "outside to a list by virtual aliases and an official, the sender rewritten",
        rewritten(to=(OFFICIAL, VIRTUAL_GROUP)),
        to=(OFFICIAL, *MEMBERS[VIRTUAL_GROUP]),
    ),
    lawful("a list of lists", comes(to=NESTED_GROUP), to=(*MEMBERS[PLAIN_GROUP], "em@congty.example")),
    lawful(
        "a list outside writes to a list of ours",
        comes(
            *OUTSIDE_LIST,
            sender="cntt-bounces@nhom.example",
            author=AUTHOR,
            to=VIRTUAL_GROUP,
            shown="cntt@nhom.example",
        ),
        to=MEMBERS[VIRTUAL_GROUP],
    ),
    lawful(
        "an official's mail comes from a list outside to a list of ours",
        goes(to="cntt@nhom.example"),
        comes(
            *OUTSIDE_LIST,
            sender="cntt-bounces@nhom.example",
            to=VIRTUAL_GROUP,
            after="cntt@nhom.example",
            content=redirected,
        ),
        to=("cntt@nhom.example", *MEMBERS[VIRTUAL_GROUP]),
    ),
    lawful(
        "a list's mail is redirected by hand",
        comes(to=VIRTUAL_GROUP),
        goes(*LISTED_RESENT, sender=COLLEAGUE, after=COLLEAGUE, content=redirected),
        to=(*MEMBERS[VIRTUAL_GROUP], CITIZEN),
    ),
    lawful(
        "the copy of a list by mlmmj is redirected by hand",
        comes(to=GROUP),
        goes(*LISTED_RESENT, sender=COLLEAGUE, after=COLLEAGUE, content=redirected),
        to=(*MEMBERS[GROUP], CITIZEN),
    ),
    lawful(
        "a redirect by hand to a list by virtual aliases",
        comes(),
        goes(
            *RESENT,
            "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>",
            to=VIRTUAL_GROUP,
            after=OFFICIAL,
            content=redirected,
        ),
        to=(OFFICIAL, *MEMBERS[VIRTUAL_GROUP]),
    ),
    lawful(
        "a redirect by hand to a list by aliases",
        comes(),
        goes(
            *RESENT,
            "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>",
            to=PLAIN_GROUP,
            after=OFFICIAL,
            content=redirected,
        ),
        to=(OFFICIAL, *MEMBERS[PLAIN_GROUP]),
    ),
)

FORBIDDEN = (
    forbidden("alias", comes(to=sieve("alias-outside"))),
    forbidden("alias with owner-", comes(to=sieve("owned-outside"))),
    forbidden("alias to a pipe that runs sendmail", comes(to=sieve("pipe-outside"))),
    forbidden(".forward", comes(to=sieve("games+outside"))),
    forbidden(".forward, the sender rewritten", rewritten(to=sieve("games+outside"))),
    forbidden(".forward to a pipe that runs sendmail", comes(to=sieve("news+outside"))),
    forbidden("procmail", comes(to=sieve("uucp+outside"))),
    forbidden("virtual_alias_maps", comes(to=sieve("virtual-outside"))),
    forbidden(
        "recipient_bcc_maps; the owner is told where he reads",
        comes(to=BCC_MAILBOX),
        to=(BCC_MAILBOX, NOTICE.format(BCC_MAILBOX), NOTICE.format(OUTSIDE)),
    ),
    forbidden("sender_bcc_maps", goes(sender=sieve("sbcc-outside")), to=CITIZEN),
    forbidden("always_bcc", Step("bcc", AUTHOR, (OFFICIAL,)), to=OFFICIAL),
    forbidden("Sieve through submission_host", comes(to=sieve("sieve-smtp-outside"))),
    forbidden("Sieve through sendmail_path", comes(to=sieve("sieve-pipe-outside"))),
    forbidden(
        "a client's rule with Resent-From and auto-forwarded",
        comes(),
        goes(
            "Resent-From: {m.official}",
            "Auto-Submitted: auto-forwarded",
            to=CITIZEN,
            after=OFFICIAL,
            content=stripped,
        ),
        target=CITIZEN,
        to=OFFICIAL,
    ),
    forbidden(
        "a client's rule without a mark",
        comes(),
        goes(to=CITIZEN, after=OFFICIAL, content=stripped),
        target=CITIZEN,
        to=OFFICIAL,
    ),
    forbidden(
        "Gmail forwards to us, by its sender",
        comes(sender="hoa+caf_={verp}@gmail.com", author=AUTHOR, client=GMAIL, shown="hoa@gmail.com"),
        target=OFFICIAL,
    ),
    forbidden(
        "Gmail forwards to us, by its headers", comes(*GMAIL_FORWARD, client=GMAIL, shown=FORWARDER), target=OFFICIAL
    ),
    forbidden(
        "Microsoft 365 forwards a mailbox to us",
        comes(
            "X-MS-Exchange-ForwardingLoop: " + FORWARDER + ";0c1d2e3f-0000-4000-8000-000000000000",
            "Resent-From: <" + FORWARDER + ">",
            sender="bounces+SRS=aB1cD=XY@congty.example",
            author=AUTHOR,
            client=OUTLOOK,
            shown=FORWARDER,
        ),
        target=OFFICIAL,
    ),
    forbidden(
        "an inbox rule of Exchange redirects to us",
        comes(
            "Resent-From: <" + FORWARDER + ">",
            "X-MS-Exchange-Inbox-Rules-Loop: " + FORWARDER,
            "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
            sender=FORWARDER,
            author=AUTHOR,
            client=OUTLOOK,
            shown=FORWARDER,
        ),
        target=OFFICIAL,
    ),
    forbidden(
        "SRS by a domain that took it in for a mailbox there",
        comes(
            "Received: from mail.doitac.example by mx.congty.example (Postfix) with ESMTPS id 4XyZ for <"
            + FORWARDER
            + ">; Mon, 30 Nov 2026 09:00:00 +0700",
            sender="SRS0=ab1c=XY=doitac.example=khach{m.number}@congty.example",
            author=AUTHOR,
            client=COMPANY,
            shown=FORWARDER,
        ),
        target=OFFICIAL,
    ),
    forbidden(
        "Zimbra redirects a bounce to us",
        comes(
            "X-Zimbra-Forwarded: " + FORWARDER,
            content=report,
            sender="",
            author="mailer-daemon@doitac.example",
            shown=FORWARDER,
        ),
        target=OFFICIAL,
    ),
    forbidden(
        "a colleague's .forward of what also went to a list", goes(to=(FORWARDING_MEMBER, GROUP)), to=MEMBERS[GROUP]
    ),
    forbidden(
        "an alias of what also went to a list by aliases",
        goes(to=(sieve("alias-outside"), PLAIN_GROUP)),
        to=MEMBERS[PLAIN_GROUP],
    ),
    forbidden("a member of a list forwards its copy by .forward", comes(to=LEAKING_GROUP), to=COLLEAGUE),
    forbidden(
        "virtual_alias_maps; the owner is told where he reads",
        comes(to="chuyen-{m.token}@{d}"),
        to=NOTICE.format(OUTSIDE),
    ),
    forbidden(
        ".forward of what says to be a notice of Mailgate's",
        comes(
            "Auto-Submitted: auto-generated", author="postmaster@{d}", shown="games@{d}", to=sieve("games+outside")
        ),
    ),
    forbidden(
        ".forward of a newsletter",
        comes(*BULK, sender="tin+{verp}@doitac.example", author="tin@doitac.example", to=sieve("games+outside")),
    ),
    forbidden(
        ".forward of a list's post",
        comes(
            *OUTSIDE_LIST,
            sender="cntt-bounces@nhom.example",
            author=AUTHOR,
            shown="cntt@nhom.example",
            to=sieve("games+outside"),
        ),
    ),
    forbidden(
        ".forward of a bounce",
        comes(content=report, sender="", author="mailer-daemon@gmail.com", to=sieve("games+outside")),
    ),
    forbidden(
        ".forward of an absence reply",
        comes("Auto-Submitted: auto-replied", *REPLY, sender="", author=AUTHOR, to=sieve("games+outside")),
    ),
    forbidden(".forward of a colleague's mail", goes(to=(sieve("games+outside"), CITIZEN)), to=CITIZEN),
    forbidden(
        ".forward of a portal's circular",
        inside(
            "Auto-Submitted: auto-generated",
            sender="tb@congdichvu.example",
            to=(sieve("games+outside"), CITIZEN),
            is_alone=True,
        ),
        to=CITIZEN,
    ),
    forbidden(
        "Sieve redirects a bounce",
        comes(content=report, sender="", author="mailer-daemon@gmail.com", to=sieve("sieve-smtp-outside")),
    ),
    forbidden(
        "a store forwards without a mark",
        comes(),
        inside(sender=AUTHOR, author=AUTHOR, to=CITIZEN, after=OFFICIAL, content=stripped),
        target=CITIZEN,
        to=OFFICIAL,
    ),
    forbidden(
        "a store's filter redirects, as Zimbra does",
        comes(),
        inside("X-Zimbra-Forwarded: {m.official}", to=CITIZEN, after=OFFICIAL, content=stripped),
        target=CITIZEN,
        to=OFFICIAL,
    ),
    forbidden(
        "a stranger says that a state mailbox forwards",
        comes(
            "X-Forwarded-To: {m.official}",
            f"X-Forwarded-For: {STATE_MEMBER} {{m.official}}",
            sender="vp+caf_={verp}@ninhbinh.gov.vn",
            author=AUTHOR,
        ),
        target=OFFICIAL,
    ),
    forbidden("a member of a list by aliases forwards its copy by .forward", comes(to=LEAKING_ALIAS), to=COLLEAGUE),
    forbidden(
        "a member of a list by virtual aliases forwards its copy by .forward", comes(to=LEAKING_VIRTUAL), to=COLLEAGUE
    ),
    forbidden("a member of a list redirects its copy by Sieve", comes(to=REDIRECTING_GROUP), to=COLLEAGUE),
    forbidden(
        "a client's rule that says auto-replied",
        comes(),
        goes("Auto-Submitted: auto-replied", to=CITIZEN, after=OFFICIAL, content=stripped),
        target=CITIZEN,
        to=OFFICIAL,
    ),
    forbidden(
        "a store forwards as if it were a list",
        comes(),
        inside(
            "List-Id: <nhom.hanam.gov.vn>",
            "Precedence: list",
            sender=AUTHOR,
            author=AUTHOR,
            to=CITIZEN,
            after=OFFICIAL,
            content=stripped,
        ),
        target=CITIZEN,
        to=OFFICIAL,
    ),
    forbidden(".forward of a state body's mail", comes(sender=STATE_AUTHOR, to=sieve("games+outside"))),
    forbidden("an alias of what also went to an official", comes(to=(OFFICIAL, sieve("alias-outside"))), to=OFFICIAL),
    forbidden(
        "Gmail forwards to an alias of ours",
        comes(
            "X-Forwarded-To: trong@{d}",
            "X-Forwarded-For: " + FORWARDER + " trong@{d}",
            sender="hoa+caf_=trong={d}@congty.example",
            author=AUTHOR,
            to=sieve("trong"),
            client=GMAIL,
            shown=FORWARDER,
        ),
        target=COLLEAGUE,
    ),
    forbidden(
        "recipient_bcc_maps of what also went to a list",
        comes(to=(BCC_MAILBOX, VIRTUAL_GROUP)),
        to=(BCC_MAILBOX, *MEMBERS[VIRTUAL_GROUP]),
    ),
    forbidden(
        "recipient_bcc_maps of a bounce",
        comes(content=report, sender="", author="mailer-daemon@gmail.com", to=BCC_MAILBOX),
        to=BCC_MAILBOX,
    ),
    forbidden(
        "a client's rule forwards a list's copy",
        comes(to=GROUP),
        goes(sender=COLLEAGUE, to=CITIZEN, after=COLLEAGUE, content=stripped),
        target=CITIZEN,
        to=MEMBERS[GROUP],
    ),
    forbidden(
        "a store forwards a list's copy",
        comes(to=GROUP),
        inside(sender="{back}", to=CITIZEN, after=COLLEAGUE, content=redirected),
        target=CITIZEN,
        to=MEMBERS[GROUP],
    ),
    forbidden(
        "a store forwards a colleague's mail",
        inside(ZIMBRA, to=SECOND),
        inside(to=CITIZEN, after=SECOND, content=redirected),
        target=CITIZEN,
        to=SECOND,
    ),
    forbidden(
        "a store's rule with Resent-From",
        comes(),
        inside("Resent-From: {m.official}", to=CITIZEN, after=OFFICIAL, content=stripped),
        target=CITIZEN,
        to=OFFICIAL,
    ),
    forbidden("virtual_alias_maps, the sender rewritten", rewritten(to=sieve("virtual-outside"))),
    forbidden("Sieve through submission_host, the sender rewritten", rewritten(to=sieve("sieve-smtp-outside"))),
    forbidden(
        "Gmail forwards a newsletter to us",
        comes(
            *GMAIL_FORWARD,
            *BULK,
            sender="hoa+caf_={verp}@gmail.com",
            author="tin@doitac.example",
            shown="hoa@gmail.com",
            client=GMAIL,
        ),
        target=OFFICIAL,
    ),
    forbidden(
        "sender_bcc_maps of what went to a list",
        goes(sender=sieve("sbcc-outside"), to=VIRTUAL_GROUP),
        to=MEMBERS[VIRTUAL_GROUP],
    ),
    forbidden("always_bcc of what went to a list", Step("bcc", AUTHOR, (VIRTUAL_GROUP,)), to=MEMBERS[VIRTUAL_GROUP]),
    forbidden(
        "a client's rule forwards the copy of a list by virtual aliases",
        comes(to=VIRTUAL_GROUP),
        goes(sender=COLLEAGUE, to=CITIZEN, after=COLLEAGUE, content=stripped),
        target=CITIZEN,
        to=MEMBERS[VIRTUAL_GROUP],
    ),
    forbidden(
        "a store's rule forwards the copy of a list by aliases",
        comes(to=PLAIN_GROUP),
        inside(sender=COLLEAGUE, to=CITIZEN, after=COLLEAGUE, content=stripped),
        target=CITIZEN,
        to=MEMBERS[PLAIN_GROUP],
    ),
    forbidden(
        "an alias of what also went to a list by virtual aliases",
        comes(to=(sieve("alias-outside"), VIRTUAL_GROUP)),
        to=MEMBERS[VIRTUAL_GROUP],
    ),
    forbidden(
        "procmail of what also went to a list by virtual aliases",
        comes(to=(sieve("uucp+outside"), VIRTUAL_GROUP)),
        to=MEMBERS[VIRTUAL_GROUP],
    ),
    forbidden(
        "Sieve of what also went to a list by mlmmj",
        comes(to=(sieve("sieve-smtp-outside"), GROUP)),
        to=MEMBERS[GROUP],
    ),
    forbidden(
        "our Exchange's inbox rule redirects",
        comes(),
        inside(
            "Resent-From: <{m.official}>",
            "X-MS-Exchange-Inbox-Rules-Loop: {m.official}",
            "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
            to=CITIZEN,
            after=OFFICIAL,
            content=stripped,
        ),
        target=CITIZEN,
        to=OFFICIAL,
    ),
    forbidden(
        "our Exchange's inbox rule forwards",
        comes(),
        inside(
            "X-MS-Exchange-Inbox-Rules-Loop: {m.official}",
            "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
            "X-MS-Exchange-Parent-Message-Id: <{m.token}@doitac.example>",
            "Auto-Submitted: auto-generated",
            to=CITIZEN,
            after=OFFICIAL,
            subject="FW: Bao cao",
            message_id="<fw.{m.token}@hanam.gov.vn>",
        ),
        target=CITIZEN,
        to=OFFICIAL,
    ),
    forbidden(".forward to a rewritten sender", comes(to=sieve("games+ve-nha"))),
    forbidden("Sieve redirects to a rewritten sender", comes(to=sieve("ve-nha"))),
    forbidden(
        "a client's rule to a rewritten sender",
        comes(),
        goes(to="{home}", after=OFFICIAL, content=stripped),
        to=OFFICIAL,
    ),
    forbidden(
        "a store forwards to a rewritten sender",
        comes(),
        inside(sender=AUTHOR, author=AUTHOR, to="{home}", after=OFFICIAL, content=stripped),
        to=OFFICIAL,
    ),
    forbidden(
        "a mailbox outside forwards an official's mail to us",
        goes(sender="cb01@{d}"),
        comes(
            "Received: from mx.hanam.gov.vn by mx.congty.example (Postfix) with ESMTPS id 4XyZ for <"
            + FORWARDER
            + ">; Mon, 30 Nov 2026 09:00:00 +0700",
            sender="SRS0=ab1c=XY={d}=cb01@congty.example",
            to=SECOND,
            after=CITIZEN,
            content=redirected,
            client=COMPANY,
        ),
        target=SECOND,
        to=CITIZEN,
    ),
    forbidden(
        "an alias of what is redirected by hand",
        comes(),
        goes(
            *RESENT,
            "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>",
            to=sieve("alias-outside"),
            after=OFFICIAL,
            content=redirected,
        ),
        to=OFFICIAL,
    ),
    forbidden(
        "a member of a list forwards what was redirected to it by hand",
        comes(),
        goes(
            *RESENT,
            "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>",
            to=LEAKING_VIRTUAL,
            after=OFFICIAL,
            content=redirected,
        ),
        to=(OFFICIAL, COLLEAGUE),
    ),
    forbidden(
        "recipient_bcc_maps of what is redirected by hand",
        comes(),
        goes(
            *RESENT,
            "Resent-Message-ID: <re.{m.token}@hanam.gov.vn>",
            to=BCC_MAILBOX,
            after=OFFICIAL,
            content=redirected,
        ),
        to=(OFFICIAL, BCC_MAILBOX),
    ),
)

KINDS = (*INCOMING, *WEB, *OUTGOING, *LISTS, *FORBIDDEN)
