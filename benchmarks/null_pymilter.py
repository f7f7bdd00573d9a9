"""The fastest filter that pymilter allows: every stage has a callback, none does anything.

    python -m benchmarks.null_pymilter SOCKET [--data-reply]

The same as null_filter.c, with the same options: SOCKET in libmilter's syntax, replies negotiated away
but for body chunks and, with --data-reply, for DATA.
"""

import argparse
from collections.abc import Callable
from typing import TypeVar

import Milter

BACKLOG = 4096  # as null_filter.c
CONTINUE: int = Milter.CONTINUE

Callback = TypeVar("Callback", bound=Callable[..., int])


def noreply(callback: Callback) -> Callback:
    """Give Milter.noreply, which has no annotations, the type it has."""
    silent: Callback = Milter.noreply(callback)
    return silent


class NullFilter(Milter.Base):  # type: ignore[misc]  # pymilter has no annotations
    @noreply
    def connect(self, hostname: str, family: int, hostaddr: object) -> int:
        return CONTINUE

    @noreply
    def hello(self, hostname: str) -> int:
        return CONTINUE

    @noreply
    def envfrom(self, sender: str, *arguments: str) -> int:
        return CONTINUE

    @noreply
    def envrcpt(self, recipient: str, *arguments: str) -> int:
        return CONTINUE

    def data(self) -> int:
        return CONTINUE

    @noreply
    def unknown(self, command: bytes) -> int:
        return CONTINUE

    @noreply
    def header(self, name: str, value: str) -> int:
        return CONTINUE

    @noreply
    def eoh(self) -> int:
        return CONTINUE

    def body(self, chunk: bytes) -> int:
        return CONTINUE

    def eom(self) -> int:
        return CONTINUE

    def abort(self) -> int:
        return CONTINUE

    def close(self) -> int:
        return CONTINUE


def main() -> None:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser(description="a pymilter filter that does nothing")
    parser.add_argument("socket")
    parser.add_argument("--data-reply", action="store_true")
    options = parser.parse_args()
    if not options.data_reply:
        NullFilter.data = noreply(NullFilter.data)  # type: ignore[method-assign]
    Milter.factory = Milter.header_leading_space(NullFilter)
    Milter.setbacklog(BACKLOG)
    Milter.runmilter("null", options.socket)


if __name__ == "__main__":
    main()
