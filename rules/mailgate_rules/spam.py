"""Spam (clause 4.3): what the spam engine said of the mail, mapped to what is done.

A wrong block must lose nothing (decree 91/2020 article 10.3): a refusal tells the sender, a tag is a header, and
only what the site configures is held.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mailgate.model import Action, Evidence, Header, Mail, SpamReport
from mailgate.rule import Example, Hit, RuleStanza

_ACTIONS: Mapping[str, Action] = {
    "reject": Action.REJECT,
    "soft reject": Action.TEMPFAIL,
    "quarantine": Action.QUARANTINE,
    "discard": Action.QUARANTINE,
    "rewrite subject": Action.ACCEPT,
    "add header": Action.ACCEPT,
    "greylist": Action.ACCEPT,
}


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.spam].

    actions: the engine's action → ours; one that is not named here is no finding ("no action").
    header: the name of the header that is added to a mail with a finding; "" adds none.
    """

    NAME = "spam"
    CLAUSE = "QD27/2023 4.3"
    REPLY = "550 5.7.1 Refused as spam\nThu bi xac dinh la thu rac (khoan 3 Dieu 4 QD 27/2023)"
    NEEDS = "spam"

    actions: Mapping[str, Action] = field(default_factory=lambda: dict(_ACTIONS))
    header: str = "X-Mailgate-Spam"

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report the engine's answer when it asks for anything."""
        report = mail.spam
        if report is None or report.action not in self.actions:
            return
        symbols = " ".join(report.symbols)
        value = f"action={report.action.replace(' ', '-')}; score={report.score:.2f}; required={report.required:.2f}"
        headers: tuple[Header, ...] = ()
        if self.header:
            shown = f"{value}; symbols={symbols}"[:900]
            headers = ((self.header.encode("ascii"), shown.encode("ascii", "replace")),)
        yield Hit(
            (Evidence("engine", "rspamd", value), Evidence("engine", "symbols", symbols)),
            action=self.actions[report.action],
            headers=headers,
        )


def _report(action: str, score: float) -> tuple[tuple[str, object], ...]:
    return (("spam", SpamReport(action, score, 15.0, ("GTUBE(0.00)",))),)


EXAMPLES = (
    Example("the engine refuses", Action.REJECT, facts=_report("reject", 15.0)),
    Example("no action", Action.ACCEPT, facts=_report("no action", 1.0)),
    Example("tagged", Action.ACCEPT, facts=_report("add header", 6.0), finds=True),
    Example("soft reject", Action.TEMPFAIL, facts=_report("soft reject", 3.0)),
    Example("engine away, mail passes by default", Action.ACCEPT, facts=(("missing", {"spam": "x"}),), finds=True),
    Example(
        "held where configured",
        Action.QUARANTINE,
        facts=_report("add header", 6.0),
        keys=(("actions", {"add header": "quarantine"}),),
    ),
)
