"""Every cache of the daemon that is keyed by what strangers write, with its bound in octets.

`functools.lru_cache` bounds entries, and one entry may be as long as a header. Here the longest key is bounded too,
and what a value takes for each octet of its key, so that entries times the largest one stay below the bound; what has
a longer key is worked out anew each time. All of them together hold TOGETHER octets in a process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Bound:
    """octets: of the whole cache at the most. longest: octets or letters of a key that is kept. grows: octets that an
    entry takes for each of them, the key's own included."""

    octets: int
    longest: int
    grows: int = 8

    @property
    def entries(self) -> int:
        """How many of the largest ones fit."""
        return self.octets // (_ENTRY_OCTETS + self.longest * self.grows)


_ENTRY_OCTETS = 400  # two objects, their place in a dictionary, and the links of the least recently used

BOUNDS = {
    # addresses: RFC 5321 section 4.5.3.1 has paths of 256 octets, people have them of 40
    "mailbox_of": Bound(4_194_304, 128),
    "canonical_domain": Bound(1_048_576, 128),
    "spoken_of": Bound(1_048_576, 200, 12),
    "listed_in": Bound(1_048_576, 160, 60),
    "organisational": Bound(1_048_576, 128, 24),
    "look_alikes.shapes_of": Bound(1_048_576, 80, 40),
    "sender_identity._claims": Bound(1_048_576, 160, 24),
    "sender_identity._spoken": Bound(524_288, 160, 60),
    # header blocks: most mails repeat the same few
    "parse_parameters": Bound(2_097_152, 160, 120),
    "read_fields": Bound(1_572_864, 320, 20),
    "describe_block": Bound(1_572_864, 400, 20),
    "parse_connect": Bound(524_288, 300, 4),
    # words and letters of texts
    "read_name": Bound(1_048_576, 128, 16),
    "charsets._codec": Bound(131_072, 40, 12),
    "charsets._is_syllable": Bound(3_145_728, 12),
    "bare_of": Bound(524_288, 4),
    "folding._utf8": Bound(524_288, 4),
}
TOGETHER = sum(bound.octets for bound in BOUNDS.values())


class Remembered(Generic[Key, Value]):
    """A function of one key that remembers what it has worked out, within its bound; `anew` does not."""

    def __init__(self, name: str, function: Callable[[Key], Value], size: Callable[[Any], int]) -> None:
        bound = BOUNDS[name]
        self.name = name
        self.kept = lru_cache(bound.entries)(function)
        self.anew = function
        self._longest = bound.longest
        self._size = size
        self.__doc__ = function.__doc__

    def __call__(self, key: Key) -> Value:
        """Return what is remembered of a key, or work it out."""
        return self.kept(key) if self._size(key) <= self._longest else self.anew(key)


def remembered(
    name: str, size: Callable[[Any], int] = len
) -> Callable[[Callable[[Key], Value]], Remembered[Key, Value]]:
    """Have a function remember its values, as BOUNDS says. size: the length of a key."""
    return lambda function: Remembered(name, function, size)
