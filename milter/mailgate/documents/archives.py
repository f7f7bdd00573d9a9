"""Archives and compressed files, by libarchive: each member is streamed into memory, none is ever written.

A filter (gz, xz, zst, ...) is opened by itself: a tar behind it is streamed, anything else is one file, which is then
looked into as what it is. Zips are in `zips`, which only asks for what Python cannot decompress.

libarchive runs other programs for some filters (lrzip, grzip, lzop): so filters and formats are named one by one.
"""

import locale
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..model import Danger, File, Obstacle
from .budget import Blocked, Budget, Growth
from .found import Found, Threat
from .members import member, named
from .types import MARKS, type_by_head

try:
    from ctypes import c_char_p, c_int, c_void_p, cast

    from libarchive import ffi
    from libarchive.exception import ArchiveError
    from libarchive.read import ArchiveRead

    _set_options = ffi.ffi("read_set_options", [ffi.c_archive_p, c_char_p], c_int, ffi.check_int)
except Exception:  # the package, or the system's library that it loads: OSError, AttributeError, TypeError
    ffi = None

if locale.nl_langinfo(locale.CODESET) != "UTF-8":  # libarchive has names by the locale, and none that it cannot say
    with suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
logging.getLogger("libarchive").setLevel(logging.CRITICAL)  # it warns of what is reported here

_FILTERS = ("gzip", "bzip2", "compress", "xz", "lzma", "lzip", "lz4", "zstd", "rpm")
_FORMATS = ("zip", "7zip", "rar", "rar5", "tar", "iso9660", "cab", "lha", "cpio", "ar", "xar", "warc")
_COMPRESSED = frozenset(["gz", "bz2", "xz", "lzma", "lzip", "zstd", "lz4", "compress"])
"""One file, without a name of its own."""
_ENDINGS = frozenset(["gz", "bz2", "xz", "lzma", "lz", "zst", "zstd", "lz4", "z"])
_BLOCK = 262_144
_LONGEST_NAME = 4_096
_HEAD = 65_536  # octets that tell what is behind a filter; a disk image says so at 32,769


def is_missing() -> bool:
    """Tell whether libarchive cannot be had."""
    return ffi is None


@contextmanager
def _opened(octets: bytes, formats: Iterable[str]) -> Iterator[Any]:
    archive = ffi.read_new()
    try:
        for name in _FILTERS:
            ffi.get_read_filter_function(name)(archive)
        for name in formats:
            ffi.get_read_format_function(name)(archive)
        if "tar" in formats:
            _set_options(
                archive, b"tar:read_concatenated_archives"
            )  # as 7-Zip lists them; other programs end at zeros
        ffi.read_open_memory(archive, cast(c_char_p(octets), c_void_p), len(octets))
        yield ArchiveRead(archive)
    finally:
        ffi.read_free(archive)


def read(octets: bytes, name: str, kind: str, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what an archive holds; name: its own, for what has none inside; kind: as of documents.types."""
    if ffi is None:
        raise Blocked(Obstacle.UNSUPPORTED, f"{kind}: libarchive is missing")
    growth = Growth(len(octets), budget)
    if kind in MARKS:  # it may stand behind something else
        octets = octets[max(0, octets.find(MARKS[kind][0])) :]
    if kind in _COMPRESSED:
        if type_by_head(_head(octets, kind)) != "tar":
            names = named(_unwrapped(name), *_gzip_name(octets))
            yield from member(names, only_member(octets, ("raw",)), 0, place, growth, budget)
            return
        formats: tuple[str, ...] = ("tar",)
    else:
        formats = _FORMATS
    count = 0
    try:
        with _opened(octets, formats) as archive:
            for entry in archive:
                count += 1
                names = _names_of(entry)
                inner = names[0]
                if entry.isdir and not entry.size:
                    continue
                if entry.isfile:
                    yield from member(names, _blocks(entry), entry.size or 0, place, growth, budget)
                else:
                    budget.take_file()
                    yield File(f"{place} > {inner}", inner, size=entry.size or 0, names=names[1])
                if not inner:  # half a character of UTF-16, which nobody writes by mistake
                    yield Threat(Danger.DISGUISED, f"{kind}: a name that cannot be read")
    except ArchiveError as error:
        raise _blocked(error, kind) from error
    if not count and kind != "tar":  # an empty one is nothing but zeros
        raise Blocked(Obstacle.DAMAGED, f"{kind}: nothing in it")


def only_member(octets: bytes, formats: Iterable[str]) -> Iterator[bytes]:
    """Yield the octets of the first member of an archive of one of these formats; raise Blocked."""
    if ffi is None:
        raise Blocked(Obstacle.UNSUPPORTED, "libarchive is missing")
    try:
        with _opened(octets, formats) as archive:
            for entry in archive:
                yield from _blocks(entry)
                return
    except ArchiveError as error:
        raise _blocked(error, "member") from error


def _blocks(entry: Any) -> Iterator[bytes]:
    try:
        yield from entry.get_blocks(_BLOCK)
    except ArchiveError as error:
        raise _blocked(error, "member") from error


def _head(octets: bytes, kind: str) -> bytes:
    head = b""
    try:
        for block in only_member(octets, ("raw",)):
            head += block
            if len(head) >= _HEAD:
                break
    except Blocked as blocked:
        if not head:
            raise Blocked(blocked.obstacle, kind) from blocked
    return head


def _unwrapped(name: str) -> str:
    """Return the name of what is behind a filter: bao-cao.txt of bao-cao.txt.gz."""
    stem, dot, ending = name.rpartition(".")
    while dot and stem and ending.lower() in _ENDINGS:
        name = stem
        stem, dot, ending = name.rpartition(".")
    return name if "." in name else stem or name or "data"


def _gzip_name(octets: bytes) -> list[bytes]:
    """Return the name that gzip keeps of what it packed, and unpackers give back (RFC 1952 section 2.3.1)."""
    if not octets.startswith(b"\x1f\x8b\x08") or len(octets) < 12 or not octets[3] & 8:  # FNAME
        return []
    at = 10
    if octets[3] & 4:  # FEXTRA
        at += 2 + int.from_bytes(octets[10:12], "little")
    end = octets.find(b"\0", at, at + _LONGEST_NAME)
    return [octets[at:end]] if end > at else []


def _blocked(error: Exception, what: str) -> Blocked:
    """Tell by libarchive's message, which holds no name, what was in the way."""
    message = str(error).lower()
    if "encrypt" in message or "passphrase" in message:
        return Blocked(Obstacle.ENCRYPTED, what)
    if "unsupported" in message or "not supported" in message:
        return Blocked(Obstacle.UNSUPPORTED, what)
    return Blocked(Obstacle.DAMAGED, what)


def _names_of(entry: Any) -> tuple[str, tuple[str, ...]]:
    """Return a member's names; libarchive has what it could convert as octets, and the rest as wide letters."""
    octets, wide = ffi.entry_pathname(entry._entry_p), ffi.entry_pathname_w(entry._entry_p)
    return named(*([octets] if octets else []), *([str(wide)] if wide else []))
