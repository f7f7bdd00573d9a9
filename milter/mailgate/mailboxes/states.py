"""States of mailboxes: which change is allowed, and how a running daemon follows them, and the exemptions with them.

locked (7.1-7.3): no sending, still receiving; revoked (6.2): neither.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, Protocol

import orjson
import structlog

from ..model import Exemption, MailboxKind, MailboxState, MailboxStatus
from ..text.claimed_names import key_of
from .names import BUCKETS, Names

_P = ParamSpec("_P")

log = structlog.get_logger()

FOLLOW_S = 1.0  # a change is seen by every node within 5 s; asking each second costs one small query
NAMES_IDLE = 4
"""For each second that names are read, so many in which they are not: a million of them slow no mail down. Nothing
refuses a mail by them, so that they may be late."""
_NAMES_REST_S = 60.0  # between two readings, however often the registry changes
_SORTED_AT_ONCE = 32  # buckets


class Transition(NamedTuple):
    """What an act makes of a mailbox, and of which; must_change_password: whoever logs in next must change it."""

    allowed: frozenset[MailboxStatus]
    status: MailboxStatus
    must_change_password: bool = False


TRANSITIONS: Mapping[str, Transition] = {
    "lock": Transition(frozenset({MailboxStatus.ACTIVE}), MailboxStatus.LOCKED),
    "restore": Transition(frozenset({MailboxStatus.LOCKED, MailboxStatus.REVOKED}), MailboxStatus.ACTIVE, True),
    "revoke": Transition(frozenset({MailboxStatus.ACTIVE, MailboxStatus.LOCKED}), MailboxStatus.REVOKED),
}


class StateStore(Protocol):
    """The part of a store that states need."""

    async def states_version(self) -> int:
        """Return a number that changes whenever any state or exemption changes."""

    async def exemptions(self) -> list[Exemption]:
        """Return every exemption that was not removed."""

    async def states(self) -> dict[str, MailboxState]:
        """Return every mailbox's latest state."""

    async def units(self) -> frozenset[str]:
        """Return the mailboxes that are a unit's."""

    async def delimited(self) -> frozenset[str]:
        """Return the registered mailboxes whose local part holds more than letters, digits and dots."""

    async def registry_version(self) -> int:
        """Return a number that changes whenever the registry does."""

    def names(self) -> AsyncIterator[list[tuple[str, MailboxKind]]]:
        """Yield the registry's names, some at a time."""

    async def state(self, mailbox: str) -> MailboxState | None:
        """Return one mailbox's latest state."""

    async def set_state(self, state: MailboxState) -> None:
        """Set one mailbox's state."""


async def change(
    store: StateStore,
    address: str,
    act: str,
    now: datetime,
    clause: str = "",
    reason: str = "",
    document: str = "",
    by: str = "",
) -> MailboxState:
    """Lock, restore or revoke a mailbox; raises ValueError when its state does not allow that."""
    allowed, status, must_change_password = TRANSITIONS[act]
    known = await store.state(address)
    current = known.status if known else MailboxStatus.ACTIVE
    if current not in allowed:
        takes = " or ".join(sorted(allowed))
        others = " or ".join(name for name, transition in TRANSITIONS.items() if current in transition.allowed)
        raise ValueError(f"{address} is {current}: {act} takes a mailbox that is {takes}; {others} takes this one")
    at = now.isoformat(timespec="seconds")
    state = MailboxState(address, status, clause, reason, document, at, by, must_change_password)
    await store.set_state(state)
    return state


def state_of(fields: Mapping[str, Any]) -> MailboxState:
    """Return a state from its fields, as JSON has them."""
    return MailboxState(**{**fields, "status": MailboxStatus(fields["status"])})


