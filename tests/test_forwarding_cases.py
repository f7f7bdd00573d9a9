"""Our own cases of forwarding, as files: what each recipient's copy is, and that no ordinary mail is refused.

A case is a title and one mail or more, `--` between them, the earlier ones the later ones' history; a mail is a line
a fact: hook, client ADDRESS [NAME], login, id (queue id), from, message-id, subject, author, header, received (a
Received line of ours under that id, newest first), body (one line of it), at; last `to ADDRESS CLASS` for each
recipient. A line that starts with a blank goes on with the header above it. `source TEXT` says where a case's headers
are known from: services.cases (ordinary mails) and mechanisms.cases (forwards), written from what the programs of the
world write and not from what the rule looks for, have it on every case. `pytest -s` prints the confusion matrix.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from tests.lab.dns import NameServer

from mailgate.config import Settings, load
from mailgate.doors.offline import Answer, Case, judge_case
from mailgate.identity.spelling import mailbox_of
from mailgate.model import Action
from mailgate.scratch import Bench
from mailgate_rules.auto_forward import CLASSES, IN, OUT

FOLDER = Path(__file__).parent / "forwarding"
SERVICES, MECHANISMS = "services", "mechanisms"
DAY = datetime.fromisoformat("2026-11-25T08:00:00+07:00")
TOML = """\
[organization]
internal_networks = ["127.0.0.0/8", "10.0.0.0/8"]
state_networks = ["192.0.2.0/24"]
lists = ["thongbao@hanam.gov.vn"]
[clamav]
address = ""
[spam]
url = ""
[dns]
servers = ["{dns}"]
"""
RECORDS = {("ninhbinh.gov.vn", "TXT"): ['"v=spf1 ip4:198.51.100.9 -all"']}


@dataclass(slots=True)
class Letter:
    """One mail of a case, and what each recipient's copy is wanted to be."""

    case: Case
    wanted: dict[str, str] = field(default_factory=dict)
    source: str = ""


def read_letter(lines: Sequence[str]) -> Letter:
    facts: dict[str, str] = {}
    fields: list[str] = []
    received, body, wanted = [], [], {}
    for line in lines:
        name, _, value = line.partition(" ")
        if line[:1] in (" ", "\t"):
            fields[-1] += f"\r\n{line}"
        elif name == "header":
            fields.append(value)
        elif name == "body":
            body.append(value)
        elif name == "received":
            trace = f"from a (b [203.0.113.7])\r\n\tby mx.hanam.gov.vn (Postfix) with ESMTP id {value}"
            received.append(f"Received: {trace}; Tue, 24 Nov 2026 08:00:00 +0700 (+07)")
        elif name == "to":
            recipient, _, kind = value.partition(" ")
            assert kind in CLASSES, line
            wanted[recipient] = kind
        else:
            assert name in (
                *("hook", "client", "login", "id", "from", "message-id", "subject", "author", "at", "source"),
            ), line
            facts[name] = value
    author = facts.get("author") or facts.get("from") or "tac-gia@example.com"
    own = [
        f"From: {author if '<' in author else f'<{author}>'}",
        f"Subject: {facts.get('subject', 'Bao cao')}",
        *([f"Message-ID: {facts['message-id']}"] if facts.get("message-id") else []),
    ]
    message = "\r\n".join((*received, *fields, *own, "", *(body or ["Kinh gui."]), ""))
    client, _, name = facts.get("client", "127.0.0.1").partition(" ")
    case = Case(
        message.encode(),
        client_ip=client,
        client_name=name,
        auth=facts.get("login", ""),
        hook=facts.get("hook", ""),
        queue_id=facts.get("id", ""),
        mail_from=facts.get("from", ""),
        rcpts=tuple(wanted),
        at=datetime.fromisoformat(facts["at"]) if "at" in facts else DAY,
    )
    kinds = {mailbox_of(recipient.encode()): kind for recipient, kind in wanted.items()}
    return Letter(case, kinds, facts.get("source", ""))


def read_cases() -> Iterator[tuple[str, list[Letter]]]:
    for path in sorted(FOLDER.glob("*.cases")):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
        for block in text.strip().removeprefix("== ").split("\n== "):
            title, _, rest = block.partition("\n")
            letters = [read_letter(mail.strip().splitlines()) for mail in rest.split("\n--\n")]
            assert letters[0].source or path.stem not in (SERVICES, MECHANISMS), f"a source: {title}"
            yield f"{path.stem}: {title}", letters


CASES = list(read_cases())


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with NameServer(RECORDS) as server:
        file = tmp_path_factory.mktemp("cases") / "mailgate.toml"
        file.write_text(TOML.format(dns=server.address))
        yield load(file, {})


