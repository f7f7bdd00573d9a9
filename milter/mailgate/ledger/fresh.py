"""The traces of the last moments in memory that all workers of one machine share.

The store has a trace a quarter of a second after its mail was answered; the copy that an alias makes of that
mail is at the egress hop within milliseconds, mostly before another worker. The supervisor makes the page
before it starts the workers. Nobody locks: a slot is believed only when its checksum fits, so that two
writers at once cost a look-up in the store, never a wrong answer.
"""

import mmap
import struct
from zlib import crc32

_SLOTS = 16_384  # at 1,000 mails a second, 8 seconds of them
_SLOT_BYTES = 512  # about 40 recipients
_HEAD = struct.Struct(">IqH")  # checksum, key, length
_ROOM = _SLOT_BYTES - _HEAD.size


class Fresh:
    """A table of the newest values, by key; a value that is not there may still be in the store."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _SLOTS * _SLOT_BYTES)

    def put(self, key: int, value: bytes) -> None:
        """Keep a value until another takes its slot; one that is too large is not kept."""
        if len(value) <= _ROOM:
            start = key % _SLOTS * _SLOT_BYTES
            octets = _HEAD.pack(crc32(value, key & 0xFFFF_FFFF), key, len(value)) + value
            self._page[start : start + len(octets)] = octets

    def get(self, key: int) -> bytes | None:
        """Return the value of a key, None where it is not there."""
        start = key % _SLOTS * _SLOT_BYTES
        checksum, known, length = _HEAD.unpack_from(self._page, start)
        if known != key or not 0 < length <= _ROOM:
            return None
        start += _HEAD.size
        value = self._page[start : start + length]
        return value if crc32(value, key & 0xFFFF_FFFF) == checksum else None
