"""One mail's way through a gate, the same for every door: commands in, verdicts out.

A door calls `mail`, `recipient`, `headers`, `body` and `end` in this order and says what they answer. Each
of the first four returns a Verdict only when something must be said at once; it must then be
recorded with `record` before it is said.
"""

import hashlib
import re
from collections.abc import Sequence

from ..content_hash import hash_of
from ..gate import Gate
from ..identity.identity import Identity
from ..mime.walker import Leaf, Walker
from ..model import Action, Envelope, Finding, Header, Mail, Session, Verdict
from ..spool import Spool


class Transaction:
    """One mail, from MAIL to its end. It keeps the gate it began with, whatever is reloaded meanwhile.

    keep: the door hands the message on itself: it wants its octets at its end (`raw`), whether or not a service does,
    and says with `handed_on` that it went on, which is when it counts.
    """

    def __init__(self, gate: Gate, session: Session, keep: bool = False) -> None:
        self.gate = gate
        self._keep = keep
        self.mail_data = Mail(
            gate.identity,
            session,
            mailboxes=gate.states(),
            exemptions=gate.exemptions(),
            units=gate.units(),
            names=gate.names(),
        )
        self._earlier: list[Finding] = []
        self._walker: Walker | None = None
        self._content_fields: list[Header] = []
        self._raw: Spool | None = None
        self._digest: hashlib._Hash | None = None
        self._body_found = False

    # -- commands -----------------------------------------------------------------------------

    def mail(self, path: bytes, arguments: Sequence[bytes], login: str, now: float, said: str = "") -> Verdict | None:
        """Begin with MAIL. login: SASL's user name. said: what the MTA made of the path, "" where it does not say."""
        gate = self.gate
        sender = self.mailbox_of(path, said)
        self.mail_data.envelope = Envelope(path, sender, tuple(arguments), {}, gate.identity.login(login))
        return self._now_or_later(gate.policy.at_mail(self.mail_data, now))

    def mailbox_of(self, path: bytes, said: str = "", mailer: str = "") -> str:
        """Return the mailbox that a path leads to; said, mailer: what the MTA made of it, and who delivers to it.

        Sendmail says of its own users the name alone: that tells less than the path.
        """
        identity = self.gate.identity
        return identity.said(said, mailer) if "@" in said else identity.typed(path)

    def recipient(
        self, path: bytes, now: float, arguments: Sequence[bytes] = (), mailbox: str | None = None
    ) -> Verdict | None:
        """Add a recipient, unless he is refused. arguments: the ESMTP parameters of RCPT. mailbox: whom he is."""
        if mailbox is None:
            mailbox = self.mailbox_of(path)
        self.mail_data.envelope.asked = path
        verdict = self._now_or_later(self.gate.policy.at_rcpt(self.mail_data, mailbox, now))
        if verdict is None:
            self.add_recipient(path, arguments, mailbox)
        return verdict

    def add_recipient(self, path: bytes, arguments: Sequence[bytes] = (), mailbox: str | None = None) -> None:
        """Add a recipient where the MTA waits for no answer: whether he is refused is seen at the end.

        One who stands there under another spelling is one recipient, whose paths are all kept.
        """
        envelope = self.mail_data.envelope
        if mailbox is None:
            mailbox = self.mailbox_of(path)
        paths = envelope.recipients.get(mailbox, ())
        envelope.recipients[mailbox] = paths if path in paths else (*paths, path)
        for argument in arguments:
            if argument[:6].upper() == b"ORCPT=":
                original = original_recipient(argument[6:], self.gate.identity)
                if original != mailbox:
                    envelope.originals[mailbox] = original

    def withdraw(self, path: bytes) -> None:
        """Take a recipient out again, whom the door's next hop refuses, with what was found of him alone."""
        envelope, mailbox = self.mail_data.envelope, self.mailbox_of(path)
        left = tuple([other for other in envelope.recipients.get(mailbox, ()) if other != path])
        if left:
            envelope.recipients[mailbox] = left
            return
        envelope.recipients.pop(mailbox, None)
        envelope.originals.pop(mailbox, None)
        self._earlier = [finding for finding in self._earlier if finding.recipient != mailbox]

    def more_fields(self, fields: list[Header]) -> None:
        """Take header fields that are not yet all: a door that has very many of them need not keep them."""
        if self._raw is None:
            self._raw = Spool(self.gate.spool_folder)
        self._read_fields(fields)
        self._write(header_octets(fields))

    def headers(self, fields: list[Header], now: float, octets: bytes | None = None) -> None:
        """Take the message's header fields, all that are left of them, as they stand.

        octets: the header to its last octet as it came, with the blank line where it has one; None where the door
        has the fields alone, and they are written out.
        """
        gate = self.gate
        walker = self._read_fields(fields)
        if self._raw is not None or self._keep or gate.keeps_message or self._earlier or self._has_claims():
            if self._raw is None:
                self._raw = Spool(gate.spool_folder)
            self._write(header_octets(fields) + b"\r\n" if octets is None else octets)
        elif gate.keeps_body:
            self._raw = Spool(gate.spool_folder)
        if gate.remembers:
            self._digest = hash_of(self.mail_data, self._content_fields)
        walker.begin(self._content_fields, self._raw.size if self._raw is not None else 0)

    def _read_fields(self, fields: list[Header]) -> Walker:
        mail = self.mail_data
        walker = self._walker
        if walker is None:
            walker = self._walker = Walker(self.gate.walk_limits, exact=self.gate.is_scanned)
            mail.content = walker.content
        self._content_fields += mail.take_headers(fields, self.gate.header_limits)
        return walker

    @property
    def leaves(self) -> Sequence[Leaf]:
        """The leaves of the message, as far as it was read."""
        return () if self._walker is None else self._walker.leaves

    def _has_claims(self) -> bool:
        return bool(self.gate.policy.claims(self.mail_data))

    def _write(self, octets: bytes | memoryview) -> None:
        assert self._raw is not None
        self._raw.write(octets)
        self.gate.services.metrics.add("spooled_octets", len(octets))

    def body(self, data: bytes | bytearray, start: int, stop: int, now: float) -> Verdict | None:
        """Take the next octets of the body."""
        walker = self._walker
        assert walker is not None, "headers() comes before body()"
        walker.feed(data, start, stop)
        if self._digest is not None:
            self._digest.update(memoryview(data)[start:stop])
        if self._raw is not None:
            self._write(memoryview(data)[start:stop])
        verdict = self.gate.policy.at_body(self.mail_data, now)
        if verdict is None or self._body_found:
            return None
        if verdict.action in (Action.REJECT, Action.TEMPFAIL):
            return verdict
        self._body_found = True  # a hold or a monitor finding is said at the end, with the rest
        self._earlier.extend(verdict.findings)
        return None

    def end_at_once(self) -> Verdict | None:
        """End the message and return its verdict; None where something must be waited for: then `end` gives it."""
        walker = self._finish()
        if self._earlier:
            return None
        return self.gate.judge_at_once(self.mail_data, self._raw, walker.leaves, not self._keep)

    async def end(self) -> Verdict:
        """End the message, unless it has ended, and return its verdict, recorded."""
        walker = self._finish()
        return await self.gate.judge(self.mail_data, self._raw, walker.leaves, self._earlier, not self._keep)

    async def held_as(self, verdict: Verdict, queue_id: str) -> None:
        """Record under which queue id the next hop holds a mail; raises what the notebook raises."""
        await self.gate.record_hold(self.mail_data, verdict, queue_id)

    async def handed_on(self, verdict: Verdict) -> None:
        """Count a mail that the next hop took; raises what the ledger raises."""
        await self.gate.count(self.mail_data, verdict)

    def _finish(self) -> Walker:
        walker = self._walker
        assert walker is not None, "headers() comes before the end"
        if not walker.content.complete:
            walker.finish()
        if self._digest is not None:
            self.mail_data.digest = self._digest.digest()
            self._digest = None
        return walker

    async def record(self, verdict: Verdict) -> Verdict:
        """Record a verdict that came before the end, and return it as it is to be said."""
        return await self.gate.early(self.mail_data, verdict)

    @property
    def raw(self) -> Spool | None:
        """The message's octets so far; None where nothing keeps them."""
        return self._raw

    def close(self) -> None:
        """Give the spool's space back."""
        if self._raw is not None:
            self.gate.services.metrics.add("spooled_octets", -self._raw.size)
            self._raw.close()
            self._raw = None

    # -- inside -------------------------------------------------------------------------------

    def _now_or_later(self, verdict: Verdict | None) -> Verdict | None:
        """Return a refusal; keep everything else for the end, and on non-SMTP mail refusals too.

        Postfix's non_smtpd hook takes a refusal at RCPT for a broken milter, and tries again.
        """
        if verdict is None:
            return None
        now = verdict.action in (Action.REJECT, Action.TEMPFAIL)
        if now and self.mail_data.session.hook != "non-smtp":
            return verdict
        self._earlier.extend(verdict.findings)
        return None


_XTEXT = re.compile(rb"\+([0-9A-F]{2})")


def original_recipient(value: bytes, identity: Identity) -> str:
    """Return the mailbox of an ORCPT parameter (RFC 3461 section 4.2: `rfc822;` and xtext), "" for another type."""
    kind, _, text = value.partition(b";")
    if kind.lower() not in (b"rfc822", b"utf-8"):
        return ""
    return identity.typed(_XTEXT.sub(lambda match: bytes([int(match[1], 16)]), text))


def header_octets(fields: Sequence[Header]) -> bytes:
    """Write header fields as they stood on the wire, with CRLF."""
    lines = []
    for name, value in fields:
        if b"\n" in value:
            value = value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        lines.append(name + b":" + value + b"\r\n")
    return b"".join(lines)
