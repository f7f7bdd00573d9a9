"""systemd's protocol for services: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).

Datagrams and environment variables, so that no library is needed; without systemd all of it does nothing.
"""

import os
import socket
from collections.abc import MutableMapping

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


def notify(state: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Tell the service manager a state such as `READY=1` or `WATCHDOG=1`."""
    path = environment.get("NOTIFY_SOCKET")
    if not path:
        return
    if path.startswith("@"):  # an abstract socket
        path = "\0" + path[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.sendto(state.encode(), path)
        except OSError:  # a manager that went away is not our failure
            return


def watchdog_s(environment: MutableMapping[str, str] = os.environ) -> float | None:
    """Return how often the manager wants to hear from this process, in seconds; None when it does not."""
    microseconds, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000


def inherited_sockets(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """Return the listening sockets that were handed to this process, and take the variables away."""
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    found = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)):
        os.set_inheritable(descriptor, False)
        found.append(socket.socket(fileno=descriptor))
    return found
