"""A day of mail on real programs, of more than a hundred kinds, lawful ones and forwards: what became of each.

`python -m tests.lab.day [MAILS]` prints the table, and exits with 1 when a mail came to an end that its kind does not
want.
"""

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from tests.lab.day_kinds import KINDS
from tests.lab.day_system import DELIVERED, OUTCOMES, Day, Kind, Mail, day_system

FORBIDDEN_SHARE = 0.07  # of a day's mails


def shares(kinds: Sequence[Kind], mails: int) -> list[Kind]:
    """Return the kinds of a day's mails in the order in which they are sent: each at least once, mixed."""
    forbidden = [kind for kind in kinds if kind.forbidden]
    lawful = [kind for kind in kinds if not kind.forbidden]
    wrong = max(len(forbidden), round(FORBIDDEN_SHARE * mails))
    right = max(len(lawful), mails - wrong)
    counts = [(kinds, total) for kinds, total in ((lawful, right), (forbidden, wrong))]
    placed = [
        ((number + 0.5) / total, group[number % len(group)]) for group, total in counts for number in range(total)
    ]
    return [kind for _, kind in sorted(placed, key=lambda one: one[0])]


def run_day(kinds: Sequence[Kind], by_smtp_door: bool = False) -> tuple[Day, list[Mail]]:
    """Run a day of one mail for each of `kinds`, and return what became of each."""
    with day_system(by_smtp_door) as day:
        mails = [Mail(kind, number) for number, kind in enumerate(kinds)]
        day.live(mails)
    return day, mails


def table(day: Day, mails: Sequence[Mail]) -> list[str]:
    """Return the lines of the table, those of mails that came to another end than wanted, and the sums."""
    lines = []
    for mail in mails:
        if not mail.kind.fits(mail.seen):
            lines.append(
                f"✗ {mail.kind.name} ({mail.kind.doors}), {mail.token}: {mail.seen}\n    {day.evidence(mail)}"
            )
    heads = " ".join(f"{name.upper():>9}" for name in ("mails", *OUTCOMES))
    lines.append(f"  {'KIND':<66} {heads} WANTED")
    by_kind: Mapping[str, list[Mail]] = defaultdict(list)
    for mail in mails:
        by_kind[mail.kind.name].append(mail)
    for name, of_kind in by_kind.items():
        ends = Counter(mail.seen for mail in of_kind)
        kind = of_kind[0].kind
        mark = " " if all(kind.fits(end) for end in ends) else "✗"
        counts = " ".join(f"{count:>9}" for count in (len(of_kind), *(ends[end] for end in OUTCOMES)))
        lines.append(f"{mark} {name:<66} {counts} {kind.wanted}")
    lawful = [mail for mail in mails if not mail.kind.forbidden]
    wrong = [mail for mail in mails if mail.kind.forbidden]
    kept = sum(mail.seen != DELIVERED for mail in lawful)
    out = sum(mail.seen == DELIVERED for mail in wrong)
    return [
        *lines,
        f"lawful refused or held: {kept} of {len(lawful)}",
        f"violations let out: {out} of {len(wrong)}",
    ]


def main() -> int:
    """Run a day and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mails", nargs="?", type=int, default=2_000)
    parser.add_argument("--only", default="", help="kinds that have this in their name")
    parser.add_argument("--smtp-door", action="store_true", help="what leaves passes the SMTP door, not the milter")
    arguments = parser.parse_args()
    chosen = [kind for kind in KINDS if arguments.only in kind.name]
    started = time.monotonic()
    day, mails = run_day(shares(chosen, arguments.mails), arguments.smtp_door)
    print("\n".join(table(day, mails)), flush=True)
    print(f"{len(mails)} mails of {len(chosen)} kinds in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return int(not all(mail.kind.fits(mail.seen) for mail in mails))


if __name__ == "__main__":
    sys.exit(main())
