"""Every stage by every action, as dialogues in files: each through every door, with equal answers.

A dialogue is a title, what a scripted rule finds, and a step a line: what the MTA sends, after `->` what the milter
answers, after `=>` what the SMTP client reads; last, what then becomes of the mail. A fake MTA checks the answers of
the asyncio door and of libmilter, a real Postfix the replies and its queue; and through the SMTP door the client
reads, and the mail becomes, the same as with Postfix and a milter.
"""

import asyncio
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from tests.lab.gates import Notes, make_gate, settings_of
from tests.lab.libmilter import HOOKS, Libmilter
from tests.lab.mta import (
    ABORT,
    BODY,
    CONNECT,
    DATA,
    EOH,
    EOM,
    HEADER,
    HELO,
    MAIL,
    RCPT,
    Answer,
    MemoryMta,
    Mta,
    client_payload,
)
from tests.lab.next_hop import NextHop
from tests.lab.postfix import Postfix
from tests.lab.sink import Sink
from tests.lab.smtp_client import SmtpClient, status_of
from tests.lab.smtp_door import SmtpDoor
from tests.lab.waiting import wait_until

from mailgate.config import SmtpSection
from mailgate.doors.milter import BufferedConnection, Listener, MilterConnection
from mailgate.gate import Gate
from mailgate.identity.spelling import mailbox_of
from mailgate.model import Action, Evidence, Header, Mail
from mailgate.rule import Hit, RuleStanza

FOLDER = Path(__file__).parent / "dialogues"
SUBJECT, TEXT = b"Subject", b"Kinh gui.\r\n"

FINDS = re.compile(r"finds (MAIL|RCPT|BODY|END) (\w+)(?: for (<\S+>))?(?: with (\S+): (.+))?")
STEP = re.compile(r"(MAIL|RCPT|DATA|BODY|END)(?: (<\S*>))?(?: -> (.+?))?(?: => (.+))?")
THEN = re.compile(r"then (arrives|hold|nothing)(?: (<\S+>))?(?: with (\S+): (.+))?")


@dataclass(frozen=True, kw_only=True)
class Scripted(RuleStanza):
    """Finds one thing at one stage; at MAIL and RCPT only where the named address is the stage's own, or none is."""

    NAME = "scripted"
    CLAUSE = "QD27/2023 4.5"
    REPLY = "550 5.7.1 Scripted"

    stage: str = ""
    finds: Action = Action.ACCEPT
    address: str = ""
    headers: tuple[Header, ...] = ()

    def _hits(self, stage: str, recipient: str) -> Iterable[Hit]:
        if stage == self.stage:
            yield Hit((Evidence("script", stage, "x"),), recipient, action=self.finds, headers=self.headers)

    def at_mail(self, mail: Mail) -> Iterable[Hit]:
        if self.address.endswith("@example.com"):
            return self._hits("MAIL", "") if mail.envelope.sender == self.address else ()
        return self._hits("MAIL", self.address)

    def at_rcpt(self, mail: Mail, recipient: str) -> Iterable[Hit]:
        return self._hits("RCPT", recipient) if self.address in ("", recipient) else ()

    def at_body(self, mail: Mail) -> Iterable[Hit]:
        return self._hits("BODY", self.address)

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        return self._hits("END", self.address)


@dataclass(frozen=True, slots=True)
class Step:
    """One line: a command of the MTA with its path, the milter's answer and the client's reply."""

    command: str
    path: str
    answer: str
    reply: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """fate: arrives, hold or nothing, of that recipient alone, with that header."""

    title: str
    rule: Scripted
    steps: tuple[Step, ...]
    fate: str
    recipient: str
    header: tuple[str, str]


