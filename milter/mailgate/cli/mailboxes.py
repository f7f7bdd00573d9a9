"""mailgate mailboxes: states of official mailboxes, and their activity."""

import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import typer

from ..config import TIME_ZONE, Settings
from ..ledger.journal import counted
from ..ledger.store import Store
from ..model import MailboxState
from ..tables import Format, render
from .common import (
    AddressArgument,
    ConfigOption,
    DocumentOption,
    FormatOption,
    Misused,
    ReasonOption,
    Refused,
    needed,
    now,
    official_mailbox,
    read_settings,
    with_store,
)

_CATCH_UP_S = 1.0  # the daemon commits four times a second

app = typer.Typer(help="States of official mailboxes.", no_args_is_help=True)

_STATE_COLUMNS = ("address", "status", "clause", "reason", "document", "at")


def _change(config: Path | None, address: str, act: str, clause: str, reason: str, document: str) -> None:
    from ..mailboxes.states import change

    settings = read_settings(config)
    mailbox = official_mailbox(settings, address)

    async def work(store: Store) -> MailboxState:
        return await change(store, mailbox, act, now(), clause, reason, document)

    try:
        state = with_store(settings, work)
    except ValueError as error:
        raise Refused(str(error)) from error
    print(f"{state.address}: {state.status}")


@app.command("lock")
def mailboxes_lock(
    address: AddressArgument,
    clause: Annotated[str, typer.Option("--clause", help="The ground: 7.2a, 7.2b, 7.2c or 7.2d.")] = "",
    reason: ReasonOption = "",
    document: DocumentOption = "",
    config: ConfigOption = None,
) -> None:
    """Lock a mailbox (tạm khóa, 7.1): it sends nothing, and still receives."""
    if clause not in ("7.2a", "7.2b", "7.2c", "7.2d"):
        raise Misused(f"--clause {clause or '(empty)'}: write the ground for the lock: 7.2a, 7.2b, 7.2c or 7.2d")
    _change(config, address, "lock", clause, reason, document)


@app.command("restore")
def mailboxes_restore(
    address: AddressArgument, document: DocumentOption = "", reason: ReasonOption = "", config: ConfigOption = None
) -> None:
    """Make a locked or revoked mailbox active again (7.3)."""
    _change(config, address, "restore", "7.3", reason, needed("--document", document))


@app.command("revoke")
def mailboxes_revoke(
    address: AddressArgument,
    document: DocumentOption = "",
    reason: ReasonOption = "",
    clause: Annotated[str, typer.Option("--clause", help="The ground: 6.2a, 6.2b or 6.2c.")] = "6.2",
    config: ConfigOption = None,
) -> None:
    """Revoke a mailbox (thu hồi, 6.2): it neither sends nor receives."""
    if clause not in ("6.2", "6.2a", "6.2b", "6.2c"):
        raise Misused(f"--clause {clause}: write 6.2a, 6.2b or 6.2c")
    _change(config, address, "revoke", clause, reason, needed("--document", document))


@app.command("list")
def mailboxes_list(config: ConfigOption = None, style: FormatOption = Format.TABLE) -> None:
    """List every mailbox that has a state or was seen in traffic, with its totals."""
    settings = read_settings(config)

    async def work(store: Store) -> list[dict[str, Any]]:
        states = await store.states()
        totals = {activity.mailbox: activity for activity in await store.totals()}
        rows = []
        for address in sorted(states.keys() | totals.keys()):
            row: dict[str, Any] = {"address": address, "status": "active"}
            if address in states:
                row |= asdict(states[address])
            if address in totals:
                row |= {name: value for name, value in _activity_row(totals[address]).items() if name != "mailbox"}
            rows.append(row)
        return rows

    columns = ("address", "status", "clause", "document", "at", "sent", "received", "last_sent", "last_received")
    _catch_up(settings)
    print(render(with_store(settings, work), columns, style))


@app.command("show")
def mailboxes_show(address: AddressArgument, config: ConfigOption = None, style: FormatOption = Format.TABLE) -> None:
    """Show one mailbox: its state, its history, its totals."""
    settings = read_settings(config)
    mailbox = official_mailbox(settings, address)

    async def work(store: Store) -> tuple[list[MailboxState], Any]:
        return await store.history(mailbox), await store.activity(mailbox)

    _catch_up(settings)
    history, activity = with_store(settings, work)
    rows = [asdict(state) for state in history]
    status = history[-1].status if history else "active"
    totals = _activity_row(activity)
    if style is Format.JSON:
        shown = {"address": mailbox, "status": status, "history": rows, **totals}
        print(orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())
        return
    if style is Format.TABLE:
        print(f"{mailbox}: {status}; " + ", ".join(f"{k} {v}" for k, v in totals.items() if v and k != "mailbox"))
    if rows or style is Format.CSV:
        print(render(rows, _STATE_COLUMNS, style))


def _catch_up(settings: Settings) -> None:
    """Let the daemon count what it has answered before now, so that totals lack nothing."""
    folder = settings.journal_folder()
    if not counted(folder, _CATCH_UP_S):
        print(
            f"mailgate: the totals lack what is in {folder}/*.journal: see that daemon and store run",
            file=sys.stderr,
        )


def _activity_row(activity: Any) -> dict[str, Any]:
    row = asdict(activity)
    for name in ("first_sent", "last_sent", "last_received"):
        if row[name] is not None:
            row[name] = datetime.fromtimestamp(row[name], ZoneInfo(TIME_ZONE)).isoformat(timespec="seconds")
    return row
