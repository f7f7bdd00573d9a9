"""What a day of mail runs on, how its mails are sent, and how their copies are found.

A mail is known by a token in its Message-ID and its text: in the sink, in the stores, in Postfix' queue and in the
incidents. What kinds of mail there are stands in tests.lab.day_kinds, the table in tests.lab.day.
"""

import contextlib
import re
import subprocess
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import dkim
from tests.lab.clamd import Clamd
from tests.lab.forwarding import (
    DOMAIN,
    LIST,
    OUTSIDE,
    STATE_CLIENT,
    VACATION,
    Additions,
    ForwardingSystem,
    forwarding_system,
)
from tests.lab.mlmmj import Mlmmj
from tests.lab.opendkim import Opendkim
from tests.lab.ports import free_port
from tests.lab.postsrsd import Postsrsd
from tests.lab.sink import Delivered
from tests.lab.smtp_client import send
from tests.lab.waiting import POLL_S

COLLEAGUE = f"ha@{DOMAIN}"
LIST_OWNER = f"quan-tri@{DOMAIN}"
GROUP = f"nhom-cntt@{DOMAIN}"  # by mlmmj
CLOSED_GROUP = f"lanh-dao@{DOMAIN}"  # by mlmmj, for members alone
ALIAS_GROUP = f"ds-phong@{DOMAIN}"  # by aliases(5), with an owner- alias
PLAIN_GROUP = f"ds-xa@{DOMAIN}"  # by aliases(5), without
VIRTUAL_GROUP = f"ds-ao@{DOMAIN}"  # by virtual_alias_maps
NESTED_GROUP = f"ds-tong@{DOMAIN}"  # by aliases(5), with PLAIN_GROUP as a member
FORWARDING_MEMBER = f"games+outside@{DOMAIN}"  # his .forward sends all to OUTSIDE
REDIRECTING_MEMBER = f"sieve-smtp-outside@{DOMAIN}"  # by Sieve
# Lists that have such a member: by mlmmj, aliases(5) with an owner- alias, and virtual_alias_maps. Without an owner,
# local(8) makes the list's copies and his .forward's in one go, and nothing on them tells which is which.
LEAKING_GROUP, REDIRECTING_GROUP = f"nhom-ro@{DOMAIN}", f"nhom-sieve@{DOMAIN}"
LEAKING_ALIAS, LEAKING_VIRTUAL = f"ds-ro@{DOMAIN}", f"ds-ao-ro@{DOMAIN}"
STATE_MEMBER = "vp@ninhbinh.gov.vn"
MEMBERS = {
    GROUP: (COLLEAGUE, "minh@congty.example", "tu@yahoo.example", STATE_MEMBER),
    CLOSED_GROUP: (COLLEAGUE, LIST_OWNER),
    LEAKING_GROUP: (COLLEAGUE, FORWARDING_MEMBER),
    REDIRECTING_GROUP: (COLLEAGUE, REDIRECTING_MEMBER),
    LEAKING_ALIAS: (COLLEAGUE, FORWARDING_MEMBER),
    LEAKING_VIRTUAL: (COLLEAGUE, FORWARDING_MEMBER),
    ALIAS_GROUP: (COLLEAGUE, "binh@congty.example", "vy@yahoo.example"),
    PLAIN_GROUP: (COLLEAGUE, "chi@congty.example"),
    VIRTUAL_GROUP: (COLLEAGUE, "dung@congty.example", STATE_MEMBER),
    NESTED_GROUP: (PLAIN_GROUP, "em@congty.example"),
    LIST: (OUTSIDE,),
}
BY_ALIASES = (ALIAS_GROUP, PLAIN_GROUP, NESTED_GROUP, LEAKING_ALIAS)

WORLD = ("203.0.113.7", "mail.example.com")
STORE = ("10.1.1.5", "store.hanam.gov.vn")  # an internal client, without a login
STATE_NETWORK = (STATE_CLIENT, "mx.ninhbinh.gov.vn")
STATE_BY_SPF = ("198.51.100.77", "mx2.ninhbinh.gov.vn")

