"""Viruses (clauses 4.2 and 10.6): what clamd said of the mail.

Found, encrypted, too large to scan and error are four different things, with an action each; only clean
is clean. A scanner that could not be asked is a missing fact, and `[clamav] on_error` decides.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailgate.model import Action, Evidence, Mail, Scan, ScanStatus
from mailgate.rule import Example, Hit, RuleStanza


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.virus].

    encrypted: the action for an archive or document that only its recipient can open; it is no virus.
    too_large: for what clamd's own limits left unscanned.
    """

    NAME = "virus"
    CLAUSE = "QD27/2023 4.2"
    REPLY = "550 5.7.1 Virus found in message\nPhat hien ma doc trong thu (khoan 2 Dieu 4 QD 27/2023)"
    NEEDS = "clamd"

    encrypted: Action = Action.ACCEPT
    too_large: Action = Action.TEMPFAIL

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Report each answer that is not clean."""
        for scan in mail.scans or ():
            if scan.status is ScanStatus.FOUND:
                yield _hit(scan, None)
            elif scan.status is ScanStatus.ENCRYPTED:
                yield _hit(scan, self.encrypted)
            elif scan.status is ScanStatus.TOO_LARGE:
                yield _hit(scan, self.too_large)


def _hit(scan: Scan, action: Action | None) -> Hit:
    return Hit((Evidence(scan.part, scan.status.value, scan.detail),), action=action)


def _scans(status: ScanStatus, detail: str = "") -> tuple[tuple[str, object], ...]:
    return (("scans", (Scan(status, detail),)),)


EXAMPLES = (
    Example("found", Action.REJECT, facts=_scans(ScanStatus.FOUND, "Eicar-Test-Signature")),
    Example("clean", Action.ACCEPT, facts=_scans(ScanStatus.CLEAN)),
    Example(
        "an encrypted archive is recorded",
        Action.ACCEPT,
        facts=_scans(ScanStatus.ENCRYPTED, "Heuristics.Encrypted.Zip"),
        finds=True,
    ),
    Example(
        "an encrypted archive is held where configured",
        Action.QUARANTINE,
        facts=_scans(ScanStatus.ENCRYPTED, "Heuristics.Encrypted.Zip"),
        keys=(("encrypted", "quarantine"),),
    ),
    Example("too large to scan", Action.TEMPFAIL, facts=_scans(ScanStatus.TOO_LARGE, "size limit")),
    Example("the scanner is away", Action.TEMPFAIL, facts=(("missing", {"clamd": "refused"}),)),
    Example(
        "the scanner is away and the site takes the risk",
        Action.ACCEPT,
        facts=(("missing", {"clamd": "refused"}),),
        keys=(("on_missing", "accept"),),
        finds=True,
    ),
)
