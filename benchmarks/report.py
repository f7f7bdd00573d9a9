"""results.html: one page without scripts or anything from elsewhere, readable in light and in dark."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from benchmarks.results import Cell, Egress, Results

Groups = Mapping[str, Mapping[str, float]]  # label of the group: (name of the bar: value)

LABEL_WIDTH, CHART_WIDTH, VALUE_WIDTH = 170, 480, 90
BAR_HEIGHT, BAR_STEP, GROUP_GAP = 13, 16, 12

STYLE = """
:root { color-scheme: light dark; --s0: #1f6fb5; --s1: #6fb1e4; --s2: #d9822b; --s3: #7a8491; --s4: #a9b1bb;
  --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --s0: #4f9fe6; --s1: #2f6ca6; --s2: #e39a4d; --s3: #9aa3ae;
  --s4: #6a727c; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem }
h2 { font-size: 1.2rem; margin-top: 2.2rem }
h3 { font-size: 1rem; margin: 1.2rem 0 0 }
svg { width: 100%; height: auto; max-width: 46rem } svg text { fill: currentColor; font-size: 11px }
.s0 { fill: var(--s0); background: var(--s0) } .s1 { fill: var(--s1); background: var(--s1) }
.s2 { fill: var(--s2); background: var(--s2) } .s3 { fill: var(--s3); background: var(--s3) }
.s4 { fill: var(--s4); background: var(--s4) }
.legend span { display: inline-block; margin-right: 1.2em }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { padding: .15rem .7rem .15rem 0; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child, .text td { text-align: left }
"""


def page(results: Results) -> str:
    """Draw the whole page."""
    sizes = list(dict.fromkeys(cell.size for cell in results.milter))
    facts = {**results.machine, **results.settings}
    parts = [
        "<h1>Mailgate and its peers</h1>",
        _table(("", ""), facts.items(), css_class="text"),
        *_where(
            results.milter,
            "<h2>CPU of the server, µs a mail</h2><p>Less is better.</p>",
            *(_bars(f"Mails of {size}", _by_load(results.milter, size, "cpu_us")) for size in sizes),
            "<h2>Mails a second</h2><p>More is better.</p>",
            *(_bars(f"Mails of {size}", _by_load(results.milter, size, "rate")) for size in sizes),
        ),
        *_where(
            results.idle,
            "<h2>Memory with idle connections</h2>",
            _bars("MB resident", _idle_groups(results)),
        ),
        *_where(
            results.postfix,
            "<h2>Through Postfix</h2><p>More is better.</p>",
            _bars("Mails a second, as a share of the same Postfix without a milter", _postfix_groups(results)),
        ),
        *_where(
            results.egress,
            "<h2>Outgoing mail through Postfix, shown to Mailgate once more</h2>",
            _bars("Mails a second; more is better", _egress_groups(results.egress, "rate")),
            _bars("CPU of Mailgate, µs a mail; less is better", _egress_groups(results.egress, "mailgate_us")),
            _bars(
                "CPU of the whole machine, µs a mail; less is better", _egress_groups(results.egress, "machine_us")
            ),
        ),
        "<h2>All figures</h2><p>Medians of the rounds; ratios and differences are medians of the rounds' own.</p>",
        *_where(results.milter, _milter_table(results.milter)),
        *_where(
            results.idle,
            "<h3>Idle connections</h3>",
            _table(
                ("filter", "KB a connection"),
                ((idle.peer, f"{idle.kb_a_connection:.1f}") for idle in results.idle),
            ),
        ),
        *_where(
            results.memory,
            "<h3>What join and memory cost, CPU µs a mail</h3>",
            _table(
                ("mail", "with", "without", "difference", "rounds"),
                (
                    (
                        *(memory.direction, f"{memory.remembering_us:,.1f}", f"{memory.forgetting_us:,.1f}"),
                        f"{memory.difference_us:+.1f}",
                        " ".join(f"{difference:+.1f}" for difference in memory.rounds),
                    )
                    for memory in results.memory
                ),
            ),
        ),
        *_where(
            results.postfix,
            "<h3>Through Postfix</h3>",
            _table(
                ("mail", "milter", "mails/s", "to none", "rounds"),
                (
                    (
                        *(door.size, door.variant, f"{door.rate:,.0f}", f"{door.ratio_to_none:.2f}"),
                        " ".join(f"{rate:,.0f}" for rate in door.rounds),
                    )
                    for door in results.postfix
                ),
            ),
        ),
        *_where(
            results.egress,
            "<h3>Outgoing mail through Postfix</h3>",
            _table(
                ("mail", "wiring", "mails/s", "to none", "Mailgate µs", "machine µs", "to none", "rounds: mails/s"),
                (
                    (
                        *(egress.size, egress.variant, f"{egress.median.rate:,.0f}"),
                        f"{egress.ratio_to_none.rate:.2f}",
                        *(f"{egress.median.mailgate_us:,.1f}", f"{egress.median.machine_us:,.0f}"),
                        f"{egress.ratio_to_none.cpu:.2f}",
                        " ".join(f"{figures.rate:,.0f}" for figures in egress.rounds),
                    )
                    for egress in results.egress
                ),
            ),
        ),
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Mailgate and its peers</title>'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _where(measured: Sequence[object], *parts: str) -> Sequence[str]:
    """Show these parts of the page where what they show was measured."""
    return parts if measured else ()


def _by_load(cells: Iterable[Cell], size: str, figure: str) -> Groups:
    groups: dict[str, dict[str, float]] = {}
    for cell in cells:
        if cell.size == size:
            groups.setdefault(_load_name(cell), {})[cell.peer] = getattr(cell.median, figure)
    return groups


def _load_name(cell: Cell) -> str:
    return f"{cell.transport}, {cell.connections}" + ("" if cell.pinned else ", any CPU")


def _idle_groups(results: Results) -> Groups:
    groups: dict[str, dict[str, float]] = {}
    for idle in results.idle:
        for number, megabytes in idle.resident_mb.items():
            groups.setdefault(f"{number} connections", {})[idle.peer] = megabytes
    return groups


def _postfix_groups(results: Results) -> Groups:
    groups: dict[str, dict[str, float]] = {}
    for door in results.postfix:
        groups.setdefault(f"mails of {door.size}", {})[door.variant] = door.ratio_to_none
    return groups


def _egress_groups(measured: Iterable[Egress], figure: str) -> Groups:
    groups: dict[str, dict[str, float]] = {}
    for egress in measured:
        groups.setdefault(f"mails of {egress.size}", {})[egress.variant] = getattr(egress.median, figure)
    return groups


def _bars(title: str, groups: Groups) -> str:
    """Draw groups of horizontal bars on one scale, each with its value, under a legend of the bars' names."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    top = max((value for group in groups.values() for value in group.values()), default=0) or 1
    drawn, y = [], 0
    for label, group in groups.items():
        middle = y + len(group) * BAR_STEP / 2 + 3
        drawn.append(f'<text x="{LABEL_WIDTH - 8}" y="{middle:.0f}" text-anchor="end">{escape(label)}</text>')
        for name, value in group.items():
            width = CHART_WIDTH * value / top
            drawn.append(
                f'<rect class="s{names.index(name)}" x="{LABEL_WIDTH}" y="{y}" width="{width:.1f}" '
                f'height="{BAR_HEIGHT}"><title>{escape(name)}</title></rect>'
                f'<text x="{LABEL_WIDTH + width + 5:.1f}" y="{y + BAR_HEIGHT - 3}">{_short(value)}</text>'
            )
            y += BAR_STEP
        y += GROUP_GAP
    legend = "".join(f'<span><i class="s{index}"></i>{escape(name)}</span>' for index, name in enumerate(names))
    width = LABEL_WIDTH + CHART_WIDTH + VALUE_WIDTH
    svg = f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {y}">{"".join(drawn)}</svg>'
    return f'<h3>{escape(title)}</h3><p class="legend">{legend}</p>{svg}'


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _milter_table(cells: Sequence[Cell]) -> str:
    references = list(dict.fromkeys(name for cell in cells for name in cell.ratio_to))
    heads = (
        *("load", "filter", "mails/s", "CPU µs", "p50 ms", "p99 ms", "peak MB", "load's CPU"),
        *(f"{figure} / {name}" for name in references for figure in ("mails/s", "CPU")),
    )
    rows = (
        (
            f"{cell.size}, {_load_name(cell)}",
            cell.peer,
            f"{cell.median.rate:,.0f}",
            f"{cell.median.cpu_us:,.1f}",
            f"{cell.median.p50_ms:.2f}",
            f"{cell.median.p99_ms:.2f}",
            f"{cell.median.peak_mb:.1f}",
            f"{cell.median.generator_busy:.2f}",
            *(f"{ratio:.2f}" for name in references for ratio in _both(cell, name)),
        )
        for cell in cells
    )
    return _table(heads, rows)


def _both(cell: Cell, reference: str) -> tuple[float, float]:
    ratio = cell.ratio_to[reference]
    return ratio.rate, ratio.cpu


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], css_class: str = "") -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>\n" for row in rows)
    return f'<div class="wide"><table class="{css_class}"><tr>{head}</tr>\n{body}</table></div>'
