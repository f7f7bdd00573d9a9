"""mailgate postfix: how Mailgate is put into Postfix, and which roads go round it."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..config import Settings
from ..postfix.instance import PostfixError, read_instance
from ..tables import Format, render
from ..wiring import show
from ..wiring.check import Wiring, open_roads, wiring_of
from ..wiring.roads import COLUMNS
from .common import ConfigOption, FormatOption, Misused, Refused, read_settings

app = typer.Typer(help="Mailgate's place in Postfix.", no_args_is_help=True)

ConfigDirOption = Annotated[
    Path | None, typer.Option("--config-dir", metavar="DIR", help="Postfix's folder; default the system's own.")
]


def _wiring(settings: Settings, config_dir: Path | None) -> Wiring:
    try:
        return wiring_of(read_instance(config_dir), settings)
    except PostfixError as error:
        raise Misused(str(error)) from error


@app.command("show")
def postfix_show(config: ConfigOption = None, config_dir: ConfigDirOption = None) -> None:
    """Print the commands that put Mailgate into this machine's Postfix; they change nothing where all fits."""
    wiring = _wiring(read_settings(config), config_dir)
    if not wiring.doors.listeners:
        raise Refused("[listen] milter is empty: how the SMTP door is wired stands in config/mailgate.toml, [smtp]")
    instance = wiring.instance
    print(f"# Postfix {instance.get('mail_version')} in {instance.config_dir}")
    stanzas = show.stanzas(wiring)
    if stanzas:
        print("# mailgate.toml needs these too, so that a mail is judged by its hook's rules:")
        print("".join(f"#   {line}\n" for line in stanzas), end="")
    where = str(config_dir) if config_dir else ""
    commands = show.commands(wiring, where)
    for command in commands:
        print(f"# {command.reason}\n{command.line()}")
    for line in show.by_hand(wiring):
        print(f"# By hand: {line}")
    if commands:
        print("postfix " + (f"-c {where} " if where else "") + "reload")
    else:
        print("# nothing to change")


@app.command("check")
def postfix_check(
    config: ConfigOption = None, config_dir: ConfigDirOption = None, style: FormatOption = Format.TABLE
) -> None:
    """Name every road by which mail can pass Mailgate by; exit 1 when one is open."""
    roads = open_roads(_wiring(read_settings(config), config_dir))
    shown = [asdict(road) for road in roads]
    if style is not Format.TABLE:
        print(render(shown, (*COLUMNS, "is_note"), style))
    else:
        for road in roads:
            print(f"{'note' if road.is_note else 'OPEN'}  {road.road}  {road.where}")
            print(f"      {road.what}\n      why: {road.why}\n      mend: {road.mend}")
        if not roads:
            print("no open road")
    raise typer.Exit(1 if any(not road.is_note for road in roads) else 0)
