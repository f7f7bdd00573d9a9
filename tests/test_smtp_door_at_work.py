"""The SMTP door of a real daemon: between two smtpd of a real Postfix, beside a milter door, and to its stop."""

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.lab.fake import Fake
from tests.lab.mailgate import Config, Mailgate
from tests.lab.mails import LIMIT_BYTES, MIB, OFFICER, OUTSIDER, base64_lines, letter
from tests.lab.mta import Letter, Mta
from tests.lab.next_hop import NextHop
from tests.lab.ports import free_port
from tests.lab.postfix import Postfix
from tests.lab.processes import peak_rss_bytes
from tests.lab.shipped_wiring import settings_of, shipped_blocks
from tests.lab.sink import Sink
from tests.lab.smtp_client import Outcome, SmtpClient, send, status_of
from tests.lab.waiting import wait_until
from tests.test_bytes_unchanged import SAMPLES, through

FORWARDED = letter(f"X-Forwarded-For: a@gmail.com {OFFICER}")


def shipped_wiring(ports: Mapping[int, int]) -> tuple[dict[str, str], list[str], list[str]]:
    """Return what config/mailgate.toml says of Postfix: main.cf, master.cf, and the options of a proxy filter.

    ports: the ones that it names, and those to use.
    """
    main, master, proxy, *_ = shipped_blocks(ports)
    return settings_of(main), master, ["  " + line for line in proxy]


@dataclass(frozen=True, slots=True)
class Filtered:
    """A Postfix whose mail passes the SMTP door: after its queue, or before it at `proxy_port`."""

    postfix: Postfix
    mailgate: Mailgate
    sink: Sink
    proxy_port: int

    def receive(self, data: bytes, *, before_queue: bool = False) -> Outcome:
        """Send a mail as a client outside."""
        port = self.proxy_port if before_queue else self.postfix.smtp_port
        return send(port, OUTSIDER, [OFFICER], data, "203.0.113.7", "mail.example.com")


@contextmanager
def filtered(config: Config | None = None, *, has_hold: bool = True) -> Iterator[Filtered]:
    """Run it, wired as config/mailgate.toml says."""
    door, back, hold, proxy = (free_port() for _ in range(4))
    main, master, proxy_options = shipped_wiring({10025: door, 10026: back, 10027: hold})
    smtp = {"next_hop": f"inet:127.0.0.1:{back}", "hold_next_hop": f"inet:127.0.0.1:{hold}" if has_hold else ""}
    base = {"listen": {"smtp": [f"inet:127.0.0.1:{door}"]}, "smtp": smtp}
    before_queue = [f"127.0.0.1:{proxy} inet n - n - - smtpd", "  -o content_filter=", *proxy_options]
    with (
        Sink() as sink,
        Mailgate({**base, **(config or {})}) as mailgate,
        Postfix(deliver_to=sink.port, main_cf=main, master_cf=[*master, *before_queue]) as postfix,
    ):
        yield Filtered(postfix, mailgate, sink, proxy)


# -- between two smtpd of Postfix ------------------------------------------------------------------


def test_mail_passes_after_the_queue() -> None:
    with filtered() as system:
        data = letter()
        outcome = system.receive(data)
        assert outcome.status == "250 2.0.0"
        (mail,) = system.sink.wait(1)
        assert (mail.sender, mail.recipients) == (OUTSIDER, (OFFICER,))
        assert mail.data.endswith(data)
        assert mail.data.removesuffix(data).count(b"\r\nReceived: ") == 1, "two of Postfix, none of ours"
        line = system.mailgate.wait_event("mail")
        assert (line["client"], line["hook"], line["action"]) == ("203.0.113.7", "mx", "accept")
        assert line["queue_id"] == outcome.final.rpartition(" ")[2], "IDENT is the queue id before us"


def test_what_is_refused_after_the_queue_bounces() -> None:
    with filtered() as system:
        assert system.receive(FORWARDED).status == "250 2.0.0"
        wait_until(lambda: "status=bounced" in system.postfix.log_text(), 10, "the bounce")
        assert "said: 550-5.7.1" in system.postfix.log_text()
        (mail,) = system.sink.wait(1)
        assert (mail.sender, mail.recipients) == ("", (OUTSIDER,))
        (record,) = system.mailgate.incidents()
        assert record["client_ip"] == "203.0.113.7"


def test_before_the_queue_the_sender_reads_the_answer() -> None:
    with filtered() as system:
        refused = system.receive(FORWARDED, before_queue=True)
        assert refused.status == "550 5.7.1"
        assert not system.sink.mails()
        assert system.receive(letter(), before_queue=True).status == "250 2.0.0"
        assert len(system.sink.wait(1)) == 1
        assert [line["client"] for line in verdicts(system.mailgate, 2)] == ["203.0.113.7"] * 2


