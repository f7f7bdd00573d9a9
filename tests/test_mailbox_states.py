"""Which act takes a mailbox from which state to which, and what is kept of it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from mailgate.mailboxes.states import change
from mailgate.model import Exemption, MailboxKind, MailboxState, MailboxStatus

ADDRESS = "ptp.bl@hanam.gov.vn"
ACTIVE, LOCKED, REVOKED = MailboxStatus
NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


class States:
    """A store of one mailbox's state."""

    def __init__(self, status: MailboxStatus | None) -> None:
        self.known = {} if status is None else {ADDRESS: MailboxState(ADDRESS, status)}

    async def states_version(self) -> int:
        return 0

    async def exemptions(self) -> list[Exemption]:
        return []

    async def states(self) -> dict[str, MailboxState]:
        return self.known

    async def state(self, mailbox: str) -> MailboxState | None:
        return self.known.get(mailbox)

    async def delimited(self) -> frozenset[str]:
        return frozenset()

    async def units(self) -> frozenset[str]:
        return frozenset()

    async def registry_version(self) -> int:
        return 0

    async def names(self) -> AsyncIterator[list[tuple[str, MailboxKind]]]:
        yield []

    async def set_state(self, state: MailboxState) -> None:
        self.known = {state.address: state}


@pytest.mark.parametrize(
    ("status", "act", "want", "must_change"),
    [
        (None, "lock", LOCKED, False),
        (ACTIVE, "lock", LOCKED, False),
        (None, "revoke", REVOKED, False),
        (ACTIVE, "revoke", REVOKED, False),
        (LOCKED, "revoke", REVOKED, False),
        (LOCKED, "restore", ACTIVE, True),
        (REVOKED, "restore", ACTIVE, True),
    ],
)
async def test_an_act_that_a_state_allows(
    status: MailboxStatus | None, act: str, want: MailboxStatus, must_change: bool
) -> None:
    store = States(status)
    state = await change(store, ADDRESS, act, NOW, "7.2a", "why", "1/QĐ", "lan")
    assert state == MailboxState(
        ADDRESS, want, "7.2a", "why", "1/QĐ", "2026-11-24T08:00:00+00:00", "lan", must_change_password=must_change
    )
    assert store.known == {ADDRESS: state}


@pytest.mark.parametrize(
    ("status", "act", "says"),
    [
        (LOCKED, "lock", "is locked: lock takes a mailbox that is active; restore or revoke takes this one"),
        (REVOKED, "lock", "is revoked: lock takes a mailbox that is active; restore takes this one"),
        (REVOKED, "revoke", "is revoked: revoke takes a mailbox that is active or locked; restore takes this one"),
        (
            ACTIVE,
            "restore",
            "is active: restore takes a mailbox that is locked or revoked; lock or revoke",
        ),
        (None, "restore", "is active: restore takes"),
    ],
)
async def test_an_act_that_a_state_forbids(status: MailboxStatus | None, act: str, says: str) -> None:
    store = States(status)
    before = store.known
    with pytest.raises(ValueError, match=says):
        await change(store, ADDRESS, act, NOW)
    assert store.known is before
