"""The zip that an office document is: its parts by name, streamed, within the budget."""

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

from ..model import Obstacle
from .budget import Blocked, Budget, Growth
from .types import directory_is_large

_CHUNK = 65_536


class Package:
    """An office document's parts. Opening it raises Blocked where its directory cannot be read."""

    def __init__(self, octets: bytes, budget: Budget) -> None:
        if directory_is_large(octets):
            raise Blocked(Obstacle.LIMIT, "too many parts")
        try:
            self._archive = zipfile.ZipFile(BytesIO(octets))
        except Exception as error:  # BadZipFile, but also struct.error, NotImplementedError, ...
            raise Blocked(Obstacle.DAMAGED, "zip") from error
        self._growth = Growth(len(octets), budget)
        self._budget = budget
        self.parts = [(info.filename.replace("\\", "/").lstrip("/"), info) for info in self._archive.infolist()]

    def named(self, *endings: str) -> list[zipfile.ZipInfo]:
        """Return the parts whose names end so, in the order of the directory; compared without case."""
        return [info for name, info in self.parts if name.lower().endswith(endings)]

    def chunks(self, part: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield a part's octets; raise Blocked where it is damaged, encrypted or too large."""
        if part.flag_bits & 1:
            raise Blocked(Obstacle.ENCRYPTED, "zip")
        try:
            with self._archive.open(part) as stream:
                while chunk := stream.read(_CHUNK):
                    self._growth.take(len(chunk))
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            raise Blocked(Obstacle.DAMAGED, "part of a zip") from error

    def xml(self, part: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield a part of XML; its elements are counted too."""
        for chunk in self.chunks(part):
            self._budget.take_steps(chunk.count(b"<"))
            yield chunk

    def head(self, part: zipfile.ZipInfo) -> bytes:
        """Return the first octets of a part, as many as tell what it is; raise Blocked as chunks does."""
        return next(self.chunks(part), b"")

    def octets(self, part: zipfile.ZipInfo) -> bytes:
        """Return a part whole; raise Blocked as chunks does."""
        limit = self._budget.limits.file_octets
        out: list[bytes] = []
        size = 0
        for chunk in self.chunks(part):
            size += len(chunk)
            if size > limit:
                raise Blocked(Obstacle.LIMIT, f"a part is larger than {limit} octets")
            out.append(chunk)
        return b"".join(out)
