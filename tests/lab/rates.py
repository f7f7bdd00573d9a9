"""Mails that a login hands over, for tests that need but their number."""

from itertools import count

from mailgate.ledger.store import Store
from mailgate.model import Sending, SendingLimits

LIMITS = SendingLimits(30, 500, 100, 1_000, 500, 3_000, 5)
"""Those of the rule's own defaults."""
HOME = "203.0.113.0/24"
_keys = count(1)


def new_key() -> bytes:
    """Return the key of a mail that never came."""
    return next(_keys).to_bytes(8, "big")


async def hand_over(
    store: Store,
    login: str,
    at: float,
    recipients: int = 1,
    network: str = HOME,
    key: bytes | None = None,
    limits: SendingLimits = LIMITS,
) -> Sending:
    """Have a login hand over a mail, a new one where no key is given."""
    return await store.sending(login, key or new_key(), recipients, network, at, limits)