def read_dialogue(title: str, lines: Sequence[str]) -> Dialogue:
    rule = Scripted()
    *others, last = lines
    if found := FINDS.fullmatch(others[0]):
        stage, action, address, name, value = found.groups("")
        headers = ((name.encode(), value.encode()),) if name else ()
        rule = Scripted(stage=stage, finds=Action(action), address=address.strip("<>"), headers=headers)
        del others[0]
    steps = [STEP.fullmatch(line) for line in others]
    then = THEN.fullmatch(last)
    assert then is not None, f"{title}: {last}"
    assert None not in steps, f"{title}: {others[steps.index(None)]}"
    fate, recipient, name, value = then.groups("")
    return Dialogue(
        title,
        rule,
        tuple(Step(*step.groups("")) for step in steps if step),
        fate,
        recipient.strip("<>"),
        (name, value),
    )


def read_file(path: Path) -> Iterator[Dialogue]:
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE)
    for block in text.strip().removeprefix("== ").split("\n== "):
        title, *lines = block.strip().splitlines()
        yield read_dialogue(f"{path.stem}: {title}", lines)


DIALOGUES = [dialogue for path in sorted(FOLDER.glob("*.dialogue")) for dialogue in read_file(path)]
every_dialogue = pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.title)


def gate_of(dialogue: Dialogue, notes: Notes | None = None, **sections: Any) -> Gate:
    return make_gate(settings_of(dialogue.rule, **sections), notes)


def test_every_stage_meets_every_action() -> None:
    met = {(d.rule.stage, "header" if d.rule.headers else d.rule.finds) for d in DIALOGUES}
    assert {(stage, action) for stage in ("MAIL", "RCPT", "BODY", "END") for action in (*Action, "header")} <= met
    assert any("delete-recipient" in step.answer for dialogue in DIALOGUES for step in dialogue.steps)


# -- on a fake MTA --------------------------------------------------------------------------------


def told(answer: Answer | None) -> str:
    """Write an answer as the files do."""
    if answer is None:
        return ""
    changes = [" ".join(word.strip() for word in change) for change in answer.changes]
    return ", ".join([*changes, answer.code or answer.kind])


def commands_of(step: Step) -> list[tuple[bytes, bytes]]:
    """Return what the MTA sends at a step; its last command is the one that is answered."""
    path = step.path.encode() + b"\0"
    return {
        "MAIL": [(MAIL, path)],
        "RCPT": [(RCPT, path)],
        "DATA": [(DATA, b"")],
        "BODY": [(HEADER, SUBJECT + b"\0 x\0"), (EOH, b""), (BODY, TEXT)],
        "END": [(EOM, b"")],
    }[step.command]


CLIENT = client_payload("mail.example.com", "203.0.113.7")


def script_of(dialogue: Dialogue) -> Iterator[tuple[Step | None, bytes, bytes]]:
    """Yield every command of a dialogue; the step with the command whose answer is the step's, else None."""
    yield None, CONNECT, CLIENT
    yield None, HELO, b"mail.example.com\0"
    for number, step in enumerate(dialogue.steps):
        if step.command == "MAIL" and number:
            yield None, ABORT, b""  # as Postfix says after each refused MAIL
        if step.answer:
            *before, last = commands_of(step)
            for command in before:
                yield None, *command
            yield step, *last


async def asyncio_answers(dialogue: Dialogue, notes: Notes, is_unix: bool) -> list[tuple[Step, Answer | None]]:
    """Return each step of a dialogue with what the asyncio door answered."""
    gate = gate_of(dialogue, notes)
    mta = MemoryMta(MilterConnection(Listener("memory", (), lambda: gate, is_unix)))
    await mta.negotiate()
    answers = [(step, await mta.ask(*command)) for step, *command in script_of(dialogue)]
    return [(step, answer) for step, answer in answers if step]


def is_recorded(dialogue: Dialogue) -> bool:
    """Tell whether a dialogue has an incident: whatever is found, but for a tag."""
    is_only_a_tag = dialogue.rule.finds is Action.ACCEPT and bool(dialogue.rule.headers)
    return bool(dialogue.rule.stage) and not is_only_a_tag


