"""Generated contents, fed to all that reads what strangers and services write; whatever is our own error is told.

`python -m tests.lab.generated 1000000 [SEED] [KIND ...]` feeds so many in all, and says what came of them; a fault is
told with its kind, its seed and its number, which make the same input again.
"""

import asyncio
import base64
import contextlib
import io
import random
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import dkim
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.lab import grammar
from tests.lab.gates import ORGANIZATION, make_gate, settings_of
from tests.lab.inspecting import InProcess
from tests.lab.mta import (
    ABORT,
    BODY,
    CONNECT,
    DATA,
    EOH,
    EOM,
    HEADER,
    HELO,
    MAIL,
    RCPT,
    Answer,
    MemoryMta,
    ProtocolViolation,
    frame,
)

from mailgate import logs
from mailgate.config import TIME_ZONE, BlacklistsSection, Settings
from mailgate.doors.milter import Hook, Listener, MilterConnection
from mailgate.doors.offline import HOOKS, Case, judge_case
from mailgate.doors.transaction import Transaction
from mailgate.gate import Gate
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.incidents.record import LONGEST_LINE
from mailgate.incidents.repeats import Repeats
from mailgate.inspection.inspector import Inspector
from mailgate.inspection.job import AnyJob, Job, Kind, PieceEnd, SignatureJob, WorkerError, read_answer
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Content as JobContent
from mailgate.inspection.pool import Ending, Outcome
from mailgate.inspection.signatures import Message, proven
from mailgate.ledger.fresh import Fresh
from mailgate.ledger.history import History
from mailgate.ledger.journal import Journal, read
from mailgate.ledger.opening import open_store
from mailgate.ledger.redis import RedisStore
from mailgate.ledger.store import Batch, Counts, Store, StoreError
from mailgate.mailboxes.takeover import Locker
from mailgate.mime.walker import Leaf
from mailgate.model import (
    ActivityEvent,
    ActivityKind,
    Beat,
    Content,
    Envelope,
    Exemption,
    Mail,
    MailboxState,
    MailboxStatus,
    Mode,
    Noted,
    Scan,
    Sending,
    SendingLimits,
    Session,
    SpamReport,
    Taken,
    Tally,
    Trace,
    Verdict,
)
from mailgate.notices import Mailer
from mailgate.probes import rspamd, spamd, spf
from mailgate.probes.blacklists import Blacklists
from mailgate.probes.names import CarefulResolver, Resolver
from mailgate.probes.proofs import Prover
from mailgate.spool import Spool
from mailgate.wire import clamd as clamd_wire
from mailgate.wire.smtp import (
    CommandError,
    MessageDecoder,
    header_lines,
    parse_path,
    parse_xforward,
    reply_of,
    split_command,
    split_header,
    stuffed,
    xforward_commands,
)
from mailgate_rules import STANZAS

NOW = 1_795_000_000.0
_ZONE = ZoneInfo(TIME_ZONE)
_MAILS_OF_A_CONNECTION = 20
_GROUP = 500  # mails whose events go into the store together
_LINE_OF_CODE = re.compile(r'File \\?"[^"]+", line \d+')
_OWN = "4.3.0"  # of OWN_ERROR_REPLY, and of nothing else here


@dataclass(slots=True)
class Report:
    """What came of a run: how many there were, what was said how often, and each fault."""

    fed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)  # by where in the code it was raised: the first of each
    faulty: int = 0

    def fault(self, where: str, what: str) -> None:
        """Note a fault."""
        self.faulty += 1
        lines = _LINE_OF_CODE.findall(what)
        self.faults.setdefault(lines[-1] if lines else what[:40], f"{where}: {what}")


Feed = Callable[[random.Random, "Site", Report], Awaitable[None]]


# -- watching ------------------------------------------------------------------------------------------------


class _Sink(io.BytesIO):
    """The daemon's log; keeps the lines of errors alone."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def write(self, octets: Any) -> int:
        text = bytes(octets).decode()
        if '"level":"error"' in text or "[error" in text or "Traceback" in text:
            self.errors.append(text)
        return len(octets)


@contextlib.contextmanager
def watched(style: str) -> Iterator[list[str]]:
    """Have every error in the daemon's log, and every exception that nobody took, in a list. style: of the log."""
    sink = _Sink()
    before = structlog.get_config()
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(
        lambda _, context: sink.errors.append(
            "".join(traceback.format_exception(context["exception"])) if "exception" in context else str(context)
        )
    )
    logs.configure("info", style, sink)
    try:
        yield sink.errors
    finally:
        logs.configure("info", "console", sink)  # the line of each mail goes to structlog again
        structlog.configure(**before)
        loop.set_exception_handler(handler)


# -- a site whose services answer what is generated -------------------------------------------------------------


class _Notebook:
    """Holds each record to what a line of the log may be."""

    async def note(self, record: Mapping[str, Any]) -> None:
        octets = len(orjson.dumps({"number": 1, "previous": "0" * 64, **record}))
        assert octets <= LONGEST_LINE, f"a record of {octets} octets"


