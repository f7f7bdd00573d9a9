"""What the parts of an office document are to one another, and what they lead to outside (ECMA-376 part 2, 9.3)."""

import posixpath
import re
from collections.abc import Iterable, Iterator
from zipfile import ZipInfo

from ..model import Danger
from .found import Found, Threat
from .markup import Attributes, is_remote, parse
from .objects import dangers_of_link
from .packages import Package

# Relationships that are fetched when the document is opened. A hyperlink is none, nor is a picture: programs ask
# about those, and mails themselves are full of them.
_FETCHED = frozenset(
    {
        *("attachedTemplate", "oleObject", "frame", "subDocument", "package", "control", "aFChunk"),
        "mailMergeSource",
    }
)
# A link to another workbook, of formulas or of a chart: the program asks before it looks there.
_LINKS = frozenset(
    {
        *(
            "externalLinkPath",
            "externalLinkLongPath",
            "xlPathMissing",
            "xlStartup",
            "xlAlternateStartup",
            "xlLibrary",
        ),
        "chart",
    }
)
_OBJECTS = frozenset({"oleObject", "package"})
# Parts without text that a reader sees, by their relationship, and by their names where none leads to them.
_SILENT = frozenset(
    {
        *(
            "theme",
            "themeOverride",
            "fontTable",
            "webSettings",
            "settings",
            "styles",
            "stylesWithEffects",
            "numbering",
        ),
        *("sharedStrings", "calcChain", "printerSettings", "thumbnail", "metadata/thumbnail", "tableStyles"),
        *("presProps", "viewProps", "customXmlProps", "sheetMetadata", "font", "glossarySettings"),
    }
)
_SILENT_NAMES = re.compile(
    r"\[content_types\]\.xml|(?:.*/)?(?:theme/.*|styles\.xml|sharedstrings\.xml|settings\.xml|calcchain\.xml"
    r"|fonttable\.xml|websettings\.xml|thumbnail\.\w+|printersettings\d*\.bin)"
)


class Roles:
    """What each part is to the others, by the relationships that lead to it (ECMA-376 part 2, 9.3)."""

    def __init__(self) -> None:
        self._roles: dict[str, set[str]] = {}

    def read(self, name: str, chunks: Iterable[bytes]) -> Iterator[Found]:
        """Take a part of relationships; yield what it leads to outside of the document."""
        threats: dict[Threat, None] = {}
        folder = name.rpartition("_rels/")[0]
        of_chart = "charts/" in folder

        def start(element: str, attributes: Attributes) -> None:
            if element != "Relationship":
                return
            kind, target = attributes.get("Type", "").rpartition("/")[2], attributes.get("Target", "")
            if attributes.get("TargetMode", "").lower() == "external":
                threats.update(dict.fromkeys(_outside("chart" if of_chart and kind in _OBJECTS else kind, target)))
            else:
                path = posixpath.normpath(posixpath.join("/", folder, target.replace("\\", "/"))).lstrip("/").lower()
                self._roles.setdefault(path, set()).add(kind)

        blocked = parse(chunks, start, _ignore, _ignore)
        yield from threats
        if blocked:
            raise blocked

    def of(self, name: str) -> set[str]:
        """Return what a part is; its name in lower case."""
        return self._roles.get(name, set())

    def parts(self, package: Package, role: str, ending: str) -> list[ZipInfo]:
        """Return the parts that are this, by a relationship, or by the end of their name where none leads to them.

        Those in binary (xlsb) are no XML, whatever their role.
        """
        is_binary = ending.endswith(".bin")
        found = []
        for name, part in package.parts:
            lower = name.lower()
            own = self.of(lower)
            is_it = role in own if own else lower.endswith(ending)
            if is_it and (is_binary or not lower.endswith(".bin")):
                found.append(part)
        return found

    def is_silent(self, name: str) -> bool:
        """Tell whether a part has no text that a reader sees, and nothing that runs."""
        own = self.of(name)
        return own <= _SILENT if own else _SILENT_NAMES.fullmatch(name) is not None


def _outside(kind: str, target: str) -> Iterator[Threat]:
    """Yield what a relationship does that leads outside of the document."""
    if kind in _LINKS:
        if is_remote(target):
            yield Threat(Danger.LINKED_WORKBOOK, kind)
    elif kind in _FETCHED and is_remote(target):
        yield Threat(Danger.REMOTE_TEMPLATE, kind)
    elif kind in _OBJECTS:
        yield from dangers_of_link(target)


def _ignore(text: str) -> None:
    """Take what nobody asks for."""
