"""What each mechanism of forwarding was found doing, counted out of incidents: to be seen before it is enforced."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

COLUMNS = ("mechanism", "direction", "mailbox", "counterpart", "count", "refused", "last", "last_case")
_RULE = "auto-forward"
_SEVERAL = "(several)"  # what was only counted names no recipient (incidents.repeats)
_DECIDED = frozenset(("reject", "quarantine", "discard", "tempfail"))


@dataclass(slots=True)
class Seen:
    """One mechanism between an official mailbox and its counterpart: mails that it decides on, and those of them that
    were kept back; last: the time of the newest, in ISO 8601."""

    mechanism: str
    direction: str
    mailbox: str
    counterpart: str
    count: int = 0
    refused: int = 0
    last: str = ""
    last_case: str = ""


def forwards_seen(records: Iterable[Mapping[str, Any]]) -> list[Seen]:
    """Return what would be refused, by mechanism, mailbox and counterpart; the most frequent first.

    Findings count that hard evidence decides, whatever mode the rule is in; what an exemption lets through does not.
    """
    found: dict[tuple[str, str, str, str], Seen] = {}
    for record in records:
        for finding in record.get("findings", ()):
            if not _decides(finding, record):
                continue
            direction, recipient = finding.get("direction", ""), finding.get("recipient") or _SEVERAL
            forwarder = finding.get("forwarder", "")
            ends = (recipient, forwarder) if direction == "in" else (forwarder, recipient)
            mechanism = finding.get("mechanism", "(before mechanisms were named)")
            seen = found.setdefault((mechanism, direction, *ends), Seen(mechanism, direction, *ends))
            mails = int(record.get("count", 1))
            seen.count += mails
            seen.refused += mails if finding.get("mode") == "enforce" and finding.get("action") in _DECIDED else 0
            if record["time"] >= seen.last:
                seen.last, seen.last_case = record["time"], record.get("case") or record.get("of_case", "")
    return sorted(found.values(), key=lambda seen: (-seen.count, seen.mechanism, seen.mailbox, seen.counterpart))


def _decides(finding: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    if finding.get("rule") != _RULE or finding.get("exemption") or not finding.get("direction"):
        return False
    pieces = finding.get("evidence")
    return any(piece.get("strength") == "hard" for piece in pieces) if pieces else "count" in record
