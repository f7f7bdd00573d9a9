"""Whose a domain is: the organisational domain, one label below a public suffix.

The Public Suffix List knows that com.vn, gov.vn and hanam.vn are open to registrants. It comes with the package
publicsuffixlist, and is read once, with the first question.
"""

from functools import cache

from publicsuffixlist import PublicSuffixList

from ..caches import remembered


@remembered("organisational")
def organisational(domain: str) -> str:
    """Return the organisational domain of a canonical domain; one that is a public suffix itself stays as it is.

    >>> organisational("mail.shop.com.vn"), organisational("stttt.hanam.gov.vn"), organisational("hanam.vn")
    ('shop.com.vn', 'hanam.gov.vn', 'hanam.vn')
    """
    found: str | None = _suffixes().privatesuffix(domain)
    return found or domain


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
