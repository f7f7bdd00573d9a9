"""Gates for tests: real policy, real steps, and services that say what the test wants."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from tests.lab.inspecting import inspector

from mailgate.config import ClamavSection, OrganizationSection, Settings, SpamSection
from mailgate.gate import Gate, Services
from mailgate.lists.folder import Folder
from mailgate.metrics import Metrics
from mailgate.mime.walker import Leaf
from mailgate.model import (
    ActivityEvent,
    Content,
    Exemption,
    Inspection,
    Listing,
    Lists,
    Mail,
    MailboxState,
    MailboxStatus,
    Memory,
    Noted,
    Passage,
    Scan,
    Sending,
    SendingLimits,
    SpamReport,
    Spotted,
    Taken,
    Text,
    Trace,
    Verdict,
)
from mailgate.probes.clamd import Scans
from mailgate.probes.inspection import Looks
from mailgate.probes.proofs import Proves
from mailgate.probing import clients_for
from mailgate.rule import RuleStanza
from mailgate.spool import Spool
from mailgate.text.lexicon import Lexicon

ORGANIZATION = OrganizationSection(internal_networks=["127.0.0.0/8", "::1/128", "10.0.0.0/8"])


NOTHING = Memory()


class Notes:
    """A notebook and a ledger in memory, and what the scanner saw."""

    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []
        self.events: list[ActivityEvent] = []
        self.scanned: list[bytes] = []  # the messages that the scanner was given

    def findings(self) -> list[Mapping[str, Any]]:
        """Return the findings of all records, in order."""
        return [finding for record in self.records for finding in record["findings"]]


class _Notebook:
    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def note(self, record: Mapping[str, Any]) -> None:
        self._notes.records.append(record)


class _Ledger:
    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def note(self, noted: Sequence[Noted]) -> bool:
        self._notes.events += (item for item in noted if isinstance(item, ActivityEvent))
        return True

    async def commit(self, noted: Sequence[Noted]) -> None:
        self.note(noted)


class _States:
    def __init__(
        self,
        states: Mapping[str, MailboxState] | None,
        exemptions: Sequence[Exemption],
        units: frozenset[str],
        names: Sequence[int],
    ) -> None:
        self.states = states
        self.exemptions = tuple(exemptions)
        self.units = units
        self.registered: frozenset[str] = frozenset()
        self.names = names


class _Rates:
    """Says what the test says of every login; a text is why the store could not be asked."""

    def __init__(self, sending: Sending | str, advertised: Mapping[str, int]) -> None:
        self._sending = sending
        self._advertised = advertised

    async def sending(
        self, login: str, key: bytes, recipients: int, network: str, at: float, limits: SendingLimits
    ) -> Sending:
        await asyncio.sleep(0)
        if isinstance(self._sending, str):
            raise OSError(self._sending)
        return self._sending

    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        await asyncio.sleep(0)
        return {recipient: self._advertised.get(recipient, 1) for recipient in recipients}


class _Lists:
    """Has these lists, and looks for their phrases, as lists.folder.Folder would."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists
        self._lexicon = Lexicon(lists)

    def find_in(self, texts: Sequence[Text]) -> Sequence[Spotted]:
        return self._lexicon.find_in(texts)


class _Inspector:
    """Says what the test says is inside a mail; a text is why nobody could look."""

    def __init__(self, answer: Inspection | str) -> None:
        self._answer = answer

    def at_once(self, mail: Mail, raw: Spool, leaves: Sequence[Leaf]) -> Inspection | None:
        return None

    async def inspect(self, mail: Mail, raw: Spool, leaves: Sequence[Leaf]) -> Inspection:
        await asyncio.sleep(0)
        if isinstance(self._answer, str):
            raise OSError(self._answer)
        return self._answer

    async def close(self) -> None:
        """There is nothing to close."""


class _Blacklists:
    """Says what the test says of every sender, as probes.blacklists.Blacklists would."""

    def __init__(self, listings: Sequence[Listing]) -> None:
        self._listings = listings

    async def ask(self, mail: Mail) -> None:
        await asyncio.sleep(0)
        mail.listings = self._listings


class _Past:
    """Says what the test says of a mail's past; a text is why it could not be asked."""

    def __init__(self, passages: Sequence[Passage], memory: Memory | str) -> None:
        self._passages = passages
        self._memory = memory

    def settles(self, mail: Mail) -> bool:
        return not mail.leaving()

    def ask_at_once(self, mail: Mail, now: float) -> bool:
        return False

    async def ask(self, mail: Mail, now: float) -> None:
        await asyncio.sleep(0)
        if isinstance(self._memory, str):
            raise OSError(self._memory)
        mail.passages, mail.memory = self._passages, self._memory

    def traces(self, mail: Mail, verdict: Verdict, now: float) -> list[Trace]:
        return []


