"""Inspection without processes: the same steps, in this one."""

import os
from collections.abc import Iterator
from typing import Any

from mailgate.documents.budget import Budget, Limits
from mailgate.inspection.inspector import Inspector
from mailgate.inspection.job import AnyJob, Proven, SignatureJob
from mailgate.inspection.limits import InspectionLimits
from mailgate.inspection.look import look
from mailgate.inspection.pool import Content, Outcome
from mailgate.inspection.signatures import Message, proven


class InProcess:
    """Does what a worker does; counts the jobs that it was given, and the pieces in them."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.jobs = 0
        self.pieces = 0
        self._limits = limits or Limits()

    async def run(self, job: AnyJob, content: Content) -> Outcome[Any]:
        self.jobs += 1
        if isinstance(job, SignatureJob):
            octets = len(content.octets) if content.descriptor is None else os.fstat(content.descriptor).st_size
            message = Message(lambda: _chunks(content, 0, octets))
            return Outcome(ended=[[Proven(domain) for domain in proven(job, message)]])
        self.pieces += len(job.pieces)
        budget = Budget(self._limits)
        ended = [list(look(piece, _chunks(content, *piece.leaf.span), budget)) for piece in job.pieces]
        return Outcome(ended=list(ended))

    def lacks(self) -> list[str]:
        return []

    async def close(self) -> None:
        """There is nothing to close."""


def _chunks(content: Content, start: int, stop: int) -> Iterator[bytes]:
    if content.descriptor is None:
        yield content.octets[start:stop]
    else:
        yield os.pread(content.descriptor, stop - start, start)


def inspector() -> Inspector:
    """Return an inspector that needs no process."""
    return Inspector(InProcess(), InspectionLimits())
