"""doctor: try every dependency for real, and say what to mend.

The scanner must find the EICAR test text, also at the end of a 29 MB mail, the size of a lawful 20 MiB
attachment in base64; the spam engine must know GTUBE; Postfix must leave no road round us open.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import dns.asyncresolver
import dns.exception
import pyclamd

from .config import Settings, parse_endpoint
from .folder_locks import served_by
from .health import PATIENCE_S, check_all
from .incidents.log import IncidentLog
from .inspection.inspector import Inspector
from .inspection.pool import Pool
from .ledger.opening import open_store
from .ledger.store import StoreError
from .lists.folder import Folder
from .mime.walker import Leaf
from .model import Envelope, Mail, Session
from .postfix.instance import PostfixError, has_postfix, read_instance
from .probing import scanner, spam_engine
from .spool import Spool
from .wiring.check import open_roads, wiring_of

# In two pieces, so that no scanner takes this file for the test itself.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-" rb"ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

LAWFUL_BYTES = 29_000_000  # a 20 MiB attachment is 28,697,872 octets in base64 (clause 8.1b)
_OLDEST_DATE = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was tried: ok, and if not, whether mail suffers, and the mend."""

    name: str
    ok: bool
    required: bool
    detail: str


async def examine(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Try everything, one thing after the other."""
    for health in await check_all(settings):
        mend = "" if health.ok or health.name not in _MENDS else f": {_MENDS[health.name]}"
        yield Diagnosis(health.name, health.ok, health.required, health.detail + mend)
        if health.ok and health.name == "clamd":
            async for diagnosis in _clamd(settings):
                yield diagnosis
        if health.ok and health.name in ("rspamd", "spamd"):
            yield await _gtube(settings)
    for diagnosis in await _store(settings):
        yield diagnosis
    for diagnosis in await _inspection(settings):
        yield diagnosis
    yield await _lists(settings)
    if not settings.clamav.address:
        yield Diagnosis("clamd", True, False, "off: [clamav] address is empty, no mail is scanned for viruses")
    if not settings.spam.url:
        yield Diagnosis("rspamd", True, False, "off: [spam] url is empty, no mail is checked for spam")
    yield _daemon(settings)
    yield _chain(settings)
    yield await _dns(settings)
    if settings.listen.http:
        async for diagnosis in _not_asked(settings):
            yield diagnosis
    yield _clock()
    for diagnosis in _postfix(settings):
        yield diagnosis


_MENDS = {
    "incidents": "make the folder of [incidents] path writable: without it every mail is deferred",
    "clamd": "start clamd, or change [clamav] address",
    "rspamd": "start rspamd, or change [spam] url",
    "spamd": "start spamd, or change [spam] url",
    "next hop": "start the smtpd behind Mailgate, or change [smtp] next_hop: without it every mail is deferred",
    "hold next hop": "start the smtpd that holds, or change [smtp] hold_next_hop: what is to be held is deferred",
    "notice relay": "start the smtpd that takes notices, or change [notice] relay: nobody is told of forwards",
}


async def _store(settings: Settings) -> list[Diagnosis]:
    """Ask the store what is wrong with how it is set up; one that does not answer was named already."""
    store = open_store(settings.store.url, settings.folder)
    try:
        await store.states_version()
        complaints = await store.complaints()
    except StoreError:
        return []
    finally:
        await store.close()
    return [Diagnosis("store set-up", False, required, text) for required, text in complaints]


async def _clamd(settings: Settings) -> AsyncIterator[Diagnosis]:
    yield await asyncio.to_thread(_clamd_stats, settings)
    clamd = scanner(settings)
    short = b"Subject: mailgate doctor\r\n\r\n" + EICAR + b"\r\n"
    for name, padding, mend in (
        ("clamd finds the EICAR test text", 0, "load its signatures (freshclam)"),
        (
            "clamd finds it at the end of a 29 MB mail",
            LAWFUL_BYTES,
            "raise StreamMaxLength, MaxFileSize and MaxScanSize in clamd.conf to 64M: "
            "a lawful mail of this size passes unscanned or is deferred for ever",
        ),
    ):
        with contextlib.closing(Spool(settings.spool_folder())) as spool:
            await _fill(spool, short, padding)
            try:
                scan = await clamd.scan(spool, "message")
            except OSError as error:
                yield Diagnosis(name, False, True, f"{error}: {_MENDS['clamd']}")
                continue
        found = scan.status == "found"
        detail = scan.detail if found else f"answered {scan.status} {scan.detail}".strip() + f": {mend}"
        yield Diagnosis(name, found, True, detail)


async def _fill(spool: Spool, message: bytes, padding: int) -> None:
    """Write a mail whose last line is the test text."""
    head, _, rest = message.partition(b"\r\n\r\n")
    spool.write(head + b"\r\n\r\n")
    line = b"mailgate doctor looks for what stands behind these lines\r\n" * 1_000
    while spool.size < padding:
        spool.write(line)
        await asyncio.sleep(0)
    spool.write(rest)


def _clamd_stats(settings: Settings) -> Diagnosis:
    """Ask through pyclamd, which is fit for questions, though not for verdicts."""
    place = parse_endpoint(settings.clamav.address)
    try:
        client = (
            pyclamd.ClamdUnixSocket(place.path) if place.path else pyclamd.ClamdNetworkSocket(place.host, place.port)
        )
        version = client.version()
        stats = client.stats() or ""
    except Exception as error:  # pyclamd raises its own and the socket's errors alike
        return Diagnosis("clamd stats", False, False, str(error))
    queue = next((line.strip() for line in stats.splitlines() if "QUEUE" in line), "queue unknown")
    return Diagnosis("clamd stats", True, False, f"{version}; {queue}")


async def _inspection(settings: Settings) -> list[Diagnosis]:
    """Have a worker look into a page of HTML, and ask what the workers lack."""
    limits = settings.inspection_limits()
    pool = Pool(limits)
    inspector = Inspector(pool, limits)
    mail = Mail(settings.identity(), Session())
    page = b"<p>mailgate doctor"  # it does not end, so that the daemon does not read it by itself
    with contextlib.closing(Spool()) as spool:
        spool.write(page)
        try:
            lacks = await inspector.start()
            inspection = await inspector.inspect(mail, spool, [Leaf((0, len(page)), "", "text/html")])
        except OSError as error:
            mend = "every mail with more than plain text follows [inspection] on_error"
            return [Diagnosis("inspection", False, True, f"{error}: {mend}")]
        finally:
            await inspector.close()
    ok = [text.canon for text in inspection.texts] == ["mailgate doctor"]
    return [
        Diagnosis("inspection", ok, True, "a worker reads HTML" if ok else "a worker does not read HTML"),
        *(Diagnosis("inspection", False, False, lack) for lack in lacks),
    ]


async def _lists(settings: Settings) -> Diagnosis:
    lists, problems = await asyncio.to_thread(Folder(settings.lists_folder()).read)
    if problems:
        return Diagnosis("lists", False, False, "; ".join(problems[:3]))
    return Diagnosis("lists", True, False, f"{sum(map(len, lists.entries.values()))} entries")


async def _gtube(settings: Settings) -> Diagnosis:
    engine = spam_engine(settings)
    mail = Mail(settings.identity(), Session(), Envelope(b"<doctor@example.com>", "doctor@example.com"))
    with contextlib.closing(Spool()) as spool:
        spool.write(b"Subject: mailgate doctor\r\n\r\n" + GTUBE + b"\r\n")
        try:
            report = await engine.check(mail, spool)
        except (OSError, TimeoutError) as error:
            return Diagnosis("spam engine knows GTUBE", False, False, str(error))
        finally:
            await engine.close()
    ok = report.action == "reject"
    detail = f"{report.action}, score {report.score:g} of {report.required:g}"
    return Diagnosis("spam engine knows GTUBE", ok, False, detail if ok else f"{detail}: enable gtube_patterns")


def _daemon(settings: Settings) -> Diagnosis:
    who = served_by(settings)
    return Diagnosis("daemon", True, False, f"{who} serves these folders" if who else "none serves these folders now")


def _chain(settings: Settings) -> Diagnosis:
    log = IncidentLog(settings.incidents_folder())
    result = log.verify()
    if result.flaw is None and log.doubt:
        detail = f"the clock jumped, to {log.doubt}: set it; a month that does not follow is believed after a day"
        return Diagnosis("incident chain", False, False, detail)
    if result.flaw is None:
        return Diagnosis("incident chain", True, False, f"{result.lines} lines verify")
    flaw = result.flaw
    return Diagnosis(
        "incident chain", False, False, f"{flaw.file}:{flaw.line}: {flaw.problem}: keep a copy, and ask why"
    )


_NOT_ASKED = re.compile(r'mailgate_breakers_open\{service="(\w+)"\} (\d+)')
_SKIPPED = re.compile(r"mailgate_(dns_silent|blacklists_skipped) (\d+)")


async def _not_asked(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Ask the running daemon, by /metrics, which services it does not ask now; one that does not run says nothing."""
    url = f"http://{settings.listen.http}/metrics"
    try:
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return
    for service, workers in _NOT_ASKED.findall(text):
        if int(workers):
            detail = f"{service} is not asked by {workers} worker(s), since it hangs: see that it answers"
            yield Diagnosis(f"{service} as the daemon sees it", False, True, detail)
    for name, count in _SKIPPED.findall(text):
        if int(count):
            what = "domains with silent name servers" if name == "dns_silent" else "DNS blacklists"
            detail = f"{count} are not asked now: its log names them"
            yield Diagnosis(f"{what} as the daemon sees them", False, False, detail)


async def _dns(settings: Settings) -> Diagnosis:
    name = settings.organization.domains[0]
    try:
        resolver = dns.asyncresolver.Resolver()
        resolver.lifetime = 3.0
        answer = await resolver.resolve(name, "MX")
    except (dns.exception.DNSException, OSError) as error:
        text = str(error) or type(error).__name__
        return Diagnosis("DNS", False, False, f"{name} MX: {text[:120]}: check /etc/resolv.conf")
    return Diagnosis("DNS", True, False, f"{name} has {len(answer)} MX")


def _clock() -> Diagnosis:
    now = datetime.now(UTC)
    if now < _OLDEST_DATE:
        return Diagnosis("clock", False, True, f"it is {now:%Y-%m-%d}: set the clock (chrony, systemd-timesyncd)")
    return Diagnosis("clock", True, True, f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _postfix(settings: Settings) -> list[Diagnosis]:
    """Name every road round Mailgate that Postfix's configuration leaves open."""
    if not has_postfix():
        return [Diagnosis("Postfix", True, False, "not on this machine: run doctor where it is")]
    try:
        roads = open_roads(wiring_of(read_instance(), settings))
    except PostfixError as error:
        return [Diagnosis("Postfix", False, False, str(error))]
    if not roads:
        return [Diagnosis("Postfix", True, False, "no open road: mailgate postfix check")]
    return [
        Diagnosis(f"Postfix {road.road}", road.is_note, False, f"{road.where}: {road.what}: {road.mend}")
        for road in roads
    ]


def failed(diagnoses: list[Diagnosis]) -> bool:
    """Tell whether something required is broken."""
    return any(not diagnosis.ok and diagnosis.required for diagnosis in diagnoses)
