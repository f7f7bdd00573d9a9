"""The libmilter door on a Unix socket. libmilter can serve once in a process, so there is one for all tests."""

import tempfile
from types import TracebackType
from typing import Self

from tests.lab.gates import make_gate, settings_of

from mailgate.doors.libmilter import Door
from mailgate.doors.milter import Hook
from mailgate.gate import Gate
from mailgate.probes.clamd import Address

HOOKS = (Hook("egress", "EGRESS"), Hook("submission", "SUBMISSION"))


class Libmilter:
    """Use it in a `with` block; `gate` is the next mail's, `hooks` are too: HOOKS, unless a test says others."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="libmilter-")
        address = Address(path=f"{self._folder.name}/milter.sock")
        self.address = str(address)
        self.gate: Gate = make_gate(settings_of())
        self._door = Door(address, lambda: self.gate, HOOKS)

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The hooks of its socket, by {daemon_name}."""
        return self._door.hooks

    @hooks.setter
    def hooks(self, hooks: tuple[Hook, ...]) -> None:
        self._door.hooks = hooks

    def __enter__(self) -> Self:
        self._door.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.stop()
        self._folder.cleanup()
