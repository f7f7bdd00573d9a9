"""mailgate exemptions: what the keeper of the regulation allowed in writing, until a day."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from ..config import TIME_ZONE, Settings
from ..identity.spelling import canonical_domain, domain_of, mailbox_of
from ..ledger.store import Store
from ..model import Exemption
from ..tables import Format, render
from .common import (
    ConfigOption,
    DocumentOption,
    FormatOption,
    Misused,
    ReasonOption,
    Refused,
    end_of_day,
    needed,
    now,
    official_mailbox,
    read_settings,
    with_store,
)

_RULE = "auto-forward"
_COLUMNS = ("number", "rule", "mailbox", "destination", "until", "state", "document", "approver", "reason")

app = typer.Typer(help="Exemptions from the rule against automatic forwarding.", no_args_is_help=True)


@app.command("add")
def add(
    mailbox: Annotated[str, typer.Argument(metavar="MAILBOX", help="The official mailbox, or a domain of ours.")],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="The other mailbox, or its domain.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="The last day on which it holds: 2027-01-31.")] = "",
    document: DocumentOption = "",
    approver: Annotated[str, typer.Option(help="Who signed the document.")] = "",
    reason: ReasonOption = "",
    rule: Annotated[str, typer.Option()] = _RULE,
    config: ConfigOption = None,
) -> None:
    """Let one mailbox's forward through until the end of a day; a running daemon follows within 5 s."""
    settings = read_settings(config)
    if rule not in settings.rules:
        raise Misused(f"--rule {rule}: there are {', '.join(settings.rules)}")
    official = _party("MAILBOX", mailbox)
    organization = settings.resolved_organization()
    if not organization.is_official_domain(domain_of(official) or official):
        raise Refused(f"{official} is not of this system: its domains are {', '.join(sorted(organization.domains))}")
    other = _party("DESTINATION", destination)
    if organization.is_state(other if "@" in other else f"x@{other}"):
        raise Refused(f"{other} is issued by a state body (4.5): it needs no exemption")
    exemption = Exemption(
        rule,
        official_mailbox(settings, official) if "@" in official else official,
        other,
        end_of_day("--until", needed("--until", until)),
        needed("--document", document),
        needed("--reason", reason),
        needed("--approver", approver),
        added=now().timestamp(),
    )

    async def work(store: Store) -> Exemption:
        return await store.add_exemption(exemption)

    kept = with_store(settings, work)
    print(f"exemption {kept.number}: {kept.mailbox} to {kept.counterpart}, {_day(kept.until)} included")


@app.command("list")
def list_all(config: ConfigOption = None, style: FormatOption = Format.TABLE) -> None:
    """List every exemption: the store's, and those of the configuration (number 0)."""
    settings = read_settings(config)
    print(render([_row(exemption) for exemption in _all(settings)], _COLUMNS, style))


@app.command("remove")
def remove(number: Annotated[int, typer.Argument(metavar="NUMBER")], config: ConfigOption = None) -> None:
    """End an exemption now."""
    settings = read_settings(config)

    async def work(store: Store) -> bool:
        return await store.remove_exemption(number)

    if not with_store(settings, work):
        where = "it stands in the configuration file" if number == 0 else "see mailgate exemptions list"
        raise Refused(f"there is no exemption {number} in the store: {where}")
    print(f"exemption {number}: removed")


@app.command("expiring")
def expiring(
    days: Annotated[int, typer.Option(min=0, help="Within so many days.")] = 30,
    config: ConfigOption = None,
    style: FormatOption = Format.TABLE,
) -> None:
    """List the exemptions that still hold, and end within some days."""
    settings = read_settings(config)
    start = now()
    last = (start + timedelta(days=days)).timestamp()
    found = [exemption for exemption in _all(settings) if start.timestamp() <= exemption.until <= last]
    print(render([_row(exemption) for exemption in found], _COLUMNS, style))


def _all(settings: Settings) -> list[Exemption]:
    async def work(store: Store) -> list[Exemption]:
        return await store.exemptions()

    return [*settings.policy().exemptions, *with_store(settings, work)]


def _party(name: str, text: str) -> str:
    """Read a mailbox or a domain; raises Misused."""
    if "@" in text:
        mailbox = mailbox_of(text.encode("utf-8", "surrogateescape"))
        local, _, domain = mailbox.rpartition("@")
        if local and "." in domain and not any(map(str.isspace, mailbox)) and "@" not in local:
            return mailbox
    else:
        domain = canonical_domain(text)
        if "." in domain and not any(map(str.isspace, domain)):
            return domain
    raise Misused(f"{name} {text!r}: write LOCAL@DOMAIN, such as lan@example.com, or a domain")


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, ZoneInfo(TIME_ZONE)):%Y-%m-%d}"


def _row(exemption: Exemption) -> dict[str, Any]:
    row = asdict(exemption)
    row["destination"] = row.pop("counterpart")
    row["until"] = _day(exemption.until)
    row["state"] = "holds" if now().timestamp() < exemption.until else "expired"
    added = row.pop("added")
    row["added"] = datetime.fromtimestamp(added, ZoneInfo(TIME_ZONE)).isoformat(timespec="seconds") if added else None
    return row
