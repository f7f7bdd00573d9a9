"""Find incidents: by time, mailbox, rule, case number and text."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from .log import IncidentLog


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; every condition that is given must hold. since is inclusive, until exclusive.

    case: of a record, or of the one that it refers to. mailbox: under whatever of its addresses; account says whose
    one is (identity).
    """

    since: datetime | None = None
    until: datetime | None = None
    mailbox: str = ""
    rule: str = ""
    case: str = ""
    text: str = ""
    account: Callable[[str], str] = str

    def matches(self, record: dict[str, Any]) -> bool:
        """Tell whether a record is among what is looked for."""
        if self.case and self.case not in (record.get("case"), record.get("of_case")):
            return False
        if self.rule and all(finding.get("rule") != self.rule for finding in record.get("findings", ())):
            return False
        if self.mailbox:
            sought, names = self.mailbox.lower(), named_in(record)
            if sought not in names and self.account(sought) not in map(self.account, names):
                return False
        if self.since or self.until:
            at = datetime.fromisoformat(record["time"])
            if (self.since and at < self.since) or (self.until and at >= self.until):
                return False
        return not self.text or self.text.lower() in orjson.dumps(record).decode().lower()


def named_in(record: Mapping[str, Any]) -> set[str]:
    """Return the mailboxes that a record names: sender, login, recipients, and those that a finding speaks of."""
    findings = (finding.get("recipient", "") for finding in record.get("findings", ()))
    names = {
        record.get("mail_from", ""),
        record.get("login", ""),
        *record.get("rcpts", ()),
        *record.get("recipient_replies", ()),
        *record.get("mailboxes", ()),
        *findings,
    }
    return names - {""}


def search(log: IncidentLog, query: Query) -> Iterator[dict[str, Any]]:
    """Yield the matching records, oldest first."""
    return (record for record in log.records() if query.matches(record))
