"""What an accepted mail counts: who of ours sent it, who received it, and what kind of mail it was (6.2c, 7.2a).

Who sent a mail is a person's act, so that a mailbox nobody uses is found however much its programs send. What a login
hands over is a person's, unless its header says that a program wrote it. Without a login there is only what the mail
shows, and what shows nothing was written by a program:

    sender null, spam, or a virus in it       nobody sent it
    a list's or a rewriting's bounce address  nobody's mailbox sent it
    at egress, taken in by a hook of ours     it was counted there
    redirected by hand (RFC 5322, 3.6.6)      human
    one's own mail that comes by again        it was counted when it was new
    a header that only programs write         automatic, bulk or report, also with a login
    another's mail that a rule sends on       automatic, also with a login
    with a login, at any hook                 human
    From is another mailbox                   automatic
    a person's program named, or its signs    human
    a client in people_networks               human, but not at the hook non-smtp
    nothing of all this                       automatic: cron, scanners, applications

A newsletter that a login hands over with List-Unsubscribe is bulk: tools send it at their own hour, with a password
that they were given once. A mail merge out of a mail program has no such field, and is human.
"""

import hashlib
import ipaddress
import re
from collections.abc import Sequence

from .forwarding.letter import resenders_of
from .forwarding.lists import list_of
from .forwarding.table import COPY_FIELDS
from .identity.organization import in_networks
from .model import ActivityEvent, ActivityKind, Finding, Mail, MailClass, Verdict, legal_text
from .text.addresses import is_bounce_home, listed_in, spoken_of
from .text.received import passages_in

# Header fields that only a program writes, and what they make of a mail, the first that fits; each class with the
# values that are not its own.
_TELLING: dict[bytes, tuple[tuple[MailClass, tuple[bytes, ...]], ...]] = {
    b"list-id": ((MailClass.BULK, ()),),
    b"list-unsubscribe": ((MailClass.BULK, ()),),
    b"list-post": ((MailClass.BULK, ()),),
    b"feedback-id": ((MailClass.BULK, ()),),
    b"precedence": (
        (MailClass.BULK, (b"normal", b"first-class", b"special-delivery", b"auto_reply")),
        (MailClass.AUTOMATIC, (b"normal", b"first-class", b"special-delivery")),
    ),
    b"auto-submitted": ((MailClass.AUTOMATIC, (b"no",)),),
    b"x-autoreply": ((MailClass.AUTOMATIC, (b"no",)),),
    b"x-autorespond": ((MailClass.AUTOMATIC, ()),),
    b"x-auto-response-suppress": ((MailClass.AUTOMATIC, (b"none",)),),
    b"x-cron-env": ((MailClass.AUTOMATIC, ()),),
}

# How programs in which people write begin User-Agent or X-Mailer, in lower case, as they stand in the public archives
# of linux-kernel and other lists. Not among them are those that scripts call (mailx, mutt, s-nail, blat), libraries
# (PHPMailer, SwiftMailer, JavaMail, "Microsoft CDO for Windows 2000") and applications.
PEOPLES_PROGRAMS = (
    # webmail: "Zimbra 8.8.15_GA_3996 (ZimbraWebClient - FF87 (Linux)/…)", "Roundcube Webmail/1.6.1", "SOGoMail 5.1"
    *(b"zimbra ", b"roundcube webmail", b"sogomail ", b"horde application framework", b"internet messaging program"),
    *(b"squirrelmail/", b"rainloop", b"snappymail", b"open-xchange mailer", b"worldclient"),
    # "Microsoft Outlook 16.0", "Microsoft Office Outlook 12.0", "Microsoft-MacOutlook/16.96.25042021"
    *(b"microsoft outlook", b"microsoft office outlook", b"microsoft-macoutlook", b"microsoft windows live mail"),
    # "Mozilla Thunderbird", "Mozilla/5.0 (X11; …) Gecko/20100101 Thunderbird/102.6.0"
    *(b"mozilla", b"thunderbird", b"evolution ", b"kmail/", b"claws mail", b"sylpheed", b"the bat!", b"foxmail"),
    *(b"em_client", b"lotus notes", b"hcl notes", b"apple mail", b"iphone mail", b"ipad mail", b"k-9 mail"),
)

# Where no program is named: the address of whose browser it was (Zimbra, Exchange, Open-Xchange), and what Exchange
# makes of a mail that was written in Outlook or on the web.
_SIGNS_OF_PEOPLE = frozenset((b"x-originating-ip", b"x-ms-tnef-correlator"))

