"""Files of others, read within limits: nothing here trusts what it reads, or where a path leads.

A file is read whole, and only when it is a regular one: a pipe would make the reader wait, a device would never
end. What cannot be read is an `Unread`, which names file, line and reason; the reader goes on with the rest.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

TABLE_LIMIT_BYTES = 64 << 20  # a million aliases are 40 MB
SCRIPT_LIMIT_BYTES = 1 << 20  # Dovecot's own limit for a script is 64 KB (sieve_max_script_size), Zimbra's likewise
EXPORT_LIMIT_BYTES = 512 << 20  # ten thousand accounts are 40 MB


@dataclass(frozen=True, slots=True, order=True)
class Unread:
    """What could not be read or parsed; line 0 is the file as a whole."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


class UnreadError(Exception):
    """A file that could not be read; `unread` says which and why."""

    def __init__(self, file: str | Path, line: int, reason: str) -> None:
        self.unread = Unread(str(file), line, reason)
        super().__init__(str(self.unread))


def read_source(path: Path, limit_bytes: int) -> bytes:
    """Return a regular file's content; raises UnreadError for any other, and for one over the limit."""
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to returns at once.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise UnreadError(path, 0, _REASONS.get(error.errno or 0, error.strerror or str(error))) from error
    except ValueError as error:  # a path with a null octet
        raise UnreadError(path, 0, str(error)) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadError(path, 0, "is no regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise UnreadError(path, 0, error.strerror or str(error)) from error
    finally:
        os.close(descriptor)
    if len(data) > limit_bytes:
        raise UnreadError(path, 0, f"is over {limit_bytes >> 20} MiB: too large to be read")
    return data


_REASONS = {
    errno.ELOOP: "symbolic links that lead in a circle",
    errno.ENOENT: "no such file",
    errno.EACCES: "not allowed to read: run the audit as root",
    errno.ENXIO: "is no regular file",
}


def text_of(data: bytes) -> str:
    """Return octets as text whose octets can be had back, with line ends as LF."""
    return data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
