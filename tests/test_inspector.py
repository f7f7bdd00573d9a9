"""What the inspector makes of workers' answers: what it asks again, what it keeps, and what it reads by itself."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from tests.lab.gates import ORGANIZATION
from tests.lab.inspecting import InProcess
from tests.lab.mails import base64_part, joined

from mailgate.config import Settings
from mailgate.documents.budget import Limits
from mailgate.inspection.inspector import Inspector
from mailgate.inspection.job import Job
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Content, Ending, Outcome
from mailgate.mime.walker import Leaf, Walker
from mailgate.model import Inspection, Mail, Obstacle, Session, Text
from mailgate.spool import Spool


class Dying(InProcess):
    """Workers that a file kills: those for which `kills` says so, by the names in the job."""

    def __init__(self, kills: Callable[[Sequence[str]], Ending | None]) -> None:
        super().__init__()
        self._kills = kills

    async def run(self, job: Job, content: Content) -> Outcome:
        assert self.jobs < 20, "it is asked again and again"
        ending = self._kills([piece.leaf.name for piece in job.pieces])
        if ending is None:
            return await super().run(job, content)
        self.jobs += 1
        return Outcome(ending, ending.value)


def mail_of(*parts: bytes, subjects: Sequence[bytes] = ()) -> tuple[Mail, Spool, list[Leaf]]:
    """Return a multipart mail, its body, and its leaves."""
    headers = [(b"Subject", subject) for subject in subjects]
    mail = Mail(Settings(organization=ORGANIZATION).resolved_organization(), Session())
    mail.take_headers([*headers, (b"Content-Type", b"multipart/mixed; boundary=b")])
    body = joined(*parts, boundary="b")
    raw = Spool()
    raw.write(body)
    walker = Walker()
    walker.begin([(b"content-type", b"multipart/mixed; boundary=b")])
    walker.feed(body, 0, len(body))
    mail.content = walker.finish()
    return mail, raw, walker.leaves


def blocked(inspection: Inspection | None) -> list[tuple[str, Obstacle]]:
    assert inspection is not None
    return [(each.place, each.obstacle) for each in inspection.uninspected]


def named(name: str, octets: bytes = b"x") -> bytes:
    return base64_part(octets, f'name="{name}"')


@pytest.mark.parametrize("ending", [Ending.DIED, Ending.WALL, Ending.CPU])
async def test_files_that_each_kill_a_worker_are_said_and_come_to_an_end(ending: Ending) -> None:
    workers = Dying(lambda names: ending)
    inspected = await Inspector(workers, InspectionLimits()).inspect(*mail_of(named("a.doc"), named("b.doc")))
    assert [place for place, _ in blocked(inspected)] == ["a.doc", "b.doc"]
    assert {obstacle for _, obstacle in blocked(inspected)} <= {Obstacle.KILLED, Obstacle.LIMIT}


async def test_what_befell_a_file_beside_others_is_not_held_against_it_alone() -> None:
    workers = Dying(lambda names: Ending.CPU if "slow.doc" in names else None)
    inspector = Inspector(workers, InspectionLimits())
    together = await inspector.inspect(*mail_of(named("slow.doc"), named("b.txt")))
    assert [place for place, _ in blocked(together)] == ["slow.doc", "b.txt"]
    assert blocked(await inspector.inspect(*mail_of(named("b.txt")))) == []


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
        async def run(self, job: Job, content: Content) -> Outcome:
            nonlocal open_jobs
            open_jobs += 1
            waves.append(open_jobs)
            await asyncio.sleep(0)
            open_jobs -= 1
            return await super().run(job, content)

    inspector = Inspector(Counting(Limits(letters=1)), InspectionLimits())
    mails = [mail_of(named("a.txt", b"xx")) for _ in range(5)]
    found = await asyncio.gather(*(inspector.inspect(*mail) for mail in mails))
    assert [blocked(each) for each in found] == [[("a.txt", Obstacle.TRUNCATED)]] * 5
    assert waves == [1, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("subjects", "wants"),
    [
        ([b"a"], 1),
        ([b"a", b"b"], 2),
        ([b"x" * 8_192], 1),
        ([b"x" * 8_193], None),
        ([b"x" * 8_000] * 300, None),
        ([b""] * 100_000, None),
    ],
)
def test_of_subjects_together_so_much_is_read(subjects: list[bytes], wants: int | None) -> None:
    mail, raw, leaves = mail_of(b"Content-Type: text/plain\r\n\r\na", subjects=subjects)
    inspected = Inspector(InProcess(), InspectionLimits()).at_once(mail, raw, leaves)
    assert inspected is not None
    read = [text for text in inspected.texts if text.place == "subject"]
    assert len(read) <= 150
    assert sum(len(text.canon) for text in read) <= 8_192
    assert blocked(inspected) == ([] if wants else [("subject", Obstacle.LIMIT)])
    assert wants in (None, len(read))


_UU = b"begin 644 a.txt\n#0V%T\n`\nend\n"


@pytest.mark.parametrize(
    ("part", "wants"),
    [
        (b"Content-Type: text/plain\r\n\r\nlet us begin 644 times", []),
        (b"Content-Type: text/plain\r\n\r\n" + _UU, ["file"]),
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
