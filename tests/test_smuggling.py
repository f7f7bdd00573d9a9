"""SMTP smuggling: a second mail hidden behind what is an end of data for some servers and not for others.

The next hop is the laxest there can be, and each sequence is proved to work on it: sent there directly, the hidden
mail arrives. Sent through the door, none does. `pytest -s` prints the table.
"""

from collections.abc import Iterator

import pytest
from tests.lab.gates import make_gate, settings_of
from tests.lab.next_hop import NextHop
from tests.lab.smtp_client import SmtpClient, status_of
from tests.lab.smtp_door import SmtpDoor
from tests.lab.waiting import wait_until

from mailgate.config import SmtpSection

ENDS = [
    # as published: a lone LF or CR on either side of the dot
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    # among others that look like an end
    b"\r\n.\r\r\n",
    b"\r\r.\r\r",
    b"\n\n.\n\n",
    b"\r\n\r.\r\n",
    b"\r\n\n.\r\n",
    b"\r\r\n.\n",
    b"\n\r.\r\n",
    b"\r\n.\n\r\n",
    b"\n.\n\r\n.\n",
    b"\n.\r\r\n",
    # a true end, behind a line that has a lone CR or LF
    b"\r\r\n.\r\n",
    b"\n\r\n.\r\n",
    b"\rx\r\n.\r\n",
    b"\nx\r\n.\r\n",
    # NULs, which some servers take out
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n\x00.\x00\r\n",
    b"\r\n" + b"\x00" * 4_096 + b".\r\n",
    b"\r\n." + b"\x00" * 4_096 + b"\r\n",
    b"\r\x00\n.\r\n",
    b"\r\n.\r\x00\n",
    b"\r\x00\n.\r\x00\n",
    b"\n\x00.\n",
    b"\n.\x00\n",
    b"\r\x00.\r",
    b"\r.\x00\r",
    b"\x00\n.\n",
    b"\n.\n\x00",
]
LINE_ENDS = (b"\r\n", b"\n", b"\r")  # of the hidden commands

FIRST, SECOND = "first@example.com", "admin@hanam.gov.vn"


def message(end: bytes, line_end: bytes) -> bytes:
    """Return what follows DATA: a mail, a false end, and a second mail to the true end."""
    hidden = line_end.join(
        (
            b"MAIL FROM:<%s>" % SECOND.encode(),
            b"RCPT TO:<b@hanam.gov.vn>",
            b"DATA",
            b"Subject: second",
            b"",
            b"hidden",
            b"",
        )
    )
    return b"Subject: first\r\n\r\nshown" + end + hidden + b"\r\n.\r\n"


@pytest.fixture(scope="module")
def hop() -> Iterator[NextHop]:
    with NextHop() as server:
        yield server


@pytest.fixture(scope="module")
def door(hop: NextHop) -> Iterator[SmtpDoor]:
    with SmtpDoor(make_gate(settings_of(smtp=SmtpSection(next_hop=hop.address)))) as server:
        yield server


def begin(port: int) -> SmtpClient:
    """Return a client in the middle of DATA."""
    client = SmtpClient(port)
    client.ehlo()
    client.mail(FIRST)
    client.rcpt("b@hanam.gov.vn")
    assert client.command("DATA").startswith("354")
    return client


def senders(hop: NextHop) -> list[str]:
    return [mail.sender for mail in hop.mails()]


every_end = pytest.mark.parametrize("end", ENDS, ids=lambda end: repr(end[:6] + end[-6:] if len(end) > 20 else end))


@every_end
def test_a_lax_server_takes_the_hidden_mail(hop: NextHop, end: bytes) -> None:
    """The control: what does not smuggle anywhere would prove nothing."""
    hop.clear()
    with begin(hop.port) as client:
        client.send(message(end, b"\r\n"))
        wait_until(lambda: SECOND in senders(hop), 5, "the hidden mail")


