"""mailgate quarantine: the mails that Mailgate had Postfix hold."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import typer

from ..config import TIME_ZONE
from ..incidents.log import IncidentLog
from ..quarantine import Held, Postfix, PostfixError, chosen, deed_record
from ..tables import Format, render
from .common import ConfigOption, FormatOption, ReasonOption, Refused, needed, now, read_settings

_COLUMNS = ("queue_id", "case", "arrived", "hook", "rules", "mail_from", "rcpts", "mailboxes", "bytes")

app = typer.Typer(help="The mails that Mailgate had Postfix hold.", no_args_is_help=True)

PostfixOption = Annotated[
    Path | None, typer.Option("--config-dir", help="Postfix's configuration folder; default the system's.")
]
NamesArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Queue ids or case numbers.")]


@app.command("list")
def list_all(config: ConfigOption = None, postfix: PostfixOption = None, style: FormatOption = Format.TABLE) -> None:
    """List the mails that are held, oldest first."""
    _, held = _read(config, postfix)
    print(render([_row(mail) for mail in held], _COLUMNS, style))


@app.command("show")
def show(names: NamesArgument, config: ConfigOption = None, postfix: PostfixOption = None) -> None:
    """Show held mails: the incident, the envelope, the header; never the text."""
    _, held = _read(config, postfix)
    for mail in _chosen(held, names):
        print(orjson.dumps(mail.incident, option=orjson.OPT_INDENT_2).decode())
        print(_asked(lambda mail=mail: Postfix(postfix).text(mail)))  # type: ignore[misc]


@app.command("release")
def release(
    names: NamesArgument, reason: ReasonOption = "", config: ConfigOption = None, postfix: PostfixOption = None
) -> None:
    """Let held mails go on to their recipients."""
    _do(names, "release", needed("--reason", reason), Postfix(postfix).release, config, postfix)


@app.command("delete")
def delete(
    names: NamesArgument, reason: ReasonOption = "", config: ConfigOption = None, postfix: PostfixOption = None
) -> None:
    """Delete held mails; nobody is told."""
    _do(names, "deletion", needed("--reason", reason), Postfix(postfix).delete, config, postfix)


@app.command("expire")
def expire(
    days: Annotated[int, typer.Option(min=0, help="Held for longer than so many days.")] = 30,
    config: ConfigOption = None,
    postfix: PostfixOption = None,
) -> None:
    """Delete what has been held for too long; for a daily timer."""
    _, held = _read(config, postfix)
    oldest = (now() - timedelta(days=days)).timestamp()
    ended = [mail.queue_id for mail in held if mail.arrived < oldest]
    if ended:
        _do(ended, "deletion", f"held for over {days} days", Postfix(postfix).delete, config, postfix)
    print(f"{len(ended)} of {len(held)} held mails deleted")


def _read(config: Path | None, postfix: Path | None) -> tuple[IncidentLog, list[Held]]:
    log = IncidentLog(read_settings(config).incidents_folder())
    return log, _asked(lambda: Postfix(postfix).held(log))


def _asked(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except PostfixError as error:
        raise Refused(str(error)) from error


def _chosen(held: Sequence[Held], names: Sequence[str]) -> list[Held]:
    try:
        return list(chosen(held, names))
    except KeyError as error:
        raise Refused(
            f"{error.args[0]}: Mailgate has no such mail held here: see mailgate quarantine list"
        ) from error


def _do(
    names: Sequence[str],
    kind: str,
    reason: str,
    deed: Callable[[Held], None],
    config: Path | None,
    postfix: Path | None,
) -> None:
    """Do it to each mail, its record on disk first: a deed without a record is worse than one that is tried again."""
    log, held = _read(config, postfix)
    by = os.environ.get("SUDO_USER") or os.environ.get("USER") or str(os.getuid())
    for mail in _chosen(held, names):
        log.append([deed_record(mail, kind, by, reason, now())], now())
        _asked(lambda mail=mail: deed(mail))  # type: ignore[misc]
        print(f"{mail.queue_id}: {kind} (case {mail.incident['case']})")


def _row(mail: Held) -> dict[str, Any]:
    incident = mail.incident
    return {
        "queue_id": mail.queue_id,
        "case": incident["case"],
        "arrived": datetime.fromtimestamp(mail.arrived, ZoneInfo(TIME_ZONE)).isoformat(timespec="seconds"),
        "hook": incident["hook"],
        "rules": incident.get("rules") or sorted({finding["rule"] for finding in incident["findings"]}),
        "mail_from": mail.sender,
        "rcpts": list(mail.recipients),
        "mailboxes": incident.get("mailboxes", []),
        "bytes": mail.octets,
    }