class _Ledger:
    """A real journal before a real store."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._journal = Journal(folder, "activity-0")
        self._store = store
        self._noted: list[Noted] = []

    def note(self, noted: Sequence[Noted]) -> bool:
        self._journal.append(noted)
        self._noted += noted
        return True

    async def commit(self, noted: Sequence[Noted]) -> None:
        self.note(noted)

    async def flush(self) -> None:
        """Bring the journal into the store: what was written is what is read."""
        path = self._journal.roll()
        if path is not None:
            (batch,) = read(path)
            assert len(batch.noted) == len(self._noted)
            await self._store.commit(batch)
            path.unlink()
        self._noted.clear()


class _Rates:
    """Mostly says anything; every tenth time the store counts."""

    def __init__(self, chance: Callable[[], random.Random], store: Store) -> None:
        self._chance = chance
        self._store = store

    async def sending(
        self, login: str, key: bytes, recipients: int, network: str, at: float, limits: SendingLimits
    ) -> Sending:
        chance = self._chance()
        if chance.random() < 0.1:
            return await self._store.sending(login, key, recipients, network, at, limits)
        came, passed = (cast(Tally, tuple(chance.choice((0, 1, 1, 1, 5_000)) for _ in range(6))) for _ in range(2))
        return Sending(*came, chance.choice((1, 9)), chance.random() < 0.5, passed, chance.choice((0, 1, 5_000)))

    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        if self._chance().random() < 0.1:
            return await self._store.advertised(advertiser, recipients, key, at)
        return {recipient: self._chance().randrange(6) for recipient in recipients}


class _Scanner:
    """A clamd; an error of its own is no answer."""

    def __init__(self, chance: Callable[[], random.Random]) -> None:
        self._chance = chance

    async def scan_mail(self, raw: Spool, content: Content, leaves: Sequence[Leaf]) -> list[Scan]:
        return [clamd_wire.parse_answer(grammar.clamd_answer(self._chance()), "message")]

    async def scan_files(self, files: Sequence[Taken]) -> list[Scan]:
        return [clamd_wire.parse_answer(grammar.clamd_answer(self._chance()), files[0].place)]


class _Engine:
    """An rspamd or a spamd."""

    def __init__(self, chance: Callable[[], random.Random]) -> None:
        self._chance = chance
        self._client = rspamd.SpamEngine("http://127.0.0.1:1", 1.0, "x")

    async def check(self, mail: Mail, raw: Spool) -> SpamReport:
        chance = self._chance()
        self._client._headers(mail)
        if chance.random() < 0.7:
            return rspamd.parse_report(grammar.rspamd_answer(chance))
        return spamd.parse_answer(grammar.spamd_answer(chance), 15.0)

    async def close(self) -> None:
        """There is nothing to close."""


class _Workers(InProcess):
    """Inspection workers, of which some were taken over, and say what they like."""

    def __init__(self, chance: Callable[[], random.Random]) -> None:
        super().__init__()
        self._chance = chance

    async def run(self, job: AnyJob, content: JobContent) -> Outcome[Any]:
        chance = self._chance()
        if chance.random() < 0.7:
            return await super().run(job, content)
        outcome = Outcome[Any]()
        try:
            while len(outcome.ended) < job.ends:
                answer = read_answer(grammar.worker_frame(chance), job)
                if isinstance(answer, PieceEnd):
                    outcome.ended.append(outcome.begun)
                    outcome.begun = []
                else:
                    outcome.begun.append(answer)
        except WorkerError as error:
            outcome.ending, outcome.detail = Ending.DIED, str(error)
        return outcome


class Answers:
    """DNS, by what a generator says: each question is answered anew, as it goes over the wire."""

    def __init__(self, chance: Callable[[], random.Random]) -> None:
        self._chance = chance

    async def query(self, name: dns.name.Name, kind: str) -> dns.resolver.Answer:
        """Return an answer as dnspython's resolver does, or raise what it raises."""
        question = dns.message.make_query(name, kind)
        wire = dns_answer(self._chance(), question)
        try:
            response = dns.message.from_wire(wire)
            if not isinstance(response, dns.message.QueryMessage) or not question.is_response(response):
                raise dns.query.BadResponse
            if response.rcode() == dns.rcode.NXDOMAIN:
                raise dns.resolver.NXDOMAIN(qnames=[name], responses={name: response})  # type: ignore[no-untyped-call]
            return dns.resolver.Answer(name, dns.rdatatype.from_text(kind), dns.rdataclass.IN, response)
        except dns.resolver.NXDOMAIN:
            raise
        except Exception as error:  # whatever a server's answer raises, the resolver tries the next server
            raise dns.resolver.NoNameservers(request=question, errors=[]) from error  # type: ignore[no-untyped-call]


