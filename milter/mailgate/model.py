"""The nouns of mail policy: who speaks, the envelope, the message, what was found, what follows.

Everything here is data and pure functions on it; of ours it imports nothing but who is meant (`identity`), and knows
no door, no clock and no service. Text that came from the wire is decoded with `surrogateescape` where it must be
text at all, so that the octets can always be had back.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar, cast

from .identity.identity import Identity


class Mode(StrEnum):
    """What a rule's finding does: changes the verdict, is only recorded, or is never looked for."""

    ENFORCE = "enforce"
    MONITOR = "monitor"
    OFF = "off"


class Action(StrEnum):
    """What happens to a mail, weakest first: a verdict takes the strongest of its findings.

    A deferral outweighs a hold, since a mail that was not judged to the end is judged again; a
    refusal outweighs a deferral, since no later answer would change it.
    """

    ACCEPT = "accept"
    QUARANTINE = "quarantine"
    DISCARD = "discard"
    TEMPFAIL = "tempfail"
    REJECT = "reject"


STRENGTH: Mapping[Action, int] = {action: rank for rank, action in enumerate(Action)}


class MailboxStatus(StrEnum):
    """State of an official mailbox: active, locked (7.1, tạm khóa) or revoked (6.2, thu hồi)."""

    ACTIVE = "active"
    LOCKED = "locked"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class MailboxState:
    """One mailbox's state and the act that made it so; `at` is ISO 8601 with an offset, `by` who did it.

    must_change_password: whoever logs in next must change it (7.3), as after every restoration.
    """

    address: str
    status: MailboxStatus
    clause: str = ""
    reason: str = ""
    document: str = ""
    at: str = ""
    by: str = ""
    must_change_password: bool = False


class MailboxKind(StrEnum):
    """Whose a mailbox is (clause 5): one official's (cá nhân) or a unit's (cơ quan, đơn vị)."""

    INDIVIDUAL = "individual"
    UNIT = "unit"


@dataclass(frozen=True, slots=True)
class Registration:
    """What the registry knows of one mailbox; dates are ISO 8601, password_changed "" for a default password."""

    address: str
    kind: MailboxKind
    name: str
    unit: str
    created: str
    password_changed: str = ""


# -- text -----------------------------------------------------------------------------------------


