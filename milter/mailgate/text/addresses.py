"""Addresses that speak of other addresses: forwarding and bounce schemes, and addresses in header text.

All results are canonical mailboxes (`model.mailbox_of`). Sources: SRS as PostSRSd, libsrs2, Exim and
Microsoft 365 write it; BATV (draft-levine-smtp-batv); Gmail's `+caf_=`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from ..model import mailbox_of

_CAF = re.compile(r"(?P<user>.+?)\+caf_=(?P<local>.+)=(?P<domain>[^=]+)")
_SRS0 = re.compile(r"srs0[=+-][^=]+=[^=]+=(?P<domain>[^=]+)=(?P<local>.+)")
_SRS1 = re.compile(r"srs1[=+-][^=]+=(?P<host>[^=]+)=[=+-][^=]+=[^=]+=(?P<domain>[^=]+)=(?P<local>.+)")
_SRS_EXCHANGE = re.compile(r".+\+srs=[^=]+=[^=]+(?:=(?P<domain>[^=]+)=(?P<local>.+))?")
_BATV = re.compile(r"prvs=[0-9a-f]{6,}=(?P<local>.+)|(?P<before>.+)=prvs=[0-9a-f]{6,}")
_VERP = re.compile(r"[^=]+[+-](?P<local>[^=+]+)=(?P<domain>[^=]+\.[^=]+)")
_TOKEN = re.compile(rb"[^\s<>,;:\"()\[\]]+")


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an address says beside itself: its scheme ("caf", "srs", "batv", "verp", "" for none), the mailbox that it
    names ("" when it names none), the domain that wrote it, and of caf the mailbox that forwards."""

    scheme: str
    named: str
    by: str
    forwarder: str = ""


@lru_cache(maxsize=16_384)
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


def is_bounce_home(mailbox: str) -> bool:
    """Tell whether a *recipient* is a rewritten sender: a bounce that comes home (SRS, BATV)."""
    return spoken_of(mailbox).scheme in ("srs", "batv")
