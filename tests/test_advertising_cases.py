"""Our own mails as files: what the rules on advertising, registration and prohibited content find in each.

tests/advertising/mails.cases says how a case is written.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.lab.gates import Notes, make_gate, settings_of, shipped_lists

from mailgate.doors.offline import Case, judge_case
from mailgate.model import Action, Finding, ListEntry, Lists
from mailgate_rules import advertising, online_registration, prohibited_content

FOLDER = Path(__file__).parent / "advertising"
ARTICLES = ("3", "18", "19", "20.1", "all", "20.2", "13.5", "13.4", "registration", "prohibited")
OFFICE = "ptp.bl@hanam.gov.vn"
STANZAS = (advertising.Stanza(), online_registration.Stanza(), prohibited_content.Stanza())


@dataclass(slots=True)
class Sample:
    """One case: its file, what it is a sample of, its facts, and what is wanted."""

    file: str
    title: str
    shows: Sequence[str] = ()
    facts: dict[str, str] = field(default_factory=dict)
    finds: list[str] = field(default_factory=list)


def read_samples() -> Iterator[Sample]:
    text = (FOLDER / "mails.cases").read_text()
    blocks = "\n".join(line for line in text.splitlines() if not line.startswith("#")).strip()
    for block in blocks.removeprefix("== ").split("\n== "):
        head, *lines = block.strip().splitlines()
        file, _, title = head.partition(": ")
        sample = Sample(file, title)
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "shows":
                sample.shows = value.split()
            elif name == "finds":
                sample.finds.append(value)
            else:
                assert name in (
                    "advertised",
                    "refused",
                    "agreed",
                    "login",
                    "from",
                    "to",
                    "verdict",
                    "advertisement",
                ), line
                sample.facts[name] = value
        yield sample


SAMPLES = list(read_samples())


def lists_of(sample: Sample) -> Lists:
    """Return the shipped lists, and what the recipient said of an advertiser."""
    entries = dict(shipped_lists().entries)
    for fact, name in (("refused", "advertising/refusals"), ("agreed", "advertising/consents")):
        if fact in sample.facts:
            day, advertiser, *address = sample.facts[fact].split()
            key = f"{address[0] if address else OFFICE} {advertiser}"
            entries[name] = {key: ListEntry(key, {"date": day, "source": "x"})}
    return Lists(entries)


def said(findings: Sequence[Finding]) -> list[str]:
    """Return what findings say, as the cases write it."""
    lines = []
    for finding in findings:
        first = finding.evidence[0]
        if finding.rule == "advertising":
            lines += [f"{piece.name} {piece.value}" for piece in finding.evidence if piece.kind == "article"]
        elif finding.rule == "prohibited-content":
            lines.append(f"prohibited {first.name} {first.value}")
        else:
            lines.append(f"{first.kind} {first.name} {first.value}")
    return lines


@pytest.mark.parametrize("sample", SAMPLES, ids=[f"{one.file} {one.title}".strip() for one in SAMPLES])
async def test_case(sample: Sample) -> None:
    facts = sample.facts
    recipient = facts.get("to", OFFICE)
    advertised = {recipient: int(facts["advertised"])} if "advertised" in facts else None
    gate = make_gate(settings_of(*STANZAS), Notes(), lists=lists_of(sample), advertised=advertised)
    case = Case(
        (FOLDER / sample.file).read_bytes(),
        client_ip="203.0.113.7",
        auth=facts.get("login", ""),
        hook="" if "login" in facts else "mx",
        mail_from=facts.get("from", "bounce@example.com"),
        rcpts=(recipient,),
    )
    answer = await judge_case(gate, case)
    finds = said(answer.findings)
    if "advertisement" in facts:
        assert bool(finds) is (facts["advertisement"] == "yes"), [finding.evidence for finding in answer.findings]
        return
    assert finds == sample.finds, [finding.evidence for finding in answer.findings]
    assert answer.verdict.action == facts.get("verdict", Action.ACCEPT)
    tags = [value for name, value in answer.verdict.headers if name == b"X-Mailgate-Advertising"]
    tagged = [find for find in sample.finds if find[0].isdigit() and "accepted" not in find]
    articles = dict.fromkeys(find.split()[0] for find in tagged)
    wanted = [" ".join(articles)] if articles and "login" not in facts else []
    assert [value.decode().partition(";")[0] for value in tags] == wanted


def test_every_article_has_right_and_wrong_samples() -> None:
    files: dict[str, set[str]] = {}
    clean: Counter[str] = Counter()
    for sample in SAMPLES:
        for article in sample.shows:
            files.setdefault(article, set()).add(sample.file)
            clean[article] += not sample.finds and sample.facts.get("advertisement") != "yes"
    assert set(files) == set(ARTICLES)
    for article in ARTICLES:
        samples = sum(article in sample.shows for sample in SAMPLES)
        assert len(files[article]) >= 8, article
        assert 2 <= clean[article] <= samples - 2, article


def test_every_file_has_a_case() -> None:
    assert {sample.file for sample in SAMPLES} == {path.name for path in FOLDER.glob("*.eml")}
