"""The spam rule with a real rspamd behind a real Postfix, and with an engine that answers badly."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.lab.fake import Behaviour, Fake, after, close_at_once, hang
from tests.lab.mails import MIB, OFFICE, OFFICER, OUTSIDER, letter
from tests.lab.processes import peak_rss_bytes
from tests.lab.rspamd import GTUBE, GTUBE_ADD_HEADER, Rspamd
from tests.lab.system import MailSystem, mail_system

DEADLINE_S = 1.0
REQUEST_END = b"\r\n0\r\n\r\n"  # of a chunked body
HUGE_BYTES = 100 * MIB
GROWTH_BYTES = 16 * MIB


@pytest.fixture(scope="module")
def system(rspamd: Rspamd) -> Iterator[MailSystem]:
    """A system with an rspamd."""
    with mail_system({"spam": {"url": rspamd.url}}) as running:
        yield running


@pytest.mark.parametrize(
    ("text", "status", "tagged"),
    [("Xin chào", "250 2.0.0", False), (GTUBE_ADD_HEADER, "250 2.0.0", True), (GTUBE, "550 5.7.1", False)],
    ids=["no action", "add header", "reject"],
)
def test_the_engines_action_is_carried_out(system: MailSystem, text: str, status: str, tagged: bool) -> None:
    system.sink.clear()
    assert system.receive(OUTSIDER, [OFFICER], letter(text=f"{text}\n")).status == status
    if status.startswith("250"):
        (mail,) = system.sink.wait(1)
        assert (mail.header("X-Mailgate-Spam") is not None) == tagged


def test_spam_is_no_activity_of_people(system: MailSystem) -> None:
    """Refused mail does not count for the mailbox it was sent to, and tagged mail as spam (clauses 6.2c and 7.2a)."""
    for text in ("Xin chào", GTUBE_ADD_HEADER, GTUBE):
        system.receive(OUTSIDER, [OFFICE], letter(text=f"{text}\n"))
    shown = json.loads(system.mailgate.run("mailboxes", "show", OFFICE, "--format", "json").stdout)
    assert {name: received["count"] for name, received in shown["received_by_class"].items()} == {
        "human": 1,
        "spam": 1,
    }


# -- an engine that answers badly ------------------------------------------------------------------


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    """Return an HTTP answer that says it has `length` octets, by default as many as it has."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode() + body


def answer_without_end(connection: socket.socket) -> None:
    """Answer with 100 MB of JSON that would be well-formed."""
    head = b'{"action": "no action", "score": 0.0, "required_score": 15.0, "x": "'
    after(REQUEST_END, http(head, length=HUGE_BYTES))(connection)
    for _ in range(HUGE_BYTES // MIB):
        connection.sendall(b"x" * MIB)


OPINION = b'{"action": "no action", "score": 0.0, "required_score": 15.0, "symbols": {}}'

BAD_ANSWERS: dict[str, Behaviour] = {
    "a closed connection": close_at_once,
    "no end": hang,
    "500": after(REQUEST_END, http(OPINION, "500 Internal Server Error")),
    "garbage": after(REQUEST_END, b"\xff\xfe\r\n\r\n"),
    "garbage in JSON's place": after(REQUEST_END, http(b"\xff<html>")),
    "JSON of another kind": after(REQUEST_END, http(b"[1, 2]")),
    "JSON without an action": after(REQUEST_END, http(b'{"score": 1.0}')),
    "cut": after(REQUEST_END, http(OPINION[:20], length=len(OPINION))),
    "100 MB of JSON": answer_without_end,
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Fake]:
    """An engine that answers as a test tells it."""
    with Fake(close_at_once) as fake:
        yield fake


@pytest.fixture(scope="module")
def failing(engine: Fake) -> Iterator[dict[str, MailSystem]]:
    """A system for each on_error, all with that engine."""
    with ExitStack() as running:
        systems = {}
        for on_error in ("accept", "tempfail", "quarantine"):
            spam = {"url": f"http://127.0.0.1:{engine.port}", "on_error": on_error, "deadline_s": DEADLINE_S}
            systems[on_error] = running.enter_context(mail_system({"spam": spam, "workers": {"count": 1}}))
        yield systems


def test_a_fake_engine_that_answers_well_is_believed(failing: dict[str, MailSystem], engine: Fake) -> None:
    """Without this the tests below would prove nothing."""
    engine.behaviour = after(REQUEST_END, http(OPINION))
    assert failing["tempfail"].receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"


@pytest.mark.parametrize("behaviour", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
@pytest.mark.parametrize(
    ("on_error", "status", "queue"),
    [("accept", "250 2.0.0", ""), ("tempfail", "451 4.7.1", ""), ("quarantine", "250 2.0.0", "hold")],
    ids=["accept", "tempfail", "quarantine"],
)
def test_a_bad_answer_is_on_error(
    failing: dict[str, MailSystem], engine: Fake, on_error: str, status: str, queue: str, behaviour: Behaviour
) -> None:
    system = failing[on_error]
    engine.behaviour = behaviour
    outcome = system.receive(OUTSIDER, [OFFICER], letter())
    assert outcome.status == status
    (finding,) = system.mailgate.incidents()[-1]["findings"]
    assert (finding["rule"], finding["action"], finding["evidence"][0]["kind"]) == ("spam", on_error, "missing")
    if queue:
        queued = outcome.final.rpartition(" ")[2]
        assert [mail["queue_name"] for mail in system.postfix.queue() if mail["queue_id"] == queued] == [queue]


def test_an_engine_that_is_down_is_on_error() -> None:
    with Rspamd() as rspamd, mail_system({"spam": {"url": rspamd.url, "on_error": "tempfail"}}) as system:
        rspamd.stop()
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "451 4.7.1"
        rspamd.start()
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"


def test_an_endless_answer_takes_no_memory(failing: dict[str, MailSystem], engine: Fake) -> None:
    system = failing["accept"]
    worker = system.mailgate.workers()[0]
    engine.behaviour = after(REQUEST_END, http(OPINION))
    assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
    before = peak_rss_bytes(worker)
    engine.behaviour = answer_without_end
    for _ in range(5):
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
    assert peak_rss_bytes(worker) - before < GROWTH_BYTES
