"""A private spamd of SpamAssassin, offline, with a handful of rules: what it ships takes many seconds to compile."""

import contextlib
import socket
from pathlib import Path

from tests.lab.daemon import Daemon, find_program
from tests.lab.ports import free_port

# In two pieces, like clamd.EICAR; and a text that makes spam, but not beyond doubt.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
TAGGED = "MAILGATE-TEST-OF-A-SCORE-OF-SIX"

TIMEOUT_S = 10.0

PLUGINS = "loadplugin Mail::SpamAssassin::Plugin::Check\n"
RULES = f"""\
required_score 5
use_bayes 0
body_part_scan_size 0
util_rb_tld com net org vn example
body GTUBE /{GTUBE.replace("*", "[*]").replace(".", "[.]")}/
score GTUBE 1000
body TAGGED /{TAGGED}/
score TAGGED 6
"""


class Spamd(Daemon):
    """spamd on a loopback `port` and on a Unix socket; a mail's score is that of its rules: 1000, 6 or 0 of 5."""

    def __init__(self, parent: Path = Path("/tmp")) -> None:
        self._spamd = find_program("spamd", "spamd")
        self.port = free_port()
        super().__init__("spamd", parent)
        self.socket = self.folder / "spamd.sock"
        self._rules = self.folder / "rules"
        self._rules.mkdir()
        (self._rules / "plugins.pre").write_text(PLUGINS)
        (self._rules / "rules.cf").write_text(RULES)

    @property
    def url(self) -> str:
        """Its TCP socket, as mailgate.toml writes it."""
        return f"spamd://127.0.0.1:{self.port}"

    @property
    def unix_url(self) -> str:
        """Its Unix socket, as mailgate.toml writes it."""
        return f"spamd://{self.socket}"

    def command(self) -> list[str]:
        listens = [f"--listen=127.0.0.1:{self.port}", f"--listen={self.socket}", "--socketmode=666"]
        folders = [
            f"--configpath={self._rules}",
            f"--siteconfigpath={self._rules}",
            f"--helper-home-dir={self.folder}",
        ]
        alone = ["--local", "--nouser-config", "--syslog=stderr", "--min-children=1", "--max-children=2"]
        own = [f"--helper-home-dir={self.folder}", f"--pidfile={self.folder}/spamd.pid"]
        return [self._spamd, *listens, *folders, *own, *alone]

    def ready(self) -> bool:
        # It binds its sockets first, and compiles its rules while clients wait.
        if not self.socket.exists():
            return False
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as link,
        ):
            link.sendall(b"PING SPAMC/1.5\r\n\r\n")
            return b"PONG" in link.recv(100)
        return False