HELD_QUEUE = "hold"
DELIVERED, KEPT_BACK = "delivered", "refused or held"
REFUSED, HELD, DEFERRED, LOST = "refused", "held", "deferred", "lost"
OUTCOMES = (DELIVERED, REFUSED, HELD, DEFERRED, LOST)
REFUSAL = "Automatic forwarding between"  # what the rule says to a client
NOTICE = "the notice to {}"  # as whose holder a notice of Mailgate's is known
TOKEN = re.compile(rb"ngay-[0-9a-f]{12}")
SETTLE_S, QUIET_S = 60.0, 10.0
_Condition = Callable[[], object]
_Waiting = tuple[_Condition, Iterator[_Condition]]
_AT_ONCE = 20  # mails that are sent between two looks at what became of the others


@dataclass(slots=True)
class Mail:
    """One mail of the day: its kind, whom it is about, what was answered, what is known of it."""

    kind: "Kind"
    number: int
    token: str = field(default_factory=lambda: f"ngay-{uuid.uuid4().hex[:12]}")
    replies: list[str] = field(default_factory=list)
    is_sent: bool = False
    seen: str = ""

    @property
    def official(self) -> str:
        """An official of ours."""
        return f"cb{self.number % 90:02}@{DOMAIN}"

    @property
    def second(self) -> str:
        """Another one."""
        return f"dn{self.number % 70:02}@{DOMAIN}"

    @property
    def author(self) -> str:
        """Somebody outside, whom no other mail has for an author."""
        return f"khach{self.number}@doitac.example"

    @property
    def citizen(self) -> str:
        """Somebody else outside."""
        return f"dan{self.number}@gmail.com"

    @property
    def friend(self) -> str:
        """A third one."""
        return f"ban{self.number}@yahoo.example"


