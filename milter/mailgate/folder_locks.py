"""One daemon at a time serves a folder: a second one that is started there is told who does, and ends.

It would take the journals of the first for those of workers that are no more, and remove them. Locked are the folder
of the journals and the file of an embedded store, by flock on a file of their own, `mailgate.lock` and `STORE.lock`:
the kernel gives it back whatever becomes of the daemon. Its workers have it by inheritance, so that a supervisor that
was killed is followed by another only when they have ended, too. The incident log has a lock for each write, and
commands work beside the daemon: they take neither.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import structlog

from .config import TIME_ZONE, ConfigError, Settings

log = structlog.get_logger()

PATIENCE_S = 3.0
"""How long the workers of a supervisor that was killed are waited for: they notice at once, and stop within 2 s."""
_POLL_S = 0.02
_MOST_OCTETS = 1_024


def lock_folders(settings: Settings, patience_s: float = PATIENCE_S) -> list[int]:
    """Lock what a daemon with these settings writes, and return the descriptors that hold it while they are open.

    Raises ConfigError where another daemon serves it. What cannot be locked at all, on a disk that is read-only or
    full, is served all the same: then mail is deferred as long as nothing can be written.
    """
    deadline = time.monotonic() + patience_s
    held: list[int] = []
    try:
        for path in _files(settings):
            try:
                held.append(_lock(path, deadline))
            except OSError as error:
                log.warning("folder could not be locked", file=str(path), error=error.strerror)
    except BaseException:
        for descriptor in held:
            os.close(descriptor)
        raise
    return held


def served_by(settings: Settings) -> str:
    """Return who serves these folders, "" for nobody."""
    for path in _files(settings):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _who(descriptor)
            finally:
                os.close(descriptor)
    return ""


def _files(settings: Settings) -> Iterator[Path]:
    yield settings.journal_folder() / "mailgate.lock"
    store = settings.store_file()
    if store is not None:
        yield store.with_name(f"{store.name}.lock")


def _lock(path: Path, deadline: float) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    mend = "stop it, or give this one folders of its own ([store] url and journal_path)"
                    raise ConfigError([f"{path}: {_who(descriptor)} serves this folder: {mend}"]) from None
                time.sleep(_POLL_S)
        since = datetime.now(ZoneInfo(TIME_ZONE)).isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, orjson.dumps({"pid": os.getpid(), "since": since}) + b"\n", 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _who(descriptor: int) -> str:
    """Name the daemon that wrote a lock's file, as well as that can be read."""
    try:
        known = orjson.loads(os.pread(descriptor, _MOST_OCTETS, 0))
        return f"the daemon with pid {known['pid']}, started {known['since']},"
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return "another daemon"
