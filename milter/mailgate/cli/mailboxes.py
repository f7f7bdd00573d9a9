"""mailgate mailboxes: who holds them, their states, and their activity; all commands of the group."""

from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer

from ..config import Settings
from ..ledger.store import Activity, Store
from ..mailboxes.addresses import explain
from ..mailboxes.calendar import civil
from ..model import MailboxKind, MailboxState, MailboxStatus, MailClass, Registration
from ..tables import Format, render
from . import registry, states
from .common import (
    AddressArgument,
    ConfigOption,
    FormatOption,
    caught_up,
    official_mailbox,
    read_settings,
    say,
    with_store,
)

_LIST_COLUMNS = (
    *("address", "kind", "name", "unit", "created", "password_changed", "status", "clause", "document", "at"),
    *("sent", "sent_by_programs", "received", "last_sent", "last_received", "registered"),
)
_STATE_COLUMNS = ("status", "clause", "reason", "document", "at", "by", "must_change_password")


def list_all(
    kind: Annotated[MailboxKind | None, typer.Option("--kind", help="Only those registered as this.")] = None,
    status: Annotated[MailboxStatus | None, typer.Option("--status", help="Only those in this state.")] = None,
    unit: Annotated[str, typer.Option("--unit", help="Only those whose unit's name has this in it.")] = "",
    unregistered: Annotated[
        bool, typer.Option("--unregistered", help="Only those that the registry does not know.")
    ] = False,
    config: ConfigOption = None,
    style: FormatOption = Format.TABLE,
) -> None:
    """List every mailbox that is registered, has a state or was seen in mail, with its totals."""
    settings = read_settings(config)

    async def work(store: Store) -> tuple[list[Registration], dict[str, MailboxState], list[Activity]]:
        return await store.registrations(), await store.states(), await store.totals()

    _catch_up(settings)
    known, acts, totals = with_store(settings, work)
    registered = {each.address: each for each in known}
    active = {each.mailbox: each for each in totals}
    rows = (
        _row(address, registered.get(address), acts.get(address), active.get(address))
        for address in sorted(registered.keys() | acts.keys() | active.keys())
    )
    shown = [
        row
        for row in rows
        if kind in (None, row["kind"])
        and status in (None, row["status"])
        and unit.casefold() in (row["unit"] or "").casefold()
        and not (unregistered and row["registered"])
    ]
    print(render(shown, _LIST_COLUMNS, style))


def _row(
    address: str, registration: Registration | None, state: MailboxState | None, activity: Activity | None
) -> dict[str, Any]:
    """Return all that is known of a mailbox; None where nothing is."""
    row: dict[str, Any] = dict.fromkeys(_LIST_COLUMNS)
    row |= asdict(registration) if registration else {}
    row |= asdict(state or MailboxState(address, MailboxStatus.ACTIVE))
    row |= _activity_row(activity) if activity else {}
    return row | {"registered": registration is not None}


def show(address: AddressArgument, config: ConfigOption = None, style: FormatOption = Format.TABLE) -> None:
    """Show one mailbox: who holds it, whether its address is by clause 5, its state and history, its totals."""
    settings = read_settings(config)
    mailbox = official_mailbox(settings, address)

    async def work(store: Store) -> tuple[Registration | None, list[MailboxState], Activity]:
        return await store.registration(mailbox), await store.history(mailbox), await store.activity(mailbox)

    _catch_up(settings)
    registration, history, activity = with_store(settings, work)
    acts = [asdict(state) for state in history]
    shown = _row(mailbox, registration, history[-1] if history else None, activity)
    identity = settings.identity()
    found = (
        explain(mailbox, identity, registration.kind, registration.name, registration.unit)
        if registration
        else explain(mailbox, identity)
    )
    forms = [form.clause for form in found.forms]
    if style is Format.JSON:
        shown |= {"forms": forms, "ambiguous": found.is_ambiguous, "history": acts}
        print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
        return
    if style is Format.TABLE:
        print(f"{mailbox}: {shown['status']}" + ("; must change its password" * shown["must_change_password"]))
        holder = "not in the registry"
        if registration:
            changed = registration.password_changed or "never"
            holder = f"{registration.kind}: {', '.join(filter(None, (registration.name, registration.unit)))}"
            holder += f"; created {registration.created}, password changed {changed}"
        print(holder)
        print("address by clause 5: " + "; ".join([" or ".join(forms) or "no", *found.reasons, *found.notes]))
        print("sent " + _said(shown["sent"], shown["last_sent"]))
        for name, mails in shown["sent_by_class"].items():
            if name != MailClass.HUMAN:
                print(f"  by programs: {name} " + _said(**mails))
        print("received " + _said(shown["received"], shown["last_received"]))
        for name, mails in shown["received_by_class"].items():
            print(f"  {name} " + _said(**mails))
        if shown["node"]:
            print(f"seen last on {shown['node']}")
    if acts or style is Format.CSV:
        print(render(acts, _STATE_COLUMNS, style))


def _catch_up(settings: Settings) -> None:
    """Say what the totals lack, once the daemon has had time to count it."""
    if not caught_up(settings):
        say(f"the totals lack what is in {settings.journal_folder()}/*.journal: see that daemon and store run", 0)


def _activity_row(activity: Activity) -> dict[str, Any]:
    row = asdict(activity)
    del row["mailbox"]
    for name in ("first_sent", "last_sent", "last_received"):
        row[name] = _time(row[name])
    for name, by_class in (("sent", activity.sent_by_class), ("received", activity.received_by_class)):
        row[f"{name}_by_class"] = {
            kind.value: {"count": mails.count, "last": _time(mails.last)} for kind, mails in by_class.items()
        }
    row["sent_by_programs"] = sum(mails.count for mails in activity.sent_by_class.values()) - activity.sent
    return row


def _said(count: int, last: str | None) -> str:
    return f"{count}, last {last}" if last else str(count)


def _time(moment: float | None) -> str | None:
    return None if moment is None else civil(moment).isoformat(timespec="seconds")


app = typer.Typer(help="Official mailboxes: registry, states, activity.", no_args_is_help=True)
app.command("list")(list_all)
app.command("show")(show)
app.command("lock")(states.lock)
app.command("restore")(states.restore)
app.command("revoke")(states.revoke)
app.command("password-changed")(states.password_changed)
app.command("exempt")(states.exempt)
app.command("import")(registry.import_csv)
app.command("export")(registry.export)
app.command("check-address")(registry.check_address)