@every_dialogue
async def test_on_a_fake_mta(dialogue: Dialogue) -> None:
    notes = Notes()
    for step, answer in await asyncio_answers(dialogue, notes, is_unix=False):
        assert told(answer) == step.answer, step
    assert bool(notes.records) is is_recorded(dialogue), "what was found is on record before it is said"


# -- by libmilter ----------------------------------------------------------------------------------


def words(answer: Answer | None) -> Answer | None:
    """Return an answer without its case number, which no two have in common."""
    return answer and replace(answer, text=re.sub(r"\(case [^)]*\)", "(case)", answer.text))


@every_dialogue
async def test_libmilter_says_the_same_word_by_word(libmilter: Libmilter, dialogue: Dialogue) -> None:
    notes, wanted_notes = Notes(), Notes()
    wanted = await asyncio_answers(dialogue, wanted_notes, is_unix=True)
    libmilter.gate = gate_of(dialogue, notes)
    with Mta(libmilter.address) as mta:
        answers = [(step, mta.ask(*command)) for step, *command in script_of(dialogue)]
    found = [(step, words(answer)) for step, answer in answers if step]
    assert found == [(step, words(answer)) for step, answer in wanted]
    for step, answer in found:
        assert told(answer) == ("" if step.command == "DATA" else step.answer), "on a Unix socket DATA has no answer"
    assert len(notes.records) == len(wanted_notes.records)


@pytest.mark.parametrize("daemon_name", ["MX", "EGRESS", "SUBMISSION", ""])
@pytest.mark.parametrize("login", ["", "a"])
async def test_libmilter_tells_hooks_by_the_same_names(libmilter: Libmilter, daemon_name: str, login: str) -> None:
    dialogue = next(dialogue for dialogue in DIALOGUES if dialogue.title == "end: reject")
    notes = Notes()
    gate = libmilter.gate = gate_of(dialogue, notes)
    macros = {"{daemon_name}": daemon_name, "{auth_authen}": login}
    with Mta(libmilter.address, macros=macros) as mta:
        for _, *command in script_of(dialogue):
            mta.ask(*command)
    memory = MemoryMta(MilterConnection(Listener("memory", HOOKS, lambda: gate, is_unix=True)), macros=macros)
    await memory.negotiate()
    for _, *command in script_of(dialogue):
        await memory.ask(*command)
    hooks = [record["hook"] for record in notes.records]
    usual = "submission" if login else "mx"
    assert hooks == [{"EGRESS": "egress", "SUBMISSION": "submission"}.get(daemon_name, usual)] * 2


# -- by the SMTP door ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filter:
    """The SMTP door, its next hop, and the one that holds."""

    door: SmtpDoor
    hop: NextHop
    hold: NextHop


@pytest.fixture(scope="module")
def smtp_filter() -> Iterator[Filter]:
    with ExitStack() as running:
        hop, hold = (running.enter_context(NextHop(strict=True)) for _ in range(2))
        gate = make_gate(settings_of(Scripted(), smtp=SmtpSection(next_hop=hop.address)))
        yield Filter(running.enter_context(SmtpDoor(gate)), hop, hold)


@every_dialogue
def test_by_the_smtp_door(smtp_filter: Filter, dialogue: Dialogue) -> None:
    notes = Notes()
    hop, hold = smtp_filter.hop, smtp_filter.hold
    section = SmtpSection(next_hop=hop.address, hold_next_hop=hold.address)
    smtp_filter.door.gate = gate_of(dialogue, notes, smtp=section)
    hop.clear()
    hold.clear()
    with SmtpClient(smtp_filter.door.port) as client:
        client.ehlo()
        client.command("XFORWARD NAME=mail.example.com ADDR=203.0.113.7")
        for step in dialogue.steps:
            if step.reply:
                reply = say(client, step)
                assert status_of(reply) == step.reply, (step, reply)
    delivered, held = hop.mails(), hold.mails()
    assert (len(delivered), len(held)) == {"arrives": (1, 0), "hold": (0, 1), "nothing": (0, 0)}[dialogue.fate]
    added = b"".join(b"%s: %s\r\n" % header for header in dialogue.rule.headers)
    for mail in (*delivered, *held):
        assert [mailbox_of(recipient.encode()) for recipient in mail.recipients] == [dialogue.recipient]
        assert mail.data == added + SUBJECT + b": x\r\n\r\n" + TEXT
    assert bool(notes.records) is is_recorded(dialogue)


