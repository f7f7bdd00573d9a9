"""From hits to a verdict: what outweighs what, whose recipients are refused, what only records, what is exempt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pytest

from mailgate.config import OrganizationSection, Settings
from mailgate.model import Action, Envelope, Evidence, Exemption, Finding, Mail, Mode, Passage, Session, Verdict
from mailgate.policy import Policy, covers
from mailgate.rule import Hit, RuleStanza

ACCEPT, QUARANTINE, DISCARD, TEMPFAIL, REJECT = Action
ENFORCE, MONITOR, OFF = Mode
NOW = 1_000.0
ONE, TWO = "ptp.bl@hanam.gov.vn", "stttt@hanam.gov.vn"
SOFT = (Evidence("header", "X-Loop", "x", hard=False),)
HARD = (Evidence("header", "X-Forwarded-To", ONE),)


@dataclass(frozen=True, kw_only=True)
class Scripted(RuleStanza):
    """Finds at each stage what it is told to."""

    NAME = "first"
    CLAUSE = "QD27/2023 4.5"
    REPLY = "550 5.7.1 First's own"

    mail: tuple[Hit, ...] = ()
    rcpt: tuple[Hit, ...] = ()
    body: tuple[Hit, ...] = ()
    end: tuple[Hit, ...] = ()

    def at_mail(self, mail: Mail) -> Iterable[Hit]:
        return self.mail

    def at_rcpt(self, mail: Mail, recipient: str) -> Iterable[Hit]:
        return self.rcpt

    def at_body(self, mail: Mail) -> Iterable[Hit]:
        return self.body

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        return self.end


class Second(Scripted):
    NAME = "second"
    REPLY = "554 5.7.0 Second's own"


class Silent(RuleStanza):
    NAME = "silent"
    CLAUSE = "QD27/2023 4.2"
    REPLY = "550 5.7.1 Silent's own"
    NEEDS = "clamd"


def mail(*recipients: str, missing: dict[str, str] | None = None) -> Mail:
    envelope = Envelope(
        b"<a@example.com>", "a@example.com", recipients={r: (r.encode(),) for r in recipients or (ONE,)}
    )
    identity = Settings(organization=OrganizationSection()).identity()
    return Mail(identity, Session(), envelope, missing=missing or {})


def hit(action: Action | None = None, recipient: str = "", **others: object) -> Hit:
    return Hit(others.pop("evidence", HARD), recipient, action=action, **others)  # type: ignore[arg-type]


def decide(*hits: Hit, recipients: Sequence[str] = (ONE,)) -> Verdict:
    return Policy([Scripted(end=hits)]).decide(mail(*recipients), NOW)


# -- strength -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stronger", Action)
@pytest.mark.parametrize("weaker", Action)
def test_the_strongest_action_decides_in_any_order(weaker: Action, stronger: Action) -> None:
    order = [ACCEPT, QUARANTINE, DISCARD, TEMPFAIL, REJECT]
    want = max(weaker, stronger, key=order.index)
    assert decide(hit(weaker), hit(stronger)).action is want
    assert len(decide(hit(weaker), hit(stronger)).findings) == 2


def test_nothing_found_is_accepted() -> None:
    assert decide() == Verdict()
    policy = Policy([Scripted()])
    assert policy.at_mail(mail(), NOW) is None
    assert policy.at_body(mail(), NOW) is None


def test_among_equals_the_first_rule_replies() -> None:
    rules = [Scripted(end=(hit(),)), Second(end=(hit(),))]
    assert Policy(rules).decide(mail(), NOW).reply == "550 5.7.1 First's own"
    verdict = Policy(rules[::-1]).decide(mail(), NOW)
    assert verdict.reply == "554 5.7.0 Second's own"
    assert [finding.rule for finding in verdict.findings] == ["second", "first"]


def test_a_finding_tells_its_rule_and_its_clause() -> None:
    found = hit(direction="in", headers=((b"X-A", b"b"),))
    assert decide(found).findings == (
        Finding(
            "first", "QD27/2023 4.5", ENFORCE, REJECT, "550 5.7.1 First's own", "", "in", HARD, ((b"X-A", b"b"),)
        ),
    )


# -- replies --------------------------------------------------------------------------------------

OWN_REJECT = "550 5.7.1 Refused by mail policy"
OWN_TEMPFAIL = "451 4.7.1 Try again later"


@pytest.mark.parametrize(
    ("action", "of_hit", "of_stanza", "want"),
    [
        (REJECT, "", "", "550 5.7.1 First's own"),
        (REJECT, "", "554 5.7.0 The stanza's", "554 5.7.0 The stanza's"),
        (REJECT, "552 5.3.4 The hit's", "", "552 5.3.4 The hit's"),
        (REJECT, "451 4.3.0 A deferral's", "", OWN_REJECT),
        (REJECT, "250 2.0.0 Ok", "", OWN_REJECT),
        (REJECT, "No code", "", OWN_REJECT),
        (TEMPFAIL, "", "", OWN_TEMPFAIL),
        (TEMPFAIL, "", "550 5.7.1 A refusal's", OWN_TEMPFAIL),
        (TEMPFAIL, "451 4.3.2 The hit's", "", "451 4.3.2 The hit's"),
        (TEMPFAIL, "421 4.3.2 The hit's", "", "421 4.3.2 The hit's"),
        (QUARANTINE, "550 5.7.1 x", "", ""),
        (DISCARD, "550 5.7.1 x", "", ""),
        (ACCEPT, "550 5.7.1 x", "", ""),
    ],
)
def test_a_reply_fits_its_action(action: Action, of_hit: str, of_stanza: str, want: str) -> None:
    verdict = Policy([Scripted(reply=of_stanza, end=(hit(action, reply=of_hit),))]).decide(mail(), NOW)
    assert verdict.action is action
    assert verdict.reply.partition(" /")[0] == want
    assert verdict.findings[0].reply == verdict.reply


@pytest.mark.parametrize(
    ("of_stanza", "of_hit", "want"), [(QUARANTINE, None, QUARANTINE), (QUARANTINE, REJECT, REJECT)]
)
def test_a_hit_may_know_its_action_better(of_stanza: Action, of_hit: Action | None, want: Action) -> None:
    assert Policy([Scripted(action=of_stanza, end=(hit(of_hit),))]).decide(mail(), NOW).action is want


# -- recipients -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "action", "code", "refused"),
    [
        ([hit(REJECT, ONE)], ACCEPT, "", {ONE: "550"}),
        ([hit(REJECT, ONE), hit(REJECT, TWO)], REJECT, "550", {ONE: "550", TWO: "550"}),
        ([hit(REJECT, ONE), hit(TEMPFAIL, TWO)], TEMPFAIL, "451", {ONE: "550", TWO: "451"}),
        ([hit(TEMPFAIL, ONE), hit(REJECT, ONE)], ACCEPT, "", {ONE: "550"}),
        ([hit(QUARANTINE, ONE)], QUARANTINE, "", {}),
        ([hit(QUARANTINE, ONE), hit(REJECT, TWO)], QUARANTINE, "", {TWO: "550"}),
        ([hit(REJECT, ONE), hit(REJECT)], REJECT, "550", {}),
        ([hit(REJECT, ONE), hit(ACCEPT)], ACCEPT, "", {ONE: "550"}),
        ([hit(ACCEPT, ONE)], ACCEPT, "", {}),
        ([hit(REJECT, ONE, evidence=SOFT)], ACCEPT, "", {}),
    ],
)
def test_recipients_at_fault(hits: Sequence[Hit], action: Action, code: str, refused: dict[str, str]) -> None:
    for order in (hits, hits[::-1]):
        verdict = decide(*order, recipients=(ONE, TWO))
        assert (verdict.action, verdict.reply[:3]) == (action, code)
        assert {recipient: reply[:3] for recipient, reply in verdict.recipient_replies.items()} == refused


def test_a_hold_for_the_whole_mail_keeps_the_refusal_of_one_recipient() -> None:
    """The held mail must not reach, once released, whom it was refused to."""
    verdict = decide(hit(REJECT, ONE), hit(QUARANTINE), recipients=(ONE, TWO))
    assert verdict.action is QUARANTINE
    assert set(verdict.recipient_replies) == {ONE}


@pytest.mark.parametrize("action", [REJECT, TEMPFAIL])
def test_at_rcpt_a_hit_speaks_of_that_recipient(action: Action) -> None:
    verdict = Policy([Scripted(rcpt=(hit(action),))]).at_rcpt(mail(), TWO, NOW)
    assert verdict is not None
    assert (verdict.action, verdict.stage, list(verdict.recipient_replies)) == (action, "rcpt", [TWO])
    assert verdict.findings[0].recipient == TWO
    assert Policy([Scripted()]).at_rcpt(mail(), TWO, NOW) is None


@pytest.mark.parametrize(
    ("rule", "stage"),
    [(Scripted(mail=(hit(),)), "mail"), (Scripted(body=(hit(),)), "body"), (Scripted(end=(hit(),)), "eom")],
)
def test_a_verdict_tells_its_stage(rule: Scripted, stage: str) -> None:
    policy = Policy([rule])
    verdicts = (policy.at_mail(mail(), NOW), policy.at_body(mail(), NOW), policy.decide(mail(), NOW))
    assert [verdict.stage for verdict in verdicts if verdict and verdict.findings] == [stage]


# -- modes and evidence ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "evidence", "action", "found"),
    [
        (ENFORCE, HARD, REJECT, [ENFORCE]),
        (ENFORCE, (), REJECT, [ENFORCE]),
        (ENFORCE, SOFT, ACCEPT, [MONITOR]),
        (ENFORCE, SOFT + HARD, REJECT, [ENFORCE]),
        (MONITOR, HARD, ACCEPT, [MONITOR]),
        (OFF, HARD, ACCEPT, []),
    ],
)
def test_modes_and_soft_evidence(
    mode: Mode, evidence: tuple[Evidence, ...], action: Action, found: list[Mode]
) -> None:
    rule = Scripted(mode=mode, end=(hit(evidence=evidence, headers=((b"X-A", b"b"),)),))
    verdict = Policy([rule]).decide(mail(), NOW)
    assert (verdict.action, [finding.mode for finding in verdict.findings]) == (action, found)
    assert bool(verdict.headers) is (found == [ENFORCE]), "what is only recorded adds no header"


def test_a_monitored_finding_hides_no_enforced_one() -> None:
    rules = [Scripted(mode=MONITOR, end=(hit(REJECT),)), Second(end=(hit(TEMPFAIL),))]
    assert Policy(rules).decide(mail(), NOW).action is TEMPFAIL


@pytest.mark.parametrize(
    ("rule", "stages"),
    [(Scripted(), "at_mail at_rcpt at_body at_end"), (Scripted(mode=OFF), ""), (Silent(), "")],
)
def test_which_stages_are_spoken_at(rule: RuleStanza, stages: str) -> None:
    policy = Policy([rule])
    names = ("at_mail", "at_rcpt", "at_body", "at_end")
    assert " ".join(name for name in names if policy.speaks_at(name)) == stages


# -- exemptions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "mailbox", "counterpart", "until", "exempt"),
    [
        ("first", "", "", NOW + 1, True),
        ("first", ONE, "", NOW + 1, True),
        ("first", ONE, "a@example.com", NOW + 1, True),
        ("first", "hanam.gov.vn", "example.com", NOW + 1, True),
        ("first", ONE, "a@gmail.com", NOW + 1, False),
        ("first", TWO, "", NOW + 1, False),
        ("first", "gov.vn", "", NOW + 1, False),  # a domain is itself, not what is below it
        ("second", ONE, "", NOW + 1, False),
        ("first", ONE, "", NOW, False),  # expired at that very moment
        ("first", ONE, "", NOW - 1, False),
    ],
)
def test_exemptions(rule: str, mailbox: str, counterpart: str, until: float, exempt: bool) -> None:
    exemption = Exemption(rule, mailbox, counterpart, until, "15/QD-STTTT")
    verdict = Policy([Scripted(end=(hit(recipient=ONE),))], [exemption]).decide(mail(ONE), NOW)
    assert verdict.action is (ACCEPT if exempt else REJECT)
    assert [finding.exemption for finding in verdict.findings] == ["15/QD-STTTT" if exempt else ""]


def test_an_exemption_for_one_recipient_lets_no_other_through() -> None:
    exemption = Exemption("first", ONE, "", NOW + 1, "15/QD-STTTT")
    rule = Scripted(end=(hit(recipient=ONE), hit(recipient=TWO, evidence=())))
    verdict = Policy([rule], [exemption]).decide(mail(ONE, TWO), NOW)
    assert (verdict.action, list(verdict.recipient_replies)) == (ACCEPT, [TWO])


def test_the_exemption_of_a_configuration_holds_through_its_last_day() -> None:
    settings = Settings.model_validate(
        {"exemption": [{"rule": "first", "mailbox": ONE.upper(), "until": "2026-11-24", "document": "15/QD"}]}
    )
    (exemption,) = settings.policy().exemptions
    (finding,) = decide(hit(recipient=ONE)).findings
    midnight = 1_795_539_600.0  # 2026-11-25T00:00:00+07:00
    assert [covers(exemption, finding, mail(ONE), midnight + s) for s in (-86_400, -1, 0, 1)] == [
        True,
        True,
        False,
        False,
    ]


# -- missing facts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_missing", "on_error", "mode", "action", "reply"),
    [
        (None, {}, ENFORCE, TEMPFAIL, OWN_TEMPFAIL),
        (None, {"clamd": ACCEPT}, ENFORCE, ACCEPT, ""),
        (None, {"clamd": QUARANTINE}, ENFORCE, QUARANTINE, ""),
        (None, {"spam": ACCEPT}, ENFORCE, TEMPFAIL, OWN_TEMPFAIL),
        (REJECT, {"clamd": ACCEPT}, ENFORCE, REJECT, OWN_REJECT),
        (ACCEPT, {"clamd": TEMPFAIL}, ENFORCE, ACCEPT, ""),
        (None, {}, MONITOR, ACCEPT, ""),
    ],
)
def test_a_missing_fact(
    on_missing: Action | None, on_error: dict[str, Action], mode: Mode, action: Action, reply: str
) -> None:
    policy = Policy([Silent(on_missing=on_missing, mode=mode)], on_error=on_error)
    verdict = policy.decide(mail(missing={"clamd": "refused"}), NOW)
    assert (verdict.action, verdict.reply.partition(" /")[0]) == (action, reply)
    (finding,) = verdict.findings
    assert (finding.rule, finding.mode, finding.evidence) == (
        "silent",
        mode,
        (Evidence("missing", "clamd", "refused"),),
    )


@pytest.mark.parametrize("rules", [[Silent(mode=OFF)], [Scripted()], []])
def test_a_fact_that_nobody_needs_is_not_missed(rules: list[RuleStanza]) -> None:
    assert Policy(rules).decide(mail(missing={"clamd": "refused"}), NOW) == Verdict()


def test_what_was_found_outweighs_what_is_missing() -> None:
    policy = Policy([Silent(), Scripted(end=(hit(REJECT),))])
    verdict = policy.decide(mail(missing={"clamd": "refused"}), NOW)
    assert (verdict.action, [finding.rule for finding in verdict.findings]) == (REJECT, ["first", "silent"])


# -- earlier findings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("earlier", "later", "want"),
    [
        ([], ["first:"], ["first:"]),
        (["first:"], [], ["first:"]),
        (["first:"], ["first:"], ["first:"]),
        ([f"first:{ONE}"], [f"first:{ONE}"], [f"first:{ONE}"]),
        ([f"first:{TWO}"], [f"first:{ONE}"], [f"first:{TWO}", f"first:{ONE}"]),
        (["second:"], ["first:"], ["second:", "first:"]),
    ],
)
def test_earlier_findings_come_first_and_are_not_repeated(
    earlier: list[str], later: list[str], want: list[str]
) -> None:
    before = [
        Finding(rule, "QD27/2023 4.5", ENFORCE, QUARANTINE, recipient=recipient)
        for rule, _, recipient in (text.partition(":") for text in earlier)
    ]
    rule = Scripted(end=tuple(hit(REJECT, text.partition(":")[2]) for text in later))
    verdict = Policy([rule]).decide(mail(ONE, TWO), NOW, before)
    assert [f"{finding.rule}:{finding.recipient}" for finding in verdict.findings] == want
    actions = [finding.action for finding in verdict.findings]
    assert actions == [REJECT if text in later else QUARANTINE for text in want], "what the end says is known better"


def test_an_earlier_hold_still_holds() -> None:
    before = [Finding("second", "QD27/2023 4.5", ENFORCE, QUARANTINE)]
    assert Policy([Scripted()]).decide(mail(), NOW, before).action is QUARANTINE


# -- what was judged when it was taken in ----------------------------------------------------------


def passage(*addressed: str, is_same: bool = True, was_asked: bool = True, is_unchanged: bool = True) -> Passage:
    return Passage("4ABC", "submission", ONE, ONE, (), frozenset(addressed), is_same, was_asked, is_unchanged)


@pytest.mark.parametrize(
    ("hook", "passages", "found", "want"),
    [
        ("egress", [passage(TWO)], QUARANTINE, ACCEPT),
        ("egress", [passage(TWO), passage(ONE)], QUARANTINE, ACCEPT),
        ("egress", [], QUARANTINE, QUARANTINE),
        ("egress", [passage(ONE)], QUARANTINE, QUARANTINE),
        ("egress", [passage(TWO, is_same=False)], QUARANTINE, QUARANTINE),
        ("egress", [passage(TWO), passage(TWO, is_same=False)], QUARANTINE, QUARANTINE),
        ("egress", [passage(TWO, was_asked=False)], QUARANTINE, QUARANTINE),
        ("egress", [passage(TWO, is_unchanged=False)], QUARANTINE, QUARANTINE),
        ("egress", [passage(TWO, is_unchanged=False), passage(TWO)], QUARANTINE, QUARANTINE),
        ("egress", [passage(TWO), passage(TWO, is_unchanged=False)], QUARANTINE, ACCEPT),
        ("egress", [passage(TWO)], REJECT, REJECT),
        ("egress", [passage(TWO)], TEMPFAIL, TEMPFAIL),
        ("submission", [passage(TWO)], QUARANTINE, QUARANTINE),
        ("mx", [passage(TWO)], QUARANTINE, QUARANTINE),
        ("non-smtp", [passage(TWO)], QUARANTINE, QUARANTINE),
    ],
)
def test_egress_does_not_hold_what_was_judged_for_the_same_recipients(
    hook: str, passages: list[Passage], found: Action, want: Action
) -> None:
    """Else what an officer has released would be held again."""
    leaving = mail(TWO)
    leaving.session = Session(hook)
    leaving.passages = passages
    assert Policy([Scripted(end=(hit(found),))]).decide(leaving, NOW).action is want


def test_what_could_not_be_had_holds_at_egress_all_the_same() -> None:
    leaving = mail(TWO, missing={"clamd": "x"})
    leaving.session = Session("egress")
    leaving.passages = [passage(TWO)]
    assert Policy([Silent()], on_error={"clamd": QUARANTINE}).decide(leaving, NOW).action is QUARANTINE
