"""One incident as a record: what happened, to which mail, by which rule, on what evidence.

No body text, and of headers only the Message-ID and what a finding names. Whatever the mail, a record is short: who
sends one mail must not write as much as he likes into the log. What goes beyond a bound is counted in `more`, by the
name of the list that it is missing from (`"more": {"evidence": 3914, "rcpts": 12}`); a text that was cut ends in
"…+N", N being the letters that are missing. What is most telling stays: of every rule and each of its actions a
finding, hard evidence before soft, recipients that a finding names before others.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any, TypeVar

import orjson

from ..model import Action, Attachment, Evidence, Finding, Mail, Mode, Verdict

_T = TypeVar("_T")

_CASE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing that is misread aloud

# -- bounds, in octets of JSON ---------------------------------------------------------------------

LONGEST_LINE = 65_536
"""Of a record as a line of the log, with its number and hash: a reader has it in memory in one piece, and no mail
fills the disk: without a bound one of 400 KB wrote 76 MB. Those below add up to less."""

_LONGEST_ADDRESS = 2_200
"""Of sender and login: Postfix takes lines of 2,048 (line_length_limit), so that none is cut; RFC 5321 has 256."""
_LONGEST_TEXT = 1_100
"""Of HELO, client name, queue id, Message-ID and the like: RFC 5322 lines have 998."""
_LONGEST_REPLY = 2_200
"""RFC 5321 has 512 a line; ours have three lines at the most."""
_LONGEST_RECIPIENT = 700
"""Of one recipient or mailbox in a list: RFC 5321 has 256, and each octet may take six in JSON."""
_LONGEST_PIECE = 700
"""Of a piece of evidence its name, and its value: the rules give 200 letters of a header."""
_LONGEST_WORD = 120
"""Of what we name ourselves: rules, clauses, kinds of evidence."""
_RCPTS, _REPLIES, _MAILBOXES = 9_000, 6_000, 6_000
"""Of lists of addresses: some 250 of them, or the replies to 20 recipients."""
_PATHS = 4_000
"""Of recipients' paths as they were typed, where they are no usual ones."""
_MOST_PATHS = 10  # of one recipient
_ATTACHMENTS = 7_000
_DEFECTS = 1_500
_FINDINGS = 22_000
"""Of all findings with their evidence: some 150 pieces."""
MOST_ATTACHMENTS = 50
_MOST_PIECES = 20
"""Pieces of evidence of one finding: what the twenty-first says, nobody reads."""
_MOST_LOOKED_AT = 1_000
"""Pieces of one finding, and other things of a list, among which the different ones are looked for."""


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
    more = _More()
    findings = _findings(verdict.findings, more)
    named = dict.fromkeys(box for finding in verdict.findings for box in finding.mailboxes)
    attachments = [_attachment(file) for file in mail.content.attachments[:MOST_ATTACHMENTS]]
    defects = [*sorted(mail.content.defects), *mail.content.unread()]
    more.add("attachments", len(mail.content.attachments) - len(attachments))
    return more.put_into(
        {
            "time": now.isoformat(timespec="milliseconds"),
            "case": case,
            "kind": kind_of(verdict),
            **_mail_fields(mail, more, verdict),
            "action": verdict.action,
            "stage": verdict.stage,
            "reply": bounded(verdict.reply, _LONGEST_REPLY),
            "recipient_replies": dict(
                more.of(
                    "recipient_replies",
                    (
                        (bounded(recipient, _LONGEST_RECIPIENT), bounded(reply, _LONGEST_REPLY))
                        for recipient, reply in verdict.recipient_replies.items()
                    ),
                    len(verdict.recipient_replies),
                    _REPLIES,
                )
            ),
            "findings": findings,
            "mailboxes": more.of(
                "mailboxes", (bounded(box, _LONGEST_RECIPIENT) for box in named), len(named), _MAILBOXES
            ),
            "attachments": more.of("attachments", attachments, len(attachments), _ATTACHMENTS),
            "attachment_bytes": mail.content.attachment_bytes,
            "defects": more.of(
                "defects",
                (bounded(defect, _LONGEST_WORD) for defect in defects),
                len(defects),
                _DEFECTS,
            ),
            "timings_ms": {name: round(value, 3) for name, value in timings_ms.items()},
        }
    )


def error_record(mail: Mail, error: BaseException, case: str, now: datetime) -> dict[str, Any]:
    """Return the incident of an error of our own: the mail was deferred, the traceback is in the log."""
    more = _More()
    return more.put_into(
        {
            "time": now.isoformat(timespec="milliseconds"),
            "case": case,
            "kind": "error",
            **_mail_fields(mail, more),
            "action": Action.TEMPFAIL,
            "error": bounded(f"{type(error).__name__}: {error}", _LONGEST_TEXT),
            "findings": [],
        }
    )


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
    """Return a finding whole, as `check` shows it."""
    return {**finding_head(finding), "evidence": [_evidence_record(piece) for piece in finding.evidence]}


def finding_head(finding: Finding) -> dict[str, Any]:
    """Return a finding without its evidence."""
    record: dict[str, Any] = {
        "rule": bounded(finding.rule, _LONGEST_WORD),
        "clause": bounded(finding.clause, _LONGEST_WORD),
        "mode": finding.mode,
        "action": finding.action,
    }
    if finding.direction:
        record["direction"] = finding.direction
    if finding.recipient:
        record["recipient"] = bounded(finding.recipient, _LONGEST_RECIPIENT)
    if finding.mechanism:
        record["mechanism"] = bounded(finding.mechanism, _LONGEST_WORD)
        if finding.forwarder:
            record["forwarder"] = bounded(finding.forwarder, _LONGEST_RECIPIENT)
        record["explained"] = bounded(finding.explained, _LONGEST_TEXT)
    if finding.exemption:
        record["exemption"] = bounded(finding.exemption, _LONGEST_WORD)
    return record


def signature_of(finding: Finding) -> tuple[str, str, Mode, Action, bool, bool]:
    """Return what a finding is, whatever it is found on: findings of one signature count alike (reports.figures)."""
    return (
        finding.rule,
        finding.clause,
        finding.mode,
        finding.action,
        bool(finding.exemption),
        bool(finding.recipient),
    )


def _findings(findings: Sequence[Finding], more: "_More") -> list[dict[str, Any]]:
    """Return findings within their bound: of every rule and signature one, then as many as fit; in order."""
    room = _FINDINGS
    telling: dict[int, list[dict[str, str]]] = {}
    kept: dict[int, dict[str, Any]] = {}
    by_rule = {finding.rule: at for at, finding in reversed(list(enumerate(findings)))}
    by_signature = {signature_of(finding): at for at, finding in reversed(list(enumerate(findings)))}
    firsts = dict.fromkeys([*sorted(by_rule.values()), *sorted(by_signature.values())])

    def take(at: int, evidence: int) -> bool:
        """Keep a finding with so many pieces of its evidence at the most; tell whether there was room for it."""
        nonlocal room
        if at not in kept:
            head = {**finding_head(findings[at]), "evidence": []}
            room -= _octets_of(head)
            if room < 0:
                return False
            kept[at] = head
        if evidence and at not in telling:
            telling[at] = _telling(findings[at].evidence)
        pieces = kept[at]["evidence"]
        for piece in telling.get(at, [])[len(pieces) : evidence]:
            room -= _octets_of(piece)
            if room < 0:
                return False
            pieces.append(piece)
        return True

    for evidence in (0, 1, _MOST_PIECES):
        for at in firsts:
            if room > 0:
                take(at, evidence)
    for at in range(len(findings)):
        if not take(at, _MOST_PIECES):
            break
    shown = sum(len(record["evidence"]) for record in kept.values())
    more.add("evidence", sum(len(finding.evidence) for finding in findings) - shown)
    more.add("findings", len(findings) - len(kept))
    return [kept[at] for at in sorted(kept)]


def _telling(evidence: Sequence[Evidence]) -> list[dict[str, str]]:
    """Return the pieces that say most: those that decide first, each only once."""
    hard = (piece for piece in evidence if piece.hard)
    soft = (piece for piece in evidence if not piece.hard)
    ordered = chain(islice(hard, _MOST_LOOKED_AT), islice(soft, _MOST_LOOKED_AT))
    return [_evidence_record(piece) for piece in islice(dict.fromkeys(ordered), _MOST_PIECES)]


def _evidence_record(piece: Evidence) -> dict[str, str]:
    return {
        "kind": bounded(piece.kind, _LONGEST_WORD),
        "name": bounded(piece.name, _LONGEST_PIECE),
        "value": bounded(piece.value, _LONGEST_PIECE),
        "strength": "hard" if piece.hard else "soft",
    }