def legal_text(text: str) -> str:
    r"""Return text that JSON, a store or a mail can carry: each octet that was no UTF-8 is a question mark.

    >>> legal_text("\udcff@hanam.gov.vn")
    '?@hanam.gov.vn'
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# -- one mail ------------------------------------------------------------------------------------


# Made for every mail: a dataclass's own __init__ is never compiled, one written out is.


@dataclass(slots=True, init=False)
class Session:
    """The SMTP client as the door knows it. `client_ip` is "" for a Unix socket or non-SMTP mail.

    mta: the name of the MTA that asks, as it writes it into Received ({j}); "" where it did not say.
    """

    hook: str
    client_ip: str
    client_name: str
    helo: str
    daemon_name: str
    node: str
    mta: str

    def __init__(
        self,
        hook: str = "mx",
        client_ip: str = "",
        client_name: str = "",
        helo: str = "",
        daemon_name: str = "",
        node: str = "",
        mta: str = "",
    ) -> None:
        self.hook = hook
        self.client_ip = client_ip
        self.client_name = client_name
        self.helo = helo
        self.daemon_name = daemon_name
        self.node = node
        self.mta = mta


AFTER_EXPANSION = frozenset({"egress", "non-smtp"})
"""Hooks that see the copies which aliases, .forward files and pipes make."""


@dataclass(slots=True, init=False)
class Envelope:
    """RFC 5321's envelope: paths as octets, mailboxes as text that compares.

    arguments: the ESMTP parameters of MAIL, as sent. recipients: mailbox → each path that leads to it, as the MTA
    gave it (which a deletion must repeat to the letter). originals: mailbox → the one that ORCPT= (RFC 3461) names,
    where it names another. asked: the path of the recipient that was asked for last.
    """

    sender_path: bytes
    sender: str
    arguments: tuple[bytes, ...]
    recipients: dict[str, tuple[bytes, ...]]
    login: str
    originals: dict[str, str]
    asked: bytes

    def __init__(
        self,
        sender_path: bytes = b"<>",
        sender: str = "",
        arguments: tuple[bytes, ...] = (),
        recipients: dict[str, tuple[bytes, ...]] | None = None,
        login: str = "",
    ) -> None:
        self.sender_path = sender_path
        self.sender = sender
        self.arguments = arguments
        self.recipients = {} if recipients is None else recipients
        self.login = login
        self.originals = {}
        self.asked = b""

    def declared_bytes(self) -> int | None:
        """Return SIZE= (RFC 1870) in octets, None when absent or not a number."""
        for argument in self.arguments:
            if argument[:5].upper() == b"SIZE=" and argument[5:].isdigit():
                return int(argument[5 : 5 + _MOST_DIGITS])
        return None


_MOST_DIGITS = 20  # RFC 1870 section 6: a size has at most 20 digits

Header = tuple[bytes, bytes]

FIELDS_READ = {
    *(b"from", b"sender", b"subject", b"message-id", b"in-reply-to", b"content-type", b"received"),
    *(b"auto-submitted", b"precedence", b"feedback-id", b"x-autoreply", b"x-autorespond"),
    *(b"x-auto-response-suppress", b"list-id", b"list-post", b"list-unsubscribe"),
    *(b"user-agent", b"x-mailer", b"x-cron-env"),
    *(b"resent-from", b"resent-sender", b"resent-message-id"),
    *(b"dkim-signature", b"arc-seal", b"arc-message-signature"),
}
"""The header fields whose values anybody here reads, with those of the mechanisms of forwarding (`also_read`); of all
others only that they are there is known."""


def also_read(*names: bytes) -> None:
    """Have the values of further header fields read, names in lower case; once, before the first mail."""
    FIELDS_READ.update(names)


@dataclass(frozen=True, slots=True)
class HeaderLimits:
    """What of a message's header is read; a mail with more bears a defect that says so.

    fields: of all names; real mail has under 200. of_one_name: Postfix bounces what has passed 50 hosts
    (hopcount_limit), and an ARC chain has 50 sets at most (RFC 8617). octets_of_one_name: Postfix cuts a field at
    102,400 octets (header_size_limit), which only To and Cc reach: longer than this limit they are not read, which is
    no defect.
    """

    fields: int = 2_000
    of_one_name: int = 100
    octets_of_one_name: int = 32_768


@dataclass(slots=True, init=False)
class Attachment:
    """One file in a message: name (decoded), type, decoded size in octets, where it stands.

    `names` is what else programs read for its name. `span` is the half-open range of its transfer-encoded octets in
    the raw message.
    """

    name: str
    type: str
    size: int
    encoding: str
    inline: bool
    span: tuple[int, int]
    sha256: str
    names: tuple[str, ...]

    def __init__(
        self,
        name: str,
        type: str,
        size: int,
        encoding: str = "",
        inline: bool = False,
        span: tuple[int, int] = (0, 0),
        names: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.type = type
        self.size = size
        self.encoding = encoding
        self.inline = inline
        self.span = span
        self.sha256 = ""
        self.names = names


@dataclass(slots=True, init=False)
class Content:
    """What the MIME walk saw of a message so far; `complete` once the end was seen.

    attachment_bytes: the sum that clause 8.1b limits. inline_bytes: what of it are inline images and
    other non-text leaves without a name. defects: names of what is malformed or ambiguous. exceeded: each limit
    that the message met, by its name: what lies beyond it was not read.
    """

    attachments: list[Attachment]
    attachment_bytes: int
    inline_bytes: int
    defects: set[str]
    exceeded: dict[str, int]
    depth: int
    parts: int
    octets: int
    complete: bool

    def __init__(self) -> None:
        self.attachments = []
        self.attachment_bytes = 0
        self.inline_bytes = 0
        self.defects = set()
        self.exceeded = {}
        self.depth = 0
        self.parts = 0
        self.octets = 0
        self.complete = False

    def ambiguities(self) -> list[str]:
        """Name what lets programs find other parts in the message than the walk did."""
        return sorted(_AMBIGUITIES & self.defects)

    def unread(self) -> list[str]:
        """Say which limits the message met, a line each: what lies beyond them was not read."""
        return [f"more than {limit} {name.replace('-', ' ')}" for name, limit in sorted(self.exceeded.items())]


_AMBIGUITIES = frozenset({"delimiter-by-prefix", "ambiguous-delimiters"})


class ScanStatus(StrEnum):
    """clamd's five answers, kept apart."""

    CLEAN = "clean"
    FOUND = "found"
    ENCRYPTED = "encrypted"
    TOO_LARGE = "too-large"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Scan:
    """The virus scanner's answer: the signature or error text, and which part it spoke of."""

    status: ScanStatus
    detail: str = ""
    part: str = "message"


