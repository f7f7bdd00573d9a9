"""The private servers themselves: each starts, does its one real thing, and leaves no process behind."""

import base64
import io
import os
import subprocess
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from tests.lab import daemon
from tests.lab.clamd import EICAR, SIGNATURE, Clamd
from tests.lab.daemon import Daemon, ServerError, find_program
from tests.lab.mailgate import Mailgate
from tests.lab.postfix import SHIPPED_MAIN_CF, Postfix
from tests.lab.processes import session_members
from tests.lab.redis import Redis
from tests.lab.rspamd import GTUBE, GTUBE_ADD_HEADER, Rspamd
from tests.lab.sink import Sink
from tests.lab.smtp_client import SmtpClient, send
from tests.lab.waiting import wait_until

Server = TypeVar("Server", bound=Daemon)

MAIL = (
    b"From: a@example.com\r\nTo: b@hanam.gov.vn\r\nSubject: folded\r\n\t and raw \xc4\x90\r\n"
    b"X-Spacing:   kept  \r\n\r\n.a dot\r\n..two\r\n.\r\n\r\nbare\ttext \xff\x01\r\n"
)


@contextmanager
def leaving_nothing(server: Server) -> Iterator[Server]:
    """Run a server, and see that neither a process of its session nor its folder outlives the block."""
    with server:
        session = server.pid
        yield server
    wait_until(lambda: not session_members(session), timeout_s=2, what=f"{server.name} to end")
    assert not server.folder.exists()


def zipped(data: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.bin", data)
    return archive.getvalue()


def attached(data: bytes) -> bytes:
    head = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(data)


def test_postfix_relays_a_mail_octet_for_octet_below_its_received() -> None:
    with Sink() as sink, leaving_nothing(Postfix(deliver_to=sink.port)) as postfix:
        outcome = send(
            postfix.smtp_port, "a@example.com", ["b@hanam.gov.vn"], MAIL, "203.0.113.7", "mail.example.com"
        )
        assert outcome.final.startswith("250 ")
        (mail,) = sink.wait(1)
    assert (mail.sender, mail.recipients) == ("a@example.com", ("b@hanam.gov.vn",))
    received = mail.header("Received")
    assert received is not None
    assert b"(mail.example.com [203.0.113.7])" in received
    assert mail.data == b"Received: " + received + b"\r\n" + MAIL


def test_postfix_submission_takes_mail_from_authenticated_clients_alone() -> None:
    with Sink() as sink, leaving_nothing(Postfix(deliver_to=sink.port)) as postfix:
        port, ours, theirs = postfix.submission_port, "a@hanam.gov.vn", ["b@example.com"]
        assert send(port, ours, theirs, MAIL).final.startswith("554 5.7.1")
        assert send(port, ours, theirs, MAIL, login=ours).final.startswith("250 ")
        assert send(port, ours, theirs, MAIL, "2001:db8::7", login=ours).final.startswith("250 ")
        assert send(postfix.smtp_port, ours, theirs, MAIL, "203.0.113.7").final.startswith("454 4.7.1")
        sink.wait(2)


def test_postfix_egress_is_passed_by_mail_that_leaves() -> None:
    with Sink() as sink, leaving_nothing(Postfix(deliver_to=sink.port, egress_milters="")) as postfix:
        assert send(postfix.smtp_port, "", ["b@hanam.gov.vn"], MAIL).final.startswith("250 ")
        assert sink.wait(1)[0].sender == ""
        postfix.sendmail(b"Subject: x\n\ny\n", "a@hanam.gov.vn", ["b@example.com"])
        arrived, left = sink.wait(2)
        assert [arrived.data.count(b"\r\nReceived:"), left.data.count(b"\r\nReceived:")] == [0, 1]


def test_postfix_takes_a_mail_from_a_program_and_keeps_it_while_its_next_hop_is_down() -> None:
    with Sink() as sink, leaving_nothing(Postfix(deliver_to=sink.port)) as postfix:
        sink.data_reply = "451 4.3.0 later"
        postfix.sendmail(b"Subject: x\n\ny\n", "a@hanam.gov.vn", ["b@example.com"])
        wait_until(
            lambda: [mail for mail in postfix.queue() if mail["queue_name"] == "deferred"],
            timeout_s=5,
            what="the mail in the deferred queue",
        )
        sink.data_reply = "250 2.0.0 kept"
        postfix.restart()
        postfix.reload()
        postfix.flush()
        sink.wait(1)
        assert postfix.postconf("message_size_limit") == "31457280"


def test_smtp_client_returns_each_reply() -> None:
    with Postfix() as postfix, SmtpClient(postfix.smtp_port) as client:
        assert client.greeting.startswith("220 ")
        assert client.ehlo().startswith("250-")
        assert client.mail("", "SIZE=10").startswith("250 ")
        assert client.rcpt("a@hanam.gov.vn").startswith("250 ")
        assert client.data(b"no end of line").startswith("250 ")
        assert client.command("NONSENSE").startswith("500 ")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", False),
        (b"an ordinary text", False),
        (EICAR, True),
        (b"before" + EICAR + b"after", True),
        (attached(EICAR), True),
        (zipped(zipped(EICAR)), True),
        (attached(zipped(zipped(EICAR))), True),
        (b"Subject: long\r\n\r\n" + b"x" * (29 << 20) + EICAR, True),
    ],
    ids=["empty", "clean", "plain", "within", "base64", "zip-in-zip", "base64-zip-in-zip", "29-MB"],
)
def test_clamd_finds_the_test_text(clamd: Clamd, data: bytes, found: bool) -> None:
    assert clamd.scan(data) == (f"stream: {SIGNATURE}.UNOFFICIAL FOUND" if found else "stream: OK")


