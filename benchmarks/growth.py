"""How processor time grows with octets: `python -m benchmarks.growth [PART OF A NAME]`.

Each input of tests.lab.burn, doubled from 64 KB to 4 MB: milliseconds of the daemon's own processor time, the largest
growth of a doubling (of figures over 5 ms, where noise no longer counts), and the longest turn of the loop.
"""

import asyncio
import gc
import itertools
import sys

import structlog
from tests.lab.burn import INPUTS
from tests.lab.turns import turns_of

SIZES = [65_536 << doubling for doubling in range(7)]
_TELLING_S = 0.005


def main() -> None:
    """Print a row an input, and the worst."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    print(f"{'ms for':<40}" + "".join(f"{size >> 10:>7}K" for size in SIZES) + "  growth  turn ms")
    worst_growth = worst_turn = 0.0
    for name, make in INPUTS.items():
        if part not in name:
            continue
        taken, longest = [], 0.0
        for size in SIZES:
            burning = make(size)
            gc.collect()
            tries = [asyncio.run(turns_of(burning)) for _ in range(2)]
            taken.append(min(map(sum, tries)))
            longest = max(longest, min(map(max, tries)))
        growth = max([b / max(a, _TELLING_S) for a, b in itertools.pairwise(taken)])
        worst_growth, worst_turn = max(worst_growth, growth), max(worst_turn, longest)
        row = "".join(f"{value * 1_000:8.1f}" for value in taken)
        print(f"{name:<40}{row}{growth:8.2f}{longest * 1_000:9.1f}", flush=True)
    print(f"largest growth of a doubling {worst_growth:.2f}, longest turn {worst_turn * 1_000:.1f} ms")


if __name__ == "__main__":
    main()
