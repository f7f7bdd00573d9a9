"""Who really sent this: what proves that a mail comes from a domain that it claims to come from.

By the client's network (a state body's, [organization] state_networks; it proves nobody to be one of us), by SPF of
the envelope sender, by a DKIM signature, or by the newest seal of an ARC chain. Only claims that would change a
verdict are looked at, which few mails make, and only names that could prove one are asked for: of a stranger's
signature nobody asks the key, unless an ARC chain needs it whose newest seal is a claimed domain's.

DNS is asked here; signatures are verified by an inspection worker, for their content is hostile. A claim that nothing
proves stays one. DNS, or a worker, that cannot be had is OSError, and proves nothing. Signatures that are too much to
verify are neither good nor bad: mail.missing has "signatures" then, with the limit.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Protocol

from ..identity.spelling import domain_of
from ..inspection.job import Kind, Proven, SignatureJob
from ..inspection.pool import Content, Ending, Outcome
from ..inspection.tag_lists import instance_of, read_tags, signer_of
from ..model import Mail
from ..spool import IN_MEMORY_BYTES, Spool
from . import spf
from .names import CarefulResolver
from .probe import Asked, Probe

_LARGEST = 67_108_864
"""Octets of a mail whose signatures are verified: twice Postfix's message_size_limit of 31457280, which counts a
line's end as one. They are read a chunk at a time; of what they take, see README."""
_LARGEST_HEADER = 2_097_152  # octets; a worker has it in memory some times. Postfix ends a single field at 102400
_MOST_FIELDS = 100  # of DKIM that are read from the top, where the last hop signed, and from the bottom: 2 ms at most
_MOST_KEYS = 10  # of DKIM; those of the claimed domains first
_MOST_SETS = 50  # of ARC; RFC 8617 section 4.2.1
_MOST_RECORDS, _LONGEST_RECORD = 16, 4_096  # at a key's name; RSA of 8192 bits takes 1,500 octets
_AT_ONCE = 8  # questions of one mail
_LOOKUP_S = 2.0  # of one name, or half of the mail's time: else that would end before a server is known to be silent
_TRIES = 2  # a worker may die for no fault of the mail


class Workers(Protocol):
    """Who verifies signatures (inspection.pool.Pool)."""

    async def run(self, job: SignatureJob, content: Content) -> Outcome[Proven]:
        """Do a job; raises OSError where no worker can be had."""


class Prover:
    """Answers claims; holds the resolver's cache.

    trusted: the domains whose servers no stranger chooses, ours first. cpu_s: processor time for one mail's
    signatures of each kind.
    """

    def __init__(
        self, deadline_s: float, servers: Sequence[str], workers: Workers, trusted: Sequence[str], cpu_s: float
    ) -> None:
        self._deadline_s = deadline_s
        self._names = CarefulResolver(min(deadline_s / 2, _LOOKUP_S), servers, trusted)
        self._workers = workers
        self._cpu_s = cpu_s

    @property
    def silent(self) -> list[str]:
        """Return the domains that DNS is not asked for now, since their servers are silent; "." for all."""
        return self._names.silent

    async def prove(self, mail: Mail, claims: Collection[str], raw: Spool | None) -> dict[str, str]:
        """Return what proves each claimed domain: network, spf, dkim, arc; "" for nothing.

        Raises OSError where DNS or a worker cannot be had, and a claim is not proven without.
        """
        organization = mail.organization
        proofs = dict.fromkeys(claims, "")
        if organization.is_state_client(mail.session.client_ip):
            proofs = {claim: "" if organization.is_official_domain(claim) else "network" for claim in claims}
        if not all(proofs.values()):
            await self._prove(mail, proofs, raw)
        return proofs

    async def _prove(self, mail: Mail, proofs: dict[str, str], raw: Spool | None) -> None:
        errand = _Errand(self._names, self._deadline_s)
        too_much = ""
        by_spf, keys = await asyncio.gather(errand.sender(mail, list(proofs)), errand.keys(_signers(mail, proofs)))
        _grant(mail, proofs, by_spf, "spf")
        for kind in Kind:
            if all(proofs.values()) or raw is None:
                break
            if kind is Kind.ARC:
                keys = await errand.keys(_sealers(mail, proofs))
            if keys:
                found, reason = await self._verified(mail, SignatureJob(kind, keys, self._cpu_s), raw)
                _grant(mail, proofs, found, kind.value)
                too_much = too_much or reason
        if not all(proofs.values()):
            if errand.trouble is not None:
                raise errand.trouble
            if too_much:
                mail.missing["signatures"] = too_much

    async def _verified(self, mail: Mail, job: SignatureJob, raw: Spool) -> tuple[Collection[str], str]:
        """Return the domains whose signatures hold, and what was too much to tell of all, "" for nothing."""
        if raw.size > _LARGEST:
            return (), f"not verified: {raw.size} octets, of at most {_LARGEST}"
        if mail.header_octets > _LARGEST_HEADER:
            return (), f"not verified: a header of {mail.header_octets} octets, of at most {_LARGEST_HEADER}"
        in_memory = raw.size <= IN_MEMORY_BYTES
        content = Content(b"".join(raw.chunks())) if in_memory else Content(descriptor=raw.fileno())
        for _ in range(_TRIES):
            outcome = await self._workers.run(job, content)
            if outcome.ending is not Ending.DIED:
                break
        # A worker may lie, but not about a domain that it was given no key of.
        asked = {_domain_of_key(name) for name in job.keys}
        found = {one.domain for one in chain(*outcome.ended, outcome.begun)} & asked
        if outcome.ending is Ending.WALL:
            raise OSError(f"signatures: {outcome.detail}")
        if outcome.ending is Ending.CPU:
            return found, f"not verified within {job.cpu_s:g} s of processor time"
        return found, "" if outcome.ending is Ending.DONE else f"not verified: the worker: {outcome.detail}"


