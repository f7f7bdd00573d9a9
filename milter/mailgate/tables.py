"""A list of records as a table for the eye, JSON or CSV: what every listing command prints."""

import csv
import io
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import orjson


class Format(StrEnum):
    """How a listing is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def render(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], style: Format) -> str:
    """Return the rows; a table and CSV show the columns, JSON whole rows as an array of objects."""
    if style is Format.JSON:
        return orjson.dumps(list(rows), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode()
    cells = [[_text(row.get(column)) for column in columns] for row in rows]
    if style is Format.CSV:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(cells)
        return out.getvalue().removesuffix("\n")
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in ([column.upper() for column in columns], *cells)
    ]
    return "\n".join(lines)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, Mapping):
        return " ".join(f"{name}+{number}" for name, number in value.items())
    return str(value)
