"""Inspection workers: what they may not do, how they end, and that nobody else notices."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.hostile import samples
from tests.lab.inspecting import InProcess
from tests.lab.processes import children, parent
from tests.lab.waiting import until

from mailgate.inspection.job import (
    LENGTH,
    AnyJob,
    Item,
    Job,
    Kind,
    Piece,
    PieceEnd,
    Proven,
    SignatureJob,
    WorkerError,
    job_frame,
    read_answer,
    read_job,
)
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.pool import Content, Ending, Outcome, Pool
from mailgate.mime.walker import Leaf
from mailgate.model import Text, TextKind

HTML = "<p>Kính gửi</p><p>TỐI MẬT</p>".encode()
VERIFY = SignatureJob(Kind.ARC, {"s1._domainkey.hanam.gov.vn": [b"v=DKIM1; p=\xff", b""]}, 1.0)
SLOW = b"<div>" * 200_000  # lexbor's time grows with the depth: some ten seconds

# What a worker tries, and must not be able to do; each line is printed with what became of it.
_TRIES = """
import fcntl, mmap, os, signal, socket, sys, threading
from mailgate.inspection.limits import Bounds
from mailgate.inspection.sandbox import restrict
mail = os.open(sys.argv[1] + "/old", os.O_RDWR)
os.write(mail, bytes(4_096))
print("filter", repr(restrict(Bounds(268_435_456))), sep=": ")
tries = {
    "socket": lambda: socket.socket(),
    "create": lambda: open(sys.argv[1] + "/new", "w"),
    "append": lambda: open(sys.argv[1] + "/old", "a"),
    "remove": lambda: os.unlink(sys.argv[1] + "/old"),
    "rename": lambda: os.rename(sys.argv[1] + "/old", sys.argv[1] + "/new"),
    "mkdir": lambda: os.mkdir(sys.argv[1] + "/dir"),
    "chmod": lambda: os.chmod(sys.argv[1] + "/old", 0o777),
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(os.getppid(), 0),
    "kill by thread": lambda: signal.pthread_kill(threading.get_ident(), 0),
    "handle": lambda: os.pidfd_open(os.getppid()),
    "slow": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
    "touch": lambda: os.utime(sys.argv[1] + "/old"),
    "map": lambda: mmap.mmap(mail, 4_096, mmap.MAP_SHARED),
    "allocate": lambda: os.posix_fallocate(mail, 0, 4_096),
    "memory": lambda: bytearray(300_000_000),
    "read": lambda: open(sys.argv[1] + "/old").read(),
    "list": lambda: os.listdir(sys.argv[1]),
    "command": lambda: fcntl.fcntl(mail, fcntl.F_SETOWN, os.getppid()),
    "duplicate": lambda: os.dup(mail),
}
for name, attempt in tries.items():
    try:
        attempt()
        print(name, "done", sep=": ")
    except (OSError, MemoryError) as error:
        print(name, type(error).__name__, sep=": ")