ANSWERS: dict[int, list[Answer]] = {}  # by the case: each is judged once, whoever counts it


async def judge(settings: Settings, letters: Sequence[Letter]) -> list[Answer]:
    """Judge a case's mails, one after the other, on a bench of their own."""
    if id(letters) not in ANSWERS:
        async with Bench(settings) as bench:
            judged = [await judge_case(bench.gate_at(letter.case.at), letter.case) for letter in letters]
        ANSWERS[id(letters)] = judged
    return ANSWERS[id(letters)]


def refused(answer: Answer, recipient: str) -> bool:
    """Tell whether a recipient does not get the mail as it was sent."""
    return answer.verdict.action is not Action.ACCEPT or recipient in answer.rcpt_replies


@pytest.mark.parametrize(("title", "letters"), CASES, ids=[title for title, _ in CASES])
async def test_case(settings: Settings, title: str, letters: list[Letter]) -> None:
    for letter, answer in zip(letters, await judge(settings, letters), strict=True):
        assert answer.classes == letter.wanted, [finding.evidence for finding in answer.findings]
        forbidden = {recipient for recipient, kind in letter.wanted.items() if kind in (IN, OUT)}
        hooks = ("egress", "non-smtp")
        for recipient in letter.wanted:
            # A copy that is held is held whole where Postfix brings several recipients at once.
            at_fault = bool(forbidden) if letter.case.hook in hooks else recipient in forbidden
            assert refused(answer, recipient) is at_fault, (recipient, answer.verdict)
        if forbidden and letter.case.hook in hooks:
            assert answer.verdict.action is Action.QUARANTINE
        elif forbidden == set(letter.wanted):
            assert (answer.verdict.action, answer.verdict.reply[:9]) == (Action.REJECT, "550 5.7.1")


def print_matrix(counted: Counter[tuple[str, str]]) -> None:
    print(f"{sum(counted.values())} recipients; wanted down, seen across")
    print(" " * 13 + "".join(f"{kind:>13}" for kind in CLASSES))
    for wanted in CLASSES:
        print(f"{wanted:<13}" + "".join(f"{counted[wanted, seen] or '.':>13}" for seen in CLASSES))


async def test_the_confusion_matrix_has_a_diagonal_alone(settings: Settings) -> None:
    counted: Counter[tuple[str, str]] = Counter()
    ordinary = kept_back = 0
    for _, letters in CASES:
        for letter, answer in zip(letters, await judge(settings, letters), strict=True):
            for recipient, kind in letter.wanted.items():
                counted[kind, answer.classes[recipient]] += 1
            if not {IN, OUT} & set(letter.wanted.values()):
                ordinary += 1
                kept_back += answer.verdict.action is not Action.ACCEPT or bool(answer.rcpt_replies)
    print(f"\n{len(CASES)} cases", end=", ")
    print_matrix(counted)
    print(f"ordinary mails kept back: {kept_back} of {ordinary}")
    assert len(CASES) >= 150
    assert all(wanted == seen for wanted, seen in counted)
    assert {wanted for wanted, _ in counted} == set(CLASSES)
    assert (kept_back, ordinary > 100) == (0, True)


async def test_what_the_programs_of_the_world_write(settings: Settings) -> None:
    """Count by the case: of the ordinary ones none refused or held, of the forwards every one found."""
    counted: Counter[tuple[str, str]] = Counter()
    cases: Counter[str] = Counter()
    kept_back, missed = [], []
    for title, letters in CASES:
        stem = title.partition(":")[0]
        if stem not in (SERVICES, MECHANISMS):
            continue
        cases[stem] += 1
        answers = await judge(settings, letters)
        pairs = [
            (kind, answer.classes[to])
            for of, answer in zip(letters, answers, strict=True)
            for to, kind in of.wanted.items()
        ]
        counted.update(pairs)
        if stem == SERVICES:
            if any(refused(answer, to) for of, answer in zip(letters, answers, strict=True) for to in of.wanted):
                kept_back.append(title)
        elif any(wanted in (IN, OUT) and seen != wanted for wanted, seen in pairs):
            missed.append(title)
    print(f"\n{SERVICES} and {MECHANISMS}", end=", ")
    print_matrix(counted)
    print(f"ordinary cases refused or held: {len(kept_back)} of {cases[SERVICES]}", *kept_back, sep="\n  ")
    found = cases[MECHANISMS] - len(missed)
    print(f"forwards found: {found} of {cases[MECHANISMS]}; not found:", *missed, sep="\n  ")
    assert (cases[SERVICES], cases[MECHANISMS]) == (120, 60)
    assert (kept_back, missed) == ([], [])
    assert all(wanted == seen for wanted, seen in counted)