@dataclass(frozen=True, slots=True)
class Step:
    """One mail that is sent. Its texts are templates of the Mail `m`, `d` our domain, `verp` the official's address
    as VERP writes it, and `home`, as Day has it.

    door: mx, submission (as `sender`, or `login`), store (a client of ours without a login), program (sendmail), srs
    (an MX that rewrites senders), or bcc (an MX with always_bcc).
    to: the envelope's recipients; in `sender` and `to`, {back} is the envelope sender of the copy that `after` names.
    shown: the header's To. after: who must have a copy of this mail before this step.
    content: makes the message instead of `Day.letter`.
    """

    door: str
    sender: str
    to: tuple[str, ...]
    fields: tuple[str, ...] = ()
    author: str = ""
    shown: str = ""
    subject: str = "Bao cao tuan"
    message_id: str = ""
    text: str = "Kính gửi Quý cơ quan."
    login: str = ""
    client: tuple[str, str] = WORLD
    after: str = ""
    content: "Callable[[Day, Mail, Step], bytes] | None" = None
    rcpt_args: tuple[str, ...] = ()
    is_alone: bool = False  # each recipient in a transaction of his own


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of mail: how it is sent, who must get a copy (as often as he is named), and who must get none.

    A kind with somebody who must get none is a forbidden forward. holds: what else must be true of a copy that left.
    """

    name: str
    steps: tuple[Step, ...]
    expects: tuple[str, ...]
    forbidden: tuple[str, ...] = ()
    holds: "Callable[[Day, Delivered], bool] | None" = None

    @property
    def wanted(self) -> str:
        """What its mails should come to."""
        return KEPT_BACK if self.forbidden else DELIVERED

    @property
    def doors(self) -> str:
        """Where its mails come in."""
        return ", ".join(dict.fromkeys(step.door for step in self.steps))

    def fits(self, outcome: str) -> bool:
        """Tell whether its mails should come to this."""
        return outcome in (REFUSED, HELD) if self.forbidden else outcome == DELIVERED


@dataclass(slots=True)
class Day:
    """What runs, the mails that were sent, and what is known of their copies."""

    system: ForwardingSystem
    opendkim: Opendkim
    srs_port: int
    signed: bytes  # an S/MIME entity
    home: str  # OUTSIDE as a rewritten sender of ours: whatever comes there goes home to him
    copies: dict[str, list[tuple[str, Delivered]]] = field(default_factory=lambda: defaultdict(list))
    incidents: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    queued: dict[str, dict[str, set[str]]] = field(default_factory=dict)  # token: queue: recipients
    queue_ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    is_idle: bool = False
    _sunk: int = 0
    _stored: set[str] = field(default_factory=set)

    # -- sending --------------------------------------------------------------------------------

    def filled(self, template: str, mail: Mail, back: str = "") -> str:
        """Fill a template in."""
        return template.format(m=mail, d=DOMAIN, back=back, home=self.home, verp=mail.official.replace("@", "="))

    def letter(self, mail: Mail, step: Step) -> bytes:
        """Return a step's message."""
        author = self.filled(step.author or step.sender, mail)
        message_id = self.filled(step.message_id, mail) or f"<{mail.token}@{author.rpartition('@')[2]}>"
        fields = (
            *(self.filled(one, mail) for one in step.fields),
            f"From: Nguoi gui <{author}>",
            f"To: {self.filled(step.shown or ', '.join(step.to), mail)}",
            f"Date: {formatdate()}",
            f"Subject: {self.filled(step.subject, mail)}",
            f"Message-ID: {message_id}",
        )
        usual = ("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")
        is_typed = any(one.lower().startswith("content-type:") for one in fields)
        lines = (*fields, *(() if is_typed else usual), "", self.filled(step.text, mail), "", mail.token, "")
        return "\r\n".join(lines).encode()

    def run(self, mail: Mail) -> Iterator[_Condition]:
        """Send a mail's steps; yield what must be true before it can go on."""
        for step in mail.kind.steps:
            back = ""
            if step.after:
                holder = self.filled(step.after, mail)
                yield lambda holder=holder: self.copy(mail, holder)  # type: ignore[misc]
                back = self.copy(mail, holder)[0].sender
            self._send(mail, step, back)
        mail.is_sent = True

    def copy(self, mail: Mail, holder: str) -> list[Delivered]:
        """Return the copies of a mail that somebody has."""
        return [copy for address, copy in self.copies[mail.token] if address == holder]

    def _send(self, mail: Mail, step: Step, back: str) -> None:
        sender = self.filled(step.sender, mail, back)
        to = [self.filled(one, mail, back) for one in step.to]
        data = (step.content or Day.letter)(self, mail, step)
        postfix = self.system.postfix
        if step.door == "program":
            postfix.sendmail(data.replace(b"\r\n", b"\n"), sender, to)
            return
        port = {
            "submission": postfix.submission_port,
            "srs": self.srs_port,
            "bcc": self.system.always_bcc_ports["outside"],
        }.get(step.door, postfix.smtp_port)
        login = self.filled(step.login, mail) or sender if step.door == "submission" else None
        address, name = STORE if step.door == "store" else step.client
        for recipients in [[one] for one in to] if step.is_alone else [to]:
            outcome = send(port, sender, recipients, data, address, name, login, name, rcpt_args=step.rcpt_args)
            mail.replies.append(outcome.final.replace("\n", " "))

    # -- what became of it ------------------------------------------------------------------------

    def look(self) -> None:
        """Take notice of what arrived, what waits, and what Mailgate found."""
        mails = self.system.sink.mails()
        for mail in mails[self._sunk :]:
            for recipient in mail.recipients:
                self._keep(recipient, mail)
        self._sunk = len(mails)
        for store in (self.system.by_smtp, self.system.by_program):
            for file in (store.folder / "mail").glob("*/new/*"):
                if str(file) not in self._stored:
                    self._stored.add(str(file))
                    holder = f"{file.parts[-3]}@{DOMAIN}"
                    data = file.read_bytes()
                    self._keep(holder, Delivered(_return_path(data), (holder,), data.replace(b"\n", b"\r\n")))
        self._look_at_queue()
        held = {queue_id: token for token, queue_ids in self.queue_ids.items() for queue_id in queue_ids}
        self.incidents = defaultdict(list)
        for incident in self.system.mailgate.incidents():
            # A reply has a Message-ID of its own.
            tokens = _tokens(incident.get("message_id", "").encode()) or {held.get(incident.get("queue_id", ""), "")}
            for token in tokens:
                self.incidents[token].append(incident)

    def _keep(self, holder: str, copy: Delivered) -> None:
        """Write down who has a copy; of a notice of Mailgate's, which speaks of a mailbox, as that."""
        if (copy.header("From") or b"").startswith(b"Mailgate <"):
            holder = NOTICE.format(holder)
        for token in _tokens(copy.data):
            self.copies[token].append((holder, copy))

    def _look_at_queue(self) -> None:
        """Read which mails wait in the queue: what Mailgate held has a token of ours in its file."""
        queue = self.system.postfix.queue()
        files = {
            file.name: file
            for name in (HELD_QUEUE, DEFERRED)
            for file in (self.system.postfix.folder / "queue" / name).rglob("*")
        }
        self.queued = defaultdict(lambda: defaultdict(set))
        for waiting in queue:
            octets = b""
            if file := files.get(waiting["queue_id"]):
                with contextlib.suppress(FileNotFoundError):  # it was delivered since
                    octets = file.read_bytes()
            recipients = {to["address"] for to in waiting["recipients"]}
            for token in _tokens(octets):
                self.queue_ids[token].add(waiting["queue_id"])
                self.queued[token][waiting["queue_name"]] |= recipients
        self.is_idle = all(waiting["queue_name"] in (HELD_QUEUE, DEFERRED) for waiting in queue)

    def outcome(self, mail: Mail) -> str:
        """Return what a mail came to so far, "" for nothing yet.

        A forbidden forward is delivered when its target has a copy, whatever else was kept back; a lawful mail is
        refused or held when any copy of it was.
        """
        expects = Counter(self.filled(one, mail) for one in mail.kind.expects)
        forbidden = {self.filled(one, mail) for one in mail.kind.forbidden}
        have = Counter(holder for holder, _ in self.copies[mail.token])
        actions = {incident["action"] for incident in self.incidents[mail.token]}
        waits = self.queued[mail.token]
        codes = {reply[:1] for reply in mail.replies}
        are_here = mail.is_sent and not expects - have
        if forbidden:
            if forbidden & have.keys():
                return DELIVERED
            is_by_rule = any(REFUSAL in reply for reply in mail.replies) or "reject" in actions
            ends = {HELD: forbidden & waits[HELD_QUEUE], REFUSED: is_by_rule}
            return next((end for end, is_so in ends.items() if is_so and are_here), "")
        if "5" in codes or "reject" in actions:
            return REFUSED
        if waits[HELD_QUEUE]:
            return HELD
        if "4" in codes or (waits[DEFERRED] and not are_here):
            return DEFERRED
        if are_here and (mail.kind.holds is None or self._holds(mail)):
            return DELIVERED
        return ""

    def _holds(self, mail: Mail) -> bool:
        assert mail.kind.holds is not None
        left = [copy for holder, copy in self.copies[mail.token] if not holder.endswith(f"@{DOMAIN}")]
        return all(mail.kind.holds(self, copy) for copy in left)

    def is_signed(self, copy: Delivered) -> bool:
        """Tell whether OpenDKIM's signature holds in a copy that left."""
        record = self.opendkim.record
        return bool(dkim.verify(copy.data, dnsfunc=lambda name, timeout=5: record))

    def is_as_signed(self, copy: Delivered) -> bool:
        """Tell whether a copy that left has the S/MIME entity octet for octet."""
        return copy.data.endswith(self.signed.partition(b"\r\n\r\n")[2])

    def live(self, mails: Sequence[Mail]) -> None:
        """Send all mails, and wait until each came to its end, or nothing happens any more."""
        waiting: list[_Waiting] = []
        for number, mail in enumerate(mails, 1):
            steps = self.run(mail)
            condition = next(steps, None)
            if condition is not None:
                waiting.append((condition, steps))
            if number % _AT_ONCE == 0:
                self.look()
                waiting = _go_on(waiting)
        log = self.system.postfix.maillog
        size, since = -1, time.monotonic()
        while True:
            self.look()
            waiting = _go_on(waiting)
            for mail in mails:
                mail.seen = self.outcome(mail)
            if size != log.stat().st_size:
                size, since = log.stat().st_size, time.monotonic()
            if self.is_idle and all(mail.kind.fits(mail.seen) for mail in mails):
                break
            if time.monotonic() - since > (QUIET_S if self.is_idle else SETTLE_S):
                break
            time.sleep(POLL_S * 10)
        for mail in mails:
            mail.seen = mail.seen or LOST

    def evidence(self, mail: Mail) -> str:
        """Say what is known of a mail that came to another end than wanted."""
        missing = Counter(self.filled(one, mail) for one in mail.kind.expects)
        missing -= Counter(holder for holder, _ in self.copies[mail.token])
        waits = {queue: sorted(recipients) for queue, recipients in self.queued[mail.token].items()}
        said = [
            f"replies {[reply for reply in mail.replies if not reply.startswith('2')]}",
            f"without a copy {sorted(missing)}; queue {waits}",
        ]
        if mail.kind.holds is not None and not self._holds(mail):
            said.append("a copy that left was changed")
        for incident in self.incidents[mail.token]:
            if incident["action"] != "accept":
                found = "; ".join(map(_shown, incident["findings"]))
                said.append(f"{incident['action']} at {incident['hook']}: {found}")
        return "\n    ".join(said)


