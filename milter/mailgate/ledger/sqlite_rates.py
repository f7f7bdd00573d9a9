"""What a login hands over, in SQLite: counted, and each mail let through or made to wait, as Store.sending has it.

Apart from the rest of the embedded store, so that a trial without one counts the same, in memory.
"""

import sqlite3
from typing import cast

from ..model import Sending, SendingLimits, Tally
from .store import (
    AHEAD_S,
    BESIDE,
    BURST_MINUTES,
    COMES_AGAIN_S,
    DAY_MINUTES,
    FEW_MAILS,
    FREE_RETURNS,
    HOUR_MINUTES,
    MAIL_KEPT_S,
    MOST_MAILS,
)

SCHEMA = """
-- rate: of each minute the mails and recipients that came for the first time, that passed in the line's order, and
-- that passed beside it.
CREATE TABLE IF NOT EXISTS rate (
    login TEXT NOT NULL, minute INTEGER NOT NULL, mails INTEGER NOT NULL, recipients INTEGER NOT NULL,
    passed INTEGER NOT NULL, passed_recipients INTEGER NOT NULL, beside INTEGER NOT NULL,
    beside_recipients INTEGER NOT NULL,
    PRIMARY KEY (login, minute)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rate_network (
    login TEXT NOT NULL, network TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (login, network)
) WITHOUT ROWID;
-- rate_mail: number is the order in which mails came first; tried is the last attempt; tries counts attempts, from 0
-- again once the mail passed.
CREATE TABLE IF NOT EXISTS rate_mail (
    number INTEGER PRIMARY KEY, login TEXT NOT NULL, key INTEGER NOT NULL, recipients INTEGER NOT NULL,
    tried INTEGER NOT NULL, tries INTEGER NOT NULL, waits INTEGER NOT NULL, is_single INTEGER NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS rate_mail_key ON rate_mail (login, key);
CREATE INDEX IF NOT EXISTS rate_line ON rate_mail (login, number) WHERE waits AND tries > 1;
"""
_COLUMNS = ("mails", "recipients", "passed", "passed_recipients", "beside", "beside_recipients")
_SUMS = (
    "SELECT "
    + ", ".join(
        f"coalesce(sum({column}) FILTER (WHERE minute > ?{since} AND minute <= ?{until}), 0)"
        for since, until in ((2, 6), (3, 6), (4, 7))
        for column in _COLUMNS
    )
    + ", coalesce(sum(mails) FILTER (WHERE minute > ?5 AND minute <= ?6), 0)"
    ", count(*) FILTER (WHERE minute / 15 = ?8) FROM rate WHERE login = ?1"
)
_ADD = f"""INSERT INTO rate VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (login, minute)
    DO UPDATE SET {", ".join(f"{column} = {column} + excluded.{column}" for column in _COLUMNS)}"""
_KNOWN = """SELECT number, tries, waits, is_single FROM rate_mail
    WHERE login = ? AND key = ? AND tried > ? AND tried <= ? AND (waits OR tries < ?)"""
_OLDER = """SELECT recipients FROM rate_mail WHERE login = ? AND number < ? AND waits AND tries > 1
    AND tried > ? AND tried <= ? AND recipients <= ? ORDER BY number LIMIT ?"""
_OLD = "DELETE FROM rate_mail WHERE login = ? AND (tried <= ? OR tried > ?)"
_OLDEST = """DELETE FROM rate_mail WHERE number IN (
    SELECT number FROM rate_mail WHERE login = ? ORDER BY tried, number LIMIT ?)"""


