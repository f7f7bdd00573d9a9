"""The daemon's life: reloads, stops, deaths and restarts, all while mail comes in."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from tests.lab.clamd import Clamd
from tests.lab.load import Load
from tests.lab.mailgate import Config, Mailgate
from tests.lab.mails import (
    BOUNDARY,
    LIMIT_BYTES,
    MIB,
    OFFICER,
    OUTSIDER,
    base64_part,
    joined,
    letter,
    letter_with,
)
from tests.lab.mta import Letter, Mta
from tests.lab.postfix import Postfix
from tests.lab.processes import alive, peak_rss_bytes, session_members
from tests.lab.sink import Sink
from tests.lab.smtp_client import SmtpClient, status_of
from tests.lab.system import MailSystem, mail_system
from tests.lab.waiting import wait_until

WORKERS = 2
SMALL = {"rules": {"attachment-size": {"limit_bytes": 1_000}}}
LARGE = {"rules": {"attachment-size": {"limit_bytes": 2_000}}}
BETWEEN = letter_with(bytes(1_500))  # over the small limit, within the large one


def begin(client: SmtpClient, rcpt: str = OFFICER) -> None:
    """Introduce a client from outside and begin a mail."""
    client.xclient("203.0.113.7", "mail.example.com")
    client.ehlo()
    assert client.mail(OUTSIDER).startswith("250")
    assert client.rcpt(rcpt).startswith("250")


# -- SIGHUP ----------------------------------------------------------------------------------------


def test_a_reload_keeps_connections_and_what_is_begun_ends_as_it_began() -> None:
    with mail_system(SMALL) as system, SmtpClient(system.postfix.smtp_port) as client:
        begin(client)
        system.mailgate.configure(LARGE)
        assert system.mailgate.reload()["event"] == "reloaded"
        wait_until(
            lambda: system.receive(OUTSIDER, [OFFICER], BETWEEN).status == "250 2.0.0", 5, "the new limit to hold"
        )
        assert status_of(client.data(BETWEEN)) == "552 5.3.4"
        assert client.mail(OUTSIDER).startswith("250")
        assert client.rcpt(OFFICER).startswith("250")
        assert status_of(client.data(BETWEEN)) == "250 2.0.0"


def test_an_invalid_configuration_is_refused_aloud_and_changes_nothing() -> None:
    with mail_system(SMALL) as system:
        workers = system.mailgate.workers()
        system.mailgate.configure({"rules": {"attachment-size": {"limit_byte": 2_000}}})
        line = system.mailgate.reload()
        assert (line["level"], line["event"]) == ("error", "reload refused: the old configuration stays")
        (problem,) = line["problems"]
        assert "limit_byte" in problem
        assert system.receive(OUTSIDER, [OFFICER], BETWEEN).status == "552 5.3.4"
        assert system.mailgate.workers() == workers


def test_reloads_under_load_defer_nothing() -> None:
    configs: tuple[Config, ...] = (SMALL, {"nonsense": True}, LARGE)
    with mail_system(SMALL) as system, Load(system) as load:
        for number in range(9):
            system.mailgate.configure(configs[number % len(configs)])
            system.mailgate.reload()
            load.wait(10)
        assert load.others == []


# -- SIGTERM ---------------------------------------------------------------------------------------


def test_sigterm_finishes_what_is_begun() -> None:
    with mail_system({}) as system, ThreadPoolExecutor(1) as stopper, SmtpClient(system.postfix.smtp_port) as client:
        begin(client)
        assert client.command("DATA").startswith("354")
        stopping = stopper.submit(system.mailgate.stop)
        system.mailgate.wait_event("stopping")
        client.send(letter() + b".\r\n")
        assert status_of(client.reply()) == "250 2.0.0"
        assert stopping.result() == 0
        assert system.mailgate.received() == {OFFICER: 1}
        assert system.mailgate.log()[-1]["event"] == "stopped"


# -- deaths ----------------------------------------------------------------------------------------


def none_alive(pids: Sequence[int]) -> bool:
    """Tell whether all of these processes have ended."""
    return not any(map(alive, pids))


def test_killed_workers_lose_no_event_and_count_none_twice() -> None:
    rounds = 6
    with mail_system({"workers": {"count": WORKERS}, "listen": {"http": ""}}) as system:
        path = system.mailgate.milter.removeprefix("unix:")
        with Load(system) as load:
            for number in range(rounds):
                victims = system.mailgate.workers()[: 1 + number % WORKERS]  # one, all, one, …
                for victim in victims:
                    os.kill(victim, signal.SIGKILL)
                with socket.socket(socket.AF_UNIX) as trial:
                    trial.connect(path)  # the supervisor's socket takes connections without any worker
                wait_until(partial(none_alive, victims), 10, "the workers to be dead")
                wait_until(lambda: len(system.mailgate.workers()) == WORKERS, 10, "the workers to be started again")
                load.wait(20)
        load.until_counted()
        assert not [reply for reply in load.others if not reply.startswith("451 4.7.1")]
        restarts = [line for line in system.mailgate.log() if line["event"].startswith("child ended")]
        assert {line["status"] for line in restarts} == {"signal SIGKILL"}
        assert len(restarts) == rounds // 2 * (1 + WORKERS)


def test_a_killed_supervisor_leaves_no_orphan() -> None:
    with mail_system({}) as system, SmtpClient(system.postfix.smtp_port) as client:
        begin(client)
        system.receive(OUTSIDER, [OFFICER], letter(f"X-Forwarded-For: a@gmail.com {OFFICER}"))
        session = system.mailgate.pid
        assert system.mailgate.kill() == -9
        wait_until(lambda: not session_members(session), 2, "every process to end")
        system.mailgate.start()
        assert system.receive(OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
        assert system.mailgate.run("incidents", "verify").stdout == "1 lines verify\n"


# -- systemd ---------------------------------------------------------------------------------------

# What systemd does between fork and exec: the socket becomes descriptor 3, and the process is told so.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


class Activated(Mailgate):
    """A Mailgate whose milter socket is another's, as systemd's is."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.milter.removeprefix("unix:"))
        self._socket.listen(1_024)
        self.inherited = (self._socket.fileno(),)

    def command(self) -> list[str]:
        return [sys.executable, "-c", ACTIVATE, str(self._socket.fileno()), *super().command()]

    def close(self) -> None:
        super().close()
        self._socket.close()


