"""The registry's names as a worker keeps them: their keys alone, 8 octets each.

Sorted numbers in BUCKETS arrays, by their highest bits: a million of them are filled in, and looked up, without one
step that takes long, for the loop runs meanwhile.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

_BUCKET_BITS = 10
BUCKETS = 1 << _BUCKET_BITS
_SHIFT = 63 - _BUCKET_BITS  # a key has 63 bits


class Names:
    """How many registered mailboxes have a name; always the same object, whatever is loaded into it."""

    def __init__(self) -> None:
        self._buckets: list[array[int]] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def count(self, key: int) -> int:
        """Return how many have the name of this key (text.claimed_names)."""
        if not self._buckets:
            return 0
        bucket = self._buckets[key >> _SHIFT]
        return bisect_right(bucket, key) - bisect_left(bucket, key)

    def add(self, keys: Iterable[int]) -> None:
        """Take more keys in; they count once `sort` was called."""
        if not self._buckets:
            self._buckets = [array("q") for _ in range(BUCKETS)]
        buckets = self._buckets
        for key in keys:
            buckets[key >> _SHIFT].append(key)
            self._size += 1

    def sort(self, first: int, last: int) -> None:
        """Sort the buckets from this number to that, which is not among them."""
        for at in range(first, min(last, len(self._buckets))):
            self._buckets[at] = array("q", sorted(self._buckets[at]))

    def take(self, other: "Names") -> None:
        """Hold what another one holds from now on."""
        self._buckets, self._size = other._buckets, other._size
