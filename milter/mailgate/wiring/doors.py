"""Mailgate's doors as Postfix names them: which milter of a list is ours, and which hook it serves."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..config import HookSection, Settings
from ..postfix.instance import Instance, Service
from ..postfix.lists import settings_of, split_list
from ..postfix.next_hops import host_of

_HERE = ("127.0.0.1", "localhost", "::1", "")
_EVERYWHERE = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class Milter:
    """One of our doors in a list of milters: as it stands there, its settings, and our name of it."""

    address: str
    settings: dict[str, str]
    listener: str
    hidden: bool = False
    """The socket is outside the chroot of the service that looks for it."""


@dataclass(frozen=True, slots=True)
class Doors:
    """[listen] and [[hook]] of mailgate.toml; `filters` are the SMTP doors, which lead to the two next hops."""

    listeners: tuple[str, ...]
    hooks: tuple[HookSection, ...]
    filters: tuple[str, ...] = ()
    next_hop: str = ""
    hold_next_hop: str = ""

    def is_filter(self, nexthop: str) -> bool:
        """Tell whether a next hop is one of our SMTP doors."""
        return bool(self.filter_of(nexthop))

    def filter_of(self, nexthop: str) -> str:
        """Return the SMTP door of ours that a next hop is, "" for none."""
        host, port = host_of(nexthop)
        for door in self.filters:
            known, known_port = host_of(door)
            same_host = host == known or (host in _HERE and known in (*_HERE, *_EVERYWHERE))
            if nexthop == door or (port and port == known_port and same_host):
                return door
        return ""

    def egress_door(self) -> str:
        """Return the SMTP door that [[hook]] makes egress, "" for none; smtp(8) reaches no Unix socket."""
        doors = (door for door in self.filters if door.startswith("inet:"))
        return next((door for door in doors if self.hook(door, "") == "egress"), "")

    def hook(self, listener: str, daemon_name: str) -> str:
        """Return the hook that the daemon would take a mail for, "" where the login decides."""
        for hook in self.hooks:
            if hook.listener == listener and hook.daemon_name in ("", daemon_name):
                return hook.name
        return ""

    def of_hook(self, name: str) -> tuple[str, str]:
        """Return the milter door and {daemon_name} for a hook, as mailgate.toml has them or as they would be."""
        for hook in self.hooks:
            if hook.name == name and hook.listener not in self.filters:
                return hook.listener, hook.daemon_name
        taken = [hook.listener for hook in self.hooks if hook.name == "non-smtp"]
        if name == "non-smtp":
            spare = [listener for listener in self.listeners[1:] if listener not in taken]
            return (spare or list(self.listeners))[0], ""
        free = [listener for listener in self.listeners if listener not in taken]
        return (free or list(self.listeners))[0], name.upper()

    def ours(self, instance: Instance, text: str, service: Service | None) -> Iterator[Milter]:
        """Yield each of our doors in a list of milters, as a service finds it."""
        for item in split_list(text):
            address, settings = settings_of(item)
            for listener in self._candidates(instance, address, service):
                if listener in self.listeners or _is_socket(listener):
                    yield Milter(address, settings, listener)
                    break
            else:
                if address in self.listeners:
                    yield Milter(address, settings, address, hidden=True)
                elif listener := self._by_port(address):
                    yield Milter(address, settings, listener)

    def _candidates(self, instance: Instance, address: str, service: Service | None) -> list[str]:
        kind, _, rest = address.partition(":")
        if kind == "unix":
            # Postfix runs in its queue directory, which is the root of what is in a chroot.
            inside = f"unix:{instance.queue_directory}/{rest.lstrip('/')}"
            return [inside] if not rest.startswith("/") or (service is not None and service.chroot) else [address]
        return [address]

    def _by_port(self, address: str) -> str:
        """Return the listener that has an address in another spelling, or on every interface."""
        kind, _, rest = address.partition(":")
        host, _, port = rest.rpartition(":")
        for listener in self.listeners:
            known, _, known_port = listener.removeprefix("inet:").rpartition(":")
            if kind != "inet" or not listener.startswith("inet:") or port != known_port:
                continue
            here = host.strip("[]") in _HERE and known.strip("[]") in _HERE
            if here or known.strip("[]") in _EVERYWHERE:
                return listener
        return ""


def doors_of(settings: Settings) -> Doors:
    """Return the doors of a configuration."""
    listen, smtp = settings.listen, settings.smtp
    return Doors(tuple(listen.milter), tuple(settings.hook), tuple(listen.smtp), smtp.next_hop, smtp.hold_next_hop)


def _is_socket(listener: str) -> bool:
    """Tell whether systemd holds a socket there that mailgate.toml need not name."""
    try:
        return listener.startswith("unix:") and stat.S_ISSOCK(Path(listener.removeprefix("unix:")).stat().st_mode)
    except OSError:
        return False
