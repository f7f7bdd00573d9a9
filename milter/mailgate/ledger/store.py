"""What a store of activity and mailbox states can do, and which one a URL names.

Two implementations: `sqlite` (embedded, one machine) and `redis` (many nodes). All calls but
`recall_at_once` are coroutines; any of those may raise StoreError, which says what to mend.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..model import Exemption, MailboxState, Noted

REMEMBERED_S = 14 * 86_400
"""How long an event's key is remembered. Postfix gives up a mail after 5 days (maximal_queue_lifetime) and
most others after at most 7; twice that, so that a retry never counts twice."""


MOST_OF_ONE = 200
"""Traces that are recalled under one key: a sender who repeats his Message-ID for ever makes no look-up long."""


class StoreError(Exception):
    """The store could not be reached or did not answer as it should."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Totals of one mailbox; times are Unix seconds, None where nothing was counted."""

    mailbox: str
    sent: int = 0
    received: int = 0
    sent_octets: int = 0
    received_octets: int = 0
    first_sent: float | None = None
    last_sent: float | None = None
    last_received: float | None = None


class Store(Protocol):
    """Activity events, traces of mails, mailbox states and exemptions of one site."""

    async def commit(self, noted: Sequence[Noted]) -> None:
        """Keep a batch durably; an event whose key was counted before changes nothing, nor does a known trace."""

    async def recall(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the values of the traces under these keys, each with its key; of one key MOST_OF_ONE at the most."""

    def recall_at_once(self, queue_keys: Sequence[int], message_key: int) -> list[tuple[int, bytes]] | None:
        """Return what `recall` would for these keys, 0 for no message key, or None where it takes waiting.

        Called from the loop, with each mail that leaves.
        """

    async def secret(self) -> bytes:
        """Return the site's key of keyed hashes, 32 octets; the first call makes it."""

    async def once(self, name: str, seconds: float, now: float) -> bool:
        """Tell whether this name was not claimed within so many seconds before, and claim it."""

    async def unclaim(self, name: str) -> None:
        """Give a claim back."""

    async def activity(self, mailbox: str) -> Activity:
        """Return one mailbox's totals, zeros for one that was never seen."""

    async def totals(self) -> list[Activity]:
        """Return the totals of every mailbox that was ever counted, by address."""

    async def states_version(self) -> int:
        """Return a number that changes whenever any state or exemption changes."""

    async def states(self) -> dict[str, MailboxState]:
        """Return the state of every mailbox that has one, active ones again included."""

    async def set_state(self, state: MailboxState) -> None:
        """Set one mailbox's state and append it to its history."""

    async def history(self, mailbox: str) -> list[MailboxState]:
        """Return every state that a mailbox was given, oldest first."""

    async def exemptions(self) -> list[Exemption]:
        """Return every exemption that was not removed, oldest first, expired ones included."""

    async def add_exemption(self, exemption: Exemption) -> Exemption:
        """Keep an exemption, and return it with the number it was given."""

    async def remove_exemption(self, number: int) -> bool:
        """Remove an exemption; tell whether it was there."""

    async def close(self) -> None:
        """Give connections and files back."""


def open_store(url: str, folder: Path, keep_s: float = REMEMBERED_S) -> Store:
    """Open the store that a URL names; a relative SQLite path is relative to `folder`. Traces go after keep_s.

    Raises ValueError for a scheme that no store has.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        from .sqlite import SqliteStore

        return SqliteStore(folder / rest.removeprefix("//"), keep_s)
    if scheme in ("redis", "rediss", "unix"):
        from .redis import RedisStore

        return RedisStore(url, keep_s)
    raise ValueError(f"no store has the scheme {scheme!r}: use sqlite:PATH, redis://, rediss:// or unix://")
