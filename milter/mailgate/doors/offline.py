"""The door without a network: one case in, its answer out, by the same steps as a milter's.

A case is a line of CASES.jsonl or what `mailgate check` was told; its answer is what the daemon would say.
"""

import base64
import binascii
import ipaddress
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from ..config import TIME_ZONE
from ..gate import Gate
from ..incidents.record import finding_record
from ..mime.walker import Leaf
from ..model import Action, Attachment, Finding, Header, Inspection, Mail, Session, Verdict, legal_text
from ..wire.smtp import split_header
from .transaction import Transaction

HOOKS = ("mx", "submission", "non-smtp", "egress")
CHUNK_BYTES = 65_535  # as Postfix sends a body


class CaseError(Exception):
    """A case that cannot be judged: what is wrong with it, and what to do."""


@runtime_checkable
class Classifying(Protocol):
    """A rule that has terms for what each recipient's copy is."""

    def classes(self, mail: Mail) -> Mapping[str, str]:
        """Return what each recipient's copy is in this rule's terms."""


@dataclass(frozen=True, slots=True)
class Case:
    """One mail to be judged; what is absent is as in the daemon for a client that did not say."""

    message: bytes
    id: str = ""
    client_ip: str = "127.0.0.1"
    client_name: str = ""
    helo: str = ""
    auth: str = ""
    hook: str = ""
    queue_id: str = ""
    mail_from: str = ""
    mail_args: tuple[str, ...] = ()
    rcpts: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(slots=True)
