"""mailgate inactivity: who is due to be locked or revoked (6.2c, 7.2a, 7.2d), and, where ordered, the act."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from ..config import Settings
from ..ledger.journal import pending_since
from ..ledger.store import Store, StoreError
from ..mailboxes.calendar import civil
from ..mailboxes.inactivity import COLUMNS, Answer, Due, Hole, Terms, find_due, holes
from ..tables import Format, render
from .common import (
    ByOption,
    ConfigOption,
    DocumentOption,
    FormatOption,
    Misused,
    Refused,
    caught_up,
    login_name,
    moment_of,
    needed,
    now,
    read_settings,
    say,
    with_store,
)


def inactivity(
    at: Annotated[
        str, typer.Option(metavar="DATE", help="As of this time, or the beginning of this day; default now.")
    ] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Lock and revoke what is due.")] = False,
    document: DocumentOption = "",
    by: ByOption = "",
    forget_node: Annotated[
        str, typer.Option("--forget-node", metavar="NODE", help="Wait no more for what a node counted that is gone.")
    ] = "",
    config: ConfigOption = None,
    style: FormatOption = Format.TABLE,
) -> None:
    """Propose which mailboxes to lock and to revoke, and change nothing unless --apply is given."""
    if apply and at:
        raise Misused("--apply: leave --at out: what is done is done now")
    if apply:
        needed("--document", document)
    elif document or by:
        raise Misused("--document and --by go with --apply")
    if forget_node and (apply or at):
        raise Misused("--forget-node: leave --apply and --at out")
    settings = read_settings(config)
    if forget_node:
        _forget(settings, forget_node)
        return
    moment = moment_of("--at", at)
    pending = not_counted(settings)

    async def work(store: Store) -> int:
        answer, _ = await ask(store, settings, moment or now(), pending)
        for note in answer.notes:
            say(note, 0)
        if apply:
            allowed = [due for due in answer.due if due.exemption is None]
            return await _apply(store, allowed, document, by or login_name())
        rows = [await _row(store, due, settings) for due in answer.due]
        print(render(rows, COLUMNS, style))
        return 0

    raise typer.Exit(with_store(settings, work))


def not_counted(settings: Settings) -> list[Hole]:
    """Let the daemon count what it has answered before now; return the hole that is left where it does not."""
    folder = settings.journal_folder()
    if caught_up(settings) or (since := pending_since(folder)) is None:
        return []
    say(f"what is in {folder}/*.journal is not counted yet: see that daemon and store run", 0)
    return [Hole("", civil(since), now())]


async def ask(store: Store, settings: Settings, at: datetime, pending: list[Hole]) -> tuple[Answer, list[Hole]]:
    """Return who is due at a time, and the holes in what was observed.

    Costs what the answer costs, however many mailboxes there are.
    """
    section = settings.activity
    hole = timedelta(minutes=section.hole_minutes)
    terms = Terms(section.lock_months, section.revoke_months, section.password_months, hole)
    found = [*holes(await store.observed(), min(at, now()), terms.hole), *pending]
    answer = find_due(
        await store.idle(section.counts_receive, terms.idle_before(at).timestamp(), section.counts_send),
        await store.default_passwords(terms.password_before(at).timestamp()),
        await store.states(),
        await store.exemptions(),
        found,
        at,
        terms,
    )
    return answer, found


async def _row(store: Store, due: Due, settings: Settings) -> dict[str, Any]:
    if due.clause == "7.2d":  # it was not asked for when a mailbox was last active that is not idle
        counts = settings.activity.counts_receive, settings.activity.counts_send
        last = (await store.activity(due.address)).last(*counts)
        due = replace(due, last_activity=None if last is None else civil(last))
    return due.row(await store.registration(due.address))


async def _apply(store: Store, due: list[Due], document: str, by: str) -> int:
    """Do what is due, a line for each; what fails is told, and the others go on."""
    from ..mailboxes.states import change

    status = 0
    for one in due:
        try:
            state = await change(store, one.address, one.action, now(), one.clause, one.reason, document, by)
        except (ValueError, StoreError) as error:
            status = say(f"{one.address}: not done: {error}", 1)
        else:
            print(f"{state.address}: {state.status} ({one.clause})", flush=True)
    return status


def _forget(settings: Settings, node: str) -> None:
    async def work(store: Store) -> bool:
        return await store.forget_node(node)

    if not with_store(settings, work):
        raise Refused(f"there is no node {node}: mailgate inactivity names those that are not seen")
    print(f"node {node}: forgotten")
