"""Addresses that speak of other addresses: forwarding and bounce schemes, and addresses in header text and lists.

All results are canonical mailboxes (`model.mailbox_of`). Sources: SRS as PostSRSd, libsrs2, Exim and
Microsoft 365 write it; BATV (draft-levine-smtp-batv); Gmail's `+caf_=`.
"""

import re
from dataclasses import dataclass

from ..caches import remembered
from ..identity.spelling import mailbox_of

_CAF = re.compile(r"(?P<user>.+?)\+caf_=(?P<local>.+)=(?P<domain>[^=]+)")
_SRS0 = re.compile(r"srs0[=+-][^=]+=[^=]+=(?P<domain>[^=]+)=(?P<local>.+)")
_SRS1 = re.compile(r"srs1[=+-][^=]+=(?P<host>[^=]+)=[=+-][^=]+=[^=]+=(?P<domain>[^=]+)=(?P<local>.+)")
_SRS_EXCHANGE = re.compile(r".+\+srs=[^=]+=[^=]+(?:=(?P<domain>[^=]+)=(?P<local>.+))?")
_BATV = re.compile(r"prvs=[0-9a-f]{6,}=(?P<local>.+)|(?P<before>.+)=prvs=[0-9a-f]{6,}")
_VERP = re.compile(r"[^=]+[+-](?P<local>[^=+]+)=(?P<domain>[^=]+\.[^=]+)")
_TOKEN = re.compile(rb"[^\s<>,;:\"()\[\]]+")
_LIST_TOKEN = re.compile(rb"\\.|[\"()<>,;:]|\s+|[^\\\"()<>,;:\s]+|\\", re.DOTALL)
_GAPS = re.compile(rb"\0?([@.])\0?")
_ONE_MAILBOX = re.compile(
    rb'(?:\s*+"[^"\\]*+"\s*+|[^\\"()<>,;:]*+)(<[^\\"()<>,;:\s]++>)\s*+'
)  # as nearly every From is written


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an address says beside itself: its scheme ("caf", "srs", "batv", "verp", "" for none), the mailbox that it
    names ("" when it names none), the domain that wrote it, and of caf the mailbox that forwards."""

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
        return Spoken("verp", _named(match), by)
    return Spoken("", "", by)


def _named(match: re.Match[str]) -> str:
    return mailbox_of(f"{match['local']}@{match['domain']}".encode("utf-8", "surrogateescape"))


def mailboxes_in(value: bytes) -> list[str]:
    """Return every address in a header's text, in order, each as it stands there; linear in its length."""
    return [mailbox_of(token) for token in _TOKEN.findall(value) if 0 < token.find(b"@") < len(token) - 1]


@remembered("listed_in")
def listed_in(value: bytes) -> tuple[str, ...]:
    """Return the mailboxes of an address list (RFC 5322 section 3.4: From, Sender), groups' members among them.

    A display name and a comment are none of them, whatever they hold. Where programs read a malformed list
    differently, all readings are returned. An address without a domain is returned as it stands, without `@`.
    """
    if match := _ONE_MAILBOX.fullmatch(value):
        return (mailbox_of(match[1]),)
    tokens: list[bytes] = _LIST_TOKEN.findall(value.replace(b"\0", b""))
    found, unclosed = _read_list(tokens, b'"(')
    if unclosed:  # what is opened and never closed opens nothing
        found, unclosed = _read_list(tokens, b'"('.replace(unclosed, b""))
        if unclosed:
            found, _ = _read_list(tokens, b"")
    return tuple(dict.fromkeys(found))


def _read_list(tokens: list[bytes], openers: bytes) -> tuple[list[str], bytes]:
    """Read an address list, and return what it opens and does not close, b"" for nothing."""
    found: list[str] = []
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
            words.clear()
            angle = True
        elif token == b">" and angle:
            found += _in_brackets(words)
            words.clear()
            angle = False
        elif token in b",;" and not angle:
            found += _bare(words)
            words.clear()
        elif token == b":" and not angle:  # before it stood a group's name
            words.clear()
        elif not token.isspace():
            words.append(token)
        elif words[-1:] != [b"\0"]:  # one for all between two words
            words.append(b"\0")
    if angle:
        words = [b"\0" if word == b"," else word for word in words]
    found += _bare(words)
    return found, b'"' if quoted else b"(" if depth else b""


def _in_brackets(words: list[bytes]) -> list[str]:
    path = b"".join(words).replace(b"\0", b"")
    return [mailbox_of(path)] if path else []


def _bare(words: list[bytes]) -> list[str]:
    """Return the mailboxes in a text without brackets: the words with `@`, or a single word."""
    texts = _GAPS.sub(rb"\1", b"".join(words)).replace(b"\0", b" \0").split(b"\0")
    texts = [text for text in map(bytes.strip, texts) if text]
    return [mailbox_of(text) for text in texts if b"@" in text or len(texts) == 1]


def is_bounce_home(mailbox: str) -> bool:
    """Tell whether a *recipient* is a rewritten sender: a bounce that comes home (SRS, BATV)."""
    return spoken_of(mailbox).scheme in ("srs", "batv")