class StateFollower:
    """The states as this process last saw them; kept while the store is away.

    `states` is None until the first load, then holds the mailboxes that are not active. An exemption ends by itself:
    whoever asks it compares its time. units: the mailboxes that are a unit's. registered: those that are no
    sub-address, though they look like one; always the same set. names: how many registered mailboxes have a name,
    always the same object; empty unless `wants_names`. first: what must be known before any state is, for mail is
    taken from then on. last_known: a file that keeps them, for a start while the store is away.
    """

    def __init__(
        self,
        store: StateStore,
        failed: Callable[[Exception], None],
        first: Callable[[], Awaitable[None]] | None = None,
        last_known: Path | None = None,
        wants_names: Callable[[], bool] = lambda: False,
    ) -> None:
        self.states: Mapping[str, MailboxState] | None = None
        self.exemptions: tuple[Exemption, ...] = ()
        self.units: frozenset[str] = frozenset()
        self.registered: set[str] = set()
        self.names = Names()
        self._store = store
        self._failed = failed
        self._first = first
        self._last_known = last_known
        self._version: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._wants_names = wants_names
        self._names_version: int | None = None
        self._names_task: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Load the states when they have changed; raises what the store raises."""
        if self._first is not None:
            await self._first()
        version = await self._store.states_version()
        if version != self._version:
            states = await self._store.states()
            exemptions = tuple(await self._store.exemptions())
            units = await self._store.units()
            registered = await self._store.delimited()
            self.states = {
                address: state for address, state in states.items() if state.status is not MailboxStatus.ACTIVE
            }
            self.exemptions = exemptions
            self.units = units
            self.registered.clear()
            self.registered |= registered
            self._version = version
            self._keep()

    async def load_names(self, idle: float = 0.0) -> None:
        """Load the registry's names when it has changed, idle after each step; raises what the store raises."""
        if not self._wants_names():
            self.names.take(Names())
            self._names_version = None
            return
        version = await self._store.registry_version()
        if version == self._names_version:
            return
        names = Names()
        async for some in self._store.names():
            await _step(idle, lambda some: names.add(_keys(some)), some)
        for first in range(0, BUCKETS, _SORTED_AT_ONCE):
            await _step(idle, names.sort, first, first + _SORTED_AT_ONCE)
        self.names.take(names)
        self._names_version = version

    async def load_or_remember(self) -> None:
        """Load the states, or take them as this machine last knew them; raises what the store raises for neither."""
        try:
            await self.load()
        except Exception:
            if self._last_known is None or not self._last_known.exists():
                raise
            states, exemptions, *more = orjson.loads(self._last_known.read_bytes())
            self.states = {fields["address"]: state_of(fields) for fields in states}
            self.exemptions = tuple(Exemption(**fields) for fields in exemptions)
            for registered in more:  # version 0.1 kept none
                self.registered |= set(registered)

    def _keep(self) -> None:
        """Write down what holds, for a start while the store is away."""
        if self._last_known is not None and self.states is not None:
            held = [*map(asdict, self.states.values())], [*map(asdict, self.exemptions)], sorted(self.registered)
            octets = orjson.dumps(held)
            with contextlib.suppress(OSError):  # the next start asks the store
                draft = self._last_known.with_suffix(f".{os.getpid()}")
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
                with open(descriptor, "wb") as file:
                    file.write(octets)
                draft.replace(self._last_known)

    def start(self) -> None:
        """Follow the store until `stop`."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._follow())
        self._names_task = loop.create_task(self._follow_names())

    async def stop(self) -> None:
        """Stop following."""
        for task in (self._task, self._names_task):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _follow(self) -> None:
        while True:
            try:
                await self.load()
            except Exception as error:
                self._failed(error)
            await asyncio.sleep(FOLLOW_S)

    async def _follow_names(self) -> None:
        while True:
            try:
                await self.load_names(NAMES_IDLE)
            except Exception as error:
                log.warning("registry_names_unread", error=str(error), next_s=_NAMES_REST_S)
            await asyncio.sleep(_NAMES_REST_S)


def _keys(names: Sequence[tuple[str, MailboxKind]]) -> list[int]:
    return [key_of(name, kind is MailboxKind.UNIT) for name, kind in names]


async def _step(idle: float, work: Callable[_P, None], *arguments: _P.args, **named: _P.kwargs) -> None:
    """Do a step beside the loop, and wait idle times as long as it took."""
    began = time.perf_counter()
    await asyncio.to_thread(work, *arguments, **named)
    await asyncio.sleep(idle * (time.perf_counter() - began))
