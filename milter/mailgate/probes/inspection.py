"""What is inside a mail, as a fact about it: the inspector's answer, and the phrases of the site's lists in it."""

from collections.abc import Sequence
from typing import Protocol

from ..mime.walker import Leaf
from ..model import Inspection, Lists, Mail, Spotted, Text, was_judged
from ..spool import Spool
from .probe import Asked, Probe


class Looks(Protocol):
    """Who looks into mails (inspection.inspector)."""

    def at_once(self, mail: Mail, raw: Spool, leaves: Sequence[Leaf]) -> Inspection | None:
        """Return what is inside a mail that needs no worker, None for any other."""

    async def inspect(self, mail: Mail, raw: Spool, leaves: Sequence[Leaf]) -> Inspection:
        """Return what is inside a mail; raises OSError where no worker can be had."""


class SiteLists(Protocol):
    """Who has the site's lists, and looks for their phrases (lists.folder)."""

    @property
    def lists(self) -> Lists:
        """Return the lists as they are now."""

    def find_in(self, texts: Sequence[Text]) -> Sequence[Spotted]:
        """Return the phrases of the lists that some texts hold."""


class InspectionProbe(Probe):
    """Has a mail looked into, unless it was when it was taken in, for the very same recipients."""

    name = "inspection"

    def __init__(self, inspector: Looks, lists: SiteLists | None, deadline_s: float) -> None:
        self._inspector = inspector
        self._lists = lists
        self.deadline_s = deadline_s

    def concerns(self, asked: Asked) -> bool:
        mail = asked.mail
        if asked.raw is None or mail.inspection is not None:
            return False
        return mail.session.hook != "egress" or not was_judged(mail.passages, mail.envelope.recipients)

    def answers_at_once(self, asked: Asked) -> bool:
        assert asked.raw is not None
        return self._take(asked.mail, self._inspector.at_once(asked.mail, asked.raw, asked.leaves))

    async def ask(self, asked: Asked) -> None:
        assert asked.raw is not None
        self._take(asked.mail, await self._inspector.inspect(asked.mail, asked.raw, asked.leaves))

    def _take(self, mail: Mail, inspection: Inspection | None) -> bool:
        if inspection is None:
            return False
        mail.inspection = inspection
        if self._lists is not None:
            mail.spotted = self._lists.find_in(inspection.texts)
        return True
