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
    LOOKED_AT,
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
_ALL = f"SELECT {', '.join(f'sum({name})' for name in _COLUMNS)}"
_DAY = f"{_ALL} FROM rate WHERE login = ? AND minute > ? AND minute <= ?"
_HOUR = (
    f"{_ALL}, {', '.join(f'sum({name}) FILTER (WHERE minute > ?2)' for name in _COLUMNS)}"
    ", sum(mails) FILTER (WHERE minute > ?3), count(*) FILTER (WHERE minute / 60 = ?4)"
    " FROM rate WHERE login = ?1 AND minute > ?5 AND minute <= ?6"
)
_ADD = f"""INSERT INTO rate VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (login, minute)
    DO UPDATE SET {", ".join(f"{column} = {column} + excluded.{column}" for column in _COLUMNS)}"""
_KNOWN = "SELECT number, tried, tries, waits, is_single FROM rate_mail WHERE login = ? AND key = ?"
_OLDER = """SELECT recipients FROM rate_mail WHERE login = ? AND number < ? AND waits AND tries > 1
    AND tried > ? AND tried <= ? AND recipients <= ? ORDER BY number LIMIT ?"""
_OLD = "DELETE FROM rate_mail WHERE login = ? AND (tried <= ? OR tried > ?)"
_LAST = 1 << 62  # a new mail is after all others
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
    quarter = minute // 15
    day_begins = (quarter - DAY_MINUTES // 15 + 1) * 15 - 1  # the window of a day slides by quarters of an hour
    execute = connection.execute
    day = execute(_DAY, (login, day_begins, (quarter + 2) * 15 - 1)).fetchone()
    since_until = (minute - HOUR_MINUTES, minute + AHEAD_S // 60)
    values = (login, minute - BURST_MINUTES, minute - 2, minute // 60, *since_until)
    *sums, recent, this_hour = execute(_HOUR, values).fetchone()
    windows = [[count or 0 for count in window] for window in (sums[6:], sums[:6], day)]

    execute("INSERT OR REPLACE INTO rate_network VALUES (?, ?, ?)", (login, network, now))
    query = "SELECT count(*) FROM rate_network WHERE login = ? AND at > ? AND at <= ?"
    (networks,) = execute(query, (login, now - 3_600, ahead)).fetchone()

    number_of_key = int.from_bytes(key, "big", signed=True)
    known = execute(_KNOWN, (login, number_of_key)).fetchone()
    number, tried, tries, waits, is_single = known or (_LAST, 0, 0, True, False)
    is_new = not now - MAIL_KEPT_S < tried <= ahead or (not waits and tries >= FREE_RETURNS)
    added = [0] * 6
    if is_new:
        if known:
            execute("DELETE FROM rate_mail WHERE number = ?", (number,))
        number, tries, waits, is_single = _LAST, 0, True, (recent or 0) < FEW_MAILS
        added[:2] = 1, recipients
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
    if is_new:
        mail = (login, number_of_key, recipients, now, tries, waits, is_single)
        execute("INSERT INTO rate_mail VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", mail)
    else:
        statement = "UPDATE rate_mail SET recipients = ?, tried = ?, tries = ?, waits = ? WHERE number = ?"
        execute(statement, (recipients, now, tries, waits, number))

    if any(added):
        execute(_ADD, (login, minute, *added))
    after = [[sum(pair) for pair in zip(window, added, strict=True)] for window in windows]
    if not this_hour:
        # A node's clock may be behind.
        execute("DELETE FROM rate WHERE login = ? AND minute <= ?", (login, day_begins - AHEAD_S // 60))
        execute("DELETE FROM rate_network WHERE login = ? AND at <= ?", (login, now - 3_600 - AHEAD_S))
        execute(_OLD, (login, now - MAIL_KEPT_S, ahead))
    if is_new and windows[2][0] >= MOST_MAILS and windows[2][0] % LOOKED_AT == 0:
        (kept,) = execute("SELECT count(*) FROM rate_mail WHERE login = ?", (login,)).fetchone()
        if kept > MOST_MAILS:
            kept -= execute(_OLD, (login, now - MAIL_KEPT_S, ahead)).rowcount
            execute(_OLDEST, (login, max(0, kept - MOST_MAILS // 2)))
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
