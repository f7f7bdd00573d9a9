"""How services are asked: what hangs costs a few mails their wait, and what did not answer is missing, as it was."""

import asyncio
import socket
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.lab.fake import Fake, after, close_at_once, hang
from tests.lab.gates import Notes, make_gate, settings_of
from tests.lab.mailgate import Mailgate
from tests.lab.mails import OFFICER
from tests.lab.mta import Answer, Letter, MemoryMta, Mta
from tests.lab.processes import living
from tests.lab.redis import Redis
from tests.lab.waiting import until, wait_until

from mailgate.config import ClamavSection, SpamSection, WorkersSection
from mailgate.doors import milter as door
from mailgate.doors.milter import Listener, MilterConnection
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.mime.walker import Leaf
from mailgate.model import Content, Mail, Scan, ScanStatus, Session, Taken
from mailgate.probes import breaker
from mailgate.probes.breaker import Breaker
from mailgate.probes.clamd import Address, ClamdProbe, Scanner
from mailgate.probes.probe import Asked
from mailgate.probes.rspamd import parse_report
from mailgate.spool import Spool
from mailgate_rules.virus import Stanza as Virus

CLEAN = [Scan(ScanStatus.CLEAN)]


# -- the breaker ----------------------------------------------------------------------------------


class Service:
    """A service that lives or hangs, as the test says."""

    def __init__(self) -> None:
        self.lives = True
        self.pings = 0
        self.said: list[bool] = []
        self.breaker = Breaker("clamd", self._ping, self.said.append)

    async def _ping(self) -> None:
        self.pings += 1
        if not self.lives:
            await asyncio.Event().wait()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(breaker, "PING_S", 0.02)
    monkeypatch.setattr(breaker, "AGAIN_S", 0.02)
    return Service()


async def test_a_service_that_hangs_opens_its_breaker_and_closes_it_when_it_is_back(service: Service) -> None:
    service.lives = False
    service.breaker.timed_out()
    await until(lambda: service.breaker.is_open, 5, "the breaker to open")
    service.lives = True
    await until(lambda: not service.breaker.is_open, 5, "the breaker to close")
    assert service.said == [True, False]


async def test_a_hostile_mail_that_keeps_a_living_service_busy_opens_nothing(service: Service) -> None:
    for expected in range(1, 4):
        service.breaker.timed_out()
        await until(lambda expected=expected: service.pings == expected, 5, "the ping")  # type: ignore[misc]
    assert not service.breaker.is_open
    assert service.said == []


async def test_one_look_is_under_way_at_once(service: Service) -> None:
    service.lives = False
    for _ in range(50):
        service.breaker.timed_out()
    await until(lambda: service.breaker.is_open, 5, "the breaker to open")
    assert service.pings == 1
    await service.breaker.close()
    assert service.said == [True, False]


class Hanging:
    """A scanner that never answers, and counts who asks it."""

    def __init__(self) -> None:
        self.asked = 0

    async def scan_mail(self, raw: Spool, content: Content, leaves: Sequence[Leaf]) -> list[Scan]:
        self.asked += 1
        await asyncio.Event().wait()
        return CLEAN

    async def scan_files(self, files: Sequence[Taken]) -> list[Scan]:
        raise AssertionError("nothing was taken out of the mails of these tests")


async def judged(gate: Any) -> tuple[str, str]:
    """Return the action on a small mail, and why a fact is missing."""
    notes: Notes = gate.services.notebook._notes
    connection = MilterConnection(Listener("memory", (), lambda: gate, is_unix=True))
    mta = MemoryMta(connection)
    await mta.negotiate()
    outcome = await mta.deliver(Letter())
    pieces = [piece["value"] for finding in notes.findings() for piece in finding["evidence"]]
    return outcome.action, pieces[-1] if pieces else ""


@pytest.mark.parametrize(
    ("clamd_s", "mail_s", "reason"),
    [(0.05, 60.0, "no answer within 0.05 s"), (60.0, 0.05, "no answer within 0.05 s")],
    ids=["the scanner's own limit", "the mail's limit"],
)
async def test_a_limit_that_was_kept_is_named_as_it_was_kept(clamd_s: float, mail_s: float, reason: str) -> None:
    settings = settings_of(
        Virus(),
        clamav=ClamavSection(address="", deadline_s=clamd_s),
        workers=WorkersSection(deadline_s=mail_s),
    )
    gate = make_gate(settings, Notes(), scanner=Hanging())
    assert await judged(gate) == ("tempfail", reason)


