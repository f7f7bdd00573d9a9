"""Who is due to be locked or revoked: terms, states, exemptions, and the holes that keep somebody from it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from mailgate.ledger.store import Idle, Observed
from mailgate.mailboxes.calendar import CIVIL_TIME
from mailgate.mailboxes.inactivity import Answer, Terms, find_due, holes
from mailgate.model import Exemption, MailboxKind, MailboxState, MailboxStatus, Registration

A, B, C = (f"{name}@hanam.gov.vn" for name in "abc")
AT = "2026-11-24T08:00"
SECOND = timedelta(seconds=1)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CIVIL_TIME)


def seconds(text: str) -> float:
    return moment(text).timestamp()


def idle(mailbox: str, since: str, last: str | None = None) -> Idle:
    return Idle(mailbox, seconds(since), None if last is None else seconds(last))


def observed(*spans: tuple[str, str, str]) -> list[Observed]:
    return [Observed(node, seconds(begin), seconds(end)) for node, begin, end in spans]


def state(mailbox: str, status: MailboxStatus, at: str = "2026-01-01T08:00:00+07:00") -> MailboxState:
    return MailboxState(mailbox, status, at=at)


def registered(mailbox: str, created: str, unit: str = "Sở Tư pháp") -> Registration:
    return Registration(mailbox, MailboxKind.INDIVIDUAL, "Nguyễn Văn A", unit, created)


def exempt(mailbox: str, until: str, rule: str = "inactivity", document: str = "5/CV") -> Exemption:
    return Exemption(rule, mailbox, "", seconds(until), document)


ALWAYS = observed(("mx1", "2020-01-01T00:00", AT))


def asked(
    mailboxes: Sequence[Idle] = (),
    passwords: Sequence[Registration] = (),
    states: Sequence[MailboxState] = (),
    exemptions: Sequence[Exemption] = (),
    spans: Sequence[Observed] = ALWAYS,
    at: str = AT,
    now: str = "",
    terms: Terms | None = None,
) -> Answer:
    """Ask as the command does."""
    terms = terms or Terms()
    found = holes(spans, min(moment(at), moment(now or at)), terms.hole)
    by_address = {one.address: one for one in states}
    return find_due(mailboxes, passwords, by_address, exemptions, found, moment(at), terms)


def acts(answer: Answer) -> list[tuple[str, str, str]]:
    return [(due.address, "exempt" if due.exemption else due.action, due.clause) for due in answer.due]


# -- terms and states ------------------------------------------------------------------------------

ACTIVE, LOCKED, REVOKED = MailboxStatus.ACTIVE, MailboxStatus.LOCKED, MailboxStatus.REVOKED
LOCK, REVOKE = ("lock", "7.2a"), ("revoke", "6.2c")


@pytest.mark.parametrize(
    ("since", "status", "act"),
    [
        ("2026-08-24T08:00:01", None, None),
        ("2026-08-24T08:00:00", None, LOCK),
        ("2026-05-24T08:00:01", None, LOCK),
        ("2026-05-24T08:00:00", None, REVOKE),
        ("2024-01-01T00:00", None, REVOKE),
        ("2026-08-24T08:00", ACTIVE, LOCK),
        ("2026-05-24T08:00", ACTIVE, REVOKE),
        ("2026-08-24T08:00", LOCKED, None),
        ("2026-05-24T08:00:01", LOCKED, None),
        ("2026-05-24T08:00:00", LOCKED, REVOKE),
        ("2020-05-24T08:00", REVOKED, None),
    ],
)
def test_what_is_due_without_activity(since: str, status: MailboxStatus | None, act: tuple[str, str] | None) -> None:
    answer = asked([idle(A, since)], states=[state(A, status)] if status else [])
    assert acts(answer) == ([(A, *act)] if act else [])
    assert (answer.withheld, answer.notes) == ((), ())


@pytest.mark.parametrize(
    ("created", "changed", "restored", "status", "is_due"),
    [
        ("2026-10-24", "", "", None, True),
        ("2026-10-25", "", "", None, False),
        ("2026-10-31", "", "", None, False),
        ("2026-01-05", "2026-02-01", "", None, False),
        # a restoration makes a new password
        ("2026-01-05", "", "2026-10-24T08:00:01+07:00", ACTIVE, False),
        ("2026-01-05", "", "2026-10-24T08:00:00+07:00", ACTIVE, True),
        ("2026-01-05", "2026-02-01", "2026-10-24T01:00:00+00:00", ACTIVE, True),
        ("2026-01-05", "2026-10-25", "2026-10-24T08:00:00+07:00", ACTIVE, False),
        ("2026-01-05", "", "2026-01-06T08:00:00+07:00", LOCKED, False),
        ("2026-01-05", "", "2026-01-06T08:00:00+07:00", REVOKED, False),
    ],
)
def test_a_default_password(
    created: str, changed: str, restored: str, status: MailboxStatus | None, is_due: bool
) -> None:
    states = [MailboxState(A, status, at=restored, must_change_password=status is ACTIVE)] if status else []
    answer = asked(passwords=[replace(registered(A, created), password_changed=changed)], states=states)
    assert acts(answer) == ([(A, "lock", "7.2d")] if is_due else [])


def test_a_default_password_needs_no_observation() -> None:
    answer = asked(passwords=[registered(A, "2026-01-05")], spans=[])
    assert acts(answer) == [(A, "lock", "7.2d")]


@pytest.mark.parametrize(("since", "act"), [("2026-08-01T08:00", LOCK), ("2026-03-01T08:00", REVOKE)])
def test_one_row_a_mailbox_with_every_reason(since: str, act: tuple[str, str]) -> None:
    answer = asked([idle(A, since)], [registered(A, "2026-01-05")])
    assert acts(answer) == [(A, *act)]
    assert f"{act[1]}: " in answer.due[0].reason
    assert "7.2d: default password unchanged since 2026-01-05 (1 month)" in answer.due[0].reason


def test_months_are_configured() -> None:
    terms = Terms(lock_months=1, revoke_months=12, password_months=2)
    mailboxes = [idle(A, "2026-10-24T08:00"), idle(B, "2025-11-24T08:00"), idle(C, "2025-11-24T08:00:01")]
    answer = asked(mailboxes, [registered("d@hanam.gov.vn", "2026-09-25")], terms=terms)
    assert acts(answer) == [(A, *LOCK), (B, *REVOKE), (C, *LOCK)]
    assert "(1 month)" in answer.due[0].reason
    assert "(12 months)" in answer.due[1].reason


# -- what a row says -------------------------------------------------------------------------------


def test_a_row_has_the_fixed_fields() -> None:
    answer = asked(
        [idle(A, "2026-08-10T09:30", "2026-08-10T09:30"), idle(B, "2026-01-31T00:00")],
        exemptions=[exempt(B, "2027-01-31T23:59:59")],
    )
    assert [due.row(registered(A, "2026-01-01")) for due in answer.due[:1]] == [
        {
            "address": A,
            "kind": "individual",
            "unit": "Sở Tư pháp",
            "action": "lock",
            "clause": "7.2a",
            "last_activity": "2026-08-10T09:30:00+07:00",
            "due_since": "2026-11-10T09:30:00+07:00",
            "reason": "7.2a: nothing sent or received that counts since 2026-08-10 (3 months)",
            "exempt_until": None,
        }
    ]
    assert answer.due[1].row(None) == {
        "address": B,
        "kind": None,
        "unit": None,
        "action": "exempt",
        "clause": "6.2c",
        "last_activity": None,
        "due_since": "2026-07-31T00:00:00+07:00",
        "reason": "6.2c: nothing sent or received that counts since 2026-01-31 (6 months)",
        "exempt_until": "2027-01-31T23:59:59+07:00",
    }


def test_rows_are_by_address() -> None:
    answer = asked([idle(C, "2026-01-01T00:00"), idle(A, "2026-01-01T00:00")], [registered(B, "2026-01-01")])
    assert [due.address for due in answer.due] == [A, B, C]


# -- exemptions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exemptions", "is_exempt"),
    [
        ([exempt(A, "2026-11-24T08:00:01")], True),
        ([exempt(A, "2026-11-24T08:00:00")], False),
        ([exempt(B, "2027-01-31T00:00")], False),
        ([exempt("hanam.gov.vn", "2027-01-31T00:00")], True),
        ([exempt("gov.vn", "2027-01-31T00:00")], False),
        ([exempt("", "2027-01-31T00:00")], True),
        ([exempt(A, "2027-01-31T00:00", rule="auto-forward")], False),
        ([exempt(A, "2026-11-01T00:00"), exempt(A, "2027-01-31T00:00")], True),
        ([exempt(A, "2027-01-31T00:00"), exempt(A, "2026-11-01T00:00")], True),
        ([exempt(A, "2026-11-01T00:00"), exempt("hanam.gov.vn", "2027-01-31T00:00")], True),
    ],
)
def test_who_is_exempt(exemptions: list[Exemption], is_exempt: bool) -> None:
    answer = asked([idle(A, "2026-08-01T08:00")], exemptions=exemptions)
    assert acts(answer) == [(A, "exempt" if is_exempt else "lock", "7.2a")]


def test_the_longest_exemption_is_told() -> None:
    exemptions = [exempt(A, "2027-03-01T00:00", document="b"), exempt(A, "2026-12-01T00:00", document="a")]
    exemptions += [exempt("hanam.gov.vn", "2027-01-01T00:00", document="c")]
    answer = asked([idle(A, "2026-08-01T08:00")], exemptions=exemptions)
    assert [due.exemption.document for due in answer.due if due.exemption] == ["b"]


def test_who_is_not_due_is_not_told_as_exempt() -> None:
    exemptions = [exempt("hanam.gov.vn", "2027-03-01T00:00")]
    mailboxes = [idle(A, "2026-09-01T08:00"), idle(B, "2020-01-01T08:00")]
    assert asked(mailboxes, states=[state(B, REVOKED)], exemptions=exemptions).due == ()


# -- holes -----------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("spans", "found"),
    [
        ([], [("", None, AT, True)]),
        ([("mx1", "2026-01-01T00:00", AT)], [("", None, "2026-01-01T00:00", False)]),
        (  # the first of two nodes is the beginning
            [("mx2", "2026-02-01T00:00", AT), ("mx1", "2026-01-01T00:00", AT)],
            [("", None, "2026-01-01T00:00", False)],
        ),
        (  # an hour is none, a second more is
            [
                ("mx1", "2026-01-01T00:00", "2026-02-01T00:00"),
                ("mx1", "2026-02-01T01:00", "2026-03-01T00:00"),
                ("mx1", "2026-03-01T01:00:01", AT),
            ],
            [("", None, "2026-01-01T00:00", False), ("mx1", "2026-03-01T00:00", "2026-03-01T01:00:01", False)],
        ),
        (  # another node that counted meanwhile does not fill it
            [
                ("mx1", "2026-01-01T00:00", "2026-02-01T00:00"),
                ("mx1", "2026-02-03T00:00", AT),
                ("mx2", "2026-01-01T00:00", AT),
            ],
            [("", None, "2026-01-01T00:00", False), ("mx1", "2026-02-01T00:00", "2026-02-03T00:00", False)],
        ),
        ([("mx1", "2026-01-01T00:00", "2026-11-24T07:00")], [("", None, "2026-01-01T00:00", False)]),
        (
            [("mx1", "2026-01-01T00:00", "2026-11-24T06:59:59")],
            [("", None, "2026-01-01T00:00", False), ("mx1", "2026-11-24T06:59:59", AT, True)],
        ),
        (  # overlapping and contained
            [
                ("mx1", "2026-01-01T00:00", "2026-05-01T00:00"),
                ("mx1", "2026-02-01T00:00", "2026-03-01T00:00"),
                ("mx1", "2026-04-01T00:00", AT),
            ],
            [("", None, "2026-01-01T00:00", False)],
        ),
        (  # what was observed after the time that is asked for tells nothing of before
            [("mx1", "2026-12-01T00:00", "2026-12-05T00:00")],
            [("", None, AT, True)],
        ),
        (
            [("mx1", "2026-01-01T00:00", "2026-11-20T00:00"), ("mx1", "2026-12-01T00:00", "2026-12-05T00:00")],
            [("", None, "2026-01-01T00:00", False), ("mx1", "2026-11-20T00:00", AT, True)],
        ),
    ],
)
def test_holes(spans: list[tuple[str, str, str]], found: list[tuple[str, str | None, str, bool]]) -> None:
    seen = [(hole.node, hole.begin, hole.end, hole.is_open) for hole in holes(observed(*spans), moment(AT), HOUR)]
    assert seen == [
        (node, moment(begin) if begin else None, moment(end), is_open) for node, begin, end, is_open in found
    ]


def with_hole(begin: str, end: str) -> list[Observed]:
    return observed(("mx1", "2020-01-01T00:00", begin), ("mx1", end, AT))


@pytest.mark.parametrize(
    ("since", "hole", "act", "is_withheld"),
    [
        # the hole is before: it explains nothing
        ("2026-08-24T08:00", ("2026-08-20T00:00", "2026-08-24T08:00"), LOCK, False),
        ("2026-08-01T08:00", ("2026-06-01T00:00", "2026-07-01T00:00"), LOCK, False),
        # it ends after: time runs from its end
        ("2026-08-01T08:00", ("2026-08-10T00:00", "2026-08-24T08:00:00"), LOCK, False),
        ("2026-08-01T08:00", ("2026-08-10T00:00", "2026-08-24T08:00:01"), None, True),
        ("2026-08-01T08:00", ("2026-07-01T00:00", "2026-08-24T08:00:01"), None, True),
        ("2026-08-24T08:00", ("2026-11-01T00:00", "2026-11-02T00:00"), None, True),
        ("2020-02-01T08:00", ("2026-11-01T00:00", "2026-11-02T00:00"), None, True),
        # what it does not explain is still due: the lock of one who would be revoked
        ("2026-05-01T08:00", ("2026-07-01T00:00", "2026-08-01T00:00"), LOCK, False),
        ("2026-01-01T08:00", ("2026-04-01T00:00", "2026-05-24T08:00:00"), REVOKE, False),
        ("2026-01-01T08:00", ("2026-04-01T00:00", "2026-05-24T08:00:01"), LOCK, False),
        # who is not due is not withheld
        ("2026-09-01T08:00", ("2026-09-10T00:00", "2026-09-11T00:00"), None, False),
        # too short to be one
        ("2026-08-01T08:00", ("2026-09-01T00:00", "2026-09-01T01:00"), LOCK, False),
    ],
)
def test_nobody_is_due_whom_a_hole_explains(
    since: str, hole: tuple[str, str], act: tuple[str, str] | None, is_withheld: bool
) -> None:
    answer = asked([idle(A, since)], spans=with_hole(*hole))
    assert acts(answer) == ([(A, *act)] if act else [])
    assert answer.withheld == ((A,) if is_withheld else ())
    assert len(answer.notes) == is_withheld


def test_a_hole_is_told_with_its_node_and_how_many_it_keeps() -> None:
    mailboxes = [idle(A, "2026-08-01T08:00"), idle(B, "2026-01-01T08:00"), idle(C, "2026-11-10T08:00")]
    answer = asked(mailboxes, spans=with_hole("2026-10-01T00:00", "2026-10-02T00:00"))
    assert answer.notes == (
        "2 mailboxes are not proposed: the ledger has a hole from 2026-10-01T00:00+07:00 to 2026-10-02T00:00+07:00"
        " (node mx1)",
    )


def test_due_since_is_counted_from_the_hole() -> None:
    answer = asked([idle(A, "2026-08-01T08:00")], spans=with_hole("2026-08-10T00:00", "2026-08-20T00:00"))
    assert [due.due_since for due in answer.due] == [moment("2026-11-20T00:00")]


def test_a_locked_mailbox_is_withheld_from_revocation() -> None:
    answer = asked(
        [idle(A, "2026-01-01T08:00")],
        states=[state(A, LOCKED)],
        spans=with_hole("2026-06-01T00:00", "2026-06-02T00:00"),
    )
    assert (answer.due, answer.withheld) == ((), (A,))


def test_one_who_is_due_by_another_ground_is_not_withheld() -> None:
    spans = with_hole("2026-10-01T00:00", "2026-10-02T00:00")
    answer = asked([idle(A, "2026-08-01T08:00")], [registered(A, "2026-01-01")], spans=spans)
    assert acts(answer) == [(A, "lock", "7.2d")]
    assert (answer.withheld, answer.notes) == ((), ())
    assert "7.2a" not in answer.due[0].reason


def test_before_the_first_observation_nothing_is_known() -> None:
    mailboxes = [idle(A, "2026-01-01T08:00")]
    late = observed(("mx1", "2026-08-24T08:00:01", AT))
    assert asked(mailboxes, spans=late).notes == (
        "1 mailbox is not proposed: nothing was observed before 2026-08-24T08:00+07:00",
    )
    assert acts(asked(mailboxes, spans=observed(("mx1", "2026-08-24T08:00:00", AT)))) == [(A, *LOCK)]


@pytest.mark.parametrize("mailboxes", [[], [idle(A, "2020-01-01T00:00")]])
def test_without_any_observation_nobody_is_proposed(mailboxes: list[Idle]) -> None:
    answer = asked(mailboxes, spans=[])
    assert answer.due == ()
    (note,) = answer.notes
    assert "nothing was observed yet" in note


def test_a_node_that_is_silent_is_named_with_the_way_to_forget_it() -> None:
    spans = observed(("mx 2", "2020-01-01T00:00", "2026-03-01T00:00"), ("mx1", "2020-01-01T00:00", AT))
    answer = asked([idle(A, "2026-01-01T00:00")], spans=spans)
    assert (answer.due, answer.withheld) == ((), (A,))
    assert answer.notes == (
        "1 mailbox is not proposed: the ledger has a hole from 2026-03-01T00:00+07:00 to 2026-11-24T08:00+07:00"
        " (node mx 2)",
        "node mx 2 has not been seen since 2026-03-01T00:00+07:00: if it is no more: "
        "mailgate inactivity --forget-node 'mx 2'",
    )
    assert acts(asked([idle(A, "2026-01-01T00:00")], spans=spans[1:])) == [(A, *REVOKE)]


def test_a_look_ahead_takes_what_comes_for_observed() -> None:
    mailboxes = [idle(A, "2026-11-01T08:00")]
    assert asked(mailboxes, at="2027-02-01T07:59:59", now=AT).due == ()
    assert acts(asked(mailboxes, at="2027-02-01T08:00", now=AT)) == [(A, *LOCK)]


# -- what the store is asked for -------------------------------------------------------------------


@pytest.mark.parametrize(("lock", "revoke"), [(3, 6), (6, 3), (1, 1), (12, 24)])
@pytest.mark.parametrize("at", [AT, "2027-02-28T10:00", "2028-02-29T10:00", "2026-03-31T00:00"])
def test_the_store_is_asked_for_all_that_may_be_due(lock: int, revoke: int, at: str) -> None:
    terms = Terms(lock, revoke)
    before = terms.idle_before(moment(at))
    on_the_edge = Idle(A, before.timestamp(), None)
    just_before = Idle(B, (before - timedelta(days=5)).timestamp(), None)
    answer = asked([on_the_edge, just_before], spans=observed(("mx1", "2020-01-01T00:00", at)), at=at, terms=terms)
    assert [due.address for due in answer.due] == [B]


def test_the_store_is_asked_for_all_passwords_that_may_be_due() -> None:
    before = Terms().password_before(moment(AT)).date()
    edge = [registered(A, before.isoformat()), registered(B, (before - timedelta(days=1)).isoformat())]
    assert [due.address for due in asked(passwords=edge).due] == [B]
