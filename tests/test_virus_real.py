"""The virus rule with a real clamd behind a real Postfix, and with a clamd that answers badly."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.lab.clamd import EICAR, Clamd
from tests.lab.fake import Behaviour, Fake, after, close_at_once, hang
from tests.lab.mailgate import Mailgate
from tests.lab.mails import (
    LIMIT_BYTES,
    MIB,
    OFFICER,
    OUTSIDER,
    base64_lines,
    base64_part,
    joined,
    letter,
    letter_with,
    multipart,
    zipped,
)
from tests.lab.system import MailSystem, mail_system

ENCODED = base64_lines(EICAR)
HALVES = base64_lines(EICAR[:31]) + base64_lines(EICAR[31:])  # 31 octets: its base64 ends in a pad
FILE = b"Content-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n"

INSTREAM_END = bytes(4)
DEADLINE_S = 1.0


def nested(part: bytes, depth: int) -> bytes:
    """Return a part inside `depth` multiparts."""
    for level in range(depth):
        boundary = f"level{level}"
        part = f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode() + joined(
            part, boundary=boundary
        )
    return part


def forwarded(part: bytes, depth: int) -> bytes:
    """Return a part inside `depth` attached messages."""
    for _ in range(depth):
        part = b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\nMIME-Version: 1.0\r\n" + part
    return part


def encrypted_zip() -> bytes:
    """Return a zip archive that says of its only member that it is encrypted (general purpose flag, bit 0)."""
    archive = bytearray(zipped(b"secret" * 100))
    archive[6] |= 1  # local header
    archive[archive.index(b"PK\x01\x02") + 8] |= 1  # central directory
    return bytes(archive)


VISIBLE = {
    "in the text": letter(text=EICAR.decode() + "\n"),
    "in base64": letter_with(EICAR),
    "in a zip in a zip": letter_with(zipped(EICAR, times=2)),
    "behind a boundary over 70 octets": multipart(base64_part(EICAR), boundary="b" * 200),
    "in an attached message": multipart(forwarded(base64_part(EICAR), 1)),
}

# What a mail program shows, and clamd does not see in the raw message.
HIDDEN = {
    "nested over 20 deep": multipart(nested(FILE + b"\r\n" + ENCODED, 30)),
    "padding in the middle of base64": multipart(FILE + b"\r\n" + HALVES),
    "attached 30 deep": multipart(forwarded(base64_part(EICAR), 30)),
    "no blank line before the body": multipart(FILE + ENCODED),
    "blanks after a soft line break": multipart(
        FILE.replace(b"base64", b"quoted-printable") + b"\r\n" + EICAR[:20] + b"=  \r\n" + EICAR[20:]
    ),
}


@pytest.fixture(scope="module", params=["FILDES", "INSTREAM"])
def system(request: pytest.FixtureRequest, clamd: Clamd) -> Iterator[MailSystem]:
    """A system that hands clamd an open file, over its Unix socket, or octets, over TCP."""
    address = clamd.unix_address if request.param == "FILDES" else clamd.inet_address
    with mail_system({"clamav": {"address": address}}) as running:
        yield running


@pytest.mark.parametrize("data", VISIBLE.values(), ids=VISIBLE)
def test_the_test_text_is_refused(system: MailSystem, data: bytes) -> None:
    outcome = system.receive(OUTSIDER, [OFFICER], data)
    assert outcome.status == "550 5.7.1"
    assert "Virus found" in outcome.final


@pytest.mark.parametrize("data", HIDDEN.values(), ids=HIDDEN)
def test_a_test_text_that_the_raw_scan_misses_is_refused(system: MailSystem, clamd: Clamd, data: bytes) -> None:
    assert clamd.scan(data) == "stream: OK"
    assert system.receive(OUTSIDER, [OFFICER], data).status == "550 5.7.1"
    assert system.mailgate.incidents()[-1]["findings"][0]["evidence"][0]["kind"].startswith("part ")


def test_a_mail_of_29_mb_is_scanned_to_its_end(system: MailSystem) -> None:
    data = letter_with(bytes(LIMIT_BYTES - len(EICAR)) + EICAR)
    assert len(data) > 28_600_000
    outcome = system.receive(OUTSIDER, [OFFICER], data)
    assert outcome.status == "550 5.7.1"
    assert "Virus found" in outcome.final
    assert system.receive(OUTSIDER, [OFFICER], letter_with(bytes(LIMIT_BYTES))).status == "250 2.0.0"


# -- what is neither clean nor infected ------------------------------------------------------------


def test_an_encrypted_archive_is_recorded_and_passes(system: MailSystem) -> None:
    assert system.receive(OUTSIDER, [OFFICER], letter_with(encrypted_zip())).status == "250 2.0.0"
    incident = system.mailgate.incidents()[-1]
    finding, inspected = incident["findings"]
    assert inspected["rule"] == "uninspectable"
    (evidence,) = finding["evidence"]
    assert (incident["kind"], finding["action"], evidence["name"]) == ("finding", "accept", "encrypted")
    assert evidence["value"] == "Heuristics.Encrypted.Zip"


@pytest.mark.parametrize(
    ("keys", "status", "action"),
    [({}, "451 4.7.1", "tempfail"), ({"too_large": "reject", "encrypted": "reject"}, "550 5.7.1", "reject")],
    ids=["default", "configured"],
)
def test_a_mail_over_clamds_limit_has_its_own_action(keys: dict[str, str], status: str, action: str) -> None:
    with (
        Clamd(stream_max_bytes=MIB) as clamd,
        mail_system({"clamav": {"address": clamd.inet_address}, "rules": {"virus": keys}}) as system,
    ):
        assert system.receive(OUTSIDER, [OFFICER], letter_with(bytes(2 * MIB))).status == status
        (incident,) = system.mailgate.incidents()
        (finding,) = incident["findings"]
        assert (finding["rule"], finding["action"]) == ("virus", action)
        assert finding["evidence"][0]["name"] == "too-large"
        if "encrypted" in keys:
            assert system.receive(OUTSIDER, [OFFICER], letter_with(encrypted_zip())).status == "550 5.7.1"


# -- a clamd that answers badly --------------------------------------------------------------------

BAD_ANSWERS: dict[str, Behaviour] = {
    "nothing": after(INSTREAM_END),
    "cut": after(INSTREAM_END, b"stream: OK"),  # without the NUL that ends an answer
    "garbage": after(INSTREAM_END, b"\xff\xfe\x00\x01\0"),
    "an error": after(INSTREAM_END, b"stream: Can't allocate memory ERROR\0"),
    "no end": hang,
    "a closed connection": close_at_once,
}


@pytest.fixture(scope="module")
def fake_clamd() -> Iterator[Fake]:
    """A clamd that answers as a test tells it."""
    with Fake(close_at_once) as fake:
        yield fake


@pytest.fixture(scope="module")
def failing(fake_clamd: Fake) -> Iterator[dict[str, MailSystem]]:
    """A system for each on_error, all with that clamd."""
    with ExitStack() as running:
        systems = {}
        for on_error in ("tempfail", "accept", "quarantine"):
            address = f"inet:127.0.0.1:{fake_clamd.port}"
            clamav = {"address": address, "on_error": on_error, "deadline_s": DEADLINE_S}
            systems[on_error] = running.enter_context(mail_system({"clamav": clamav}))
        yield systems


@pytest.mark.parametrize("behaviour", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
@pytest.mark.parametrize(
    ("on_error", "status", "queue"),
    [("tempfail", "451 4.7.1", ""), ("accept", "250 2.0.0", ""), ("quarantine", "250 2.0.0", "hold")],
    ids=["tempfail", "accept", "quarantine"],
)
def test_a_bad_answer_is_on_error(
    failing: dict[str, MailSystem],
    fake_clamd: Fake,
    on_error: str,
    status: str,
    queue: str,
    behaviour: Behaviour,
) -> None:
    system = failing[on_error]
    fake_clamd.behaviour = behaviour
    outcome = system.receive(OUTSIDER, [OFFICER], letter())
    assert outcome.status == status
    (finding,) = system.mailgate.incidents()[-1]["findings"]
    assert (finding["rule"], finding["action"], finding["evidence"][0]["kind"]) == ("virus", on_error, "missing")
    if queue:
        queued = outcome.final.rpartition(" ")[2]
        assert [mail["queue_name"] for mail in system.postfix.queue() if mail["queue_id"] == queued] == [queue]


# -- doctor ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "status", "line"),
    [
        ({}, 0, "ok    clamd finds it at the end of a 29 MB mail"),
        ({"stream_max_bytes": 25 * MIB}, 1, "FAIL  clamd finds it at the end of a 29 MB mail"),
    ],
    ids=["limits that are high enough", "Debian's default"],
)
def test_doctor_proves_clamds_limits(limits: dict[str, Any], status: int, line: str) -> None:
    with Clamd(**limits) as clamd:
        mailgate = Mailgate({"clamav": {"address": clamd.inet_address}})
        try:
            done = mailgate.run("doctor")
        finally:
            mailgate.close()
    assert done.returncode == status, done.stdout
    (said,) = [text for text in done.stdout.splitlines() if text.startswith(line)]
    assert ("StreamMaxLength" in said) == bool(status)
    assert "ok    clamd finds the EICAR test text" in done.stdout
