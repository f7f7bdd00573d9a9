"""SPF (RFC 7208): may this client send for this domain?

A record is somebody's text: whatever it says, the outcome is one of seven results, and nothing else. It is parsed
whole before its first term is looked at (section 4.6), and asks DNS within the limits of section 4.6.4.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from urllib.parse import quote

Client = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_LOOKUPS = 10  # RFC 7208 section 4.6.4: terms that ask DNS
MOST_NAMES = 10  # the same section: hosts of one `mx`, names of one `ptr` or `p`
MOST_VOID = 2  # the same section: answers without a record
_LONGEST_RECORD = 8_192
"""Octets. Section 3.4 wants 450; the longest that are published have some 2,000. What is longer is not parsed."""
_LONGEST_NAME = 253  # section 7.3: what is longer loses labels on its left


class Result(StrEnum):
    """What the record says of the client (section 2.6)."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_QUALIFIERS = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}


class Names(Protocol):
    """Who asks DNS; each raises OSError where nothing can be known now, and returns nothing for what is not there."""

    async def texts(self, name: str) -> list[bytes]:
        """Return the TXT records of a name, the strings of each joined."""

    async def addresses(self, name: str, family: int) -> list[str]:
        """Return the A (family 4) or AAAA (6) records of a name."""

    async def exchanges(self, name: str) -> list[str]:
        """Return the hosts of a name's MX records."""

    async def pointers(self, name: str) -> list[str]:
        """Return the names of a name's PTR records."""


class _PermanentError(Exception):
    """The record is broken, or asks too much."""


async def check_host(names: Names, client_ip: str, domain: str, sender: str, helo: str) -> Result:
    """Return what SPF says of this client for this domain (section 4); sender: "" is postmaster of the domain."""
    try:
        return await _evaluate(names, client_ip, domain, sender, helo)
    except OSError:
        return Result.TEMPERROR


async def passes(names: Names, client_ip: str, domain: str, sender: str, helo: str) -> bool:
    """Tell whether SPF passes for this client and domain; raises OSError while DNS cannot tell."""
    return await _evaluate(names, client_ip, domain, sender, helo) is Result.PASS


async def _evaluate(names: Names, client_ip: str, domain: str, sender: str, helo: str) -> Result:
    domain = domain.removesuffix(".")
    if not _is_full_name(domain):
        return Result.NONE
    try:
        client = ipaddress.ip_address(client_ip.partition("%")[0])  # without the zone of a link-local one (RFC 4007)
    except ValueError:
        return Result.NONE
    if isinstance(client, ipaddress.IPv6Address) and client.ipv4_mapped:
        client = client.ipv4_mapped
    local, at, of = sender.rpartition("@")
    if not local:  # section 4.3
        sender = f"postmaster@{of if at else domain}"
    try:
        return await _Check(names, client, sender, helo).run(domain)
    except _PermanentError:
        return Result.PERMERROR


def _is_full_name(domain: str) -> bool:
    labels = domain.split(".")
    return len(labels) > 1 and _is_name(domain)


def _is_name(domain: str) -> bool:
    """Tell whether DNS can be asked for a name at all."""
    return len(domain) <= _LONGEST_NAME and all(0 < len(label) <= 63 for label in domain.split("."))


# -- the record, as it is written (section 12) -------------------------------------------------------

