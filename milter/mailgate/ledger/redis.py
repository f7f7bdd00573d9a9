"""The store that many nodes share: Redis, through its asyncio client: one server, Sentinel or Cluster.

All that is one mailbox's is in the slot of its shard, one of SHARDS; what is the site's is in the slot of {site}.
Times are whole Unix seconds.

    mailgate:{<shard>}:mailbox:<address>      hash: s, so (mails and octets that people sent), s1, sl (first and last
                                              of them), sb sa sr sp (mails that programs sent, by class), ro (octets
                                              received), h b a r p (mails received: human, bulk, automatic, report,
                                              spam), sbl hl bl and so on (the last of each), n (node), z (since when
                                              its time runs: first seen, issued or restored)
    mailgate:{<shard>}:days:<address>         11 octets a day it did anything on, DAYS_KEPT of them
    mailgate:{<shard>}:civil                  sorted set: the days on which anything was counted, by their number
    mailgate:{<shard>}:seen:<week>:<address>  set of keys of the events that were counted, 64-bit; expires
    mailgate:{<shard>}:quiet:human, :sent     sorted sets: every mailbox by when it was last active (by mail that
                                              people sent and human mail, or sent alone), or, where later, by when
                                              its time began
    mailgate:{<shard>}:registry               hash: address → its registration as JSON
    mailgate:{<shard>}:passwords              sorted set: mailboxes with a default password, by since when
    mailgate:{<shard>}:trace:<key>            set of the traces under a key (ledger.history); expires
    mailgate:{<shard>}:batches, :runs         the last batch of each run that was taken, and when
    mailgate:{<shard>}:observed:<node>        list of "begin end": when the node counted; :nodes their set
    mailgate:{<shard>}:rate:<login>           hash: what a login handed over of late, by minutes and quarters of an
                                              hour; :networks from where, :mails which, :line those that wait; expire
    mailgate:{<shard>}:advertised:<address> <advertiser>
                                              sorted set: keys of the advertisements of one to the other, by when they
                                              came; expires
    mailgate:{site}:states, :changes          hash: address → its state as JSON; list of all states ever set
    mailgate:{site}:exemptions, :exemption    hash: number → an exemption as JSON; the last number that was given
    mailgate:{site}:units                     set of the mailboxes that are a unit's
    mailgate:{site}:delimited                 set of those whose local part holds more than letters, digits and dots
    mailgate:{site}:version                   counter of changes of states, exemptions and registry
    mailgate:{site}:registered                counter of changes of the registry alone
    mailgate:{site}:secret                    the site's key of keyed hashes
    mailgate:claim:<name>                     "1", expires: said or done once

A batch is one call of a script for each shard that it touches, which takes it once.
"""

import asyncio
import secrets
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, replace
from datetime import date
from functools import wraps
from hashlib import sha1
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit
from zlib import crc32

import orjson
import redis.asyncio
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError, RedisError

from ..model import (
    ActivityEvent,
    ActivityKind,
    Beat,
    Exemption,
    MailboxKind,
    MailboxState,
    MailboxStatus,
    MailClass,
    Registration,
    Sending,
    SendingLimits,
    Tally,
    Trace,
)
from . import redis_scripts as scripts
from .store import (
    ADVERTISED_KEPT,
    ADVERTISED_S,
    BESIDE,
    COMES_AGAIN_S,
    FEW_MAILS,
    FREE_RETURNS,
    LOOKED_AT,
    MAIL_KEPT_S,
    MOST_MAILS,
    MOST_OF_ONE,
    NAMES_AT_ONCE,
    REMEMBERED_S,
    Activity,
    Batch,
    Counts,
    Day,
    Idle,
    Kept,
    Mails,
    Observed,
    StoreError,
    WentBack,
    chunks,
    civil_date,
    civil_day,
    civil_midnight,
    civil_number,
    is_delimited,
    moment,
    password_since,
    to_come,
)

SHARDS = 16
"""Part of the keys' names: never changed. More would cost a call each, of every batch; fewer would not spread."""
TIMEOUT_S = 2.0
_AT_ONCE = 1_000  # keys of one pipeline
_LONGEST_KEY = 64  # octets of the site's key, as BLAKE2b takes it; those that are made here have 32
_LETTERS = {
    MailClass.HUMAN: "h",
    MailClass.BULK: "b",
    MailClass.AUTOMATIC: "a",
    MailClass.REPORT: "r",
    MailClass.SPAM: "p",
}
_SENT_LETTERS = {mail_class: f"s{letter}" for mail_class, letter in _LETTERS.items()} | {MailClass.HUMAN: "s"}
_DAY = struct.Struct(">H3s3s3s")
_SENDING = (MAIL_KEPT_S, COMES_AGAIN_S, FREE_RETURNS, FEW_MAILS, BESIDE, MOST_MAILS, LOOKED_AT)
_STATES, _CHANGES, _VERSION, _EXEMPTIONS, _EXEMPTION, _UNITS, _SECRET, _DELIMITED, _REGISTERED = (
    f"mailgate:{{site}}:{name}"
    for name in (
        "states",
        "changes",
        "version",
        "exemptions",
        "exemption",
        "units",
        "secret",
        "delimited",
        "registered",
    )
)