def test_a_restart_behind_a_held_socket_refuses_and_defers_nothing() -> None:
    with Sink() as sink, Activated({}) as mailgate:
        with Postfix(deliver_to=sink.port, smtpd_milters=mailgate.milter) as postfix:
            system = MailSystem(postfix, mailgate, sink)
            with Load(system) as load:
                for _ in range(3):
                    assert mailgate.stop() == 0
                    mailgate.start()
                    load.wait(20)
        assert load.others == []
        load.until_counted()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's notification socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


def told(manager: socket.socket, beginning: str) -> str:
    """Return the next notification that begins so, passing over watchdogs."""
    while True:
        text = manager.recv(4_096).decode()
        if text.startswith(beginning):
            return text
        assert text == "WATCHDOG=1", f"{text} came before {beginning}"


def test_the_service_manager_is_told_each_state(manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1000000"}
    with Mailgate({}, environment=environment) as mailgate:
        assert told(manager, "READY=1").startswith("READY=1\nSTATUS=")
        manager.settimeout(1)
        for _ in range(3):
            assert manager.recv(4_096) == b"WATCHDOG=1"
        manager.settimeout(5)
        mailgate.reload()
        assert "\nMONOTONIC_USEC=" in told(manager, "RELOADING=1")
        assert told(manager, "READY=1") == "READY=1"
        mailgate.stop()
        assert told(manager, "STOPPING=1") == "STOPPING=1"


# -- size ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "answer"),
    [({"octets_of_one_name": 200_000}, ("reject", "550 5.7.1")), ({}, ("quarantine", ""))],
    ids=["read to its end", "not read to its end, and held"],
)
def test_a_header_of_100_kb_in_one_frame(limits: dict[str, int], answer: tuple[str, str]) -> None:
    """libmilter closes the connection over a frame of more than 65,535 octets; we must not.

    Postfix 3.7 itself cuts a header after 60,000 octets wherever a milter is configured: hence the fake MTA.
    """
    padding = b"".join(b"m%05d@example.com,\n " % number for number in range(5_000))
    assert len(padding) > 100_000
    header = b" " + padding + OFFICER.encode()
    mail = Letter(
        recipients=(b"<%s>" % OUTSIDER.encode(),),
        headers=((b"X-Sieve-Redirected-From", header),),
        client_ip="127.0.0.1",
    )
    with Mailgate({"limits": limits}) as mailgate, Mta(mailgate.milter) as mta:
        outcome = mta.deliver(mail)
        assert (outcome.action, outcome.answer.code) == answer
        assert mta.deliver(Letter(client_ip="127.0.0.1")).action == "accept", "the connection lives on"


def test_20_mails_of_20_mib_at_once_take_little_memory(clamd: Clamd) -> None:
    kind = f' multipart/mixed; boundary="{BOUNDARY}"'.encode()
    mail = Letter(
        recipients=(f"<{OFFICER}>".encode(),),
        headers=((b"MIME-Version", b" 1.0"), (b"Content-Type", kind)),
        body=joined(base64_part(bytes(LIMIT_BYTES)), boundary=BOUNDARY),
    )
    together = threading.Barrier(20)

    def deliver(milter: str) -> str:
        with Mta(milter) as mta:
            together.wait(30)
            return mta.deliver(mail).action

    config = {"workers": {"count": WORKERS}, "listen": {"http": ""}, "clamav": {"address": clamd.unix_address}}
    with Mailgate(config) as mailgate, ThreadPoolExecutor(20) as senders:
        assert list(senders.map(deliver, [mailgate.milter] * 20)) == ["accept"] * 20
        assert max(map(peak_rss_bytes, mailgate.workers())) < 150 * MIB
