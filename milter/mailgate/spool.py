"""One message's octets while it is judged: in memory while small, then in an unlinked temporary file.

Nothing of it outlives the process: the file has no name from its first octet on.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

IN_MEMORY_BYTES = 262_144
CHUNK_BYTES = 65_536


class Spool:
    """Append-only octets that can be read again, in part or whole, any number of times."""

    __slots__ = ("_file", "_folder", "_memory", "size")

    def __init__(self, folder: Path | None = None) -> None:
        self.size = 0
        self._folder = folder
        self._memory = bytearray()
        self._file: int | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises OSError when the disk is full."""
        self.size += len(data)
        if self._file is None:
            self._memory += data
            if self.size > IN_MEMORY_BYTES:
                self._to_file()
            return
        _write_all(self._file, data)

    def fileno(self) -> int:
        """Return a descriptor of the whole content, which stays this spool's own."""
        if self._file is None:
            self._to_file()
        assert self._file is not None
        return self._file

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the octets from start to stop, at most 64 KiB at a time."""
        stop = self.size if stop is None else min(stop, self.size)
        while start < stop:
            count = min(CHUNK_BYTES, stop - start)
            if self._file is None:
                yield bytes(self._memory[start : start + count])
            else:
                yield os.pread(self._file, count, start)
            start += count

    def close(self) -> None:
        """Give the space back."""
        self._memory = bytearray()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _to_file(self) -> None:
        self._file = _unnamed_file(self._folder)
        _write_all(self._file, self._memory)
        self._memory = bytearray()


def _write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _unnamed_file(folder: Path | None) -> int:
    place = str(folder or tempfile.gettempdir())
    try:
        return os.open(place, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # a file system without O_TMPFILE
        descriptor, name = tempfile.mkstemp(dir=place)
        os.unlink(name)
        return descriptor