_ADDED_BY_POSTFIX = re.compile(rb"<\d{14}\.(?P<id>[0-9A-Za-z]{4,24})@(?P<host>[^<>@]+)>")  # cleanup(8)
_LONGEST_FIELD = 8_192  # octets of an address field that are looked at


class People:
    """By what people are known whose mail comes without a login. programs: further beginnings of User-Agent and
    X-Mailer. networks: clients, as ADDRESS/PREFIX, that hand over nothing but what people write."""

    def __init__(self, programs: Sequence[str] = (), networks: Sequence[str] = ()) -> None:
        self.programs = (*PEOPLES_PROGRAMS, *[program.lower().encode() for program in programs])
        self.networks = tuple([ipaddress.ip_network(network) for network in networks])

    def wrote(self, mail: Mail) -> bool:
        """Tell whether a person's program wrote a mail, as its header says."""
        values = mail.header_values(b"user-agent") + mail.header_values(b"x-mailer")
        if values:
            return any(value.strip().lower().startswith(self.programs) for value in values)
        return not _SIGNS_OF_PEOPLE.isdisjoint(mail.fields)


_PEOPLE = People()


def mail_class(mail: Mail, findings: Sequence[Finding] = ()) -> MailClass:
    """Return what a mail is to who receives it, by its envelope, its header fields, and what was found."""
    for finding in findings:
        if finding.rule == "spam" and is_about_content(finding):
            return MailClass.SPAM
    kind = mail.first_header(b"content-type")[:16].lower()
    if kind == b"multipart/report":
        return MailClass.REPORT
    if not mail.envelope.sender:
        return MailClass.REPORT if kind.startswith(b"message/") else MailClass.AUTOMATIC
    fields = mail.fields
    for name, kinds in _TELLING.items():
        if name in fields:
            value = mail.first_header(name).lower()
            for kind_of, ordinary in kinds:
                if not value.startswith(ordinary):
                    return kind_of
    return MailClass.HUMAN


def is_about_content(finding: Finding) -> bool:
    """Tell whether a finding says what the mail is, not that a service was away or could not look inside."""
    return not any(piece.kind == "missing" or piece.name in ("encrypted", "too-large") for piece in finding.evidence)


def activity_events(
    mail: Mail, verdict: Verdict, now: float, node: str, people: People = _PEOPLE
) -> list[ActivityEvent]:
    """Return what an accepted mail counts: `sent` for its official sender, `received` for each official recipient.

    Both with a class; who sent is told by the table above. What a virus was found in counts nothing. An alias of
    several mailboxes receives for each, and sends for none. What comes home to a rewritten sender (SRS, BATV) is a
    bounce's, and counts for nobody. The key is made of what names the mail at every hook that it passes, so that it
    counts once, also where it is sent again after a lost answer.
    """
    for finding in verdict.findings:
        if finding.rule == "virus" and is_about_content(finding):
            return []
    organization, identity, envelope = mail.organization, mail.identity, mail.envelope
    name = _name_of(mail, node)
    octets = mail.content.octets
    kind = mail_class(mail, verdict.findings)
    events = []
    sender = _sender_of(mail)
    if sender and kind is not MailClass.SPAM:
        account = identity.account(sender)
        if identity.is_mailbox(account):
            sent = _sent_class(mail, account, kind, people)
            if sent is not None:
                events.append(_event(ActivityKind.SENT, account, name, now, octets, sent))
    for recipient in envelope.recipients:
        if (
            not organization.is_official(recipient)
            or recipient in verdict.recipient_replies
            or ("=" in recipient and is_bounce_home(recipient))
        ):
            continue
        for mailbox in identity.mailboxes(recipient):
            events.append(_event(ActivityKind.RECEIVED, mailbox, name, now, octets, kind))
    return events


# -- who sent it -------------------------------------------------------------------------------------


def _sender_of(mail: Mail) -> str:
    """Return who of ours hands a mail over, "" for nobody: the login, or who a client of our own says in MAIL."""
    organization, envelope = mail.organization, mail.envelope
    sender = envelope.sender
    if not sender:
        return ""
    if envelope.login and organization.is_official(envelope.login):
        return envelope.login
    if not organization.is_official(sender):
        return ""
    if envelope.login:
        return sender
    if not organization.is_internal(mail.session.client_ip):
        return ""
    if "=" in sender:
        spoken = spoken_of(sender)
        if spoken.scheme:
            sender = spoken.named if spoken.scheme == "batv" else ""
    return "" if not sender or _is_of_a_list(mail, sender) else sender


