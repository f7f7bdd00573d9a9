"""5,000 mails through the SMTP door, one in ten of which meets a next hop that refuses, drops or stalls.

Whatever was answered 250 has been delivered, whatever was refused has not, and nothing is lost. What was deferred is
sent again, as every client does. Only where the next hop took a mail and hung up before it said so is a second copy
delivered: nobody can know, and a duplicate does less harm than a loss.
"""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field

from tests.lab.mailgate import Mailgate
from tests.lab.next_hop import DROP, KEEP_AND_DROP, STALL, NextHop, Talk
from tests.lab.ports import free_port

MAILS = 5_000
CLIENTS = 24
REPLY_S = 0.5

# Stage and what is said there; a 5xx is said each time, everything else the first time.
FAILURES = [
    ("MAIL", "450 4.7.1 Later"),
    ("RCPT", "550 5.1.1 No such mailbox"),
    ("DATA", "452 4.3.1 Full"),
    ("END", "451 4.3.0 Later"),
    ("END", "554 5.7.1 Never"),
    ("MAIL", DROP),
    ("RCPT", DROP),
    ("DATA", DROP),
    ("END", DROP),
    ("END", KEEP_AND_DROP),
    ("MAIL", STALL),
    ("RCPT", STALL),
    ("DATA", STALL),
    ("END", STALL),
    ("MAIL", "421 4.3.2 Stopping"),
    ("END", "421 4.3.2 Stopping"),
    ("END", "nonsense"),
]


def failure_of(number: int) -> tuple[str, str]:
    """Return what becomes of the first attempt of a mail."""
    return FAILURES[number // 10 % len(FAILURES)] if number % 10 == 0 else ("", "")


class Moody:
    """The next hop's script; called in its thread alone."""

    def __init__(self) -> None:
        self.failed: set[int] = set()
        self.connections = 0

    def __call__(self, stage: str, talk: Talk, line: str) -> str:
        if stage == "CONNECT":
            self.connections += 1
            return DROP if self.connections % 50 == 0 else ""
        # At MAIL the sender is still that of the mail before.
        match = re.search(r"<m(\d+)@", line) if stage == "MAIL" else re.match(r"m(\d+)@", talk.sender)
        if match is None:
            return ""
        number = int(match[1])
        at, said = failure_of(number)
        if stage != at or (number in self.failed and not said.startswith("5")):
            return ""
        self.failed.add(number)
        return said


@dataclass(slots=True)
class Answers:
    """What the clients were told: mails that were taken, refused, and how often one was deferred."""

    taken: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    deferrals: Counter[int] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)


class Client:
    """Sends mails over one connection until there are none, again what was deferred."""

    def __init__(self, port: int, waiting: list[int], answers: Answers) -> None:
        self._port = port
        self._waiting = waiting
        self._answers = answers

    async def run(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self._reply()
        await self._say(b"EHLO client.example\r\n")
        await self._reply()
        while self._waiting:
            number = self._waiting.pop()
            reply = await self._send(number)
            if reply.startswith("250 "):
                self._answers.taken.append(number)
            elif reply.startswith("5"):
                self._answers.refused.append(number)
            else:
                self._answers.deferrals[number] += 1
                self._waiting.insert(0, number)
                if not re.match(r"45[0-2] 4\.\d\.\d ", reply):
                    self._answers.odd.append(reply)
        await self._say(b"QUIT\r\n")
        self._writer.close()

    async def _send(self, number: int) -> str:
        """Send one mail, its envelope in one piece, and return the decisive reply."""
        await self._say(b"MAIL FROM:<m%d@example.com>\r\nRCPT TO:<b@hanam.gov.vn>\r\nDATA\r\n" % number)
        replies = [await self._reply() for _ in range(3)]
        if not replies[2].startswith("354"):
            await self._say(b"RSET\r\n")
            await self._reply()
            return next(reply for reply in replies if not reply.startswith("2"))
        await self._say(
            b"Message-ID: <%d@example.com>\r\nSubject: x\r\n\r\n%s.\r\n" % (number, b"Kinh gui.\r\n" * 20)
        )
        return await self._reply()

    async def _say(self, octets: bytes) -> None:
        self._writer.write(octets)

    async def _reply(self) -> str:
        while (line := await self._reader.readline())[3:4] == b"-":
            pass
        assert line, "the door hung up"
        return line.decode()


async def test_none_of_5000_mails_is_lost_and_none_delivered_that_was_refused() -> None:
    answers = Answers()
    waiting = list(range(MAILS, 0, -1))
    port = free_port()
    with NextHop(Moody(), strict=True) as hop:
        config = {
            "listen": {"smtp": [f"inet:127.0.0.1:{port}"], "http": ""},
            "smtp": {
                "next_hop": hop.address,
                "next_hop_connect_s": REPLY_S * 4,
                "next_hop_reply_s": REPLY_S,
                "next_hop_final_s": REPLY_S,
            },
        }
        with Mailgate(config) as mailgate:
            await asyncio.gather(*(Client(port, waiting, answers).run() for _ in range(CLIENTS)))
            own_errors = [line for line in mailgate.log() if line["event"] == "own error"]
        delivered = Counter(int(mail.data.partition(b"<")[2].partition(b"@")[0]) for mail in hop.mails())
    assert own_errors == []
    assert answers.odd == []
    refused = {number for number in range(1, MAILS + 1) if failure_of(number)[1].startswith("5")}
    assert set(answers.refused) == refused
    assert len(answers.taken) == len(set(answers.taken)) == MAILS - len(refused)
    assert set(delivered) == set(answers.taken), "what was answered 250, and nothing else"
    twice = {number for number, count in delivered.items() if count > 1}
    assert twice == {number for number in range(1, MAILS + 1) if failure_of(number)[1] == KEEP_AND_DROP}
    # A connection that waited and is gone at MAIL is opened anew, and the client hears nothing of it.
    seen = {number for number in range(1, MAILS + 1) if failure_of(number) not in (("", ""), ("MAIL", DROP))}
    assert seen - refused <= set(answers.deferrals)
    print(f"{len(answers.taken)} taken, {len(refused)} refused, {sum(answers.deferrals.values())} deferrals")
