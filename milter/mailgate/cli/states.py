"""mailgate mailboxes lock, restore, revoke, password-changed and exempt: acts on one mailbox, and who did them."""

import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from ..ledger.store import Store
from ..mailboxes.states import change
from ..model import Exemption, MailboxState
from .common import (
    AddressArgument,
    ByOption,
    ConfigOption,
    DocumentOption,
    Misused,
    ReasonOption,
    Refused,
    end_of_day,
    login_name,
    needed,
    now,
    official_mailbox,
    read_settings,
    with_store,
)


def _change(config: Path | None, address: str, act: str, clause: str, reason: str, document: str, by: str) -> None:
    settings = read_settings(config)
    mailbox = official_mailbox(settings, address)
    if not document.strip():
        needed("--document or --reason", reason)

    async def work(store: Store) -> MailboxState:
        await _known(store, mailbox)
        return await change(store, mailbox, act, now(), clause, reason, document, by or login_name())

    try:
        state = with_store(settings, work)
    except ValueError as error:
        raise Refused(str(error)) from error
    print(f"{state.address}: {state.status}")
    if state.must_change_password:
        print(
            "mailgate: set a new password for it; whoever logs in first must change that (7.3b, c): "
            f"then run mailgate mailboxes password-changed {mailbox}",
            file=sys.stderr,
        )


async def _known(store: Store, mailbox: str) -> None:
    """Raise Refused for a mailbox that nothing knows of, where there is a registry that should."""
    if await store.registration(mailbox) or await store.state(mailbox):
        return
    activity = await store.activity(mailbox)
    if activity.sent or activity.received or not await store.registrations():
        return
    raise Refused(f"{mailbox} is neither in the registry nor seen in mail: import it, or correct the address")


def lock(
    address: AddressArgument,
    clause: Annotated[str, typer.Option("--clause", help="The ground: 7.2a, 7.2b, 7.2c or 7.2d.")] = "",
    reason: ReasonOption = "",
    document: DocumentOption = "",
    by: ByOption = "",
    config: ConfigOption = None,
) -> None:
    """Lock a mailbox (tạm khóa, 7.1): it sends nothing, and still receives. Needs --document or --reason."""
    if clause not in ("7.2a", "7.2b", "7.2c", "7.2d"):
        raise Misused(f"--clause {clause or '(empty)'}: write the ground for the lock: 7.2a, 7.2b, 7.2c or 7.2d")
    _change(config, address, "lock", clause, reason, document, by)


def restore(
    address: AddressArgument,
    document: DocumentOption = "",
    reason: ReasonOption = "",
    by: ByOption = "",
    config: ConfigOption = None,
) -> None:
    """Make a locked or revoked mailbox active again (khôi phục, 7.3): its password must be changed."""
    _change(config, address, "restore", "7.3", reason, needed("--document", document), by)


def revoke(
    address: AddressArgument,
    document: DocumentOption = "",
    reason: ReasonOption = "",
    clause: Annotated[str, typer.Option("--clause", help="The ground: 6.2a, 6.2b or 6.2c.")] = "6.2",
    by: ByOption = "",
    config: ConfigOption = None,
) -> None:
    """Revoke a mailbox (thu hồi, 6.2): it neither sends nor receives."""
    if clause not in ("6.2", "6.2a", "6.2b", "6.2c"):
        raise Misused(f"--clause {clause}: write 6.2a, 6.2b or 6.2c")
    _change(config, address, "revoke", clause, reason, needed("--document", document), by)


def password_changed(
    address: AddressArgument,
    at: Annotated[str, typer.Option("--at", metavar="DATE", help="The day; default today.")] = "",
    by: ByOption = "",
    config: ConfigOption = None,
) -> None:
    """Record that the holder changed the password (7.2d, 7.3c, 8.2a): in the registry, and against a restoration."""
    settings = read_settings(config)
    mailbox = official_mailbox(settings, address)
    today = now().date()
    try:
        day = date.fromisoformat(at) if at else today
    except ValueError as error:
        raise Misused(f"--at {at}: write a date as 2026-11-24") from error
    if day > today:
        raise Refused(f"--at {at}: that day is in the future")

    async def work(store: Store) -> None:
        registration = await store.registration(mailbox)
        state = await store.state(mailbox)
        is_marked = state is not None and state.must_change_password
        if state is not None and is_marked and day.isoformat() < state.at[:10]:
            raise Refused(
                f"--at {day}: {mailbox} was restored on {state.at[:10]}, and its password reset then (7.3b)"
            )
        if registration is None and not is_marked:
            raise Refused(f"{mailbox} is not in the registry: import it first")
        if registration is not None:
            if day.isoformat() < registration.created:
                raise Refused(f"--at {day}: {mailbox} was created on {registration.created}")
            await store.register([replace(registration, password_changed=day.isoformat())])
        if state is not None and is_marked:
            # Its time stays that of the restoration, from which inactivity is reckoned.
            await store.set_state(replace(state, must_change_password=False, by=by or login_name()))

    with_store(settings, work)
    print(f"{mailbox}: password changed {day}")


def exempt(
    address: AddressArgument,
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="The last day on which it holds.")] = "",
    reason: ReasonOption = "",
    document: DocumentOption = "",
    by: ByOption = "",
    config: ConfigOption = None,
) -> None:
    """Exempt a mailbox whose holder gave notice (6.2c, 7.2a) from lock and revocation as inactive, until a day."""
    settings = read_settings(config)
    mailbox = official_mailbox(settings, address)
    exemption = Exemption(
        "inactivity",
        mailbox,
        "",
        end_of_day("--until", needed("--until", until)),
        needed("--document", document),
        needed("--reason", reason),
        by or login_name(),
        added=now().timestamp(),
    )

    async def work(store: Store) -> Exemption:
        await _known(store, mailbox)
        return await store.add_exemption(exemption)

    kept = with_store(settings, work)
    print(f"exemption {kept.number}: {mailbox} from inactivity, {until} included")
