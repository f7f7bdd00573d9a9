"""Domains that are made to be taken for one of ours: hanam-gov.vn, h4namgov.vn, hanam.gov.vn.example.com.

A domain is brought to what a reader sees of it, as the skeleton of UTS 39 is: A-labels decoded, letters of other
scripts as the Latin ones that they look like, no marks, digits as letters, `rn` as m. It looks like ours where labels
of it that follow each other are, joined, all of ours, or ours without its last label, or turned round (gov-hanam).
One letter of the name may be another, too many, missing or in its neighbour's place, if it has _LONG or more.

The name with another ending is none: hanam.vn and hanam.com are anybody's who trades there. So is one edit of the
ending: hanamgo.vn sells wood (gỗ). What is below the domains of state bodies is registered by them alone, and is not
asked for here.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from ..caches import remembered
from .folding import HOMOGLYPHS, LOOK_ALIKES, bare_of

_LONG = 5  # letters: of hue and ha, every second short name is one edit away
_MOST_LABELS = 6  # of a domain that are looked at, from its end and its beginning: a mail's has two to four
_LONGEST = 40  # letters of a name whose edits are looked for; RFC 1035 has labels of 63
_DIGITS = str.maketrans("01345i", "oleasl", "-")
_OTHERS = str.maketrans("ɑɡոɩӏ", "agnil")  # that folding leaves as they are


@remembered("look_alikes.shapes_of")
def shapes_of(domain: str) -> tuple[str, ...]:
    """Return what a canonical domain may be read as: each run of its labels, joined, as a skeleton."""
    labels = domain.split(".")
    if len(labels) > _MOST_LABELS:
        labels = labels[: _MOST_LABELS // 2] + labels[-_MOST_LABELS // 2 :]
    seen = [skeleton(label) for label in labels]
    ends = range(1, len(seen) + 1)
    return tuple(dict.fromkeys([_joined(seen[start:end]) for end in ends for start in range(end)]))


def skeleton(label: str) -> str:
    """Return what a label looks like letter by letter, without hyphens.

    >>> skeleton("h4nam-g0v"), skeleton("xn--hnam-gov-zya")
    ('hanamgov', 'hanamgov')
    """
    if label.startswith("xn--"):
        try:
            label = label[4:].encode("ascii").decode("punycode")
        except UnicodeError:
            return label
    text = unicodedata.normalize("NFKC", label).lower()
    if not text.isascii():
        text = text.translate(LOOK_ALIKES).translate(HOMOGLYPHS).translate(_OTHERS).lower()
        text = "".join([bare_of(letter) for letter in text])
    return text.translate(_DIGITS)


def _joined(labels: Sequence[str]) -> str:
    """Join skeletons: only now is seen which letters stand side by side."""
    return "".join(labels).replace("rn", "m").replace("vv", "w")


def look_alike_of(domain: str, ours: frozenset[str]) -> str:
    """Return which of our domains a canonical domain looks like, "" for none; ours, or below one of ours, is none."""
    table = _table(ours)
    shapes = shapes_of(domain)
    found = next((table.exact[shape] for shape in shapes if shape in table.exact), "")
    if not found:
        for ending, names in table.names.items():
            for shape in shapes:
                if shape.endswith(ending) and (found := _near(shape[: -len(ending)], names)):
                    break
            if found:
                break
    return "" if found and _is_below(domain, ours) else found


def _is_below(domain: str, names: frozenset[str]) -> bool:
    while domain and domain not in names:
        domain = domain.partition(".")[2]
    return bool(domain)


class _Table:
    """Our domains as they look: whole ones, and of each ending the names before it, each letter of them left out."""

    def __init__(self, ours: frozenset[str]) -> None:
        self.exact: dict[str, str] = {}
        self.names: dict[str, dict[str, list[tuple[str, str]]]] = {}
        for domain in sorted(ours):
            labels = [skeleton(label) for label in domain.split(".")]
            before, endings = labels[:-2], [labels[-2:], labels[-2:-1]]
            if len(labels) < 3:
                before, endings = labels[:1], [labels[1:]]
            else:
                self.exact.setdefault(_joined([labels[-2], *before]), domain)
            name = _joined(before)
            for ending in endings:
                self.exact.setdefault(_joined([*before, *ending]), domain)
                if len(name) >= _LONG:
                    known = self.names.setdefault(_joined(ending), {})
                    for variant in _shortened(name):
                        known.setdefault(variant, []).append((name, domain))


@lru_cache(maxsize=4)
def _table(ours: frozenset[str]) -> _Table:
    return _Table(ours)


def _shortened(name: str) -> Iterator[str]:
    """Yield a name, and the name without each of its letters."""
    yield name
    yield from {name[:at] + name[at + 1 :] for at in range(len(name))}


def _near(name: str, names: dict[str, list[tuple[str, str]]]) -> str:
    """Return the domain whose name is one edit away; what has the same rest without a letter each may be."""
    if not _LONG - 1 <= len(name) <= _LONGEST:
        return ""
    for variant in _shortened(name):
        for other, domain in names.get(variant, ()):
            if _is_one_edit(name, other):
                return domain
    return ""


def _is_one_edit(one: str, other: str) -> bool:
    """Tell whether two texts are the same but for a letter, or two neighbours in each other's place.

    >>> _is_one_edit("hanan", "hanam"), _is_one_edit("hnaam", "hanam"), _is_one_edit("hanoi", "hanam")
    (True, True, False)
    """
    if len(one) > len(other):
        one, other = other, one
    if len(other) - len(one) > 1:
        return False
    at = next((at for at, letter in enumerate(one) if letter != other[at]), len(one))
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    swapped = one[at + 1 : at + 2] + one[at : at + 1] == other[at : at + 2]
    return one[at + 1 :] == other[at + 1 :] or (swapped and one[at + 2 :] == other[at + 2 :])
