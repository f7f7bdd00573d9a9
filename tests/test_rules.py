"""Every rule's own examples, through every door: each must give the same verdict and the same findings."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.lab.gates import NOTHING, Notes, make_gate, settings_of
from tests.lab.libmilter import HOOKS, Libmilter
from tests.lab.mta import Letter, MemoryMta, Mta, Outcome
from tests.lab.next_hop import NextHop
from tests.lab.smtp_client import SmtpClient, status_of
from tests.lab.smtp_door import SmtpDoor

from mailgate.config import SmtpSection
from mailgate.doors.milter import Hook, Listener, MilterConnection
from mailgate.doors.offline import Case, judge_case, split_message
from mailgate.doors.transaction import header_octets
from mailgate.gate import Gate
from mailgate.identity.spelling import mailbox_of
from mailgate.model import Action
from mailgate.rule import Example, RuleStanza
from mailgate_rules import MODULES, STANZAS


def _named(examples: Iterable[tuple[ModuleType, Example]]) -> list[Any]:
    return [
        pytest.param(module, example, id=f"{module.Stanza.NAME}: {example.title}") for module, example in examples
    ]


PAIRS = [(module, example) for module in MODULES for example in module.EXAMPLES]
EXAMPLES = _named(PAIRS)
CUTS = (1 << 30, 1_000, 7)  # octets that the milter connection is given at once


@dataclass(frozen=True)
class Judged:
    """What a door answered, in terms that all doors share.

    code: of the reply. refused: the recipients who were refused on their own, with their codes where those are said.
    """

    action: str
    code: str
    refused: Mapping[str, str]
    headers: tuple[tuple[str, str], ...]
    findings: tuple[tuple[Any, ...], ...]
    scanned: tuple[bytes, ...]


def stanza_of(module: ModuleType, example: Example) -> RuleStanza:
    stanza: RuleStanza = TypeAdapter(module.Stanza).validate_python(dict(example.keys))
    return stanza


def gate_of(module: ModuleType, example: Example, notes: Notes, **sections: Any) -> Gate:
    """Return a gate with this rule alone, whose services say what the example says."""
    facts: dict[str, Any] = dict(example.facts)
    missing: Any = facts.get("missing", {})
    return make_gate(
        settings_of(stanza_of(module, example), **sections),
        notes,
        locked=example.locked,
        revoked=example.revoked,
        scans=missing.get("clamd", facts.get("scans")),
        spam=missing.get("spam", facts.get("spam")),
        has_states="mailboxes" not in missing,
        passages=facts.get("passages", ()),
        memory=missing.get("history", facts.get("memory", NOTHING)),
        proofs=missing.get("dns", facts.get("proofs", {})),
        too_much=missing.get("signatures", ""),
        sending=missing.get("sending", facts.get("sending")),
        units=facts.get("units", frozenset()),
        names=facts.get("names", ()),
        inspection=missing.get("inspection", facts.get("inspection")),
        lists=facts.get("lists"),
        advertised=facts.get("advertised"),
        listings=facts.get("listings", ()),
    )


def letter_of(example: Example) -> Letter:
    fields, body = split_message(example.message)
    return Letter(
        f"<{example.sender}>".encode(),
        tuple(f"<{recipient}>".encode() for recipient in example.recipients),
        tuple(fields),
        body,
        tuple(argument.encode() for argument in example.arguments),
        example.client_ip,
        login=example.login,
    )


def found(notes: Notes) -> tuple[tuple[Any, ...], ...]:
    return tuple(
        (
            finding["rule"],
            finding["mode"],
            finding["action"],
            finding.get("direction", ""),
            finding.get("recipient", ""),
            tuple(tuple(piece.values()) for piece in finding["evidence"]),
        )
        for finding in notes.findings()
    )


def code(reply: str) -> str:
    return " ".join(reply.split()[:2])


async def by_offline(module: ModuleType, example: Example) -> Judged:
    notes = Notes()
    case = Case(
        example.message,
        client_ip=example.client_ip,
        client_name="mail.example.com",
        helo="mail.example.com",
        auth=example.login,
        hook=example.hook,
        mail_from=example.sender,
        mail_args=tuple(example.arguments),
        rcpts=tuple(example.recipients),
    )
    answer = await judge_case(gate_of(module, example, notes), case)
    refuses_all = answer.verdict.action in (Action.REJECT, Action.TEMPFAIL)
    refused = {mailbox: code(reply) for mailbox, reply in answer.rcpt_replies.items()}
    headers = tuple((name.decode(), value.decode()) for name, value in answer.verdict.headers)
    if refuses_all:
        refused, headers = {}, ()
    reply = code(answer.verdict.reply)
    return Judged(answer.verdict.action, reply, refused, headers, found(notes), tuple(notes.scanned))


def judged(outcome: Outcome, notes: Notes) -> Judged:
    """Put what the MTA was told in the doors' common terms; a deleted recipient's code is in the record alone."""
    answer = outcome.answer
    refused: dict[str, str] = {}
    if outcome.action in ("accept", "quarantine", "discard"):
        refused = {mailbox_of(path): reply.code for path, reply in outcome.refused.items()}
        told = {m: r for record in notes.records for m, r in record["recipient_replies"].items()}
        for change in answer.changes:
            if change[0] == "delete-recipient":
                mailbox = mailbox_of(change[1].encode())
                refused[mailbox] = code(told[mailbox])
    headers = tuple((c[1], c[2].removeprefix(" ")) for c in answer.changes if c[0] == "add-header")
    return Judged(outcome.action, answer.code.strip(), refused, headers, found(notes), tuple(notes.scanned))


async def by_milter(module: ModuleType, example: Example, cut: int) -> Judged:
    notes = Notes()
    gate = gate_of(module, example, notes)
    hooks = (Hook(example.hook),) if example.hook else ()
    listener = Listener("memory", hooks, lambda: gate, is_unix=True)
    mta = MemoryMta(MilterConnection(listener), cut)
    await mta.negotiate()
    return judged(await mta.deliver(letter_of(example)), notes)


def by_libmilter(server: Libmilter, module: ModuleType, example: Example) -> Judged:
    notes = Notes()
    server.gate = gate_of(module, example, notes)
    server.hooks = (Hook(example.hook),) if example.hook else HOOKS
    with Mta(server.address) as mta:
        outcome = mta.deliver(letter_of(example))
        assert mta.hang_up() == b""
    return judged(outcome, notes)


@dataclass(frozen=True, slots=True)
class Filter:
    """The SMTP door, its next hop, and the one that holds."""

    door: SmtpDoor
    hop: NextHop
    hold: NextHop


@pytest.fixture(scope="module")
def smtp_filter() -> Iterator[Filter]:
    with NextHop(strict=True) as hop, NextHop(strict=True) as hold:
        section = SmtpSection(next_hop=hop.address)
        with SmtpDoor(make_gate(settings_of(smtp=section))) as door:
            yield Filter(door, hop, hold)


def by_smtp(smtp: Filter, module: ModuleType, example: Example) -> Judged:
    notes = Notes()
    section = SmtpSection(next_hop=smtp.hop.address, hold_next_hop=smtp.hold.address, message_bytes=1 << 40)
    smtp.door.gate = gate_of(module, example, notes, smtp=section)
    smtp.door.hooks = (Hook(example.hook),) if example.hook else ()
    smtp.hop.clear()
    smtp.hold.clear()
    letter = letter_of(example)
    message = header_octets(letter.headers) + b"\r\n" + letter.body
    rcpts: dict[str, str] = {}
    with SmtpClient(smtp.door.port) as client:
        client.ehlo(letter.helo)
        address = f"IPV6:{letter.client_ip}" if ":" in letter.client_ip else letter.client_ip
        client.command(f"XFORWARD NAME={letter.client_name} ADDR={address or '[UNAVAILABLE]'}")
        final = client.mail(example.sender, *example.arguments)
        if final.startswith("2"):
            rcpts = {mailbox_of(path): client.rcpt(path.decode()[1:-1]) for path in letter.recipients}
            final = list(rcpts.values())[-1]
        taken = {mailbox for mailbox, reply in rcpts.items() if reply.startswith("2")}
        if taken:
            final = client.data(message)
    delivered, held = smtp.hop.mails(), smtp.hold.mails()
    action = {"2": Action.DISCARD, "4": Action.TEMPFAIL, "5": Action.REJECT}[final[0]]
    refused: dict[str, str] = {}
    headers: tuple[tuple[str, str], ...] = ()
    if final.startswith("2"):
        refused = {mailbox: status_of(reply) for mailbox, reply in rcpts.items() if mailbox not in taken}
    for mail in (*delivered, *held):
        action = Action.QUARANTINE if held else Action.ACCEPT
        told = {m: r for record in notes.records for m, r in record["recipient_replies"].items()}
        refused |= {mailbox: code(told[mailbox]) for mailbox in taken - set(map(str.lower, mail.recipients))}
        added = mail.data.removesuffix(message).decode().splitlines()
        headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in added))
    reply = "" if final.startswith("2") else status_of(final)
    return Judged(action, reply, refused, headers, found(notes), tuple(notes.scanned))


@pytest.mark.parametrize(("module", "example"), EXAMPLES)
async def test_example_says_what_the_rule_makes_of_it(module: ModuleType, example: Example) -> None:
    answer = await by_offline(module, example)
    finds = example.wants is not Action.ACCEPT if example.finds is None else example.finds
    assert (answer.action, bool(answer.findings) or bool(answer.headers)) == (example.wants, finds)
    if example.direction:
        assert {finding[3] for finding in answer.findings} == {example.direction}


@pytest.mark.parametrize(("module", "example"), EXAMPLES)
async def test_asyncio_door_answers_as_offline(module: ModuleType, example: Example) -> None:
    want = await by_offline(module, example)
    for cut in CUTS:
        assert await by_milter(module, example, cut) == want, f"cut at {cut}"


@pytest.mark.parametrize(("module", "example"), EXAMPLES)
def test_libmilter_answers_as_offline(libmilter: Libmilter, module: ModuleType, example: Example) -> None:
    assert by_libmilter(libmilter, module, example) == asyncio.run(by_offline(module, example))


@pytest.mark.parametrize(("module", "example"), _named(pair for pair in PAIRS if not pair[1].login))
def test_smtp_door_answers_as_offline(smtp_filter: Filter, module: ModuleType, example: Example) -> None:
    """All but the examples of a login, which no XFORWARD tells."""
    assert by_smtp(smtp_filter, module, example) == asyncio.run(by_offline(module, example))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.Stanza.NAME)
def test_rule_is_one_file_with_its_clause_and_examples(module: ModuleType) -> None:
    name = module.__name__.rpartition(".")[2]
    stanza = module.Stanza
    assert name.replace("_", "-") == stanza.NAME
    assert STANZAS[stanza.NAME] is stanza
    assert stanza.CLAUSE.startswith("QD27/2023 ") or stanza.CLAUSE.startswith("ND91/2020 ")
    assert module.__doc__
    assert stanza.REPLY[:4] in ("550 ", "552 ", "554 ")
    examples = module.EXAMPLES
    assert len({example.title for example in examples}) == len(examples)
    hits = [example for example in examples if example.wants is not Action.ACCEPT]
    misses = [example for example in examples if example.wants is Action.ACCEPT and not example.finds]
    assert hits
    assert misses


def test_every_rule_file_is_in_the_table() -> None:
    package = Path(MODULES[0].__file__ or "").parent
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert files == {module.__name__.rpartition(".")[2] for module in MODULES}
