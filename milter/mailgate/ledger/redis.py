"""The store that many nodes share: Redis, through its asyncio client.

Keys, all under one prefix:

    mailgate:event:<key>          "1", expires after REMEMBERED_S: this event was counted
    mailgate:activity:{<mailbox>} hash: sent, sent_octets, sent_first, sent_last, received, ...
    mailgate:mailboxes            set of the mailboxes that have an activity hash
    mailgate:states               hash: address → its state as JSON
    mailgate:states:version       counter
    mailgate:history:{<address>}  list of states as JSON, oldest first
    mailgate:trace:<key>          set of the traces under a key (ledger.history), expires
    mailgate:secret               the site's key of keyed hashes
    mailgate:claim:<name>         "1", expires: said or done once
    mailgate:exemptions           hash: number → an exemption as JSON
    mailgate:exemptions:last      the last number that was given

A batch is one call of a script, which counts each event once, so that a batch whose acknowledgement
was lost can be sent again.
"""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson
import redis.asyncio
from redis.exceptions import RedisError

from ..model import Exemption, MailboxState, MailboxStatus, Noted, Trace
from .store import MOST_OF_ONE, REMEMBERED_S, Activity, StoreError

_COUNT = """
for i = 2, #ARGV, 5 do
  local key, kind, mailbox, at, octets = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if redis.call('SET', 'mailgate:event:' .. key, '1', 'NX', 'EX', ARGV[1]) then
    local hash = 'mailgate:activity:{' .. mailbox .. '}'
    redis.call('HINCRBY', hash, kind, 1)
    redis.call('HINCRBY', hash, kind .. '_octets', octets)
    local first, last = redis.call('HGET', hash, kind .. '_first'), redis.call('HGET', hash, kind .. '_last')
    if not first or tonumber(at) < tonumber(first) then redis.call('HSET', hash, kind .. '_first', at) end
    if not last or tonumber(at) > tonumber(last) then redis.call('HSET', hash, kind .. '_last', at) end
    redis.call('SADD', 'mailgate:mailboxes', mailbox)
  end
end
"""
_REMEMBER = """
for i = 1, #KEYS do
  if redis.call('SCARD', KEYS[i]) < tonumber(ARGV[2]) then redis.call('SADD', KEYS[i], ARGV[i + 2]) end
  redis.call('EXPIRE', KEYS[i], ARGV[1])
end
"""
TIMEOUT_S = 2.0


