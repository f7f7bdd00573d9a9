"""mailgate report: the year's figures on the official mailboxes (11.8), as a page to be signed, CSV or JSON."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import orjson
import typer

from ..config import Settings
from ..incidents.log import IncidentLog
from ..ledger.store import Store
from ..reports.figures import COLUMNS, Figures, Period, long_rows, year_of
from ..reports.page import Head, page
from ..tables import Format, render
from .common import ConfigOption, Refused, aliased_identity, now, read_settings, with_store
from .inactivity import ask, not_counted


class Style(StrEnum):
    """How a report is written."""

    HTML = "html"
    CSV = "csv"
    JSON = "json"


def report(
    year: Annotated[int, typer.Option(min=2000, max=9998, help="The year in which its twelve months end.")],
    unit: Annotated[str, typer.Option(metavar="UNIT", help="Of this unit's mailboxes alone.")] = "",
    style: Annotated[Style, typer.Option("--format", help="html, csv or json")] = Style.HTML,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to; default standard output.")] = None,
    config: ConfigOption = None,
) -> None:
    """Write the yearly report on how the official mailboxes are used (11.8), in Vietnamese where it is a page."""
    settings = read_settings(config)
    period = year_of(year, settings.report.year_begins)
    made_at = now()
    if made_at < period.begin:
        raise Refused(f"--year {year}: its twelve months begin on {period.first}")
    figures = _figures(settings, period, made_at, unit)
    text = _written(settings, figures, style)
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Refused(f"--output {output}: {error.strerror}") from error


def _figures(settings: Settings, period: Period, made_at: datetime, unit: str) -> Figures:
    pending = not_counted(settings)

    async def work(store: Store) -> Figures:
        registrations = await store.registrations()
        if unit and all(one.unit != unit for one in registrations):
            raise Refused(f"--unit {unit}: no mailbox is registered for it: see mailgate mailboxes export")
        account = aliased_identity(settings).account
        figures = Figures(period, made_at, registrations, await store.states(), unit or None, account)
        async for mailbox, days in store.days(period.first, period.last):
            figures.add_days(mailbox, days)
        for change in await store.changes():
            figures.add_change(change)
        answer, holes = await ask(store, settings, made_at, pending)
        figures.add_inactive(answer, holes)
        return figures

    figures: Figures = with_store(settings, work)
    log = IncidentLog(settings.incidents_folder())
    if log.folder.is_dir():
        for record in log.records():
            figures.add_incident(record)
    else:
        figures.miss_incidents()
    return figures


def _written(settings: Settings, figures: Figures, style: Style) -> str:
    shown = figures.as_json()
    if style is Style.JSON:
        return orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
    if style is Style.CSV:
        return render(list(long_rows(shown)), COLUMNS, Format.CSV)
    section = settings.report
    head = Head(
        section.superior,
        figures.unit or section.unit_name,
        section.basis,
        section.place,
        section.signer_title,
        section.signer,
    )
    return page(shown, head).rstrip()
