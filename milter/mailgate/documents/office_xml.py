"""Office documents in one XML file: flat OPC, Word 2003, Excel 2003, OpenDocument; any other XML is its text alone.

What it is, its root element tells; programs open it whatever its name.
"""

import base64
import binascii
import io
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from xml.parsers import expat

from ..model import Danger, Obstacle
from . import macros, markup, odf, ooxml, page_headers
from .budget import Blocked, Budget
from .found import Found, Inside, Threat, extracts
from .markup import Attributes, local, parse
from .types import is_inert

_HEAD = 65_536  # octets in which the root element begins
_LONGEST_NAME = 256
_PROPERTIES = frozenset({"Title", "Subject", "Keywords", "Description", "Category"})


def read(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what an XML file holds."""
    budget.take_steps(octets.count(b"<"))
    root = _root(octets)
    if root == "package":
        packed, is_whole = _packed(octets)
        yield from ooxml.read(packed, "docx", place, budget)
        if not is_whole:
            raise Blocked(Obstacle.DAMAGED, "xml")
    elif root == "wordDocument":
        yield from ooxml.read_story(octets, place, budget)
        yield from _binary(octets, place, budget)
    elif root == "Workbook":
        yield from _workbook(octets, place, budget)
        yield from markup.read(octets, place, budget)
    elif root in ("document", "document-content"):
        yield from odf.read_flat(octets, place, budget)
    else:
        yield from markup.read(octets, place, budget)


def _root(octets: bytes) -> str:
    """Return the local name of the root element, "" for none."""
    names: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = lambda name, attributes: names.append(name.rpartition(" ")[2])
    with suppress(expat.ExpatError):  # what is damaged is said by who reads it whole
        parser.Parse(octets[:_HEAD], False)
    return names[0] if names else ""


def _packed(octets: bytes) -> tuple[bytes, bool]:
    """Return the parts of a package in one file (pkg:part) as the zip that it is else, and whether it is whole."""
    out = io.BytesIO()
    is_whole = False
    with zipfile.ZipFile(out, "w") as archive:
        parser = expat.ParserCreate(namespace_separator=" ")
        name, begin = "", -1

        def start(element: str, attributes: Attributes) -> None:
            nonlocal name, begin
            element = element.rpartition(" ")[2]
            if element == "part":
                name = local(attributes).get("name", "")[:_LONGEST_NAME].lstrip("/")
            elif element in ("xmlData", "binaryData") and begin < 0:
                begin = octets.find(b">", parser.CurrentByteIndex) + 1

        def end(element: str) -> None:
            nonlocal begin
            element = element.rpartition(" ")[2]
            if element not in ("xmlData", "binaryData") or begin < 0:
                return
            content = octets[begin : parser.CurrentByteIndex]
            archive.writestr(name or "part.xml", content if element == "xmlData" else _decoded(content))
            begin = -1

        parser.StartElementHandler, parser.EndElementHandler = start, end
        with suppress(expat.ExpatError):
            parser.Parse(octets, True)
            is_whole = True
        if begin >= 0:
            archive.writestr(name or "part.xml", octets[begin:])
    return out.getvalue(), is_whole


def _decoded(content: bytes) -> bytes:
    try:
        return base64.b64decode(content)
    except binascii.Error:
        return b""


def _binary(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield properties, macros and objects of a Word 2003 document (o:DocumentProperties, w:binData)."""
    held: list[str] = []
    said: list[str] = []
    found: list[tuple[str, str]] = []

    def start(element: str, attributes: Attributes) -> None:
        held.clear()
        if element in ("binData", "docSuppData"):
            found.append((local(attributes).get("name", element).rpartition("/")[2], ""))

    def end(element: str) -> None:
        if element == "binData" and found:
            found[-1] = (found[-1][0], "".join(held))
        elif element in _PROPERTIES:
            said.append("".join(held))

    parse((octets,), start, end, held.append)
    yield from extracts(said, place, "", budget)
    if any(name.lower() in ("editdata.mso", "docsuppdata") for name, _ in found):
        yield Threat(Danger.MACRO, "VBA")
        yield from macros.read(octets, "xml")
    for name, text in found:
        inner = _decoded(text.encode())
        budget.take_octets(len(inner))
        if inner and name.lower() != "editdata.mso" and not is_inert(inner[:_HEAD], name):
            yield Inside(name, inner)


def _workbook(octets: bytes, place: str, budget: Budget) -> Iterator[Found]:
    """Yield what a workbook of Excel 2003 has in attributes: names of sheets, headers, formulas."""
    lines: list[str] = []
    threats: dict[Threat, None] = {}

    def start(element: str, attributes: Attributes) -> None:
        known = local(attributes)
        if element == "Worksheet":
            lines.append(known.get("Name", ""))
        elif element in ("Header", "Footer"):
            lines.append(page_headers.shown(known.get("Data", "")))
        if ooxml.is_dde(known.get("Formula", "")):
            threats[Threat(Danger.DYNAMIC_DATA, "DDE")] = None

    def ignore(text: str) -> None:
        """Take what is read as text."""

    parse((octets,), start, ignore, ignore)
    yield from threats
    yield from extracts(lines, place, "", budget)