@dataclass(frozen=True, slots=True)
class SpamReport:
    """The spam engine's answer: its action, score, the score it needs to reject, its symbols."""

    action: str
    score: float
    required: float
    symbols: tuple[str, ...] = ()


# -- what is inside a mail -----------------------------------------------------------------------


class TextKind(StrEnum):
    """Where a text of a mail stands: it decides how it is read."""

    SUBJECT = "subject"
    BODY = "body"
    DOCUMENT = "document"
    FILE_NAME = "file name"


class Level(StrEnum):
    """The levels of state secrets by the letters that envelopes bear: tuyệt mật, tối mật, mật (law 29/2018/QH14)."""

    TOP_SECRET = "A"
    SECRET = "B"
    CONFIDENTIAL = "C"


class Grade(StrEnum):
    """What a mark is good for: to hold the mail, to have somebody look at it, or to note that secrecy ended."""

    HOLD = "hold"
    REVIEW = "review"
    DECLASSIFIED = "declassified"


class MarkForm(StrEnum):
    """How a mark of secrecy is written."""

    STAMP = "stamp"  # alone on its line, or in its cell of a table
    PREFIX = "prefix"  # first in a subject, before a colon or dash
    BRACKETED = "bracketed"
    FIELD = "field"  # Độ mật: …
    PHRASE = "phrase"  # độ Tối mật
    NOUN = "noun"  # tài liệu mật
    RUNNING = "running"  # capitals in a sentence
    FILE_NAME = "file name"


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark of secrecy: its level (None for one that ended secrecy), and where it begins: the line, from 1, and the
    offset in the text, from 0."""

    level: Level | None
    grade: Grade
    form: MarkForm
    line: int
    offset: int


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a mail as a reader sees it, folded (text.folding): in lower case, its marks kept.

    place: "subject", "part 2", or the files that it is inside, outermost first: "hop-dong.zip > bien-ban.docx".
    charset: the Vietnamese one before Unicode that it was in ("tcvn3"), "" for Unicode. declared: what it said it is.
    is_html: it was HTML, of which this is what shows.
    """

    place: str
    kind: TextKind
    canon: str
    marks: tuple[Mark, ...] = ()
    charset: str = ""
    declared: str = ""
    is_html: bool = False


