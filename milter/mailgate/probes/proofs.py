"""Who really sent this: what proves that a mail comes from a domain that it claims to come from.

By the client's network (a state body's, [organization] state_networks; it proves nobody to be one of us), by SPF of
the envelope sender, by a DKIM signature, or by the newest seal of an ARC chain. Only claims that would change a
verdict are looked at, which few mails make. A claim that nothing proves stays one; DNS that cannot be asked is
OSError, and proves nothing.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Sequence

import dkim

from ..model import Mail, domain_of
from ..spool import Spool
from . import spf
from .names import Resolver

_LARGEST = 10 << 20  # octets of a mail whose signatures are verified: they want it whole in memory
_MOST_SIGNATURES = 5
_LOOKUP_S = 2.0  # of one name; the deadline is that of the mail
_SIGNED_FIELDS = (b"dkim-signature", b"arc-message-signature", b"arc-seal")
_TAG = re.compile(rb"(?:^|;)\s*([a-z]+)\s*=\s*([^;]*)", re.IGNORECASE)


class Prover:
    """Answers claims; holds the resolver's cache."""

    def __init__(self, deadline_s: float, servers: Sequence[str] = ()) -> None:
        self._deadline_s = deadline_s
        self._names = Resolver(min(deadline_s, _LOOKUP_S), servers)

    async def prove(self, mail: Mail, claims: Collection[str], raw: Spool | None) -> dict[str, str]:
        """Return what proves each claimed domain: network, spf, dkim, arc; "" for nothing.

        Raises OSError or TimeoutError where DNS cannot be asked and a claim is not proven without it.
        """
        organization = mail.organization
        proofs = dict.fromkeys(claims, "")
        if organization.is_state_client(mail.session.client_ip):
            proofs = {claim: "" if organization.is_official_domain(claim) else "network" for claim in claims}
        if all(proofs.values()):
            return proofs
        async with asyncio.timeout(self._deadline_s):
            return await self._prove(mail, proofs, raw)

    async def _prove(self, mail: Mail, proofs: dict[str, str], raw: Spool | None) -> dict[str, str]:
        claims = list(proofs)
        trouble: OSError | None = None
        try:
            sender = mail.envelope.sender
            domain = domain_of(sender) or mail.session.helo.lower()
            if _covers(mail, domain, claims) and await spf.passes(
                self._names, mail.session.client_ip, domain, sender, mail.session.helo
            ):
                _grant(mail, proofs, [domain], "spf")
        except OSError as error:
            trouble = error
        if not all(proofs.values()) and raw is not None and raw.size <= _LARGEST:
            try:
                for kind, domains in (await self._signers(mail, raw, claims)).items():
                    _grant(mail, proofs, domains, kind)
            except OSError as error:
                trouble = error
        if trouble is not None and not all(proofs.values()):
            raise trouble
        return proofs

    async def _signers(self, mail: Mail, raw: Spool, claims: Collection[str]) -> dict[str, list[str]]:
        """Return the domains whose signatures and whose newest ARC seal are valid."""
        keys: dict[bytes, bytes] = {}
        relevant = False
        for name in _SIGNED_FIELDS:
            for value in mail.header_values(name)[:_MOST_SIGNATURES]:
                tags = {tag.lower(): b"".join(text.split()) for tag, text in _TAG.findall(value)}
                relevant = relevant or _covers(mail, _text(tags.get(b"d", b"")), claims)
                key = tags.get(b"s", b"") + b"._domainkey." + tags.get(b"d", b"")
                keys.setdefault(key.lower(), b"")
        if not relevant:
            return {}
        for key in keys:
            texts = await self._names.texts(_text(key))
            keys[key] = texts[0] if texts else b""
        message = b"".join(raw.chunks())
        return await asyncio.get_running_loop().run_in_executor(None, _verified, message, keys)


def _verified(message: bytes, keys: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Verify every DKIM signature and the ARC chain with the keys at hand; runs in a thread."""

    def answer(name: bytes, timeout: float = 0) -> bytes:
        return keys.get(name.rstrip(b".").lower(), b"")

    signers = []
    try:
        verifier = dkim.DKIM(message)
        fields = [name for name, _ in verifier.headers if name.lower() == b"dkim-signature"]
        for number in range(min(len(fields), _MOST_SIGNATURES)):
            try:
                if verifier.verify(idx=number, dnsfunc=answer) and verifier.domain:
                    signers.append(_text(verifier.domain))
            except dkim.DKIMException:
                continue
    except dkim.MessageFormatError:
        return {}
    sealers: list[str] = []
    try:
        chain, results, _ = dkim.ARC(message).verify(dnsfunc=answer)
        if chain == dkim.CV_Pass and results:
            sealers.append(_text(max(results, key=lambda result: int(result["instance"]))["as-domain"]))
    except dkim.DKIMException:
        pass
    return {"dkim": signers, "arc": sealers}


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "replace").lower().rstrip(".")


def _covers(mail: Mail, domain: str, claims: Iterable[str]) -> bool:
    return any(_speaks_for(mail, domain, claim) for claim in claims)


def _speaks_for(mail: Mail, domain: str, claim: str) -> bool:
    """Tell whether what a domain proves holds for the claimed one: itself, one above or one below.

    A suffix under which many bodies register, as gov.vn, speaks for none of them.
    """
    if not domain or not claim:
        return False
    if domain == claim or domain.endswith("." + claim):
        return True
    return claim.endswith("." + domain) and domain.count(".") > 1 and domain not in mail.organization.state_domains


def _grant(mail: Mail, proofs: dict[str, str], domains: Iterable[str], kind: str) -> None:
    for claim, proof in proofs.items():
        if not proof and any(_speaks_for(mail, domain, claim) for domain in domains):
            proofs[claim] = kind
