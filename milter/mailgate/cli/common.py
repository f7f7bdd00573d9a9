"""What all commands share: options, the two ways of saying no, the configuration, the store."""

import asyncio
import os
import pwd
import re
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from ..config import TIME_ZONE, Settings, load
from ..identity.identity import Identity
from ..identity.spelling import domain_of, mailbox_of
from ..ledger.journal import counted
from ..ledger.opening import open_store
from ..ledger.store import Store
from ..tables import Format

DEFAULT_CONFIG = Path("/etc/mailgate/mailgate.toml")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help=f"Configuration file; default {DEFAULT_CONFIG} where it exists.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="table, json or csv")]
AddressArgument = Annotated[str, typer.Argument(metavar="ADDR")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in words.")]
DocumentOption = Annotated[str, typer.Option("--document", help="Number of the document that orders it.")]
ByOption = Annotated[str, typer.Option("--by", help="Who does it; default the login name.")]


_CATCH_UP_S = 1.0  # the daemon commits four times a second


class Refused(Exception):
    """The answer is no: one line, exit status 1."""


class Misused(Exception):
    """The call was wrong: one line, exit status 2."""


def say(text: str, status: int) -> int:
    """Print an error as one line, and return the exit status."""
    print("mailgate: " + " ".join(text.split()), file=sys.stderr)
    return status


def read_settings(config: Path | None) -> Settings:
    """Read the configuration; raises ConfigError."""
    return load(config_path(config))


def config_path(config: Path | None) -> Path | None:
    """Return the configuration file to read, None for all defaults."""
    return config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)


def now() -> datetime:
    """Return the time, in the province's civil time."""
    return datetime.now(ZoneInfo(TIME_ZONE))


def with_store(settings: Settings, work: Callable[[Store], Any]) -> Any:
    """Run work with the configured store."""

    async def run() -> Any:
        store = open_store(settings.store.url, settings.folder)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def caught_up(settings: Settings) -> bool:
    """Let the daemon count what it has answered before now, and tell whether it has."""
    return counted(settings.journal_folder(), _CATCH_UP_S)


def aliased_identity(settings: Settings) -> Identity:
    """Return who is meant by an address, with the aliases of the configured files as they are now."""
    return settings.identity(settings.aliases().read()[0])


def official_mailbox(settings: Settings, address: str) -> str:
    """Return the official mailbox whose address this is, by the aliases and the registry too.

    Raises Misused for no address, Refused for another system's, and for an alias of several mailboxes.
    """
    mailbox = mailbox_of(address.encode("utf-8", "surrogateescape"))
    if not re.fullmatch(r"[^\s@]+@[^\s@]+", mailbox):
        raise Misused(f"{address!r} is no address: write LOCAL@DOMAIN, such as ptp.bl@hanam.gov.vn")
    identity = aliased_identity(settings)
    domains = identity.organization.domains
    if domain_of(identity.account(mailbox)) not in domains:
        raise Refused(f"{mailbox} is not of this system: its domains are {', '.join(sorted(domains))}")
    if identity.account(mailbox) == mailbox:
        if len(behind := identity.mailboxes(mailbox)) > 1:
            raise Refused(f"{mailbox} is an alias of {len(behind)} mailboxes: name one of {', '.join(behind[:10])}")
        return mailbox
    if with_store(settings, lambda store: store.registration(mailbox)) is not None:
        return mailbox  # it looks like a sub-address, and is a mailbox of its own
    return identity.account(mailbox)


def needed(name: str, value: str) -> str:
    """Return an option's value; raises Misused where it is empty."""
    if not value.strip():
        raise Misused(f"{name} is needed and must not be empty")
    return value


def login_name() -> str:
    """Return who sits at the keyboard: of `sudo`, whoever called it."""
    try:
        return os.environ.get("SUDO_USER") or os.getlogin()
    except OSError:  # no terminal: cron, systemd
        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return str(os.getuid())


def end_of_day(name: str, text: str) -> float:
    """Return the end of an option's day; raises Misused for no date, Refused for one that is past."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise Misused(f"{name} {text}: write a date as 2027-01-31") from error
    if day < now().date():
        raise Refused(f"{name} {text}: that day is past: an exemption ends in the future")
    return datetime.combine(day, time.max, ZoneInfo(TIME_ZONE)).timestamp()


def moment_of(name: str, text: str, days_on: int = 0) -> datetime | None:
    """Read a date or time of an option; a day as an end goes days_on. Raises Misused."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misused(f"{name} {text}: write a date or time as 2026-11-24 or 2026-11-24T08:00:00+07:00") from error
    if len(text) == len("2026-11-24"):
        moment += timedelta(days=days_on)  # a day as the end includes that day
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(TIME_ZONE))
