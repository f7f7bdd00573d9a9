"""Whose name a display name claims: people's and units' names, however they are written, and what stands beside them.

Names compare by a key of their letters alone: no marks, no case, no blanks (NGUYEN VAN A, Nguyễn Văn A). A name in a
registry has one key. Of a display name each part between brackets, dashes and commas may be the name, as it stands or
without the title before it or behind it.
"""

import re
import unicodedata
from hashlib import blake2b
from typing import NamedTuple

from .folding import bare_of, fold

_MOST_PARTS = 6
_FEWEST_WORDS, _FEWEST_LETTERS = 2, 5  # a single word is no name of a person, nor of a unit anybody could mistake

_BARE = {
    ord(unicodedata.normalize("NFC", letter + first + second)): ord(letter)
    for letter in "aeiouyAEIOUY"
    for first in ("", "\u0302", "\u0306", "\u031b")
    for second in ("", "\u0300", "\u0301", "\u0309", "\u0303", "\u0323")
    if first + second and len(unicodedata.normalize("NFC", letter + first + second)) == 1
} | {ord("đ"): ord("d"), ord("Đ"): ord("D")}

# What people are called by, and offices; each without marks.
_STYLES = "ong|ba|anh|chi|co|thay|dong chi|dc|ts|ths|pgs|gs|bs|ks|kts|ls|mr|mrs|ms|dr|prof"
_OFFICES = (
    "pho chu tich|chu tich|pho bi thu|bi thu|pho giam doc|giam doc|pho chanh van phong|chanh van phong|"
    "pho chanh thanh tra|chanh thanh tra|pho truong phong|truong phong|pho truong ban|truong ban|pho cuc truong|"
    "cuc truong|chi cuc truong|vu truong|thu truong|bo truong|pho thu tuong|thu tuong|uy vien|dai bieu|"
    "hieu truong|ke toan truong|truong|pho|pct|ct|gd|pgd|chairman|vice chairman|director|deputy director|secretary"
)
_BODIES = (
    "thuong truc|ubnd|hdnd|uy ban nhan dan|hoi dong nhan dan|tinh uy|thanh uy|huyen uy|dang uy|van phong|so|tinh"
)
_BEFORE = re.compile(rf"(?:(?:{_STYLES}|{_OFFICES}|{_BODIES}) )+")
_BEHIND = re.compile(rf" (?:{_OFFICES}|{_BODIES})(?= |$).*")
_OFFICE = re.compile(rf"(?:^| )(?:{_OFFICES}|{_BODIES})(?= |$)")
_FIRST_WORDS = frozenset(phrase.split()[0] for phrase in f"{_STYLES}|{_OFFICES}|{_BODIES}".split("|"))
_PART = re.compile(r"[^\w\s.']+|_+")
_GAP = re.compile(r"[\W_]+")


class Claim(NamedTuple):
    """A name that is claimed, by its key; of_office: whether an office or a body stands beside it."""

    key: int
    of_office: bool


def key_of(name: str, is_unit: bool = False) -> int:
    """Return the key of a name, 63 bits; a unit's are odd, a person's even. 0 for a name without letters.

    >>> key_of("Nguyễn Văn A") == key_of("NGUYEN VAN  A."), key_of("...")
    (True, 0)
    """
    return _key(_GAP.sub("", bare(name)), is_unit)


def bare(text: str) -> str:
    """Return a text in lower case without marks."""
    plain = text.translate(_BARE).lower()
    if plain.isascii():  # as nearly every name is
        return plain
    canon = fold(text).canon
    return "".join([letter if letter <= "\x7f" else bare_of(letter) for letter in canon])


def claims_of(shown: str) -> tuple[Claim, ...]:
    """Return the names that a display name may be the name of; as people's keys: a unit's is the next number."""
    parts = [
        _GAP.sub(" ", part).strip() for part in _PART.split(bare(shown).replace("d/c ", "dc "))[: 4 * _MOST_PARTS]
    ]
    parts = [part for part in parts if part][:_MOST_PARTS]
    titled = [not _FIRST_WORDS.isdisjoint(part.split(" ")) for part in parts]
    names = {" ".join(parts): False}
    if not any(titled):  # as nearly always: people are called by their names
        names |= dict.fromkeys(parts, False)
        parts = []
    offices = [_OFFICE.search(part) is not None for part in parts]
    for at, part in enumerate(parts):
        beside = any(offices[:at]) or any(offices[at + 1 :])
        before = _BEFORE.match(part)
        rest = part[before.end() :] if before else part
        is_titled = beside or (before is not None and _OFFICE.search(before[0]) is not None)
        alone = _BEHIND.sub("", rest)
        for name, of_office in ((part, beside), (rest, is_titled), (alone, is_titled or alone != rest)):
            names[name] = names.get(name, False) or of_office
    return tuple(
        Claim(_key(name.replace(" ", ""), is_unit=False), of_office)
        for name, of_office in names.items()
        if name.count(" ") >= _FEWEST_WORDS - 1 and len(name) - name.count(" ") >= _FEWEST_LETTERS
    )


def _key(letters: str, is_unit: bool) -> int:
    if not letters:
        return 0
    digest = int.from_bytes(blake2b(letters.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return (digest >> 2 << 1) | is_unit