def sending(
    connection: sqlite3.Connection,
    login: str,
    key: bytes,
    recipients: int,
    network: str,
    at: float,
    limits: SendingLimits,
) -> Sending:
    """Do what Store.sending does, within the caller's transaction."""
    now = int(at)
    minute, ahead = now // 60, now + AHEAD_S
    day_begins = (minute // 15 - DAY_MINUTES // 15 + 1) * 15 - 1  # the window of a day slides by quarters of an hour
    number_of_key = int.from_bytes(key, "big", signed=True)
    execute = connection.execute
    since = (minute - BURST_MINUTES, minute - HOUR_MINUTES, day_begins, minute - 2)
    until = (minute + AHEAD_S // 60, (minute // 15 + 2) * 15 - 1)
    *sums, recent, in_quarter = execute(_SUMS, (login, *since, *until, minute // 15)).fetchone()
    windows = [sums[:6], sums[6:12], sums[12:]]

    execute("INSERT OR REPLACE INTO rate_network VALUES (?, ?, ?)", (login, network, now))
    execute("DELETE FROM rate_network WHERE login = ? AND at <= ?", (login, now - 3_600))
    query = "SELECT count(*) FROM rate_network WHERE login = ? AND at <= ?"
    (networks,) = execute(query, (login, ahead)).fetchone()

    added = [0] * 6
    row = execute(_KNOWN, (login, number_of_key, now - MAIL_KEPT_S, ahead, FREE_RETURNS)).fetchone()
    if row is None:
        is_single = recent < FEW_MAILS
        added[:2] = 1, recipients
        execute("DELETE FROM rate_mail WHERE login = ? AND key = ?", (login, number_of_key))
        statement = "INSERT INTO rate_mail VALUES (NULL, ?, ?, ?, ?, 1, TRUE, ?)"
        number = execute(statement, (login, number_of_key, recipients, now, is_single)).lastrowid
        tries, waits = 1, True
    else:
        number, tries, waits, is_single = row
        tries += 1

    older: list[int] = []
    if waits and networks <= limits.networks:
        per_window = (
            (limits.burst_mails, limits.burst_recipients),
            (limits.hour_mails, limits.hour_recipients),
            (limits.day_mails, limits.day_recipients),
        )
        pairs = list(zip(per_window, windows, strict=True))
        mails_left, recipients_left = (min(most[i] - sums[2 + i] for most, sums in pairs) for i in (0, 1))
        beside_left, beside_recipients_left = (
            min(most[i] // BESIDE - sums[4 + i] for most, sums in pairs) for i in (0, 1)
        )
        if mails_left > 0:
            values = (login, number, now - COMES_AGAIN_S, ahead, limits.most_recipients, mails_left)
            older = [count for (count,) in execute(_OLDER, values).fetchall()]
        if mails_left > len(older) and recipients_left >= sum(older) + recipients:
            waits, tries, added[2:4] = False, 0, (1, recipients)
        elif is_single and beside_left > 0 and beside_recipients_left >= recipients:
            waits, tries, added[4:] = False, 0, (1, recipients)
    statement = "UPDATE rate_mail SET recipients = ?, tried = ?, tries = ?, waits = ? WHERE number = ?"
    execute(statement, (recipients, now, tries, waits, number))

    if any(added):
        execute(_ADD, (login, minute, *added))
        # A node's clock may be behind.
        execute("DELETE FROM rate WHERE login = ? AND minute <= ?", (login, day_begins - AHEAD_S // 60))
    if row is None:
        (known,) = execute("SELECT count(*) FROM rate_mail WHERE login = ?", (login,)).fetchone()
        if not in_quarter or known > MOST_MAILS:
            known -= execute(_OLD, (login, now - MAIL_KEPT_S, ahead)).rowcount
        if known > MOST_MAILS:
            execute(_OLDEST, (login, known - MOST_MAILS // 2))
    after = [[sum(pair) for pair in zip(window, added, strict=True)] for window in windows]
    came, passed = (cast(Tally, tuple(count for sums in after for count in sums[i : i + 2])) for i in (0, 2))
    return Sending(*came, networks, passes=not waits, passed=passed, waiting=len(older))


class RatesInMemory:
    """The same without a file."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.executescript(SCHEMA)

    def sending(
        self, login: str, key: bytes, recipients: int, network: str, at: float, limits: SendingLimits
    ) -> Sending:
        """Do what Store.sending does."""
        return sending(self._connection, login, key, recipients, network, at, limits)
