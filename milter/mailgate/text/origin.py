"""Who a mail says that it comes from: its author, and the domains that signed it. Neither is proven here."""

import re

from ..identity.spelling import domain_of
from ..model import Mail
from .addresses import listed_in
from .organisational import organisational

_LONGEST_AUTHOR = 8_192  # octets of From that are looked at: the first mailbox stands in far less
_MOST_SIGNATURES, _LONGEST_SIGNATURE = 10, 8_192  # a mail has two or three, of a few hundred octets; more is noise
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")

# Where everybody has a mailbox: there a domain says nothing of whose a mail is.
_MAIL_PROVIDERS = frozenset(
    {
        *("gmail.com", "googlemail.com", "yahoo.com", "yahoo.com.vn", "ymail.com", "hotmail.com", "outlook.com"),
        *("outlook.com.vn", "live.com", "msn.com", "icloud.com", "me.com", "proton.me", "protonmail.com", "zoho.com"),
        *(
            "mail.ru",
            "yandex.com",
            "yandex.ru",
            "qq.com",
            "163.com",
            "gmx.com",
            "gmx.net",
            "aol.com",
            "fpt.vn",
            "vnn.vn",
        ),
    }
)


def author_of(mail: Mail) -> str:
    """Return the first mailbox of From, "" where there is none."""
    value = mail.first_header(b"from")[:_LONGEST_AUTHOR]
    return next((mailbox for mailbox in listed_in(value) if "@" in mailbox), "")


def signers_of(mail: Mail) -> list[str]:
    """Return the domains that DKIM signatures name (d=), each once, in order."""
    found: dict[str, None] = {}
    for value in mail.header_values(b"dkim-signature")[:_MOST_SIGNATURES]:
        for tag in value[:_LONGEST_SIGNATURE].split(b";"):
            name, _, signer = tag.partition(b"=")
            if name.strip() == b"d":
                found[signer.strip().decode("ascii", "replace").lower()] = None
                break
    return list(found)


def advertiser_of(mailbox: str) -> str:
    """Return who advertises with a mailbox: its organisational domain, or the mailbox itself at a mail provider.

    "" where it has no domain of the DNS.
    """
    domain = domain_of(mailbox)
    if not _DOMAIN.fullmatch(domain):
        return ""
    return mailbox if domain in _MAIL_PROVIDERS else organisational(domain)
