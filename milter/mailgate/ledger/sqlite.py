"""The embedded store: one SQLite file, shared by the workers of one machine.

Write-ahead log, one transaction a batch: an event is added to the totals only where its key is new, and the keys
are remembered in the same transaction. Every call runs in one thread of its own, but for `recall_at_once`: the way
to the thread and back takes ten times the processor time of the look-up itself, and each mail that leaves needs one.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from pathlib import Path
from typing import TypeVar

from ..model import ActivityEvent, ActivityKind, Exemption, MailboxState, MailboxStatus, Noted, Trace
from .store import MOST_OF_ONE, REMEMBERED_S, Activity, StoreError

_T = TypeVar("_T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (key BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_at ON event (at);
CREATE TABLE IF NOT EXISTS activity (
    mailbox TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, octets INTEGER NOT NULL,
    first_at REAL NOT NULL, last_at REAL NOT NULL, PRIMARY KEY (mailbox, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (
    number INTEGER PRIMARY KEY, address TEXT NOT NULL, status TEXT NOT NULL, clause TEXT NOT NULL,
    reason TEXT NOT NULL, document TEXT NOT NULL, at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS state_address ON state (address, number);
CREATE TABLE IF NOT EXISTS trace (
    number INTEGER PRIMARY KEY, queue_key INTEGER NOT NULL, message_key INTEGER NOT NULL, at INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS trace_queue ON trace (queue_key);
CREATE INDEX IF NOT EXISTS trace_message ON trace (message_key);
CREATE TABLE IF NOT EXISTS secret (number INTEGER PRIMARY KEY CHECK (number = 1), value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS claim (name TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exemption (
    number INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL, mailbox TEXT NOT NULL, counterpart TEXT NOT NULL,
    until REAL NOT NULL, document TEXT NOT NULL, reason TEXT NOT NULL, approver TEXT NOT NULL, added REAL NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0
);
"""
_ROWS = 100  # of one statement; between two statements the store's thread must win the interpreter lock back
_PRUNED_AT_ONCE = 10_000
_RECALL_BY_QUEUE, _RECALL_BY_MESSAGE = (
    f"SELECT {column}, value FROM trace WHERE {column} = ? ORDER BY number LIMIT {MOST_OF_ONE}"
    for column in ("queue_key", "message_key")
)
_REMEMBER = "INSERT INTO trace (queue_key, message_key, at, value) VALUES"
_ADD = "INSERT INTO activity VALUES"
_TO_TOTALS = """ON CONFLICT (mailbox, kind) DO UPDATE SET
    count = count + excluded.count, octets = octets + excluded.octets,
    first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)
"""
_QUICK_S = 0.000_5
_PAUSE = 20
"""Where a look-up at once took longer than _QUICK_S, the disk was waited for: the thread then does all of them for
so many times as long. The loop stands still for a twentieth of the time at the most, however slow the disk."""
MOST_TRACES = 2_000_000
"""Traces that are kept at the most, one a mail, about 200 octets: then the oldest go before their time."""
_EXEMPTION_FIELDS = "rule, mailbox, counterpart, until, document, reason, approver"
_STATE_FIELDS = "address, status, clause, reason, document, at"


