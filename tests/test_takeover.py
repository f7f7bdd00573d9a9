"""Who may send as whom, what a login hands over of late, and the lock that follows: without a network."""

import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.lab.gates import Notes, make_gate, settings_of
from tests.lab.mails import OFFICE, OFFICER, OUTSIDER, letter
from tests.lab.redis import Redis

from mailgate.config import ConfigError, Settings, load
from mailgate.doors.offline import Case, judge_case
from mailgate.gate import Gate
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.ledger.sqlite import SqliteStore
from mailgate.mailboxes.states import change
from mailgate.mailboxes.takeover import Locker
from mailgate.model import (
    LOCK,
    Action,
    Envelope,
    Evidence,
    Finding,
    Mail,
    MailboxKind,
    MailboxStatus,
    Mode,
    Registration,
    Session,
    Verdict,
)
from mailgate.scratch import Bench
from mailgate.text.addresses import listed_in
from mailgate_rules.sender_identity import Stanza as SenderIdentity
from mailgate_rules.sending_rate import Stanza as SendingRate

DAY = datetime.fromisoformat("2026-11-25T08:00:00+07:00")

# -- address lists ---------------------------------------------------------------------------------

A, B = "a@hanam.gov.vn", "b@gmail.com"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"", ()),
        (b" a@hanam.gov.vn", (A,)),
        (b" Anh <A@HaNam.gov.vn>", (A,)),
        (b'"a@hanam.gov.vn" <b@gmail.com>', (B,)),
        (b"a@hanam.gov.vn <b@gmail.com>", (A, B)),
        (b'"a" "x@y.vn" <b@gmail.com>', (B,)),
        (b'"a\\"<a@hanam.gov.vn>" <b@gmail.com>', (B,)),
        (b"<b@gmail.com> a@hanam.gov.vn", (B, A)),
        (b"<b@gmail.com> <a@hanam.gov.vn>", (B, A)),
        (b"b@gmail.com, Anh <a@hanam.gov.vn>", (B, A)),
        (b'"Tran, B" <b@gmail.com>,\r\n a@hanam.gov.vn', (B, A)),
        (b"Nhom: b@gmail.com, <a@hanam.gov.vn>;", (B, A)),
        (b"undisclosed-recipients:;", ()),
        (b'"a"@hanam.gov.vn', (A,)),
        (b'"a b"@hanam.gov.vn', ('"a b"@hanam.gov.vn',)),
        (b"a @ hanam . gov.vn", (A,)),
        (b"a(x)@(y)hanam.gov.vn (z (z) <c@d.vn>)", (A,)),
        (b"(\\)) a@hanam.gov.vn", (A,)),
        (b"<@c.vn,@d.vn:a@hanam.gov.vn>", (A,)),
        (b"a@xn--hnam-0na.vn", ("a@xn--hnam-0na.vn",)),
        ("a@hànam.vn".encode(), ("a@xn--hnam-0na.vn",)),
        # What is opened and never closed hides nothing.
        (b'"b <a@hanam.gov.vn>', (A,)),
        (b"(b <a@hanam.gov.vn>", (A,)),
        (b'("b <a@hanam.gov.vn>', (A,)),
        (b"<b@gmail.com, a@hanam.gov.vn", (B, A)),
        # Postfix completes a name alone.
        (b"giamdoc", ("giamdoc",)),
        (b"<giamdoc>", ("giamdoc",)),
        (b"Giam doc", ()),
    ],
)
def test_mailboxes_of_an_address_list(value: bytes, wanted: tuple[str, ...]) -> None:
    assert listed_in(value) == wanted


@pytest.mark.parametrize(
    "unit",
    [
        *(
            b'"\\"',
            b"(\\(",
            b"<",
            b"a@b,",
            b'"',
            b"(",
            b" ( )",
            b" ",
            b"a ",
            b".",
            b"\0",
            b"'",
            b"a@",
            b'"@"',
            b'\\"@',
        ),
        *(b"a@b.c <", b"a@b.c: ", b"'a@b.c' ", b"=?a?q?", b"=?a?q?b?= ", b"mailto:", b"a@'", b"a''@b''>", b"<a@b"),
    ],
)
def test_a_hostile_list_costs_what_its_length_costs(unit: bytes) -> None:
    started = time.process_time()
    listed_in(unit * 50_000 + b"<x@y")  # where the square of it would be half an hour
    assert time.process_time() - started < 5.0


