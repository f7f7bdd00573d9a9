"""The embedded store: one SQLite file, shared by the workers of one machine.

Write-ahead log, one transaction a batch: an event is added to the totals only where its key is new, and the keys
are remembered in the same transaction, in two tables: when the newer one is REMEMBERED_S old, the older one goes.
Every call runs in one thread of its own, but for `recall_at_once`: the way to the thread and back takes ten times
the processor time of the look-up itself, and each mail that leaves needs one.
"""

import asyncio
import contextlib
import fcntl
import math
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from datetime import date
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from ..model import (
    ActivityEvent,
    ActivityKind,
    Exemption,
    MailboxKind,
    MailboxState,
    MailboxStatus,
    MailClass,
    Registration,
    Sending,
    SendingLimits,
    Trace,
)
from . import sqlite_rates as rates
from .store import (
    ADVERTISED_KEPT,
    ADVERTISED_S,
    AHEAD_S,
    BREAK_S,
    DAYS_KEPT,
    MOST_OF_ONE,
    NAMES_AT_ONCE,
    REMEMBERED_S,
    Activity,
    Batch,
    Counts,
    Day,
    Idle,
    Kept,
    Mails,
    Observed,
    StoreError,
    WentBack,
    chunks,
    civil_date,
    civil_day,
    civil_midnight,
    civil_number,
    civil_start,
    moment,
    password_since,
    to_come,
)

_T = TypeVar("_T")

