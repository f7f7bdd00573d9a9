"""mailgate incidents: the security incident log."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from ..incidents.log import IncidentLog
from ..incidents.search import Query, search
from ..tables import Format, render
from .common import ConfigOption, FormatOption, Refused, aliased_identity, moment_of, read_settings

app = typer.Typer(help="The security incident log.", no_args_is_help=True)

_INCIDENT_COLUMNS = (
    *("time", "case", "kind", "action", "rules", "mail_from", "rcpts", "client_ip", "queue_id"),
    *("count", "more"),  # mails of one record, and what it has no room for (incidents.record)
)


def _log(config: Path | None) -> IncidentLog:
    log = IncidentLog(read_settings(config).incidents_folder())
    if not log.folder.is_dir():
        raise Refused(f"{log.folder}: there is no incident log yet; is this the daemon's configuration?")
    return log


def _rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for record in records:
        rules = sorted({finding["rule"] for finding in record.get("findings", ())})
        rows.append({**record, "rules": rules or [record["kind"]]})
    return rows


@app.command("search")
def incidents_search(
    config: ConfigOption = None,
    since: Annotated[str, typer.Option("--from", metavar="DATE", help="From this day or time on.")] = "",
    until: Annotated[str, typer.Option("--to", metavar="DATE", help="To the end of this day, or this time.")] = "",
    mailbox: Annotated[str, typer.Option(metavar="ADDR")] = "",
    rule: Annotated[str, typer.Option()] = "",
    case: Annotated[str, typer.Option()] = "",
    text: Annotated[str, typer.Option(help="Anywhere in the record.")] = "",
    limit: Annotated[int, typer.Option(min=1)] = 1_000,
    style: FormatOption = Format.TABLE,
) -> None:
    """Find incidents by time, mailbox, rule, case number and text; the newest of them, oldest first."""
    identity = aliased_identity(read_settings(config))
    sought = identity.typed(mailbox.encode("utf-8", "surrogateescape")) if mailbox else ""
    begin, end = moment_of("--from", since), moment_of("--to", until, 1)
    found = list(search(_log(config), Query(begin, end, sought, rule, case, text, identity.account)))
    print(render(_rows(found[-limit:]), _INCIDENT_COLUMNS, style))


@app.command("show")
def incidents_show(case: Annotated[str, typer.Argument(metavar="CASE")], config: ConfigOption = None) -> None:
    """Print one incident whole, as JSON."""
    found = list(search(_log(config), Query(case=case)))
    if not found:
        raise Refused(f"there is no case {case}: see mailgate incidents search")
    for record in found:
        print(orjson.dumps(record, option=orjson.OPT_INDENT_2).decode())


@app.command("tail")
def incidents_tail(
    config: ConfigOption = None,
    count: Annotated[int, typer.Option("-n", min=1)] = 10,
    follow: Annotated[bool, typer.Option("-f", help="Go on with new ones until Ctrl-C.")] = False,
    style: FormatOption = Format.TABLE,
) -> None:
    """Print the last incidents."""
    log = _log(config)
    records = list(log.records())
    print(render(_rows(records[-count:]), _INCIDENT_COLUMNS, style), flush=True)
    seen = len(records)
    while follow:
        time.sleep(1.0)
        records = list(log.records())
        for row in _rows(records[seen:]):
            print(render([row], _INCIDENT_COLUMNS, style).splitlines()[-1], flush=True)
        seen = len(records)


@app.command("verify")
def incidents_verify(config: ConfigOption = None) -> None:
    """Walk the hash chain and find the first changed, missing or reordered line."""
    result = _log(config).verify()
    for torn in result.torn:
        print(f"{torn.file}:{torn.line}: {torn.problem}; the chain goes on after it")
    if result.flaw is not None:
        raise Refused(f"{result.flaw.file}:{result.flaw.line}: {result.flaw.problem}: keep a copy and find out why")
    print(f"{result.lines} lines verify")
