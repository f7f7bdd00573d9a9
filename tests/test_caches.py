"""What is remembered of what strangers write stays within its octets, whatever they write."""

import sys
import tracemalloc
from collections.abc import Callable
from importlib import import_module

import pytest

from mailgate import caches
from mailgate.caches import BOUNDS, TOGETHER, Remembered

OWNERS = {
    "mailbox_of": "mailgate.identity.spelling",
    "canonical_domain": "mailgate.identity.spelling",
    "spoken_of": "mailgate.text.addresses",
    "listed_in": "mailgate.text.addresses",
    "organisational": "mailgate.text.organisational",
    "look_alikes.shapes_of": "mailgate.text.look_alikes",
    "sender_identity._claims": "mailgate_rules.sender_identity",
    "sender_identity._spoken": "mailgate_rules.sender_identity",
    "parse_parameters": "mailgate.mime.fields",
    "read_fields": "mailgate.mime.part",
    "describe_block": "mailgate.mime.part",
    "parse_connect": "mailgate.wire.milter",
    "read_name": "mailgate.text.file_names",
    "charsets._codec": "mailgate.text.charsets",
    "charsets._is_syllable": "mailgate.text.charsets",
    "bare_of": "mailgate.text.folding",
    "folding._utf8": "mailgate.text.folding",
}


def _filled(number: int, length: int, filler: str) -> str:
    return f"{number:06d}{filler * length}"[:length]


# Of each cache, keys of the full length whose values are as large as they come.
WORST: dict[str, Callable[[int, int], object]] = {
    "mailbox_of": lambda n, size: (_filled(n, size // 4, "a") + "@" + "\u1ead" * size).encode()[:size],
    "canonical_domain": lambda n, size: f"{n}." + "\u1ead." * ((size - 8) // 2),
    "spoken_of": lambda n, size: f"l{n}+" + "\u1ead" * (size // 2) + "=" + "b" * (size // 4) + ".c@\u1ead.example",
    "listed_in": lambda n, size: (f"{n}@a," + "\u00e9@b," * size).encode()[: size - 1],
    "organisational": lambda n, size: f"{n}." + "a." * ((size - 10) // 2) + "vn",
    "look_alikes.shapes_of": lambda n, size: ".".join([f"{n:x}\u1ead", *["\u1ead" * (size // 6)] * 5])[:size],
    "sender_identity._claims": lambda n, size: (f"A{n}" + ", AB CDE" * size).encode()[: size - 1],
    "sender_identity._spoken": lambda n, size: (f"{n}@a " + "a@b " * size).encode()[: size - 1],
    "parse_parameters": lambda n, size: (f"a;n={n}" + "".join(f";{k:x}=" for k in range(size))).encode()[:size],
    "read_fields": lambda n, size: ((b"content-type", (f"a;n={n}" + ";b*0=" * size).encode()[: size - 12]),),
    "describe_block": lambda n, size: (f"Content-Type: a; name={n}" + "x" * size).encode()[: size - 2] + b"\r\n",
    "parse_connect": lambda n, size: (f"{n}" + "a" * (size - 20)).encode() + b"\x004\x00\x19192.0.2.1\0",
    "read_name": lambda n, size: (f"{n}" + ".\u1ead" * size)[: size - 1],
    "charsets._codec": lambda n, size: _filled(n, size, "\u1ead"),
    "charsets._is_syllable": lambda n, size: _filled(n, size, "\u1ead"),
    "bare_of": lambda n, size: chr(0x4E00 + n % 20_000) * size,
    "folding._utf8": lambda n, size: chr(0x4E00 + n % 20_000) * 3,
}


def cache(name: str) -> Remembered[object, object]:
    found = getattr(import_module(OWNERS[name]), name.rpartition(".")[2])
    assert isinstance(found, Remembered)
    return found


def test_the_table_names_every_cache() -> None:
    for module in set(OWNERS.values()):
        import_module(module)
    named = {
        value.name for module in list(sys.modules.values()) for value in vars(module).values() if _is_cache(value)
    }
    assert named == set(BOUNDS) == set(OWNERS) == set(WORST)


def _is_cache(value: object) -> bool:
    return type(value) is caches.Remembered


@pytest.mark.parametrize("name", BOUNDS)
def test_a_cache_holds_no_more_octets_than_its_bound(name: str) -> None:
    remembered, bound = cache(name), BOUNDS[name]
    remembered(WORST[name](0, bound.longest))  # what it looks up in is loaded once, whatever is remembered
    remembered.kept.cache_clear()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2 * bound.entries):
            remembered(WORST[name](number, bound.longest))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert remembered.kept.cache_info().currsize > min(bound.entries, 20_000) * 0.9, "such keys are kept"
    assert after - before <= bound.octets
    remembered.kept.cache_clear()


@pytest.mark.parametrize("name", BOUNDS)
def test_a_long_key_is_not_kept(name: str) -> None:
    remembered, bound = cache(name), BOUNDS[name]
    remembered.kept.cache_clear()
    key = WORST[name](1, bound.longest)
    longer = (*key, *key) if isinstance(key, tuple) else key * 2  # type: ignore[operator]
    remembered(longer)
    assert remembered.kept.cache_info().currsize == 0


def test_all_together_are_a_small_part_of_a_worker() -> None:
    assert TOGETHER < 24 << 20
