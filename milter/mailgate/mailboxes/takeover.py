"""Mailboxes that were taken over (4.6): locked at once (7.2b) where a finding says so; a person restores them.

Not over the head of whoever restored one: what it sent before counts for a day, so for a day it is not locked again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from ..incidents.record import bounded, new_case
from ..model import LOCK, MailboxState, MailboxStatus, Verdict, legal_text
from .states import StateStore, change

log = structlog.get_logger()

CLAUSE = "7.2b"
BY = "mailgate"
_ONE_AT_A_TIME_S = 30.0  # workers and nodes that see the same burst: one of them locks
_JUST_RESTORED = timedelta(days=1)
_PATIENCE_S = 10.0
_LONGEST_REASON = 2_200  # octets of the incident; the rates that a rule names take a hundred


class LockStore(StateStore, Protocol):
    """The part of a store that locking needs."""

    async def once(self, name: str, seconds: float, now: float) -> bool:
        """Tell whether this name was not claimed within so many seconds before, and claim it."""


class Notebook(Protocol):
    """Where the incident goes."""

    def note(self, record: dict[str, Any]) -> Awaitable[None]:
        """Take one record; done once it is durable."""


def to_lock(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """Yield each mailbox that a verdict's findings name to be locked, with the reason."""
    for finding in verdict.findings:
        for piece in finding.evidence:
            if piece.kind == LOCK and finding.decides:
                found = (f"{other.name} {other.value}" for other in finding.evidence if other.kind == "rate")
                yield legal_text(piece.value), f"{finding.rule}: {'; '.join(found)}"


def was_just_restored(state: MailboxState | None, now: datetime) -> bool:
    """Tell whether somebody made a mailbox active again within the last day."""
    if state is None or state.status is not MailboxStatus.ACTIVE or not state.at:
        return False
    return abs(now - datetime.fromisoformat(state.at)) < _JUST_RESTORED  # a time to come is of a clock that was wrong


def lock_record(mailbox: str, reason: str, of_case: str, node: str, now: datetime) -> dict[str, Any]:
    """Return the incident of a lock: of which mailbox, why, upon which case."""
    return {
        "time": now.isoformat(timespec="milliseconds"),
        "case": new_case(now),
        "kind": "lock",
        "of_case": of_case,
        "by": BY,
        "clause": CLAUSE,
        "reason": bounded(reason, _LONGEST_REASON),
        "node": node,
        "mailboxes": [mailbox],
        "findings": [],
    }


class Locker:
    """One worker's way to lock mailboxes, later than the reply that says so; the case number is the document."""

    def __init__(self, store: LockStore, notebook: Notebook, node: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._notebook = notebook
        self._node = node
        self._now = now
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def take(self, verdict: Verdict, case: str) -> None:
        """Lock the mailboxes that a recorded verdict names."""
        for mailbox, reason in to_lock(verdict):
            if mailbox not in self._under_way:
                task = asyncio.get_running_loop().create_task(self._lock(mailbox, reason, case))
                self._under_way[mailbox] = task
                task.add_done_callback(lambda _, mailbox=mailbox: self._under_way.pop(mailbox))  # type: ignore[misc]

    async def flush(self) -> None:
        """Wait for what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=_PATIENCE_S)

    async def _lock(self, mailbox: str, reason: str, case: str) -> None:
        now = self._now()
        try:
            known = await self._store.state(mailbox)
            if known is not None and known.status is not MailboxStatus.ACTIVE:
                return
            if was_just_restored(known, now):
                log.warning("mailbox is not locked again: it was restored within a day", mailbox=mailbox, case=case)
            elif await self._store.once(f"lock:{mailbox}", _ONE_AT_A_TIME_S, now.timestamp()):
                # On record first: a deed without a record is worse than one that is tried again.
                await self._notebook.note(lock_record(mailbox, reason, case, self._node, now))
                await change(self._store, mailbox, "lock", now, CLAUSE, reason, case, BY)
                log.warning("mailbox locked", mailbox=mailbox, clause=CLAUSE, case=case)
        except Exception as error:
            log.error("mailbox could not be locked", mailbox=mailbox, case=case, error=str(error))
