"""The shape of results.json: what run.py measures and report.py draws."""

import dataclasses
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of one filter, or the medians of several."""

    rate: float  # mails/s
    cpu_us: float  # the server's CPU time, a mail
    p50_ms: float
    p99_ms: float
    peak_mb: float  # the processes' peak RSS, summed
    generator_busy: float  # the share of a CPU that the load generator took; near 1, it was the limit


Round = TypeVar("Round", "Figures", "EgressRound")


@dataclass(frozen=True, slots=True)
class Ratio:
    """A filter's figures divided by another's: the median over rounds."""

    rate: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Cell:
    """One filter under one kind of load."""

    size: str
    transport: str  # unix, tcp
    connections: str  # reused, one a mail
    pinned: bool  # server and load generator had a CPU each
    peer: str
    median: Figures
    ratio_to: dict[str, Ratio]  # by the other filter's name
    rounds: list[Figures]


@dataclass(frozen=True, slots=True)
class Idle:
    """One filter's memory with idle connections; `resident_mb` by their number."""

    peer: str
    resident_mb: dict[str, float]
    kb_a_connection: float


@dataclass(frozen=True, slots=True)
class Door:
    """A real Postfix with one kind of milter, or none."""

    size: str
    variant: str
    rate: float  # mails/s
    ratio_to_none: float
    rounds: list[float]


@dataclass(frozen=True, slots=True)
class EgressRound:
    """One round of mail that leaves through a real Postfix."""

    rate: float  # mails/s, from the first mail sent to the last one in the sink
    mailgate_us: float  # the CPU time of Mailgate, all its processes, a mail; 0 where there is none
    machine_us: float  # the CPU time of the whole machine a mail, whatever else runs on it included


@dataclass(frozen=True, slots=True)
class Egress:
    """Mail that leaves, by one wiring."""

    size: str
    variant: str
    median: EgressRound
    ratio_to_none: Ratio  # to the Postfix without Mailgate; `cpu` is the whole machine's
    rounds: list[EgressRound]


@dataclass(frozen=True, slots=True)
class Memory:
    """What joining and remembering mails cost: a Mailgate that does, less one that forgets, under the same load."""

    direction: str  # inbound, outgoing
    remembering_us: float  # CPU a mail
    forgetting_us: float
    difference_us: float  # the median over rounds
    rounds: list[float]


@dataclass(frozen=True, slots=True)
class Results:
    machine: dict[str, str]
    settings: dict[str, str]
    milter: list[Cell]
    idle: list[Idle]
    memory: list[Memory]
    postfix: list[Door]
    egress: list[Egress]

    def to_json(self) -> str:
        """Write results.json."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"


def median(rounds: Sequence[Round]) -> Round:
    """Take the median of each figure by itself."""
    kind = type(rounds[0])
    columns: dict[str, Any] = {
        field.name: _round(statistics.median(getattr(figures, field.name) for figures in rounds))
        for field in dataclasses.fields(kind)
    }
    return kind(**columns)


def median_difference(pairs: Iterable[tuple[float, float]]) -> float:
    """Take the median of the differences of what was measured in the same round."""
    return round(statistics.median(ours - theirs for ours, theirs in pairs), 1)


def median_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """Take the median of the quotients of what was measured in the same round."""
    return round(statistics.median(ours / theirs for ours, theirs in pairs), 3)


def _round(value: float) -> float:
    return float(f"{value:.4g}")