class _Errand:
    """What one mail asks DNS: a few questions at once, until its deadline. trouble: what kept an answer away."""

    def __init__(self, names: CarefulResolver, deadline_s: float) -> None:
        self._names = names
        self._deadline_s = deadline_s
        self._deadline = asyncio.get_running_loop().time() + deadline_s
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self.trouble: OSError | None = None

    async def sender(self, mail: Mail, claims: Collection[str]) -> list[str]:
        """Return the domain that SPF proves to be the envelope's, where that says anything of a claim."""
        sender = mail.envelope.sender
        domain = domain_of(sender) or mail.session.helo.lower()
        if not _covers(mail, domain, claims):
            return []
        try:
            async with asyncio.timeout_at(self._deadline):
                is_so = await spf.passes(self._names, mail.session.client_ip, domain, sender, mail.session.helo)
        except OSError as error:
            self._note(error)
            return []
        return [domain] if is_so else []

    async def keys(self, names: Collection[str]) -> dict[str, list[bytes]]:
        """Return the TXT records of those names of keys that have any."""
        records = await asyncio.gather(*(self._key(name) for name in names))
        return {name: found for name, found in zip(names, records, strict=True) if found}

    async def _key(self, name: str) -> list[bytes]:
        try:
            async with asyncio.timeout_at(self._deadline), self._at_once:
                texts = await self._names.texts(name)
        except OSError as error:
            self._note(error)
            return []
        return [text for text in texts if len(text) <= _LONGEST_RECORD][:_MOST_RECORDS]

    def _note(self, error: OSError) -> None:
        is_late = isinstance(error, TimeoutError)
        self.trouble = OSError(f"DNS: no answer within {self._deadline_s:g} s") if is_late else error


def _signers(mail: Mail, claims: Mapping[str, str]) -> list[str]:
    """Return the names of the keys of DKIM signatures that could prove a claim, the claimed domains' own first."""
    names: dict[str, bool] = {}
    fields = mail.header_values(b"dkim-signature")
    for value in fields[:_MOST_FIELDS] + fields[_MOST_FIELDS:][-_MOST_FIELDS:]:
        domain, name = _signer(value)
        if name and _covers(mail, domain, claims):
            names[name] = domain in claims
    return sorted(names, key=lambda name: not names[name])[:_MOST_KEYS]


def _sealers(mail: Mail, claims: Mapping[str, str]) -> list[str]:
    """Return the names of all keys of an ARC chain, the newest seal's first; none where that could prove no claim."""
    seals = mail.header_values(b"arc-seal")
    if not 0 < len(seals) <= _MOST_SETS:
        return []
    newest = max(seals, key=instance_of)
    domain, name = _signer(newest)
    if not name or not _covers(mail, domain, claims):
        return []
    instance = instance_of(newest)
    signatures = [value for value in mail.header_values(b"arc-message-signature") if instance_of(value) == instance]
    return list(dict.fromkeys(name for _, name in map(_signer, (newest, *signatures[:1], *seals)) if name))


def _signer(value: bytes) -> tuple[str, str]:
    try:
        return signer_of(read_tags(value))
    except ValueError:
        return "", ""


def _domain_of_key(name: str) -> str:
    return name.partition("._domainkey.")[2]


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


class Proves(Protocol):
    """Who proves (Prover)."""

    async def prove(self, mail: Mail, claims: Collection[str], raw: Spool | None) -> dict[str, str]:
        """Return what proves each claimed domain; raises OSError where that cannot be told."""


class ProofsProbe(Probe):
    """Asks what proves the domains that a mail claims to come from, where that would change its verdict."""

    name = "dns"

    def __init__(self, prover: Proves, claims: Callable[[Mail], frozenset[str]], deadline_s: float) -> None:
        self._prover = prover
        self._claims = claims
        self.deadline_s = deadline_s

    def concerns(self, asked: Asked) -> bool:
        return asked.raw is not None and not asked.mail.proofs and bool(self._claims(asked.mail))

    async def ask(self, asked: Asked) -> None:
        asked.mail.proofs = await self._prover.prove(asked.mail, self._claims(asked.mail), asked.raw)