# -- on a real Postfix ----------------------------------------------------------------------------


class Door:
    """The milter door on a loopback `port`, in a thread with a loop of its own; `gate` is its next mail's."""

    def __init__(self) -> None:
        self.gate = make_gate(settings_of(Scripted()))
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> asyncio.Server:
        self._listener = Listener("loopback", (), lambda: self.gate, is_unix=False)
        return await asyncio.get_running_loop().create_server(
            lambda: BufferedConnection(MilterConnection(self._listener)), "127.0.0.1", 0
        )

    async def _stop(self) -> None:
        self._server.close()
        for connection in list(self._listener.connections):
            connection.close()


@dataclass(frozen=True, slots=True)
class System:
    door: Door
    postfix: Postfix
    sink: Sink


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with ExitStack() as running:
        door = running.enter_context(Door())
        sink = running.enter_context(Sink())
        postfix = Postfix(smtpd_milters=f"inet:127.0.0.1:{door.port}", deliver_to=sink.port)
        yield System(door, running.enter_context(postfix), sink)


def say(client: SmtpClient, step: Step) -> str:
    """Say a step to Postfix and return its reply."""
    if step.command in ("MAIL", "RCPT"):
        return client.command(f"{step.command} {'FROM' if step.command == 'MAIL' else 'TO'}:{step.path}")
    if step.command == "DATA":
        return client.command("DATA")
    client.send(SUBJECT + b": x\r\n\r\n" + TEXT + b".\r\n")
    return client.reply()


@every_dialogue
def test_on_a_real_postfix(system: System, dialogue: Dialogue) -> None:
    system.door.gate = gate_of(dialogue)
    system.sink.clear()
    reply = ""
    with SmtpClient(system.postfix.smtp_port) as client:
        client.xclient("203.0.113.7", "mail.example.com")
        client.ehlo()
        for step in dialogue.steps:
            if step.reply:
                reply = say(client, step)
                assert status_of(reply) == step.reply, (step, reply)
        client.command("QUIT")
    check_fate(system, dialogue, reply.partition("queued as ")[2])


def check_fate(system: System, dialogue: Dialogue, queue_id: str) -> None:
    """Check what became of a mail; queue_id is "" where it was refused."""
    if dialogue.fate == "arrives":
        (mail,) = system.sink.wait(1)
        assert [mailbox_of(recipient.encode()) for recipient in mail.recipients] == [dialogue.recipient]
        name, value = dialogue.header
        assert mail.header("X-Mailgate-Test") == (value.encode() if name else None)
        assert mail.data.endswith(b"\r\n\r\n" + TEXT)
        return
    if queue_id:
        what = {"hold": "milter triggers HOLD", "nothing": "milter triggers DISCARD"}[dialogue.fate]
        wait_until(lambda: re.search(f"{queue_id}: .*{what}", system.postfix.log_text()), 5, f"{what} of {queue_id}")
    held = [mail for mail in system.postfix.queue() if mail["queue_id"] == queue_id]
    assert [mail["queue_name"] for mail in held] == (["hold"] if dialogue.fate == "hold" else [])
    assert [r["address"] for mail in held for r in mail["recipients"]] == [dialogue.recipient] * len(held)
    assert not system.sink.mails()
