"""`mailgate` itself: its groups of commands, its exit status, the daemon and the configuration.

Exit status: 0 done; 1 the answer is no; 2 the call was wrong. An error is one line on standard error that says
what to do. Names are fixed; see the README.
"""

import asyncio
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from .. import __version__, logs
from ..config import ConfigError
from ..ledger.store import StoreError
from ..tables import Format, render
from . import check, exemptions, forwards, inactivity, incidents, lists, mailboxes, postfix, quarantine, report, store
from .common import ConfigOption, FormatOption, Misused, Refused, config_path, read_settings, say

app = typer.Typer(
    name="mailgate",
    help="Mail-flow policy milter for an official mail system.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(help="Validate or print the configuration.", no_args_is_help=True)
app.command()(check.check)
app.command()(inactivity.inactivity)
app.command()(report.report)
app.add_typer(config_app, name="config")
app.add_typer(mailboxes.app, name="mailboxes")
app.add_typer(forwards.app, name="forwards")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(exemptions.app, name="exemptions")
app.add_typer(incidents.app, name="incidents")
app.add_typer(lists.app, name="lists")
app.add_typer(postfix.app, name="postfix")
app.add_typer(store.app, name="store")


def main() -> None:
    """Run the command line; the console script."""
    try:
        status = app(standalone_mode=False)
    except Misused as error:
        status = say(str(error), 2)
    except (Refused, StoreError) as error:
        status = say(str(error), 1)
    except ConfigError as error:
        for problem in error.problems:
            status = say(problem, 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        status = 0
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except Exception as error:
        # A wrong option or argument: typer's own classes know their message and status.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        status = say(message(), getattr(error, "exit_code", 2)) if message() else 2
    sys.exit(status if isinstance(status, int) else 0)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"mailgate {__version__}")
        raise typer.Exit


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the daemon: every door that the configuration opens, until SIGTERM."""
    from ..daemon import serve as run

    raise typer.Exit(run(config_path(config)))


@app.command()
def doctor(config: ConfigOption = None, style: FormatOption = Format.TABLE) -> None:
    """Try every dependency for real and say what to mend; exit 1 when something required is broken."""
    from ..doctor import Diagnosis, examine, failed

    settings = read_settings(config)
    logs.configure("error", "json", sys.stderr.buffer)
    found: list[Diagnosis] = []

    async def run() -> None:
        async for diagnosis in examine(settings):
            found.append(diagnosis)
            if style is Format.TABLE:
                mark = "ok  " if diagnosis.ok else "FAIL" if diagnosis.required else "warn"
                print(f"{mark}  {diagnosis.name}: {diagnosis.detail}", flush=True)

    asyncio.run(run())
    if style is not Format.TABLE:
        print(render([asdict(diagnosis) for diagnosis in found], ("name", "ok", "required", "detail"), style))
    raise typer.Exit(1 if failed(found) else 0)


FileArgument = Annotated[Path | None, typer.Argument(metavar="[FILE]")]


@config_app.command("check")
def config_check(file: FileArgument = None) -> None:
    """Validate a configuration; each error with its key and line."""
    read_settings(file)
    print(f"{config_path(file) or 'defaults'}: valid")


@config_app.command("show")
def config_show(file: FileArgument = None) -> None:
    """Print the effective configuration as JSON, with secrets masked."""
    shown = read_settings(file).masked()
    print(orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode())