class Danger(StrEnum):
    """What makes a file dangerous to whoever opens it (clause 4.2), by its content."""

    PROGRAM = "program"  # what the machine runs: PE, ELF, Mach-O, Java, MSI
    SCRIPT = "script"  # what an interpreter runs
    SHORTCUT = "shortcut"  # LNK, URL
    DISK_IMAGE = "disk-image"  # ISO, VHD: what is inside has no mark of the web
    NOTEBOOK = "notebook"  # OneNote: hides programs behind pictures
    HELP = "help"  # CHM
    DISGUISED = "disguised"  # its name says another kind of file
    MACRO = "macro"  # code in a document, no more
    MACRO_AUTORUN = "macro-autorun"  # that runs when the document is opened
    MACRO_SHELL = "macro-shell"  # that runs other programs
    MACRO_DOWNLOAD = "macro-download"  # that fetches something
    REMOTE_TEMPLATE = "remote-template"  # a document that fetches a part of it when opened
    LINKED_WORKBOOK = "linked-workbook"  # formulas or a chart take values from a workbook elsewhere, once asked
    DYNAMIC_DATA = "dynamic-data"  # DDE
    EMBEDDED_PROGRAM = "embedded-program"  # in an OLE object, a PDF
    ACTIVE_PDF = "active-pdf"  # JavaScript or a launch action
    HTML_SMUGGLING = "html-smuggling"  # a page whose script makes the file that it carries, and saves it
    ACTIVE_IMAGE = "active-image"  # SVG with a script
    ACTIVE_PAGE = "active-page"  # a page that may do so, by what its script calls
    BOMB = "bomb"  # grows beyond all measure when opened


@dataclass(frozen=True, slots=True)
class File:
    """One file in a mail, or in another file of it.

    place: its name after those of the files that it is inside: "a.zip > b.exe". name: the last of them, as it stands
    there. names: what else programs read for it, where it is written in several ways. type: what its content is, as a
    short word ("pdf", "docx", "exe"), "" where nothing tells. declared: the MIME type that the mail gives it. size:
    in octets. dangers: each with what shows it, which is never its text.
    """

    place: str
    name: str
    type: str = ""
    declared: str = ""
    size: int = 0
    sha256: str = ""
    dangers: tuple[tuple[Danger, str], ...] = ()
    names: tuple[str, ...] = ()


class Obstacle(StrEnum):
    """Why a file was not looked into."""

    DAMAGED = "damaged"
    ENCRYPTED = "encrypted"
    TRUNCATED = "truncated"  # the rest of a text: it has more letters than are read
    LIMIT = "limit"  # of size, nesting, number or time, before the whole was seen
    UNSUPPORTED = "unsupported"  # a container that nothing here opens
    AMBIGUOUS = "ambiguous"  # programs find other parts in it, of which one reading was looked into
    KILLED = "killed"  # what looked into it died of it, or had to be ended


@dataclass(frozen=True, slots=True)
class Uninspected:
    """A file, or a rest of one, that was not looked into, and what exactly was in the way."""

    place: str
    obstacle: Obstacle
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that was taken out of what the virus scanner does not open: it is given to it by itself."""

    place: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that was found inside a mail."""

    texts: tuple[Text, ...] = ()
    files: tuple[File, ...] = ()
    uninspected: tuple[Uninspected, ...] = ()
    taken: tuple[Taken, ...] = ()


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One line of a list of the site: what stands in it, and its attributes."""

    text: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lists:
    """The site's lists by their names ("registration/domains"), each by what is looked up in it.

    A domain is canonical, an address a canonical mailbox, a network as ipaddress writes it; a phrase stands here as
    it is written. A record's key is what it speaks of with a blank between: "lan@hanam.gov.vn shop.example".
    """

    entries: Mapping[str, Mapping[str, ListEntry]] = field(default_factory=dict)
    _prefixes: dict[str, list[int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def find(self, name: str, key: str) -> ListEntry | None:
        """Return the entry of a list for exactly this key."""
        known = self.entries.get(name)
        return known.get(key) if known else None

    def find_domain(self, name: str, domain: str) -> ListEntry | None:
        """Return the entry of a list for this domain, or for the nearest one above it."""
        known = self.entries.get(name)
        while known and domain:
            found = known.get(domain)
            if found is not None:
                return found
            domain = domain.partition(".")[2]
        return None

    def find_address(self, name: str, address: str) -> ListEntry | None:
        """Return the entry of a list for this IP address, or for the smallest network that it is in."""
        known = self.entries.get(name)
        if not known:
            return None
        found = known.get(address)
        prefixes = self._prefixes.get(name)
        if prefixes is None:
            lengths = {int(key.rpartition("/")[2]) for key in known if "/" in key}
            prefixes = self._prefixes[name] = sorted(lengths, reverse=True)
        if found is not None or not prefixes:
            return found
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return None
        for length in prefixes:
            if length <= ip.max_prefixlen:
                found = known.get(str(ipaddress.ip_network((ip, length), strict=False)))
                if found is not None:
                    return found
        return None


NO_LISTS = Lists()


@dataclass(frozen=True, slots=True)
class Spotted:
    """A phrase of a list that stands in a text: the list, its entry, the place and kind of the text, the offset in
    its canon."""

    list: str
    entry: ListEntry
    place: str
    kind: TextKind
    offset: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a DNS blacklist (RFC 5782) says of who sends a mail: its zone, the address or domain, its answer."""

    zone: str
    name: str
    answer: str