def _is_of_a_list(mail: Mail, sender: str) -> bool:
    """Tell whether an envelope sender is a list's, of those that are configured or by the mail's own header."""
    identity = mail.identity
    if identity.is_list(sender):
        return True
    known = list_of(sender)
    if not known:
        return False
    return b"list-id" in mail.fields or b"list-post" in mail.fields or identity.is_list(known)


def _sent_class(mail: Mail, account: str, kind: MailClass, people: People) -> MailClass | None:
    """Return as what a mail counts for its sender, None where it does not; kind: what it is to who receives it."""
    has_login, hook = bool(mail.envelope.login), mail.session.hook
    if not has_login and hook == "egress" and (mail.passages or mail.memory is None):
        # A hook of ours took it in; where its past was not asked for, since it goes to state bodies, one did as well.
        return None
    if b"resent-from" in mail.fields and _is_resent(mail, account):
        return MailClass.HUMAN
    is_copy = bool(mail.passages) or not COPY_FIELDS.isdisjoint(mail.fields)
    if has_login:
        return MailClass.AUTOMATIC if kind is MailClass.HUMAN and (is_copy or _passed_here(mail)) else kind
    is_authors = _is_author(mail, account)
    if is_copy and is_authors:
        return None
    if kind is not MailClass.HUMAN:
        return kind
    if is_copy or not is_authors:
        return MailClass.AUTOMATIC
    if people.wrote(mail):
        return MailClass.HUMAN
    if hook != "non-smtp" and people.networks and in_networks(mail.session.client_ip, people.networks):
        return MailClass.HUMAN
    return MailClass.AUTOMATIC


def _is_resent(mail: Mail, account: str) -> bool:
    """Tell whether a mailbox's owner redirects a mail by hand: it is given an identity of its own, and names him.

    A local program may write that, too: at the hook non-smtp it proves nothing.
    """
    if mail.session.hook == "non-smtp":
        return False
    return any(mail.identity.owns(account, mailbox) for mailbox in resenders_of(mail))


def _is_author(mail: Mail, account: str) -> bool:
    """Tell whether a mailbox may write as who a mail says that it is from: Sender, where it has one, else From."""
    for name in (b"sender", b"from"):
        value = mail.first_header(name)[:_LONGEST_FIELD]
        if value:
            return any(mail.identity.owns(account, mailbox) for mailbox in listed_in(value))
    return False


def _passed_here(mail: Mail) -> bool:
    """Tell whether a mail that a login hands over has passed this MTA before: it came out of a mailbox.

    Without a login that says nothing: a content filter hands back each mail behind this MTA's own Received line, and
    egress is given each so.
    """
    session = mail.session
    return bool(session.mta) and session.hook != "egress" and b"received" in mail.fields and bool(_passages(mail))


def _passages(mail: Mail) -> list[tuple[str, str]]:
    """Return the queue ids that this MTA gave a mail before, the newest first."""
    host = mail.session.mta.lower()
    hosts = frozenset((host,))
    return mail.once("passages here", lambda: passages_in(mail.header_values(b"received"), hosts))


# -- the events --------------------------------------------------------------------------------------


def _name_of(mail: Mail, node: str) -> bytes:
    """Return what a mail is called at every hook of an MTA: its Message-ID, else by the queue id that it got first.

    Where there is no Message-ID, Postfix may add one of the queue id that it gives the mail then, at whatever hook.
    """
    message_id = mail.first_header(b"message-id")
    mta = mail.session.mta.lower()
    if not mta:
        return message_id or f"{node}/{mail.queue_id}".encode("utf-8", "surrogateescape")
    queue_id = ""
    if message_id:
        added = _ADDED_BY_POSTFIX.fullmatch(message_id) if message_id[15:16] == b"." else None
        if added is None or added["host"].lower() != mta.encode("utf-8", "surrogateescape"):
            return message_id
        queue_id = added["id"].decode("ascii")
    if queue_id in ("", mail.queue_id):
        earlier = _passages(mail) if mail.session.hook == "egress" else ()
        queue_id = earlier[-1][1] if earlier else mail.queue_id
    return f"{mta}/{queue_id}".encode("utf-8", "surrogateescape")


def _event(
    kind: ActivityKind, mailbox: str, identity: bytes, now: float, octets: int, what: MailClass
) -> ActivityEvent:
    name = mailbox.encode("utf-8", "surrogateescape")
    key = hashlib.blake2b(b"\0".join((kind.encode(), name, identity)), digest_size=16).digest()
    return ActivityEvent(key, kind, legal_text(mailbox), now, octets, what)
