"""mailgate forwards: where forwarding is configured, what was seen of it, and how it is told."""

import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from ..audit.edges import Harvest, canonical
from ..audit.forward_files import harvest_homes, homes_of, passwd_homes
from ..audit.ldif import harvest_ldif
from ..audit.local_names import LocalNames, local_names
from ..audit.postfix_maps import harvest_postfix
from ..audit.report import COLUMNS, Audit, audit
from ..audit.sieve_files import dovecot_settings, harvest_dovecot, harvest_folders
from ..audit.zimbra import harvest_zimbra
from ..config import TIME_ZONE, Settings
from ..forwarding.table import page
from ..incidents.forwards import COLUMNS as SEEN_COLUMNS
from ..incidents.forwards import forwards_seen as seen_in
from ..incidents.log import IncidentLog
from ..incidents.search import Query, search
from ..ledger.store import Store, StoreError
from ..model import Exemption
from ..postfix.instance import Instance, PostfixError, has_postfix, read_instance
from ..sources import TABLE_LIMIT_BYTES, Unread, UnreadError, read_source, text_of
from ..tables import Format, render
from .common import ConfigOption, FormatOption, Misused, Refused, now, read_settings, with_store

app = typer.Typer(help="Automatic forwarding: where it is configured, and what was seen.", no_args_is_help=True)

ConfigDirOption = Annotated[
    Path | None, typer.Option("--config-dir", metavar="DIR", help="Postfix's folder; default the system's own.")
]


@app.command("audit")
def forwards_audit(
    config: ConfigOption = None,
    config_dir: ConfigDirOption = None,
    home: Annotated[
        list[str] | None,
        typer.Option("--home", metavar="PATTERN", help="Homes, such as '/home/*'; default those of passwd."),
    ] = None,
    sieve: Annotated[
        list[Path] | None,
        typer.Option("--sieve", metavar="DIR", help="Sieve scripts below DIR, or DIR/%n.sieve; default Dovecot's."),
    ] = None,
    zimbra: Annotated[
        list[Path] | None, typer.Option("--zimbra", metavar="FILE", help="What `zmprov -l gaa -v` printed.")
    ] = None,
    ldif: Annotated[list[Path] | None, typer.Option("--ldif", metavar="FILE", help="Accounts as LDIF.")] = None,
    mailboxes: Annotated[
        Path | None,
        typer.Option("--mailboxes", metavar="FILE", help="Mailboxes, one a line, for tables that cannot be listed."),
    ] = None,
    style: FormatOption = Format.TABLE,
) -> None:
    """List every forward from a mailbox of ours to one that no state body issued.

    Exit status: 1 for a forward that no exemption allows, 2 when something could not be read or parsed.
    """
    settings = read_settings(config)
    organization = settings.resolved_organization()
    harvest = Harvest()
    instance = None
    try:
        instance = read_instance(config_dir) if has_postfix() or config_dir else None
    except PostfixError as error:
        if config_dir:
            raise Misused(str(error)) from error
        harvest.unread.append(Unread("Postfix", 0, str(error)))
    if instance is None:
        harvest.notes.append("there is no Postfix on this machine: its tables are not audited")
    local = local_names(instance, organization) if instance else LocalNames()
    known, stored = _stored(settings, harvest)
    if mailboxes is not None:
        known |= _listed(mailboxes)
    if instance:
        ours = sorted(filter(organization.is_official, known))
        harvest.add(harvest_postfix(instance, organization, local, ours))
    homes = homes_of(home) if home else passwd_homes()
    harvest.add(harvest_homes(homes, instance))
    if sieve:
        harvest.add(harvest_folders(sieve, organization, local))
    elif dovecot := dovecot_settings():
        harvest.add(harvest_dovecot(dovecot, homes, organization, local))
    for path in zimbra or ():
        harvest.add(harvest_zimbra(path))
    for path in ldif or ():
        harvest.add(harvest_ldif(path, organization))
    result = audit(harvest, settings.identity(), local, [*settings.policy().exemptions, *stored], now())
    _print(result, style, instance)
    raise typer.Exit(result.status)


@app.command("seen")
def forwards_seen(
    config: ConfigOption = None,
    days: Annotated[int, typer.Option("--days", min=1, help="Of the last so many days.")] = 30,
    style: FormatOption = Format.TABLE,
) -> None:
    """List what each mechanism of forwarding was found doing: what is refused, and in monitor mode what would be.

    count: mails that hard evidence decides on; refused: those of them that were kept back.
    """
    log = IncidentLog(read_settings(config).incidents_folder())
    if not log.folder.is_dir():
        raise Refused(f"{log.folder}: there is no incident log yet; is this the daemon's configuration?")
    since = datetime.now(ZoneInfo(TIME_ZONE)) - timedelta(days=days)
    rows = [asdict(seen) for seen in seen_in(search(log, Query(since, rule="auto-forward")))]
    print(render(rows, SEEN_COLUMNS, style))


@app.command("mechanisms")
def forwards_mechanisms() -> None:
    """Print the table of mechanisms: what each program writes, whose mailbox that names, and what it is."""
    print(page(), end="")


def _listed(file: Path) -> set[str]:
    """Return the mailboxes of a file, one a line."""
    try:
        lines = text_of(read_source(file, TABLE_LIMIT_BYTES)).split("\n")
    except UnreadError as error:
        raise Misused(f"--mailboxes {error}") from error
    return {canonical(line) for line in lines if line.strip() and not line.lstrip().startswith("#")}


def _stored(settings: Settings, harvest: Harvest) -> tuple[set[str], list[Exemption]]:
    """Return what the store knows: the mailboxes of traffic and orders, and exemptions."""

    async def work(store: Store) -> tuple[set[str], list[Exemption]]:
        known = {activity.mailbox for activity in await store.totals()} | set(await store.states())
        return known, await store.exemptions()

    # A store that is not there yet would be made by being opened.
    scheme, _, path = settings.store.url.partition(":")
    if scheme == "sqlite" and not (settings.folder / path.removeprefix("//")).exists():
        return set(), []
    try:
        known, exemptions = with_store(settings, work)
    except StoreError as error:
        harvest.unread.append(Unread("[store] url", 0, str(error)))
        return set(), []
    return known, exemptions


def _print(result: Audit, style: Format, instance: Instance | None) -> None:
    rows: list[dict[str, Any]] = [asdict(forward) for forward in result.forwards]
    unread = [
        dict.fromkeys(COLUMNS, "")
        | {"kind": "not-audited", "file": entry.file, "line": entry.line, "note": entry.reason}
        for entry in result.unread
    ]
    print(render(rows if style is Format.TABLE else rows + unread, COLUMNS, style))
    if unread and style is Format.TABLE:
        print("\nnot audited:\n" + render(unread, ("file", "line", "note"), style))
    for entry in result.unread:
        print(f"mailgate: {entry}", file=sys.stderr)
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    if instance and any(forward.kind == "forward-file" for forward in result.forwards):
        print(f"note: `forward_path =` (empty) in {instance.main_cf} would end all .forward files", file=sys.stderr)
