"""Addresses that speak of other addresses: forwarding and bounce schemes, and addresses in header text and lists.

All results are canonical mailboxes (`model.mailbox_of`). Sources: SRS as PostSRSd, libsrs2, Exim and
Microsoft 365 write it; BATV (draft-levine-smtp-batv); Gmail's `+caf_=`.
"""

import re
from dataclasses import dataclass

from ..caches import remembered
from ..identity.spelling import LONGEST, ORDINARY, domain_of, mailbox_of
from ..mime.fields import decode_words

_CAF = re.compile(r"(?P<user>.+?)\+caf_=(?P<local>.+)=(?P<domain>[^=]+)")
_SRS0 = re.compile(r"srs0[=+-][^=]+=[^=]+=(?P<domain>[^=]+)=(?P<local>.+)")
_SRS1 = re.compile(r"srs1[=+-][^=]+=(?P<host>[^=]+)=[=+-][^=]+=[^=]+=(?P<domain>[^=]+)=(?P<local>.+)")
_SRS_EXCHANGE = re.compile(r".+\+srs=[^=]+=[^=]+(?:=(?P<domain>[^=]+)=(?P<local>.+))?")
_BATV = re.compile(r"prvs=[0-9a-f]{6,}=(?P<local>.+)|(?P<before>.+)=prvs=[0-9a-f]{6,}")
_VERP = re.compile(r"[^=]+[+-](?P<local>[^=+]+)=(?P<domain>[^=]+\.[^=]+)")
_TOKEN = re.compile(rb"[^\s<>,;:\"()\[\]]+")
_LIST_TOKEN = re.compile(
    # an encoded word, in which only programs that read none see more than a word: those see an address only by its @
    rb"=\?[^?\s@]{1,64}\?[bBqQ]\?[^?\s@]*\?=|\\.|[\"()<>,;:]|\s+|[^\\\"()<>,;:\s]+|\\",
    re.DOTALL,
)
_GAPS = re.compile(rb"\0?([@.])\0?")
_ONE_MAILBOX = re.compile(
    rb'(?:\s*+"[^"\\]*+"\s*+|[^\\"()<>,;:@]*+)(<[^\\"()<>,;:\s]++>)\s*+'
)  # as nearly every From is written
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_SCHEME = re.compile(rb"(?:mailto|smtp):", re.IGNORECASE)
# Quotation marks and brackets of every kind, and what takes no place: UTF-8 of U+200B to U+200F, U+2018 to U+201F.
_AROUND = rb"(?:['`<>(){}\[\]]|\xe2\x80[\x8b-\x8f\x98-\x9f]|\xc2[\xab\xbb])++"
_BEFORE, _AFTER = re.compile(_AROUND), re.compile(rb"(?<!['`<>(){}\[\]])" + _AROUND + rb"\Z")
_ENCODED = re.compile(rb"=\?[^?\s]{1,64}\?[bBqQ]\?")
_FIRST = re.compile(rb'[^@"]+@[A-Za-z0-9._\x80-\xff-]+')
_DOMAIN = re.compile(rb'[A-Za-z0-9._"\\\x80-\xff-]+')  # no other octet is of a domain; after it stands what is not


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an address says beside itself: its scheme ("caf", "srs", "batv", "verp", "" for none), the mailbox that it
    names ("" when it names none), the domain that wrote it, and of caf the mailbox that forwards, of verp the
    address without the member."""

    scheme: str
    named: str
    by: str
    forwarder: str = ""


@remembered("spoken_of")
def spoken_of(mailbox: str) -> Spoken:
    """Read a canonical mailbox by the schemes above.

    caf: `u+caf_=ptp.bl=hanam.gov.vn@gmail.com` names ptp.bl@hanam.gov.vn, the forward's target. srs: names
    the author whose mail was forwarded. batv: names the sender itself. verp: a mailing list's bounces, `list-bounces+
    lan=example.com@lists.example`, name the member.
    """
    local, at, by = mailbox.rpartition("@")
    if not at or ("=" not in local):
        return Spoken("", "", by)
    if match := _CAF.fullmatch(local):
        return Spoken("caf", _named(match), by, f"{match['user']}@{by}")
    for pattern in (_SRS0, _SRS1, _SRS_EXCHANGE):
        if match := pattern.fullmatch(local):
            return Spoken("srs", _named(match) if match["domain"] else "", by)
    if match := _BATV.fullmatch(local):
        return Spoken("batv", f"{match['local'] or match['before']}@{by}", by)
    if match := _VERP.fullmatch(local):
        return Spoken("verp", _named(match), by, f"{local[: match.start('local') - 1]}@{by}")
    return Spoken("", "", by)


def _named(match: re.Match[str]) -> str:
    return mailbox_of(f"{match['local']}@{match['domain']}".encode("utf-8", "surrogateescape"))


def mailboxes_in(value: bytes) -> list[str]:
    """Return every address in a header's text, in order, each as it stands there; linear in its length."""
    return [mailbox_of(token) for token in _TOKEN.findall(value) if 0 < token.find(b"@") < len(token) - 1]


@remembered("listed_in")
def listed_in(value: bytes) -> tuple[str, ...]:
    """Return the mailboxes of an address list (RFC 5322 section 3.4: From, Sender), groups' members among them.

    A display name in quotes and a comment are none of them, whatever they hold; an address that stands bare before
    another's brackets is, for IMAP servers show that one (Dovecot's ENVELOPE). Where programs read a malformed list
    differently, all readings are returned; what is only around an address (`'a@b'`, `<mailto:a@b>`) is taken off. A
    word without a domain is returned as it stands, without `@`: a bare one only where nothing else is a mailbox, for
    there it is the piece of a name with a comma in it. Where there is no mailbox, all that the value shows are.
    """
    if (match := _ONE_MAILBOX.fullmatch(value)) and ORDINARY.fullmatch(match[1]):
        return (mailbox_of(match[1]),)
    tokens: list[bytes] = _LIST_TOKEN.findall(value.replace(b"\0", b""))
    found, names, unclosed = _read_list(tokens, b'"(')
    if unclosed:  # what is opened and never closed opens nothing
        found, names, unclosed = _read_list(tokens, b'"('.replace(unclosed, b""))
        if unclosed:
            found, names, _ = _read_list(tokens, b"")
    if not any("@" in mailbox for mailbox in found):
        found += names or ([] if found else mailboxes_in(_decoded(value)))
    return tuple(dict.fromkeys(found))


def _read_list(tokens: list[bytes], openers: bytes) -> tuple[list[str], list[str], bytes]:
    """Read a list; return its mailboxes, the bare words that may be one, and what is opened and not closed."""
    found: list[str] = []
    names: list[str] = []
    words: list[bytes] = []
    angle = quoted = False
    depth = 0
    for token in tokens:
        if quoted:
            words.append(token)
            quoted = token != b'"'
        elif depth:
            depth += {b"(": 1, b")": -1}.get(token, 0)
        elif token == b"(" and token in openers:
            depth = 1
        elif token == b'"' and token in openers:
            words.append(token)
            quoted = True
        elif token == b"<":  # before it stood a display name
            found += _in_brackets(words) if angle else _in_a_name(words)
            words.clear()
            angle = True
        elif token == b">" and angle:
            found += _in_brackets(words)
            words.clear()
            angle = False
        elif token in b",;" and not angle:
            found += _bare(words, names)
            words.clear()
        elif token == b":" and not angle:  # before it stood a group's name
            found += _in_a_name(words)
            words.clear()
        elif not token.isspace() and token not in b",;>":
            words.append(token)
        elif words[-1:] != [b"\0"]:  # one for all between two words
            words.append(b"\0")
    found += _in_brackets(words) if angle else _bare(words, names)
    return found, names, b'"' if quoted else b"(" if depth else b""


def _texts(words: list[bytes]) -> list[bytes]:
    """Return what blanks part, which stand where they may around the dots and the `@` of an address."""
    return [text for text in map(bytes.strip, _GAPS.sub(rb"\1", b"".join(words)).split(b"\0")) if text]


def _in_brackets(words: list[bytes]) -> list[str]:
    """Return the mailboxes between angle brackets, or the one word there; several without `@` are a name."""
    path = b"".join(words).replace(b"\0", b"")
    if path.startswith(b"@") and b":" in path:  # a source route, whose commas part no addresses
        return [mailbox_of(path)]
    texts = _texts(words)
    if addresses := [text for text in texts if b"@" in text]:
        return [mailbox for text in addresses for mailbox in _readings(text)]
    return [mailbox_of(path)] if len(texts) == 1 else []


def _bare(words: list[bytes], names: list[str]) -> list[str]:
    """Return the mailboxes in a text without brackets: the words with `@`. One that stands alone is put to names."""
    texts = _texts(words)
    if addresses := [text for text in texts if b"@" in text]:
        return [mailbox for text in addresses for mailbox in _readings(text)]
    if any(b"=?" in text for text in texts) and (hidden := mailboxes_in(_decoded(b" ".join(texts)))):
        return hidden
    if len(texts) == 1:
        names.append(mailbox_of(texts[0]))
    return []


def _in_a_name(words: list[bytes]) -> list[str]:
    """Return the mailboxes in a display name, or a group's, that stand there without quotes.

    `A@B`, without a dot, is no address but a name; nor is what an encoded word holds.
    """
    if not any(b"@" in word for word in words):
        return []
    return [
        mailbox
        for text in _texts(words)
        if b"@" in _outside_quotes(text) and not text.startswith(b"=?")
        for mailbox in _readings(text)
        if "." in domain_of(mailbox)
    ]


def _readings(text: bytes) -> list[str]:
    """Return the mailboxes that programs see in a word with `@`: one nearly always."""
    if ORDINARY.fullmatch(text):
        return [mailbox_of(text)]
    if b"@" not in _outside_quotes(text):  # all of it in quotes: shown as it stands
        return mailboxes_in(text) or [mailbox_of(text)]
    if len(text) > LONGEST:
        return [mailbox_of(text)]
    text = _ENCODED.sub(b"", text, 1) if text.startswith(b"=?") else text
    for around in (_BEFORE, _SCHEME, _BEFORE):
        if match := around.match(text):
            text = text[match.end() :]
    if b"@[" not in text:  # what stands in brackets there is an IP address
        text = _AFTER.sub(b"", text)
    local, _, domain = text.rpartition(b"@")
    if (match := _DOMAIN.match(domain)) and local:
        text = local + b"@" + match[0]
    found = [mailbox_of(text)]
    if (match := _FIRST.match(text)) and match.end() < len(text):  # a@b@c, a@b\c: some stop there
        found.insert(0, mailbox_of(match[0]))
    return found


def _outside_quotes(text: bytes) -> bytes:
    return b"".join(_ESCAPED.sub(b"", text).split(b'"')[::2]) if b'"' in text else text


def _decoded(value: bytes) -> bytes:
    return decode_words(value).encode("utf-8", "replace") if b"=?" in value else value


def home_of(mailbox: str) -> str:
    """Return where a bounce to a mailbox goes that SRS rewrote, "" for another: to the author, or the host before.

    >>> home_of("srs0=ab=cd=a.example=lan@b.example"), home_of("srs1=ab=c.example==ab=cd=a.example=lan@b.example")
    ('lan@a.example', 'srs0=ab=cd=a.example=lan@c.example')
    """
    if "=" not in mailbox:
        return ""
    local = mailbox.rpartition("@")[0]
    if match := _SRS1.fullmatch(local):
        return f"srs0{local[match.end('host') + 1 :]}@{match['host']}"
    spoken = spoken_of(mailbox)
    return spoken.named if spoken.scheme == "srs" else ""


def is_bounce_home(mailbox: str) -> bool:
    """Tell whether a *recipient* is a rewritten sender: a bounce that comes home (SRS, BATV)."""
    return spoken_of(mailbox).scheme in ("srs", "batv")