def dns_answer(chance: random.Random, question: dns.message.QueryMessage) -> bytes:
    """Return the octets of an answer to a question: records of its kind, of another, or none; spoilt sometimes."""
    name = question.question[0].name
    response = dns.message.make_response(question)
    response.flags |= dns.flags.RA
    if chance.random() < 0.1:
        response.set_rcode(chance.choice((dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.REFUSED)))
    kind = dns.rdatatype.to_text(question.question[0].rdtype)
    owner = name
    for _ in grammar.some(chance, 0, 5):
        if chance.random() < 0.1:
            owner = dns.name.from_text(chance.choice(("b.example.", "c\\255.example.", ".", "a.b.c.")))
            target = chance.choice((name.to_text(), "b.example.", "x\\000y."))
            _add_record(response, owner, "CNAME", target)
        else:
            _add_record(response, owner, kind, _record(chance, kind))
    wire = response.to_wire(max_size=65_535)
    return grammar.maybe_spoilt(chance, wire, 0.1)


def _add_record(response: dns.message.Message, owner: dns.name.Name, kind: str, text: str) -> None:
    with contextlib.suppress(dns.exception.DNSException, ValueError):
        response.answer.append(dns.rrset.from_text(owner, 60, "IN", kind, text))


def _record(chance: random.Random, kind: str) -> str:
    if kind == "A":
        return chance.choice(("203.0.113.7", "127.0.0.2", "127.255.255.254", "0.0.0.0"))
    if kind == "AAAA":
        return chance.choice(("2001:db8::7", "::", "::ffff:203.0.113.7"))
    if kind in ("MX", "PTR"):
        host = chance.choice(("mail.example.com.", ".", "a\\.b.\\255.vn.", "x" * 63 + ".vn.", "\\000."))
        return f"10 {host}" if kind == "MX" else host
    made = chance.choice((grammar.spf_record, grammar.key_record, grammar.odd))(chance)[:2_000]
    pieces = [made[at : at + 200] for at in range(0, len(made), 200)] or [b""]
    return " ".join('"' + "".join(f"\\{octet:03d}" for octet in piece) + '"' for piece in pieces)


class _Resolver(Resolver):
    def __init__(self, answers: Answers) -> None:
        super().__init__(1.0)
        self._answers = answers

    async def _query(self, name: dns.name.Name, kind: str, lifetime_s: float) -> dns.resolver.Answer:
        return await self._answers.query(name, kind)


class _CarefulResolver(CarefulResolver):
    def __init__(self, answers: Answers) -> None:
        super().__init__(1.0, (), ("hanam.gov.vn",))
        self._answers = answers

    async def _query(self, name: dns.name.Name, kind: str, lifetime_s: float) -> dns.resolver.Answer:
        return await self._answers.query(name, kind)


class _Mailer(Mailer):
    """Writes notices out, and sends none."""

    async def _post(self, recipient: str, message: Any) -> None:
        message.as_bytes()
        recipient.encode("ascii")


_STATES = {
    address: MailboxState(address, status, "7.2a", at="2026-11-24T08:00:00+07:00")
    for address, status in (
        ("stttt@hanam.gov.vn", MailboxStatus.LOCKED),
        ("all@hanam.gov.vn", MailboxStatus.REVOKED),
        ("a@hanam.gov.vn", MailboxStatus.ACTIVE),
    )
}
_EXEMPTIONS = (
    Exemption("auto-forward", "ptp.bl@hanam.gov.vn", "gmail.com", 2e9, "12/QD"),
    Exemption("auto-forward", "", "ninhbinh.gov.vn", 2e9, "13/QD"),
    Exemption("attachment-size", "hanam.gov.vn", "", 2e9, "14/QD"),
)
_ALIASES = {"lan@hanam.gov.vn": ("ptp.bl@hanam.gov.vn", "stttt@hanam.gov.vn")}


def _settings(folder: Path, number: int) -> Settings:
    """Return the settings of one of the sites: all rules, watched, enforced, or each by its own mode."""
    modes = ((), (("mode", Mode.ENFORCE),), (("mode", Mode.MONITOR),))[number % 3]
    rules = [stanza(**cast(dict[str, Any], dict(modes))) for stanza in STANZAS.values()]
    rules = [
        replace(rule, lock=True) if rule.NAME == "sending-rate" and number else rule  # type: ignore[call-arg]
        for rule in rules
    ]
    organization = ORGANIZATION.model_copy(
        update={"lists": ["all@hanam.gov.vn"], "state_networks": ["198.51.100.0/24"], "subaddress_separators": "+-"}
    )
    return settings_of(
        *rules,
        organization=organization,
        blacklists=BlacklistsSection(zones=["dnsbl.example"], domain_zones=["dbl.example"]),
        folder=folder,
    )


