"""Tag lists (RFC 6376 section 3.2), as DKIM and ARC have them in header fields and key records."""

import re

_LONGEST = 65_536  # octets; signatures have some 1,000, and h= of them some hundreds
_MOST_TAGS = 100  # RFC 6376 knows 14
_NAME = re.compile(rb"[a-zA-Z][a-zA-Z0-9_]*")
_INSTANCE = re.compile(rb"\s*i\s*=\s*([0-9]{1,3})\s*\Z")


def read_tags(octets: bytes) -> dict[bytes, bytes]:
    """Return the tags of a list, values without the white space around them; raises ValueError for what is none.

    >>> read_tags(b" v=1; d=ninhbinh.gov.vn;")
    {b'v': b'1', b'd': b'ninhbinh.gov.vn'}
    """
    if len(octets) > _LONGEST or octets.count(b";") > _MOST_TAGS:
        raise ValueError("too long for a tag list")
    tags: dict[bytes, bytes] = {}
    specs = octets.split(b";")
    if not specs[-1].strip():
        specs.pop()
    for spec in specs:
        name, equals, value = spec.partition(b"=")
        name = name.strip()
        if not equals or not _NAME.fullmatch(name) or name in tags:
            raise ValueError("no tag list")
        tags[name] = value.strip()
    return tags


def solid(value: bytes) -> bytes:
    """Return a tag's value without the white space that folding put into it."""
    return b"".join(value.split())


def signer_of(tags: dict[bytes, bytes]) -> tuple[str, str]:
    """Return the signing domain (d=) and the name of its key, in lower case; "" for what can be none.

    A name with octets beyond ASCII is none: whoever signs writes A-labels (RFC 6376 section 3.5).
    """
    domain, selector = (solid(tags.get(tag, b"")).lower().rstrip(b".") for tag in (b"d", b"s"))
    if not domain or not selector or not (domain + selector).isascii():
        return "", ""
    return domain.decode(), f"{selector.decode()}._domainkey.{domain.decode()}"


def instance_of(value: bytes) -> int:
    """Return the instance of an ARC field (RFC 8617 section 4.2.1), 0 for none."""
    for spec in value[:_LONGEST].split(b";", _MOST_TAGS)[:_MOST_TAGS]:
        if found := _INSTANCE.match(spec):
            return int(found[1])
    return 0