# -- aliases and grants ----------------------------------------------------------------------------


def submitted(author: str, login: str = OFFICER, **identity: Any) -> list[bool]:
    """Return whether the rule finds the envelope sender, and the header's author, of a login's mail."""
    rule = SenderIdentity(grants={OFFICER: ("chung@hanam.gov.vn",)})
    mail = Mail(
        Identity(Organization(frozenset({"hanam.gov.vn", "hn.gov.vn"})), **identity),
        Session("submission", "203.0.113.7"),
        Envelope(author.encode(), author, login=login),
        [(b"From", author.encode())],
    )
    return [bool(list(rule.at_mail(mail))), bool(list(rule.at_end(mail)))]


@pytest.mark.parametrize(
    ("author", "login", "found"),
    [
        ("vanthu@hanam.gov.vn", OFFICER, False),  # he is behind the alias
        ("lanhdao@hanam.gov.vn", OFFICER, False),  # among others
        ("vanthu@hanam.gov.vn", OFFICE, True),
        ("vanthu+a@hanam.gov.vn", OFFICER, False),
        ("ptp.bl@hn.gov.vn", OFFICER, False),  # the whole domain stands for another
        ("stttt@hn.gov.vn", OFFICER, True),
        (OFFICER, "ptp.bl@hn.gov.vn", False),  # the login's own domain is the alias
        (OFFICER, "lanhdao@hanam.gov.vn", True),  # a login of several is none of them
        ("chung@hanam.gov.vn", OFFICER, False),
        ("chung@hanam.gov.vn", OFFICE, True),
    ],
)
def test_an_alias_with_the_login_behind_it_is_its_own(author: str, login: str, found: bool) -> None:
    aliases = {
        "vanthu@hanam.gov.vn": (OFFICER,),
        "lanhdao@hanam.gov.vn": (OFFICER, OFFICE),
        "@hn.gov.vn": ("@hanam.gov.vn",),
        OFFICE: ("luutru@hanam.gov.vn",),  # what sends its own mail on is itself still
    }
    assert submitted(author, login, aliases=aliases) == [found, found]
    assert submitted(OFFICE, OFFICE, aliases=aliases) == [False, False]


def test_a_grant_that_is_no_address_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mailgate.toml"
    file.write_text(
        f'[rules.sender-identity.grants]\n"{OFFICER}" = ["van thu"]\n[rules.sending-rate]\nexempt = ["cong"]'
    )
    with pytest.raises(ConfigError) as error:
        load(file, {})
    grants, exempt = error.value.problems
    assert "rules.sender-identity: grants: 'van thu' is no address" in grants
    assert "rules.sending-rate: exempt: write addresses" in exempt


def test_grants_are_addresses() -> None:
    for keys in ({"grants": {"ptp.bl": (OFFICE,)}}, {"grants": {OFFICER: ("*",)}}):
        with pytest.raises(ValueError, match="is no address"):
            SenderIdentity(**keys)  # type: ignore[arg-type]


# -- what a login hands over, and the window that slides --------------------------------------------

TOML = """\
[store]
url = "{url}"
[clamav]
address = ""
[spam]
url = ""
[forwarding]
keep_days = 0
[rules.sending-rate]
burst_mails = 2
hour_mails = 6
networks = 2
unit_factor = 2.0
lock = {lock}
"""


@pytest.fixture(params=["scratch", "sqlite", "redis"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[str], Bench]]:
    """A maker of benches whose windows are in memory, or in a real store; its argument is the key `lock`."""

    def made(lock: str, url: str = "sqlite:mailgate.db") -> Bench:
        file = tmp_path / "mailgate.toml"
        file.write_text(TOML.format(url=url, lock=lock))
        return Bench(load(file, {}), record=request.param != "scratch")

    if request.param == "redis":
        with Redis() as redis:
            yield lambda lock: made(lock, redis.url)
    else:
        yield made


