"""No content is an error of our own: whatever a mail, DNS or a service says is judged, refused, or no answer."""

import ast
import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
import redis.asyncio
import uvloop
from tests.lab.gates import Notes, make_gate, settings_of
from tests.lab.generated import MAILS, REPLIES, feed, opened
from tests.lab.rates import LIMITS
from tests.lab.redis import Redis

from mailgate.config import NoticeSection
from mailgate.doors.milter import Listener
from mailgate.doors.offline import Answer, Case
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.incidents.log import IncidentLog
from mailgate.incidents.record import mail_record
from mailgate.inspection.job import Job, WorkerError, read_answer
from mailgate.ledger.fresh import Fresh
from mailgate.ledger.history import History
from mailgate.ledger.redis import RedisStore
from mailgate.ledger.store import Batch, Store, StoreError
from mailgate.model import (
    FIELDS_READ,
    Action,
    Envelope,
    Evidence,
    Exemption,
    Finding,
    Mail,
    Memory,
    Mode,
    Sending,
    Session,
    Verdict,
)
from mailgate.notices import Mailer, notice
from mailgate.policy import covers
from mailgate.probes import spf
from mailgate.probes.probe import Asked
from mailgate.probes.rates import AdvertisedProbe, SendingProbe
from mailgate.probes.rspamd import parse_report
from mailgate.quarantine import Postfix

ROOT = Path(__file__).parents[1]
NOW = 1_795_000_000.0
NO_UTF8 = "\udcff"  # an octet FF, as text from the wire has it
IDENTITY = Identity(Organization(frozenset({"hanam.gov.vn"}), hostnames=frozenset({"mx.hanam.gov.vn"})))


# -- what is generated -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "count"), [*((k, 1_000) for k in MAILS), *((k, 3_000) for k in REPLIES)])
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # of a charset unicode_escape
async def test_what_is_generated_is_no_error(tmp_path: Path, kind: str, count: int) -> None:
    async with opened(tmp_path) as site:
        report = await feed(site, kind, range(count))
    print(f"{kind}: {dict(report.outcomes)}")
    assert report.fed == count
    assert list(report.faults.values()) == []
    assert len(report.outcomes) > 1, "the generator reaches more than one outcome"


# -- header fields -------------------------------------------------------------------------------------------------

_READERS = frozenset({"header_values", "first_header", "first", "named_in", "_authors"})
_TABLES = frozenset({"_NAMES_FORWARDER", "_PAIRS", "_LOOPS_OF_TRACE", "_MARKS", "_PROVIDER_MARKS", "_TELLING"})