def test_clamd_has_limits_and_says_so() -> None:
    with leaving_nothing(Clamd(stream_max_bytes=1000)) as clamd:
        assert clamd.scan(b"x" * 2000) == "INSTREAM size limit exceeded. ERROR"
    with leaving_nothing(Clamd(max_file_bytes=1000, alert_exceeds_max=True)) as clamd:
        assert "Heuristics.Limits.Exceeded" in clamd.scan(b"x" * 2000)


def test_rspamd_knows_gtube() -> None:
    with leaving_nothing(Rspamd()) as rspamd:
        for text, action in (("a", "no action"), (GTUBE, "reject"), (GTUBE_ADD_HEADER, "add header")):
            assert rspamd.check(f"Subject: x\r\n\r\n{text}\r\n".encode())["action"] == action


def test_redis_survives_what_is_done_to_it() -> None:
    with leaving_nothing(Redis(durable=True)) as redis:
        assert redis.ask("PING") == "+PONG"
        assert redis.ask("SET key value") == "+OK"
        assert redis.kill() == -9
        redis.start()
        assert redis.ask("STRLEN key") == ":5"
        redis.freeze()
        redis.thaw()
        assert redis.stop() == 0


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(ServerError, match=r"redis exited with 1(.|\n)*nonsense"):
        Redis(settings="nonsense yes").__enter__()


def test_a_missing_server_is_told_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "SERVER_PATH", "/nowhere")
    with pytest.raises(ServerError, match="apt-get install clamav-daemon"):
        Clamd()


def test_mailgate_reads_the_configuration_that_the_test_wrote() -> None:
    config = {
        "organization": {"domains": ["hanam.gov.vn"], "name": 'Tỉnh "Hà Nam"\n'},
        "rules": {"auto-forward": {"mode": "monitor", "limit": 3}, "spam": {"mode": "off"}},
        "hook": [{"name": "mx", "daemon_names": ["MX"]}, {"name": "egress"}],
    }
    mailgate = Mailgate(config)
    written = tomllib.loads(mailgate.file.read_text())
    mailgate.close()
    assert {key: written[key] for key in config} == config
    assert written["listen"]["milter"] == [mailgate.milter]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["milter_protocol"], "milter_protocol = 6"),
        (["-P", "smtp/inet/milter_macro_daemon_name"], "smtp/inet/milter_macro_daemon_name = MX"),
        (
            ["-P", "submission/inet/milter_macro_daemon_name"],
            "submission/inet/milter_macro_daemon_name = SUBMISSION",
        ),
    ],
)
def test_postfix_understands_the_shipped_pieces(tmp_path: Path, arguments: list[str], says: str) -> None:
    for piece in SHIPPED_MAIN_CF.parent.glob("*.mailgate"):
        (tmp_path / piece.stem).write_text(piece.read_text())
        os.utime(tmp_path / piece.stem, (0, 0))  # as in tests.lab.postfix
    command = [find_program("postconf", "postfix"), "-c", str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (says, "")
