"""The daemon's side of inspection workers: born when they are needed, killed when they overstep, never trusted.

A worker does one job, of one mail, and ends: one that a file has taken over can say what it wants of that mail alone.
However it ends, nobody else notices. One is born ahead, so that a mail need not wait for the birth.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar, overload

import orjson
import structlog

from .job import (
    LENGTH,
    LONGEST_FRAME,
    AnyJob,
    Found,
    Item,
    Job,
    PieceEnd,
    Proven,
    SignatureJob,
    WorkerError,
    job_frame,
    read_answer,
)
from .limits import InspectionLimits

log = structlog.get_logger()
F = TypeVar("F", bound=Found)

_START_S = 60.0  # for the nursery to load all libraries, on a machine that is busy
_BIRTH_S = 10.0
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "LIBARCHIVE")
_MOST_ITEMS, _MOST_OCTETS = (
    200_000,
    134_217_728,
)  # of one answer: five times what the limits of files let come together
_ITEMS_IN_A_TURN = 100  # that are read before other mails have a turn
_END_S = 1.0  # for the nursery to say how a worker ended


class Ending(StrEnum):
    """How a job ended."""

    DONE = "done"
    CPU = "processor time used up"
    WALL = "no answer in time"
    DIED = "the process died"


@dataclass(slots=True)
class Outcome(Generic[F]):
    """What a job found, piece by piece; of the first piece that has no end, what was known before."""

    ending: Ending = Ending.DONE
    detail: str = ""
    ended: list[Sequence[F]] = field(default_factory=list)
    begun: list[F] = field(default_factory=list)
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Content:
    """The octets that a job's pieces stand in: all of them, or a descriptor of the whole message."""

    octets: bytes = b""
    descriptor: int | None = None


@dataclass(slots=True, eq=False)
class _Worker:
    line: socket.socket
    process: int
    descriptor: int
    end: asyncio.Future[int]  # its exit status, once the nursery has told it

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        self.line.close()
        os.close(self.descriptor)


