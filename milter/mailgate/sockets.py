"""Listening sockets: bound here, or inherited from systemd; an error names the address and the mend."""

import contextlib
import errno
import grp
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from .config import ConfigError, ListenSection, parse_endpoint
from .probes.clamd import Address


@dataclass(frozen=True, slots=True)
class Listening:
    """A listening socket, its address as the configuration writes it, and the door it leads to: milter or smtp."""

    name: str
    socket: socket.socket
    is_unix: bool
    door: str = "milter"


def open_listeners(section: ListenSection, inherited: Sequence[socket.socket]) -> list[Listening]:
    """Return a socket for each configured address, and for each further one that was inherited, a milter's.

    Raises ConfigError when one cannot be had.
    """
    handed = {_address_of(sock): sock for sock in inherited}
    found = []
    for door, names in (("milter", section.milter), ("smtp", section.smtp)):
        for name in names:
            address = parse_endpoint(name)
            sock = handed.pop(str(address), None) or _bind(address, f"listen.{door}: {name}", section)
            found.append(Listening(name, sock, bool(address.path), door))
    found += [Listening(name, sock, name.startswith("unix:")) for name, sock in handed.items()]
    for listening in found:
        listening.socket.setblocking(False)
    if not found:
        raise ConfigError(["listen.milter: name at least one address, such as inet:127.0.0.1:8891"])
    return found


def _address_of(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"inet:{name[0]}:{name[1]}"


def _bind(address: Address, name: str, section: ListenSection) -> socket.socket:
    try:
        return _bind_unix(address.path, section) if address.path else _bind_inet(address, section.backlog)
    except OSError as error:
        mend = {
            errno.EADDRINUSE: "another process listens there: stop it, or change the address",
            errno.EACCES: "not allowed: change the folder's owner or mode, or take a port over 1023",
            errno.ENOENT: "no such folder: create it",
            errno.EADDRNOTAVAIL: "this machine has no such address",
        }.get(error.errno or 0, "change the address")
        raise ConfigError([f"{name}: {error.strerror or error}: {mend}"]) from error


def _bind_inet(address: Address, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: str, section: ListenSection) -> socket.socket:
    if len(os.fsencode(path)) > 107:
        raise OSError(errno.ENAMETOOLONG, "path is longer than a socket's may be (107 octets)")
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o777 & ~int(section.unix_mode, 8))
    try:
        sock.bind(path)
        if section.unix_group:
            try:
                group = grp.getgrnam(section.unix_group).gr_gid
            except KeyError:
                raise ConfigError(
                    [f"listen.unix_group: there is no group {section.unix_group!r}: create it, or name another"]
                ) from None
            os.chown(path, -1, group)
        sock.listen(section.backlog)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(old)
    return sock


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on any more."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EADDRINUSE, "a file that is no socket is in the way")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
            try:
                trial.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            else:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
