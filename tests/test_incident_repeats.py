"""A flood of the same refusals becomes few records, none is lost from the count, and each reply leads to a record."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.lab.gates import make_gate, settings_of
from tests.lab.waiting import until

from mailgate.incidents import repeats as incident_repeats
from mailgate.incidents.log import IncidentLog
from mailgate.incidents.recorder import Recorder
from mailgate.incidents.repeats import MOST_SOURCES, WHOLE, WINDOW_S, Repeats
from mailgate.incidents.search import Query, search
from mailgate.model import LOCK, Action, Envelope, Evidence, Finding, Mail, Mode, Session, Verdict

NOW = datetime(2026, 11, 30, 10, 0, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
SETTINGS = settings_of()
A, B = "ptp.bl@hanam.gov.vn", "stttt@hanam.gov.vn"
REPLY = "550 5.7.1 Refused"


class Disk:
    """A notebook in memory, which is full while `full`."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.full = False

    async def note(self, record: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if self.full:
            raise OSError("disk is full")
        self.records.append(record)


class Site:
    """A gate whose repeats have a clock that the test sets."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.clock = 1_000.0
        self.repeats = Repeats(self.disk, "node", lambda: NOW, lambda: self.clock)
        gate = make_gate(SETTINGS)
        services = replace(gate.services, notebook=self.disk, repeats=self.repeats, now=lambda: NOW)
        self.gate = gate.with_services(services)

    async def judge(self, verdict: Verdict, **of: Any) -> str:
        """Record a verdict, and return the case number in its reply, "" where it has none."""
        return (await self.gate.early(mail_of(**of), verdict)).reply.rpartition("(case ")[2].rstrip(")")

    def by_kind(self) -> Counter[str]:
        """Count mails by the kind of their record."""
        counted: Counter[str] = Counter()
        for record in self.disk.records:
            counted[record["kind"]] += record.get("count", 1)
        return counted


def mail_of(client: str = "203.0.113.7", login: str = "", hook: str = "mx", sender: str = "lan@example.com") -> Mail:
    envelope = Envelope(b"<>", sender, recipients={A: (A.encode(),)}, login=login)
    return Mail(SETTINGS.identity(), Session(hook, client), envelope)


def refusal(
    rule: str = "virus",
    action: Action = Action.REJECT,
    evidence: Sequence[Evidence] = (),
    mailboxes: tuple[str, ...] = (),
    **others: Any,
) -> Verdict:
    reply = REPLY if action in (Action.REJECT, Action.TEMPFAIL) else ""
    found = Finding(rule, "4.2", Mode.ENFORCE, action, reply, evidence=tuple(evidence), mailboxes=mailboxes)
    return Verdict(action, reply, findings=(found,), **others)


VIRUS = refusal()


@pytest.fixture
def site() -> Site:
    return Site()


async def test_the_eleventh_opens_a_record_that_counts_those_after_it(site: Site) -> None:
    cases = [await site.judge(VIRUS, client=f"203.0.113.{number}") for number in range(1, 101)]
    assert len(set(cases)) == WHOLE + 1
    assert len(site.disk.records) == WHOLE + 1, "the count is not over yet"
    assert {record["case"] for record in site.disk.records} == set(cases), "each reply leads to a record"
    await site.repeats.flush()
    *_, opened, counted = site.disk.records
    assert (opened["kind"], opened["case"], "count" in opened) == ("refusal", cases[-1], False)
    assert (counted["kind"], counted["of_case"], counted["count"]) == ("repeats", cases[-1], 100 - WHOLE - 1)
    assert (counted["network"], counted["action"]) == ("203.0.113.0/24", "reject")
    assert [finding["rule"] for finding in counted["findings"]] == ["virus"]
    assert sum(site.by_kind().values()) == 100


@pytest.mark.parametrize("ends", ["by another mail", "by itself"])
async def test_a_window_ends(site: Site, ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if ends == "by itself":
        monkeypatch.setattr(incident_repeats, "WINDOW_S", 0.01)
    first = [await site.judge(VIRUS) for _ in range(20)]
    site.clock += WINDOW_S + 1
    if ends == "by another mail":
        await site.judge(refusal("spam"))
    await until(lambda: site.by_kind()["repeats"] > 0, 5, "the count to be written")
    assert site.by_kind()["repeats"] == 20 - WHOLE - 1
    assert set(first).isdisjoint([await site.judge(VIRUS) for _ in range(WHOLE)]), "whole records again"


UNLIKE: dict[str, tuple[list[tuple[Verdict, dict[str, Any]]], int]] = {
    "another network": ([(VIRUS, {}), (VIRUS, {"client": "198.51.100.7"})], 2),
    "the same network": ([(VIRUS, {}), (VIRUS, {"client": "203.0.113.250"})], 1),
    "another sender": ([(VIRUS, {}), (VIRUS, {"sender": "nam@example.com"})], 1),
    "another rule": ([(VIRUS, {}), (refusal("spam"), {})], 2),
    "another action": ([(VIRUS, {}), (refusal(action=Action.TEMPFAIL), {})], 2),
    "another stage": ([(VIRUS, {}), (refusal(stage="rcpt"), {})], 2),
    "another hook": ([(VIRUS, {}), (VIRUS, {"hook": "submission"})], 2),
    "an outsider's other mailbox": ([(refusal(mailboxes=(A,)), {}), (refusal(mailboxes=(B,)), {})], 1),
    "our own other mailbox": (
        [(refusal(mailboxes=(box,)), {"client": "127.0.0.1"}) for box in (A, B)],
        2,
    ),
    "another login": ([(VIRUS, {"login": login}) for login in (A, B)], 2),
    "held": ([(refusal(action=Action.QUARANTINE), {})], 0),
    "discarded": ([(refusal(action=Action.DISCARD), {})], 0),
    "goes on": ([(refusal(action=Action.ACCEPT), {})], 0),
    "goes on to some": ([(replace(refusal(action=Action.ACCEPT), recipient_replies={A: REPLY}), {})], 0),
    "to be locked": ([(refusal(evidence=[Evidence(LOCK, "7.2b", A)]), {})], 0),
}


@pytest.mark.parametrize(("kinds", "counts"), UNLIKE.values(), ids=UNLIKE)
async def test_what_is_counted_together(site: Site, kinds: list[tuple[Verdict, dict[str, Any]]], counts: int) -> None:
    for _ in range(20):
        for verdict, of in kinds:
            await site.judge(verdict, **of)
    await site.repeats.flush()
    counted = [record for record in site.disk.records if record["kind"] == "repeats"]
    assert len(counted) == counts
    assert sum(site.by_kind().values()) == 20 * len(kinds)
    assert len(site.disk.records) == (20 * len(kinds) if not counts else counts * (WHOLE + 2))


async def test_mailboxes_that_are_only_counted_are_found(site: Site, tmp_path: Path) -> None:
    for number in range(300):
        await site.judge(refusal(mailboxes=(f"a{number % 150}@hanam.gov.vn", B)))
    await site.repeats.flush()
    counted = site.disk.records[-1]
    assert counted["mailboxes"][B] == counted["count"] == 289
    assert len(counted["mailboxes"]) == 100
    assert sum(counted["mailboxes"].values()) + counted["more"]["mailboxes"] == 2 * 289
    log = IncidentLog(tmp_path)
    log.append(site.disk.records, NOW)
    found = list(search(log, Query(mailbox="a20@hanam.gov.vn")))
    assert [one["case"] for one in found] == [counted["case"]]
    assert [found["kind"] for found in search(log, Query(case=counted["of_case"]))] == ["refusal", "repeats"]


async def test_no_mail_is_answered_before_the_record_that_counts_it_is_on_disk(site: Site) -> None:
    for _ in range(WHOLE):
        await site.judge(VIRUS)
    site.disk.full = True
    answers = await asyncio.gather(*(site.gate.early(mail_of(), VIRUS) for _ in range(5)))
    assert {answer.action for answer in answers} == {Action.TEMPFAIL}, "no verdict without its record"
    site.disk.full = False
    case = await site.judge(VIRUS)
    assert site.disk.records[-1]["case"] == case
    await site.repeats.flush()
    assert site.by_kind() == {"refusal": WHOLE + 1}, "those that were deferred are not counted"


async def test_who_hangs_up_leaves_the_others_their_record(site: Site) -> None:
    for _ in range(WHOLE):
        await site.judge(VIRUS)
    first = asyncio.create_task(site.judge(VIRUS))
    second = asyncio.create_task(site.judge(VIRUS))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == site.disk.records[-1]["case"]


async def test_a_count_is_written_again_while_the_disk_is_full(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incident_repeats, "_RETRY_S", 0.01)
    for _ in range(20):
        await site.judge(VIRUS)
    site.disk.full = True
    site.clock += WINDOW_S + 1
    assert site.repeats.take(mail_of("198.51.100.7"), VIRUS) is None
    await asyncio.sleep(0.03)
    site.disk.full = False
    await site.repeats.flush()
    assert site.by_kind()["repeats"] == 20 - WHOLE - 1


async def test_more_sources_than_are_watched_have_their_own_records(site: Site) -> None:
    for number in range(MOST_SOURCES):
        assert site.repeats.take(mail_of(f"10.{number // 256}.{number % 256}.1"), refusal("spam")) is None
    for _ in range(2 * WHOLE):
        assert site.repeats.take(mail_of("203.0.113.7"), VIRUS) is None
    site.clock += WINDOW_S + 1
    taken = [site.repeats.take(mail_of("203.0.113.7"), VIRUS) for _ in range(2 * WHOLE)]
    assert [one is None for one in taken] == [True] * WHOLE + [False] * WHOLE


async def test_a_flood_is_small_on_disk(site: Site, tmp_path: Path) -> None:
    """100,000 refusals of one network within 100 s, by a real log, add less than 20 MB, and each counts."""
    log = IncidentLog(tmp_path)
    recorder = Recorder(log, lambda: NOW)
    repeats = Repeats(recorder, "node", lambda: NOW, lambda: site.clock)
    site.gate.services = replace(site.gate.services, notebook=recorder, repeats=repeats)
    for number in range(100_000):
        site.clock += 0.001
        await site.judge(VIRUS, client=f"203.0.113.{number % 256}", sender=f"a{number}@example.com")
    await repeats.flush()
    await recorder.flush()
    assert sum(record.get("count", 1) for record in log.records()) == 100_000
    assert sum(path.stat().st_size for path in log.files()) < 20_000_000
    assert log.verify().flaw is None
