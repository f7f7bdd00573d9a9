"""The traces of the last moments in memory that all workers of one machine share.

The store has a trace a quarter of a second after its mail was answered; the copy that an alias makes of that
mail is at the egress hop within milliseconds, mostly before another worker. The supervisor makes the page
before it starts the workers. Nobody locks: a slot is believed only when its checksum fits, so that two
writers at once cost a look-up in the store, never a wrong answer.
"""

import mmap
import struct
import time
from collections.abc import Callable
from zlib import crc32

_SLOTS = 65_536
"""Two a mail: at 1,000 mails a second 30 seconds of them, at 10 nearly an hour. 32 MB where all are in use: that long
what was taken in may leave while the store is away."""
_SLOT_BYTES = 512  # about 25 recipients of what leaves
_HEAD = struct.Struct(">IqdH")  # checksum, key, when it was put, length
_STAMP = struct.Struct(">qd")
_ROOM = _SLOT_BYTES - _HEAD.size
_TOO_LARGE = 0xFFFF  # as a length: there is a value, but not here
_JOURNALS_S = 10.0
"""A page that is younger may lack what an earlier run left in its journals, which are counted first of all."""


class Fresh:
    """A table of the newest values, by key; a value that is not there may still be in the store.

    clock: seconds that are the same in all processes, and never set back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._page = mmap.mmap(-1, _SLOTS * _SLOT_BYTES)
        self._clock = clock
        self._began = clock()

    def put(self, key: int, value: bytes) -> None:
        """Keep a value until another takes its slot; of one that is too large it is kept that there is one."""
        is_kept = len(value) <= _ROOM
        kept = value if is_kept else b""
        length = len(value) if is_kept else _TOO_LARGE
        at = self._clock()
        start = key % _SLOTS * _SLOT_BYTES
        octets = _HEAD.pack(_checksum(key, at, kept), key, at, length) + kept
        self._page[start : start + len(octets)] = octets

    def get(self, key: int) -> bytes | None:
        """Return the value of a key, None where it is not there."""
        start = key % _SLOTS * _SLOT_BYTES
        checksum, known, at, length = _HEAD.unpack_from(self._page, start)
        if known != key or not 0 < length <= _ROOM:
            return None
        start += _HEAD.size
        value = self._page[start : start + length]
        return value if _checksum(key, at, value) == checksum else None

    def may_lack(self, key: int, within_s: float) -> bool:
        """Tell whether a value may have been put under a key within so many seconds, though `get` has none.

        It was too large, or another took its slot since, or is about to; or an earlier daemon's page had it.
        """
        now = self._clock()
        if now - self._began < _JOURNALS_S:
            return True
        start = key % _SLOTS * _SLOT_BYTES
        head: tuple[int, int, float, int] = _HEAD.unpack_from(self._page, start)
        checksum, known, at, length = head
        if not checksum:
            return False  # nobody ever wrote here
        start += _HEAD.size
        value = self._page[start : start + length] if length <= _ROOM else b""
        return now - at <= within_s or _checksum(known, at, value) != checksum


def _checksum(key: int, at: float, value: bytes) -> int:
    return crc32(value, crc32(_STAMP.pack(key, at))) or 1  # 0: a slot that nobody wrote
