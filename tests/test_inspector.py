"""What an inspection makes of workers' answers, or of none; what is remembered of it; what it reads by itself."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.lab.inspecting import InProcess
from tests.lab.mails import base64_part, joined

from mailgate.documents.budget import Limits
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.inspection.inspector import Inspector
from mailgate.inspection.job import AnyJob, Job
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Content, Ending, Outcome
from mailgate.mime.walker import Leaf, Walker
from mailgate.model import File, Inspection, Mail, Obstacle, Session, Text
from mailgate.spool import Spool

DONE, CPU, WALL, DIED = Ending.DONE, Ending.CPU, Ending.WALL, Ending.DIED


class Scripted:
    """Workers that end each job as the script says: how, and how many of its pieces were seen to their end."""

    def __init__(self, *script: tuple[Ending, int]) -> None:
        self.script = list(script)
        self.jobs: list[tuple[str, ...]] = []
        self.cpu_s: list[float] = []

    async def run(self, job: Job, content: Content) -> Outcome[Any]:
        self.jobs.append(tuple(piece.place for piece in job.pieces))
        self.cpu_s.append(job.cpu_s)
        ending, count = self.script.pop(0)
        seen: list[Sequence[Any]] = [(File(piece.place, piece.place),) for piece in job.pieces[:count]]
        return Outcome(ending, ending.value, seen, [], 0.3)

    def lacks(self) -> list[str]:
        return []

    async def close(self) -> None:
        """There is nothing to close."""


async def inspected(workers: Scripted, inspector: Inspector) -> tuple[list[str], list[tuple[str, Obstacle]]]:
    """Return the files that were seen, and those that were not, of a mail of three."""
    raw = Spool()
    leaves = []
    for name in ("a", "b", "c"):
        leaves.append(Leaf((raw.size, raw.size + 1), "", "application/pdf", name, "", True))
        raw.write(name.encode())
    mail = Mail(Identity(Organization(frozenset({"hanam.gov.vn"}))), Session())
    found = await inspector.inspect(mail, raw, leaves)
    return [file.place for file in found.files], [(one.place, one.obstacle) for one in found.uninspected]


LOST = [("b", Obstacle.KILLED), ("c", Obstacle.LIMIT)]


@pytest.mark.parametrize(
    ("script", "seen", "lost", "jobs", "again"),
    [
        ([(DONE, 3)], "abc", [], ["abc"], "bc"),
        ([(DIED, 1), (DONE, 2)], "abc", [], ["abc", "bc"], "c"),
        ([(WALL, 0), (DONE, 3)], "abc", [], ["abc", "abc"], "bc"),
        ([(DIED, 1), (DIED, 0)], "a", LOST, ["abc", "bc"], "bc"),
        ([(WALL, 1), (WALL, 0)], "a", LOST, ["abc", "bc"], "bc"),
        ([(DIED, 1), (DIED, 1)], "ab", [("c", Obstacle.KILLED)], ["abc", "bc"], "c"),
        ([(CPU, 1)], "a", LOST, ["abc"], "bc"),
        ([(CPU, 0)], "", [("a", Obstacle.KILLED), ("b", Obstacle.LIMIT), ("c", Obstacle.LIMIT)], ["abc"], "bc"),
    ],
)
async def test_who_is_to_blame(
    script: list[tuple[Ending, int]], seen: str, lost: list[tuple[str, Obstacle]], jobs: list[str], again: str
) -> None:
    """again: what is looked into when the same mail comes again; what the others are is known.

    Each of these was the first file that a worker read, so that no other had any say in it.
    """
    workers = Scripted(*script)
    inspector = Inspector(workers, InspectionLimits())
    assert await inspected(workers, inspector) == (list(seen), lost)
    assert ["".join(places) for places in workers.jobs] == jobs
    workers.jobs.clear()
    workers.script.append((DONE, len(again)))
    await inspected(workers, inspector)
    assert ["".join(places) for places in workers.jobs] == ([again] if again else [])


async def test_a_second_try_has_the_processor_time_that_is_left() -> None:
    workers = Scripted((DIED, 0), (DONE, 3))
    await inspected(workers, Inspector(workers, InspectionLimits(cpu_s=0.1, files_cpu_s=1.0)))
    assert workers.cpu_s == [1.0, pytest.approx(0.7)]


async def test_texts_alone_have_less_processor_time_than_files() -> None:
    workers = Scripted((DONE, 1))
    mail, raw, leaves = mail_of(b"Content-Type: text/html\r\n\r\n<p>a")
    await Inspector(workers, InspectionLimits(cpu_s=1.0, files_cpu_s=9.0)).inspect(mail, raw, leaves)
    assert workers.cpu_s == [1.0]


def mail_of(*parts: bytes, subjects: Sequence[bytes] = ()) -> tuple[Mail, Spool, list[Leaf]]:
    """Return a multipart mail, its body, and its leaves."""
    headers = [(b"Subject", subject) for subject in subjects]
    mail = Mail(Identity(Organization(frozenset({"hanam.gov.vn"}))), Session())
    walker = Walker()
    mail.content = walker.content
    mail.take_headers([*headers, (b"Content-Type", b"multipart/mixed; boundary=b")])
    body = joined(*parts, boundary="b")
    raw = Spool()
    raw.write(body)
    walker.begin([(b"content-type", b"multipart/mixed; boundary=b")])
    walker.feed(body, 0, len(body))
    walker.finish()
    return mail, raw, walker.leaves


def blocked(inspection: Inspection | None) -> list[tuple[str, Obstacle]]:
    assert inspection is not None
    return [(each.place, each.obstacle) for each in inspection.uninspected]


def named(name: str, octets: bytes = b"x") -> bytes:
    return base64_part(octets, f'name="{name}"')


async def test_a_text_that_was_cut_beside_another_is_read_whole_alone() -> None:
    inspector = Inspector(InProcess(Limits(letters=10)), InspectionLimits())
    long, short = named("a.txt", b"x" * 11), named("b.txt", "TỐI MẬT".encode())
    assert Obstacle.TRUNCATED in [obstacle for _, obstacle in blocked(await inspector.inspect(*mail_of(long, short)))]
    first, raw, leaves = mail_of(b"Content-Type: text/plain\r\n\r\na", short)
    alone = await inspector.inspect(first, raw, leaves)
    assert blocked(alone) == []
    assert [mark.level for text in alone.texts for mark in text.marks] == ["B"]


async def test_of_mails_at_once_whose_file_is_not_kept_none_waits_for_all_the_others() -> None:
    waves: list[int] = []
    open_jobs = 0

    class Counting(InProcess):
        async def run(self, job: AnyJob, content: Content) -> Outcome[Any]:
            nonlocal open_jobs
            open_jobs += 1
            waves.append(open_jobs)
            await asyncio.sleep(0)
            open_jobs -= 1
            return await super().run(job, content)

    inspector = Inspector(Counting(Limits(letters=1)), InspectionLimits())
    mails = [mail_of(named(f"{number}.txt"), named("a.txt", b"xx")) for number in range(5)]
    found = await asyncio.gather(*(inspector.inspect(*mail) for mail in mails))
    assert [blocked(each) for each in found] == [[("a.txt", Obstacle.TRUNCATED)]] * 5
    assert waves == [1, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("subjects", "wants"),
    [
        ([b"a"], 1),
        ([b"a", b"b"], 2),
        ([b"x" * 4_096], 1),
        ([b"x" * 4_097], None),
        ([b"x" * 4_000] * 300, None),
        ([b""] * 100_000, None),
    ],
)
def test_of_subjects_together_so_much_is_read(subjects: list[bytes], wants: int | None) -> None:
    mail, raw, leaves = mail_of(b"Content-Type: text/plain\r\n\r\na", subjects=subjects)
    inspected = Inspector(InProcess(), InspectionLimits()).at_once(mail, raw, leaves)
    assert inspected is not None
    read = [text for text in inspected.texts if text.place == "subject"]
    assert len(read) <= 150
    assert sum(len(text.canon) for text in read) <= 4_096
    assert {obstacle for _, obstacle in blocked(inspected)} == (set() if wants else {Obstacle.LIMIT})
    assert wants in (None, len(read))


_UU = b"begin 644 a.txt\n#0V%T\n`\nend\n"


@pytest.mark.parametrize(
    ("part", "wants"),
    [
        (b"Content-Type: text/plain\r\n\r\nlet us begin 644 times", []),
        (b"Content-Type: text/plain\r\n\r\n" + _UU, ["file"]),
        (b"Content-Type: text/plain\r\n\r\n" + _UU.replace(b" ", b" \t"), ["file"]),
        (b"Content-Type: message/rfc822\r\n\r\nSubject: a\r\n\r\nx\r\n" + _UU, ["file"]),
        (b"Content-Type: text/plain\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n", [Obstacle.ENCRYPTED]),
        (b"Content-Type: text/plain\r\n\r\n=ybegin line=128 size=3 name=a.txt\r\nabc\r\n", [Obstacle.UNSUPPORTED]),
    ],
)
async def test_a_short_text_is_more_than_text(part: bytes, wants: list[str]) -> None:
    inspector = Inspector(InProcess(), InspectionLimits())
    mail, raw, leaves = mail_of(part)
    at_once = inspector.at_once(mail, raw, leaves)
    assert (at_once is None) == bool(wants)
    found = await inspector.inspect(mail, raw, leaves)
    assert ["file" for _ in found.files] + [obstacle for _, obstacle in blocked(found)] == wants
    assert at_once in (None, found)


async def test_a_body_is_a_body_though_a_file_had_the_same_octets() -> None:
    inspector = Inspector(InProcess(), InspectionLimits())
    html = b"\r\n\r\n<p>a"
    file = await inspector.inspect(*mail_of(b"Content-Type: text/html\r\nContent-Disposition: attachment" + html))
    assert len(file.files) == 1
    mail, raw, leaves = mail_of(b"Content-Type: text/html" + html)
    body = inspector.at_once(mail, raw, leaves) or await inspector.inspect(mail, raw, leaves)
    assert body.files == ()
    assert [text.kind for text in body.texts if isinstance(text, Text)] == ["body"]


_ZIP = b"UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.mark.parametrize(
    ("part", "wants"),
    [
        (b"Content-Transfer-Encoding: base64\r\n\r\n" + _ZIP, ""),
        (
            b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUE=" + _ZIP[2:],
            "base64 that programs read in two ways",
        ),
        (b"Content-Transfer-Encoding: x-base64\r\n\r\n" + _ZIP, "unknown-transfer-encoding"),
        (b"Content-Transfer-Encoding: base64\r\n" * 2 + b"\r\n" + _ZIP, "duplicate-transfer-encoding"),
        (b"Content-Disposition: attachment; filename=a; filename=b\r\n\r\nx", "duplicate-parameter"),
        (b"Content-Type: multipart/mixed\r\n\r\nx", "no-boundary"),
    ],
)
async def test_what_programs_read_in_other_ways_too_is_said(part: bytes, wants: str) -> None:
    mail, raw, leaves = mail_of(part)
    found = await Inspector(InProcess(), InspectionLimits()).inspect(mail, raw, leaves)
    assert wants in [each.detail for each in found.uninspected] or not wants
    assert bool(found.uninspected) == bool(wants)


async def test_a_multipart_without_a_part_is_said() -> None:
    mail, *_ = mail_of()
    raw = Spool()
    raw.write(b"x")
    walker = Walker()
    walker.begin([(b"content-type", b"multipart/mixed; boundary=b")])
    walker.feed(b"x", 0, 1)
    mail.content = walker.finish()
    found = await Inspector(InProcess(), InspectionLimits()).inspect(mail, raw, walker.leaves)
    assert blocked(found) == [("structure", Obstacle.DAMAGED)]