@every_end
@pytest.mark.parametrize("line_end", LINE_ENDS, ids=repr)
@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "cut"])
def test_no_hidden_mail_gets_through_the_door(
    hop: NextHop, door: SmtpDoor, end: bytes, line_end: bytes, is_cut: bool
) -> None:
    hop.clear()
    octets = message(end, line_end)
    with begin(door.port) as client:
        if is_cut:  # each octet of the false end, and what stands around it, in a segment of its own
            start = octets.index(b"shown")
            stop = min(start + 5 + len(end) + 5, start + 40)
            pieces = [octets[:start], *(octets[i : i + 1] for i in range(start, stop)), octets[stop:]]
        else:
            pieces = [octets]
        for piece in pieces:
            client.send(piece)
        reply = client.reply()
        client.send(b"NOOP\r\n")
        with pytest.raises(ConnectionError):
            client.reply()
    print(f"{end[:12]!r:44} {line_end!r:8} {'cut' if is_cut else 'whole':6} -> {status_of(reply)}, closed")
    assert status_of(reply) == "554 5.6.0"
    wait_until(lambda: not door.open_connections(), 5, "the connection to end")
    assert senders(hop) == []
    assert not any("DATA" in talk.commands or SECOND in "".join(talk.commands) for talk in hop.talks)


ENVELOPE = b"MAIL FROM:<%s>\r\nRCPT TO:<b@hanam.gov.vn>\r\nDATA\r\n" % SECOND.encode()
HIDDEN = ENVELOPE + b"Subject: second\r\n\r\nhidden\r\n.\r\n"


@pytest.mark.parametrize("lone", [b"\n", b"\r", b"\n\n", b"\r\r", b"\x00\n", b"\r\x00\n"], ids=repr)
@pytest.mark.parametrize(
    "command", [b"NOOP", b"MAIL FROM:<first@example.com>", b"RCPT TO:<b@hanam.gov.vn>", b"DATA", b"RSET"]
)
def test_no_command_hides_behind_another(hop: NextHop, door: SmtpDoor, command: bytes, lone: bytes) -> None:
    hop.clear()
    with SmtpClient(door.port) as client:
        client.ehlo()
        if command[:4] in (b"RCPT", b"DATA"):
            client.mail(FIRST)
        client.send(command + lone + HIDDEN)
        reply = client.reply()
        with pytest.raises(ConnectionError):
            client.reply()
    print(f"{command + lone!r:44} -> {status_of(reply)}, closed")
    assert status_of(reply) == "500 5.5.2"
    wait_until(lambda: not door.open_connections(), 5, "the connection to end")
    assert SECOND not in "".join(line for talk in hop.talks for line in talk.commands)


@pytest.mark.parametrize("command", [b"DATA", b"DATA x", b"BDAT 100 LAST", b"BDAT 0"])
def test_a_message_that_is_not_taken_is_not_read_as_commands(hop: NextHop, door: SmtpDoor, command: bytes) -> None:
    """Where DATA or BDAT is refused, the message behind it, sent with it, must not become commands."""
    hop.clear()
    with SmtpClient(door.port) as client:
        client.ehlo()
        client.mail(FIRST)
        client.rcpt("b@hanam.gov.vn")
        client.send(command + b"\r\nSubject: x\r\n\r\n.\r\n" + HIDDEN)
        reply = client.reply()
        with pytest.raises(ConnectionError):
            client.reply()
    print(f"{command!r:44} -> {status_of(reply)}, closed")
    assert status_of(reply) in ("502 5.5.2", "503 5.5.0")
    wait_until(lambda: not door.open_connections(), 5, "the connection to end")
    assert not hop.mails()
    assert SECOND not in "".join(line for talk in hop.talks for line in talk.commands)


def test_an_honest_second_mail_does_get_through(hop: NextHop, door: SmtpDoor) -> None:
    hop.clear()
    with begin(door.port) as client:
        client.send(b"Subject: first\r\n\r\nx\r\n.\r\n" + ENVELOPE)
        assert [status_of(client.reply()) for _ in range(4)] == ["250 2.0.0", "250 2.1.0", "250 2.1.5", "354"]
        client.send(b"Subject: second\r\n\r\n\x00x\x00.\r\n.\r\n")
        assert status_of(client.reply()) == "250 2.0.0"
    assert senders(hop) == [FIRST, SECOND]
