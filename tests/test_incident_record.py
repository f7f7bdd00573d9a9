"""What one mail writes into the incident log: short whatever it is, and what is most telling stays."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailgate.config import Settings
from mailgate.incidents.record import LONGEST_LINE, bounded, error_record, mail_record, new_case
from mailgate.metrics import PROBES
from mailgate.model import Action, Attachment, Envelope, Evidence, Finding, Mail, Mode, Session, Verdict

NOW = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)
IDENTITY = Settings().identity()
CHAINED = {"number": 2**63, "previous": "0" * 64}  # what the log puts before each record
AT_FAULT = "ptp.bl@hanam.gov.vn"


def octets_of(record: dict[str, Any]) -> int:
    return len(orjson.dumps({**CHAINED, **record}))


def mail_of(recipients: Sequence[str] = (), sender: str = "lan@example.com", message_id: bytes = b"<1@x>") -> Mail:
    envelope = Envelope(b"<>", sender, recipients={recipient: (recipient.encode(),) for recipient in recipients})
    return Mail(IDENTITY, Session(client_ip="203.0.113.7"), envelope, [(b"Message-ID", message_id)])


def finding(rule: str = "auto-forward", pieces: Sequence[Evidence] = (), **others: Any) -> Finding:
    made: dict[str, Any] = {"mode": Mode.ENFORCE, "action": Action.REJECT, **others}
    return Finding(rule, "QD27/2023 4.5", evidence=tuple(pieces), **made)


def soft(number: int) -> Evidence:
    return Evidence("header", "Delivered-To", f"a{number}@example.com", hard=False)


HARD = Evidence("passage", "queue id", "4C9F2A", hard=True)


def record_of(verdict: Verdict, mail: Mail | None = None) -> dict[str, Any]:
    return mail_record(mail or mail_of([AT_FAULT]), verdict, new_case(NOW), NOW, {"clamd": 1.2345})


# -- whatever comes ----------------------------------------------------------------------------------

# A small alphabet that holds what takes most room in JSON, and what is no UTF-8 at all.
TEXTS = st.one_of(
    st.text('a@.\x07"\\ệ😀\udc80', max_size=40),
    st.builds(
        lambda text, times: text * times, st.text("a\x07ệ\udcff", min_size=1, max_size=8), st.integers(1, 9_000)
    ),
)
RULES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=40)
PIECES = st.builds(Evidence, TEXTS, TEXTS, TEXTS, st.booleans())
FINDINGS = st.builds(
    Finding,
    st.shared(st.lists(RULES, min_size=1, max_size=14), key="rules").flatmap(st.sampled_from),
    TEXTS,
    st.sampled_from(Mode),
    st.sampled_from(Action),
    TEXTS,
    TEXTS,
    st.sampled_from(["", "in", "out"]),
    st.builds(lambda some, times: tuple(some * times), st.lists(PIECES, max_size=5), st.integers(1, 300)),
    exemption=TEXTS,
    mailboxes=st.lists(TEXTS, max_size=5).map(tuple),
)


def many(texts: Sequence[str], times: int) -> list[str]:
    return [f"{number}{text}" for number in range(times) for text in texts]


@settings(max_examples=150, deadline=None)
@given(
    st.builds(lambda some, times: some * times, st.lists(FINDINGS, max_size=8), st.integers(1, 60)),
    st.builds(many, st.lists(TEXTS, max_size=4), st.integers(1, 100)),
    st.builds(many, st.lists(TEXTS, max_size=3), st.integers(1, 100)),
    st.lists(TEXTS, min_size=9, max_size=9),
)
def test_whatever_the_mail_a_line_is_bounded_and_names_every_rule(
    findings: list[Finding], recipients: list[str], files: list[str], texts: list[str]
) -> None:
    session = Session("mx", texts[0], texts[1], texts[2], node=texts[3])
    envelope = Envelope(b"<>", texts[4], recipients=dict.fromkeys(recipients, (b"",)), login=texts[5])
    header = [(b"Message-ID", texts[6].encode("utf-8", "surrogateescape"))] if texts[6].isprintable() else []
    mail = Mail(IDENTITY, session, envelope, header)
    mail.queue_id = texts[7]
    mail.content.attachments = [Attachment(name, name, 1) for name in files]
    mail.content.defects = set(files)
    refused = dict.fromkeys(recipients[::2], texts[8])
    verdict = Verdict(Action.REJECT, texts[8], findings=tuple(findings), recipient_replies=refused)
    record = mail_record(mail, verdict, new_case(NOW), NOW, dict.fromkeys(PROBES, 1.0))
    line = orjson.dumps({**CHAINED, **record})
    assert len(line) <= LONGEST_LINE
    read = orjson.loads(line)
    shown = read["findings"]
    assert {one["rule"] for one in shown} == {one.rule for one in findings}
    assert {(one["rule"], one["action"]) for one in shown} == {(one.rule, one.action) for one in findings}
    more = read.get("more", {})
    assert len(shown) + more.get("findings", 0) == len(findings)
    pieces = sum(len(one["evidence"]) for one in shown)
    assert pieces + more.get("evidence", 0) == sum(len(one.evidence) for one in findings)
    assert len(read["rcpts"]) + more.get("rcpts", 0) == len(set(recipients))
    assert octets_of(error_record(mail, ValueError(texts[8]), new_case(NOW), NOW)) <= LONGEST_LINE


@given(st.text('a\x07ệ😀\udc80"', max_size=300), st.integers(40, 200))
def test_a_text_is_cut_to_its_octets_and_says_how_much_is_missing(text: str, octets: int) -> None:
    cut = bounded(text, octets)
    assert len(orjson.dumps(cut)) - 2 <= octets
    whole = text.encode("utf-8", "replace").decode()
    if cut != whole:
        kept, _, missing = cut.rpartition("…+")
        assert whole.startswith(kept)
        assert len(kept) + int(missing) == len(text)
        assert len(orjson.dumps(whole)) - 2 > octets


def test_the_largest_record_of_all_is_bounded() -> None:
    """Each text is of what takes most room, and longer than its bound."""
    text = "\x07" * 9_000
    pieces = [Evidence("header", text, f"{number}{text}") for number in range(40)]
    findings = [finding(f"rule-{number}", pieces, recipient=text, exemption=text) for number in range(14)]
    findings = [replace(one, mailboxes=tuple(many([text], 100))) for one in findings]
    session = Session("mx", text, text, text, node=text)
    envelope = Envelope(b"<>", text, recipients=dict.fromkeys(many([text], 1_000), (b"",)), login=text)
    mail = Mail(IDENTITY, session, envelope, [(b"Message-ID", text.encode())])
    mail.queue_id = text
    mail.content.attachments = [Attachment(text, text, 2**40) for _ in range(1_000)]
    mail.content.defects = set(many([text], 100))
    verdict = Verdict(Action.REJECT, text, "eom", tuple(findings), dict.fromkeys(envelope.recipients, text))
    record = mail_record(mail, verdict, new_case(NOW), NOW, dict.fromkeys(PROBES, 1e9 + 0.1234))
    assert 0.8 * LONGEST_LINE < octets_of(record) <= LONGEST_LINE
    assert [one["rule"] for one in record["findings"]] == [one.rule for one in findings]


# -- what stays --------------------------------------------------------------------------------------


def test_an_ordinary_record_is_whole_and_has_no_more() -> None:
    record = record_of(Verdict(Action.REJECT, "550 x", findings=(finding(pieces=[HARD, soft(1)]),)))
    assert "more" not in record
    assert [piece["value"] for piece in record["findings"][0]["evidence"]] == ["4C9F2A", "a1@example.com"]
    assert record["timings_ms"] == {"clamd": 1.234}


@pytest.mark.parametrize(
    ("findings", "shown", "more"),
    [
        ([finding(pieces=[*map(soft, range(5_000)), HARD])], ["4C9F2A"], {"evidence": 4_981}),
        ([finding(pieces=[HARD] * 5_000)], ["4C9F2A"], {"evidence": 4_999}),
        (
            [finding(pieces=map(soft, range(900)))] * 500 + [finding("virus", [HARD])],  # type: ignore[arg-type]
            ["4C9F2A"],
            {"evidence", "findings"},
        ),
    ],
    ids=["hard evidence behind soft", "the same again and again", "a rule behind 500 findings"],
)
def test_what_is_most_telling_stays(findings: list[Finding], shown: list[str], more: Any) -> None:
    record = record_of(Verdict(Action.REJECT, "550 x", findings=tuple(findings)))
    values = [piece["value"] for one in record["findings"] for piece in one["evidence"]]
    assert set(shown) <= set(values)
    assert record["more"] == more if isinstance(more, dict) else set(record["more"]) == more


def test_recipients_at_fault_stay_before_others() -> None:
    recipients = [f"nguoi.nhan.thu.{number}@hanam.gov.vn" for number in range(1_000)]
    verdict = Verdict(Action.REJECT, "550 x", findings=(finding(recipient=recipients[-1]),))
    record = record_of(verdict, mail_of(recipients))
    assert record["rcpts"][:2] == [recipients[-1], recipients[0]]
    assert len(record["rcpts"]) + record["more"]["rcpts"] == 1_000
