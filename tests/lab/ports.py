"""Loopback ports for private servers."""

import random
import socket

# Below 32768, where Linux begins to hand out ports to outgoing connections: one of those could otherwise take
# a server's port while the server is being restarted.
RANGE = range(10_000, 32_768)

_handed_out: set[int] = set()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on and that this process was not given before."""
    while True:
        port = random.choice(RANGE)
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