async def test_after_a_hang_nobody_waits(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    scanner = Hanging()
    gate = make_gate(
        settings_of(Virus(), clamav=ClamavSection(address="", deadline_s=0.05)), Notes(), scanner=scanner
    )
    (probe,) = [probe for probe in gate._probes if type(probe) is ClamdProbe]
    monkeypatch.setattr(probe, "breaker", service.breaker)
    service.lives = False
    assert await judged(gate) == ("tempfail", "no answer within 0.05 s")
    await until(lambda: service.breaker.is_open, 5, "the breaker to open")
    for _ in range(20):
        action, reason = await judged(gate)
        assert (action, "clamd hangs" in reason) == ("tempfail", True)
    assert scanner.asked == 1
    await service.breaker.close()


def test_a_clamd_that_stands_still_costs_a_few_mails_their_wait_and_doctor_names_it() -> None:
    """The fake takes connections and says nothing, as a stopped clamd does."""
    with Fake(hang) as fake:
        config = {
            "workers": {"count": 1},
            "clamav": {"address": f"inet:127.0.0.1:{fake.port}", "deadline_s": 0.5},
        }
        with Mailgate(config) as mailgate, Mta(mailgate.milter) as mta:
            assert mta.deliver(Letter()).action == "tempfail"
            mailgate.wait_event("service hangs")
            started = time.monotonic()
            assert [mta.deliver(Letter()).action for _ in range(20)] == ["tempfail"] * 20
            assert time.monotonic() - started < 0.5 * 20 / 2
            with urllib.request.urlopen(mailgate.http_url + "/metrics", timeout=10) as answer:
                assert b'mailgate_breakers_open{service="clamd"} 1.0' in answer.read()
            named = mailgate.run("doctor").stdout
            assert "clamd is not asked" in named
            fake.behaviour = after(b"\0", b"PONG\0")
            mailgate.wait_event("service answers again")


def test_a_store_that_is_slow_keeps_a_few_submitted_mails_waiting_not_each() -> None:
    """Frozen, Redis takes connections and says nothing: each submission would wait commit_wait_ms for its rate."""
    wait_s = 0.4
    with Redis() as redis:
        config = {"workers": {"count": 1}, "store": {"url": redis.url, "commit_wait_ms": wait_s * 1_000}}
        submitted = Letter(sender=b"<ptp.bl@hanam.gov.vn>", recipients=(b"<lan@hanam.gov.vn>",), login=OFFICER)
        with Mailgate(config) as mailgate, Mta(mailgate.milter) as mta:
            assert mta.deliver(submitted).action == "accept"
            redis.freeze()
            try:
                first = _seconds(mta, submitted)
                mailgate.wait_event("service hangs")
                rest = [_seconds(mta, submitted) for _ in range(10)]
            finally:
                redis.thaw()
            mailgate.wait_event("service answers again")
            assert mta.deliver(submitted).action == "accept"
        assert first >= wait_s
        assert max(rest) < wait_s / 2


def _seconds(mta: Mta, letter: Letter) -> float:
    started = time.monotonic()
    assert mta.deliver(letter).action == "accept", "while the store is away the rate is not known, and lets go"
    return time.monotonic() - started


# -- answers of services ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"5",
        b"{}",
        b"[]",
        b'"reject"',
        b"",
        b"{",
        b"\xff",
        b'{"action": null, "score": 1}',
        b'{"action": 5, "score": 1}',
        b'{"action": "", "score": 1}',
        b'{"action": {}, "score": 1}',
        b'{"action": "reject"}',
        b'{"action": "reject", "score": null}',
        b'{"action": "reject", "score": "x"}',
        b'{"action": "reject", "score": 1e999}',
        b'{"action": "reject", "score": ' + b"9" * 400 + b"}",
        b'{"action": "reject", "score": 1, "symbols": 5}',
        b'{"action": "reject", "score": 1, "symbols": {"A": 5}}',
        b'{"action": "reject", "score": 1, "symbols": {"A": {"score": 1}}}',
        b'{"action": "reject", "score": 1, "required_score": {}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_of_rspamd_is_none(body: bytes) -> None:
    with pytest.raises(OSError, match="rspamd"):
        parse_report(body)


async def test_a_scan_that_is_dropped_is_tried_once_again() -> None:
    answers: Iterator[Any] = iter([close_at_once, after(b"\0\0\0\0", b"stream: OK\0"), close_at_once, close_at_once])
    with Fake(lambda connection: next(answers)(connection)) as fake, Spooled(b"x") as raw:
        scanner = Scanner(Address(host="127.0.0.1", port=fake.port), 5.0, 1, None)
        assert (await scanner.scan(raw, "message")).status is ScanStatus.CLEAN
        assert (await scanner.scan(raw, "message")).status is ScanStatus.ERROR


class Spooled:
    """A spool of some octets, closed at the end."""

    def __init__(self, octets: bytes) -> None:
        self._spool = Spool()
        self._spool.write(octets)

    def __enter__(self) -> Spool:
        return self._spool

    def __exit__(self, *_: object) -> None:
        self._spool.close()


async def test_a_probe_is_asked_of_what_it_concerns() -> None:
    probe = ClamdProbe(Hanging(), 1.0, None)
    mail = Mail(Identity(Organization(frozenset({"hanam.gov.vn"}))), Session())
    assert not probe.concerns(Asked(mail, None, ()))
    with Spooled(b"x") as raw:
        assert probe.concerns(Asked(mail, raw, ()))
        mail.scans = CLEAN
        assert not probe.concerns(Asked(mail, raw, ()))


# -- the milter's peer -----------------------------------------------------------------------------------


async def test_a_long_wait_says_that_it_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "PROGRESS_S", 0.02)
    settings = settings_of(Virus(), clamav=ClamavSection(address="", deadline_s=0.5))
    gate = make_gate(settings, Notes(), scanner=Hanging())
    progress: list[Answer] = []

    class Counting(MemoryMta):
        def __init__(self, protocol: MilterConnection) -> None:
            super().__init__(protocol)
            write = self.transport.write

            def counted(octets: bytes | bytearray | memoryview) -> None:
                if octets == b"\0\0\0\1p":
                    progress.append(Answer("progress"))
                write(octets)

            setattr(self.transport, "write", counted)  # noqa: B010

    mta = Counting(MilterConnection(Listener("memory", (), lambda: gate, is_unix=True)))
    await mta.negotiate()
    assert (await mta.deliver(Letter())).action == "tempfail"
    seen = len(progress)
    assert 5 <= seen <= 25
    await asyncio.sleep(0.1)
    assert len(progress) == seen, "none comes after the answer"


