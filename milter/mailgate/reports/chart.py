"""Bars as inline SVG: no script, no external resource, told in words to who cannot see them."""

from collections.abc import Callable, Sequence
from html import escape

WIDTH = 680
_LABELS, _NUMBERS = 210, 70  # room left of the bars and right of them
_BAR, _GAP, _LINE = 10, 6, 16
_COLOURS = ("#1d4f91", "#9bb8d9", "#d9822b")  # told apart in grey, too
_LONGEST = 34


def bars(
    name: str,
    title: str,
    description: str,
    series: Sequence[str],
    groups: Sequence[tuple[str, Sequence[int]]],
    number: Callable[[int], str] = str,
) -> str:
    """Return horizontal bars, for each group one of each series; `name` is its id in the page.

    Texts are plain and escaped here. A label that is too long is cut, and whole in its tooltip.
    """
    most = max((value for _, values in groups for value in values), default=0) or 1
    parts = []
    y = _GAP
    if len(series) > 1:
        for place, text in enumerate(series):
            x = place * WIDTH // len(series)
            parts.append(
                f'<rect x="{x}" y="{y}" width="{_BAR}" height="{_BAR}" fill="{_COLOURS[place]}"/>'
                f'<text x="{x + _LINE}" y="{y + _BAR - 1}">{escape(text)}</text>'
            )
        y += _LINE + _GAP
    for label, values in groups:
        middle = y + _BAR * len(values) // 2 + 4
        short = label if len(label) <= _LONGEST else label[: _LONGEST - 1] + "…"
        parts.append(
            f'<text x="{_LABELS - 8}" y="{middle}" text-anchor="end">'
            f"<title>{escape(label)}</title>{escape(short)}</text>"
        )
        for place, value in enumerate(values):
            length = round((WIDTH - _LABELS - _NUMBERS) * value / most, 1)
            parts.append(
                f'<rect x="{_LABELS}" y="{y}" width="{length}" height="{_BAR - 1}" fill="{_COLOURS[place]}"/>'
                f'<text x="{_LABELS + length + 4}" y="{y + _BAR - 2}" class="number">{escape(number(value))}</text>'
            )
            y += _BAR
        y += _GAP
    return (
        f'<svg viewBox="0 0 {WIDTH} {y}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )
