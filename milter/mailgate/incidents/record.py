"""One incident as a record: what happened, to which mail, by which rule, on what evidence.

No body text, and of headers only the Message-ID and what a finding names.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..model import Action, Evidence, Finding, Mail, Mode, Verdict

_CASE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing that is misread aloud
_LONGEST_MESSAGE_ID = 500
MOST_ATTACHMENTS = 50


def new_case(now: datetime) -> str:
    """Return a case number such as 20261124-7KQ2M9XD: the day and 40 random bits."""
    return f"{now:%Y%m%d}-" + "".join(secrets.choice(_CASE_ALPHABET) for _ in range(8))


def with_case(reply: str, case: str) -> str:
    """Put a case number at the end of a reply's first line."""
    first, found, rest = reply.partition("\n")
    return f"{first} (case {case}){found}{rest}"


def mail_record(
    mail: Mail, verdict: Verdict, case: str, now: datetime, timings_ms: Mapping[str, float]
) -> dict[str, Any]:
    """Return the incident of one mail's verdict."""
    return {
        "time": now.isoformat(timespec="milliseconds"),
        "case": case,
        "kind": kind_of(verdict),
        **_mail_fields(mail, verdict.recipient_replies),
        "action": verdict.action,
        "stage": verdict.stage,
        "reply": verdict.reply,
        "recipient_replies": dict(verdict.recipient_replies),
        "findings": [finding_record(finding) for finding in verdict.findings],
        "mailboxes": list(dict.fromkeys(_text(box) for finding in verdict.findings for box in finding.mailboxes)),
        "attachments": [
            {"name": file.name, "type": file.type, "bytes": file.size, "sha256": file.sha256}
            for file in mail.content.attachments[:MOST_ATTACHMENTS]
        ],
        "attachment_bytes": mail.content.attachment_bytes,
        "defects": sorted(mail.content.defects),
        "timings_ms": {name: round(value, 3) for name, value in timings_ms.items()},
    }


def error_record(mail: Mail, error: BaseException, case: str, now: datetime) -> dict[str, Any]:
    """Return the incident of an error of our own: the mail was deferred, the traceback is in the log."""
    return {
        "time": now.isoformat(timespec="milliseconds"),
        "case": case,
        "kind": "error",
        **_mail_fields(mail),
        "action": Action.TEMPFAIL,
        "error": f"{type(error).__name__}: {error}"[:300],
        "findings": [],
    }


def kind_of(verdict: Verdict) -> str:
    """Name an incident: refusal, deferral, quarantine, discard, recipient-refusal, finding."""
    if verdict.recipient_replies and (verdict.action is Action.ACCEPT or verdict.stage == "rcpt"):
        return "recipient-refusal"
    if verdict.action is Action.ACCEPT:
        return "finding"
    return {
        Action.REJECT: "refusal",
        Action.TEMPFAIL: "deferral",
        Action.QUARANTINE: "quarantine",
        Action.DISCARD: "discard",
    }[verdict.action]


def finding_record(finding: Finding) -> dict[str, Any]:
    """Return a finding as commands and incidents show it."""
    record: dict[str, Any] = {
        "rule": finding.rule,
        "clause": finding.clause,
        "mode": finding.mode,
        "action": finding.action,
    }
    if finding.direction:
        record["direction"] = finding.direction
    if finding.recipient:
        record["recipient"] = finding.recipient
    if finding.exemption:
        record["exemption"] = finding.exemption
    record["evidence"] = [_evidence_record(piece) for piece in finding.evidence]
    return record


def _evidence_record(piece: Evidence) -> dict[str, str]:
    return {
        "kind": piece.kind,
        "name": piece.name,
        "value": _text(piece.value),
        "strength": "hard" if piece.hard else "soft",
    }


def _mail_fields(mail: Mail, refused: Iterable[str] = ()) -> dict[str, Any]:
    session, envelope = mail.session, mail.envelope
    return {
        "node": session.node,
        "hook": session.hook,
        "queue_id": mail.queue_id,
        "client_ip": session.client_ip,
        "client_name": _text(session.client_name),
        "helo": _text(session.helo),
        "login": _text(envelope.login),
        "mail_from": _text(envelope.sender),
        "rcpts": [_text(recipient) for recipient in dict.fromkeys((*envelope.recipients, *refused))],
        "message_id": mail.first_header(b"message-id")[:_LONGEST_MESSAGE_ID].decode("utf-8", "replace"),
    }


def _text(value: str) -> str:
    """Return text that JSON can hold: octets that were no UTF-8 are replaced."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8", "replace")


def is_recorded(findings: Sequence[Finding]) -> bool:
    """Tell whether a verdict's findings make an incident: all do, but a tag, which only adds a header and speaks of
    no official mailbox."""
    return any(
        finding.action is not Action.ACCEPT
        or finding.mode is Mode.MONITOR
        or not finding.headers
        or finding.mailboxes
        for finding in findings
    )