class _Prover:
    """Says what the test says of every claim, as probes.proofs.Prover would; a text is why DNS could not be asked.

    too_much: why signatures were not verified, "" for they were.
    """

    def __init__(self, proofs: Mapping[str, str] | str, too_much: str) -> None:
        self._proofs = proofs
        self._too_much = too_much

    async def prove(self, mail: Mail, claims: Collection[str], raw: object) -> dict[str, str]:
        await asyncio.sleep(0)
        if isinstance(self._proofs, str):
            raise OSError(self._proofs)
        if self._too_much:
            mail.missing["signatures"] = self._too_much
        return {claim: self._proofs.get(claim, "") for claim in claims}


class _Scanner:
    """Says what the test says, as probes.clamd.Scanner would; a text is why it could not be asked."""

    def __init__(self, answer: Sequence[Scan] | str, notes: Notes) -> None:
        self._answer = answer
        self._notes = notes

    async def scan_mail(self, raw: Spool, content: Content, leaves: Sequence[Leaf]) -> list[Scan]:
        await asyncio.sleep(0)
        self._notes.scanned.append(b"".join(raw.chunks()))
        if isinstance(self._answer, str):
            raise OSError(self._answer)
        return list(self._answer)

    async def scan_files(self, files: Sequence[Taken]) -> list[Scan]:
        await asyncio.sleep(0)
        self._notes.scanned += [file.octets for file in files]
        if isinstance(self._answer, str):
            raise OSError(self._answer)
        return list(self._answer)


class _Engine:
    """The same for probes.rspamd.SpamEngine."""

    def __init__(self, answer: SpamReport | str) -> None:
        self._answer = answer

    async def check(self, mail: Mail, raw: object) -> SpamReport:
        await asyncio.sleep(0)
        if isinstance(self._answer, str):
            raise OSError(self._answer)
        return self._answer

    async def close(self) -> None:
        """There is nothing to close."""


@cache
def shipped_lists() -> Lists:
    """Return the lists of config/lists."""
    lists, problems = Folder(Path(__file__).parents[2] / "config" / "lists").read()
    assert problems == []
    return lists


def settings_of(*rules: RuleStanza, **sections: Any) -> Settings:
    """Return settings with these rules alone, no services, and these sections."""
    made = {
        "organization": ORGANIZATION,
        "clamav": ClamavSection(address=""),
        "spam": SpamSection(url=""),
        "folder": Path("/nonexistent"),
        **sections,
    }
    return Settings(**made).model_copy(update={"rules": {rule.NAME: rule for rule in rules}})


def make_gate(
    settings: Settings,
    notes: Notes | None = None,
    *,
    locked: Sequence[str] = (),
    revoked: Sequence[str] = (),
    scans: Sequence[Scan] | str | None = None,
    spam: SpamReport | str | None = None,
    has_states: bool = True,
    passages: Sequence[Passage] = (),
    memory: Memory | str = NOTHING,
    proofs: Mapping[str, str] | str = "",
    too_much: str = "",
    exemptions: Sequence[Exemption] = (),
    sending: Sending | str | None = None,
    units: frozenset[str] = frozenset(),
    names: Sequence[int] = (),
    inspection: Inspection | str | None = None,
    lists: Lists | None = None,
    advertised: Mapping[str, int] | None = None,
    listings: Sequence[Listing] = (),
    scanner: Scans | None = None,
    looks: Looks | None = None,
    prover: Proves | None = None,
    aliases: Mapping[str, tuple[str, ...]] | None = None,
) -> Gate:
    """Return a gate: what the services know, scans and spam say what the probes answer or why they do not.

    inspection: None has the mail really looked into, in this process. scanner, looks, prover: the real ones. lists:
    None are those that are shipped.
    """
    states = {address: MailboxState(address, MailboxStatus.LOCKED, "7.1") for address in locked}
    states |= {address: MailboxState(address, MailboxStatus.REVOKED, "6.2") for address in revoked}
    notes = notes or Notes()
    services = Services(
        _Notebook(notes),
        _Ledger(notes),
        _States(states if has_states else None, exemptions, units, names),
        Metrics(1, list(settings.rules)),
        "node",
        _Past(passages, memory),
        aliases=aliases,
        rates=_Rates(Sending() if sending is None else sending, advertised or {}),
        lists=_Lists(shipped_lists() if lists is None else lists),
    )
    policy = settings.policy()
    clients = clients_for(settings, policy, services.metrics, None)
    clients.prover = cast(Any, _Prover(proofs, too_much)) if prover is None else prover
    if clients.inspector is not None:
        clients.inspector = looks or (inspector() if inspection is None else cast(Any, _Inspector(inspection)))
    if listings:
        clients.blacklists = cast(Any, _Blacklists(listings))
    clients.scanner = scanner if scans is None else cast(Any, _Scanner(scans, notes))
    if spam is not None:
        clients.engine = cast(Any, _Engine(spam))
    return Gate(settings, services, policy, clients)
