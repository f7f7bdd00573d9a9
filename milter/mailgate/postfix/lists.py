"""Postfix's text forms: lines that go on, lists with braces, pairs. Pure functions.

Sources: postconf(5), master(5), regexp_table(5), DATABASE_README, and the code of readlline.c and mystrtok.c.
"""

import re
from collections.abc import Iterator


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, text) of each logical line.

    A line that begins with white space goes on with the one before; empty lines and lines whose first
    non-blank is `#` are skipped, also between the two (readlline.c).
    """
    first, parts = 0, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if line[0].isspace() and parts:
            parts.append(stripped)
            continue
        if parts:
            yield first, " ".join(parts)
        first, parts = number, [stripped]
    if parts:
        yield first, " ".join(parts)


def split_list(text: str, separators: str = ", \t\n") -> list[str]:
    """Split at separators outside braces (mystrtokq with CHARS_BRACE).

    >>> split_list("hash:/etc/a, inline:{ { x = y, z } }")
    ['hash:/etc/a', 'inline:{ { x = y, z } }']
    """
    items = []
    depth, start = 0, -1
    for at, char in enumerate(text):
        if char in separators and depth == 0:
            if start >= 0:
                items.append(text[start:at])
            start = -1
            continue
        if start < 0:
            start = at
        depth += (char == "{") - (char == "}" and depth > 0)
    if start >= 0:
        items.append(text[start:])
    return items


def items_of(text: str) -> list[str]:
    """Split at commas outside double quotes; a backslash quotes the next character."""
    return [item.strip() for item in re.findall(r'(?:[^,"\\]|\\.|"(?:[^"\\]|\\.)*"?)+', text) if item.strip()]


def unbraced(text: str) -> str:
    """Return what stands within one pair of braces, the text itself where there is none."""
    text = text.strip()
    return text[1:-1].strip() if text.startswith("{") and text.endswith("}") else text


def settings_of(item: str) -> tuple[str, dict[str, str]]:
    """Read one item of a milter list, `ADDRESS` or `{ ADDRESS, name=value, ... }`, as address and settings."""
    if not item.startswith("{"):
        return item, {}
    address, *rest = split_list(unbraced(item)) or [""]
    pairs = (unbraced(text).partition("=") for text in rest)
    return address, {name.strip(): value.strip() for name, _, value in pairs}


def seconds_of(text: str, unit: str = "s") -> float:
    """Return a time of Postfix (30, 30s, 5m, 1h, 1d, 1w) in seconds, 0 for none.

    `unit` is that of a bare number, the parameter's own default.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
    number, last = (text[:-1], text[-1]) if text and text[-1] in units else (text, unit)
    return int(number) * units[last] if number.isdigit() else 0.0