def _shown(finding: dict[str, Any]) -> str:
    """Return a finding in a line, soft evidence in parentheses."""
    pieces = [
        (piece["strength"], f"{piece['kind']} {piece['name']}={piece['value']}") for piece in finding["evidence"]
    ]
    shown = ", ".join(text if strength == "hard" else f"({text})" for strength, text in pieces)
    return f"{finding['rule']} {finding.get('direction', '')} {finding.get('recipient', '')}: {shown}"


def _go_on(waiting: Sequence[_Waiting]) -> list[_Waiting]:
    """Let what can go on do so, and return what waits still."""
    still = []
    for condition, steps in waiting:
        following: _Condition | None = condition
        while following is not None and following():
            following = next(steps, None)
        if following is not None:
            still.append((following, steps))
    return still


def _tokens(octets: bytes) -> set[str]:
    return {token.decode() for token in TOKEN.findall(octets)}


def _return_path(data: bytes) -> str:
    """Return the envelope sender that a store wrote down."""
    first = data.partition(b"\n")[0]
    return first.partition(b"<")[2].partition(b">")[0].decode() if first.startswith(b"Return-Path:") else ""


# -- what runs -------------------------------------------------------------------------------------


@contextmanager
def day_system(by_smtp_door: bool = False) -> Iterator[Day]:
    """Run all that a day needs; by_smtp_door: what leaves passes Mailgate's SMTP door, as in forwarding_system."""
    with ExitStack() as running:
        clamd = running.enter_context(Clamd())
        srs = running.enter_context(Postsrsd(DOMAIN))
        opendkim = running.enter_context(Opendkim(DOMAIN, ["127.0.0.0/8", "10.0.0.0/8"]))
        lists = running.enter_context(Mlmmj())
        for group in (GROUP, CLOSED_GROUP, LEAKING_GROUP, REDIRECTING_GROUP):
            lists.add(group, MEMBERS[group], LIST_OWNER, members_only=group == CLOSED_GROUP)
        srs_port = free_port()
        config = {
            "organization": {
                "lists": list(MEMBERS),
                "internal_networks": ["127.0.0.0/8", "10.0.0.0/8"],
                "state_networks": [f"{STATE_CLIENT}/32"],
            },
            "clamav": {"address": clamd.unix_address},
            # The day is one of forwards: a newsletter is another rule's affair, and so is how much a day sends.
            "rules": {name: {"mode": "off"} for name in ("advertising", "sending-rate", "spam", "sender-identity")},
        }
        more = _additions(srs, opendkim, lists, srs_port)
        system = running.enter_context(forwarding_system(config=config, by_smtp_door=by_smtp_door, more=more))
        lists.relay_to(system.postfix.smtp_port)
        home = srs.rewritten(OUTSIDE)
        for name, target in (("trong", COLLEAGUE), ("ve-nha", home)):
            (system.folder / "forward" / f"games+{name}").write_text(f"{target}\n")
        yield Day(system, opendkim, srs_port, _signed_entity(opendkim.folder), home)