class SqliteStore:
    """A store in one file; the file and its folder are made when missing."""

    def __init__(self, path: Path, keep_s: float = REMEMBERED_S) -> None:
        self.path = path
        self._keep_s = keep_s
        self._thread = ThreadPoolExecutor(1, "store")
        self._connection: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None  # the loop's own: WAL lets it read while the thread writes
        self._reads_again = 0.0  # when the next look-up at once may be made, by perf_counter
        self._commits = 0

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        def call() -> _T:
            try:
                if self._connection is None:
                    self._connection = self._open()
                    self._reader = self._open_reader()
                return work(self._connection)
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"[store] url: {self.path}: {error}: free or mend it, or name another") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"[store] url: {self.path.parent}: {error.strerror}: name a folder that exists"
            ) from error
        with _only_one(self.path.parent):  # SQLite waits for no one while it turns a new file to WAL
            connection = sqlite3.connect(
                self.path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=3 * _ROWS + 32
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA wal_autocheckpoint = 8000")  # 32 MB: a page that many commits write moves once
            # NORMAL loses nothing when a process dies; a power cut may take the last batch, never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in _statements(_SCHEMA):
                connection.execute(statement)
            connection.execute("COMMIT")
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        """Open a connection that waits for nobody: who holds it up gets an error."""
        reader = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        reader.execute("PRAGMA query_only = ON")
        return reader

    async def commit(self, noted: Sequence[Noted]) -> None:
        """Keep a batch in one transaction."""
        events = {event.key: event for event in noted if isinstance(event, ActivityEvent)}
        traces = [trace for trace in noted if isinstance(trace, Trace)]

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._count(connection, events)
                for chunk in _chunks(traces):
                    values: list[int | bytes] = []
                    for queue_key, message_key, value, at in chunk:
                        values += (queue_key, message_key, int(at), value)
                    connection.execute(f"{_REMEMBER} {_places(len(chunk), '(?, ?, ?, ?)')}", values)
                self._commits += 1
                if noted and self._commits % 256 == 1:
                    self._prune(connection, max(item.at for item in noted))
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

        await self._run(work)

    def _count(self, connection: sqlite3.Connection, distinct: dict[bytes, ActivityEvent]) -> None:
        new = distinct.copy()
        for keys in _chunks(list(distinct)):
            known = connection.execute(f"SELECT key FROM event WHERE key IN ({_places(len(keys))})", keys)
            for (key,) in known.fetchall():
                del new[key]
        for chunk in _chunks(list(new.values())):
            rows = [value for event in chunk for value in (event.key, int(event.at))]
            connection.execute(f"INSERT INTO event VALUES {_places(len(chunk), '(?, ?)')}", rows)
        for totals in _chunks(_totals_of(new.values())):
            values = [value for total in totals for value in total]
            connection.execute(f"{_ADD} {_places(len(totals), '(?, ?, ?, ?, ?, ?)')} {_TO_TOTALS}", values)

    def _prune(self, connection: sqlite3.Connection, now: float) -> None:
        """Take away what is older than is remembered; traces stand in the order of their arrival."""
        connection.execute("DELETE FROM event WHERE at < ?", (now - REMEMBERED_S,))
        connection.execute("DELETE FROM claim WHERE until < ?", (now,))
        newest = connection.execute("SELECT coalesce(max(number), 0) FROM trace").fetchone()[0]
        connection.execute("DELETE FROM trace WHERE number <= ?", (newest - MOST_TRACES,))
        old = "SELECT number, at FROM trace ORDER BY number LIMIT ?"
        ended = [number for number, at in connection.execute(old, (_PRUNED_AT_ONCE,)) if at < now - self._keep_s]
        if ended:
            connection.execute("DELETE FROM trace WHERE number <= ? AND at < ?", (ended[-1], now - self._keep_s))

    async def recall(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the values of traces by their keys."""

        def work(connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
            found: list[tuple[int, bytes]] = []
            for key in keys:
                for query in (_RECALL_BY_QUEUE, _RECALL_BY_MESSAGE):
                    found += connection.execute(query, (key,)).fetchall()
            return found

        return await self._run(work)

    def recall_at_once(self, queue_keys: Sequence[int], message_key: int) -> list[tuple[int, bytes]] | None:
        """Return the values of traces in the caller's thread, unless the disk is slow or another holds the file."""
        started = time.perf_counter()
        if self._reader is None or started < self._reads_again:
            return None
        found: list[tuple[int, bytes]] = []
        try:
            for key in queue_keys:
                found += self._reader.execute(_RECALL_BY_QUEUE, (key,)).fetchall()
            if message_key:
                found += self._reader.execute(_RECALL_BY_MESSAGE, (message_key,)).fetchall()
        except sqlite3.Error:
            return None
        ended = time.perf_counter()
        if ended - started > _QUICK_S:
            self._reads_again = ended + _PAUSE * (ended - started)
        return found

    async def secret(self) -> bytes:
        """Return the site's key; what two processes made at once is one."""

        def work(connection: sqlite3.Connection) -> bytes:
            query = "SELECT value FROM secret"
            row = connection.execute(query).fetchone()
            if row is None:
                connection.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (secrets.token_bytes(32),))
                row = connection.execute(query).fetchone()
            return bytes(row[0])

        return await self._run(work)

    async def once(self, name: str, seconds: float, now: float) -> bool:
        """Claim a name for some time."""
        statement = (
            "INSERT INTO claim VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE until <= ?"
        )
        return await self._run(
            lambda connection: connection.execute(statement, (name, now + seconds, now)).rowcount == 1
        )

    async def unclaim(self, name: str) -> None:
        """Give a claim back."""
        await self._run(lambda connection: connection.execute("DELETE FROM claim WHERE name = ?", (name,)))

    async def activity(self, mailbox: str) -> Activity:
        """Return one mailbox's totals."""
        found = await self._totals("WHERE mailbox = ?", (mailbox,))
        return found[0] if found else Activity(mailbox)

    async def totals(self) -> list[Activity]:
        """Return every mailbox's totals."""
        return await self._totals("", ())

    async def _totals(self, where: str, values: tuple[str, ...]) -> list[Activity]:
        query = f"SELECT mailbox, kind, count, octets, first_at, last_at FROM activity {where} ORDER BY mailbox"
        rows = await self._run(lambda connection: connection.execute(query, values).fetchall())
        found: dict[str, dict[str, float]] = {}
        for mailbox, kind, count, octets, first, last in rows:
            fields = found.setdefault(mailbox, {})
            fields |= {kind: count, f"{kind}_octets": octets, f"last_{kind}": last}
            if kind == ActivityKind.SENT:
                fields["first_sent"] = first
        return [Activity(mailbox, **fields) for mailbox, fields in found.items()]  # type: ignore[arg-type]

    async def states_version(self) -> int:
        """Return the number of the latest change."""
        query = (
            "SELECT (SELECT coalesce(max(number), 0) FROM state)"
            " + (SELECT coalesce(max(number), 0) + coalesce(sum(removed), 0) FROM exemption)"
        )
        return int((await self._run(lambda connection: connection.execute(query).fetchone()))[0])

    async def states(self) -> dict[str, MailboxState]:
        """Return each mailbox's latest state."""
        query = (
            f"SELECT {_STATE_FIELDS} FROM state "
            "WHERE number IN (SELECT max(number) FROM state GROUP BY address) ORDER BY address"
        )
        rows = await self._run(lambda connection: connection.execute(query).fetchall())
        return {row[0]: _state(row) for row in rows}

    async def set_state(self, state: MailboxState) -> None:
        """Append a state."""
        row = (state.address, state.status.value, state.clause, state.reason, state.document, state.at)
        statement = f"INSERT INTO state ({_STATE_FIELDS}) VALUES (?, ?, ?, ?, ?, ?)"
        await self._run(lambda connection: connection.execute(statement, row))

    async def history(self, mailbox: str) -> list[MailboxState]:
        """Return a mailbox's states, oldest first."""
        query = f"SELECT {_STATE_FIELDS} FROM state WHERE address = ? ORDER BY number"
        rows = await self._run(lambda connection: connection.execute(query, (mailbox,)).fetchall())
        return [_state(row) for row in rows]

    async def exemptions(self) -> list[Exemption]:
        """Return the exemptions that were not removed."""
        query = f"SELECT {_EXEMPTION_FIELDS}, number, added FROM exemption WHERE NOT removed ORDER BY number"
        rows = await self._run(lambda connection: connection.execute(query).fetchall())
        return [Exemption(*row) for row in rows]

    async def add_exemption(self, exemption: Exemption) -> Exemption:
        """Append an exemption."""
        statement = f"INSERT INTO exemption ({_EXEMPTION_FIELDS}, added) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        values = (*astuple(exemption)[:7], exemption.added)
        number = await self._run(lambda connection: connection.execute(statement, values).lastrowid)
        return replace(exemption, number=number or 0)

    async def remove_exemption(self, number: int) -> bool:
        """Mark an exemption as removed."""
        statement = "UPDATE exemption SET removed = 1 WHERE number = ? AND NOT removed"
        return await self._run(lambda connection: connection.execute(statement, (number,)).rowcount == 1)

    async def close(self) -> None:
        """Close the file."""

        reader, self._reader = self._reader, None

        def work() -> None:
            for connection in (reader, self._connection):
                if connection is not None:
                    connection.close()
            self._connection = None

        await asyncio.get_running_loop().run_in_executor(self._thread, work)
        self._thread.shutdown()


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _ROWS):
        yield items[start : start + _ROWS]


def _places(count: int, one: str = "?") -> str:
    return ", ".join([one] * count)


def _totals_of(events: Iterable[ActivityEvent]) -> list[tuple[str, str, int, int, float, float]]:
    """Add events up: mailbox, kind, count, octets, first, last."""
    totals: dict[tuple[str, str], tuple[int, int, float, float]] = {}
    for event in events:
        name = event.mailbox, event.kind.value
        count, octets, first, last = totals.get(name, (0, 0, event.at, event.at))
        totals[name] = count + 1, octets + event.octets, min(first, event.at), max(last, event.at)
    return [(*name, *total) for name, total in totals.items()]


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time open a store in this folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _state(row: tuple[str, ...]) -> MailboxState:
    address, status, clause, reason, document, at = row
    return MailboxState(address, MailboxStatus(status), clause, reason, document, at)


def _statements(script: str) -> list[str]:
    """Split a script into statements; a trigger's body is one."""
    statements = []
    pending = ""
    for line in script.splitlines():
        pending += line + "\n"
        if sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    return statements
