"""Archives and compressed files, by libarchive: each member is streamed into memory, none is ever written.

libarchive runs other programs for some filters (lrzip, grzip, lzop): so filters and formats are named one by one.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..model import File, Obstacle, Uninspected
from ..text import charsets
from .budget import Blocked, Budget, Growth
from .found import Found, Inside

try:
    from ctypes import c_char_p, c_void_p, cast

    from libarchive import ffi
    from libarchive.exception import ArchiveError
    from libarchive.read import ArchiveRead
except Exception:  # the package, or the system's library that it loads: OSError, AttributeError, TypeError
    ffi = None

logging.getLogger("libarchive").setLevel(logging.CRITICAL)  # it warns of what is reported here

_FILTERS = ("gzip", "bzip2", "compress", "xz", "lzma", "lzip", "lz4", "zstd", "rpm")
_FORMATS = ("zip", "7zip", "rar", "rar5", "tar", "iso9660", "cab", "lha", "cpio", "ar", "xar", "warc")
_COMPRESSED = frozenset(["gz", "bz2", "xz", "lzma", "zstd", "lz4", "compress"])
"""One file, without a name of its own."""


def is_missing() -> bool:
    """Tell whether libarchive cannot be had."""
    return ffi is None


@contextmanager
def _opened(octets: bytes, kind: str) -> Iterator[Any]:
    archive = ffi.read_new()
    try:
        for name in _FILTERS:
            ffi.get_read_filter_function(name)(archive)
        for name in (*_FORMATS, "raw") if kind in _COMPRESSED else _FORMATS:
            ffi.get_read_format_function(name)(archive)
        ffi.read_open_memory(archive, cast(c_char_p(octets), c_void_p), len(octets))
        yield ArchiveRead(archive)
    finally:
        ffi.read_free(archive)


def read(octets: bytes, name: str, kind: str, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what an archive holds; name: its own, for what has none inside; kind: as of documents.types."""
    if ffi is None:
        raise Blocked(Obstacle.UNSUPPORTED, f"{kind}: libarchive is missing")
    growth = Growth(len(octets), budget)
    count = 0
    try:
        with _opened(octets, kind) as archive:
            for entry in archive:
                count += 1
                inner = _name_of(entry, name)
                # Windows asks no zip whether a member is a folder or a link: its octets make it a file there.
                if entry.isdir and not entry.size:
                    continue
                if not entry.isfile:
                    budget.take_file()
                    yield File(f"{place} > {inner}", inner, size=entry.size or 0)
                    if kind == "zip":
                        yield Uninspected(f"{place} > {inner}", Obstacle.UNSUPPORTED, "called a folder or a link")
                    continue
                yield from _member(entry, inner, place, growth, budget)
    except ArchiveError as error:
        raise _blocked(error, kind) from error
    if not count and kind not in (
        "zip",
        "tar",
    ):  # an empty zip is its directory alone, an empty tar nothing but zeros
        raise Blocked(Obstacle.DAMAGED, f"{kind}: nothing in it")


def _member(entry: Any, name: str, place: str, growth: Growth, budget: Budget) -> Iterator[Found]:
    inner = f"{place} > {name}"
    limit = budget.limits.file_octets
    told = entry.size or 0
    blocks: list[bytes] = []
    size = 0
    try:
        for block in entry.get_blocks(262_144):
            growth.take(len(block))
            size += len(block)
            if size > limit:
                blocks = [b"".join(blocks)[:1_024]]
                continue
            blocks.append(block)
    except ArchiveError as error:
        blocked = _blocked(error, "member")
        budget.take_file()
        if size and blocked.obstacle is Obstacle.DAMAGED:  # what came before the damage may still be read
            yield Inside(name, b"".join(blocks))
        else:
            yield File(inner, name, size=told)
        yield Uninspected(inner, blocked.obstacle, blocked.detail)
        return
    if size > limit:
        budget.take_file()
        yield File(inner, name, size=size)
        yield Uninspected(inner, Obstacle.LIMIT, f"larger than {limit} octets")
        return
    yield Inside(name, b"".join(blocks))


def _blocked(error: Exception, what: str) -> Blocked:
    """Tell by libarchive's message, which holds no name, what was in the way."""
    message = str(error).lower()
    if "encrypt" in message or "passphrase" in message:
        return Blocked(Obstacle.ENCRYPTED, what)
    if "unsupported" in message or "not supported" in message:
        return Blocked(Obstacle.UNSUPPORTED, what)
    return Blocked(Obstacle.DAMAGED, what)


def _name_of(entry: Any, outer: str) -> str:
    """Return a member's name: UTF-8, or what octets without a label say (text.charsets)."""
    octets = ffi.entry_pathname(entry._entry_p)
    if octets and octets != b"data":
        return charsets.read(octets).text
    wide = ffi.entry_pathname_w(entry._entry_p)
    if wide and wide != "data":
        return str(wide)
    stem, dot, _ = outer.rpartition(".")  # bao-cao.txt.gz
    return stem if dot and stem else outer or "data"
