"""What mails that are made to burn cost those beside them: `python -m benchmarks.burn [SIZE_KB] [PART OF A NAME]`.

One worker, all rules; another connection's mails are timed meanwhile. Of each input: the neighbour's longest wait,
how much the worker's memory grew, octets of incidents, and what became of the mail.
"""

import sys

from tests.lab.burn import INPUTS
from tests.lab.mailgate import Mailgate
from tests.lab.neighbours import ONE_WORKER, Cost, cost_of


def main() -> None:
    """Print a row an input, and the worst of all."""
    size = int(sys.argv[1]) << 10 if len(sys.argv) > 1 else 1 << 20
    part = sys.argv[2] if len(sys.argv) > 2 else ""
    print(f"{'input':<42} {'wait ms':>8} {'RSS +MB':>8} {'incident':>9} {'own s':>7}  action")
    costs: list[Cost] = []
    with Mailgate(ONE_WORKER) as mailgate:
        cost_of(mailgate, INPUTS["fields"](65_536))  # what is loaded with the first
        for name, make in INPUTS.items():
            if part in name and not name.startswith("sender:"):  # no line of SMTP is so long
                cost = cost_of(mailgate, make(size))
                costs.append(cost)
                print(
                    f"{name:<42} {cost.longest_s * 1_000:8.1f} {cost.growth_bytes / 1_048_576:8.1f} "
                    f"{cost.incident_octets:9} {cost.own_s:7.2f}  {cost.action}",
                    flush=True,
                )
    print(
        f"{len(costs)} inputs of {size >> 10} KB: longest wait {max(cost.longest_s for cost in costs) * 1_000:.1f}"
        f" ms, memory in all +{sum(cost.growth_bytes for cost in costs) / 1_048_576:.1f} MB,"
        f" most octets of incidents {max(cost.incident_octets for cost in costs)}"
    )


if __name__ == "__main__":
    main()