class Site:
    """Gates whose every service answers what is generated for the mail at hand (`chance`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chance = random.Random(0)
        self.store = open_store("sqlite:generated.db", folder)
        self.ledger = _Ledger(folder, self.store)
        self.gates: list[Gate] = []
        self.listeners: list[Listener] = []
        self._mtas: dict[Listener, tuple[MemoryMta, int]] = {}
        self._others: list[Mailer | Locker | Repeats] = []

    async def open(self) -> None:
        """Make the gates, and listeners of each hook before them."""
        past = History(self.store, Fresh(), 14 * 86_400.0, late_s=0)
        await past.load()
        answers = Answers(lambda: self.chance)
        for number in range(3):
            settings = _settings(self.folder, number)
            prover = Prover(1.0, (), _Workers(lambda: self.chance), ("hanam.gov.vn",), 1.0)
            prover._names = _CarefulResolver(answers)
            gate = make_gate(
                settings,
                scanner=_Scanner(lambda: self.chance),
                prover=prover,
                looks=Inspector(_Workers(lambda: self.chance), InspectionLimits()),
                units=frozenset({"stttt@hanam.gov.vn"}),
                exemptions=_EXEMPTIONS,
            )
            gate.clients.engine = _Engine(lambda: self.chance)  # type: ignore[assignment]
            gate.clients.blacklists = Blacklists(
                settings.blacklists.zones, settings.blacklists.domain_zones, lambda: _Resolver(answers)
            )
            services = gate.services
            states = cast(Any, services.states)
            states.states = _STATES
            notebook = _Notebook()
            notices = _Mailer(
                settings.notice.model_copy(update={"officer": "a@hanam.gov.vn", "relay": "unix:/x"}),
                "hanam.gov.vn",
                self.store,
                past,
            )
            locker = Locker(self.store, notebook, "node", lambda: datetime.now(_ZONE))
            repeats = Repeats(notebook, "node", lambda: datetime.now(_ZONE)) if number == 2 else None
            self._others += [notices, locker, *([repeats] if repeats else [])]
            gate = gate.with_services(
                replace(
                    services,
                    notebook=notebook,
                    ledger=self.ledger,
                    past=past,
                    notices=notices,
                    aliases=_ALIASES,
                    rates=_Rates(lambda: self.chance, self.store),
                    locker=locker,
                    repeats=repeats,
                    node="" if number else "node",
                )
            )
            self.gates.append(gate)
            for hook in HOOKS:
                self.listeners.append(
                    Listener(hook, (Hook(hook),), partial(self.gates.__getitem__, number), is_unix=number == 1)
                )

    async def mta(self) -> MemoryMta:
        """Return a connection, over which some mails came already mostly."""
        listener = self.chance.choice(self.listeners)
        mta, mails = self._mtas.get(listener, (None, 0))
        if mta is None or mta.transport.closed or mails >= _MAILS_OF_A_CONNECTION:
            if mta is not None:
                mta.transport.close()
            mta, mails = MemoryMta(MilterConnection(listener)), 0
            await mta.negotiate()
        self._mtas[listener] = mta, mails + 1
        return mta

    async def settle(self) -> None:
        """Have all done that was begun."""
        await self.ledger.flush()
        for other in self._others:
            if not isinstance(other, Repeats):
                await other.flush()

    async def close(self) -> None:
        """End everything."""
        await self.settle()
        for other in self._others:
            await other.flush()
        for gate in self.gates:
            await gate.close()
        await self.store.close()


# -- mails ---------------------------------------------------------------------------------------------------


def _login(chance: random.Random) -> bytes:
    return grammar.mailbox(chance) if chance.random() < 0.7 else chance.choice((b"ptp.bl", grammar.odd(chance)))


def _payload(*pieces: bytes) -> bytes:
    return b"\0".join(grammar.without(piece, b"\0") for piece in pieces) + b"\0"


def _client(chance: random.Random) -> bytes:
    family = chance.choice((b"4", b"4", b"6", b"L", b"U"))
    host = _payload(grammar.domain(chance))
    return host + family + (b"" if family == b"U" else b"\xc3\x50" + _payload(grammar.client(chance)))


def _macro(octets: bytes) -> str:
    return grammar.without(octets, b"\0").decode("utf-8", "surrogateescape")


async def _by_milter(chance: random.Random, site: Site, report: Report) -> None:
    mta = await site.mta()
    mta.talk.macros |= {
        "i": _macro(grammar.maybe_spoilt(chance, b"AAAA%d" % chance.randrange(50), 0.1)),
        "j": _macro(grammar.maybe_spoilt(chance, b"mx.hanam.gov.vn", 0.05)),
        "{auth_authen}": _macro(_login(chance)) if chance.random() < 0.3 else "",
    }
    outcome = await _conversation(chance, mta)
    report.outcomes[outcome.kind] += 1
    if _OWN in outcome.text:
        report.fault("milter", outcome.text)


async def _conversation(chance: random.Random, mta: MemoryMta) -> Answer:
    """Say one mail's commands, and return the answer that ended it."""
    await mta.ask(CONNECT, _client(chance))
    await mta.ask(HELO, _payload(grammar.domain(chance)))
    answer = await mta.ask(MAIL, _payload(grammar.path(chance), *grammar.arguments(chance)))
    if answer is not None and answer.kind != "continue":
        await mta.ask(ABORT)
        return answer
    for _ in grammar.some(chance, 1, 6):
        refusal = await mta.ask(RCPT, _payload(grammar.path(chance), *grammar.arguments(chance)))
        answer = refusal if refusal is not None and refusal.kind != "continue" else answer
    await mta.ask(DATA)
    for name, value in grammar.header(chance):
        await mta.ask(HEADER, _payload(name, value))
    await mta.ask(EOH)
    body = grammar.body(chance)
    cut = chance.choice((1, 7, 100)) if len(body) < 400 and chance.random() < 0.1 else 65_535
    for start in range(0, len(body), cut):
        said = await mta.ask(BODY, body[start : start + cut])
        if said is not None and said.kind not in ("continue", "skip"):
            await mta.ask(ABORT)
            return said
    answer = await mta.ask(EOM)
    assert answer is not None
    await mta.ask(ABORT)
    return answer