@dataclass(frozen=True, slots=True)
class Passage:
    """An earlier passage of a mail through one of our MTAs, known by the queue id in its Received line.

    mailboxes: the official mailboxes that it was addressed to then. addressed: which of the mail's present
    recipients it was addressed to. is_same: the Message-ID was the same. was_asked: what is remembered of
    the Message-ID was asked for then, so that the passage as a whole was judged. is_unchanged: the mail was known
    then to have the content that it has now (Mail.digest).
    """

    queue_id: str
    hook: str
    login: str
    sender: str
    mailboxes: tuple[str, ...]
    addressed: frozenset[str]
    is_same: bool
    was_asked: bool
    is_unchanged: bool


def was_judged(passages: Sequence[Passage], recipients: Iterable[str]) -> bool:
    """Tell whether this very mail was addressed to these recipients when it was taken in last, and judged then.

    Whatever its headers say was there to be seen at that hook, and who had logged in, which egress is not told. With
    a line of another mail's passage among them, which somebody may have written, they prove nothing; nor do they of
    another content: what was judged, and released where it was held, is what was in the mail, not its name.
    """
    if not passages or not all(passage.is_same for passage in passages):
        return False
    newest = passages[0]
    return newest.was_asked and newest.is_unchanged and all(recipient in newest.addressed for recipient in recipients)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a Message-ID: the official mailboxes that such a mail was delivered to, whether one of
    ours submitted it before, whether who hands it over now did, and which of the present recipients it was then
    addressed to."""

    mailboxes: tuple[str, ...] = ()
    was_submitted: bool = False
    is_submitter: bool = False
    addressed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """The most that may pass of one login within 5 minutes (burst), an hour and a day, and from how many client
    networks within an hour."""

    burst_mails: int
    burst_recipients: int
    hour_mails: int
    hour_recipients: int
    day_mails: int
    day_recipients: int
    networks: int

    @property
    def most_recipients(self) -> int:
        """The most recipients of one mail: with more, it could never pass."""
        return min(self.burst_recipients, self.hour_recipients, self.day_recipients)


Tally = tuple[int, int, int, int, int, int]
"""Mails and recipients within 5 minutes, within an hour and within a day."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What a login handed over up to now, this mail included: different mails and their recipients that came for the
    first time within the last 5 minutes (burst), the last hour and the last day, and the client networks of the last
    hour, those of retries included.

    passes: whether this mail is let through. passed: what passed in the order of the line, this mail included.
    waiting: older mails whose turn is before this one's, as far as that decided.
    """

    burst_mails: int = 0
    burst_recipients: int = 0
    hour_mails: int = 0
    hour_recipients: int = 0
    day_mails: int = 0
    day_recipients: int = 0
    networks: int = 0
    passes: bool = True
    passed: Tally = (0, 0, 0, 0, 0, 0)
    waiting: int = 0


def network_of(client: str) -> str:
    """Return the network of a client's IP address, as one of a provider's customers has it: /24, or /48 of IPv6.

    >>> network_of("203.0.113.7"), network_of("::ffff:203.0.113.7"), network_of("2001:db8:1:2::7"), network_of("")
    ('203.0.113.0/24', '203.0.113.0/24', '2001:db8:1::/48', '')
    """
    try:
        ip = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False))


def _within(values: list[bytes], most: int, octets: int) -> list[bytes]:
    """Return the first of some values, as many as these limits allow."""
    kept = []
    for value in values[:most]:
        octets -= len(value)
        if octets < 0:
            break
        kept.append(value)
    return kept


_NO_VALUES: list[bytes] = []
_ADDRESSEES = (b"to", b"cc", b"resent-to", b"resent-cc")
_A_FIELD = 64  # octets that a field counts beside its own


class Counted(Protocol):
    """Numbers that are there so often."""

    def count(self, key: int, /) -> int:
        """Return how often a number is there."""


Read = TypeVar("Read")


class Mail:
    """One mail on its way to a verdict; doors fill it, probes add facts, rules read it.

    fields: the values of the top-level header fields by their names in lower case, octets as sent, within
    HeaderLimits; [] for a name that nobody reads (FIELDS_READ). header_octets: of all fields. scans and spam: what
    the probes said, None when they were not asked. missing: each fact that was asked for and could not be had, with
    the reason. mailboxes: the state of each mailbox that is not active, None when it was never loaded. passages:
    earlier passages through our MTAs, newest first. memory: of its Message-ID; None where it was not asked for.
    proofs: of each domain that a rule's `claims` names, what proves it (network, spf, dkim, arc), "" for nothing.
    exemptions: those of the store. sending: what the login handed over of late; None where it was not asked for.
    units: the mailboxes that are a unit's. inspection: what is inside the mail, None where nobody looked. lists: the
    site's. spotted: the phrases of the lists that its texts hold, in order. advertised: of each recipient, how many
    advertisements of this one's advertiser came within 24 hours, this one included; None where it was not asked for.
    listings: what DNS blacklists say of the sender. names: how many registered mailboxes have a name, by its key
    (text.claimed_names). is_own_notice: Mailgate wrote it, as its key
    proves. at: when it is judged, in Unix seconds. digest: a hash of what is in it, as the doors'
    transaction makes it; b"" where nobody will ask whether it was judged before.
    """

    def __init__(
        self,
        identity: Identity,
        session: Session,
        envelope: Envelope | None = None,
        headers: list[Header] | None = None,
        content: Content | None = None,
        mailboxes: Mapping[str, MailboxState] | None = None,
        scans: Sequence[Scan] | None = None,
        spam: SpamReport | None = None,
        missing: dict[str, str] | None = None,
        passages: Sequence[Passage] = (),
        memory: Memory | None = None,
        proofs: Mapping[str, str] | None = None,
        exemptions: "Sequence[Exemption]" = (),
        sending: Sending | None = None,
        units: frozenset[str] = frozenset(),
        inspection: Inspection | None = None,
        lists: Lists | None = None,
        spotted: Sequence[Spotted] = (),
        advertised: Mapping[str, int] | None = None,
        listings: Sequence[Listing] = (),
        names: Counted = (),
    ) -> None:
        self.identity = identity
        self.organization = identity.organization
        self.session = session
        self.envelope = envelope or Envelope()
        self.fields: dict[bytes, list[bytes]] = {}
        self.header_octets = 0
        self._field_count = 0
        self._read: dict[object, object] = {}
        self.content = content or Content()
        self.queue_id = ""
        self.digest = b""
        self.mailboxes = mailboxes
        self.scans = scans
        self.spam = spam
        self.missing = missing or {}
        self.passages = passages
        self.memory = memory
        self.proofs = proofs or {}
        self.exemptions = exemptions
        self.sending = sending
        self.units = units
        self.inspection = inspection
        self.lists = lists or NO_LISTS
        self.spotted = spotted
        self.advertised = advertised
        self.listings = listings
        self.names = names
        self.at = 0.0
        self.is_own_notice = False
        if headers:
            self.take_headers(headers)

    def header_values(self, name: bytes) -> list[bytes]:
        """Return the values of every top-level field of this (lower-case) name, in order, each as it was sent."""
        if name not in FIELDS_READ:
            raise KeyError(f"{name!r} is not among FIELDS_READ")
        return self.fields.get(name, _NO_VALUES)

    def once(self, key: object, read: "Callable[[], Read]") -> "Read":
        """Return what a function reads of the header, worked out once for each key."""
        known = self._read
        if key not in known:
            known[key] = read()
        return cast("Read", known[key])

    def take_headers(self, headers: list[Header], limits: HeaderLimits = HeaderLimits()) -> list[Header]:
        """Take header fields, and return those named Content-*, names in lower case; may be called again for more."""
        fields = self.fields
        self._read.clear()
        content = []
        octets = 0
        room = limits.fields - self._field_count
        self._field_count += len(headers)
        if len(headers) > room:
            self.content.exceeded["header-fields"] = limits.fields
            self.header_octets += sum([len(name) + len(value) for name, value in headers[max(0, room) :]])
            headers = headers[: max(0, room)]
        for name, value in headers:
            octets += len(name) + len(value)
            lower = name.lower()
            if lower.startswith(b"content-"):
                content.append((lower, value))
            values = fields.get(lower)
            if values is None:
                fields[lower] = [value] if lower in FIELDS_READ else _NO_VALUES
            elif values is not _NO_VALUES:
                values.append(value)
        self.header_octets += octets
        if len(headers) > limits.of_one_name or octets > limits.octets_of_one_name:
            self._bound(limits)
        return content

    def _bound(self, limits: HeaderLimits) -> None:
        """Leave out, and say so, what of a name is too much to be read: its fields in the middle, or one's end."""
        for name, values in self.fields.items():
            if name in _ADDRESSEES:
                if sum([len(value) + _A_FIELD for value in values]) > limits.octets_of_one_name:
                    self._forget_addressees()
                continue
            if len(values) > limits.of_one_name:
                self.content.exceeded["fields-of-one-name"] = limits.of_one_name
            elif sum([len(value) for value in values]) > limits.octets_of_one_name:
                self.content.exceeded["octets-of-fields-of-one-name"] = limits.octets_of_one_name
            else:
                continue
            most, octets = limits.of_one_name // 2, limits.octets_of_one_name // 2
            first = _within(values, most, octets)
            last = _within(values[: len(first) - 1 : -1], most, octets) if first else []
            self.fields[name] = first + last[::-1] or [values[0][: limits.octets_of_one_name]]

    def _forget_addressees(self) -> None:
        """Leave out To, Cc and Resent-* of a mail to very many: who of its recipients stands there is then not
        known."""
        for name in _ADDRESSEES:
            if name in self.fields:
                self.fields[name] = _NO_VALUES

    @property
    def account(self) -> str:
        """The mailbox of the login, "" without one."""
        return self.identity.account(self.envelope.login) if self.envelope.login else ""

    @property
    def is_ours(self) -> bool:
        """Tell whether our own system hands this mail over: a login, a local program, a client of our networks."""
        session = self.session
        return (
            bool(self.envelope.login)
            or session.hook in AFTER_EXPANSION
            or self.organization.is_internal(session.client_ip)
        )

    def leaving(self) -> list[str]:
        """Return the recipients that a mail of ours would leave the state's mailboxes for (4.5)."""
        if not self.is_ours:
            return []
        is_state = self.organization.is_state
        return [recipient for recipient in self.envelope.recipients if not is_state(recipient)]

    def official_ends(self) -> tuple[str, ...]:
        """Return the official mailboxes that send or receive this mail, the sending one first."""
        ends = (self.account, self.envelope.sender, *self.envelope.recipients)
        return tuple(dict.fromkeys([end for end in ends if end and self.organization.is_official(end)]))

    def first_header(self, name: bytes) -> bytes:
        """Return the first field of this (lower-case) name, stripped, b"" when there is none."""
        values = self.header_values(name)
        return values[0].strip() if values else b""


