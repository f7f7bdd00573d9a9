"""What was judged is known again where it leaves by its content, and by nothing that somebody could write.

On a real Postfix, where egress is the milter and where it is the SMTP door.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.lab.mailgate import Mailgate
from tests.lab.mails import MIB, OFFICER
from tests.lab.ports import free_port
from tests.lab.postfix import Postfix, shipped_settings
from tests.lab.shipped_wiring import egress_door
from tests.lab.sink import Delivered, Sink
from tests.lab.smtp_client import Outcome, send
from tests.lab.system import MailSystem
from tests.lab.waiting import wait_until
from tests.test_bytes_unchanged import SAMPLES

from mailgate.content_hash import hash_of
from mailgate.identity.identity import Identity
from mailgate.identity.organization import Organization
from mailgate.model import Envelope, Header, Mail, Session

TARGET = "hop.hanam@gmail.com"
MARKED = "Subject: TỐI MẬT: x\r\n".encode()
"""What every mail here bears to be held when it is submitted, and again where it leaves, unless it is known."""


@contextmanager
def running(by_door: bool, **main_cf: str) -> Iterator[MailSystem]:
    """Run a Postfix whose mail for outside passes Mailgate's milter or its SMTP door, as the shipped files say."""
    milter, local, door, back, hold = (free_port() for _ in range(5))
    ours, theirs = f"inet:127.0.0.1:{milter}", f"inet:127.0.0.1:{local}"
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        wired = egress_door({10025: door, 10026: back, 10027: hold}, f"smtp:[127.0.0.1]:{sink.port}")
        egress = wired.hook if by_door else {"name": "egress", "listener": ours, "daemon_name": "EGRESS"}
        hooks = [{"name": name, "listener": ours, "daemon_name": name.upper()} for name in ("mx", "submission")]
        config: dict[str, Any] = {
            "listen": {"milter": [ours, theirs], "smtp": [f"inet:127.0.0.1:{door}"] if by_door else []},
            "smtp": {"next_hop": f"inet:127.0.0.1:{back}", "hold_next_hop": f"inet:127.0.0.1:{hold}"},
            "hook": [*hooks, egress, {"name": "non-smtp", "listener": theirs}],
            "dns": {"servers": ["127.0.0.1:9"]},
            "rules": {name: {"mode": "off"} for name in ("sender-identity", "sending-rate", "advertising")},
        }
        mailgate = stack.enter_context(Mailgate(config))
        shipped = shipped_settings()
        milters = shipped["smtpd_milters"].replace("unix:/run/mailgate/milter.sock", ours)
        postfix = Postfix(
            smtpd_milters=milters,
            submission_milters=milters,
            non_smtpd_milters=shipped["non_smtpd_milters"].replace("unix:/run/mailgate/local.sock", theirs),
            egress_milters=None if by_door else milters,
            deliver_to=sink.port,
            domains=(),
            main_cf={**main_cf, **(wired.main_cf if by_door else {})},
            master_cf=wired.master_cf if by_door else (),
        )
        yield MailSystem(stack.enter_context(postfix), mailgate, sink)


@pytest.fixture(scope="module", params=[False, True], ids=["milter", "SMTP door"])
def system(request: pytest.FixtureRequest) -> Iterator[MailSystem]:
    with running(request.param, message_size_limit="50000000") as one:
        yield one


def held(system: MailSystem) -> list[dict[str, Any]]:
    """Return the mails that Postfix holds."""
    return [mail for mail in system.postfix.queue() if mail["queue_name"] == "hold"]


def release(system: MailSystem) -> None:
    """Release all that is held, as an officer does."""
    place = ("--config-dir", str(system.postfix.config))
    listed = system.mailgate.run("quarantine", "list", "--format", "json", *place)
    assert listed.returncode == 0, listed.stderr
    cases = [row["case"] for row in json.loads(listed.stdout)]
    done = system.mailgate.run("quarantine", "release", *cases, "--reason", "được duyệt", *place)
    assert done.returncode == 0, done.stderr


