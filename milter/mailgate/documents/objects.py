"""Objects that are embedded as OLE 1 did it (MS-OLEDS 2.2, 2.3): in RTF, and the Packager's files in OLE 2."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Embedded:
    """An embedded file, its name as the Packager has it, and the class of the object ("Package", "Equation.3")."""

    name: str
    octets: bytes
    kind: str = ""


def packaged(octets: bytes) -> Embedded | None:
    r"""Return the file in a Packager's stream, `\1Ole10Native` or the native data of a Package; None for none.

    After an optional size of 4 octets: 02 00, label, path, 8 octets, path, the file's size and octets.
    """
    at = 4 if octets[4:6] == b"\x02\0" else 0
    if octets[at : at + 2] != b"\x02\0":
        return None
    label, position = _text(octets, at + 2)
    path, position = _text(octets, position)
    position += 4
    length = int.from_bytes(octets[position : position + 4], "little")
    position += 4 + length  # the path once more
    size = int.from_bytes(octets[position : position + 4], "little")
    inner = octets[position + 4 : position + 4 + size]
    name = label or path.replace("\\", "/").rpartition("/")[2]
    return Embedded(name, inner, "Package") if inner else None


def _text(octets: bytes, position: int) -> tuple[str, int]:
    end = octets.find(b"\0", position, position + 1_024)
    if end < 0:
        return "", len(octets)
    return octets[position:end].decode("cp1258", "replace"), end + 1


def object_of(octets: bytes) -> Embedded | None:
    """Return what an OLE 1 object holds (MS-OLEDS 2.2.5); None for a link, and for what is no object."""
    if octets[4:8] != b"\x02\0\0\0":
        return None
    kind, position = _counted(octets, 8)
    for _ in range(2):  # topic and item
        _, position = _counted(octets, position)
    size = int.from_bytes(octets[position : position + 4], "little")
    native = octets[position + 4 : position + 4 + size]
    if kind == "Package" and (inner := packaged(native)):
        return inner
    return Embedded(kind or "object", native, kind) if native else None


def _counted(octets: bytes, position: int) -> tuple[str, int]:
    length = int.from_bytes(octets[position : position + 4], "little")
    end = position + 4 + length
    return octets[position + 4 : end][:256].rstrip(b"\0").decode("latin-1"), end
