"""A private rspamd, offline: nothing but its core, which knows the GTUBE test texts."""

import contextlib
import json
import urllib.request
from pathlib import Path
from typing import Any

from tests.lab.daemon import Daemon, find_program
from tests.lab.ports import free_port

# The test texts that rspamd rejects, and marks with a header; in two pieces, like clamd.EICAR.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
GTUBE_ADD_HEADER = "YJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

TIMEOUT_S = 10.0

CONFIG = """\
options {{
  filters = [];
  enable_test_patterns = true;
  pidfile = "{folder}/rspamd.pid";
  cache_file = "{folder}/symbols.cache";
  hs_cache_dir = "{folder}";
  control_socket = "{folder}/control.sock mode=0600";
  tempdir = "{folder}";
  url_tld = "{folder}/tlds";
  dns {{ nameserver = ["127.0.0.1:{closed_port}"]; timeout = 0.1s; retransmits = 1; }}
}}
logging {{ type = "console"; level = "notice"; }}
metric {{ name = "default"; actions {{ reject = 15; add_header = 6; greylist = 4; }} }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; mime = true; }}
"""


class Rspamd(Daemon):
    """rspamd with one worker on a loopback `port`, `{url}/checkv2` being what Mailgate asks."""

    def __init__(self, parent: Path = Path("/tmp")) -> None:
        self._rspamd = find_program("rspamd", "rspamd")
        self.port = free_port()
        super().__init__("rspamd", parent)
        self._config = self.folder / "rspamd.conf"
        # The list that comes with rspamd would be compiled at each start, which takes eight seconds.
        (self.folder / "tlds").write_text("com\nexample\nnet\norg\nvn\n")
        self._config.write_text(CONFIG.format(folder=self.folder, port=self.port, closed_port=free_port()))

    @property
    def url(self) -> str:
        """The base of its URLs, as mailgate.toml writes it."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        # --insecure: as root, without a user to become.
        return [self._rspamd, "--no-fork", "--insecure", "--config", str(self._config)]

    def ready(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/ping", timeout=TIMEOUT_S):
            return True
        return False

    def check(self, data: bytes) -> dict[str, Any]:
        """Return rspamd's opinion of a message: action, score, required_score, symbols…"""
        request = urllib.request.Request(f"{self.url}/checkv2", data=data)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            opinion: dict[str, Any] = json.load(answer)
        return opinion
