"""What the daemon and an inspection worker say to each other: a job in, what was found out, as frames of JSON.

A worker reads hostile files, and may do what they want: so nothing that it says is trusted to be of any form, and
JSON makes values alone, where pickle would run code.

A frame is its length in four octets, then JSON, or a file as it is. A job's frame is followed by its content, unless
a descriptor of the whole message came with it. The answer is a frame for everything found, as soon as it is, and one
at the end of each piece. To look into leaves and to verify signatures are two kinds of job: no answer to the one
answers the other.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from ..mime.walker import Leaf
from ..model import (
    Danger,
    File,
    Grade,
    Level,
    Mark,
    MarkForm,
    Obstacle,
    Taken,
    Text,
    TextKind,
    Uninspected,
    legal_text,
)


@dataclass(frozen=True, slots=True)
class Proven:
    """A domain of which a signature holds."""

    domain: str


Item = Text | File | Taken | Uninspected
Found = Item | Proven

LENGTH = struct.Struct(">I")
_PLACE = struct.Struct(">sI")  # how the frame of a file begins, which is no JSON; then its place, and its octets
_TAKEN = b"\0"
LONGEST_FRAME = 67_108_864  # octets; the texts of one file are bounded far below


class WorkerError(Exception):
    """A worker said what no worker says."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One leaf of a mail, where its octets stand in the content that goes with the job, and what to call it."""

    leaf: Leaf
    place: str


@dataclass(frozen=True, slots=True)
class Job:
    """Leaves to look into. cpu_s: processor time for all of them together, in seconds."""

    pieces: Sequence[Piece]
    cpu_s: float

    @property
    def ends(self) -> int:
        """How many pieces have an end."""
        return len(self.pieces)


class Kind(StrEnum):
    """Whose signatures are verified: those of DKIM, or the newest seal of an ARC chain."""

    DKIM = "dkim"
    ARC = "arc"


@dataclass(frozen=True, slots=True)
class SignatureJob:
    """Signatures to verify in the whole message. keys: the name of each key at hand to the TXT records there."""

    kind: Kind
    keys: Mapping[str, Sequence[bytes]]
    cpu_s: float
    ends = 1


AnyJob = Job | SignatureJob


@dataclass(frozen=True, slots=True)
class PieceEnd:
    """A piece was seen to its end."""

    number: int


def frame(value: Any) -> bytes:
    """Return a value as a frame."""
    octets = orjson.dumps(value)
    return LENGTH.pack(len(octets)) + octets


def job_frame(job: AnyJob, content_octets: int) -> bytes:
    """Return a job's frame; content_octets: of the content that follows, 0 where a descriptor comes with it."""
    if isinstance(job, SignatureJob):
        keys = {name: [record.decode("latin-1") for record in records] for name, records in job.keys.items()}
        return frame((job.cpu_s, content_octets, job.kind, keys))
    pieces = [(_leaf_values(piece.leaf), legal_text(piece.place)) for piece in job.pieces]
    return frame((job.cpu_s, content_octets, "look", pieces))


def read_job(octets: bytes) -> tuple[AnyJob, int]:
    """Return a job and how many octets of content follow it."""
    cpu_s, content_octets, kind, what = orjson.loads(octets)
    if kind == "look":
        return Job([Piece(_leaf(values), place) for values, place in what], cpu_s), content_octets
    keys = {name: [record.encode("latin-1") for record in records] for name, records in what.items()}
    return SignatureJob(Kind(kind), keys, cpu_s), content_octets


def _leaf_values(leaf: Leaf) -> tuple[Any, ...]:
    words = (leaf.encoding, leaf.type, leaf.name, leaf.charset)
    names = [legal_text(name) for name in leaf.names]
    return (*leaf.span, *map(legal_text, words), leaf.is_attachment, leaf.is_inside, names)


def _leaf(values: Sequence[Any]) -> Leaf:
    start, stop, encoding, type_, name, charset, is_attachment, is_inside, names = values
    return Leaf((start, stop), encoding, type_, name, charset, is_attachment, is_inside, tuple(names))