def settled(system: MailSystem, count: int, held_before: int = 0) -> Sequence[Delivered]:
    """Wait until so many mails have left or are held, again or anew; return what has left."""
    wait_until(lambda: len(system.sink.mails()) + len(held(system)) == count + held_before, 60, f"{count} mails")
    return system.sink.mails()


MIME = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
SHAPES: dict[str, bytes] = {
    "an ordinary one": b"\r\nKinh gui.\r\n",
    "8-bit": MIME + b"8bit\r\n\r\n" + "Kính gửi các sở, ban, ngành.\r\n".encode() * 50,
    "lines of 2,000 octets": b"\r\n" + (b"x" * 2_000 + b"\r\n") * 20,
    "a line of 100,000 octets": b"\r\n" + b"x" * 100_000 + b"\r\n",
    "a field of 3,000 octets": b"Content-Type: text/plain; name=" + b"x" * 3_000 + b"\r\n\r\nx\r\n",
    "a folded subject": b"Subject: one\r\n two\r\n\t three\r\n\r\nx\r\n",
    "dots at the beginning of lines": b"\r\n.\r\n..\r\n.x\r\n...\r\n",
    "without a last line break": b"\r\nx",
    "empty": b"\r\n",
    "without a body": b"",
    "5 MB": b"\r\n" + (b"x" * 70 + b"\r\n") * (5 * MIB // 72),
}


ALL = {**SHAPES, **dict([*SAMPLES.items()][::3])}  # of 20 bodies each comes with a third of the headers


def test_what_was_released_passes_egress_whatever_is_in_it(system: MailSystem) -> None:
    system.sink.clear()
    names = {b"<%d@hanam.gov.vn>" % number: name for number, name in enumerate(ALL)}
    for message_id, name in names.items():
        sent = submit(system, b"Message-ID: " + message_id + b"\r\n" + MARKED + ALL[name])
        assert sent.status == "250 2.0.0", (name, sent.final)
    assert len(held(system)) == len(ALL)
    system.postfix.release_all()
    left = {mail.header("Message-ID") for mail in settled(system, len(ALL))}
    assert [name for message_id, name in names.items() if message_id not in left] == []
    assert held(system) == []


def test_what_a_local_program_hands_over_without_a_last_line_break(system: MailSystem) -> None:
    system.sink.clear()
    fields = f"From: {OFFICER}\nMessage-ID: <local@hanam.gov.vn>\n".encode() + MARKED.replace(b"\r", b"")
    system.postfix.sendmail(fields + b"\nmot dong\nx", OFFICER, [TARGET])
    wait_until(lambda: held(system), 10, "it to be held")
    release(system)
    assert [mail.data[-15:] for mail in settled(system, 1)] == [b"\r\nmot dong\r\nx\r\n"]
    assert held(system) == []


def submit(system: MailSystem, data: bytes, recipient: str = TARGET) -> Outcome:
    """Hand a mail over as one of our people does."""
    port = system.postfix.submission_port
    return send(port, OFFICER, [recipient], data, login=OFFICER, mail_args=("BODY=8BITMIME",))


# -- what somebody puts before egress under the names of a mail that was judged --------------------

CONTENT = MARKED + MIME + b"8bit\r\n\r\nKinh gui.\r\n"
NAMED = b"Message-ID: <judged@hanam.gov.vn>\r\n"

# What is put there → whether it goes on: the names are the judged mail's where {id} stands, and NAMED.
LIKE: dict[str, tuple[bytes, str, bool]] = {
    "the same mail": (NAMED + CONTENT, TARGET, True),
    "folded otherwise": (
        NAMED + CONTENT.replace(b": x", b":\r\n\t  x").replace(b"; charset", b";\r\n charset"),
        TARGET,
        True,
    ),
    "with fields that an MTA adds": (b"X-Spam-Status: No\r\nX-Virus: none\r\n" + NAMED + CONTENT, TARGET, True),
    "another body": (NAMED + CONTENT.replace(b"Kinh", b"Than"), TARGET, False),
    "a body with a line more": (NAMED + CONTENT + b"x\r\n", TARGET, False),
    "a body with an empty line more": (NAMED + CONTENT + b"\r\n", TARGET, False),
    "a body with a line less": (NAMED + CONTENT.removesuffix(b"Kinh gui.\r\n"), TARGET, False),
    "a body in other letters": (NAMED + CONTENT.replace(b"Kinh", b"kinh"), TARGET, False),
    "another subject": (NAMED + CONTENT.replace(b": x", b": y"), TARGET, False),
    "one subject more": (NAMED + CONTENT.replace(MARKED, MARKED + b"Subject: y\r\n"), TARGET, False),
    "another type": (NAMED + CONTENT.replace(b"text/plain", b"text/html"), TARGET, False),
    "another encoding": (NAMED + CONTENT.replace(b"8bit", b"base64"), TARGET, False),
    "a disposition": (NAMED + b"Content-Disposition: attachment\r\n" + CONTENT, TARGET, False),
    "a Message-ID of its own": (b"Message-ID: <own@hanam.gov.vn>\r\n" + CONTENT, TARGET, False),
    "without a Message-ID": (CONTENT, TARGET, False),
    "another recipient": (NAMED + CONTENT, "khac@gmail.com", False),
}


def test_a_released_mail_is_known_by_what_is_in_it() -> None:
    with running(by_door=False) as system:
        judged = submit(system, NAMED + CONTENT).final.rpartition(" ")[2]
        release(system)
        (mail,) = system.sink.wait(1)
        assert mail.data.endswith(CONTENT)
        line = f"Received: from x (x [203.0.113.7])\r\n\tby mx.hanam.gov.vn (Postfix) with ESMTPA id {judged}\r\n"
        trace = f"{line}\tfor <{TARGET}>; Tue, 24 Nov 2026 08:00:00 +0700 (+07)\r\n".encode()
        for name, (data, recipient, goes_on) in LIKE.items():
            system.sink.clear()
            before = len(held(system))
            sent = send(system.postfix.egress_port, OFFICER, [recipient], trace + data, mail_args=("BODY=8BITMIME",))
            assert sent.status == "250 2.0.0", (name, sent.final)
            left = len(settled(system, 1, before))
            assert (left, len(held(system)) - before) == ((1, 0) if goes_on else (0, 1)), name
        records = [record for record in system.mailgate.incidents() if record["hook"] == "egress"]
        assert len(records) == sum(not goes_on for _, _, goes_on in LIKE.values())
        assert all(any(f["rule"] == "state-secret" for f in record["findings"]) for record in records)


# -- which mails have a digest ---------------------------------------------------------------------

MANY = [(b"X-A", b" x")] * 2_001
LONG = [(b"Subject", b" x" * 20_000)]
PLAIN = [(b"Subject", b" x")]

DIGESTS: dict[str, tuple[str, str, list[Header], bool]] = {
    "ours, to somebody outside": ("submission", TARGET, PLAIN, True),
    "at egress": ("egress", TARGET, PLAIN, True),
    "ours, to a state body": ("submission", "vp@ninhbinh.gov.vn", PLAIN, False),
    "from outside": ("mx", OFFICER, PLAIN, False),
    "more fields than are read": ("submission", TARGET, MANY, False),
    "a longer subject than is read": ("submission", TARGET, LONG, False),
}


@pytest.mark.parametrize(("hook", "recipient", "fields", "has_one"), DIGESTS.values(), ids=DIGESTS)
def test_what_is_hashed(hook: str, recipient: str, fields: list[Header], has_one: bool) -> None:
    """What nobody asks for again is not hashed; and what was not read could be changed."""
    identity = Identity(Organization(frozenset({"hanam.gov.vn"}), state_domains=frozenset({"gov.vn"})))
    login = OFFICER if hook == "submission" else ""
    envelope = Envelope(recipients={recipient: (recipient.encode(),)}, login=login)
    mail = Mail(identity, Session(hook, "203.0.113.7"), envelope)
    assert (hash_of(mail, mail.take_headers(fields)) is not None) is has_one
