"""What inspecting mails may take: one mail, one worker, one daemon process."""

from dataclasses import dataclass, field

from ..documents.budget import Limits


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one worker may take. memory_bytes: of its own, what it shares with others included."""

    memory_bytes: int = 268_435_456


@dataclass(frozen=True, slots=True)
class InspectionLimits:
    """workers: at once, of one daemon process. cpu_s: processor time for one mail. wall_s: for one job, however much
    the machine has to do. cache_bytes: of what was found, kept for the same file in the next mail."""

    workers: int = 4
    cpu_s: float = 8.0
    wall_s: float = 60.0
    cache_bytes: int = 33_554_432
    bounds: Bounds = field(default_factory=Bounds)
    files: Limits = field(default_factory=Limits)
