"""The label of advertising mail (nhãn thư điện tử quảng cáo): Decree 91/2020/NĐ-CP article 18, [QC] or [AD], first in
the subject.

A label says that its sender calls the mail an advertisement. Whether a mail without one is an advertisement is no
question of the subject: QC is quality control too, and QCVN a technical regulation.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from .folding import fold


class Standing(StrEnum):
    """How a label fits article 18."""

    OK = "ok"
    NEAR = "near"  # the label, not as it is to be written
    MISPLACED_OR_WRONG = "misplaced_or_wrong"
    NONE = "none"


class Fault(StrEnum):
    """What is odd about a label."""

    NO_FAULT = ""
    FULL_WIDTH = "full-width letters"  # accepted: they read the same
    LOOK_ALIKES = "look-alike or invisible letters"
    SPACES = "spaces or dots within"
    CASE = "small letters"
    BRACKET_MISSING = "a bracket missing"
    REPEALED = "the label of the repealed Decree 90/2008"
    OTHER_BRACKETS = "other brackets, or none"
    WORDS = "words for the label"
    REPLY = "after the mark of a reply"
    NOT_FIRST = "not first"


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a subject."""

    standing: Standing
    fault: Fault = Fault.NO_FAULT


_RIGHT = re.compile(r"\s*\[(?:QC|AD)\]")
_FILTERS = re.compile(r"\s*(?:\[\**spam\**\]|\*+spam\*+)\s*", re.IGNORECASE)  # what a filter on the way put before it
_NEAR = (
    (Fault.CASE, re.compile(r"\[(?:qc|ad)\]", re.IGNORECASE)),
    (Fault.SPACES, re.compile(r"\[[\s.:_-]*(?:q[\s._-]{0,2}c|a[\s._-]{0,2}d)[\s.:_-]*\]", re.IGNORECASE)),
    (Fault.BRACKET_MISSING, re.compile(r"\[(?:QC|AD)\b(?![\w.\]/-])|(?:QC|AD)\]")),
)
_WRONG = (
    (Fault.REPEALED, re.compile(r"\W{0,2}\badv\b\s*[\])}>:]", re.IGNORECASE)),
    (
        Fault.OTHER_BRACKETS,
        re.compile(r"[({<«【《|*]+\s*(?:QC|AD)\s*[)}>»】》|*]|(?:QC|AD)(?::|\s+[-–—]\s)", re.IGNORECASE),
    ),
    (
        Fault.WORDS,
        re.compile(r"[\[({<«【]\s*(?:quảng cáo|quang cao|advertisement|advertising)\s*[\])}>»】]", re.IGNORECASE),
    ),
    (Fault.REPLY, re.compile(r"(?:(?:re|fw|fwd|tl|ct|trả lời|chuyển tiếp)\s*:\s*)+\[(?:QC|AD)\]", re.IGNORECASE)),
)
_ANYWHERE = re.compile(r"\[(?:QC|AD)\]")


def label_of(subject: str) -> Label:
    """Return the label of a decoded subject (RFC 2047), and what is odd about it."""
    read = subject[tag.end() :] if (tag := _FILTERS.match(subject)) else subject
    if _RIGHT.match(read):
        return Label(Standing.OK)
    if _RIGHT.match(unicodedata.normalize("NFKC", read)):
        return Label(Standing.OK, Fault.FULL_WIDTH)
    text = fold(read).cased.lstrip()
    if _RIGHT.match(text):
        return Label(Standing.NEAR, Fault.LOOK_ALIKES)
    for standing, faults in ((Standing.NEAR, _NEAR), (Standing.MISPLACED_OR_WRONG, _WRONG)):
        for fault, pattern in faults:
            if pattern.match(text):
                return Label(standing, fault)
    return Label(Standing.MISPLACED_OR_WRONG, Fault.NOT_FIRST) if _ANYWHERE.search(text) else Label(Standing.NONE)
