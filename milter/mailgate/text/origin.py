"""Who a mail says that it comes from: its author, and the domains that signed it. Neither is proven here."""

import re

from ..model import Mail, domain_of
from .addresses import listed_in
from .organisational import organisational

_SIGNER = re.compile(rb"(?:^|;)\s*d\s*=\s*([A-Za-z0-9._-]{1,253})")
_MOST_SIGNATURES = 10  # a mail has two or three; more are noise
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
    return next((mailbox for mailbox in listed_in(mail.first_header(b"from")) if "@" in mailbox), "")


def signers_of(mail: Mail) -> list[str]:
    """Return the domains that DKIM signatures name (d=), each once, in order."""
    values = mail.header_values(b"dkim-signature")[:_MOST_SIGNATURES]
    found = (_SIGNER.search(value) for value in values)
    return list(dict.fromkeys(match[1].decode("ascii").lower() for match in found if match))


def advertiser_of(mailbox: str) -> str:
    """Return who advertises with a mailbox: its organisational domain, or the mailbox itself at a mail provider.

    "" where it has no domain of the DNS.
    """
    domain = domain_of(mailbox)
    if not _DOMAIN.fullmatch(domain):
        return ""
    return mailbox if domain in _MAIL_PROVIDERS else organisational(domain)