async def reply_at(
    bench: Bench, seconds: float, login: str = OFFICER, client: str = "203.0.113.7", message: bytes = b""
) -> str:
    """Return what a login reads when it submits a mail, a new one by default, so long after the day's beginning."""
    at = DAY + timedelta(seconds=seconds)
    case = Case(
        message or letter(author=login), client_ip=client, auth=login, mail_from=login, rcpts=(OUTSIDER,), at=at
    )
    answer = await judge_case(bench.gate_at(at), case)
    return answer.verdict.reply[:9] or answer.verdict.action.value


async def test_a_burst_is_deferred_until_the_window_has_slid(bench: Callable[[str], Bench]) -> None:
    script = [
        (0, "accept"),
        (10, "accept"),
        (20, "450 4.7.1"),
        (290, "450 4.7.1"),
        (300, "accept"),  # what was deferred does not count
        (310, "accept"),
        (600, "accept"),
        (610, "accept"),
        (1_000, "450 4.7.1"),  # the seventh within an hour
        (7_000, "accept"),
    ]
    async with bench("false") as running:
        assert [(at, await reply_at(running, at)) for at, _ in script] == script


async def test_a_mail_that_is_tried_again_locks_nobody(bench: Callable[[str], Bench]) -> None:
    async with bench("true") as running:
        message = letter(author=OFFICER)
        assert [await reply_at(running, 0) for _ in range(2)] == ["accept", "accept"]
        assert {await reply_at(running, second, message=message) for second in range(1, 299)} == {"450 4.7.1"}
        assert [await reply_at(running, second, message=message) for second in (300, 301)] == ["accept", "accept"]
        assert await reply_at(running, 302) == "accept", "it counted once"


async def test_what_lasts_locks_for_the_cases_that_follow(bench: Callable[[str], Bench]) -> None:
    async with bench("true") as running:
        networks = ["203.0.113.7", "203.0.113.200", "198.51.100.9", "2001:db8:1::7"]
        replies = [await reply_at(running, at * 400, client=client) for at, client in enumerate(networks)]
        assert replies == ["accept", "accept", "accept", "450 4.7.1"]
        assert await reply_at(running, 1_600) == "550 5.7.1"
        assert await reply_at(running, 1_500, OFFICE) == "accept"


async def test_a_mail_that_was_refused_before_its_end_does_not_count(bench: Callable[[str], Bench]) -> None:
    async with bench("false") as running:
        for second in range(5):
            case = Case(letter(), auth=OFFICER, mail_from=OFFICE, rcpts=(OUTSIDER,), at=DAY)
            answer = await judge_case(running.gate_at(DAY + timedelta(seconds=second)), case)
            assert (answer.verdict.action, answer.verdict.stage) == (Action.REJECT, "mail")
        assert await reply_at(running, 10) == "accept"


async def test_a_units_mailbox_may_more(tmp_path: Path) -> None:
    file = tmp_path / "mailgate.toml"
    file.write_text(TOML.format(url="sqlite:mailgate.db", lock="false"))
    store = SqliteStore(tmp_path / "mailgate.db")
    await store.register([Registration(OFFICE, MailboxKind.UNIT, "So TTTT", "So TTTT", "2023-07-01", "2023-07-01")])
    await store.close()
    async with Bench(load(file, {})) as running:
        assert [await reply_at(running, 0, OFFICE) for _ in range(5)] == ["accept"] * 4 + ["450 4.7.1"]
        assert [await reply_at(running, 0, OFFICER) for _ in range(3)] == ["accept"] * 2 + ["450 4.7.1"]


# -- the gate --------------------------------------------------------------------------------------


def gate_of(*rules: Any, **facts: Any) -> tuple[Gate, Notes]:
    notes = Notes()
    settings: Settings = settings_of(*rules)
    return make_gate(settings, notes, **facts), notes


