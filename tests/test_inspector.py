"""What an inspection makes of workers that do not answer: who is to blame, and what is remembered of it."""

from collections.abc import Sequence
from typing import Any

import pytest

from mailgate.inspection.inspector import Inspector
from mailgate.inspection.job import Job
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Content, Ending, Outcome
from mailgate.mime.walker import Leaf
from mailgate.model import File, Mail, Obstacle, Organization, Session
from mailgate.spool import Spool

DONE, CPU, WALL, DIED = Ending.DONE, Ending.CPU, Ending.WALL, Ending.DIED


class Scripted:
    """Workers that end each job as the script says: how, and how many of its pieces were seen to their end."""

    def __init__(self, *script: tuple[Ending, int]) -> None:
        self.script = list(script)
        self.jobs: list[tuple[str, ...]] = []
        self.cpu_s: list[float] = []

    async def run(self, job: Job, content: Content) -> Outcome:
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
    mail = Mail(Organization(frozenset({"hanam.gov.vn"})), Session())
    found = await inspector.inspect(mail, raw, leaves)
    return [file.place for file in found.files], [(one.place, one.obstacle) for one in found.uninspected]


LOST = [("b", Obstacle.KILLED), ("c", Obstacle.LIMIT)]


@pytest.mark.parametrize(
    ("script", "seen", "lost", "jobs", "again"),
    [
        ([(DONE, 3)], "abc", [], ["abc"], ""),
        ([(DIED, 1), (DONE, 2)], "abc", [], ["abc", "bc"], ""),
        ([(WALL, 0), (DONE, 3)], "abc", [], ["abc", "abc"], ""),
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
    """again: what is looked into when the same mail comes again; of the others it is known what they are."""
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
    await inspected(workers, Inspector(workers, InspectionLimits(cpu_s=1.0)))
    assert workers.cpu_s == [1.0, pytest.approx(0.7)]
