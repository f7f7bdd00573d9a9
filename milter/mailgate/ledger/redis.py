"""The store that many nodes share: Redis, through its asyncio client.

Keys, all under one prefix:

    mailgate:event:<key>          "1", expires after REMEMBERED_S: this event was counted
    mailgate:activity:{<mailbox>} hash: sent, sent_octets, sent_first, sent_last, received, ...
    mailgate:mailboxes            set of the mailboxes that have an activity hash
    mailgate:states               hash: address → its state as JSON
    mailgate:states:version       counter
    mailgate:history:{<address>}  list of states as JSON, oldest first

A batch is one call of a script, which counts each event once, so that a batch whose acknowledgement
was lost can be sent again.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
import redis.asyncio
from redis.exceptions import RedisError

from ..model import ActivityEvent, MailboxState, MailboxStatus
from .store import REMEMBERED_S, Activity, StoreError

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
TIMEOUT_S = 2.0


class RedisStore:
    """A store on one Redis server; the URL may carry user, password and database."""

    def __init__(self, url: str) -> None:
        try:
            self._client: Any = redis.asyncio.from_url(
                url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry_on_timeout=False
            )
        except ValueError as error:
            raise StoreError(f"[store] url: {error}") from error
        self._count = self._client.register_script(_COUNT)

    async def _ask(self, answer: Any) -> Any:
        try:
            return await answer
        except (RedisError, OSError) as error:
            text = str(error) or type(error).__name__
            raise StoreError(f"[store] url: Redis: {text}: start it, or change the URL") from error

    async def commit(self, events: Sequence[ActivityEvent]) -> None:
        """Count a batch in one call."""
        arguments: list[str | bytes | float] = [REMEMBERED_S]
        for event in events:
            arguments += [event.key.hex(), event.kind.value, event.mailbox, event.at, event.octets]
        await self._ask(self._count(args=arguments))

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

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _state(value: bytes) -> MailboxState:
    fields = orjson.loads(value)
    return MailboxState(**{**fields, "status": MailboxStatus(fields["status"])})