def _message(chance: random.Random) -> bytes:
    """Return a whole message, as it comes by SMTP or stands in a file."""
    lines = [name + b":" + value for name, value in grammar.header(chance)]
    blank = chance.choice((b"\r\n\r\n", b"\r\n\r\n", b"\r\n\r\n", b"\r\n", b"\n\n", b""))
    return grammar.maybe_spoilt(chance, b"\r\n".join(lines) + blank + grammar.body(chance), 0.1)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


async def _offline(chance: random.Random, site: Site, report: Report) -> None:
    case = Case(
        _message(chance),
        "1",
        chance.choice(("203.0.113.7", "10.1.1.5", "2001:db8::7", "fe80::1%eth0", "198.51.100.9")),
        _text(grammar.domain(chance)),
        _text(grammar.domain(chance)),
        _text(_login(chance)) if chance.random() < 0.3 else "",
        chance.choice(("", *HOOKS)),
        _text(grammar.maybe_spoilt(chance, b"AAAA%d" % chance.randrange(50), 0.1)),
        _text(grammar.path(chance)),
        tuple(map(_text, grammar.arguments(chance))),
        tuple(_text(grammar.path(chance)) for _ in grammar.some(chance, 0, 5)),
    )
    answer = await judge_case(chance.choice(site.gates), case)
    orjson.dumps(answer.as_json())
    report.outcomes[answer.verdict.action] += 1
    if any(_OWN in reply for reply in (answer.verdict.reply, *answer.rcpt_replies.values())):
        report.fault("offline", answer.verdict.reply)


async def _by_smtp(chance: random.Random, site: Site, report: Report) -> None:
    """Do what the SMTP door does, with its codec and without its sockets."""
    gate = chance.choice(site.gates)
    known: dict[str, str] = {}
    try:
        _, argument = split_command(grammar.maybe_spoilt(chance, b"XFORWARD NAME=a ADDR=" + grammar.client(chance)))
        known = parse_xforward(argument)
        for command in xforward_commands(known, ("NAME", "ADDR")):
            assert parse_xforward(split_command(command)[1]) == known
        _, argument = split_command(b"MAIL FROM:" + b" ".join((grammar.path(chance), *grammar.arguments(chance))))
        path, parameters = parse_path(argument, b"FROM")
    except CommandError as error:
        error.reply.octets()
        path, parameters = b"<>", []
    session = Session(
        chance.choice(HOOKS), known.get("ADDR", "203.0.113.7"), known.get("NAME", ""), _text(grammar.domain(chance))
    )
    transaction = Transaction(gate, session, keep=True)
    transaction.mail_data.queue_id = known.get("IDENT", "AAAA1") + _text(grammar.maybe_spoilt(chance, b"1", 0.1))
    try:
        verdict = await _transaction(chance, transaction, path, parameters)
    finally:
        transaction.close()
    report.outcomes[verdict.action] += 1
    header_lines(verdict.headers)
    for reply in (verdict.reply, *verdict.recipient_replies.values()):
        if reply and _OWN in reply_of(reply).octets().decode():
            report.fault("smtp", reply)


async def _transaction(
    chance: random.Random, transaction: Transaction, path: bytes, parameters: Sequence[bytes]
) -> Verdict:
    verdict = transaction.mail(path, parameters, "", NOW)
    if verdict is not None:
        return await transaction.record(verdict)
    for _ in grammar.some(chance, 1, 5):
        with contextlib.suppress(CommandError):
            line = b"TO:" + b" ".join((grammar.path(chance), *grammar.arguments(chance)))
            recipient, options = parse_path(line, b"TO")
            if (refusal := transaction.recipient(recipient, NOW, options)) is not None:
                await transaction.record(refusal)
            elif chance.random() < 0.1:
                transaction.withdraw(recipient)
    decoder = MessageDecoder(2_048, 31_457_280)
    wire = b"".join(stuffed([_message(chance)])) + chance.choice((b"\r\n.\r\n", b".\r\n", b"\n.\n")) + b"\r\n.\r\n"
    cut = chance.choice((1, 3, 100, 65_536)) if len(wire) < 2_000 else 65_536
    message = b"".join([decoder.feed(wire[start : start + cut]) for start in range(0, len(wire), cut)])
    fields, start = split_header(message)
    transaction.headers(fields, NOW, message[:start])
    verdict = transaction.body(message, start, len(message), NOW)
    if verdict is not None:
        return await transaction.record(verdict)
    verdict = await transaction.end()
    await transaction.held_as(verdict, "4Cw3Jx2yZz")
    await transaction.handed_on(verdict)
    return verdict