class RedisStore:
    """A store on one Redis server; the URL may carry user, password and database."""

    def __init__(self, url: str, keep_s: float = REMEMBERED_S) -> None:
        self._keep_s = int(keep_s)
        try:
            self._client: Any = redis.asyncio.from_url(
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry_on_timeout=False
            )
        except ValueError as error:
            raise StoreError(f"[store] url: {error}") from error
        self._count = self._client.register_script(_COUNT)
        self._remember = self._client.register_script(_REMEMBER)

    async def _ask(self, answer: Any) -> Any:
        try:
            return await answer
        except (RedisError, OSError) as error:
            text = str(error) or type(error).__name__
            raise StoreError(f"[store] url: Redis: {text}: start it, or change the URL") from error

    async def commit(self, noted: Sequence[Noted]) -> None:
        """Keep a batch: its events in one call, its traces in another."""
        arguments: list[str | bytes | float] = [REMEMBERED_S]
        keys: list[str] = []
        values: list[int | bytes] = [self._keep_s, MOST_OF_ONE]
        for item in noted:
            if isinstance(item, Trace):
                for key in filter(None, (item.queue_key, item.message_key)):
                    keys.append(_trace(key))
                    values.append(item.value)
            else:
                arguments += [item.key.hex(), item.kind.value, item.mailbox, item.at, item.octets]
        if keys:
            await self._ask(self._remember(keys=keys, args=values))
        if len(arguments) > 1:
            await self._ask(self._count(args=arguments))

    async def recall(self, keys: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the values of traces by their keys."""
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.smembers(_trace(key))
        answers = await self._ask(pipeline.execute())
        return [(key, value) for key, values in zip(keys, answers, strict=True) for value in values]

    def recall_at_once(self, queue_keys: Sequence[int], message_key: int) -> None:
        """Return None: the server is always to be waited for."""

    async def secret(self) -> bytes:
        """Return the site's key; what two nodes made at once is one."""
        await self._ask(self._client.set("mailgate:secret", secrets.token_bytes(32), nx=True))
        value: bytes = await self._ask(self._client.get("mailgate:secret"))
        return value

    async def once(self, name: str, seconds: float, now: float) -> bool:
        """Claim a name for some time; the server's clock counts."""
        return bool(await self._ask(self._client.set(f"mailgate:claim:{name}", "1", nx=True, ex=int(seconds))))

    async def unclaim(self, name: str) -> None:
        """Give a claim back."""
        await self._ask(self._client.delete(f"mailgate:claim:{name}"))

    async def activity(self, mailbox: str) -> Activity:
        """Return one mailbox's totals."""
        fields = await self._ask(self._client.hgetall(f"mailgate:activity:{{{mailbox}}}"))
        values = {name.decode(): float(value) for name, value in fields.items()}
        return Activity(
            mailbox,
            int(values.get("sent", 0)),
            int(values.get("received", 0)),
            int(values.get("sent_octets", 0)),
            int(values.get("received_octets", 0)),
            values.get("sent_first"),
            values.get("sent_last"),
            values.get("received_last"),
        )

    async def totals(self) -> list[Activity]:
        """Return every mailbox's totals."""
        mailboxes = await self._ask(self._client.smembers("mailgate:mailboxes"))
        return [await self.activity(mailbox.decode()) for mailbox in sorted(mailboxes)]

    async def states_version(self) -> int:
        """Return the counter of changes."""
        return int(await self._ask(self._client.get("mailgate:states:version")) or 0)

    async def states(self) -> dict[str, MailboxState]:
        """Return each mailbox's latest state."""
        fields = await self._ask(self._client.hgetall("mailgate:states"))
        return {address.decode(): _state(value) for address, value in sorted(fields.items())}

    async def set_state(self, state: MailboxState) -> None:
        """Set a state, append it to the history and raise the version, all or nothing."""
        value = orjson.dumps(asdict(state))
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hset("mailgate:states", state.address, value)
        pipeline.rpush(f"mailgate:history:{{{state.address}}}", value)
        pipeline.incr("mailgate:states:version")
        await self._ask(pipeline.execute())

    async def history(self, mailbox: str) -> list[MailboxState]:
        """Return a mailbox's states, oldest first."""
        values = await self._ask(self._client.lrange(f"mailgate:history:{{{mailbox}}}", 0, -1))
        return [_state(value) for value in values]

    async def exemptions(self) -> list[Exemption]:
        """Return the exemptions that were not removed."""
        values = await self._ask(self._client.hvals("mailgate:exemptions"))
        return sorted((Exemption(**orjson.loads(value)) for value in values), key=lambda exemption: exemption.number)

    async def add_exemption(self, exemption: Exemption) -> Exemption:
        """Keep an exemption under the next number, and raise the version."""
        exemption = replace(exemption, number=int(await self._ask(self._client.incr("mailgate:exemptions:last"))))
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hset("mailgate:exemptions", str(exemption.number), orjson.dumps(asdict(exemption)))
        pipeline.incr("mailgate:states:version")
        await self._ask(pipeline.execute())
        return exemption

    async def remove_exemption(self, number: int) -> bool:
        """Remove an exemption, and raise the version."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hdel("mailgate:exemptions", str(number))
        pipeline.incr("mailgate:states:version")
        return bool((await self._ask(pipeline.execute()))[0])

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _trace(key: int) -> str:
    return f"mailgate:trace:{key:x}"


def _state(value: bytes) -> MailboxState:
    fields = orjson.loads(value)
    return MailboxState(**{**fields, "status": MailboxStatus(fields["status"])})