class Pool:
    """The workers of one daemon process; the nursery starts with the first job, or with `start`."""

    def __init__(self, limits: InspectionLimits) -> None:
        self.limits = limits
        self._missing: list[str] = []  # libraries that the workers lack, once they have started
        self._unfiltered = ""  # why their system calls are not filtered
        self._line: socket.socket | None = None
        self._nursery: subprocess.Popen[bytes] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._births: deque[asyncio.Future[tuple[int, int, asyncio.Future[int]]]] = deque()
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._idle: list[_Worker] = []  # that were born ahead
        self._bearing: asyncio.Task[None] | None = None
        self._busy: set[_Worker] = set()
        self._being_born = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_retired = False
        self._closing: asyncio.Task[None] | None = None

    # -- the nursery ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the nursery, unless it runs; raises OSError where it does not come up."""
        if self._ready is None:
            self._begin()
        assert self._ready is not None
        try:
            async with asyncio.timeout(_START_S):
                await asyncio.shield(self._ready)
        except TimeoutError as error:
            self._lose("the inspection workers did not start in time")
            raise OSError("the inspection workers did not start in time") from error

    def _begin(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._nursery = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-m", "mailgate.inspection.worker", str(theirs.fileno())),
                    orjson.dumps(astuple(self.limits.bounds)).decode(),
                    orjson.dumps(asdict(self.limits.files)).decode(),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # No more of the environment: it has the daemon's passwords (MAILGATE_*), and memory that is kept for
                # large mails (MALLOC_*) would be kept by each worker.
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        self._line = ours
        self._ready = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(ours, self._hear, ours)

    def _hear(self, line: socket.socket) -> None:
        """Read what the nursery says."""
        try:
            octets, descriptors, _, _ = socket.recv_fds(line, 65_536, 1)
        except BlockingIOError:
            return
        except OSError:
            octets, descriptors = b"", []
        if not octets:
            self._lose("the process that inspection workers are born of is gone")
            return
        word, *values = orjson.loads(octets)
        if word == "ready":
            self._missing = values[0]
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
        elif word == "born":
            birth = self._births.popleft()
            end = self._ends[values[0]] = asyncio.get_running_loop().create_future()
            if birth.done():
                os.close(descriptors[0])
            else:
                birth.set_result((values[0], descriptors[0], end))
        elif word == "ended":
            ended = self._ends.pop(values[0], None)
            if ended is not None and not ended.done():
                ended.set_result(values[1])
            for worker in [worker for worker in self._idle if worker.process == values[0]]:
                self._idle.remove(worker)  # else the next job is given to it, and one of its tries with it
                worker.close()

    def _lose(self, reason: str) -> None:
        """The nursery is gone, and its workers with it: whoever waits is told, and the next one starts another."""
        if self._line is None:
            return
        asyncio.get_running_loop().remove_reader(self._line)
        self._line.close()
        self._line = None
        if self._nursery is not None:
            self._nursery.kill()
            self._nursery.wait()
            self._nursery = None
        for waiting in (self._ready, *self._births):
            if waiting is not None and not waiting.done():
                waiting.set_exception(OSError(reason))
                waiting.exception()  # nobody need be waiting
        for end in self._ends.values():
            end.cancel()
        self._ready = None
        self._births.clear()
        self._ends.clear()
        for worker in self._idle:
            worker.close()
        self._idle.clear()
        log.error("inspection", problem=reason)

    # -- workers --------------------------------------------------------------------------------

    async def _take(self) -> _Worker:
        """Return a worker for one job: one that was born ahead, or a new one, once there is a place for it."""
        while not self._idle and len(self._busy) + self._being_born >= self.limits.workers:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():
                    self._wake()  # it was this one's turn already
                raise
        if self._idle:
            worker = self._idle.pop()
        else:
            self._being_born += 1
            try:
                worker = await self._bear()
            except BaseException:
                self._wake()
                raise
            finally:
                self._being_born -= 1
        self._busy.add(worker)
        self._bear_ahead()
        return worker

    def _bear_ahead(self) -> None:
        """Have one more born, for the mail that comes next."""
        is_full = len(self._busy) + self._being_born >= self.limits.workers
        if not (is_full or self._idle or self._is_retired or self._line is None or self._being_born):
            self._being_born += 1
            self._bearing = asyncio.get_running_loop().create_task(self._bear_one_ahead())

    async def _bear_one_ahead(self) -> None:
        try:
            worker = await self._bear()
        except (OSError, TimeoutError):
            pass  # who needs one next is told
        else:
            if self._is_retired or self._line is None:
                worker.kill()
            else:
                self._idle.append(worker)
        finally:
            self._being_born -= 1
            self._wake()
        self._end_if_retired()

    async def _bear(self) -> _Worker:
        await self.start()
        assert self._line is not None
        ours, theirs = socket.socketpair()
        birth = asyncio.get_running_loop().create_future()
        self._births.append(birth)
        try:
            socket.send_fds(self._line, [b"bear"], [theirs.fileno()])
            async with asyncio.timeout(_BIRTH_S):
                worker = _Worker(ours, *await birth)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        try:
            ours.setblocking(False)
            async with asyncio.timeout(_BIRTH_S):
                self._unfiltered = str(orjson.loads(await _frame(ours, bytearray())))
        except (EOFError, WorkerError, ValueError) as error:
            worker.kill()
            raise OSError("an inspection worker died at its birth") from error
        except BaseException:
            worker.kill()
            raise
        return worker

    def _part_with(self, worker: _Worker) -> None:
        self._busy.discard(worker)
        worker.kill()
        self._wake()
        self._bear_ahead()
        self._end_if_retired()

    def retire(self) -> None:
        """End everything once no job is under way; a later one, of a mail that began before, starts it again."""
        self._is_retired = True
        self._end_if_retired()

    def _end_if_retired(self) -> None:
        if self._is_retired and not self._busy and not self._being_born and not self._waiting:
            self._closing = asyncio.get_running_loop().create_task(self.close())

    def _wake(self) -> None:
        """Give a turn to the next that waits for one."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                break

    def lacks(self) -> list[str]:
        """Return what the workers lack, and what is then not inspected or not prevented."""
        if not self._unfiltered:
            return self._missing
        return [*self._missing, f"a worker's system calls are not filtered: {self._unfiltered}"]

    def processes(self) -> list[int]:
        """Return the process ids of the workers."""
        return [worker.process for worker in (*self._idle, *self._busy)]

    # -- jobs -----------------------------------------------------------------------------------

    @overload
    async def run(self, job: Job, content: Content) -> Outcome[Item]: ...

    @overload
    async def run(self, job: SignatureJob, content: Content) -> Outcome[Proven]: ...

    async def run(self, job: AnyJob, content: Content) -> Outcome[Any]:
        """Do a job; raises OSError where no worker can be had. What a worker does wrong is in the outcome."""
        worker = await self._take()
        outcome = Outcome[Any]()
        is_sound = False
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.limits.wall_s):
                await _send(worker.line, job, content)
                received = bytearray()
                items = octets = 0
                while len(outcome.ended) < job.ends:
                    told = await _frame(worker.line, received)
                    items, octets = items + 1, octets + len(told)
                    if items % _ITEMS_IN_A_TURN == 0:
                        await asyncio.sleep(0)
                    if items > _MOST_ITEMS or octets > _MOST_OCTETS:
                        raise WorkerError("an inspection worker answers without end")
                    answer = read_answer(told, job)
                    if not isinstance(answer, PieceEnd):
                        outcome.begun.append(answer)
                        continue
                    outcome.ended.append(outcome.begun)
                    outcome.begun = []
            is_sound = True
        except TimeoutError:
            outcome.ending, outcome.detail = Ending.WALL, f"no answer within {self.limits.wall_s:g} s"
            while self._idle:  # what made it stand still may have met these too: the next try is not theirs
                self._idle.pop().kill()
        except (EOFError, ConnectionError, WorkerError) as error:
            outcome.ending, outcome.detail = await self._how_it_ended(worker, error)
        finally:
            self._part_with(worker)
            outcome.wall_s = time.monotonic() - started
        if not is_sound:
            log.warning("inspection worker ended", process=worker.process, reason=outcome.detail)
        return outcome

    async def _how_it_ended(self, worker: _Worker, error: Exception) -> tuple[Ending, str]:
        if isinstance(error, WorkerError):
            return Ending.DIED, str(error)
        status = None
        done, _ = await asyncio.wait([worker.end], timeout=_END_S)
        if done and not worker.end.cancelled():
            status = worker.end.result()
        if status == -signal.SIGPROF:
            return Ending.CPU, Ending.CPU.value
        if status is not None and status < 0:
            return Ending.DIED, f"ended by {signal.Signals(-status).name}"
        return Ending.DIED, "ended without a word" if status is None else f"ended with status {status}"

    async def close(self) -> None:
        """End all workers, and what they are born of."""
        for worker in (*self._idle, *self._busy):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(worker.descriptor, signal.SIGKILL)
        if self._bearing is not None:
            self._bearing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._bearing
        line, self._line = self._line, None
        nursery, self._nursery = self._nursery, None
        self._ready = None
        if line is not None:
            asyncio.get_running_loop().remove_reader(line)
            line.close()
        for worker in self._idle:
            worker.close()
        self._idle.clear()
        if nursery is not None:
            nursery.kill()
            await asyncio.to_thread(nursery.wait)


async def _send(line: socket.socket, job: AnyJob, content: Content) -> None:
    octets = job_frame(job, len(content.octets)) + content.octets
    if content.descriptor is not None:
        sent = socket.send_fds(line, [octets[:1]], [content.descriptor])  # the line is empty: it is never full here
        octets = octets[sent:]
    await asyncio.get_running_loop().sock_sendall(line, octets)


async def _frame(line: socket.socket, received: bytearray) -> bytes:
    """Read one frame; what is read beyond it stays in `received`. Raises EOFError, WorkerError."""
    loop = asyncio.get_running_loop()
    wanted = LENGTH.size
    while True:
        if len(received) >= LENGTH.size:
            wanted = LENGTH.size + LENGTH.unpack_from(received)[0]
            if wanted > LONGEST_FRAME:
                raise WorkerError("an inspection worker answers without end")
        if len(received) >= wanted:
            octets = bytes(received[LENGTH.size : wanted])
            del received[:wanted]
            return octets
        read = await loop.sock_recv(line, 1_048_576 if wanted > 262_144 else 65_536)
        if not read:
            raise EOFError
        received += read