# -- what was found ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that speaks for a finding: kind (header, envelope, client, login, part, ...), name, value.

    hard: decides alone; soft evidence is recorded and decides nothing.
    """

    kind: str
    name: str
    value: str
    hard: bool = True


LOCK = "lock"
"""The kind of an Evidence whose value is a mailbox that is to be locked (7.2b); its name is the clause."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's hit with what its stanza makes of it.

    recipient: the mailbox at fault, "" when the mail as a whole is. mailboxes: the official ones that it may speak
    of. exemption: the document that lets it through, "" when none does. reply: what the peer would be told.
    """

    rule: str
    clause: str
    mode: Mode
    action: Action
    reply: str = ""
    recipient: str = ""
    direction: str = ""
    evidence: tuple[Evidence, ...] = ()
    headers: tuple[Header, ...] = ()
    exemption: str = ""
    mailboxes: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    mechanism: str = ""
    forwarder: str = ""

    @property
    def explained(self) -> str:
        """What forwards from where to whom, in a line; "" for a rule that knows no mechanisms."""
        if not self.mechanism:
            return ""
        of = f" of {self.forwarder}" if self.forwarder else ""
        return f"{self.mechanism}{of}" + (f" to {self.recipient}" if self.recipient else "")

    @property
    def decides(self) -> bool:
        """Tell whether this finding bears on the verdict."""
        return self.mode is Mode.ENFORCE and not self.exemption and self.action is not Action.ACCEPT


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is done with a mail, or with one command of it.

    reply: what the peer reads, "" on accept, quarantine and discard. recipient_replies: the reply of
    each recipient who is refused on his own. headers: to be added.
    """

    action: Action = Action.ACCEPT
    reply: str = ""
    stage: str = "eom"
    findings: tuple[Finding, ...] = ()
    recipient_replies: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class Exemption:
    """What lets a finding through: its rule, the official mailbox and the counterpart, until when.

    mailbox and counterpart are a mailbox or a domain, "" is any. until: Unix seconds. document: the
    number of the paper that allows it. number: in the store, 0 for one of the configuration. added: when, Unix
    seconds.
    """

    rule: str
    mailbox: str
    counterpart: str
    until: float
    document: str
    reason: str = ""
    approver: str = ""
    number: int = 0
    added: float = 0.0