_OLD_SITE = tuple(
    f"mailgate:{name}" for name in ("states", "exemptions", "exemptions:last", "states:version", "secret")
)


_P = ParamSpec("_P")
_T = TypeVar("_T")


def _reads(method: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Have a method of a store raise StoreError where Redis answers what is none of ours: another program's values
    under our keys, or those of another version. That is the server's trouble, as its silence is."""

    @wraps(method)
    async def reading(*arguments: _P.args, **named: _P.kwargs) -> _T:
        try:
            return await method(*arguments, **named)
        except UnicodeEncodeError:  # what we would say, not what was answered
            raise
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
            raise StoreError(f"[store] url: Redis: an answer is not understood: {type(error).__name__}") from error

    return reading


class RedisStore:
    """A store on Redis; the URL may carry user, password, database, and TLS options as redis-py names them."""

    is_shared = True

    def __init__(self, url: str, keep_s: float = REMEMBERED_S) -> None:
        self._keep_s = int(keep_s)
        try:
            self._client, self._is_cluster = _connect(url)
        except (ValueError, TypeError) as error:
            raise StoreError(f"[store] url: {error}") from error
        self._meeting = asyncio.Lock()
        self._is_upgraded = False
        # Of each run, the last batch that each shard is known to have taken.
        self._taken: dict[str, list[int]] = {}

    # -- batches -------------------------------------------------------------------------------

    @_reads
    async def commit(self, batch: Batch) -> None:
        """Keep a batch: one call for each shard that it touches."""
        parts = self._parts(batch)
        taken = await self._taken_of(batch.run) if batch.run else [0] * SHARDS
        calls, shards = [], []
        for shard, items in parts.items():
            if batch.run and batch.number <= taken[shard]:
                continue
            head = [_prefix(shard), batch.run, batch.number, taken[shard], batch.node, self._keep_s, MOST_OF_ONE]
            calls.append(_Call(scripts.TAKE, [f"{_prefix(shard)}batches"], [*head, *items]))
            shards.append(shard)
        answers = await self._call(calls)
        failed = next((answer for answer in answers if isinstance(answer, Exception)), None)
        for shard, answer in zip(shards, answers, strict=True):
            if batch.run and isinstance(answer, int) and answer >= batch.number:
                taken[shard] = batch.number
        if failed is not None:
            raise failed
        if any(answer < batch.number for answer in answers):
            raise self._went_back()

    @_reads
    async def verify(self) -> None:
        """Ask each shard for the batches that it took from this process."""
        known = {run: tuple(taken) for run, taken in self._taken.items()}  # a commit goes on meanwhile
        for run, taken in known.items():
            if any(now < before for now, before in zip(await self._known_of(run), taken, strict=True)):
                raise self._went_back()

    def _went_back(self) -> WentBack:
        """Forget what was taken, of all runs: what Redis lost of one, it may have lost of another."""
        self._taken.clear()
        return WentBack("[store] url: Redis lost what it had acknowledged: it is given that again")

    async def _taken_of(self, run: str) -> list[int]:
        if run not in self._taken:
            self._taken[run] = await self._known_of(run)
        return self._taken[run]

    async def _known_of(self, run: str) -> list[int]:
        """Return the last batch of a run that each shard has."""
        asked = (self._client.hget(f"{_prefix(shard)}batches", run) for shard in range(SHARDS))
        return [int(number or 0) for number in await self._all(asked)]

    def _parts(self, batch: Batch) -> dict[int, list[Any]]:
        """Return a batch's items by shard, as the script takes them."""
        parts: dict[int, list[Any]] = {}
        for item in batch.noted:
            if isinstance(item, ActivityEvent):
                letter = (_SENT_LETTERS if item.kind is ActivityKind.SENT else _LETTERS)[item.mail_class]
                key = int.from_bytes(item.key[-8:], "big", signed=True)
                row = (letter, key, item.mailbox, int(item.at), item.octets, civil_day(item.at))
                parts.setdefault(_shard(item.mailbox), []).extend(row)
            elif isinstance(item, Trace):
                for key in filter(None, (item.queue_key, item.message_key)):
                    parts.setdefault(key % SHARDS, []).extend(("t", f"{key:x}", item.value))
            elif isinstance(item, Beat):
                parts.setdefault(_shard(batch.node), []).extend(("o", int(item.at)))
        return parts

    # -- traces --------------------------------------------------------------------------------

    @_reads
    async def recall(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the values of traces by their keys."""
        answers = await self._many("smembers", (f"{_prefix(key % SHARDS)}trace:{key:x}" for key in keys))
        return [(key, _octets(value)) for key, values in zip(keys, answers, strict=True) for value in values]

    def recall_at_once(self, queue_keys: Sequence[int], message_key: int) -> None:
        """Return None: the server is always to be waited for."""

    @_reads
    async def secret(self) -> bytes:
        """Return the site's key; what two nodes made at once is one."""
        await self._ask(self._client.set(_SECRET, secrets.token_bytes(32), nx=True))
        value = _octets(await self._ask(self._client.get(_SECRET)))
        if not 0 < len(value) <= _LONGEST_KEY:
            raise ValueError("no key")
        return value

    @_reads
    async def once(self, name: str, seconds: float, now: float) -> bool:
        """Claim a name for some time; the server's clock counts."""
        return bool(await self._ask(self._client.set(f"mailgate:claim:{name}", "1", nx=True, ex=int(seconds))))

    @_reads
    async def unclaim(self, name: str) -> None:
        """Give a claim back."""
        await self._ask(self._client.delete(f"mailgate:claim:{name}"))

    # -- activity ------------------------------------------------------------------------------

    @_reads
    async def activity(self, mailbox: str) -> Activity:
        """Return one mailbox's totals."""
        return _activity(mailbox, await self._ask(self._client.hgetall(_key("mailbox", mailbox))))

    @_reads
    async def totals(self) -> list[Activity]:
        """Return every mailbox's totals."""
        found = []
        async for mailboxes in self._mailboxes():
            answers = await self._many("hgetall", (_key("mailbox", mailbox) for mailbox in mailboxes))
            for mailbox, fields in zip(mailboxes, answers, strict=True):
                activity = _activity(mailbox, fields)
                if activity.sent_by_class or activity.received:
                    found.append(activity)
        return sorted(found, key=lambda activity: activity.mailbox)

    async def days(self, first: date, last: date) -> AsyncIterator[tuple[str, list[Day]]]:
        """Yield what each mailbox did within these days."""
        begin, end = civil_number(first), civil_number(last)
        async for mailboxes in self._mailboxes():
            answers = await self._many("get", (_key("days", mailbox) for mailbox in mailboxes))
            for mailbox, octets in zip(mailboxes, answers, strict=True):
                found = []
                for number, *counts in _DAY.iter_unpack(octets or b""):
                    if begin <= number <= end:
                        found.append(Day(civil_date(number), *(int.from_bytes(count, "big") for count in counts)))
                if found:
                    yield mailbox, found

    async def _mailboxes(self) -> AsyncIterator[list[str]]:
        """Yield every mailbox that was seen or is registered, in groups."""
        for shard in range(SHARDS):
            members = await self._ask(self._client.zrange(f"{_prefix(shard)}quiet:sent", 0, -1))
            for group in chunks(members, _AT_ONCE):
                yield [member.decode() for member in group]

    @_reads
    async def idle(self, received: Counts, before: float, sent: Counts = Counts.HUMAN) -> list[Idle]:
        """Return the mailboxes whose time began to run before then, from an index of each shard."""
        index = "quiet:sent" if received is Counts.NONE else "quiet:human"
        asked = (
            self._client.zrangebyscore(f"{_prefix(shard)}{index}", "-inf", f"({before}", withscores=True)
            for shard in range(SHARDS)
        )
        rows = [row for answer in await self._all(asked) for row in answer]
        revoked = {
            address for address, state in (await self.states()).items() if state.status is MailboxStatus.REVOKED
        }
        found = []
        for group in chunks(rows, _AT_ONCE):
            since = {mailbox.decode(): score for mailbox, score in group}
            left = [mailbox for mailbox in since if mailbox not in revoked]
            answers = await self._many("hgetall", (_key("mailbox", mailbox) for mailbox in left))
            for mailbox, fields in zip(left, answers, strict=True):
                last = _activity(mailbox, fields).last(received, sent)
                begun = max(since[mailbox], last or 0.0)
                if begun < before:
                    found.append(Idle(mailbox, begun, last))
        return sorted(found, key=lambda idle: idle.mailbox)

    @_reads
    async def observed(self) -> list[Observed]:
        """Return from when to when each node counted."""
        found = []
        for shard in range(SHARDS):
            for name in await self._ask(self._client.smembers(f"{_prefix(shard)}nodes")):
                node = name.decode()
                for text in await self._ask(self._client.lrange(_key("observed", node), 0, -1)):
                    begin, end = map(float, text.split())
                    found.append(Observed(node, begin, end))
        return sorted(found, key=lambda observed: (observed.node, observed.begin))

    @_reads
    async def forget_node(self, node: str) -> bool:
        """Forget a node."""
        await self._ask(self._client.delete(_key("observed", node)))
        return bool(await self._ask(self._client.srem(f"{_prefix(_shard(node))}nodes", node)))

    @_reads
    async def sending(
        self, login: str, key: bytes, recipients: int, network: str, at: float, limits: SendingLimits
    ) -> Sending:
        """Note what a login hands over, and return what it handed over of late, and whether this mail passes."""
        arguments = [int(at), key, recipients, network, *astuple(limits), *_SENDING]
        (answer,) = await self._answers([_Call(scripts.SENDING, [_key("rate", login)], arguments)])
        waiting, passes, *counts, networks = map(_count, answer)
        if len(counts) != 12:
            raise ValueError("not what the script answers")
        came, passed = cast(Tally, tuple(counts[:6])), cast(Tally, tuple(counts[6:]))
        return Sending(*came, networks, passes=passes == 1, passed=passed, waiting=waiting)

    @_reads
    async def advertised(self, advertiser: str, recipients: Sequence[str], key: bytes, at: float) -> dict[str, int]:
        """Note an advertisement, and return how many came to each recipient: one call for each."""
        arguments = [at, key[-8:].hex(), ADVERTISED_S, ADVERTISED_KEPT]
        calls = [
            _Call(scripts.ADVERTISED, [f"{_key('advertised', recipient)} {advertiser}"], arguments)
            for recipient in recipients
        ]
        return dict(zip(recipients, map(_count, await self._answers(calls)), strict=True))

    # -- registry ------------------------------------------------------------------------------

    async def register(self, registrations: Sequence[Registration]) -> None:
        """Put mailboxes into the registry, shard by shard; begun again after an error, it does the rest."""
        states = await self.states()
        parts: dict[int, list[Any]] = {}
        kinds: dict[MailboxKind, list[str]] = {kind: [] for kind in MailboxKind}
        for registration in registrations:
            address = registration.address
            since = password_since(registration, states.get(address))
            row = (address, int(civil_midnight(registration.created)), orjson.dumps(asdict(registration)))
            parts.setdefault(_shard(address), []).extend((*row, "" if since is None else int(since)))
            kinds[registration.kind].append(address)
        for shard, items in parts.items():
            for group in chunks(items, 4 * _AT_ONCE):
                call = _Call(scripts.BEGIN, [f"{_prefix(shard)}registry"], [_prefix(shard), *group])
                await self._answers([call])
        for change, kind in ((self._client.sadd, MailboxKind.UNIT), (self._client.srem, MailboxKind.INDIVIDUAL)):
            for addresses in chunks(kinds[kind], _AT_ONCE):
                await self._ask(change(_UNITS, *addresses))
        for addresses in chunks([one.address for one in registrations if is_delimited(one.address)], _AT_ONCE):
            await self._ask(self._client.sadd(_DELIMITED, *addresses))
        await self._ask(self._client.incr(_REGISTERED))
        await self._ask(self._client.incr(_VERSION))

    @_reads
    async def registration(self, mailbox: str) -> Registration | None:
        """Return what the registry knows of a mailbox."""
        value = await self._ask(self._client.hget(f"{_prefix(_shard(mailbox))}registry", mailbox))
        return _registration(value) if value else None

    @_reads
    async def registrations(self) -> list[Registration]:
        """Return the registry."""
        found = []
        for shard in range(SHARDS):
            values = await self._ask(self._client.hvals(f"{_prefix(shard)}registry"))
            found += [_registration(value) for value in values]
        return sorted(found, key=lambda registration: registration.address)

    @_reads
    async def default_passwords(self, before: float) -> list[Registration]:
        """Return the mailboxes that have had a default password since before then."""
        found = []
        for shard in range(SHARDS):
            key = f"{_prefix(shard)}passwords"
            members = await self._ask(self._client.zrangebyscore(key, "-inf", f"({before}"))
            for group in chunks(members, _AT_ONCE):
                values = await self._ask(self._client.hmget(f"{_prefix(shard)}registry", group))
                found += [_registration(value) for value in values if value]
        return sorted(found, key=lambda registration: registration.address)

    @_reads
    async def units(self) -> frozenset[str]:
        """Return the mailboxes that are a unit's."""
        return frozenset(address.decode() for address in await self._ask(self._client.smembers(_UNITS)))

    @_reads
    async def delimited(self) -> frozenset[str]:
        """Return the mailboxes whose local part holds more than letters, digits and dots."""
        return frozenset(address.decode() for address in await self._ask(self._client.smembers(_DELIMITED)))

    @_reads
    async def registry_version(self) -> int:
        """Return how often it was changed."""
        return int(await self._ask(self._client.get(_REGISTERED)) or 0)

    async def names(self) -> AsyncIterator[list[tuple[str, MailboxKind]]]:
        """Yield the names, shard by shard."""
        for shard in range(SHARDS):
            cursor = 0
            while True:
                scan = self._client.hscan(f"{_prefix(shard)}registry", cursor, count=NAMES_AT_ONCE)
                cursor, found = await self._ask(scan)
                yield _names(found.values())
                if not cursor:
                    break

    # -- states --------------------------------------------------------------------------------

    @_reads
    async def states_version(self) -> int:
        """Return the counter of changes."""
        return int(await self._ask(self._client.get(_VERSION)) or 0)

    @_reads
    async def states(self) -> dict[str, MailboxState]:
        """Return each mailbox's latest state."""
        fields = await self._ask(self._client.hgetall(_STATES))
        return {address.decode(): _state(value) for address, value in sorted(fields.items())}

    @_reads
    async def state(self, mailbox: str) -> MailboxState | None:
        """Return one mailbox's latest state."""
        value = await self._ask(self._client.hget(_STATES, mailbox))
        return _state(value) if value else None

    async def set_state(self, state: MailboxState) -> None:
        """Set a state, append it to the changes and raise the version; a restored mailbox's time begins anew."""
        if state.status is MailboxStatus.ACTIVE and state.at:
            known = await self.registration(state.address)
            since = password_since(known, state) if known else None
            password = ("" if since is None else int(since)) if known else "-"
            prefix = _prefix(_shard(state.address))
            row = [prefix, state.address, int(moment(state.at)), "", password]
            await self._answers([_Call(scripts.BEGIN, [f"{prefix}registry"], row)])
        value = orjson.dumps(asdict(state))
        await self._answers([_Call(scripts.SET_STATE, [_STATES, _CHANGES, _VERSION], [state.address, value])])

    @_reads
    async def history(self, mailbox: str) -> list[MailboxState]:
        """Return a mailbox's states, oldest first."""
        return [state for state in await self.changes() if state.address == mailbox]

    @_reads
    async def changes(self) -> list[MailboxState]:
        """Return all mailboxes' states, oldest first."""
        return [_state(value) for value in await self._ask(self._client.lrange(_CHANGES, 0, -1))]

    @_reads
    async def exemptions(self) -> list[Exemption]:
        """Return the exemptions that were not removed."""
        values = await self._ask(self._client.hgetall(_EXEMPTIONS))
        found = [replace(Exemption(**orjson.loads(value)), number=int(number)) for number, value in values.items()]
        return sorted(found, key=lambda exemption: exemption.number)

    @_reads
    async def add_exemption(self, exemption: Exemption) -> Exemption:
        """Keep an exemption under the next number, and raise the version."""
        keys = [_EXEMPTIONS, _EXEMPTION, _VERSION]
        answers = await self._answers([_Call(scripts.EXEMPT, keys, [orjson.dumps(asdict(exemption))])])
        return replace(exemption, number=int(answers[0]))

    @_reads
    async def remove_exemption(self, number: int) -> bool:
        """Remove an exemption, and raise the version."""
        call = _Call(scripts.UNEXEMPT, [_EXEMPTIONS, _VERSION], [number])
        return bool((await self._answers([call]))[0])

    # -- as it is set up -----------------------------------------------------------------------

    async def complaints(self) -> list[tuple[bool, str]]:
        """Try each command that is needed, and look at version, eviction and persistence."""
        found = []
        tried = _prefix(0) + "doctor"
        for command, *arguments in (
            ("GET", tried),
            ("SET", tried, "1", "EX", 60),
            ("HSET", f"{tried}:hash", "a", "1"),
            ("HGETALL", f"{tried}:hash"),
            ("ZADD", f"{tried}:sorted", "GT", 1, "a"),  # GT: Redis 6.2
            ("ZRANGEBYSCORE", f"{tried}:sorted", "-inf", 1),
            ("SMEMBERS", f"{tried}:set"),
            ("LRANGE", f"{tried}:list", 0, -1),
            ("EVAL", _TRIAL, 1, f"{tried}:eval", tried),
            ("DEL", tried, f"{tried}:hash", f"{tried}:sorted"),
        ):
            try:
                await self._ask(self._client.execute_command(command, *arguments))
            except StoreError as error:
                found.append((True, f"{command}: {error}"))
        for text in await self._infos():
            info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
            where = f"Redis {info.get('tcp_port', '')}".strip()
            policy = info.get("maxmemory_policy", "noeviction")
            if policy not in ("noeviction", "") and info.get("maxmemory", "0") != "0":
                mend = "set maxmemory-policy noeviction: what it takes away is counted wrong"
                found.append((True, f"{where} evicts keys ({policy}): {mend}"))
            if info.get("aof_enabled") == "0" and info.get("rdb_last_bgsave_status", "ok") != "ok":
                found.append((False, f"{where}: its last snapshot failed, and appendonly is off: see its log"))
        days = await self._many("zrevrange", (f"{_prefix(shard)}civil" for shard in range(SHARDS)), 0, 0)
        complaint = to_come(max((int(day) for newest in days for day in newest), default=0), time.time())
        return [*found, (False, complaint)] if complaint else found

    async def _infos(self) -> list[str]:
        """Return each server's own INFO; nothing where the user may not ask."""
        try:
            if not self._is_cluster:
                return [_info_text(await self._client.execute_command("INFO"))]
            await self._meet()
            answers = await self._client.execute_command("INFO", target_nodes=self._client.PRIMARIES)
            return [_info_text(answer) for answer in answers.values()]
        except (RedisError, OSError, TimeoutError):
            return []

    # -- taking over another store ---------------------------------------------------------------

    @_reads
    async def is_empty(self) -> bool:
        """Tell whether nothing of a site is here yet."""
        keys = [_STATES, _CHANGES, _EXEMPTIONS]
        keys += [f"{_prefix(shard)}{name}" for shard in range(SHARDS) for name in ("quiet:sent", "registry")]
        return not any(await self._many("exists", keys))

    async def put(self, kept: Sequence[Kept]) -> None:
        """Keep what another store had of mailboxes' activity."""
        pipeline = self._client.pipeline(transaction=False)
        for one in kept:
            _put(pipeline, one)
        await self._ask(pipeline.execute())

    async def put_site(self, secret: bytes, runs: Mapping[str, int], observed: Sequence[Observed]) -> None:
        """Keep the site's key, the batches that were taken, and when nodes counted."""
        await self._ask(self._client.set(_SECRET, secret))
        now = int(time.time())
        for shard in range(SHARDS):
            if runs:
                await self._ask(self._client.hset(f"{_prefix(shard)}batches", mapping=dict(runs)))
                await self._ask(self._client.zadd(f"{_prefix(shard)}runs", dict.fromkeys(runs, now)))
        for one in observed:
            await self._ask(self._client.sadd(f"{_prefix(_shard(one.node))}nodes", one.node))
            await self._ask(self._client.rpush(_key("observed", one.node), f"{int(one.begin)} {int(one.end)}"))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    # -- the way there and back ----------------------------------------------------------------

    async def _meet(self) -> None:
        """Learn the cluster's nodes before several calls at once do so, which redis-py does not bear.

        On one server, take over once what version 0.1 kept there.
        """
        if self._is_cluster:
            async with self._meeting:
                await self._client.initialize()
        elif not self._is_upgraded:
            async with self._meeting:
                if not self._is_upgraded and await self._client.exists(*_OLD_SITE):
                    await self._upgrade()
                self._is_upgraded = True

    async def _upgrade(self) -> None:
        """Rename what is the site's, and keep the totals as human mail, so that no mailbox loses by it.

        The names go last: what a second node does meanwhile, or what is begun again, comes to the same.
        """
        client = self._client
        addresses = [address.decode() for address in await client.hkeys("mailgate:states")]
        if not await client.exists(_CHANGES):
            histories = [await client.lrange(f"mailgate:history:{{{address}}}", 0, -1) for address in addresses]
            changes = sorted((value for history in histories for value in history), key=lambda one: _state(one).at)
            if changes:
                await client.rpush(_CHANGES, *changes)
        pipeline = client.pipeline(transaction=False)
        for member in await client.smembers("mailgate:mailboxes"):
            mailbox = member.decode()
            old = await client.hgetall(f"mailgate:activity:{{{mailbox}}}")
            for kept in _kept_of_old(mailbox, {name.decode(): float(value) for name, value in old.items()}):
                _put(pipeline, kept)
        await pipeline.execute()
        for old_name, name in zip(_OLD_SITE, (_STATES, _EXEMPTIONS, _EXEMPTION, _VERSION, _SECRET), strict=True):
            if await client.exists(old_name):
                await client.renamenx(old_name, name)
        await client.delete("mailgate:mailboxes", *_OLD_SITE)

    async def _ask(self, answer: Awaitable[Any]) -> Any:
        try:
            try:
                await self._meet()
            except BaseException:
                if isinstance(answer, Coroutine):
                    answer.close()  # it was not begun
                raise
            return await answer
        except (RedisError, OSError, TimeoutError) as error:
            raise _store_error(error) from error

    async def _all(self, answers: Iterable[Awaitable[Any]]) -> list[Any]:
        """Ask several things at once, which are made when the server is known."""

        async def ask() -> list[Any]:
            return await asyncio.gather(*answers)

        return list(await self._ask(ask()))

    async def _many(self, command: str, keys: Iterable[str], *arguments: int) -> list[Any]:
        """Ask the same of many keys, in one pipeline to each node."""
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            getattr(pipeline, command)(key, *arguments)
        return list(await self._ask(pipeline.execute()))

    async def _answers(self, calls: "Sequence[_Call]") -> list[Any]:
        answers = await self._call(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _call(self, calls: "Sequence[_Call]") -> list[Any]:
        """Run scripts, and return the answer of each, or its StoreError."""
        if self._is_cluster or len(calls) == 1:
            return await asyncio.gather(*(self._evaluate(call) for call in calls))
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(call.sha, len(call.keys), *call.keys, *call.arguments)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            return [_store_error(error)] * len(calls)
        for position, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                answers[position] = await self._evaluate(calls[position])
            elif isinstance(answer, Exception):
                answers[position] = _store_error(answer)
        return list(answers)

    async def _evaluate(self, call: "_Call") -> Any:
        try:
            await self._meet()
            try:
                return await self._client.evalsha(call.sha, len(call.keys), *call.keys, *call.arguments)
            except NoScriptError:
                return await self._client.eval(call.script, len(call.keys), *call.keys, *call.arguments)
        except (RedisError, OSError, TimeoutError) as error:
            return _store_error(error)


class _Call:
    """A script with its keys and arguments."""

    def __init__(self, script: str, keys: list[str], arguments: list[Any]) -> None:
        self.script = script
        self.sha = _SHAS[script]
        self.keys = keys
        self.arguments = arguments


# What a script of ours is allowed to do: keys of the same slot that are not declared, and the time.
_TRIAL = "redis.call('SET', ARGV[1], redis.call('TIME')[1]); return redis.call('DEL', ARGV[1])"
_RIGHTS = "ACL SETUSER NAME on >PASSWORD ~mailgate:* +@all -@admin -@dangerous +info +cluster|slots +cluster|shards"


def _info_text(answer: Any) -> str:
    """Return INFO as lines, whether the client has parsed it or not."""
    if isinstance(answer, dict):
        return "\n".join(f"{name}:{value}" for name, value in answer.items())
    return bytes(answer).decode() if isinstance(answer, bytes) else str(answer)


_SHAS = {
    text: sha1(text.encode(), usedforsecurity=False).hexdigest()
    for text in vars(scripts).values()
    if isinstance(text, str) and "redis.call" in text
}


def _store_error(error: Exception) -> StoreError:
    text = (str(error) or type(error).__name__).rstrip(".")
    mend = next((mend for sign, mend in _MENDS.items() if sign in text), "start it, or change the URL")
    return StoreError(f"[store] url: Redis: {text}: {mend}")


_MENDS = {
    "WRONGPASS": "correct USER:PASSWORD in the URL",
    "invalid username-password": "correct USER:PASSWORD in the URL",
    "NOAUTH": "write USER:PASSWORD@ into the URL",
    "Authentication required": "write USER:PASSWORD@ into the URL",
    "no permissions": f"give the user the right: {_RIGHTS}",
    "No permissions": f"give the user the right: {_RIGHTS}",
    "NOPERM": f"give the user the right: {_RIGHTS}",
    "syntax error": "Redis 6.2 or later is needed",
    "unknown command": "Redis 6.2 or later is needed",
    "OOM": "raise maxmemory",
    "maxmemory": "raise maxmemory",
    "read only": "name the master in the URL, or use redis+sentinel://",
    "CERTIFICATE_VERIFY_FAILED": "name the authority's file: ?ssl_ca_certs=FILE",
}


def _connect(url: str) -> tuple[Any, bool]:
    """Return a client for a URL, and whether it is one of a cluster; raises ValueError, TypeError.

    redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DATABASE (sentinel_username, sentinel_password in the
    query), redis+cluster://USER:PASSWORD@HOST:PORT,HOST:PORT; rediss+... with TLS; the rest as redis-py reads it.
    """
    # A connection that a restarted server closed is found out by the first command on it.
    retry = Retry(NoBackoff(), 1, supported_errors=(Disconnected,))
    options: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
    scheme, _, rest = url.partition("+")
    if not rest or "://" in scheme:
        return redis.asyncio.from_url(url, **options, retry=retry), False
    split = urlsplit(url)
    user, _, places = split.netloc.rpartition("@")
    name, _, password = user.partition(":")
    if name:
        options["username"] = unquote(name)
    if password:
        options["password"] = unquote(password)
    query = {key: values[-1] for key, values in parse_qs(split.query).items()}
    sentinel_options: dict[str, Any] = {
        key.removeprefix("sentinel_"): query.pop(key) for key in list(query) if key.startswith("sentinel_")
    }
    if scheme == "rediss":
        options["ssl"] = True
        sentinel_options |= {"ssl": True, **query}
    options |= query
    hosts = []
    for place in places.split(","):
        host, colon, port = place.rpartition(":")
        if not colon or not port.isdigit():
            raise ValueError(f"{place!r}: write HOST:PORT, several with a comma between")
        hosts.append((host.strip("[]"), int(port)))
    if rest.startswith("cluster:"):
        nodes = [ClusterNode(host, port) for host, port in hosts]
        client = redis.asyncio.RedisCluster(
            startup_nodes=nodes, require_full_coverage=False, retry=Retry(NoBackoff(), 1), **options
        )
        return client, True
    master, _, database = split.path.strip("/").partition("/")
    if not master:
        raise ValueError("name the master as sentinel knows it: redis+sentinel://HOST:PORT,HOST:PORT/MASTER")
    sentinel = redis.asyncio.Sentinel(  # type: ignore[no-untyped-call]
        hosts,
        sentinel_kwargs={
            "socket_timeout": TIMEOUT_S / 2,
            "socket_connect_timeout": TIMEOUT_S / 2,
            **sentinel_options,
        },
        **options,
    )
    return sentinel.master_for(master, db=int(database or 0), retry=retry), False


def _octets(answer: object) -> bytes:
    if not isinstance(answer, bytes):
        raise TypeError("no octets")
    return answer


def _count(answer: object) -> int:
    if not isinstance(answer, int):
        raise TypeError("no number")
    return answer


def _shard(name: str) -> int:
    return crc32(name.encode("utf-8", "surrogateescape")) % SHARDS


def _prefix(shard: int) -> str:
    return f"mailgate:{{{shard}}}:"


def _key(kind: str, name: str) -> str:
    return f"{_prefix(_shard(name))}{kind}:{name}"


def _activity(mailbox: str, fields: dict[bytes, bytes]) -> Activity:
    def number(name: str) -> int:
        return int(fields.get(name.encode(), 0))

    def moment_of(name: str) -> float | None:
        value = fields.get(name.encode())
        return None if value is None else float(value)

    received, sent = (
        {
            mail_class: Mails(number(letter), float(fields[f"{letter}l".encode()]))
            for mail_class, letter in letters.items()
            if letter.encode() in fields
        }
        for letters in (_LETTERS, _SENT_LETTERS)
    )
    return Activity(
        mailbox,
        number("s"),
        sum(one.count for one in received.values()),
        number("so"),
        number("ro"),
        moment_of("s1"),
        moment_of("sl"),
        max((one.last for one in received.values()), default=None),
        fields.get(b"n", b"").decode(),
        received,
        sent,
    )


def _put(pipeline: Any, kept: Kept) -> None:
    mailbox, activity = kept.activity.mailbox, kept.activity
    pipeline.hset(_key("mailbox", mailbox), mapping=_fields(activity, kept.baseline))
    if kept.days:
        pipeline.set(_key("days", mailbox), b"".join(map(_packed, kept.days)))
        days = (civil_number(day.day) for day in kept.days)
        pipeline.zadd(f"{_prefix(_shard(mailbox))}civil", {str(day): day for day in days})
    for counts, index in ((Counts.NONE, "quiet:sent"), (Counts.HUMAN, "quiet:human")):
        since = max(kept.baseline, activity.last(counts) or 0.0)
        pipeline.zadd(f"{_prefix(_shard(mailbox))}{index}", {mailbox: int(since)}, gt=True)


def _kept_of_old(mailbox: str, old: Mapping[str, float]) -> Iterable[Kept]:
    """Yield what version 0.1 kept of a mailbox: totals, without classes and days."""
    firsts = [old[name] for name in ("sent_first", "received_first") if name in old]
    if firsts:
        received, sent = (
            {MailClass.HUMAN: Mails(int(old[act]), old[f"{act}_last"])} if act in old else {}
            for act in ("received", "sent")
        )
        activity = Activity(
            mailbox,
            int(old.get("sent", 0)),
            int(old.get("received", 0)),
            int(old.get("sent_octets", 0)),
            int(old.get("received_octets", 0)),
            old.get("sent_first"),
            old.get("sent_last"),
            old.get("received_last"),
            received_by_class=received,
            sent_by_class=sent,
        )
        yield Kept(activity, min(firsts), ())


def _fields(activity: Activity, baseline: float) -> dict[str, str | int]:
    """Return the hash of a mailbox."""
    fields: dict[str, str | int] = {"n": activity.node, "z": int(baseline)}
    if activity.sent:
        fields |= {"so": activity.sent_octets, "s1": int(activity.first_sent or 0)}
    if activity.received:
        fields["ro"] = activity.received_octets
    for letters, by_class in ((_LETTERS, activity.received_by_class), (_SENT_LETTERS, activity.sent_by_class)):
        for mail_class, mails in by_class.items():
            fields |= {letters[mail_class]: mails.count, f"{letters[mail_class]}l": int(mails.last)}
    return fields


def _packed(day: Day) -> bytes:
    counts = (day.sent, day.received_human, day.received_other)
    return _DAY.pack(civil_number(day.day), *(count.to_bytes(3, "big") for count in counts))


def _state(value: bytes) -> MailboxState:
    fields = orjson.loads(value)
    return MailboxState(**{**fields, "status": MailboxStatus(fields["status"])})


def _names(values: Iterable[bytes]) -> list[tuple[str, MailboxKind]]:
    fields = map(orjson.loads, values)
    return [(one["name"], MailboxKind(one["kind"])) for one in fields]


def _registration(value: bytes) -> Registration:
    fields = orjson.loads(value)
    return Registration(**{**fields, "kind": MailboxKind(fields["kind"])})
