"""SPF (RFC 7208): may this client send for this domain? Asked for what a pass would prove; all else is no proof."""

import ipaddress
import re
from typing import Protocol

Client = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_LOOKUPS = 10  # RFC 7208 section 4.6.4: terms that ask DNS
MOST_MX = 10  # the same section: address look-ups of one `mx`
_TERM = re.compile(
    r"(?P<qualifier>[+?~-]?)(?P<name>[a-z0-9]+)(?::(?P<domain>[^/]+))?(?P<prefix>(?:/\d+)?(?://\d+)?)", re.I
)
_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9._-]*)=(?P<value>.*)", re.IGNORECASE)
_MACRO = re.compile(r"%(?:\{([slodiphcrtv])(\d*)(r?)([.\-+,/_=]*)\}|([%_-]))", re.IGNORECASE)


class Names(Protocol):
    """Who asks DNS; each raises OSError where nothing can be known now, and returns nothing for what is not there."""

    async def texts(self, name: str) -> list[bytes]:
        """Return the TXT records of a name, the strings of each joined."""

    async def addresses(self, name: str, family: int) -> list[str]:
        """Return the A (family 4) or AAAA (6) records of a name."""

    async def exchanges(self, name: str) -> list[str]:
        """Return the hosts of a name's MX records."""


class _NoProof(Exception):
    """The record is broken, or asks too much: a permanent error, which is no pass."""


async def passes(names: Names, client_ip: str, domain: str, sender: str, helo: str) -> bool:
    """Tell whether SPF passes for this client and domain; raises OSError while DNS cannot tell."""
    try:
        client = ipaddress.ip_address(client_ip)
    except ValueError:
        return False
    if isinstance(client, ipaddress.IPv6Address) and client.ipv4_mapped:
        client = client.ipv4_mapped
    try:
        return await _Check(names, client, sender or f"postmaster@{domain}", helo).run(domain) == "+"
    except _NoProof:
        return False


class _Check:
    """One evaluation, which counts its look-ups."""

    def __init__(self, names: Names, client: Client, sender: str, helo: str) -> None:
        self._names = names
        self._client = client
        self._sender = sender
        self._helo = helo
        self._lookups = 0

    async def run(self, domain: str) -> str:
        """Return the qualifier of the first mechanism that matches, "" where there is no record or no match."""
        records = [text for text in await self._names.texts(domain) if text.lower().split(b" ")[0] == b"v=spf1"]
        if not records:
            return ""
        if len(records) > 1:
            raise _NoProof
        redirect = ""
        for word in records[0].decode("ascii", "replace").split()[1:]:
            if modifier := _MODIFIER.fullmatch(word):
                if modifier["name"].lower() == "redirect":
                    redirect = modifier["value"]
                continue
            term = _TERM.fullmatch(word)
            if term is None:
                raise _NoProof
            if await self._matches(term, domain):
                return term["qualifier"] or "+"
        if redirect:
            self._count()
            return await self.run(self._expand(redirect, domain))
        return "?"

    async def _matches(self, term: re.Match[str], domain: str) -> bool:
        name = term["name"].lower()
        argument = term["domain"] or ""
        if name == "all":
            return True
        if name in ("ip4", "ip6"):
            try:
                return self._client in ipaddress.ip_network(argument + term["prefix"], strict=False)
            except ValueError as error:
                raise _NoProof from error
        self._count()
        target = self._expand(argument, domain) if argument else domain
        if name == "include":
            return await self.run(target) == "+"
        if name == "a":
            return await self._is_at(target, term["prefix"])
        if name == "mx":
            for host in (await self._names.exchanges(target))[:MOST_MX]:
                if await self._is_at(host, term["prefix"]):
                    return True
            return False
        if name == "exists":
            return bool(await self._names.addresses(target, 4))
        if name == "ptr":  # section 5.5: not to be used; what it would prove is not believed
            return False
        raise _NoProof

    async def _is_at(self, host: str, prefix: str) -> bool:
        first, _, second = prefix.partition("//")
        version = self._client.version
        bits = first.strip("/") if version == 4 else second
        for address in await self._names.addresses(host, version):
            if self._client in ipaddress.ip_network(f"{address}/{bits}" if bits else address, strict=False):
                return True
        return False

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > MOST_LOOKUPS:
            raise _NoProof

    def _expand(self, text: str, domain: str) -> str:
        """Expand macros (section 7); `p` is not looked up."""

        def value(match: re.Match[str]) -> str:
            if match[5]:
                return {"%": "%", "_": " ", "-": "%20"}[match[5]]
            local, _, of = self._sender.rpartition("@")
            dotted = self._client.exploded.replace(":", "") if self._client.version == 6 else str(self._client)
            values = {
                "s": self._sender,
                "l": local,
                "o": of,
                "d": domain,
                "i": ".".join(dotted) if self._client.version == 6 else dotted,
                "v": "ip6" if self._client.version == 6 else "in-addr",
                "h": self._helo,
            }
            parts = re.split(f"[{re.escape(match[4] or '.')}]", values.get(match[1].lower(), "unknown"))
            if match[3]:
                parts.reverse()
            if match[2] and int(match[2]):
                parts = parts[-int(match[2]) :]
            return ".".join(parts)

        return _MACRO.sub(value, text)
