"""The spam rule with a real spamd of SpamAssassin behind a real Postfix, and with one that answers badly."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.lab.fake import Behaviour, Fake, after, close_at_once, hang
from tests.lab.mails import MIB, OFFICER, OUTSIDER, letter
from tests.lab.spamd import GTUBE, TAGGED, Spamd
from tests.lab.system import MailSystem, mail_system
from tests.test_http_door import get_json

DEADLINE_S = 1.0
LAST_LINE = b"Kinh gui.\r\n"  # of the mail that a fake engine is asked about
OK = b"SPAMD/1.1 0 EX_OK\r\n"


@pytest.fixture(scope="module")
def spamd() -> Iterator[Spamd]:
    """A spamd that knows the GTUBE test text."""
    with Spamd() as server:
        yield server


@pytest.fixture(scope="module", params=["TCP", "Unix socket"])
def system(request: pytest.FixtureRequest, spamd: Spamd) -> Iterator[MailSystem]:
    """A system that asks it."""
    with mail_system({"spam": {"url": spamd.url if request.param == "TCP" else spamd.unix_url}}) as running:
        yield running


@pytest.mark.parametrize(
    ("text", "status", "tag"),
    [
        ("Xin chào", "250 2.0.0", b""),
        (TAGGED, "250 2.0.0", b"action=add-header; score=6.00; required=5.00; symbols=TAGGED"),
        (GTUBE, "550 5.7.1", b""),
    ],
    ids=["ham", "over the required score", "over reject_score"],
)
def test_the_score_decides(system: MailSystem, text: str, status: str, tag: bytes) -> None:
    system.sink.clear()
    assert system.receive(OUTSIDER, [OFFICER], letter(text=f"{text}\n")).status == status
    if status.startswith("250"):
        (mail,) = system.sink.wait(1)
        assert b" ".join((mail.header("X-Mailgate-Spam") or b"").split()) == tag
    else:
        (finding,) = system.mailgate.incidents()[-1]["findings"]
        assert ("engine", "symbols", "GTUBE") in [tuple(piece.values())[:3] for piece in finding["evidence"]]


def test_a_large_mail_is_asked_about_whole(system: MailSystem) -> None:
    """spamc would not send more than 500 KB: whoever pads a mail is not let through for it."""
    text = "Kính gửi quý cơ quan\n" * (MIB // 20) + f"{TAGGED}\n"
    system.sink.clear()
    assert system.receive(OUTSIDER, [OFFICER], letter(text=text)).status == "250 2.0.0"
    (mail,) = system.sink.wait(1)
    assert mail.header("X-Mailgate-Spam") is not None


def test_doctor_and_readyz_know_it() -> None:
    with Spamd() as spamd, mail_system({"spam": {"url": spamd.url, "on_error": "tempfail"}}) as system:
        mailgate = system.mailgate

        def said() -> dict[str, dict[str, Any]]:
            lines = mailgate.run("doctor", "--format", "json").stdout
            return {row["name"]: row for row in json.loads(lines)}

        assert get_json(mailgate, "/readyz")[1]["dependencies"]["spamd"]["ok"] is True
        found = said()
        assert found["spamd"]["ok"] is True
        assert found["spam engine knows GTUBE"]["detail"] == "reject, score 1000 of 5"
        spamd.stop()
        status, body = get_json(mailgate, "/readyz")
        assert (status, body["dependencies"]["spamd"]["ok"]) == (503, False)
        found = said()
        assert found["spamd"]["ok"] is False
        assert found["spamd"]["detail"].endswith("start spamd, or change [spam] url")
        assert "spam engine knows GTUBE" not in found


# -- an engine that answers badly ------------------------------------------------------------------


def answer_without_end(connection: socket.socket) -> None:
    """Answer with 100 MB of tests."""
    after(LAST_LINE, OK + b"Spam: True ; 6.0 / 5.0\r\n\r\n")(connection)
    for _ in range(100):
        connection.sendall(b"X" * MIB)


BAD_ANSWERS: dict[str, Behaviour] = {
    "a closed connection": close_at_once,
    "no end": hang,
    "garbage": after(LAST_LINE, b"\xff\xfe\r\n\r\n"),
    "an error": after(LAST_LINE, b"SPAMD/1.0 76 Bad header line: (Can't locate)\r\n"),
    "no score": after(LAST_LINE, OK + b"Content-length: 0\r\n\r\n"),
    "half a score": after(LAST_LINE, OK + b"Spam: True ; 6.0 /"),
    "a score of dots": after(LAST_LINE, OK + b"Spam: True ; 6.0.1 / 5.0\r\n\r\n"),
    "100 MB": answer_without_end,
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
            spam = {"url": f"spamd://127.0.0.1:{engine.port}", "on_error": on_error, "deadline_s": DEADLINE_S}
            systems[on_error] = running.enter_context(mail_system({"spam": spam, "workers": {"count": 1}}))
        yield systems


MAIL = letter(text="Kinh gui.\n")


def test_a_fake_engine_that_answers_well_is_believed(failing: dict[str, MailSystem], engine: Fake) -> None:
    """Without this the tests below would prove nothing."""
    engine.behaviour = after(LAST_LINE, OK + b"Spam: False ; 0.0 / 5.0\r\n\r\n")
    assert failing["tempfail"].receive(OUTSIDER, [OFFICER], MAIL).status == "250 2.0.0"


@pytest.mark.parametrize("behaviour", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
@pytest.mark.parametrize(
    ("on_error", "status"),
    [("accept", "250 2.0.0"), ("tempfail", "451 4.7.1"), ("quarantine", "250 2.0.0")],
    ids=["accept", "tempfail", "quarantine"],
)
def test_a_bad_answer_is_on_error(
    failing: dict[str, MailSystem], engine: Fake, on_error: str, status: str, behaviour: Behaviour
) -> None:
    system = failing[on_error]
    engine.behaviour = behaviour
    outcome = system.receive(OUTSIDER, [OFFICER], MAIL)
    assert outcome.status == status
    (finding,) = system.mailgate.incidents()[-1]["findings"]
    assert (finding["rule"], finding["action"], finding["evidence"][0]["kind"]) == ("spam", on_error, "missing")
    queued = outcome.final.rpartition(" ")[2]
    held = [mail["queue_id"] for mail in system.postfix.queue() if mail["queue_name"] == "hold"]
    assert (queued in held) == (on_error == "quarantine")


def test_an_engine_that_is_frozen_or_down_is_on_error() -> None:
    spam = {"on_error": "tempfail", "deadline_s": DEADLINE_S}
    with Spamd() as spamd, mail_system({"spam": {"url": spamd.unix_url, **spam}}) as system:
        assert system.receive(OUTSIDER, [OFFICER], MAIL).status == "250 2.0.0"
        spamd.freeze()
        assert system.receive(OUTSIDER, [OFFICER], MAIL).status == "451 4.7.1"
        spamd.thaw()
        assert system.receive(OUTSIDER, [OFFICER], MAIL).status == "250 2.0.0"
        spamd.stop()
        assert system.receive(OUTSIDER, [OFFICER], MAIL).status == "451 4.7.1"
