"""What it costs to know who is meant: `python -m benchmarks.identity [ALIASES]`.

A file of a million aliases (virtual(5)), as many registered names that look like sub-addresses, and the look-ups that
one mail asks for: its sender's and recipient's paths, whose they are, and to whom the mail is delivered.
"""

import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mailgate.identity.aliases import Aliases
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.identity.rewriting import Rewriting

DOMAIN, OLD = "hanam.gov.vn", "hn.gov.vn"
ROUNDS = 200_000


def main() -> None:
    """Print the memory of the aliases, the time to read them, and each look-up in microseconds."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    domains = frozenset({DOMAIN, OLD})
    rewriting = Rewriting(DOMAIN)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "virtual"
        with file.open("w", encoding="ascii") as lines:
            for number in range(count):
                lines.write(f"bi.danh.{number}@{DOMAIN} nguyen.van.{number}@{DOMAIN}\n")
        before, started = _held_mib(), time.perf_counter()
        aliases = Aliases([str(file)], Path(), domains, rewriting)
        found, problems = aliases.read()
        taken_s, most = time.perf_counter() - started, _most_mib()
        aliases.take(found)
        del found
    assert not problems
    held = _held_mib() - before
    print(f"{count} aliases: read in {taken_s:.1f} s, {held:.0f} MiB held, {most:.0f} MiB at the most meanwhile")
    organization = Organization(domains, state_domains=frozenset({"gov.vn"}))
    identity = Identity(organization, rewriting, "+", {OLD: DOMAIN}, aliases)
    chance = random.Random(1)
    numbers = [chance.randrange(count) for _ in range(ROUNDS)]
    alias = [f"bi.danh.{number}@{DOMAIN}" for number in numbers]
    looks: dict[str, tuple[Callable[[Any], object], Sequence[Any]]] = {
        "account, an alias": (identity.account, alias),
        "account, an alias's sub-address": (identity.account, [f"bi.danh.{n}+tag@{DOMAIN}" for n in numbers]),
        "account, in a merged domain": (identity.account, [f"bi.danh.{n}@{OLD}" for n in numbers]),
        "account, a mailbox": (identity.account, [f"nguyen.van.{n}@{DOMAIN}" for n in numbers]),
        "account, not ours": (identity.account, [f"lan.{n}@example.com" for n in numbers]),
        "mailboxes, an alias": (identity.mailboxes, alias),
        "said, what Postfix made of a path": (identity.said, alias),
        "typed, an ordinary path": (identity.typed, [f"<bi.danh.{n}@{DOMAIN}>".encode() for n in numbers]),
        "typed, a name alone": (identity.typed, [f"<bi.danh.{n}>".encode() for n in numbers]),
        "typed, with a route and a comment": (
            identity.typed,
            [f"<@a.vn:b.{n}(x)%{DOMAIN}@x.vn>".encode() for n in numbers],
        ),
    }
    for name, (look, keys) in looks.items():
        started = time.perf_counter()
        for key in keys:
            look(key)
        print(f"{name:<40}{(time.perf_counter() - started) / ROUNDS * 1e6:7.2f} us")


def _held_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _most_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