"""


def test_a_worker_can_read_and_compute_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    command = [sys.executable, "-c", _TRIES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    denied = dict.fromkeys(
        (
            *("socket", "create", "append", "remove", "rename", "mkdir", "chmod", "fork", "exec", "kill"),
            *("kill by thread", "handle", "slow", "touch", "map", "allocate", "read", "list", "command", "duplicate"),
        ),
        "PermissionError",
    )
    assert said == {"filter": "''", **denied, "memory": "MemoryError"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@contextlib.asynccontextmanager
async def running(limits: InspectionLimits) -> AsyncIterator[Pool]:
    pool = Pool(limits)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


def job(*contents: bytes, cpu_s: float = 2.0, type: str = "text/html") -> tuple[Job, Content]:
    pieces, start = [], 0
    for number, content in enumerate(contents, 1):
        leaf = Leaf((start, start + len(content)), "", type, "", "utf-8")
        pieces.append(Piece(leaf, f"part {number}"))
        start += len(content)
    return Job(pieces, cpu_s), Content(b"".join(contents))


async def test_a_worker_answers_by_octets_and_by_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "mail"
    path.write_bytes(HTML + HTML)
    async with running(InspectionLimits()) as pool:
        asked, content = job(HTML, HTML)
        by_octets = await pool.run(asked, content)
        descriptor = os.open(path, os.O_RDONLY)
        by_descriptor = await pool.run(asked, Content(descriptor=descriptor))
        os.close(descriptor)
    assert by_octets.ending is Ending.DONE
    assert by_octets.ended == by_descriptor.ended
    texts = [item for items in by_octets.ended for item in items if isinstance(item, Text)]
    assert [(text.place, text.kind, text.canon) for text in texts] == [
        ("part 1", TextKind.BODY, "kính gửi\ntối mật"),
        ("part 2", TextKind.BODY, "kính gửi\ntối mật"),
    ]
    assert [len(text.marks) for text in texts] == [1, 1]


async def test_a_worker_has_its_line_and_no_other_descriptor() -> None:
    async with running(InspectionLimits()) as pool:
        await pool.run(*job(HTML))
        await until(pool.processes, 5, "the next worker to be born")
        (worker,) = pool.processes()
        folder = f"/proc/{worker}/fd"
        has = [os.readlink(f"{folder}/{name}").partition(":")[0] for name in sorted(os.listdir(folder), key=int)]
        assert has == ["/dev/null", "/dev/null", "/dev/null", "socket"]


async def test_processor_time_is_of_all_pieces_and_what_was_found_before_stays() -> None:
    async with running(InspectionLimits()) as pool:
        outcome = await pool.run(*job(HTML, SLOW, HTML, cpu_s=0.5))
        assert (outcome.ending, len(outcome.ended)) == (Ending.CPU, 1)
        again = await pool.run(*job(HTML))
        assert again.ending is Ending.DONE


async def test_a_worker_that_stands_still_is_ended_and_others_go_on() -> None:
    async with running(InspectionLimits(wall_s=1.0)) as pool:
        await pool.run(*job(HTML))
        await until(pool.processes, 5, "the next worker to be born")
        (worker,) = pool.processes()
        os.kill(worker, signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        started = loop.time()
        stuck = loop.create_task(pool.run(*job(HTML)))
        await asyncio.sleep(0)
        others = [(await pool.run(*job(HTML))).ending for _ in range(5)]
        elapsed = loop.time() - started
        assert others == [Ending.DONE] * 5
        assert elapsed < 1.0
        assert (await stuck).ending is Ending.WALL
        assert worker not in pool.processes()


async def test_at_most_so_many_work_and_the_others_wait_for_their_turn() -> None:
    async with running(InspectionLimits(workers=2)) as pool:
        most = 0

        async def run() -> Ending:
            nonlocal most
            ending = (await pool.run(*job(HTML))).ending
            most = max(most, len(pool.processes()))
            return ending

        assert await asyncio.gather(*(run() for _ in range(20))) == [Ending.DONE] * 20
        assert 1 <= most <= 2


async def test_the_death_of_all_workers_and_of_what_they_are_born_of_is_survived() -> None:
    async with running(InspectionLimits()) as pool:
        await pool.run(*job(HTML))
        await until(pool.processes, 5, "the next worker to be born")
        nursery = parent(*pool.processes())
        for process in (*children(nursery), nursery):
            os.kill(process, signal.SIGKILL)
        outcomes = [(await _patiently(pool)).ending for _ in range(3)]
        assert outcomes[-1] is Ending.DONE


async def test_who_waits_for_a_worker_is_told_when_none_comes_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(InspectionLimits(workers=1)) as pool:
        loop = asyncio.get_running_loop()
        slow = loop.create_task(pool.run(*job(SLOW, cpu_s=60.0)))
        await until(pool.processes, 5, "the worker to work")
        waiting = [loop.create_task(pool.run(*job(HTML))) for _ in range(3)]
        await asyncio.sleep(0)
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        nursery = parent(*pool.processes())
        os.kill(nursery, signal.SIGKILL)
        async with asyncio.timeout(5):
            told = await asyncio.gather(*waiting, return_exceptions=True)
            assert (await slow).ending is Ending.DIED
        assert [type(error) for error in told] == [FileNotFoundError] * 3


async def test_a_turn_that_comes_too_late_is_the_next_ones() -> None:
    async with running(InspectionLimits(workers=1)) as pool:
        loop = asyncio.get_running_loop()
        slow = loop.create_task(pool.run(*job(SLOW, cpu_s=0.3)))
        await until(pool.processes, 5, "the worker to work")
        hasty, patient = (loop.create_task(pool.run(*job(HTML))) for _ in range(2))
        slow.add_done_callback(lambda _: hasty.cancel())  # its turn has been given to it, and not yet been taken
        async with asyncio.timeout(5):
            assert (await patient).ending is Ending.DONE
        assert hasty.cancelled()


# A nursery whose children die as soon as they are born.
_BEARS_DEAD = """\
import os, socket, sys
line = socket.socket(fileno=int(sys.argv[4]))
line.send(b'["ready", []]')
while True:
    word, descriptors, _, _ = socket.recv_fds(line, 16, 1)
    if not word:
        break
    process = os.fork()
    if not process:
        os._exit(1)
    os.close(descriptors[0])
    socket.send_fds(line, [b'["born", %d]' % process], [os.pidfd_open(process)])