def verdicts(mailgate: Mailgate, count: int) -> list[dict[str, Any]]:
    """Return the log's lines on mails once it has so many: it is written a moment later."""

    def lines() -> list[dict[str, Any]]:
        found = [line for line in mailgate.log() if line["event"] == "mail"]
        return found if len(found) >= count else []

    return wait_until(lines, 5, f"{count} mails in the log")


QUARANTINE = {"rules": {"auto-forward": {"action": "quarantine"}}}


def test_what_is_quarantined_is_held() -> None:
    with filtered(QUARANTINE) as system:
        assert system.receive(FORWARDED).status == "250 2.0.0"
        wait_until(lambda: [mail["queue_name"] for mail in system.postfix.queue()] == ["hold"], 10, "it to be held")
        (mail,) = system.postfix.queue()
        assert [recipient["address"] for recipient in mail["recipients"]] == [OFFICER]
        assert system.receive(letter()).status == "250 2.0.0"
        assert len(system.sink.wait(1)) == 1, "other mail passes"
        where = ("--config-dir", str(system.postfix.config))
        (row,) = json.loads(system.mailgate.run("quarantine", "list", "--format", "json", *where).stdout)
        assert row["queue_id"] == mail["queue_id"], "known by the id that the next hop gave it"
        done = system.mailgate.run("quarantine", "release", row["case"], "--reason", "thu", *where)
        assert done.returncode == 0, done.stderr
        assert system.sink.wait(2)[1].recipients == (OFFICER,)


def test_what_cannot_be_held_is_deferred() -> None:
    with filtered(QUARANTINE, has_hold=False) as system:
        system.receive(FORWARDED)
        wait_until(lambda: "status=deferred" in system.postfix.log_text(), 10, "the deferral")
        assert "said: 451 4.7.1 Cannot be held" in system.postfix.log_text()
        wait_until(
            lambda: "deferred" in [mail["queue_name"] for mail in system.postfix.queue()], 5, "it to be deferred"
        )
        assert not system.sink.mails()


BARE = " / bare carriage returns"


def test_postfix_through_the_door_changes_no_octet_more_than_without() -> None:
    fair = {name: data for name, data in SAMPLES.items() if not name.endswith(BARE)}
    with Sink() as sink, Postfix(deliver_to=sink.port) as postfix:
        without = through(postfix, sink, fair)
    door = free_port()
    main, master, _ = shipped_wiring({10025: door})
    with Sink() as sink:
        listen = {"smtp": [f"inet:127.0.0.1:{door}"]}
        with Mailgate({"listen": listen, "smtp": {"next_hop": f"inet:127.0.0.1:{sink.port}"}}) as mailgate:
            with Postfix(deliver_to=sink.port, main_cf=main, master_cf=master[:4]) as postfix:
                seen = through(postfix, sink, fair)
            mailgate.stop()
            assert sum(line["event"] == "mail" for line in mailgate.log()) == len(fair) == 190
    assert [name for name, wanted, got in zip(fair, without, seen, strict=True) if wanted != got] == []


def test_what_postfix_says_of_a_mail_arrives_behind_the_door() -> None:
    door = free_port()
    main, master, _ = shipped_wiring({10025: door})
    with NextHop(strict=True) as hop:
        config = {"listen": {"smtp": [f"inet:127.0.0.1:{door}"]}, "smtp": {"next_hop": hop.address}}
        with Mailgate(config), Postfix(main_cf=main, master_cf=master[:4]) as postfix:
            with SmtpClient(postfix.smtp_port) as client:
                client.xclient("203.0.113.7", "mail.example.com")
                client.ehlo("máy.vn")
                assert client.mail("lan@hànam.vn", "SMTPUTF8", "RET=HDRS", "ENVID=QQ314").startswith("250")
                assert client.rcpt("hợp@hanam.gov.vn", "NOTIFY=FAILURE", "ORCPT=rfc822;x@hanam.gov.vn").startswith(
                    "250"
                )
                assert client.data("Subject: Kính gửi\r\n\r\nx\r\n".encode()).startswith("250")
            (mail,) = hop.wait(1)
            assert (mail.sender, mail.recipients) == ("lan@hànam.vn", ("hợp@hanam.gov.vn",))
            said = "\n".join(line for talk in hop.talks for line in talk.commands)
            for piece in (
                "XFORWARD NAME=mail.example.com ADDR=203.0.113.7",
                "IDENT=",
                "SMTPUTF8",
                "RET=HDRS",
                "ENVID=QQ314",
                "NOTIFY=FAILURE",
                "ORCPT=rfc822;x@hanam.gov.vn",
            ):
                assert piece in said, said


# -- beside a milter door --------------------------------------------------------------------------