_CLASSES = tuple(mail_class.value for mail_class in MailClass)
_BY_PROGRAMS = tuple(f"sent_{mail_class}" for mail_class in MailClass if mail_class is not MailClass.HUMAN)
_COLUMNS_BY_PROGRAMS = {name: f"{name} INTEGER NOT NULL DEFAULT 0, last_{name} REAL" for name in _BY_PROGRAMS}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (key INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS seen_before (key INTEGER PRIMARY KEY);
-- sent, last_sent and so on: by people; sent_bulk and so on: by programs. quiet_*: the civil day since when nothing
-- counts, of mail that people sent or that is human, and of what they sent alone; a day, so that the index is written
-- once a day for a mailbox. baseline: when its time began to run.
CREATE TABLE IF NOT EXISTS mailbox (
    address TEXT PRIMARY KEY, sent INTEGER NOT NULL, sent_octets INTEGER NOT NULL, received_octets INTEGER NOT NULL,
    first_sent REAL, last_sent REAL, human INTEGER NOT NULL, last_human REAL, bulk INTEGER NOT NULL, last_bulk REAL,
    automatic INTEGER NOT NULL, last_automatic REAL, report INTEGER NOT NULL, last_report REAL,
    spam INTEGER NOT NULL, last_spam REAL, node TEXT NOT NULL, baseline REAL NOT NULL, quiet_human INTEGER NOT NULL,
    quiet_sent INTEGER NOT NULL, {sent_by_programs}
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mailbox_quiet_human ON mailbox (quiet_human);
CREATE INDEX IF NOT EXISTS mailbox_quiet_sent ON mailbox (quiet_sent);
CREATE TABLE IF NOT EXISTS day (
    day INTEGER NOT NULL, mailbox TEXT NOT NULL, sent INTEGER NOT NULL, human INTEGER NOT NULL,
    other INTEGER NOT NULL,
    PRIMARY KEY (day, mailbox)
) WITHOUT ROWID;
-- civil: the days on which anything was counted, however many mailboxes; what is kept for a while goes by them.
CREATE TABLE IF NOT EXISTS civil (day INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS batch (run TEXT PRIMARY KEY, number INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS observed (node TEXT NOT NULL, begin REAL NOT NULL, end REAL NOT NULL);
CREATE TABLE IF NOT EXISTS registry (
    address TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL, created TEXT NOT NULL,
    password_changed TEXT NOT NULL, password_since REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS registry_password ON registry (password_since);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS advertised (
    advertiser TEXT NOT NULL, recipient TEXT NOT NULL, key INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (advertiser, recipient, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS advertised_at ON advertised (at);
CREATE TABLE IF NOT EXISTS state (
    number INTEGER PRIMARY KEY, address TEXT NOT NULL, status TEXT NOT NULL, clause TEXT NOT NULL,
    reason TEXT NOT NULL, document TEXT NOT NULL, at TEXT NOT NULL, by TEXT NOT NULL DEFAULT '',
    must_change_password INTEGER NOT NULL DEFAULT 0
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
_SCHEMA = _SCHEMA.replace("{sent_by_programs}", ", ".join(_COLUMNS_BY_PROGRAMS.values())) + rates.SCHEMA
_ROWS = 100  # of one statement; between two statements the store's thread must win the interpreter lock back
_PRUNED_AT_ONCE = 10_000
_RUNS_KEPT = 1_000  # processes whose last batch is known, however long ago the clock says that was
_RECALL_BY_QUEUE, _RECALL_BY_MESSAGE = (
    f"SELECT {column}, value FROM trace WHERE {column} = ? ORDER BY number LIMIT {MOST_OF_ONE}"
    for column in ("queue_key", "message_key")
)
_REMEMBER = "INSERT INTO trace (queue_key, message_key, at, value) VALUES"
_COUNTS = ("sent", "sent_octets", "received_octets", *_CLASSES, *_BY_PROGRAMS)
_LASTS = ("last_sent", *(f"last_{name}" for name in (*_CLASSES, *_BY_PROGRAMS)))
_ACTIVITY_FIELDS = ("address", *_COUNTS, *_LASTS, "first_sent", "node", "baseline", "quiet_human", "quiet_sent")
_ADD = f"INSERT INTO mailbox ({', '.join(_ACTIVITY_FIELDS)}) VALUES"
_TO_TOTALS = "ON CONFLICT (address) DO UPDATE SET " + ", ".join(
    (
        *(f"{name} = {name} + excluded.{name}" for name in _COUNTS),
        # An event that comes late changes no time but the first.
        *(f"{name} = coalesce(max({name}, excluded.{name}), {name}, excluded.{name})" for name in _LASTS),
        "first_sent = coalesce(min(first_sent, excluded.first_sent), first_sent, excluded.first_sent)",
        "node = excluded.node",
        "quiet_human = CASE WHEN coalesce(excluded.last_sent, excluded.last_human) IS NULL THEN quiet_human"
        " ELSE max(quiet_human, excluded.quiet_human) END",
        "quiet_sent = CASE WHEN excluded.last_sent IS NULL THEN quiet_sent"
        " ELSE max(quiet_sent, excluded.quiet_sent) END",
    )
)
_ADD_DAYS = "INSERT INTO day VALUES"
_TO_DAYS = """ON CONFLICT (day, mailbox) DO UPDATE SET
    sent = sent + excluded.sent, human = human + excluded.human, other = other + excluded.other
"""
_QUICK_S = 0.000_5
_PAUSE = 20
"""Where a look-up at once took longer than _QUICK_S, the disk was waited for: the thread then does all of them for
so many times as long. The loop stands still for a twentieth of the time at the most, however slow the disk."""
MOST_TRACES = 2_000_000
"""Traces that are kept at the most, one a mail, about 200 octets: then the oldest go before their time."""
_EXEMPTION_FIELDS = "rule, mailbox, counterpart, until, document, reason, approver"
_STATE_FIELDS = "address, status, clause, reason, document, at, by, must_change_password"
_LATEST_STATES = f"SELECT {_STATE_FIELDS} FROM state WHERE number IN (SELECT max(number) FROM state GROUP BY address)"
_REGISTRY_FIELDS = "address, kind, name, unit, created, password_changed"


class SqliteStore:
    """A store in one file; the file and its folder are made when missing."""

    is_shared = False

    def __init__(self, path: Path, keep_s: float = REMEMBERED_S) -> None:
        self.path = path
        self._keep_s = keep_s
        self._thread = ThreadPoolExecutor(1, "store")
        self._connection: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None  # the loop's own: WAL lets it read while the thread writes
        self._reads_again = 0.0  # when the next look-up at once may be made, by perf_counter
        self._commits = 0
        self._days: set[int] = set()  # of the last batch: they are in the file
        self._taken: dict[str, int] = {}  # of each run, the last batch that the file took from this process

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
            _upgrade(connection)
            connection.execute("COMMIT")
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        """Open a connection that waits for nobody: who holds it up gets an error."""
        reader = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        reader.execute("PRAGMA query_only = ON")
        return reader

    async def commit(self, batch: Batch) -> None:
        """Keep a batch in one transaction."""

        def work(connection: sqlite3.Connection) -> None:
            events: dict[int, ActivityEvent] = {}
            traces: list[Trace] = []
            beats: list[float] = []
            for item in batch.noted:
                if isinstance(item, ActivityEvent):
                    events[int.from_bytes(item.key[-8:], "big", signed=True)] = item
                elif isinstance(item, Trace):
                    traces.append(item)
                else:
                    beats.append(item.at)
            with _transaction(connection):
                if batch.run and not self._is_next(connection, batch):
                    return
                self._count(connection, events, batch.node)
                for chunk in chunks(traces, _ROWS):
                    values: list[int | bytes] = []
                    for queue_key, message_key, value, at in chunk:
                        values += (queue_key, message_key, int(at), value)
                    connection.execute(f"{_REMEMBER} {_places(len(chunk), '(?, ?, ?, ?)')}", values)
                for at in beats:
                    _observe(connection, batch.node, at)
                days = {civil_day(item.at) for item in batch.noted}
                if not days <= self._days:
                    connection.executemany("INSERT OR IGNORE INTO civil VALUES (?)", ((day,) for day in days))
                self._commits += 1
                if batch.noted and self._commits % 256 == 1:
                    self._prune(connection, max(item.at for item in batch.noted))
            self._days = days
            if batch.run:
                self._taken[batch.run] = batch.number

        await self._run(work)

    async def verify(self) -> None:
        """Do nothing: this file loses nothing while a process lives."""

    def _is_next(self, connection: sqlite3.Connection, batch: Batch) -> bool:
        """Tell whether a batch is new, and take note of it; raises WentBack where earlier ones are gone."""
        row = connection.execute("SELECT number FROM batch WHERE run = ?", (batch.run,)).fetchone()
        known = row[0] if row else 0
        if known >= batch.number:
            return False
        if known < self._taken.get(batch.run, 0):
            self._taken.clear()
            raise WentBack(f"[store] url: {self.path}: an older file has been put in its place")
        statement = "INSERT OR REPLACE INTO batch VALUES (?, ?, ?)"
        connection.execute(statement, (batch.run, batch.number, time.time()))
        return True

    def _count(self, connection: sqlite3.Connection, distinct: dict[int, ActivityEvent], node: str) -> None:
        new: list[ActivityEvent] = []
        for keys in chunks(sorted(distinct), _ROWS):  # in order: neighbours are on one page
            older = f"SELECT key FROM seen_before WHERE key IN ({_places(len(keys))})"
            known = {key for (key,) in connection.execute(older, keys).fetchall()}
            fresh = [key for key in keys if key not in known]
            if fresh:
                insert = f"INSERT OR IGNORE INTO seen VALUES {_places(len(fresh), '(?)')} RETURNING key"
                new += [distinct[key] for (key,) in connection.execute(insert, fresh).fetchall()]
        totals, days = _totals_of(new, node)
        _insert(connection, _ADD, totals, _TO_TOTALS)
        _insert(connection, _ADD_DAYS, days, _TO_DAYS)

    def _prune(self, connection: sqlite3.Connection, now: float) -> None:
        """Take away what is older than is remembered; traces stand in the order of their arrival."""
        since = connection.execute("SELECT value FROM counter WHERE name = 'seen since'").fetchone()
        wall = int(time.time())
        if since is None or since[0] > wall or since[0] < _kept_from(connection, wall, REMEMBERED_S):
            if since is not None and since[0] <= wall:  # else it was set while the clock was wrong
                connection.execute("DROP TABLE seen_before")
                connection.execute("ALTER TABLE seen RENAME TO seen_before")
                connection.execute("CREATE TABLE seen (key INTEGER PRIMARY KEY)")
            connection.execute("INSERT OR REPLACE INTO counter VALUES ('seen since', ?)", (wall,))
        connection.execute("DELETE FROM claim WHERE until < ?", (now,))
        kept_from = _kept_from(connection, now, DAYS_KEPT * 86_400)
        connection.execute("DELETE FROM day WHERE day <= ?", (civil_day(kept_from),))
        connection.execute(
            "DELETE FROM batch WHERE at < ? AND run NOT IN (SELECT run FROM batch ORDER BY at DESC LIMIT ?)",
            (wall - 2 * REMEMBERED_S, _RUNS_KEPT),
        )
        newest = connection.execute("SELECT coalesce(max(number), 0) FROM trace").fetchone()[0]
        connection.execute("DELETE FROM trace WHERE number <= ?", (newest - MOST_TRACES,))
        old = "SELECT number, at FROM trace ORDER BY number LIMIT ?"
        kept_from = _kept_from(connection, now, self._keep_s)
        ended = [number for number, at in connection.execute(old, (_PRUNED_AT_ONCE,)) if at < kept_from]
        if ended:
            connection.execute("DELETE FROM trace WHERE number <= ? AND at < ?", (ended[-1], kept_from))

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
            "INSERT INTO claim VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET until = excluded.until"
            " WHERE until <= ? OR until > ?"  # it lasts longer than any: the clock was wrong when it was made
        )
        values = (name, now + seconds, now, now + seconds + AHEAD_S)
        return await self._run(lambda connection: connection.execute(statement, values).rowcount == 1)

    async def unclaim(self, name: str) -> None:
        """Give a claim back."""
        await self._run(lambda connection: connection.execute("DELETE FROM claim WHERE name = ?", (name,)))

    async def activity(self, mailbox: str) -> Activity:
        """Return one mailbox's totals."""
        found = await self._totals("WHERE address = ?", (mailbox,))
        return found[0] if found else Activity(mailbox)

    async def totals(self) -> list[Activity]:
        """Return every mailbox's totals."""
        return await self._totals(f"WHERE sent + {' + '.join((*_CLASSES, *_BY_PROGRAMS))}", ())

    async def _totals(self, where: str, values: tuple[object, ...]) -> list[Activity]:
        query = f"SELECT {', '.join(_ACTIVITY_FIELDS)} FROM mailbox {where} ORDER BY address"
        rows = await self._run(lambda connection: connection.execute(query, values).fetchall())
        return [_activity(dict(zip(_ACTIVITY_FIELDS, row, strict=True))) for row in rows]

    async def days(self, first: date, last: date) -> AsyncIterator[tuple[str, list[Day]]]:
        """Yield what each mailbox did within these days."""
        query = "SELECT mailbox, day, sent, human, other FROM day WHERE day BETWEEN ? AND ? ORDER BY mailbox, day"
        values = (civil_number(first), civil_number(last))
        rows = await self._run(lambda connection: connection.execute(query, values).fetchall())
        for mailbox, days in groupby(rows, key=itemgetter(0)):
            yield mailbox, [Day(civil_date(day), *counts) for _, day, *counts in days]

    async def idle(self, received: Counts, before: float, sent: Counts = Counts.HUMAN) -> list[Idle]:
        """Return the mailboxes whose time began to run before then."""
        column = "quiet_sent" if received is Counts.NONE else "quiet_human"
        query = (
            f"SELECT {', '.join(_ACTIVITY_FIELDS)} FROM mailbox WHERE {column} <= ?"
            " AND address NOT IN (SELECT address FROM state WHERE number IN"
            " (SELECT max(number) FROM state GROUP BY address) AND status = ?) ORDER BY address"
        )
        values = (civil_day(before), MailboxStatus.REVOKED.value)
        rows = await self._run(lambda connection: connection.execute(query, values).fetchall())
        found = []
        for row in rows:
            fields = dict(zip(_ACTIVITY_FIELDS, row, strict=True))
            last = _activity(fields).last(received, sent)
            since = max(fields["baseline"], last or 0.0)
            if since < before:
                found.append(Idle(fields["address"], since, last))
        return found

    async def observed(self) -> list[Observed]:
        """Return from when to when each node counted."""
        query = "SELECT node, begin, end FROM observed ORDER BY node, begin"
        rows = await self._run(lambda connection: connection.execute(query).fetchall())
        return [Observed(*row) for row in rows]

    async def forget_node(self, node: str) -> bool:
        """Forget a node."""
        statement = "DELETE FROM observed WHERE node = ?"
        return await self._run(lambda connection: connection.execute(statement, (node,)).rowcount > 0)

    # -- registry ------------------------------------------------------------------------------

    async def register(self, registrations: Sequence[Registration]) -> None:
        """Put mailboxes into the registry in one transaction."""

        def work(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                states = {row[0]: _state(row) for row in connection.execute(_LATEST_STATES)}
                connection.executemany(
                    "INSERT OR REPLACE INTO registry VALUES (?, ?, ?, ?, ?, ?, ?)",
                    ((*_row(one), password_since(one, states.get(one.address))) for one in registrations),
                )
                _begin(connection, ((one.address, civil_midnight(one.created)) for one in registrations))
                _change_counter(connection, "registry")

        await self._run(work)

    async def registration(self, mailbox: str) -> Registration | None:
        """Return what the registry knows of a mailbox."""
        found = await self._registrations("WHERE address = ?", (mailbox,))
        return found[0] if found else None

    async def registrations(self) -> list[Registration]:
        """Return the registry."""
        return await self._registrations("", ())

    async def default_passwords(self, before: float) -> list[Registration]:
        """Return the mailboxes that have had a default password since before then."""
        return await self._registrations("WHERE password_since < ?", (before,))

    async def _registrations(self, where: str, values: tuple[object, ...]) -> list[Registration]:
        query = f"SELECT {_REGISTRY_FIELDS} FROM registry {where} ORDER BY address"
        rows = await self._run(lambda connection: connection.execute(query, values).fetchall())
        return [_registration(row) for row in rows]

    async def units(self) -> frozenset[str]:
        """Return the mailboxes that are a unit's."""
        query = "SELECT address FROM registry WHERE kind = ?"
        values = (MailboxKind.UNIT.value,)
        rows = await self._run(lambda connection: connection.execute(query, values).fetchall())
        return frozenset(row[0] for row in rows)

    async def delimited(self) -> frozenset[str]:
        """Return the mailboxes whose local part holds more than letters, digits and dots."""
        query = "SELECT address FROM registry WHERE substr(address, 1, instr(address, '@') - 1) GLOB '*[^a-z0-9.]*'"
        rows = await self._run(lambda connection: connection.execute(query).fetchall())
        return frozenset(row[0] for row in rows)

    async def registry_version(self) -> int:
        """Return how often it was changed."""
        query = "SELECT coalesce(sum(value), 0) FROM counter WHERE name = 'registry'"
        return int((await self._run(lambda connection: connection.execute(query).fetchone()))[0])

    async def names(self) -> AsyncIterator[list[tuple[str, MailboxKind]]]:
        """Yield the names, by address."""
        query = "SELECT address, name, kind FROM registry WHERE address > ? ORDER BY address LIMIT ?"
        last = ""

        def work(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
            return connection.execute(query, (last, NAMES_AT_ONCE)).fetchall()

        while rows := await self._run(work):
            yield [(name, MailboxKind(kind)) for _, name, kind in rows]
            last = rows[-1][0]

    # -- rates ---------------------------------------------------------------------------------

    async def sending(
        self, login: str, key: bytes, recipients: int, network: str, at: float, limits: SendingLimits
    ) -> Sending:
        """Note what a login hands over, and return what it handed over of late, and whether this mail passes."""

        def work(connection: sqlite3.Connection) -> Sending:
            with _transaction(connection):
                return rates.sending(connection, login, key, recipients, network, at, limits)

        return await self._run(work)

    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        """Note an advertisement, and return how many came to each recipient."""
        number = int.from_bytes(key[-8:], "big", signed=True)

        def work(connection: sqlite3.Connection) -> dict[str, int]:
            with _transaction(connection):
                connection.execute("DELETE FROM advertised WHERE at < ?", (at - ADVERTISED_S,))
                connection.executemany(
                    "INSERT OR IGNORE INTO advertised VALUES (?, ?, ?, ?)",
                    ((advertiser, recipient, number, at) for recipient in recipients),
                )
                return {recipient: _advertised_to(connection, advertiser, recipient, at) for recipient in recipients}

        return await self._run(work)

    # -- states --------------------------------------------------------------------------------

    async def states_version(self) -> int:
        """Return the number of the latest change."""
        query = (
            "SELECT (SELECT coalesce(max(number), 0) FROM state)"
            " + (SELECT coalesce(max(number), 0) + coalesce(sum(removed), 0) FROM exemption)"
            " + (SELECT coalesce(sum(value), 0) FROM counter WHERE name = 'registry')"
        )
        return int((await self._run(lambda connection: connection.execute(query).fetchone()))[0])

    async def states(self) -> dict[str, MailboxState]:
        """Return each mailbox's latest state."""
        query = f"{_LATEST_STATES} ORDER BY address"
        rows = await self._run(lambda connection: connection.execute(query).fetchall())
        return {row[0]: _state(row) for row in rows}

    async def state(self, mailbox: str) -> MailboxState | None:
        """Return one mailbox's latest state."""
        history = await self.history(mailbox)
        return history[-1] if history else None

    async def set_state(self, state: MailboxState) -> None:
        """Append a state; a restored mailbox's time begins anew (7.3)."""

        def work(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                row = astuple(state)
                connection.execute(f"INSERT INTO state ({_STATE_FIELDS}) VALUES ({_places(len(row))})", row)
                if state.status is MailboxStatus.ACTIVE and state.at:
                    _begin(connection, [(state.address, moment(state.at))])
                query = f"SELECT {_REGISTRY_FIELDS} FROM registry WHERE address = ?"
                for known in connection.execute(query, (state.address,)).fetchall():
                    since = password_since(_registration(known), state)
                    connection.execute(
                        "UPDATE registry SET password_since = ? WHERE address = ?", (since, state.address)
                    )

        await self._run(work)

    async def history(self, mailbox: str) -> list[MailboxState]:
        """Return a mailbox's states, oldest first."""
        return await self._changes("WHERE address = ?", (mailbox,))

    async def changes(self) -> list[MailboxState]:
        """Return all mailboxes' states, oldest first."""
        return await self._changes("", ())

    async def _changes(self, where: str, values: tuple[str, ...]) -> list[MailboxState]:
        query = f"SELECT {_STATE_FIELDS} FROM state {where} ORDER BY number"
        rows = await self._run(lambda connection: connection.execute(query, values).fetchall())
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

    async def complaints(self) -> list[tuple[bool, str]]:
        """Return what is odd about the clock: who can write the file has all else it takes."""
        query = "SELECT max(day) FROM civil"
        (newest,) = await self._run(lambda connection: connection.execute(query).fetchone())
        complaint = to_come(newest or 0, time.time())
        return [(False, complaint)] if complaint else []

    # -- for a move to another store -------------------------------------------------------------

    async def kept(self) -> AsyncIterator[list[Kept]]:
        """Yield all that is kept of mailboxes' activity, in groups."""
        mailboxes = f"SELECT {', '.join(_ACTIVITY_FIELDS)} FROM mailbox WHERE address > ? ORDER BY address LIMIT 1000"
        days = "SELECT mailbox, day, sent, human, other FROM day WHERE mailbox > ? AND mailbox <= ? ORDER BY day"
        last = ""

        def work(connection: sqlite3.Connection) -> tuple[list[Any], list[Any]]:
            rows = connection.execute(mailboxes, (last,)).fetchall()
            return rows, connection.execute(days, (last, rows[-1][0])).fetchall() if rows else []

        while (answer := await self._run(work))[0]:
            found: dict[str, list[Day]] = {}
            for mailbox, day, *counts in answer[1]:
                found.setdefault(mailbox, []).append(Day(civil_date(day), *counts))
            rows = [dict(zip(_ACTIVITY_FIELDS, row, strict=True)) for row in answer[0]]
            yield [Kept(_activity(row), row["baseline"], found.get(row["address"], [])) for row in rows]
            last = rows[-1]["address"]

    async def traces(self) -> AsyncIterator[list[Trace]]:
        """Yield every trace, in groups."""
        query = (
            "SELECT number, queue_key, message_key, value, at FROM trace WHERE number > ? ORDER BY number LIMIT 1000"
        )
        last = 0

        def work(connection: sqlite3.Connection) -> list[Any]:
            return connection.execute(query, (last,)).fetchall()

        while rows := await self._run(work):
            yield [Trace(*row[1:]) for row in rows]
            last = rows[-1][0]

    async def runs(self) -> dict[str, int]:
        """Return of each run the last batch that was taken."""
        return dict(
            await self._run(lambda connection: connection.execute("SELECT run, number FROM batch").fetchall())
        )

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


def _places(count: int, one: str = "?") -> str:
    return ", ".join([one] * count)


def _totals_of(
    events: Iterable[ActivityEvent], node: str
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Add events up: rows of `mailbox` and of `day`."""
    counts: dict[str, dict[str, Any]] = {}
    days: dict[tuple[int, str], list[int]] = {}
    for _, kind, mailbox, at, octets, mail_class in events:
        total = counts.get(mailbox)
        if total is None:
            total = counts[mailbox] = dict.fromkeys(_COUNTS, 0) | {"baseline": at}
        total["baseline"] = min(total["baseline"], at)
        column = _column_of(kind, mail_class)
        if column is not None:
            days.setdefault((civil_day(at), mailbox), [0, 0, 0])[column] += 1
        if kind is ActivityKind.RECEIVED:
            name = mail_class.value
            total["received_octets"] += octets
        elif mail_class is MailClass.HUMAN:
            name = "sent"
            total["sent_octets"] += octets
            total["first_sent"] = min(total.get("first_sent", at), at)
        else:
            name = f"sent_{mail_class}"
        total[name] += 1
        last = f"last_{name}"
        total[last] = max(total.get(last, at), at)
    rows = []
    for mailbox, total in counts.items():
        sent = total.get("last_sent", total["baseline"])
        human = max(sent, total.get("last_human", sent))
        total |= {"address": mailbox, "node": node, "quiet_sent": civil_day(sent), "quiet_human": civil_day(human)}
        rows.append(tuple(total.get(name) for name in _ACTIVITY_FIELDS))
    return rows, [(*name, *day) for name, day in days.items()]


def _column_of(kind: ActivityKind, mail_class: MailClass) -> int | None:
    """Return where in a row of `day` a mail counts: sent by people, received human, received other; else None."""
    if kind is ActivityKind.SENT:
        return 0 if mail_class is MailClass.HUMAN else None
    return 1 if mail_class is MailClass.HUMAN else 2


def _insert(connection: sqlite3.Connection, start: str, rows: Sequence[tuple[object, ...]], end: str) -> None:
    for chunk in chunks(rows, _ROWS):
        places = _places(len(chunk), f"({_places(len(chunk[0]))})")
        connection.execute(f"{start} {places} {end}", [value for row in chunk for value in row])


def _activity(fields: dict[str, Any]) -> Activity:
    received, sent = (
        {
            mail_class: Mails(fields[name], fields[f"last_{name}"])
            for mail_class, name in zip(MailClass, names, strict=True)
            if fields[name]
        }
        for names in (_CLASSES, ("sent", *_BY_PROGRAMS))
    )
    return Activity(
        fields["address"],
        fields["sent"],
        sum(one.count for one in received.values()),
        fields["sent_octets"],
        fields["received_octets"],
        fields["first_sent"],
        fields["last_sent"],
        max((one.last for one in received.values()), default=None),
        fields["node"],
        received,
        sent,
    )


def _registration(row: tuple[str, ...]) -> Registration:
    address, kind, *texts = row
    return Registration(address, MailboxKind(kind), *texts)


def _row(one: Registration) -> tuple[str, ...]:
    return one.address, one.kind.value, one.name, one.unit, one.created, one.password_changed


def _begin(connection: sqlite3.Connection, mailboxes: Iterable[tuple[str, float]]) -> None:
    """Let mailboxes' time run from then on, where it does not run from later."""
    connection.executemany(
        "INSERT INTO mailbox (address, node, baseline, quiet_human, quiet_sent, "
        f"{', '.join(_COUNTS)}) VALUES (?, '', ?, ?, ?{', 0' * len(_COUNTS)}) ON CONFLICT (address) DO UPDATE SET"
        " baseline = max(baseline, excluded.baseline), quiet_human = max(quiet_human, excluded.quiet_human),"
        " quiet_sent = max(quiet_sent, excluded.quiet_sent)",
        ((mailbox, at, civil_day(at), civil_day(at)) for mailbox, at in mailboxes),
    )


def _observe(connection: sqlite3.Connection, node: str, at: float) -> None:
    """Take a beat in: what it joins becomes one."""
    near = (node, at + BREAK_S, at - BREAK_S)
    where = "WHERE node = ? AND begin <= ? AND end >= ?"
    begin, end = connection.execute(f"SELECT min(begin), max(end) FROM observed {where}", near).fetchone()
    connection.execute(f"DELETE FROM observed {where}", near)
    begin, end = (at, at) if begin is None else (min(begin, at), max(end, at))
    connection.execute("INSERT INTO observed VALUES (?, ?, ?)", (node, begin, end))


def _advertised_to(connection: sqlite3.Connection, advertiser: str, recipient: str, at: float) -> int:
    """Count an advertiser's mails to one recipient; of more than are kept, the oldest go."""
    of_both = "WHERE advertiser = ? AND recipient = ?"
    pair = (advertiser, recipient)
    count = int(connection.execute(f"SELECT count(*) FROM advertised {of_both}", pair).fetchone()[0])
    if count > ADVERTISED_KEPT:
        connection.execute(
            f"DELETE FROM advertised {of_both} AND key IN (SELECT key FROM advertised {of_both} ORDER BY at LIMIT ?)",
            (*pair, *pair, count - ADVERTISED_KEPT),
        )
    query = f"SELECT count(*) FROM advertised {of_both} AND at <= ?"
    return int(connection.execute(query, (*pair, at + AHEAD_S)).fetchone()[0])


def _kept_from(connection: sqlite3.Connection, now: float, seconds: float) -> float:
    """Return from when on what is kept for so long is kept: so long before now, or so many observed days ago.

    Whichever is earlier, so that a clock that jumped takes nothing away; 0 where so many days were not observed yet.
    """
    query = "SELECT day FROM civil ORDER BY day DESC LIMIT 1 OFFSET ?"
    row = connection.execute(query, (max(math.ceil(seconds / 86_400) - 1, 0),)).fetchone()
    return min(now - seconds, civil_start(row[0] - 1)) if row else 0.0


def _change_counter(connection: sqlite3.Connection, name: str) -> None:
    connection.execute(
        "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", (name,)
    )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time open a store in this folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _state(row: tuple[Any, ...]) -> MailboxState:
    address, status, clause, reason, document, at, by, must_change = row
    return MailboxState(address, MailboxStatus(status), clause, reason, document, at, by, bool(must_change))


def _upgrade(connection: sqlite3.Connection) -> None:
    """Take over what the versions before kept: totals without classes, states without who.

    What was sent, by whomever, is what people sent, so that no mailbox loses by it.
    """
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if connection.execute("SELECT count(*) FROM civil").fetchone() == (0,):
        connection.execute("INSERT INTO civil SELECT DISTINCT day FROM day")
    if "state" in names and "by" not in {row[1] for row in connection.execute("PRAGMA table_info(state)")}:
        connection.execute("ALTER TABLE state ADD COLUMN by TEXT NOT NULL DEFAULT ''")
        connection.execute("ALTER TABLE state ADD COLUMN must_change_password INTEGER NOT NULL DEFAULT 0")
    of_mailbox = {row[1] for row in connection.execute("PRAGMA table_info(mailbox)")}
    for name, columns in _COLUMNS_BY_PROGRAMS.items():
        if name not in of_mailbox:
            for column in columns.split(", "):
                connection.execute(f"ALTER TABLE mailbox ADD COLUMN {column}")
    if "sending" in names:  # attempts by the minute, of a day at the most
        connection.execute("DROP TABLE sending")
        connection.execute("DROP TABLE IF EXISTS sending_network")
    if "event" in names:
        octets = connection.execute("SELECT key FROM event")
        keys = ((int.from_bytes(key[-8:], "big", signed=True),) for (key,) in octets)
        connection.executemany("INSERT OR IGNORE INTO seen VALUES (?)", keys)
        connection.execute("DROP TABLE event")
    if "activity" in names:
        rows = connection.execute("SELECT mailbox, kind, count, octets, first_at, last_at FROM activity").fetchall()
        for mailbox, kind, count, octets, first, last in rows:
            sent = kind == ActivityKind.SENT
            # What was received then has no class: human, so that no mailbox loses by it.
            event = ActivityEvent(b"", ActivityKind(kind), mailbox, last, octets)
            total = dict(zip(_ACTIVITY_FIELDS, _totals_of([event], "")[0][0], strict=True))
            total |= {"sent" if sent else "human": count, "baseline": first}
            total |= {"first_sent": first} if sent else {}
            _insert(connection, _ADD, [tuple(total.values())], _TO_TOTALS)
        connection.execute("DROP TABLE activity")


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