def _names_read() -> Iterator[tuple[str, bytes]]:
    """Yield every field name that stands in a call of a reader, or in a table that one goes through."""
    for path in (*(ROOT / "milter").rglob("*.py"), *(ROOT / "rules").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            found: list[ast.AST] = []
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                found = list(node.args) if called in _READERS else []
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                named = {target.id for target in targets if isinstance(target, ast.Name)}
                value = node.value
                if not named.isdisjoint(_TABLES) and value is not None:
                    found = list(value.keys) if isinstance(value, ast.Dict) else list(ast.walk(value))  # type: ignore[arg-type]
            for one in found:
                if isinstance(one, ast.Constant) and isinstance(one.value, bytes):
                    yield path.name, one.value


def test_every_field_that_is_read_is_kept() -> None:
    """Mail.header_values raises KeyError for a name that is not among FIELDS_READ."""
    names = set(_names_read())
    assert {name for _, name in names} > {b"received", b"message-id", b"auto-submitted", b"arc-seal", b"resent-from"}
    assert {(module, name) for module, name in names if name not in FIELDS_READ} == set()


# -- services ------------------------------------------------------------------------------------------------------

_DEEP = b"[" * 1_000 + b"]" * 1_000  # what JSON's reader takes, and no repr
_SYMBOL = b'{"name": "BAYES_SPAM", "score": 5.1}'


def _report(
    action: bytes = b'"reject"', score: bytes = b"7.5", required: bytes = b"15", symbol: bytes = _SYMBOL
) -> bytes:
    return b'{"action": %b, "score": %b, "required_score": %b, "symbols": {"A": %b}}' % (
        action,
        score,
        required,
        symbol,
    )


def test_an_answer_of_rspamds_own_is_read() -> None:
    report = parse_report(_report())
    assert (report.action, report.score, report.required, report.symbols) == (
        "reject",
        7.5,
        15.0,
        ("BAYES_SPAM(5.10)",),
    )


@pytest.mark.parametrize(
    "answer",
    [
        *(b"null", b"5", b"{}", b"[]", b"", b'"reject"', b"{", b"\xff", _DEEP),
        *(_report(action=value) for value in (b"null", b"5", b"{}", b"[]", b'""', b"true")),
        *(_report(score=value) for value in (b"null", b'"7.5"', b"true", b"1e400", b"9" * 400, b"{}", b"NaN")),
        *(_report(required=value) for value in (b"null", b'"inf"', b"1e400", b"[]")),
        *(_report(symbol=value) for value in (b"null", b"5", b"[]", b'{"score": 1}', b'{"name": 5}')),
        *(_report(symbol=b'{"name": %b}' % value) for value in (b"null", _DEEP)),
        *(_report(symbol=b'{"name": "A", "score": %b}' % value) for value in (b"null", b'"nan"', b"1e400")),
    ],
)
def test_what_rspamd_does_not_say_is_no_answer(answer: bytes) -> None:
    """OSError: then the fact is missing, and `[spam] on_error` decides."""
    with pytest.raises(OSError, match="not understood"):
        parse_report(answer)


@pytest.mark.parametrize(
    "frame",
    [
        b'["text", %b, "body", "x", [], "", "", false]' % _DEEP,
        b'["text", "a", %b, "x", [], "", "", false]' % _DEEP,
        b'["text", "a", "body", "x", [["A", %b, "stamp", 1, 1]], "", "", false]' % _DEEP,
        b'["file", "a", "a", "exe", "", %b, "", []]' % _DEEP,
        b'["uninspected", "a", %b, ""]' % _DEEP,
        b'["end", %b]' % _DEEP,
        _DEEP,
    ],
)
def test_lists_in_lists_are_no_word_of_a_worker(frame: bytes) -> None:
    with pytest.raises(WorkerError):
        read_answer(frame, Job((), 1.0))


class Traces:
    """A store that has these values under every key."""

    is_shared = False

    def __init__(self, *values: bytes) -> None:
        self._values = values

    async def recall(self, keys: Any) -> list[tuple[int, bytes]]:
        return [(key, value) for key in keys for value in self._values]

    def recall_at_once(self, queue_keys: Any, message_key: int) -> list[tuple[int, bytes]]:
        return [(key, value) for key in (*queue_keys, message_key) for value in self._values]

    async def secret(self) -> bytes:
        return b"k" * 32


_TRACE = b'[%d,"mx","","","","",true,["ptp.bl@hanam.gov.vn"],""]' % NOW


def _copy() -> Mail:
    envelope = Envelope(b"<a@example.com>", "a@example.com", (), {"lan@gmail.com": (b"<lan@gmail.com>",)})
    received = b" by mx.hanam.gov.vn (Postfix) with ESMTP id AAAA1; Tue"
    return Mail(
        IDENTITY,
        Session("egress", "127.0.0.1"),
        envelope,
        [(b"Received", received), (b"Message-ID", b" <1@example.com>")],
    )


_OF_ANOTHER_FORM = (
    *(b"", b"null", b"5", b"[]", b"{}", b"[,", b",1", b"[x,1]", b"\xff", b'["", "mx"]', _DEEP),
    *(_TRACE + b"x", _TRACE[:-1] + b",1]", _TRACE.replace(b',""]', b"]"), b"[" + b"9" * 400 + _TRACE[11:]),
    *(_TRACE.replace(b'"mx"', value) for value in (b"null", b"5", b"[]", b"{}")),
    *(_TRACE.replace(b"true", value) for value in (b"null", b"1", b'""')),
    *(_TRACE.replace(b'["ptp.bl@hanam.gov.vn"]', value) for value in (b"null", b"5", b"[5]", b'"a"', b"[[]]")),
    *(_TRACE.replace(b',""]', value) for value in (b",null]", b",5]", b",[]]", b",{}]")),
)


@pytest.mark.parametrize("value", _OF_ANOTHER_FORM)
@pytest.mark.parametrize("beside", [(), (_TRACE,)])
async def test_a_trace_of_another_form_is_as_if_it_were_not_there(value: bytes, beside: tuple[bytes, ...]) -> None:
    known = (Memory(("ptp.bl@hanam.gov.vn",)), 1) if beside else (Memory(), 0)
    for ask_at_once in (True, False):
        history = History(Traces(value, *beside), Fresh(), 86_400.0, late_s=0)
        await history.load()
        mail = _copy()
        if ask_at_once:
            assert history.ask_at_once(mail, NOW)
        else:
            await history.ask(mail, NOW)
        assert (mail.memory, len(mail.passages)) == known


@pytest.mark.parametrize("value", _OF_ANOTHER_FORM)
async def test_a_recent_trace_of_another_form_settles_nothing(value: bytes) -> None:
    """A worker of the version before writes into the same page while it still runs."""
    fresh = Fresh()
    history = History(Traces(), fresh, 86_400.0, late_s=0)
    await history.load()
    mail = _copy()
    fresh.put(history._queue_key("mx.hanam.gov.vn", "AAAA1"), value)
    assert not history.settles(mail)
    assert not mail.passages


_SITE = "mailgate:{site}:"


@pytest.mark.parametrize(
    ("command", "method"),
    [
        (("HSET", f"{_SITE}states", "a@hanam.gov.vn", "5"), "states"),
        (("HSET", f"{_SITE}states", "a@hanam.gov.vn", b'{"status": %b}' % _DEEP), "states"),
        (("HSET", f"{_SITE}states", "a@hanam.gov.vn", '{"address": "a"}'), "states"),
        (("HSET", f"{_SITE}exemptions", "x", "{}"), "exemptions"),
        (("HSET", f"{_SITE}exemptions", "1", '{"rule": "x", "new": 1}'), "exemptions"),
        (("SADD", f"{_SITE}units", b"\xff"), "units"),
        (("SET", f"{_SITE}version", "x"), "states_version"),
        (("SET", f"{_SITE}secret", ""), "secret"),
        (("SET", f"{_SITE}secret", "k" * 65), "secret"),
        (("SET", f"{_SITE}states", "x"), "states"),
    ],
)
async def test_what_no_version_wrote_into_redis_is_the_stores_error(
    redis_server: Redis, command: tuple[bytes | str, ...], method: str
) -> None:
    redis_server.ask("FLUSHALL")
    client = redis.asyncio.from_url(redis_server.url)
    await client.execute_command(*command)  # type: ignore[no-untyped-call]
    await client.aclose()
    store = RedisStore(redis_server.url)
    with pytest.raises(StoreError):
        await getattr(store, method)()
    await store.close()


# -- octets that are no UTF-8 --------------------------------------------------------------------------------------


async def test_a_store_takes_what_a_mail_calls_itself(store: Store) -> None:
    """Logins, recipients and advertisers go into its keys."""
    mail = _copy()
    mail.session.hook, mail.envelope.login = "submission", f"{NO_UTF8}@hanam.gov.vn"
    mail.envelope.recipients = {f"{NO_UTF8}@hanam.gov.vn": (b"",), "a@hanam.gov.vn": (b"",)}
    asked = Asked(mail, None, ())
    await SendingProbe(store, lambda _: LIMITS, lambda: NOW, 1.0, None).ask(asked)
    assert mail.sending == Sending(1, 2, 1, 2, 1, 2, 1, passed=(1, 2, 1, 2, 1, 2))
    probe = AdvertisedProbe(store, lambda _: f"{NO_UTF8}.example", lambda: NOW, 1.0, None)
    await probe.ask(asked)
    assert mail.advertised == {f"{NO_UTF8}@hanam.gov.vn": 1, "a@hanam.gov.vn": 1}


async def test_a_mail_whose_queue_id_is_no_text_is_counted_and_remembered(store: Store) -> None:
    """The macro {i} is Postfix's, the IDENT of XFORWARD anybody's who may say it."""
    history = History(store, Fresh(), 86_400.0, late_s=0)
    await history.load()
    settings = settings_of()
    gate = make_gate(settings)
    gate = gate.with_services(replace(gate.services, past=history, node=""))
    mail = _copy()
    mail.fields = {}
    mail.session.hook, mail.queue_id = "mx", f"AAAA{NO_UTF8}"
    mail.envelope.recipients = {"ptp.bl@hanam.gov.vn": (b"<ptp.bl@hanam.gov.vn>",)}
    noted = gate._noted(mail, Verdict())
    assert len(noted) == 2
    await store.commit(Batch(noted))


async def test_a_hold_whose_queue_id_was_no_text_is_on_record() -> None:
    notes = Notes()
    mail = _copy()
    mail.queue_id = NO_UTF8
    await make_gate(settings_of(), notes).record_hold(mail, Verdict(Action.QUARANTINE), "4Cw3Jx2yZz")
    (record,) = notes.records
    assert orjson.loads(orjson.dumps(record))["of_queue_id"] == "?"


@pytest.mark.parametrize("exempt", ["ptp.bl@hanam.gov.vn", "hanam.gov.vn"])
async def test_an_exemption_is_held_against_evidence_that_is_no_text(exempt: str) -> None:
    evidence = (Evidence("envelope", "MAIL FROM", f"{NO_UTF8}@example.com"), Evidence("header", "From", "\ud800"))
    finding = Finding("auto-forward", "4.5", Mode.ENFORCE, Action.REJECT, direction="in", evidence=evidence)
    assert not covers(Exemption("auto-forward", exempt, "", 2e9, "12/QD"), finding, _copy(), NOW)


def test_an_answer_of_check_is_json_whatever_the_case_says() -> None:
    case = Case(b"", id=NO_UTF8)
    answer = Answer(case, Verdict(), rcpt_replies={f"{NO_UTF8}@hanam.gov.vn": "550 5.7.1 No"})
    shown = orjson.loads(orjson.dumps(answer.as_json()))
    assert (shown["id"], shown["rcpt_replies"]) == ("?", {"?@hanam.gov.vn": "550 5.7.1 No"})


@pytest.mark.parametrize(
    ("mailbox", "shown"),
    [
        ("ptp.bl@hanam.gov.vn", "ptp.bl@hanam.gov.vn"),
        (f"{NO_UTF8}@hanam.gov.vn", "?@hanam.gov.vn"),
        ("a\x85b@hanam.gov.vn", "a?b@hanam.gov.vn"),
        ("a\x1cb@hanam.gov.vn", "a?b@hanam.gov.vn"),
        ("nguyễn@hanam.gov.vn", "nguyễn@hanam.gov.vn"),
    ],
)
def test_a_notice_names_any_mailbox(mailbox: str, shown: str) -> None:
    finding = Finding("auto-forward", "4.5", Mode.ENFORCE, Action.QUARANTINE, direction="out", mailboxes=(mailbox,))
    at = datetime(2026, 11, 24, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
    message = notice(finding, "postmaster@hanam.gov.vn", "officer@hanam.gov.vn", NO_UTF8, at)
    message.as_bytes()
    assert "Queue id: ?" in message.get_content()
    assert shown in message.get_content()
    assert shown in message["Subject"]


class Told(Mailer):
    """Says to whom notices would go."""

    def __init__(self, store: Store) -> None:
        section = NoticeSection(relay="unix:/nonexistent", officer="officer@hanam.gov.vn")
        super().__init__(section, "hanam.gov.vn", store, History(store, Fresh(), 0.0))
        self.told: list[str] = []

    async def _post(self, recipient: str, message: EmailMessage) -> None:
        self.told.append(recipient)


@pytest.mark.parametrize(
    ("mailbox", "owner"),
    [("ptp.bl@hanam.gov.vn", True), (f"{NO_UTF8}@hanam.gov.vn", False), ("nguyễn@hanam.gov.vn", False)],
)
async def test_the_officer_hears_of_a_mailbox_that_nobody_has(store: Store, mailbox: str, owner: bool) -> None:
    finding = Finding(
        "auto-forward",
        "4.5",
        Mode.ENFORCE,
        Action.QUARANTINE,
        direction="out",
        mailboxes=(mailbox,),
        owners=(mailbox,),
    )
    mailer = Told(store)
    mailer.tell(_copy(), Verdict(Action.QUARANTINE, findings=(finding,)))
    await mailer.flush()
    assert mailer.told == [*([mailbox] if owner else []), "officer@hanam.gov.vn"]


def test_a_held_mail_whose_sender_is_no_text_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One such mail in the hold queue would keep all the others from being listed and released."""
    at = datetime(2026, 11, 24, 8, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
    mail = _copy()
    mail.queue_id, mail.envelope.sender = "4Cw3Jx2yZz", f"{NO_UTF8}@example.com"
    log = IncidentLog(tmp_path / "incidents")
    log.append([mail_record(mail, Verdict(Action.QUARANTINE), "20261124-7KQ2M9XD", at, {})], at)
    line = b'{"queue_name": "hold", "queue_id": "4Cw3Jx2yZz", "arrival_time": %d, "message_size": 9, "sender":' % (
        at.timestamp()
    )
    (tmp_path / "queue").write_bytes(
        line + b' "\xff@example.com", "recipients": [{"address": "\xfe@hanam.gov.vn"}]}\n'
    )
    program = tmp_path / "postqueue"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/queue\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (held,) = Postfix().held(log)
    assert (held.sender, held.recipients) == ("?@example.com", ("?@hanam.gov.vn",))


# -- SPF -----------------------------------------------------------------------------------------------------------


class Record:
    """DNS where every name has this record, and the address 203.0.113.7."""

    def __init__(self, record: bytes) -> None:
        self._record = record

    async def texts(self, name: str) -> list[bytes]:
        return [self._record]

    async def addresses(self, name: str, family: int) -> list[str]:
        return ["203.0.113.7"] if family == 4 else ["fe80::1"]

    async def exchanges(self, name: str) -> list[str]:
        return []

    async def pointers(self, name: str) -> list[str]:
        return ["mail.example.com"]


@pytest.mark.parametrize(
    ("record", "client", "want"),
    [
        (b"v=spf1 exists:%{S}.example.com -all", "203.0.113.7", spf.Result.PASS),
        (b"v=spf1 exists:%{L}.%{H}.example.com -all", "203.0.113.7", spf.Result.PASS),
        (b"v=spf1 exists:%{i}.example.com -all", "fe80::1%eth0", spf.Result.PASS),
        (b"v=spf1 ptr:example.com -all", "fe80::1%eth0", spf.Result.PASS),
        (b"v=spf1 ip6:fe80::/10 -all", f"fe80::1%{NO_UTF8}", spf.Result.PASS),
    ],
)
async def test_spf_of_odd_senders_and_clients(record: bytes, client: str, want: spf.Result) -> None:
    odd = f"{NO_UTF8}@example.com"
    assert await spf.check_host(Record(record), client, "example.com", odd, f"{NO_UTF8}.vn") is want


# -- the milter door -----------------------------------------------------------------------------------------------


def test_a_peer_that_hung_up_costs_nobody_else_a_reply() -> None:
    """A closed transport of uvloop's raises; the replies of all connections of a turn are written in a row."""

    async def talk() -> bytes:
        loop = asyncio.get_running_loop()
        made: asyncio.Queue[asyncio.Transport] = asyncio.Queue()

        class Peer(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                made.put_nowait(transport)

        gate = make_gate(settings_of())
        listener = Listener("unix", (), lambda: gate, is_unix=True)
        server = await loop.create_server(Peer, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        _, gone = await asyncio.open_connection(*address)
        reader, stays = await asyncio.open_connection(*address)
        first, second = await made.get(), await made.get()
        first.abort()
        gone.close()
        for transport in (first, second):
            listener.post(transport, b"answer")
        async with asyncio.timeout(10):
            answer = await reader.readexactly(6)
        stays.close()
        server.close()
        return answer

    failures: list[dict[str, Any]] = []

    async def watched() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        return await talk()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(watched()) == b"answer"
    assert failures == []
