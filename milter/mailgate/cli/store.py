"""mailgate store: the ledger's own affairs."""

import asyncio
from typing import Annotated

import typer

from ..folder_locks import served_by
from ..ledger.journal import counted
from ..ledger.opening import open_store
from .common import ConfigOption, Misused, Refused, read_settings

app = typer.Typer(help="The store of activity, registry and states.", no_args_is_help=True)


@app.callback()
def store() -> None:
    """Move the store."""


@app.command("move")
def store_move(
    to: Annotated[str, typer.Option("--to", help="The Redis to move to, as [store] url has it.")],
    config: ConfigOption = None,
) -> None:
    """Copy the embedded store to an empty Redis, and compare the two; stop the daemon first."""
    from ..ledger.moving import move
    from ..ledger.redis import RedisStore
    from ..ledger.sqlite import SqliteStore

    settings = read_settings(config)
    try:
        source = open_store(settings.store.url, settings.folder, settings.keep_s())
        target = open_store(to, settings.folder, settings.keep_s())
    except ValueError as error:
        raise Misused(f"--to: {error}") from error
    if not isinstance(source, SqliteStore):
        raise Refused(f"[store] url is {settings.store.url.partition(':')[0]} already: only an embedded store moves")
    if not isinstance(target, RedisStore):
        raise Misused("--to: name a Redis, such as redis://127.0.0.1:6379/0")
    if who := served_by(settings):
        raise Refused(f"{who} serves this store: stop it first")
    if not counted(settings.journal_folder(), 0):
        raise Refused(f"{settings.journal_folder()}/*.journal waits to be counted: let the daemon finish and stop it")

    async def run() -> dict[str, int]:
        try:
            return await move(source, target)
        finally:
            await source.close()
            await target.close()

    numbers = asyncio.run(run())
    print(", ".join(f"{number} {name}" for name, number in numbers.items()) + ": copied and compared")
    print("Now write the new URL into [store] url, and start the daemon.")