# -- what is counted -----------------------------------------------------------------------------


class ActivityKind(StrEnum):
    """What a mailbox did: sent a mail or received one (clauses 6.2c and 7.2a)."""

    SENT = "sent"
    RECEIVED = "received"


class MailClass(StrEnum):
    """What a mail is that a mailbox received or sent, so that it can be said later which of them count as activity.

    human: none of the others. bulk: of a list or a mass mailing. automatic: written by a program (RFC 3834), such as
    a vacation reply. report: a delivery or reading report (RFC 3464, 8098). spam: accepted, though found to be spam.
    """

    HUMAN = "human"
    BULK = "bulk"
    AUTOMATIC = "automatic"
    REPORT = "report"
    SPAM = "spam"


class ActivityEvent(NamedTuple):
    """One mailbox sent or received one mail. The same key counts once; `at` is Unix seconds (UTC).

    mail_class: of what was received as `activity.mail_class` has it; of what was sent, human is a person's act.
    """

    key: bytes
    kind: ActivityKind
    mailbox: str
    at: float
    octets: int
    mail_class: MailClass = MailClass.HUMAN


class Trace(NamedTuple):
    """What is remembered of a mail that was taken in, by two keys, 0 for none; `value` is JSON of ledger.history."""

    queue_key: int
    message_key: int
    value: bytes
    at: float


class Beat(NamedTuple):
    """The node counts, at this time: where no beats are, the ledger has a hole."""

    at: float


Noted = ActivityEvent | Trace | Beat
