"""All that a rule's author reads: what a rule is, what it returns, how its examples are written.

A rule is one file in `mailgate_rules`, named as its stanza (`auto-forward` is auto_forward.py), with

    class Stanza(RuleStanza): ...   a frozen dataclass; its fields are the stanza's own keys
    EXAMPLES: tuple[Example, ...]   at least one hit, one miss and one on the boundary

The stanza's methods are pure: they read a Mail and yield Hits. A stage's method is called only where
the class defines it. What follows from a hit (mode, action, reply) is the stanza's, not the method's,
but a method may set an action or a reply where it alone knows the right one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from .model import Action, Evidence, Header, Mail, MailboxState, Mode


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing a rule found. recipient "" means the mail as a whole; soft evidence only records.

    mailboxes: the official mailboxes it may speak of, which an exemption names. owners: those of them that more than
    a mark speaks for, whose owners are told. mechanism: the name of what it found at work (mailgate.forwarding), and
    forwarder, whose mailbox or domain that works for.
    """

    evidence: tuple[Evidence, ...] = ()
    recipient: str = ""
    direction: str = ""
    action: Action | None = None
    reply: str = ""
    headers: tuple[Header, ...] = ()
    mailboxes: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    mechanism: str = ""
    forwarder: str = ""

    @property
    def is_soft(self) -> bool:
        """Tell whether nothing in the evidence decides alone."""
        return bool(self.evidence) and not any(piece.hard for piece in self.evidence)


@dataclass(frozen=True, kw_only=True)
class RuleStanza:
    """The keys that every rule's stanza has.

    mode: enforce, monitor or off. action: what an enforced finding does. reply: the text that the peer
    reads, with its code; "" is the rule's own. on_missing: the action when a fact that the rule needs
    could not be had; None is the failing service's `on_error`.
    """

    NAME: ClassVar[str]
    CLAUSE: ClassVar[str]
    REPLY: ClassVar[str]
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}  # an unknown key is an error

    NEEDS: ClassVar[str] = ""  # the fact, as in Mail.missing, without which the rule finds nothing

    mode: Mode = Mode.ENFORCE
    action: Action = Action.REJECT
    reply: str = ""
    on_missing: Action | None = None

    def at_mail(self, mail: Mail) -> Iterable[Hit]:
        """Judge the sender, at MAIL."""
        return ()

    def at_rcpt(self, mail: Mail, recipient: str) -> Iterable[Hit]:
        """Judge one recipient, at RCPT; he is not yet among mail.envelope.recipients."""
        return ()

    def speaks_at_rcpt(self, mailboxes: Mapping[str, MailboxState]) -> bool:
        """Tell whether at_rcpt can find anything while these mailboxes are not active.

        Where no rule can, the MTA is not made to wait at RCPT. A state may change while a connection lasts: what
        at_rcpt did not find, at_end must.
        """
        return True

    def at_body(self, mail: Mail) -> Iterable[Hit]:
        """Judge the content while it arrives, after each chunk: must cost next to nothing."""
        return ()

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Judge the whole mail, with all its facts."""
        return ()

    @property
    def reads_names(self) -> bool:
        """Tell whether it asks for the registry's names (Mail.names), which then are loaded."""
        return False

    def claims(self, mail: Mail) -> frozenset[str]:
        """Return the domains that this mail claims to come from, where the proof of it would change the verdict.

        Asked once the header fields are known; what was proven is in mail.proofs at the end.
        """
        return frozenset()


_LONGEST_TAG = 900  # octets, for a line has 998 (RFC 5322 section 2.1.1)
_FIELD_NAME = re.compile(r"[!-9;-~]{0,60}")  # RFC 5322 section 3.6.8


def check_tag(name: str) -> None:
    """Raise ValueError where a tag cannot have this name."""
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError("header: write a name in ASCII without blanks or colons, such as X-Mailgate")


def tag(name: str, value: str) -> tuple[Header, ...]:
    """Return the header field that a finding adds to its mail, none where the name is "".

    It is one line of printable ASCII, whatever of the mail is in the value.
    """
    if not name:
        return ()
    shown = "".join([letter if " " <= letter <= "~" else "?" for letter in value[:_LONGEST_TAG]])
    return ((name.encode("ascii"), shown.encode("ascii")),)


STAGES = ("at_mail", "at_rcpt", "at_body", "at_end")


def defines(stanza: RuleStanza, stage: str) -> bool:
    """Tell whether a rule has something to say at a stage."""
    return getattr(type(stanza), stage) is not getattr(RuleStanza, stage)


@dataclass(frozen=True, slots=True)
class Example:
    """One mail and what this rule alone makes of it; the generic test runs it through every door.

    message: octets with CRLF; a short one is written out, a large one built by an expression. wants: the
    action of the verdict. keys: the stanza's keys that differ from their defaults. facts: what a probe
    would have said, and what is remembered, as keyword arguments of Mail. locked, revoked: mailboxes in that state.
    """

    title: str
    wants: Action
    message: bytes = b"Subject: x\r\n\r\nx\r\n"
    hook: str = ""  # "": submission for a login, else mx
    sender: str = "a@example.com"
    recipients: Sequence[str] = ("ptp.bl@hanam.gov.vn",)
    client_ip: str = "203.0.113.7"
    login: str = ""
    arguments: Sequence[str] = ()
    direction: str = ""
    finds: bool | None = None  # None: found exactly when the verdict is not accept
    locked: Sequence[str] = ()
    revoked: Sequence[str] = ()
    keys: tuple[tuple[str, object], ...] = ()
    facts: tuple[tuple[str, object], ...] = ()
