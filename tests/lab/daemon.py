"""What private servers share: a folder, a foreground process, a start that ends in ready or in its log."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.waiting import wait_until

START_TIMEOUT_S = 20.0
TAIL_LINES = 30

# Debian keeps servers where an ordinary user's PATH does not look.
SERVER_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/postfix/sbin"


class ServerError(RuntimeError):
    """A private server is missing, did not start or did not stop; the message says why."""


def find_program(name: str, package: str) -> str:
    """Return the path of a server's program; where it is missing, name the Debian `package` that has it."""
    found = shutil.which(name, path=SERVER_PATH)
    if found is None:
        raise ServerError(f"{name} is not installed: apt-get install {package} (or: make setup)")
    return found


class Daemon(ABC):
    """One server in the foreground of its own session.

    `folder` is its own, directly under /tmp (or `parent`) so that socket paths stay under the 108 octets of
    sockaddr_un, readable by the server's users, and removed at the end of the `with` block.  Within the block
    the server may be stopped, killed and started again with the same ports and data.
    """

    stop_timeout_s = 10.0

    def __init__(self, name: str, parent: Path = Path("/tmp")) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
        self.folder.chmod(0o755)
        self.output = self.folder / "output.log"
        self.environment: dict[str, str] = {}  # over that of the test
        self.inherited: tuple[int, ...] = ()  # descriptors that stay open in the server
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line that keeps the server in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """Tell whether the server, just started, serves."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server and wait until it serves; a ServerError carries the tail of its log.

        What is left of a server that was killed is killed first, as systemd does.
        """
        self._kill_leftovers()
        with self.output.open("ab") as output:
            # Output to a file: a pipe that nobody reads would stall a talkative server.
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | self.environment,
                pass_fds=self.inherited,
                start_new_session=True,
            )
        process = self._process
        try:
            wait_until(lambda: process.poll() is not None or self.ready(), START_TIMEOUT_S, f"{self.name} to serve")
        except TimeoutError as error:
            tail = self._tail()
            self.kill()
            raise ServerError(f"{error}; its log ends:\n{tail}") from None
        if process.returncode is not None:
            raise ServerError(f"{self.name} exited with {process.returncode}; its log ends:\n{self._tail()}")

    def stop(self) -> int:
        """End the server with SIGTERM and return its exit status (-9 when it had to be killed)."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End the server's first process with SIGKILL, as a crash would, and return -9."""
        return self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the server and start it again on the same ports and data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Make the server hang: connections are accepted by the kernel and never answered."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """End a `freeze`."""
        os.killpg(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop whatever is left of the server and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        self._kill_leftovers()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process id of the server's first process, which is its process group too."""
        if self._process is None:
            raise ServerError(f"{self.name} was not started")
        return self._process.pid

    def log_text(self) -> str:
        """Return all that the server has logged so far."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process is None:
            raise ServerError(f"{self.name} was not started")
        if process.poll() is None:
            process.send_signal(number)
            self.thaw()
            try:
                process.wait(self.stop_timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
        return process.wait()

    def _kill_leftovers(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _tail(self) -> str:
        return "\n".join(self.log_text().splitlines()[-TAIL_LINES:])
