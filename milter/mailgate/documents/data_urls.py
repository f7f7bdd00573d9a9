"""Files in data: URLs (RFC 2397)."""

import re
from dataclasses import dataclass

from ..mime.fields import percent_decoded
from ..mime.transfer import decoder_for

_URL = re.compile(rb"\s*data:([^,]{0,500}),", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DataFile:
    """What a URL holds, and the type that it says."""

    octets: bytes
    declared: str


def file_of(url: bytes) -> DataFile | None:
    """Return the file in a URL, None where it holds none."""
    head = _URL.match(url)
    if head is None:
        return None
    declared, *parameters = head[1].decode("latin-1").lower().split(";")
    octets = percent_decoded(url[head.end() :])
    if any(parameter.strip() == "base64" for parameter in parameters):
        octets = from_base64(octets)
    return DataFile(octets, declared.strip())


def from_base64(text: bytes) -> bytes:
    """Return what base64 says, also in the alphabet of URLs (RFC 4648 section 5)."""
    decoder = decoder_for("base64")
    return decoder.feed(text.replace(b"-", b"+").replace(b"_", b"/")) + decoder.finish()