def _attachment(file: Attachment) -> dict[str, Any]:
    return {
        "name": bounded(file.name, _LONGEST_TEXT),
        "type": bounded(file.type, _LONGEST_WORD),
        "bytes": file.size,
        "sha256": file.sha256,
    }


def _mail_fields(mail: Mail, more: "_More", verdict: Verdict | None = None) -> dict[str, Any]:
    session, envelope = mail.session, mail.envelope
    refused = verdict.recipient_replies if verdict else ()
    recipients = dict.fromkeys((*envelope.recipients, *refused))
    if verdict and sum(map(len, recipients)) > _RCPTS // 2:  # not all may fit
        at_fault = (finding.recipient for finding in verdict.findings if finding.recipient in recipients)
        recipients = dict.fromkeys((*at_fault, *recipients))
    return {
        "node": bounded(session.node, _LONGEST_WORD),
        "hook": session.hook,
        "queue_id": bounded(mail.queue_id, _LONGEST_TEXT),
        "client_ip": bounded(session.client_ip, _LONGEST_WORD),
        "client_name": bounded(session.client_name, _LONGEST_TEXT),
        "helo": bounded(session.helo, _LONGEST_TEXT),
        "login": bounded(envelope.login, _LONGEST_ADDRESS),
        "mail_from": bounded(envelope.sender, _LONGEST_ADDRESS),
        "rcpts": more.of(
            "rcpts", (bounded(recipient, _LONGEST_RECIPIENT) for recipient in recipients), len(recipients), _RCPTS
        ),
        **_typed(mail, recipients, more),
        "message_id": bounded(mail.first_header(b"message-id").decode("utf-8", "replace"), _LONGEST_TEXT),
    }


def _typed(mail: Mail, recipients: Iterable[str], more: "_More") -> dict[str, Any]:
    """Return how sender and recipients were typed, where that is not how their mailboxes are written.

    Each path of a recipient is there: so many were taken off the mail where he is refused.
    """
    envelope = mail.envelope
    sender = envelope.sender_path.strip(b"<>").decode("utf-8", "replace")
    typed: dict[str, Any] = {} if sender == envelope.sender else {"mail_path": bounded(sender, _LONGEST_ADDRESS)}
    paths: list[tuple[str, list[str]]] = []
    for recipient in recipients:
        found = envelope.recipients.get(recipient) or (envelope.asked,)
        shown = [path.strip(b"<>").decode("utf-8", "replace") for path in found]
        if shown != [recipient]:
            several = [bounded(path, _LONGEST_RECIPIENT) for path in shown[:_MOST_PATHS]]
            more.add("rcpt_paths", len(shown) - len(several))
            paths.append((bounded(recipient, _LONGEST_RECIPIENT), several))
    if paths:
        typed["rcpt_paths"] = dict(more.of("rcpt_paths", paths, len(paths), _PATHS))
    return typed


class _More:
    """What a record has no room for: how much, by the name of the list that it is missing from."""

    def __init__(self) -> None:
        self._missing: dict[str, int] = {}

    def of(self, name: str, items: Iterable[_T], count: int, octets: int) -> list[_T]:
        """Return the first of so many items, as many as fit, and count the others."""
        kept = []
        for item in items:
            octets -= _octets_of(item)
            if octets < 0:
                break
            kept.append(item)
        self.add(name, count - len(kept))
        return kept

    def add(self, name: str, count: int) -> None:
        """Count what is missing."""
        if count:
            self._missing[name] = self._missing.get(name, 0) + count

    def put_into(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the record, and what is missing from it, where anything is."""
        return {**record, "more": self._missing} if self._missing else record


def _octets_of(value: Any) -> int:
    return len(orjson.dumps(value)) + 1  # its comma


def bounded(text: str, octets: int) -> str:
    """Return text that JSON can hold in so many octets, its quotes not counted.

    Octets that were no UTF-8 are replaced. What is cut ends in "…+N", N being the letters that are missing.
    """
    head = text[:octets]
    if not head.isascii():
        head = head.encode("utf-8", "replace").decode()
    if len(text) <= octets and (len(head) * _LONGEST_ESCAPE <= octets or len(orjson.dumps(head)) - 2 <= octets):
        return head
    kept = head[: octets - _CUT_MARK]
    while len(orjson.dumps(kept)) - 2 > octets - _CUT_MARK:
        kept = kept[: len(kept) * 7 // 8]
    return f"{kept}…+{len(text) - len(kept)}"


_LONGEST_ESCAPE = 6  # \u0007
_CUT_MARK = len("…+1000000000".encode())


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