@pytest.mark.parametrize(
    ("hook", "login", "asked"),
    [("submission", OFFICER, True), ("submission", "", False), ("mx", OFFICER, True), ("egress", OFFICER, False)],
)
def test_only_a_login_that_submits_is_waited_for(hook: str, login: str, asked: bool) -> None:
    gate, _ = gate_of(SendingRate())
    mail = Mail(
        gate.identity,
        Session(hook, "10.1.1.5"),
        Envelope(OFFICER.encode(), OFFICER, (), {OFFICE: (OFFICE.encode(),)}, login),
        mailboxes={},
    )
    assert (gate.judge_at_once(mail, None, ()) is None) is asked
    off, _ = gate_of(SendingRate(mode=Mode.OFF))
    assert off.judge_at_once(mail, None, ()) is not None


# -- the lock --------------------------------------------------------------------------------------


def verdict_of(mode: Mode = Mode.ENFORCE, exemption: str = "") -> Verdict:
    evidence = (Evidence("rate", "mails in an hour", "3, limit 2"), Evidence(LOCK, "7.2b", OFFICER))
    finding = Finding("sending-rate", "QD27/2023 4.6", mode, Action.TEMPFAIL, evidence=evidence, exemption=exemption)
    return Verdict(Action.TEMPFAIL, findings=(finding,))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "mailgate.db")
    yield opened
    await opened.close()


class Log:
    """An incident log in memory, which may be full."""

    def __init__(self, full: bool = False) -> None:
        self.records: list[dict[str, Any]] = []
        self._full = full

    async def note(self, record: dict[str, Any]) -> None:
        if self._full:
            raise OSError("no space left on device")
        self.records.append(record)


async def taken(store: SqliteStore, log: Log, verdict: Verdict, now: datetime = DAY, times: int = 1) -> None:
    """Give verdicts to a locker, as one worker would."""
    locker = Locker(store, log, "mail1", lambda: now)
    for _ in range(times):
        locker.take(verdict, "20261125-ABCDEFGH")
    await locker.flush()


async def test_it_locks_once_with_the_case_as_its_document(store: SqliteStore) -> None:
    log = Log()
    await taken(store, log, verdict_of(), times=3)
    await taken(store, log, verdict_of())  # another worker
    (state,) = await store.history(OFFICER)
    assert (state.status, state.clause, state.by) == (MailboxStatus.LOCKED, "7.2b", "mailgate")
    assert (state.document, state.reason) == ("20261125-ABCDEFGH", "sending-rate: mails in an hour 3, limit 2")
    (record,) = log.records
    assert (record["kind"], record["mailboxes"], record["of_case"]) == ("lock", [OFFICER], "20261125-ABCDEFGH")
    json.dumps(record)


@pytest.mark.parametrize("verdict", [verdict_of(Mode.MONITOR), verdict_of(exemption="15/QD-STTTT"), Verdict()])
async def test_what_decides_nothing_locks_nobody(store: SqliteStore, verdict: Verdict) -> None:
    await taken(store, Log(), verdict)
    assert await store.history(OFFICER) == []


async def test_without_a_record_nobody_is_locked(store: SqliteStore) -> None:
    await taken(store, Log(full=True), verdict_of())
    assert await store.history(OFFICER) == []


async def test_who_restored_a_mailbox_is_not_overruled_within_a_day(store: SqliteStore) -> None:
    await change(store, OFFICER, "lock", DAY, "7.2b")
    await change(store, OFFICER, "restore", DAY)
    for hours, changes in ((1, 2), (23, 2), (25, 3)):
        await taken(store, Log(), verdict_of(), DAY + timedelta(hours=hours))
        assert len(await store.history(OFFICER)) == changes, f"after {hours} hours"


async def test_a_revoked_mailbox_stays_revoked(store: SqliteStore) -> None:
    await change(store, OFFICER, "revoke", DAY, "6.2a")
    await taken(store, Log(), verdict_of())
    assert (await store.states())[OFFICER].status is MailboxStatus.REVOKED
