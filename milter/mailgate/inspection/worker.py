"""The process that inspection workers are born of, and the workers: each does one job of one mail, and ends.

The nursery has everything loaded and does nothing but fork: a worker is there within milliseconds, also in the place
of one that was killed. It tells its daemon of each birth (the process id, and a descriptor of the process, by which
alone it can be killed without mistake) and of each end. Where the daemon goes, they go.
"""

import codecs
import contextlib
import encodings
import gc
import os
import pkgutil
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from itertools import chain
from typing import NoReturn

import orjson

from ..documents.budget import Budget, Limits
from ..documents.content import missing
from ..model import File
from ..spool import CHUNK_BYTES
from .job import LENGTH, Job, PieceEnd, Proven, SignatureJob, end_frame, found_frame, frame, read_job
from .limits import Bounds
from .look import look
from .sandbox import prepare, restrict
from .signatures import Message, proven

# What was found is told together, but not much later, and before anything large is begun: a worker may be ended at
# any moment.
_SILENCE_S = 0.05
_SMALL_OCTETS = 4_096


def main() -> None:
    """Be the nursery. Arguments: the descriptor of the line to the daemon, Bounds and Limits as JSON."""
    line = socket.socket(fileno=int(sys.argv[1]))
    bounds = Bounds(*orjson.loads(sys.argv[2]))
    limits = Limits(**orjson.loads(sys.argv[3]))
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_IGN)  # the daemon says when
    wake, rouse = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(rouse, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out, the daemon is not what goes
    _load_encodings()
    prepare()
    gc.collect()
    gc.freeze()
    line.send(orjson.dumps(("ready", missing())))
    while True:
        ready, _, _ = select.select([line.fileno(), wake], [], [])
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4_096)
            _tell_of_ends(line)
        if line.fileno() in ready:
            try:
                word, descriptors, _, _ = socket.recv_fds(line, 16, 1)
            except ConnectionResetError:
                return  # the daemon went with ends unread
            if not word:
                return
            _bear(line, socket.socket(fileno=descriptors[0]), bounds, limits)


def _load_encodings() -> None:
    """Load what Python loads when it first meets a charset: a worker opens no file."""
    for module in pkgutil.iter_modules(encodings.__path__):
        with contextlib.suppress(ImportError, LookupError):
            codecs.lookup(module.name)


def _tell_of_ends(line: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                line.send(orjson.dumps(("ended", process, os.waitstatus_to_exitcode(status))))


def _bear(line: socket.socket, own: socket.socket, bounds: Bounds, limits: Limits) -> None:
    process = os.fork()
    if process == 0:
        _live(line, own, bounds, limits)
    own.close()
    descriptor = os.pidfd_open(process)
    socket.send_fds(line, [orjson.dumps(("born", process))], [descriptor])
    os.close(descriptor)


def _live(line: socket.socket, own: socket.socket, bounds: Bounds, limits: Limits) -> NoReturn:
    status = 70  # EX_SOFTWARE
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        line.close()
        _close_all_but(own)
        unfiltered = restrict(bounds)
        own.sendall(frame(unfiltered))
        _do_job(own, limits)
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # the daemon waits no longer
    finally:
        os._exit(status)


def _close_all_but(own: socket.socket) -> None:
    """Leave a worker its line alone, and nothing where standard error was: that is the daemon's log."""
    os.dup2(1, 2)
    end = os.sysconf("SC_OPEN_MAX")
    os.closerange(3, own.fileno())
    os.closerange(own.fileno() + 1, end)


def _do_job(own: socket.socket, limits: Limits) -> None:
    """Do the job, if one comes."""
    head, descriptors, _, _ = socket.recv_fds(own, LENGTH.size, 1)
    if not head:
        return
    head += _receive(own, LENGTH.size - len(head))
    job, octets = read_job(_receive(own, LENGTH.unpack(head)[0]))
    content = _receive(own, octets)
    # SIGPROF ends a process that does not handle it, whatever C code it is in: processor time, to the millisecond.
    signal.setitimer(signal.ITIMER_PROF, job.cpu_s)
    descriptor = descriptors[0] if descriptors else None
    if isinstance(job, SignatureJob):
        _verify(own, job, content, descriptor)
    else:
        _look_into_all(own, job, content, descriptor, Budget(limits))


def _look_into_all(own: socket.socket, job: Job, content: bytes, descriptor: int | None, budget: Budget) -> None:
    told = bytearray()
    due = time.monotonic() + _SILENCE_S
    for number, piece in enumerate(job.pieces):
        start, stop = piece.leaf.span
        must_tell = stop - start > _SMALL_OCTETS
        for item in chain((None,), look(piece, _chunks(content, descriptor, start, stop), budget)):
            if item is not None:
                told += found_frame(item)
                must_tell = isinstance(item, File) and bool(item.dangers)
            if told and (must_tell or time.monotonic() > due):
                own.sendall(told)
                told.clear()
                due = time.monotonic() + _SILENCE_S
        # What comes next may take this process over: what was found of this piece is told before.
        own.sendall(told + end_frame(PieceEnd(number)))
        told.clear()


def _verify(own: socket.socket, job: SignatureJob, content: bytes, descriptor: int | None) -> None:
    octets = len(content) if descriptor is None else os.fstat(descriptor).st_size
    for domain in proven(job, Message(lambda: _chunks(content, descriptor, 0, octets))):
        own.sendall(found_frame(Proven(domain)))
    own.sendall(end_frame(PieceEnd(0)))


def _chunks(content: bytes, descriptor: int | None, start: int, stop: int) -> Iterator[bytes]:
    if descriptor is None:
        yield content[start:stop]
        return
    while start < stop:
        octets = os.pread(descriptor, min(CHUNK_BYTES, stop - start), start)
        if not octets:
            return
        yield octets
        start += len(octets)


def _receive(own: socket.socket, count: int) -> bytes:
    octets = bytearray()
    while len(octets) < count:
        received = own.recv(min(count - len(octets), 1_048_576))
        if not received:
            raise BrokenPipeError
        octets += received
    return bytes(octets)


if __name__ == "__main__":
    main()
