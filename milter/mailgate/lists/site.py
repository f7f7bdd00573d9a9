"""The site's lists at work: as they were read last, with their phrases compiled."""

from collections.abc import Sequence
from pathlib import Path

from ..model import NO_LISTS, Lists, Spotted, Text
from ..text.lexicon import Lexicon
from .folder import Folder


class SiteLists:
    """The lists of a folder that is followed; empty until `take`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lists: Lists = NO_LISTS
        self._folder = Folder(path)
        self._lexicon = Lexicon(NO_LISTS)

    def find_in(self, texts: Sequence[Text]) -> Sequence[Spotted]:
        """Return the phrases of the lists that some texts hold."""
        return self._lexicon.find_in(texts)

    def changed(self) -> bool:
        """Tell whether the folder is other than was read last."""
        return self._folder.changed()

    def read(self) -> tuple[Lists, Lexicon, list[str]]:
        """Read what is new and compile it, and return what is wrong with it; runs in a thread, one at a time."""
        lists, problems = self._folder.read()
        return lists, Lexicon(lists), problems

    def take(self, lists: Lists, lexicon: Lexicon) -> None:
        """Use what was read, from the next mail on."""
        self.lists, self._lexicon = lists, lexicon
