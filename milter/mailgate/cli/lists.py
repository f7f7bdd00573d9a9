"""mailgate lists: the site's words, domains and addresses."""

from pathlib import Path
from typing import Annotated

import typer

from ..lists.folder import Folder
from ..tables import Format, render
from .common import ConfigOption, FormatOption, read_settings, say

app = typer.Typer(help="The site's lists.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `check` a command of its own: typer makes a single one the group itself."""


@app.command("check")
def check(
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="Default [lists] path.")] = None,
    config: ConfigOption = None,
    style: FormatOption = Format.TABLE,
) -> None:
    """Count the entries of each list that hold today, and name each bad line; exit 1 where there is one."""
    lists, problems = Folder(folder or read_settings(config).lists_folder()).read()
    print(render([{"list": name, "entries": len(one)} for name, one in lists.entries.items()], _COLUMNS, style))
    for problem in problems:
        say(problem, 1)
    raise typer.Exit(1 if problems else 0)


_COLUMNS = ("list", "entries")