def found_frame(item: Found) -> bytes:
    """Return what was found as a frame."""
    if isinstance(item, Taken):
        place = item.place.encode("utf-8", "replace")
        octets = _PLACE.pack(_TAKEN, len(place)) + place + item.octets
        return LENGTH.pack(len(octets)) + octets
    if isinstance(item, Proven):
        return frame(("proven", item.domain))
    if isinstance(item, Text):
        marks = [(mark.level, mark.grade, mark.form, mark.line, mark.offset) for mark in item.marks]
        words = (item.place, item.kind, item.canon)
        return frame(("text", *map(legal_text, words), marks, item.charset, legal_text(item.declared), item.is_html))
    if isinstance(item, File):
        dangers = [(danger, legal_text(detail)) for danger, detail in item.dangers]
        called = (item.place, item.name, item.type, item.declared)
        names = [legal_text(name) for name in item.names]
        return frame(("file", *map(legal_text, called), item.size, item.sha256, dangers, names))
    return frame(("uninspected", legal_text(item.place), item.obstacle, legal_text(item.detail)))


def end_frame(end: PieceEnd) -> bytes:
    """Return the end of a piece as a frame."""
    return frame(("end", end.number))


def read_answer(octets: bytes, job: AnyJob) -> Found | PieceEnd:
    """Return what a worker's frame says to this job; raises WorkerError."""
    try:
        if octets.startswith(_TAKEN) and isinstance(job, Job):
            return _taken(octets)
        kind, *values = orjson.loads(octets)
        return _READERS[type(job)][kind](*values)
    except (
        ValueError,
        TypeError,
        KeyError,
        RecursionError,
        struct.error,
    ) as error:  # repr of lists in lists takes the stack
        raise WorkerError(f"an inspection worker does not speak as one: {type(error).__name__}") from error


def _text(
    place: str, kind: str, canon: str, marks: Sequence[Any], charset: str, declared: str, is_html: bool
) -> Text:
    read = tuple(
        Mark(Level(level) if level else None, Grade(grade), MarkForm(form), int(line), int(offset))
        for level, grade, form, line, offset in marks
    )
    return Text(str(place), TextKind(kind), str(canon), read, _word(str(charset)), str(declared), bool(is_html))


def _word(text: str) -> str:
    """Return what may stand in a header of the mail; raise ValueError for anything else."""
    if not text.isascii() or not text.isprintable():
        raise ValueError("not printable")
    return text


def _file(
    place: str,
    name: str,
    type_: str,
    declared: str,
    size: int,
    sha256: str,
    dangers: Sequence[Any],
    names: Sequence[Any],
) -> File:
    read = tuple((Danger(danger), _word(str(detail))) for danger, detail in dangers)
    others = tuple(map(str, names))
    return File(str(place), str(name), str(type_), str(declared), int(size), str(sha256), read, others)


def _taken(octets: bytes) -> Taken:
    _, length = _PLACE.unpack_from(octets)
    start = _PLACE.size + length
    if start > len(octets):
        raise ValueError("too short")
    return Taken(octets[_PLACE.size : start].decode(), octets[start:])


def _uninspected(place: str, obstacle: str, detail: str) -> Uninspected:
    return Uninspected(str(place), Obstacle(obstacle), str(detail))


def _end(number: int) -> PieceEnd:
    return PieceEnd(int(number))


def _proven(domain: str) -> Proven:
    if not isinstance(domain, str) or not domain.isascii() or not domain.isprintable() or len(domain) > _LONGEST_NAME:
        raise ValueError("no domain")
    return Proven(domain)


_LONGEST_NAME = 253  # RFC 1035 section 2.3.4
_READERS: dict[type[AnyJob], dict[str, Callable[..., Found | PieceEnd]]] = {
    Job: {"text": _text, "file": _file, "uninspected": _uninspected, "end": _end},
    SignatureJob: {"proven": _proven, "end": _end},
}
