"""A private OpenDKIM that signs our domain's mail, on a Unix socket, as Postfix asks it after Mailgate."""

import base64
import contextlib
import socket

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.lab.daemon import Daemon, find_program

SELECTOR = "ngay"

CONFIG = """\
Background no
Mode s
Syslog no
UserID root
UMask 000
RequireSafeKeys no
Canonicalization relaxed/simple
Socket local:{folder}/opendkim.sock
Domain {domain}
Selector {selector}
KeyFile {folder}/key.pem
InternalHosts {folder}/internal
"""


class Opendkim(Daemon):
    """opendkim: it signs what a login of ours, or a client of `internal_networks`, sends in the domain's name."""

    def __init__(self, domain: str, internal_networks: list[str]) -> None:
        self._opendkim = find_program("opendkim", "opendkim")
        super().__init__("opendkim")
        key = rsa.generate_private_key(65_537, 2_048)
        form, syntax = serialization.PrivateFormat.TraditionalOpenSSL, serialization.PublicFormat.SubjectPublicKeyInfo
        private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        public = base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, syntax))
        (self.folder / "key.pem").write_bytes(private)
        (self.folder / "internal").write_text("\n".join(internal_networks) + "\n")
        self._config = self.folder / "opendkim.conf"
        self._config.write_text(CONFIG.format(folder=self.folder, domain=domain, selector=SELECTOR))
        self.name_of_key = f"{SELECTOR}._domainkey.{domain}"
        self.record = b"v=DKIM1; k=rsa; p=" + public

    @property
    def milter(self) -> str:
        """Its door, as Postfix's smtpd_milters has it."""
        return f"unix:{self.folder}/opendkim.sock"

    def command(self) -> list[str]:
        return [self._opendkim, "-f", "-x", str(self._config)]

    def ready(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as trial:
            trial.connect(f"{self.folder}/opendkim.sock")
            return True
        return False
