"""Nobody makes Mailgate believe that a mail was judged or released: forged traces, on a real Postfix.

A clean mail to TARGET was judged and has left. What comes after it bears its queue id, its Message-ID, its content,
or all of them, and would reach TARGET by an alias, which is a forward: each is held where it leaves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.lab.mails import OFFICER
from tests.lab.ports import free_port
from tests.lab.smtp_client import Outcome, send
from tests.lab.system import MailSystem, mail_system
from tests.lab.waiting import wait_until

TARGET = "hop.hanam@gmail.com"
ALIAS = "vanthu@hanam.gov.vn"
AUTHOR = "a@evil.example"
HOST = "mx.hanam.gov.vn"
KNOWN = "Message-ID: <known@hanam.gov.vn>\r\n"
OWN = "Message-ID: <own@evil.example>\r\n"
SUBJECT, BODY = "sach", "x\r\n"  # of the judged mail
SECRET = "TỐI MẬT"
LINE = (
    f"Received: from x by {HOST} (Postfix) with ESMTP id {{id}} for <{TARGET}>; Tue, 24 Nov 2026 08:00:00 +0700\r\n"
)


@dataclass(frozen=True, slots=True)
class Forgery:
    """A mail that claims to be the judged one: {id} is that one's queue id.

    fields: what its header begins with. local: a recipient's local part, which reaches the alias. submits: one of our
    own people hands it over. rules: what must find it where it leaves.
    """

    fields: str = KNOWN
    local: str = "vanthu"
    subject: str = SUBJECT
    body: str = BODY
    helo: str = "client.example"
    submits: bool = False

    @property
    def rules(self) -> set[str]:
        is_secret = SECRET in self.subject + self.body
        return {"auto-forward", "state-secret"} if is_secret else {"auto-forward"}


def local(text: str) -> str:
    """Return a local part of the alias with anything behind the delimiter, in quotes."""
    return f'"vanthu+{text}"'


LIKE_A_LINE = local(f"x by {HOST} id {{id}} y")

FORGERIES = {
    "no forgery": Forgery(OWN),
    # lines that the sender writes
    "a line of the judged mail, its Message-ID": Forgery(LINE + KNOWN),
    "the same, another body": Forgery(LINE + KNOWN, body="y\r\n"),
    "the same, another subject": Forgery(LINE + KNOWN, subject="khac"),
    "the same, a secret in the body": Forgery(LINE + KNOWN, body=f"{SECRET}\r\n"),
    "the same, a secret in the subject": Forgery(LINE + KNOWN, subject=SECRET),
    "a line of the judged mail, a Message-ID of its own": Forgery(LINE + OWN),
    "a line of the judged mail, no Message-ID": Forgery(LINE),
    "two Message-IDs, the known one first": Forgery(LINE + KNOWN + OWN),
    "two Message-IDs, the known one last": Forgery(LINE + OWN + KNOWN),
    "the known Message-ID twice": Forgery(LINE + KNOWN + KNOWN),
    "30 lines": Forgery(f"Received: from x by {HOST} (Postfix) id {{id}}; x\r\n" * 30 + KNOWN),
    "marks of one's own": Forgery(
        "X-Mailgate-Released: yes\r\nX-Mailgate-Judged: yes\r\nAuto-Submitted: auto-replied\r\nList-Id: x\r\n" + KNOWN
    ),
    "in other letters": Forgery(f"RECEIVED: FROM x BY {HOST.upper()}. (POSTFIX) WITH esmtp ID {{id}}; x\r\n" + KNOWN),
    "folded anyhow": Forgery(f"Received:\r\n\tfrom\r\n x\r\n\tby\r\n\t{HOST}\r\n\tid\r\n {{id}}\r\n ;x\r\n" + KNOWN),
    "nested comments": Forgery(f"Received: from x (a (b (c (d)))) by {HOST} ((e)) id {{id}} (f); x\r\n" + KNOWN),
    "for without brackets": Forgery(f"Received: from x by {HOST} (Postfix) id {{id}} for {TARGET}; x\r\n" + KNOWN),
    "a quote that is not closed": Forgery(f'Received: from "x by {HOST} id {{id}}; x\r\n' + LINE + KNOWN),
    "a comment that is not closed": Forgery(f"Received: from x (by {HOST} id {{id}}; x\r\n" + LINE + KNOWN),
    "a line that goes on": Forgery(f"X-A: b\r\n\tby {HOST} (Postfix) with ESMTP id {{id}}; x\r\n" + LINE + KNOWN),
    # what else stands in a line that Postfix writes
    "a recipient like a line of another": Forgery(OWN, local("x by evil.example id ABCDEF1 y")),
    "a recipient like a line": Forgery(KNOWN, LIKE_A_LINE),
    "the same, no Message-ID": Forgery("", LIKE_A_LINE),
    "the same, a secret in the body ": Forgery(KNOWN, LIKE_A_LINE, body=f"{SECRET}\r\n"),
    "the same, a secret in the subject ": Forgery(KNOWN, LIKE_A_LINE, subject=SECRET),
    "quoted pairs": Forgery(KNOWN, local(f'\\" by {HOST} (Postfix) id {{id}} \\"')),
    "a backslash before the quote": Forgery(KNOWN, local(f"\\\\\\\\ by {HOST} id {{id}} \\\\")),
    "a bracket that closes": Forgery(KNOWN, local(f"> by {HOST} (Postfix) with ESMTP id {{id}} for <x")),
    "a parenthesis that closes": Forgery(KNOWN, local(f"x) by {HOST} (Postfix) with ESMTP id {{id}} (y")),
    "a date, and a line behind it": Forgery(KNOWN, local(f">; Tue; by {HOST} id {{id}}; Tue")),
    "a whole line": Forgery(KNOWN, local(f"x> from y (y [192.0.2.1]) by {HOST} (P) with ESMTP id {{id}} for <z>; T")),
    "blanks of another kind": Forgery(KNOWN, local(f"x\tby\t{HOST}\tid\t{{id}}\ty")),
    "without a blank": Forgery(KNOWN, local(f"by {HOST} id {{id}}")),
    "in capitals": Forgery(KNOWN, local(f"x BY {HOST.upper()} ID {{id}} y")),
    "a HELO name that begins a clause": Forgery(KNOWN, LIKE_A_LINE, helo="by"),
    "a HELO name that ends them": Forgery(LINE + KNOWN, helo="for"),
    "a HELO name of many words": Forgery(LINE + KNOWN, helo=f"x by {HOST} (Postfix) id {{id}}; x ("),
    "a HELO name with a quote": Forgery(LINE + KNOWN, helo='"x'),
    "a HELO name with a bracket": Forgery(LINE + KNOWN, helo="[x"),
    # our own people, who may know a queue id and a Message-ID of a mail of theirs
    "submitted, a recipient like a line": Forgery(KNOWN, LIKE_A_LINE, submits=True),
    "the same, a secret": Forgery(KNOWN, LIKE_A_LINE, subject=SECRET, submits=True),
    "submitted, a line of the judged mail, a secret": Forgery(LINE + KNOWN, subject=SECRET, submits=True),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scene:
    """The system, and the queue id of the judged mail."""

    system: MailSystem
    judged: str

    def send(self, forgery: Forgery) -> Outcome:
        """Send a forgery."""
        fields, name, helo = (text.format(id=self.judged) for text in (forgery.fields, forgery.local, forgery.helo))
        author = OFFICER if forgery.submits else AUTHOR
        data = f"{fields}From: {author}\r\nSubject: {forgery.subject}\r\n\r\n{forgery.body}".encode()
        recipients = [f"{name}@hanam.gov.vn"]
        postfix = self.system.postfix
        if forgery.submits:
            return send(postfix.submission_port, author, recipients, data, login=author, helo=helo)
        return send(postfix.smtp_port, author, recipients, data, "203.0.113.7", "mail.evil.example", helo=helo)

    def held(self) -> dict[str, list[str]]:
        """Return the recipients of each mail that is held, by its queue id."""
        return {
            mail["queue_id"]: [recipient["address"] for recipient in mail["recipients"]]
            for mail in self.system.postfix.queue()
            if mail["queue_name"] == "hold"
        }

    def found(self, queue_id: str) -> set[str]:
        """Return the rules that found something in a mail where it left."""
        (record,) = [record for record in self.system.mailgate.incidents() if record["queue_id"] == queue_id]
        assert (record["hook"], record["action"]) == ("egress", "quarantine")
        return {finding["rule"] for finding in record["findings"]}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    milter = f"inet:127.0.0.1:{free_port()}"
    hooks = [
        {"name": name, "listener": milter, "daemon_name": name.upper()} for name in ("mx", "submission", "egress")
    ]
    config: dict[str, Any] = {
        "listen": {"milter": [milter]},
        "hook": hooks,
        "dns": {"servers": ["127.0.0.1:9"]},
        "rules": {"sending-rate": {"mode": "off"}},
    }
    main_cf = {
        "mydestination": "hanam.gov.vn",
        "alias_maps": f"inline:{{ {{ vanthu = {TARGET} }} }}",
        "recipient_delimiter": "+",
        "local_recipient_maps": "",
    }
    with mail_system(config, egress=True, domains=(), main_cf=main_cf) as system:
        letter = f"From: {OFFICER}\r\nSubject: {SUBJECT}\r\n{KNOWN}\r\n{BODY}".encode()
        sent = system.submit(OFFICER, [TARGET], letter)
        system.sink.wait(1)
        yield Scene(system, sent.final.rpartition(" ")[2])


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_passage_lets_nothing_out(scene: Scene, forgery: Forgery) -> None:
    before = scene.held()
    scene.system.sink.clear()
    sent = scene.send(forgery)
    assert sent.status == "250 2.0.0", sent
    wait_until(lambda: len(scene.held()) > len(before) or scene.system.sink.mails(), 10, "it to be held, or to leave")
    assert scene.system.sink.mails() == []
    new = {queue_id: recipients for queue_id, recipients in scene.held().items() if queue_id not in before}
    assert list(new.values()) == [[TARGET]]
    assert scene.found(*new) == forgery.rules