_EXPANSION = r"%(?:\{[slodiphv](?:[1-9][0-9]*)?r?[.\-+,/_=]*\}|[%_-])"
_LITERAL = r"[!-$&-~]"
_MACRO_STRING = re.compile(f"(?:{_EXPANSION}|{_LITERAL})*", re.IGNORECASE)
_ENDS_AS_NAME = re.compile(r".*(?:%[%_-]|%\{[^}]*\}|\.(?=[a-z0-9-]*[a-z-])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.?)", re.I)
_MODIFIER = re.compile(r"([a-z][a-z0-9._-]*)=(.*)", re.IGNORECASE)
_MECHANISM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?![a-z0-9._-])(.*)", re.IGNORECASE)
_PREFIXES = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_MACRO = re.compile(r"%(?:\{([slodiphv])([0-9]*)(r?)([.\-+,/_=]*)\}|([%_-]))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Term:
    """A mechanism. target: its domain-spec, "" for none. prefixes: bits of IPv4 and IPv6 that count. network: of ip4
    and ip6."""

    result: Result
    name: str
    target: str = ""
    prefixes: tuple[int, int] = (32, 128)
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None


def _parse(record: bytes) -> tuple[list[_Term], str]:
    """Return a record's mechanisms, and the domain-spec of its redirect, "" for none; raises _PermanentError."""
    if len(record) > _LONGEST_RECORD:
        raise _PermanentError
    try:
        words = record.decode("ascii").split(" ")[1:]
    except UnicodeDecodeError as error:
        raise _PermanentError from error
    terms: list[_Term] = []
    once: dict[str, str] = {}
    for word in filter(None, words):
        if modifier := _MODIFIER.fullmatch(word):
            name, value = modifier[1].lower(), modifier[2]
            if name in ("redirect", "exp"):
                if name in once:
                    raise _PermanentError
                once[name] = _domain_spec(value)
            elif not _MACRO_STRING.fullmatch(value):
                raise _PermanentError
            continue
        mechanism = _MECHANISM.fullmatch(word)
        if mechanism is None:
            raise _PermanentError
        terms.append(_term(_QUALIFIERS[mechanism[1] or "+"], mechanism[2].lower(), mechanism[3]))
    return terms, once.get("redirect", "")


def _term(result: Result, name: str, rest: str) -> _Term:
    if name in ("ip4", "ip6"):
        return _Term(result, name, network=_network(name, rest))
    prefixes = (32, 128)
    if name in ("a", "mx"):
        found = _PREFIXES.search(rest)
        if found is not None:
            rest = rest[: found.start()]
            prefixes = (32 if found[1] is None else int(found[1]), 128 if found[2] is None else int(found[2]))
            if prefixes[0] > 32 or prefixes[1] > 128:
                raise _PermanentError
    if not rest:
        if name in ("include", "exists"):
            raise _PermanentError
        return _Term(result, name, "", prefixes)
    if name == "all" or not rest.startswith(":"):
        raise _PermanentError
    return _Term(result, name, _domain_spec(rest[1:]), prefixes)


def _network(name: str, rest: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address, slash, bits = rest[1:].partition("/")
    if not rest.startswith(":") or (slash and not re.fullmatch("0|[1-9][0-9]{0,2}", bits)) or "%" in address:
        raise _PermanentError
    kind = ipaddress.IPv4Network if name == "ip4" else ipaddress.IPv6Network
    try:
        return kind(rest[1:], strict=False)
    except ValueError as error:
        raise _PermanentError from error


def _domain_spec(text: str) -> str:
    if not _MACRO_STRING.fullmatch(text) or not _ENDS_AS_NAME.fullmatch(text):
        raise _PermanentError
    return text


# -- its evaluation --------------------------------------------------------------------------------


class _Check:
    """One evaluation, which counts its look-ups."""

    def __init__(self, names: Names, client: Client, sender: str, helo: str) -> None:
        self._names = names
        self._client = client
        self._sender = sender
        self._helo = helo
        self._lookups = 0
        self._void = 0
        self._found_names: list[str] | None = None  # of the client, once they were asked for

    async def run(self, domain: str) -> Result:
        """Return what the domain's record says; raises _PermanentError."""
        if not _is_name(domain):
            return Result.NONE
        texts = await self._names.texts(domain)
        records = [text for text in texts if text[:6].lower() == b"v=spf1" and text[6:7] in (b"", b" ")]
        if not records:
            return Result.NONE
        if len(records) > 1:
            raise _PermanentError
        terms, redirect = _parse(records[0])
        for term in terms:
            if await self._matches(term, domain):
                return term.result
        if not redirect:
            return Result.NEUTRAL
        self._count()
        result = await self.run(await self._expand(redirect, domain))
        if result is Result.NONE:
            raise _PermanentError
        return result

    async def _matches(self, term: _Term, domain: str) -> bool:
        if term.name == "all":
            return True
        if term.network is not None:
            return self._client in term.network
        self._count()
        target = await self._expand(term.target, domain) if term.target else domain
        if term.name == "include":
            result = await self.run(target)
            if result is Result.NONE:
                raise _PermanentError
            return result is Result.PASS
        if not _is_name(target):
            return False
        if term.name == "a":
            return await self._is_at(target, term.prefixes)
        if term.name == "mx":
            hosts = self._some(await self._names.exchanges(target))
            if len(hosts) > MOST_NAMES:
                raise _PermanentError
            for host in hosts:
                if await self._is_at(host, term.prefixes):
                    return True
            return False
        if term.name == "exists":
            return bool(self._some(await self._names.addresses(target, 4)))
        return any(_is_below(name, target) for name in await self._own_names())

    async def _is_at(self, host: str, prefixes: tuple[int, int]) -> bool:
        family = self._client.version
        bits = prefixes[family == 6]
        for address in self._some(await self._names.addresses(host, family)):
            if self._client in ipaddress.ip_network(f"{address}/{bits}", strict=False):
                return True
        return False

    async def _own_names(self) -> list[str]:
        """Return the names of the client that lead back to it (section 5.5); none where DNS cannot tell."""
        if self._found_names is None:
            self._found_names = await self._find_own_names()
        return self._found_names

    async def _find_own_names(self) -> list[str]:
        try:
            pointers = self._some(await self._names.pointers(self._client.reverse_pointer))
        except OSError:
            return []
        found = []
        for name in pointers[:MOST_NAMES]:
            try:
                if str(self._client) in await self._names.addresses(name, self._client.version):
                    found.append(name.removesuffix(".").lower())
            except OSError:
                continue
        return found

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > MOST_LOOKUPS:
            raise _PermanentError

    def _some(self, answer: list[str]) -> list[str]:
        """Return an answer; too many without a record are an error."""
        if not answer:
            self._void += 1
            if self._void > MOST_VOID:
                raise _PermanentError
        return answer

    async def _expand(self, text: str, domain: str) -> str:
        """Expand macros (section 7) into a name that DNS can be asked for."""
        own_name = await self._own_name(domain) if re.search(r"%\{p", text, re.IGNORECASE) else ""

        def value(match: re.Match[str]) -> str:
            if match[5]:
                return {"%": "%", "_": " ", "-": "%20"}[match[5]]
            local, _, of = self._sender.rpartition("@")
            is_six = self._client.version == 6
            dotted = self._client.exploded.replace(":", "") if is_six else str(self._client)
            values = {
                "s": self._sender,
                "l": local,
                "o": of,
                "d": domain,
                "i": ".".join(dotted) if is_six else dotted,
                "p": own_name,
                "v": "ip6" if is_six else "in-addr",
                "h": self._helo,
            }
            parts = re.split(f"[{re.escape(match[4] or '.')}]", values[match[1].lower()])
            if match[3]:
                parts.reverse()
            if match[2]:
                parts = parts[-int(match[2][:4]) :]  # no name has so many labels
            expanded = ".".join(parts)
            return quote(expanded, safe="", errors="surrogateescape") if match[1].isupper() else expanded

        name = _MACRO.sub(value, text).removesuffix(".")
        return name if len(name) <= _LONGEST_NAME else name[-_LONGEST_NAME - 1 :].partition(".")[2]

    async def _own_name(self, domain: str) -> str:
        """Return the client's name for `p` (section 7.3): the domain, one below it, any other, "unknown"."""
        names = await self._own_names()
        below = [name for name in names if _is_below(name, domain)]
        if domain.lower() in below:
            return domain
        return (below or names or ["unknown"])[0]


def _is_below(name: str, domain: str) -> bool:
    domain = domain.lower()
    return name == domain or name.endswith("." + domain)