class Answer:
    """What the daemon would say, and why."""

    case: Case
    verdict: Verdict
    findings: list[Finding] = field(default_factory=list)
    rcpt_replies: dict[str, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    attachment_bytes: int = 0
    defects: Sequence[str] = ()
    leaves: Sequence[Leaf] = ()
    inspection: Inspection = field(default_factory=Inspection)
    classes: Mapping[str, str] = field(default_factory=dict)
    elapsed_ms: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the answer in its published form."""
        return {
            "id": legal_text(self.case.id),
            "action": self.verdict.action.value,
            "reply": _one_line(self.verdict.reply) or None,
            "stage": self.verdict.stage,
            "findings": [finding_record(finding) for finding in self.findings],
            "rcpt_replies": {
                legal_text(recipient): _one_line(reply) for recipient, reply in self.rcpt_replies.items()
            },
            "headers_added": [
                f"{name.decode('ascii')}: {value.decode('ascii', 'replace')}" for name, value in self.verdict.headers
            ],
            "attachments": [
                {"name": legal_text(file.name), "type": legal_text(file.type), "bytes": file.size}
                for file in self.attachments
            ],
            "attachment_bytes": self.attachment_bytes,
            "elapsed_ms": round(self.elapsed_ms, 3),
        }


def _one_line(reply: str) -> str:
    return reply.replace("\n", " / ")


async def judge_case(gate: Gate, case: Case) -> Answer:
    """Judge one case."""
    started = time.perf_counter()
    hook = case.hook or ("submission" if case.auth else "mx")
    session = Session(hook, case.client_ip, case.client_name, case.helo, "", gate.services.node)
    transaction = Transaction(gate, session)
    answer = Answer(case, Verdict())
    try:
        await _judge(transaction, case, answer)
    finally:
        transaction.close()
    content = transaction.mail_data.content
    answer.attachments = content.attachments
    answer.attachment_bytes = content.attachment_bytes
    answer.leaves = transaction.leaves
    answer.inspection = transaction.mail_data.inspection or Inspection()
    answer.defects = [*sorted(content.defects), *content.unread()]
    answer.classes = {
        recipient: kind
        for rule in gate.policy.rules
        if isinstance(rule, Classifying)
        for recipient, kind in rule.classes(transaction.mail_data).items()
    }
    answer.elapsed_ms = (time.perf_counter() - started) * 1_000
    return answer


async def _judge(transaction: Transaction, case: Case, answer: Answer) -> None:
    now = transaction.gate.services.now().timestamp()
    transaction.mail_data.queue_id = case.queue_id
    sender = _path(case.mail_from)
    arguments = [argument.encode("utf-8", "surrogateescape") for argument in case.mail_args]
    early = transaction.mail(sender, arguments, case.auth, now)
    if early is not None:
        answer.verdict = await transaction.record(early)
        answer.findings += answer.verdict.findings
        return
    for recipient in case.rcpts:
        refused = transaction.recipient(_path(recipient), now)
        if refused is not None:
            refused = await transaction.record(refused)
            answer.findings += refused.findings
            answer.rcpt_replies[transaction.mailbox_of(_path(recipient))] = refused.reply
            answer.verdict = refused
    if case.rcpts and not transaction.mail_data.envelope.recipients:
        return
    fields, body = split_message(case.message)
    transaction.headers(fields, now)
    for start in range(0, len(body), CHUNK_BYTES):
        early = transaction.body(body, start, min(start + CHUNK_BYTES, len(body)), now)
        if early is not None:
            answer.verdict = await transaction.record(early)
            answer.findings += answer.verdict.findings
            return
    answer.verdict = await transaction.end()
    answer.findings += answer.verdict.findings
    if answer.verdict.action is Action.ACCEPT or answer.rcpt_replies:
        answer.rcpt_replies |= answer.verdict.recipient_replies
    else:
        answer.rcpt_replies = dict(answer.verdict.recipient_replies)


def _path(address: str) -> bytes:
    bare = address.strip()
    if not bare.startswith("<"):
        bare = f"<{bare}>"
    return bare.encode("utf-8", "surrogateescape")


def split_message(message: bytes) -> tuple[list[Header], bytes]:
    """Split a message as Postfix hands it to a milter: header fields with their folds, and a body with CRLF.

    Every line break becomes CRLF, as an SMTP client would have sent it; a line that is no header field ends
    the header; an mbox `From ` line is passed over.
    """
    octets = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    fields, start = split_header(octets)
    return fields, octets[start:]


_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "id": (str, int),
    "client_ip": str,
    "client_name": str,
    "helo": str,
    "auth": (str, type(None)),
    "hook": str,
    "queue_id": str,
    "mail_from": (str, type(None)),
    "mail_args": list,
    "rcpts": list,
    "at": str,
    "message": (str, dict),
}


def read_case(fields: Any, folder: Path) -> Case:
    """Read one case of a batch; a message path is relative to `folder`. Raises CaseError."""
    if not isinstance(fields, dict):
        raise CaseError("write a JSON object")
    for name, value in fields.items():
        wanted = _FIELDS.get(name)
        if wanted is None:
            raise CaseError(f"unknown field {name!r}: there are {', '.join(_FIELDS)}")
        if value is not None and not isinstance(value, wanted):
            raise CaseError(f"{name}: wrong type {type(value).__name__}")
    for name in ("mail_args", "rcpts"):
        if not all(isinstance(item, str) for item in fields.get(name) or ()):
            raise CaseError(f"{name}: write a list of strings")
    hook = fields.get("hook") or ""
    if hook and hook not in HOOKS:
        raise CaseError(f"hook: {hook!r} is none of {', '.join(HOOKS)}")
    if not fields.get("message"):
        raise CaseError('message: name a file, or give {"base64": "..."}')
    return Case(
        read_message(fields["message"], folder),
        "" if fields.get("id") is None else str(fields["id"]),
        read_client_ip(fields.get("client_ip") or "127.0.0.1"),
        fields.get("client_name") or "",
        fields.get("helo") or "",
        fields.get("auth") or "",
        hook,
        fields.get("queue_id") or "",
        fields.get("mail_from") or "",
        tuple(fields.get("mail_args") or ()),
        tuple(fields.get("rcpts") or ()),
        read_time(fields["at"]) if fields.get("at") else None,
    )


def read_message(message: str | dict[str, str], folder: Path) -> bytes:
    """Return a message's octets, from a file or from base64; raises CaseError."""
    if isinstance(message, dict):
        try:
            return base64.b64decode(message["base64"], validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise CaseError(f'message: write {{"base64": "..."}} with legal base64 ({error})') from error
    try:
        return (folder / message).read_bytes()
    except (OSError, ValueError) as error:
        raise CaseError(f"message: {message!r}: {getattr(error, 'strerror', None) or error}") from error


def read_client_ip(text: str) -> str:
    """Return an IP address as it was given; raises CaseError."""
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise CaseError(f"client_ip: {text!r} is no IP address: write 203.0.113.7 or 2001:db8::7") from error
    return text


def read_time(text: str) -> datetime:
    """Read ISO 8601; without an offset it is the province's civil time. Raises CaseError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CaseError(f"not a time: {text!r}: write 2026-11-24T08:00:00+07:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(TIME_ZONE))