def test_half_a_frame_is_not_waited_for_but_an_idle_connection_is() -> None:
    config = {"workers": {"count": 1}, "listen": {"http": "", "frame_s": 1.0}}
    with Mailgate(config) as mailgate, Mta(mailgate.milter) as idle:
        stalled, slow = _connected(mailgate), _connected(mailgate)
        stalled.sendall(b"\0\0\0\x0dO\0\0")
        octets = iter(b"\0\0\0\x0dO" + bytes(12))
        started = time.monotonic()
        closed: set[socket.socket] = set()
        while len(closed) < 2 and time.monotonic() - started < 20:
            for connection in {stalled, slow} - closed:
                if connection is slow and (octet := next(octets, None)) is not None and len(closed) < 2:
                    _send(slow, bytes([octet]))
                if _is_closed(connection):
                    closed.add(connection)
            time.sleep(0.3)  # an octet of 17: none would come to its end within the second
        assert closed == {stalled, slow}
        assert idle.deliver(Letter()).action == "accept", "between two frames a connection may be idle"
        reasons = [line["reason"] for line in mailgate.log() if line["event"] == "protocol error"]
        assert reasons == ["the rest of a frame did not come within 1 s"] * 2


def _connected(mailgate: Mailgate) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(mailgate.milter.removeprefix("unix:"))
    connection.setblocking(False)
    return connection


def _send(connection: socket.socket, octets: bytes) -> None:
    try:
        connection.sendall(octets)
    except (BrokenPipeError, ConnectionResetError):
        return


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(4_096) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


# -- reloads ---------------------------------------------------------------------------------------------


def test_inspection_workers_of_old_configurations_end() -> None:
    config: dict[str, Any] = {"workers": {"count": 1}, "inspection": {"workers": 2}}
    with Mailgate(config) as mailgate, Mta(mailgate.milter) as mta:
        html = Letter(headers=((b"Content-Type", b" text/html"),), body=b"<p>x</p>\r\n")
        assert mta.deliver(html).action == "accept"
        few = _processes(mailgate)
        for number in range(20):
            mailgate.configure({**config, "inspection": {"workers": 2, "cpu_s": 1.0 + number / 100}})
            mailgate.reload()
            assert mta.deliver(html).action == "accept"
        wait_until(lambda: _processes(mailgate) <= few + 1, 20, "the old workers to end")


def _processes(mailgate: Mailgate) -> int:
    return sum(process.session == mailgate.pid for process in living())


async def test_a_client_outlives_a_reload_that_does_not_change_its_section() -> None:
    before = make_gate(settings_of(Virus(), clamav=ClamavSection(), spam=SpamSection(url="")))
    same = type(before)(before.settings, before.services, before=before)
    other = before.settings.model_copy(update={"clamav": ClamavSection(deadline_s=5)})
    changed = type(before)(other, before.services, before=same)
    assert same.clients.scanner is not None
    assert changed.clients.scanner is not same.clients.scanner
    assert changed.clients.pool is same.clients.pool
    assert type(before)(other, before.services, before=changed).clients.scanner is changed.clients.scanner
