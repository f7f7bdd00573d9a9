"""Is each dependency there: one quick question to each, for /readyz and the start of `doctor`."""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from .config import Settings, parse_endpoint
from .ledger.opening import open_store
from .ledger.store import StoreError
from .model import Action, Mode
from .probes.spamd import ping as ping_spamd
from .wire import clamd as wire

PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Health:
    """One dependency: is it well, is it required (mail stops without it), and what is wrong or to be known."""

    name: str
    ok: bool
    required: bool
    detail: str = ""


async def check_all(settings: Settings) -> list[Health]:
    """Ask every dependency that the configuration names, all at once, each for at most PATIENCE_S."""
    checks: list[Awaitable[Health]] = [
        _one("store", True, lambda: _store(settings)),
        _one("incidents", True, lambda: _incidents(settings)),
    ]
    if settings.clamav.address and settings.rules["virus"].mode is not Mode.OFF:
        required = settings.clamav.on_error is not Action.ACCEPT
        checks.append(_one("clamd", required, lambda: ping_clamd(settings.clamav.address)))
    if settings.spam.url and settings.rules["spam"].mode is not Mode.OFF:
        required = settings.spam.on_error is not Action.ACCEPT
        if settings.spam.url.startswith("spamd:"):
            checks.append(_one("spamd", required, lambda: ping_spamd(settings.spam.url)))
        else:
            checks.append(_one("rspamd", required, lambda: _rspamd(settings.spam.url)))
    if settings.listen.smtp:
        checks.append(_one("next hop", True, lambda: _next_hop(settings, settings.smtp.next_hop)))
        if settings.smtp.hold_next_hop:
            checks.append(_one("hold next hop", False, lambda: _next_hop(settings, settings.smtp.hold_next_hop)))
    if settings.notice.relay:
        checks.append(_one("notice relay", False, lambda: _next_hop(settings, settings.notice.relay)))
    return list(await asyncio.gather(*checks))


async def _one(name: str, required: bool, ask: Callable[[], Awaitable[str]]) -> Health:
    try:
        async with asyncio.timeout(PATIENCE_S):
            return Health(name, True, required, await ask())
    except TimeoutError:
        return Health(name, False, required, f"no answer within {PATIENCE_S:g} s")
    except (OSError, StoreError, aiohttp.ClientError) as error:
        return Health(name, False, required, str(error) or type(error).__name__)


async def _store(settings: Settings) -> str:
    store = open_store(settings.store.url, settings.folder)
    try:
        await store.states_version()
    finally:
        await store.close()
    return settings.store.url.partition(":")[0]


async def _incidents(settings: Settings) -> str:
    folder = settings.incidents_folder()

    def try_write() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".trial-{uuid.uuid4().hex}"
        trial.write_bytes(b"x")
        os.unlink(trial)

    await asyncio.to_thread(try_write)
    return str(folder)


async def ping_clamd(address: str) -> str:
    """Return clamd's version line; raises OSError."""
    place = parse_endpoint(address)
    loop = asyncio.get_running_loop()
    family = socket.AF_UNIX if place.path else socket.AF_INET6 if ":" in place.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, place.path or (place.host, place.port))
        except OSError as error:
            raise OSError(f"{address}: {error.strerror or error}") from error
        await loop.sock_sendall(connection, wire.VERSION)
        answer = await loop.sock_recv(connection, 4_096)
    if not answer.endswith(b"\0"):
        raise OSError(f"{address}: answered {answer[:80]!r}")
    return answer[:-1].decode("utf-8", "replace")


async def _rspamd(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url.rstrip("/") + "/ping") as answer:
        text = (await answer.text())[:100].strip()
        if answer.status != 200 or text != "pong":
            raise OSError(f"{url}: answered HTTP {answer.status} {text!r}")
    return url


async def _next_hop(settings: Settings, endpoint: str) -> str:
    from .next_hop import greet  # only where there is an SMTP door, or a relay for notices

    return await greet(parse_endpoint(endpoint), settings.smtp_hostname(), PATIENCE_S)