"""


async def test_a_worker_that_dies_at_its_birth_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{_BEARS_DEAD}")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    async with running(InspectionLimits()) as pool:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            with pytest.raises(OSError, match="died at its birth"):
                await pool.run(*job(HTML))
        assert len(os.listdir("/proc/self/fd")) == before


async def _patiently(pool: Pool) -> Outcome[Item]:
    """Run a job; where the workers have just gone, once more."""
    try:
        return await pool.run(*job(HTML))
    except OSError:
        return await pool.run(*job(HTML))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"[]",
        b'["what"]',
        b'["text"]',
        b'["text",1,2,3,4,5,6,7]',
        b'["end","x",1]',
        b'["file"]',
        b'["file","a","a","exe","",1,"",[["program","x\\r\\nX-Header: y"]]]',
        b'["text","a","body","b",[],"vni\\r\\nX-Header: y","",false]',
        b'["text","a","body","b",[],"\xe1\xba\xad","",false]',
        b"\xff",
        b"1",
    ],
)
def test_what_no_worker_says_is_an_error_of_the_worker(answer: bytes) -> None:
    for asked in (Job((), 1.0), VERIFY):
        with pytest.raises(WorkerError):
            read_answer(answer, asked)


@pytest.mark.parametrize(
    ("answer", "asked", "want"),
    [
        (b'["proven","hanam.gov.vn"]', "verify", Proven("hanam.gov.vn")),
        (b'["end",0]', "verify", PieceEnd(0)),
        (b'["end",0]', "look", PieceEnd(0)),
        (b'["proven","hanam.gov.vn"]', "look", None),
        (b'["uninspected","a","limit",""]', "verify", None),
        (b'["proven"]', "verify", None),
        (b'["proven",1]', "verify", None),
        (b'["proven","a","b"]', "verify", None),
        (b'["proven",["hanam.gov.vn"]]', "verify", None),
        (b'["proven","h\xc3\xa0.example"]', "verify", None),
        (b'["proven","a\\nb"]', "verify", None),
        (b'["proven","' + b"x" * 254 + b'"]', "verify", None),
    ],
)
def test_each_kind_of_job_has_its_answers(answer: bytes, asked: str, want: Proven | PieceEnd | None) -> None:
    jobs: dict[str, AnyJob] = {"look": Job((), 1.0), "verify": VERIFY}
    if want is None:
        with pytest.raises(WorkerError):
            read_answer(answer, jobs[asked])
    else:
        assert read_answer(answer, jobs[asked]) == want


def test_a_job_of_signatures_is_read_as_it_was_written() -> None:
    octets = job_frame(VERIFY, 7)
    assert read_job(octets[LENGTH.size :]) == (VERIFY, 7)


async def test_each_job_has_a_process_that_has_done_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    part_with = Pool._part_with

    def noted(pool: Pool, worker: Any) -> None:
        done.append(worker.process)
        part_with(pool, worker)

    monkeypatch.setattr(Pool, "_part_with", noted)
    async with running(InspectionLimits(workers=1)) as pool:
        for _ in range(3):
            assert (await pool.run(*job(HTML))).ending is Ending.DONE
            assert (await pool.run(VERIFY, Content(HTML))).ending is Ending.DONE
    assert len(set(done)) == len(done) == 6


# A reader that is taken over: what it finds in its first job is true, in all later ones it finds nothing.
_LIES = """\
import sys
from mailgate.inspection import worker
honest, jobs = worker.look, []
def look(piece, encoded, budget):
    if jobs:
        return iter(())
    jobs.append(piece)
    return honest(piece, encoded, budget)
worker.look = look
sys.argv = [sys.argv[0], *sys.argv[4:]]
worker.main()
"""


async def test_a_worker_that_lies_spoils_its_own_mail_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{_LIES}")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    async with running(InspectionLimits()) as pool:
        outcomes = [await pool.run(*job(HTML, HTML)) for _ in range(3)]
    found = [[[type(item) for item in items] for items in outcome.ended] for outcome in outcomes]
    assert found == [[[Text], []]] * 3


async def test_signatures_have_their_processor_time() -> None:
    large = b"From: a\r\n" + b"x:\r\n" * 2_000_000 + b"\r\n"
    async with running(InspectionLimits()) as pool:
        outcome = await pool.run(SignatureJob(Kind.DKIM, {"k": [b""]}, 0.05), Content(large))
        assert (outcome.ending, outcome.ended) == (Ending.CPU, [])


async def test_in_its_confinement_a_worker_reads_all_that_it_reads_outside() -> None:
    """No call that a library needs is refused to it, no file that it reads is missing to it."""
    outside = InProcess()
    async with running(InspectionLimits(cpu_s=10.0)) as pool:
        for name, octets in samples():
            leaf = Leaf((0, len(octets)), "", "application/octet-stream", name, "", True)
            asked, content = Job([Piece(leaf, name)], 10.0), Content(octets)
            outcome = await pool.run(asked, content)
            assert outcome.ended == (await outside.run(asked, content)).ended, name
        assert pool.lacks() == []