def _additions(srs: Postsrsd, opendkim: Opendkim, lists: Mlmmj, srs_port: int) -> Additions:
    groups = [f"{_name(group)}: {', '.join(MEMBERS[group])}" for group in BY_ALIASES]
    virtual = " ".join(f"{{ {group} = {' '.join(MEMBERS[group])} }}" for group in (VIRTUAL_GROUP, LEAKING_VIRTUAL))
    record = opendkim.record.decode()
    return Additions(
        aliases=[
            *lists.aliases,
            *groups,
            *(f"owner-{_name(group)}: {LIST_OWNER}" for group in (ALIAS_GROUP, LEAKING_ALIAS)),
            f"trong: {COLLEAGUE}",
            'hong: "|/bin/false"',
        ],
        scripts={
            "nghi": VACATION,
            "doi-phong": f'redirect "{COLLEAGUE}";',
            "ve-nha": f'redirect "{srs.rewritten(OUTSIDE)}";',
        },
        maps={
            "virtual_alias_maps": f"inline:{{ {virtual} }}, regexp:{{ {{/^chuyen-ngay-/ {OUTSIDE}}} }}",
            "recipient_bcc_maps": f"regexp:{{ {{/^bao-ngay-/ {OUTSIDE}}} }}",
        },
        main_cf={
            "mynetworks": "127.0.0.0/8 10.0.0.0/8",
            # Postfix then adds what a submitted mail lacks, Resent-Message-Id too, before a milter sees it.
            "local_header_rewrite_clients": "permit_mynetworks, permit_sasl_authenticated",
            "recipient_canonical_maps": srs.reverse,
            "recipient_canonical_classes": "envelope_recipient, header_recipient",
        },
        master_cf=[
            f"127.0.0.1:{srs_port} inet n - n - - smtpd",
            "  -o cleanup_service_name=srs",
            "  -o milter_macro_daemon_name=MX",
            "srs unix n - n - 0 cleanup",
            f"  -o sender_canonical_maps={srs.forward}",
            "  -o sender_canonical_classes=envelope_sender",
        ],
        records={
            ("ninhbinh.gov.vn", "TXT"): [f'"v=spf1 ip4:{STATE_BY_SPF[0]} -all"'],
            (opendkim.name_of_key, "TXT"): [f'"{record[:200]}" "{record[200:]}"'],
        },
        milters=[opendkim.milter],
    )


def _name(address: str) -> str:
    return address.partition("@")[0]


def _signed_entity(folder: Path) -> bytes:
    """Return an S/MIME entity with a detached signature, from its Content-Type on."""
    key, certificate = folder / "smime-key.pem", folder / "smime.pem"
    made = (
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=Van ban",
        "-keyout",
        key,
        "-out",
        certificate,
    )
    subprocess.run(["openssl", *made], check=True, capture_output=True)
    text = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nVăn bản có ký số.  \r\n"
    sign = ("smime", "-sign", "-crlfeol", "-signer", certificate, "-inkey", key)
    done = subprocess.run(["openssl", *sign], input=text.encode(), check=True, capture_output=True)
    return done.stdout.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
