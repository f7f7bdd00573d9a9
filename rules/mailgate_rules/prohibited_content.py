"""Content that an official mailbox must not be used for (clause 4.1): the words that the site's lists name.

Which content is prohibited no program can decide, and the press and official letters speak of it too: words are hints
for a person who looks, so the rule watches by default. What a finding names is the site's own phrase and where it
stands, never the text around it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mailgate.model import Action, Evidence, Mail, Mode, Spotted, was_judged
from mailgate.rule import Example, Hit, RuleStanza

_LISTS = "prohibited/"
_MOST_PHRASES = 20  # of a category, in evidence
_MOST_PLACES = 5  # of a phrase


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.prohibited-content]: those that every rule has; it watches, or holds where it is enforced."""

    NAME = "prohibited-content"
    CLAUSE = "QD27/2023 4.1"
    REPLY = "550 5.7.1 Prohibited content\nNoi dung bi cam (khoan 1 Dieu 4 QD 27/2023)"
    NEEDS = "inspection"

    mode: Mode = Mode.MONITOR
    action: Action = Action.QUARANTINE

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report each category that the mail has words of."""
        if not mail.spotted or was_judged(mail.passages, mail.envelope.recipients):
            return ()
        categories: dict[str, list[Spotted]] = {}
        for one in mail.spotted:
            if one.list.startswith(_LISTS):
                categories.setdefault(one.list.removeprefix(_LISTS), []).append(one)
        direction = "out" if mail.envelope.login or mail.is_ours else "in"
        return [Hit(_evidence(name, found), direction=direction) for name, found in categories.items()]


def _evidence(category: str, found: list[Spotted]) -> tuple[Evidence, ...]:
    """Name a category and how often, then each phrase and where."""
    phrases: dict[str, Counter[str]] = {}
    for one in found:
        phrases.setdefault(one.entry.text, Counter())[one.place] += 1
    pieces = [Evidence("category", category, str(len(found)))]
    for phrase, places in list(phrases.items())[:_MOST_PHRASES]:
        shown = [f"{place} ({count})" for place, count in places.most_common(_MOST_PLACES)]
        pieces.append(Evidence("phrase", phrase, ", ".join(shown)))
    return tuple(pieces)


def _mail(subject: str, body: str) -> bytes:
    return f"Subject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n".encode()


_ENFORCED = (("mode", "enforce"),)
_BETTING = _mail("Tin vui", "Nhà cái uy tín, cá độ bóng đá mỗi ngày.")

EXAMPLES = (
    Example("words of a list", Action.QUARANTINE, _BETTING, keys=_ENFORCED, direction="in"),
    Example("watched by default", Action.ACCEPT, _BETTING, finds=True),
    Example("in the subject", Action.QUARANTINE, _mail("CÁ ĐỘ BÓNG ĐÁ", "Chào."), keys=_ENFORCED),
    Example("without marks", Action.QUARANTINE, _mail("x", "ca do bong da"), keys=_ENFORCED),
    Example("a part of a word", Action.ACCEPT, _mail("x", "cá độ bóng đáy"), keys=_ENFORCED),
    Example("other marks", Action.ACCEPT, _mail("x", "cả đo bóng đá"), keys=_ENFORCED),
    Example("ordinary mail", Action.ACCEPT, _mail("Báo cáo", "Kính gửi ông."), keys=_ENFORCED),
    Example(
        "one of ours sends it",
        Action.QUARANTINE,
        _BETTING,
        sender="ptp.bl@hanam.gov.vn",
        login="ptp.bl@hanam.gov.vn",
        keys=_ENFORCED,
        direction="out",
    ),
)