# -- replies of services -----------------------------------------------------------------------------------------


async def _clamd(chance: random.Random, site: Site, report: Report) -> None:
    scan = clamd_wire.parse_answer(grammar.clamd_answer(chance), "message")
    report.outcomes[scan.status] += 1


async def _rspamd(chance: random.Random, site: Site, report: Report) -> None:
    _spam_report(partial(rspamd.parse_report, grammar.rspamd_answer(chance)), report)


async def _spamd(chance: random.Random, site: Site, report: Report) -> None:
    _spam_report(partial(spamd.parse_answer, grammar.spamd_answer(chance), 15.0), report)


def _spam_report(parse: Callable[[], SpamReport], report: Report) -> None:
    try:
        found = parse()
    except OSError:
        report.outcomes["no answer"] += 1
        return
    report.outcomes["answer"] += 1
    assert isinstance(found.action, str)
    assert found.action
    assert all(isinstance(symbol, str) for symbol in found.symbols)
    assert abs(found.score) + abs(found.required) < float("inf"), found


_OURS = Identity(Organization(frozenset({"hanam.gov.vn"}), hostnames=frozenset({"mx.hanam.gov.vn"})))


def _mail(chance: random.Random) -> Mail:
    made = Mail(
        _OURS,
        Session(chance.choice(HOOKS), "203.0.113.7", mta="mx.hanam.gov.vn"),
        Envelope(b"<a@example.com>", "a@example.com", (), {"lan@gmail.com": (b"<lan@gmail.com>",)}),
        [(b"Received", b" " + grammar.received(chance)), (b"Message-ID", b" <%d@a>" % chance.randrange(9))],
    )
    made.queue_id = "AAAA1"
    return made


class _Traces:
    """A store that has anything under every key."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.is_shared = False

    def _values(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        return [(key, grammar.trace_value(self._chance, NOW - 5)) for key in keys for _ in range(2)]

    async def recall(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        return self._values(keys)

    def recall_at_once(self, queue_keys: Sequence[int], message_key: int) -> list[tuple[int, bytes]] | None:
        return self._values([*queue_keys, message_key]) if self._chance.random() < 0.5 else None

    async def secret(self) -> bytes:
        return b"k" * 32


_FRESH = Fresh()


async def _traces(chance: random.Random, site: Site, report: Report) -> None:
    """Ask for a mail's past, with the values of another version, and judge what is known then."""
    history = History(_Traces(chance), _FRESH, 86_400.0, late_s=0)
    await history.load()
    mail = _mail(chance)
    if chance.random() < 0.5:  # what another version wrote stands in the page, too
        key = int.from_bytes(chance.randbytes(8), "big", signed=True)
        _FRESH.put(key, grammar.trace_value(chance, NOW))
        for host, queue_id in history._passages(mail):
            _FRESH.put(history._queue_key(host, queue_id), grammar.trace_value(chance, NOW))
    history.settles(mail)
    if not history.ask_at_once(mail, NOW):
        await history.ask(mail, NOW)
    assert mail.memory is not None
    texts = [*mail.memory.mailboxes, *(passage.login + passage.sender for passage in mail.passages)]
    assert all(isinstance(text, str) for text in texts)
    site.gates[0].policy.decide(mail, NOW)
    report.outcomes["known" if mail.passages or mail.memory.mailboxes else "nothing"] += 1


