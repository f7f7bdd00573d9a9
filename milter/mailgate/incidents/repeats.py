"""The same refusal of the same source again and again: ten records, then one that counts.

The source is the client's network and the hook; of our own mail also the login and the mailboxes that the findings
name, so that no mailbox of ours is lost in a number. Refusals are the same where each finding has a like one
(record.signature_of). From the eleventh within WINDOW_S on, mails are only counted; their replies bear the case
number of the record that the eleventh opened, which is on disk before any of them is answered. When the time is over,
or the daemon stops, a record of the kind "repeats" says how many followed. After a crash that number is missing, at
most what one process refused within WINDOW_S; the record that the replies' case number leads to is there.

Never counted but recorded whole is what did not end with its refusal: mail that goes on, wholly or to some; what is
held or discarded, for its queue id is all that leads to it; and what names a mailbox to be locked.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Protocol

import structlog

from ..model import LOCK, Action, Mail, Verdict, network_of
from .record import bounded, finding_head, new_case, signature_of

log = structlog.get_logger()

WINDOW_S = 60.0
WHOLE = 10
"""Records that a source has within WINDOW_S before it is counted: enough to see what it does."""
MOST_SOURCES = 10_000
"""That are watched at once, 300 octets each; beyond it each mail has its own record."""
MOST_OCTETS = 4_000_000
"""Of the names of mailboxes that mails which are only counted speak of, altogether; beyond it no new one is named."""
_MOST_NAMES = 100  # of one record: 64 KB hold them
_LONGEST_NAME = 320
_RETRY_S = 5.0

_ENDED = frozenset({Action.REJECT, Action.TEMPFAIL})


class Notebook(Protocol):
    """Where records go (incidents.recorder)."""

    def note(self, record: dict[str, Any]) -> Awaitable[None]:
        """Take one record; done once it is durable."""


class Repeated:
    """One source's mails from the eleventh on; case: of the record that the first of them opened."""

    def __init__(self, case: str, network: str, hook: str, verdict: Verdict) -> None:
        self.case = case
        self.count = 0  # of mails, with the one that opened it
        self.network = network
        self.hook = hook
        self.action = verdict.action
        self.stage = verdict.stage
        self.findings = list({signature_of(finding): finding for finding in verdict.findings}.values())
        self.mailboxes: dict[str, int] = {}  # of those that only count: how many spoke of each
        self.unnamed = 0
        self._opening: asyncio.Task[None] | None = None

    async def is_open(self) -> bool:
        """Tell whether its record is on disk, once that is known."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        return self._opening is not None and not self.has_failed

    @property
    def has_failed(self) -> bool:
        """Tell whether its record could not be written: then no mail was counted by it."""
        return self._opening is not None and self._opening.done() and self._opening.exception() is not None

    async def opened(self, write: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait until its record is on disk; the first who asks has it written. Raises what writing raises."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(write())
        await asyncio.shield(self._opening)  # who hangs up meanwhile leaves the others their record


class _Source:
    """A source within one window."""

    __slots__ = ("began", "count", "repeated")

    def __init__(self, began: float) -> None:
        self.began = began
        self.count = 0
        self.repeated: Repeated | None = None


class Repeats:
    """One process's counts; clock: in seconds, never set back."""

    def __init__(
        self,
        notebook: Notebook,
        node: str,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notebook = notebook
        self._node = node
        self._now = now
        self._clock = clock
        self._sources: dict[bytes, _Source] = {}  # in the order in which they began
        self._octets = 0
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def take(self, mail: Mail, verdict: Verdict) -> Repeated | None:
        """Return by what this verdict is counted, None where it has a record of its own."""
        self._end_old()
        if not _is_countable(verdict):
            return None
        source = self._source_of(mail, verdict)
        if source is None:
            return None
        source.count += 1
        if source.count <= WHOLE:
            return None
        repeated = source.repeated
        if repeated is None or repeated.has_failed:
            self._forget_names(repeated)
            network = network_of(mail.session.client_ip)
            repeated = source.repeated = Repeated(new_case(self._now()), network, mail.session.hook, verdict)
            self._wake()
        else:
            self._name(repeated, _mailboxes_of(verdict))
        repeated.count += 1
        return repeated

    async def flush(self) -> None:
        """Write what was counted, and stop."""
        if self._timer is not None:
            self._timer.cancel()
        for source in self._sources.values():
            self._end(source)
        self._sources.clear()
        if self._ending:
            await asyncio.wait(self._ending, timeout=_RETRY_S)

    def _source_of(self, mail: Mail, verdict: Verdict) -> _Source | None:
        session = mail.session
        own: list[str] = [mail.envelope.login, *_mailboxes_of(verdict)] if mail.is_ours else []
        signatures = sorted({"\t".join(map(str, signature_of(finding))) for finding in verdict.findings})
        parts = [network_of(session.client_ip), session.hook, verdict.action, verdict.stage, *own, "", *signatures]
        key = blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=16).digest()
        source = self._sources.get(key)
        if source is None and len(self._sources) < MOST_SOURCES:
            source = self._sources[key] = _Source(self._clock())
        return source

    def _name(self, repeated: Repeated, mailboxes: Iterable[str]) -> None:
        for mailbox in mailboxes:
            name = bounded(mailbox, _LONGEST_NAME)
            if name in repeated.mailboxes:
                repeated.mailboxes[name] += 1
            elif len(repeated.mailboxes) < _MOST_NAMES and self._octets + len(name) <= MOST_OCTETS:
                repeated.mailboxes[name] = 1
                self._octets += len(name)
            else:
                repeated.unnamed += 1

    def _forget_names(self, repeated: Repeated | None) -> None:
        if repeated is not None:
            self._octets -= sum(map(len, repeated.mailboxes))

    def _wake(self) -> None:
        """End windows in time also where no other mail comes."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WINDOW_S, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._end_old()
        if any(source.repeated is not None for source in self._sources.values()):
            self._timer = asyncio.get_running_loop().call_later(_RETRY_S, self._on_time)

    def _end_old(self) -> None:
        over = self._clock() - WINDOW_S
        while self._sources:
            key = next(iter(self._sources))
            if self._sources[key].began > over:
                return
            self._end(self._sources.pop(key))

    def _end(self, source: _Source) -> None:
        repeated = source.repeated
        self._forget_names(repeated)
        if repeated is not None and repeated.count > 1:
            task = asyncio.get_running_loop().create_task(self._write_count(repeated))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _write_count(self, repeated: Repeated) -> None:
        """Write how many followed, once the record that they follow is there; while it cannot be done, again."""
        if not await repeated.is_open():
            return
        record = count_record(repeated, self._node, self._now())
        while True:
            try:
                await self._notebook.note(record)
            except OSError as error:
                log.error(
                    "repeats could not be recorded", case=repeated.case, count=record["count"], error=str(error)
                )
                await asyncio.sleep(_RETRY_S)
            else:
                return


def count_record(repeated: Repeated, node: str, now: datetime) -> dict[str, Any]:
    """Return the record of how many mails followed the one that opened a count.

    mailboxes: how many of them spoke of each. A finding is without what is one mail's own: `recipient` is there,
    empty, where it named one.
    """
    findings = [
        finding_head(replace(finding, recipient="", forwarder="")) | ({"recipient": ""} if finding.recipient else {})
        for finding in repeated.findings
    ]
    record: dict[str, Any] = {
        "time": now.isoformat(timespec="milliseconds"),
        "case": new_case(now),
        "kind": "repeats",
        "of_case": repeated.case,
        "count": repeated.count - 1,
        "node": node,
        "hook": repeated.hook,
        "network": repeated.network,
        "action": repeated.action,
        "stage": repeated.stage,
        "findings": findings,
        "mailboxes": repeated.mailboxes,
    }
    return record | ({"more": {"mailboxes": repeated.unnamed}} if repeated.unnamed else {})


def _is_countable(verdict: Verdict) -> bool:
    """Tell whether a verdict ended its mail, or refused its only recipient, and leads to nothing else."""
    return verdict.action in _ENDED and not any(
        piece.kind == LOCK for finding in verdict.findings for piece in finding.evidence
    )


def _mailboxes_of(verdict: Verdict) -> dict[str, None]:
    return dict.fromkeys(mailbox for finding in verdict.findings for mailbox in finding.mailboxes)
