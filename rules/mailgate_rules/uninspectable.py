"""Attachments that nobody could look into (clause 4.2): said, never taken for clean.

That a file is encrypted, damaged or of an unknown kind is no fault of its sender's, so that it is said to the reader
in a header. What a limit or a crash kept from being seen is what hostile files are made for, and is held; so is a
structure in which the mail store shows its readers other parts than those that were looked into.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mailgate.model import Action, Evidence, Inspection, Mail, Obstacle, Uninspected
from mailgate.rule import Example, Hit, RuleStanza, check_tag, tag

_ACTIONS: Mapping[Obstacle, Action] = {
    Obstacle.DAMAGED: Action.ACCEPT,
    Obstacle.ENCRYPTED: Action.ACCEPT,
    Obstacle.UNSUPPORTED: Action.ACCEPT,
    Obstacle.TRUNCATED: Action.ACCEPT,
    Obstacle.LIMIT: Action.QUARANTINE,
    Obstacle.KILLED: Action.QUARANTINE,
    Obstacle.AMBIGUOUS: Action.QUARANTINE,
}
_MOST = 20  # files that a finding names of one kind of obstacle; an archive may hold thousands


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.uninspectable].

    actions: obstacle → action; one that is not named has its default. header: the name of the header that is added to
    a mail with a finding; "" adds none.
    """

    NAME = "uninspectable"
    CLAUSE = "QD27/2023 4.2"
    REPLY = "550 5.7.1 Attachment cannot be inspected\nKhong kiem tra duoc tep gui kem (khoan 2 Dieu 4 QD 27/2023)"
    NEEDS = "inspection"

    actions: Mapping[Obstacle, Action] = field(default_factory=lambda: dict(_ACTIONS))
    header: str = "X-Mailgate-Uninspected"

    def __post_init__(self) -> None:
        """Raise ValueError for what is no header's name."""
        check_tag(self.header)

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report each kind of obstacle, with the files that it kept from being seen."""
        return self._hits(mail.inspection.uninspected) if mail.inspection and mail.inspection.uninspected else ()

    def _hits(self, found: Sequence[Uninspected]) -> Iterable[Hit]:
        for obstacle in Obstacle:
            blocked = list(dict.fromkeys(each for each in found if each.obstacle is obstacle))
            if not blocked:
                continue
            evidence = [Evidence("attachment", each.place, _shown(each)) for each in blocked[:_MOST]]
            if len(blocked) > _MOST:
                evidence.append(Evidence("attachment", "more", str(len(blocked) - _MOST)))
            action = self.actions.get(obstacle, _ACTIONS[obstacle])
            yield Hit(tuple(evidence), action=action, headers=tag(self.header, obstacle))


def _shown(each: Uninspected) -> str:
    return f"{each.obstacle}: {each.detail}" if each.detail else each.obstacle.value


def _blocked(*obstacles: Obstacle) -> tuple[tuple[str, object], ...]:
    return (("inspection", Inspection(uninspected=tuple(Uninspected("a.zip", each, "zip") for each in obstacles))),)


EXAMPLES = (
    Example("an encrypted archive is recorded", Action.ACCEPT, facts=_blocked(Obstacle.ENCRYPTED), finds=True),
    Example(
        "an encrypted archive is held where configured",
        Action.QUARANTINE,
        facts=_blocked(Obstacle.ENCRYPTED),
        keys=(("actions", {"encrypted": "quarantine"}),),
    ),
    Example("a damaged file is recorded", Action.ACCEPT, facts=_blocked(Obstacle.DAMAGED), finds=True),
    Example("an unknown container is recorded", Action.ACCEPT, facts=_blocked(Obstacle.UNSUPPORTED), finds=True),
    Example("beyond a limit", Action.QUARANTINE, facts=_blocked(Obstacle.LIMIT)),
    Example("what looked into it died", Action.QUARANTINE, facts=_blocked(Obstacle.KILLED)),
    Example("damaged, and beyond a limit", Action.QUARANTINE, facts=_blocked(Obstacle.DAMAGED, Obstacle.LIMIT)),
    Example("programs find other parts in it", Action.QUARANTINE, facts=_blocked(Obstacle.AMBIGUOUS)),
    Example("all was seen", Action.ACCEPT, facts=_blocked()),
)