class _RedisClient:
    """A client of Redis whose server answers anything to every command."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._waiting = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def answer(*arguments: object, **named: object) -> object:
            return grammar.redis_reply(self._chance)

        return answer

    def pipeline(self, transaction: bool) -> "_RedisPipeline":
        return _RedisPipeline(self._chance)


class _RedisPipeline:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._count = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        def take(*arguments: object, **named: object) -> None:
            self._count += 1

        return take

    async def execute(self, raise_on_error: bool = True) -> list[object]:
        return [grammar.redis_reply(self._chance) for _ in range(self._count)]


_CALLS: Mapping[str, Callable[[RedisStore], Awaitable[object]]] = {
    "recall": lambda store: store.recall([1, -2]),
    "secret": lambda store: store.secret(),
    "once": lambda store: store.once("a", 1.0, NOW),
    "sending": lambda store: store.sending(
        "a@hanam.gov.vn", b"12345678", 1, "203.0.113.0/24", NOW, SendingLimits(30, 500, 100, 1_000, 500, 3_000, 5)
    ),
    "advertised": lambda store: store.advertised("shop.vn", ["a@hanam.gov.vn", "b@hanam.gov.vn"], b"12345678", NOW),
    "commit": lambda store: store.commit(
        Batch(
            [
                ActivityEvent(b"1" * 16, ActivityKind.SENT, "a@hanam.gov.vn", NOW, 1),
                Trace(1, 2, b"[1]", NOW),
                Beat(NOW),
            ],
            "run",
            1,
        )
    ),
    "verify": lambda store: store.verify(),
    "states": lambda store: store.states(),
    "state": lambda store: store.state("a@hanam.gov.vn"),
    "states_version": lambda store: store.states_version(),
    "exemptions": lambda store: store.exemptions(),
    "units": lambda store: store.units(),
    "activity": lambda store: store.activity("a@hanam.gov.vn"),
    "idle": lambda store: store.idle(Counts.HUMAN, NOW),
    "totals": lambda store: store.totals(),
    "observed": lambda store: store.observed(),
    "registrations": lambda store: store.registrations(),
    "changes": lambda store: store.changes(),
}


async def _redis(chance: random.Random, site: Site, report: Report) -> None:
    store = RedisStore("redis://127.0.0.1:1")
    store._client = _RedisClient(chance)
    name = chance.choice(list(_CALLS))
    try:
        answer = await _CALLS[name](store)
    except StoreError:
        report.outcomes["no answer"] += 1
        return
    report.outcomes[name] += 1
    if name == "sending":
        assert isinstance(answer, Sending)
        *counts, passed, waiting = astuple(answer)
        assert all(isinstance(count, int) for count in (*counts, *passed, waiting)), answer
        assert len(passed) == 6, answer
    elif name == "recall":
        assert all(isinstance(value, bytes) for _, value in cast(list[tuple[int, bytes]], answer)), answer
    elif name == "advertised":
        assert all(isinstance(count, int) for count in cast(dict[str, int], answer).values()), answer
    elif name == "secret":
        assert isinstance(answer, bytes)
        assert 0 < len(answer) <= 64


async def _dns(chance: random.Random, site: Site, report: Report) -> None:
    names = _Resolver(Answers(lambda: chance))
    name = _text(grammar.domain(chance))
    kind = chance.choice(("texts", "addresses", "addresses", "exchanges", "pointers"))
    try:
        found = await (
            names.addresses(name, chance.choice((4, 6))) if kind == "addresses" else getattr(names, kind)(name)
        )
    except OSError:
        report.outcomes["no answer"] += 1
        return
    report.outcomes[f"{kind}: {'some' if found else 'none'}"] += 1
    assert all(isinstance(one, bytes if kind == "texts" else str) for one in found)


async def _spf(chance: random.Random, site: Site, report: Report) -> None:
    names = _SpfNames(chance)
    sender = _text(grammar.mailbox(chance))
    client = grammar.client(chance).decode("ascii", "replace")
    found = await spf.check_host(names, client, "example.com", sender, _text(grammar.domain(chance)))
    report.outcomes[found] += 1


class _SpfNames:
    """DNS with SPF records at every name."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def texts(self, name: str) -> list[bytes]:
        return [grammar.spf_record(self._chance) for _ in range(self._chance.choice((0, 1, 1, 1, 1, 2)))]

    async def addresses(self, name: str, family: int) -> list[str]:
        return self._chance.choice(([], ["203.0.113.7"] if family == 4 else ["2001:db8::7", "fe80::1"]))

    async def exchanges(self, name: str) -> list[str]:
        return self._chance.choice(([], [""], ["mail.example.com"], ["a"] * 11))

    async def pointers(self, name: str) -> list[str]:
        return self._chance.choice(([], ["mail.example.com"], ["\\255.example.com", ".", ""]))


@cache
def _signed() -> tuple[bytes, bytes]:
    """Return a message that example.com has signed, and the record of its key."""
    private = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    message = b"From: lan@example.com\r\nSubject: x\r\n\r\nKinh gui.\r\n"
    field: bytes = dkim.sign(message, b"s1", b"example.com", pem, include_headers=[b"From", b"Subject"])
    return field + message, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


async def _keys(chance: random.Random, site: Site, report: Report) -> None:
    """Verify signatures, each with a key at hand."""
    signed, record = _signed()
    fields = [(b"DKIM-Signature", b" " + grammar.tags(chance)), (b"ARC-Seal", b" i=1; " + grammar.tags(chance))]
    fields += grammar.header(chance)[:40]
    message = b"".join(name + b":" + value + b"\r\n" for name, value in fields) + b"\r\n" + grammar.content(chance)
    if chance.random() < 0.3:
        message = grammar.maybe_spoilt(chance, signed, 0.8)
    keys = {
        f"k._domainkey.{signer}": [grammar.key_record(chance) for _ in grammar.some(chance, 1, 3)]
        for signer in ("hanam.gov.vn", "ninhbinh.gov.vn", "example.com")
    }
    keys["s1._domainkey.example.com"] = [grammar.maybe_spoilt(chance, record, 0.3)]
    cut = chance.choice((1, 5, 65_536)) if len(message) < 3_000 else 65_536
    pieces = [message[start : start + cut] for start in range(0, len(message), cut)]
    found = list(proven(SignatureJob(chance.choice(list(Kind)), keys, 1.0), Message(lambda: pieces)))
    report.outcomes["proven" if found else "nothing"] += 1


