"""A site's way from its embedded store to Redis: everything is copied, then compared."""

from collections.abc import Iterator

from .redis import RedisStore
from .sqlite import SqliteStore
from .store import Activity, Batch, Store, StoreError


async def move(source: SqliteStore, target: RedisStore) -> dict[str, int]:
    """Copy all of a store into an empty one, and return how much of each kind; raises StoreError where they differ.

    The daemon must not run: what it counted meanwhile would be missing. Keys of single events stay behind, so that a
    mail which is sent again after the move, since its answer was lost before it, counts twice.
    """
    if not await target.is_empty():
        raise StoreError("the target has mailboxes already: name an empty one")
    numbers = dict.fromkeys(("mailboxes", "traces", "states", "registrations", "exemptions"), 0)
    await target.put_site(await source.secret(), await source.runs(), await source.observed())
    async for kept in source.kept():
        await target.put(kept)
        numbers["mailboxes"] += len(kept)
    async for traces in source.traces():
        await target.commit(Batch(traces))
        numbers["traces"] += len(traces)
    for state in await source.changes():
        await target.set_state(state)
        numbers["states"] += 1
    registrations = await source.registrations()
    await target.register(registrations)
    numbers["registrations"] = len(registrations)
    for exemption in await source.exemptions():
        await target.add_exemption(exemption)
        numbers["exemptions"] += 1
    problems = list(_differences(await contents_of(source), await contents_of(target)))
    if problems:
        raise StoreError(f"the target is not the same, {len(problems)} differences, such as {problems[0]}")
    return numbers


async def contents_of(store: Store) -> dict[str, object]:
    """Return what must be the same, by a name for it; times in whole seconds, as Redis keeps them."""
    contents: dict[str, object] = {f"totals of {one.mailbox}": _whole(one) for one in await store.totals()}
    contents |= {f"state of {address}": state for address, state in (await store.states()).items()}
    contents |= {f"registration of {one.address}": one for one in await store.registrations()}
    contents["number of changes of states"] = len(await store.changes())
    contents["number of exemptions"] = len(await store.exemptions())
    return contents


def _whole(activity: Activity) -> tuple[object, ...]:
    def second(time: float | None) -> int | None:
        return None if time is None else int(time)

    classes = [
        {name: (one.count, int(one.last)) for name, one in by_class.items()}
        for by_class in (activity.received_by_class, activity.sent_by_class)
    ]
    times = (activity.first_sent, activity.last_sent, activity.last_received)
    return activity.sent, activity.sent_octets, activity.received_octets, *classes, *map(second, times)


def _differences(source: dict[str, object], target: dict[str, object]) -> Iterator[str]:
    for name in sorted(source.keys() | target.keys()):
        if source.get(name) != target.get(name):
            yield f"{name}: {source.get(name)} and {target.get(name)}"