@pytest.fixture
def hop() -> Iterator[NextHop]:
    with NextHop(strict=True) as server:
        yield server


def config_of(hop: NextHop, **sections: Any) -> dict[str, Any]:
    """Return a configuration with an SMTP door before this next hop, whose port is the daemon's `smtp_port`."""
    listen = {"smtp": [f"inet:127.0.0.1:{free_port()}"], **sections.pop("listen", {})}
    return {"listen": listen, "smtp": {"next_hop": hop.address, **sections.pop("smtp", {})}, **sections}


def get_json(mailgate: Mailgate, path: str) -> tuple[int, Any]:
    """Return the status and the object of a page."""
    try:
        with urllib.request.urlopen(mailgate.http_url + path, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_one_daemon_serves_milter_and_smtp_doors_at_once(hop: NextHop) -> None:
    ports = free_port(), free_port()
    listen = {
        "smtp": [f"inet:127.0.0.1:{port}" for port in ports],
        "milter": [f"inet:127.0.0.1:{free_port()}"],
    }
    hooks = [{"name": "egress", "listener": listen["smtp"][1]}]
    with Mailgate(config_of(hop, listen=listen, hook=hooks)) as mailgate:
        ready = mailgate.wait_event("ready")
        assert (ready["milter"], ready["smtp"]) == (listen["milter"], listen["smtp"])
        with Mta(mailgate.milter) as mta:
            for port in ports:
                assert send(port, OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"
                assert mta.deliver(Letter()).action == "accept"
            assert send(ports[0], OUTSIDER, [OFFICER], FORWARDED).status == "550 5.7.1"
        assert len(hop.mails()) == 2
        hooks_seen = sorted(line["hook"] for line in verdicts(mailgate, 5))
        assert hooks_seen == ["egress", "mx", "mx", "mx", "mx"]
        with urllib.request.urlopen(mailgate.http_url + "/metrics", timeout=10) as answer:
            counted = dict(line.split(" ") for line in answer.read().decode().splitlines() if line[0] != "#")
        assert counted["mailgate_smtp_connections_total"] == "3.0"
        assert counted["mailgate_connections_total"] == "1.0"
        assert counted['mailgate_mails_total{action="accept",rule="none"}'] == "4.0"
        assert counted['mailgate_mails_total{action="reject",rule="auto-forward"}'] == "1.0"


def test_a_daemon_may_have_no_milter_door(hop: NextHop) -> None:
    with Mailgate(config_of(hop, listen={"milter": []})) as mailgate:
        assert send(mailgate.smtp_port, OUTSIDER, [OFFICER], letter()).status == "250 2.0.0"


def test_unix_sockets_on_both_sides(tmp_path: Path) -> None:
    with NextHop(strict=True, path=str(tmp_path / "hop")) as hop:
        door = tmp_path / "door"
        with Mailgate(config_of(hop, listen={"smtp": [f"unix:{door}"]})), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(door))
            replies = [client.recv(1_024)]
            for command in (b"HELO x", b"MAIL FROM:<a@b.c>", b"RCPT TO:<a@hanam.gov.vn>", b"DATA", b"A: b\r\n\r\n."):
                client.sendall(command + b"\r\n")
                replies.append(client.recv(1_024))
        assert [reply[:3] for reply in replies] == [b"220", b"250", b"250", b"250", b"354", b"250"]
        assert [mail.data for mail in hop.mails()] == [b"A: b\r\n\r\n"]


def test_a_next_hop_that_is_down_is_named_with_a_mend(hop: NextHop) -> None:
    with NextHop() as hold, Mailgate(config_of(hop, smtp={"hold_next_hop": hold.address})) as mailgate:
        wait_until(lambda: get_json(mailgate, "/readyz")[0] == 200, 5, "the daemon to be ready")
        assert "8BITMIME" in get_json(mailgate, "/readyz")[1]["dependencies"]["next hop"]["detail"]
        for server, name, wanted in ((hold, "hold next hop", 200), (hop, "next hop", 503)):
            server.script = lambda stage, talk, line: "554 5.3.2 Closed" if stage == "CONNECT" else ""
            status, body = get_json(mailgate, "/readyz")
            assert (status, body["dependencies"][name]["ok"]) == (wanted, False)
        found = mailgate.run("doctor")
        assert found.returncode == 1
        assert "or change [smtp] next_hop: without it every mail is deferred" in found.stdout
        assert "or change [smtp] hold_next_hop" in found.stdout


def test_an_smtp_door_that_cannot_be_opened_is_named(hop: NextHop) -> None:
    mailgate = Mailgate(config_of(hop, listen={"smtp": ["unix:/nonexistent/folder/sock"]}))
    try:
        done = mailgate.run("serve")
        assert done.returncode != 0
        assert "listen.smtp: unix:/nonexistent/folder/sock: No such file" in done.stderr
    finally:
        mailgate.close()


# -- reload and stop -------------------------------------------------------------------------------


def test_a_reload_changes_the_next_hop_of_the_next_mail(hop: NextHop) -> None:
    with NextHop(strict=True) as other, Mailgate(config_of(hop)) as mailgate:  # noqa: SIM117
        with SmtpClient(mailgate.smtp_port) as client:
            client.ehlo()
            client.mail(OUTSIDER)
            client.rcpt(OFFICER)
            mailgate.configure({**mailgate.config, "smtp": {"next_hop": other.address}})
            assert mailgate.reload()["event"] == "reloaded"
            wait_until(
                lambda: send(mailgate.smtp_port, OUTSIDER, [OFFICER], letter()) and other.mails(), 5, "the other"
            )
            already = len(hop.mails())
            assert status_of(client.data(letter())) == "250 2.0.0"
            assert len(hop.mails()) == already + 1, "what is begun ends where it began"
            arrived = len(other.mails())
            client.mail(OUTSIDER)
            client.rcpt(OFFICER)
            client.data(letter())
            assert len(other.mails()) == arrived + 1


def test_sigterm_finishes_what_is_begun_and_tells_the_idle(hop: NextHop) -> None:
    with Mailgate(config_of(hop)) as mailgate, ThreadPoolExecutor(1) as stopper:  # noqa: SIM117
        with SmtpClient(mailgate.smtp_port) as busy, SmtpClient(mailgate.smtp_port) as idle:
            busy.ehlo()
            busy.mail(OUTSIDER)
            busy.rcpt(OFFICER)
            assert busy.command("DATA").startswith("354")
            stopping = stopper.submit(mailgate.stop)
            mailgate.wait_event("stopping")
            assert status_of(idle.reply()) == "421 4.3.2"
            busy.send(letter() + b".\r\n")
            assert status_of(busy.reply()) == "250 2.0.0"
            assert status_of(busy.reply()) == "421 4.3.2"
            assert stopping.result() == 0
    assert len(hop.mails()) == 1


# -- size ------------------------------------------------------------------------------------------

TOGETHER = 8


@pytest.mark.parametrize("shape", ["base64", "one line"])
def test_mails_of_20_mib_at_once_take_little_memory(hop: NextHop, shape: str) -> None:
    body = base64_lines(bytes(LIMIT_BYTES)) if shape == "base64" else b"x" * LIMIT_BYTES + b"\r\n"
    data = b"Subject: x\r\n\r\n" + body
    smtp = {"line_bytes": LIMIT_BYTES, "message_bytes": 2 * LIMIT_BYTES}
    together = threading.Barrier(TOGETHER)
    with Mailgate(config_of(hop, smtp=smtp, workers={"count": 1})) as mailgate:

        def deliver(number: int) -> str:
            with SmtpClient(mailgate.smtp_port) as client:
                client.ehlo()
                client.mail(OUTSIDER)
                client.rcpt(f"{number}@hanam.gov.vn")
                together.wait(30)
                return client.data(data)[:9]

        with ThreadPoolExecutor(TOGETHER) as senders:
            assert list(senders.map(deliver, range(TOGETHER))) == ["250 2.0.0"] * TOGETHER
        peak = max(map(peak_rss_bytes, mailgate.workers()))
    assert all(mail.data.endswith(data) for mail in hop.mails())  # below a tag: its text is too long to be read whole
    print(f"{TOGETHER} mails of {len(data) >> 20} MiB at once: {peak >> 20} MiB at the most")
    assert peak < 110 * MIB


def never_reads_the_message(connection: socket.socket) -> None:
    """Speak as a server does until DATA, and then read no more."""
    connection.sendall(b"220 x\r\n")
    for line in connection.makefile("rb"):
        connection.sendall(b"354 go\r\n" if line == b"DATA\r\n" else b"250 ok\r\n")
        if line == b"DATA\r\n":
            threading.Event().wait(20)


def test_a_next_hop_that_does_not_read_holds_up_no_memory() -> None:
    data = b"Subject: x\r\n\r\n" + b"x" * 78 + b"\r\n" + base64_lines(bytes(LIMIT_BYTES))
    with Fake(never_reads_the_message) as fake:
        smtp = {"next_hop": f"inet:127.0.0.1:{fake.port}", "next_hop_final_s": 1.0}
        listen = {"smtp": [f"inet:127.0.0.1:{free_port()}"]}
        with Mailgate({"listen": listen, "smtp": smtp, "workers": {"count": 1}}) as mailgate:
            assert send(mailgate.smtp_port, OUTSIDER, [OFFICER], data).status == "451 4.4.2"
            assert max(map(peak_rss_bytes, mailgate.workers())) < 110 * MIB