_LOOK, _SIGNATURES = Job((), 1.0), SignatureJob(Kind.DKIM, {}, 1.0)


async def _frames(chance: random.Random, site: Site, report: Report) -> None:
    job = chance.choice((_LOOK, _SIGNATURES))
    try:
        found = read_answer(grammar.worker_frame(chance), job)
    except WorkerError:
        report.outcomes["no worker's"] += 1
        return
    report.outcomes[type(found).__name__] += 1


async def _commands(chance: random.Random, site: Site, report: Report) -> None:
    """Feed octets that are nearly the milter protocol's; whatever they are, the connection closes or answers."""
    mta = MemoryMta(MilterConnection(chance.choice(site.listeners)))
    await mta.negotiate()
    octets = b"".join([_command(chance) for _ in grammar.some(chance, 1, 12)])
    mta.transport.feed(octets[:200_000], chance.choice((1, 2, 5, 1 << 30)) if len(octets) < 500 else 1 << 30)
    await asyncio.sleep(0)
    report.outcomes["closed" if mta.transport.closed else "open"] += 1
    if _OWN.encode() in mta.transport.written:
        report.fault("commands", repr(octets[:300]))
    mta.transport.close()


def _command(chance: random.Random) -> bytes:
    command = chance.choice(
        (CONNECT, HELO, MAIL, RCPT, DATA, HEADER, EOH, BODY, EOM, ABORT, b"D", b"K", b"U", b"O", b"Q")
    )
    payloads: dict[bytes, Callable[[], bytes]] = {
        CONNECT: lambda: _client(chance),
        MAIL: lambda: _payload(grammar.path(chance), *grammar.arguments(chance)),
        RCPT: lambda: _payload(grammar.path(chance)),
        HEADER: lambda: _payload(b"From", grammar.address_list(chance)),
        b"D": lambda: chance.choice((CONNECT, MAIL, DATA, EOM)) + _payload(b"i", grammar.odd(chance), b"j"),
        b"O": lambda: bytes(chance.choice((0, 6)) for _ in range(chance.choice((12, 11, 40)))),
    }
    payload = payloads.get(command, lambda: grammar.odd(chance))()
    return grammar.maybe_spoilt(chance, frame(command, grammar.maybe_spoilt(chance, payload, 0.2)), 0.05)


MAILS: Mapping[str, Feed] = {"by milter": _by_milter, "offline": _offline, "by SMTP": _by_smtp}
REPLIES: Mapping[str, Feed] = {
    "clamd": _clamd,
    "rspamd": _rspamd,
    "spamd": _spamd,
    "traces": _traces,
    "redis": _redis,
    "dns": _dns,
    "spf": _spf,
    "keys": _keys,
    "worker frames": _frames,
    "milter commands": _commands,
}
KINDS: Mapping[str, Feed] = {**MAILS, **REPLIES}


# -- runs ----------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Site]:
    """Open a site in a folder."""
    site = Site(folder)
    await site.open()
    try:
        yield site
    finally:
        await site.close()


async def feed(site: Site, kind: str, numbers: range, seed: int = 2026) -> Report:
    """Feed the inputs of these numbers; an exception, and what the log calls an error, is a fault."""
    report = Report()
    for begin in range(numbers.start, numbers.stop, _GROUP):
        group = range(begin, min(begin + _GROUP, numbers.stop))
        with watched(("json", "console")[begin // _GROUP % 2]) as errors:
            for number in group:
                where = f"{kind}, seed {seed}, number {number}"
                site.chance = random.Random(f"{kind} {seed} {number}")
                try:
                    await KINDS[kind](site.chance, site, report)
                except (Exception, ProtocolViolation):
                    report.fault(where, traceback.format_exc())
                report.fed += 1
                _take(report, where, errors)
            try:
                await site.settle()
            except Exception:
                report.fault(f"{kind}, seed {seed}, numbers {group}", traceback.format_exc())
            _take(report, f"{kind}, seed {seed}, numbers {group}", errors)
    return report


def _take(report: Report, where: str, errors: list[str]) -> None:
    for error in errors:
        report.fault(where, error)
    errors.clear()


async def _run(count: int, seed: int, kinds: Sequence[str]) -> int:
    """Feed so many, the kinds in turn; return how many faults there were."""
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder)) as site:
            for kind in kinds:
                started = time.monotonic()
                report = await feed(site, kind, range(count // len(kinds)), seed)
                faults += report.faulty
                outcomes = ", ".join(f"{name} {number}" for name, number in report.outcomes.most_common(8))
                print(f"{kind}: {report.fed} in {time.monotonic() - started:.0f} s: {outcomes}", flush=True)
                for fault in report.faults.values():
                    print(f"  {fault}", flush=True)
    return faults


def main() -> None:
    """Feed as many as the command line says; exit with 1 when anything was our own error."""
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 2026
    sys.exit(bool(asyncio.run(_run(count, seed, sys.argv[3:] or list(KINDS)))))


if __name__ == "__main__":
    main()
