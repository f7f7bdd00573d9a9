"""A private clamd whose only signature is the EICAR test text."""

import contextlib
import socket
from pathlib import Path

from tests.lab.daemon import Daemon, find_program
from tests.lab.ports import free_port

# In two pieces, lest a virus scanner take this file for the test text.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}" + rb"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
SIGNATURE = "Eicar-Test-Signature"

# Above twice Postfix's message_size_limit of 31,457,280: a mail of 29 MB with the text at its end is found.
LIMIT_BYTES = 64 << 20

TIMEOUT_S = 60.0


class Clamd(Daemon):
    """clamd without freshclam and without official signatures, on a Unix socket and on a loopback `port`.

    The limits are clamd's MaxFileSize, MaxScanSize and StreamMaxLength; with `alert_exceeds_max`, what is
    over a limit counts as infected.  Encrypted archives always do (Heuristics.Encrypted.*).  The test text is found
    `anywhere` in a file, or at its start alone, as the official signature has it.
    """

    def __init__(
        self,
        *,
        max_file_bytes: int = LIMIT_BYTES,
        max_scan_bytes: int = 2 * LIMIT_BYTES,
        stream_max_bytes: int = LIMIT_BYTES,
        alert_exceeds_max: bool = False,
        anywhere: bool = True,
        parent: Path = Path("/tmp"),
    ) -> None:
        self._clamd = find_program("clamd", "clamav-daemon")
        self.port = free_port()
        super().__init__("clamd", parent)
        self.socket = self.folder / "clamd.sock"
        database = self.folder / "db"
        database.mkdir()
        # Name:target type 0 (any file):any offset:octets.
        (database / "test.ndb").write_text(f"{SIGNATURE}:0:{'*' if anywhere else 0}:{EICAR.hex()}\n")
        settings = {
            "DatabaseDirectory": database,
            "TemporaryDirectory": self.folder,
            "Foreground": "yes",
            "LocalSocket": self.socket,
            "LocalSocketMode": "666",
            "TCPSocket": self.port,
            "TCPAddr": "127.0.0.1",
            "MaxFileSize": max_file_bytes,
            "MaxScanSize": max_scan_bytes,
            "StreamMaxLength": stream_max_bytes,
            "AlertEncryptedArchive": "yes",
            "AlertExceedsMax": "yes" if alert_exceeds_max else "no",
            "SelfCheck": 86_400,
        }
        self._config = self.folder / "clamd.conf"
        self._config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    @property
    def unix_address(self) -> str:
        """The Unix socket, as mailgate.toml writes it."""
        return f"unix:{self.socket}"

    @property
    def inet_address(self) -> str:
        """The TCP socket, as mailgate.toml writes it."""
        return f"inet:127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [self._clamd, "--config-file", str(self._config)]

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask(b"PING") == "PONG"
        return False

    def scan(self, data: bytes) -> str:
        """Stream octets to clamd and return its answer, such as "stream: OK"."""
        chunk = len(data).to_bytes(4, "big") + data if data else b""
        return self.ask(b"INSTREAM", chunk + bytes(4))

    def ask(self, command: bytes, octets: bytes = b"") -> str:
        """Send one command, with octets behind it, over TCP and return the answer."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as link:
            link.sendall(b"z" + command + b"\0" + octets)
            with link.makefile("rb") as answer:
                return answer.read().rstrip(b"\0").decode()
