"""Zips as Explorer, 7-Zip, office programs and what streams them list them: whoever lists a member, it is seen."""

import io
import struct
import time
import zipfile
import zlib

import pytest
from tests.lab import documents as made

from mailgate.documents.budget import Budget
from mailgate.documents.content import look_into, merged
from mailgate.model import File, Obstacle, Uninspected
from mailgate.text.file_names import read_name

PROGRAM, LETTER = made.zipped({"b.exe": made.PROGRAM}), made.zipped({"a.txt": "Kính gửi"})
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 300


def files(octets: bytes, name: str = "a.zip") -> list[File]:
    found = merged(look_into(octets, name, "", name, Budget()))
    return [each for each in found if isinstance(each, File)][1:]


def seen(octets: bytes, name: str = "a.zip") -> list[str]:
    """Return the places of what is inside, with its types."""
    return sorted(f"{each.place.partition(' > ')[2]}={each.type}" for each in files(octets, name))


def blocked(octets: bytes, name: str = "a.zip") -> set[tuple[str, Obstacle]]:
    found = look_into(octets, name, "", name, Budget())
    return {(each.place, each.obstacle) for each in found if isinstance(each, Uninspected)}


def packed(members: dict[str, bytes], method: int, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = comment
        for name, octets in members.items():
            archive.writestr(name, octets)
    return out.getvalue()


def streamed(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip whose sizes stand behind the members, as of what cannot go back."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.octets = b""

        def writable(self) -> bool:
            return True

        def write(self, octets: bytes) -> int:  # type: ignore[override]
            self.octets += bytes(octets)
            return len(octets)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", method) as archive:
        for name, octets in members.items():
            archive.writestr(name, octets)
    return pipe.octets


def headless(octets: bytes) -> bytes:
    """Return a zip without its directory."""
    return octets[: octets.index(b"PK\1\2")]


def renamed(octets: bytes, at_member: bytes, in_directory: bytes) -> bytes:
    """Return a zip of one member whose two names, as long as each other, differ."""
    place = octets.index(b"PK\3\4") + 30
    other = octets.index(b"PK\1\2") + 46
    out = bytearray(octets)
    out[place : place + len(at_member)] = at_member
    out[other : other + len(in_directory)] = in_directory
    return bytes(out)


def with_unicode_path(plain: str, unicode: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo(plain)
        told = unicode.encode()
        entry.extra = struct.pack("<HHBI", 0x7075, 5 + len(told), 1, zlib.crc32(plain.encode())) + told
        archive.writestr(entry, b"MsgBox 1")
    return out.getvalue()


def zip64(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(octets)
    return out.getvalue()


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        # several zips in one file
        (PROGRAM + LETTER, "a.zip"),
        (LETTER + PROGRAM, "a.zip"),
        (LETTER + PROGRAM + LETTER, "a.zip"),
        (LETTER + b"\0" * 999 + PROGRAM + b"\0" * 999 + LETTER, "a.zip"),
        (PROGRAM + packed({"c.txt": b"x"}, zipfile.ZIP_STORED, b"y" * 9_000), "a.zip"),
        (packed({"c.txt": b"x"}, zipfile.ZIP_STORED, PROGRAM), "a.zip"),
        (PROGRAM + made.docx("x"), "a.docx"),
        (made.docx("x") + PROGRAM, "a.docx"),
        (PROGRAM + made.odt("x"), "a.odt"),
        # members that no directory names
        (headless(PROGRAM), "a.zip"),
        (headless(PROGRAM) + LETTER, "a.zip"),
        (headless(streamed({"b.exe": made.PROGRAM})) + LETTER, "a.zip"),
        (headless(streamed({"c.txt": b"x", "b.exe": made.PROGRAM})), "a.zip"),
        (LETTER[:-22] + headless(PROGRAM) + LETTER[-22:], "a.zip"),
        (headless(PROGRAM) + made.xlsx(["x"]), "a.xlsx"),
        # behind something else, and before it
        (JPEG + PROGRAM, "a.zip"),
        (JPEG + PROGRAM, "a.jpg"),
        (made.pdf("x") + PROGRAM, "a.pdf"),
        (JPEG + PROGRAM + b"\0" * 70_000, "a.zip"),
        (PROGRAM + b"\0" * 70_000, "a.zip"),
        (JPEG + headless(PROGRAM), "a.zip"),
        (b"Rar!\x1a\x07\1\0" + bytes(99) + PROGRAM, "a.zip"),
        # ways to pack
        (packed({"b.exe": made.PROGRAM}, zipfile.ZIP_STORED), "a.zip"),
        (packed({"b.exe": made.PROGRAM}, zipfile.ZIP_BZIP2), "a.zip"),
        (packed({"b.exe": made.PROGRAM}, zipfile.ZIP_LZMA), "a.zip"),
        (streamed({"b.exe": made.PROGRAM}), "a.zip"),
        (streamed({"b.exe": made.PROGRAM}, zipfile.ZIP_STORED), "a.zip"),
        (zip64({"b.exe": made.PROGRAM}), "a.zip"),
        (b"PK00" + PROGRAM, "a"),
        (b"PK\7\x08" + PROGRAM, "a"),
    ],
)
def test_whoever_lists_a_program_it_is_seen(octets: bytes, name: str) -> None:
    assert "b.exe=exe" in seen(octets, name)


@pytest.mark.parametrize(
    "octets",
    [
        renamed(made.zipped({"a.txt": "x"}), b"a.vbs", b"a.txt"),
        renamed(made.zipped({"a.txt": "x"}), b"a.txt", b"a.vbs"),
        renamed(made.zipped({"123456.vbs": "x"}), b"b\xe1o \xff?.vbs"[:10], b"b\xe1o \xff?.vbs"[:10]),
        renamed(made.zipped({"a.vbs1": "x"}), b"a.vbs\xff", b"a.vbs\xff"),
        renamed(made.zipped({"á.vbs1": "x"}), b"\xc3\xff.vbs1"[:7], b"\xc3\xff.vbs\xff"[:7]),
        with_unicode_path("a.txt", "a.vbs"),
        with_unicode_path("a.vbs", "a.txt"),
        with_unicode_path("a.txt", "báo cáo\u202etxt.vbs"),
        made.zipped({"a.txt/..\\a.vbs": "x"}),
        made.zipped({"a.vbs .": "x"}),
    ],
)
def test_a_member_has_every_name_that_it_is_given(octets: bytes) -> None:
    (file,) = files(octets)
    assert "vbs" in {extension for name in (file.name, *file.names) for extension in read_name(name).extensions}


def test_two_entries_for_one_member_are_two_files() -> None:
    octets = made.zipped({"a.txt": "x"})
    begin, end = octets.index(b"PK\1\2"), octets.index(b"PK\5\6")
    entry = octets[begin:end]
    both = entry + entry.replace(b"a.txt", b"a.vbs")
    ending = bytearray(octets[end:])
    struct.pack_into("<HHI", ending, 8, 2, 2, len(both))
    assert {each.name for each in files(octets[:begin] + both + bytes(ending))} == {"a.txt", "a.vbs"}


def test_a_member_that_its_own_header_tells_otherwise_is_read_in_both_ways() -> None:
    """The directory calls it encrypted, or stored; what streams it asks its own header."""
    for whole in (made.zipped({"b.exe": made.PROGRAM}), streamed({"b.exe": made.PROGRAM})):
        entry = whole.index(b"PK\1\2")
        for at, value in ((8, 1), (10, 0)):
            changed = bytearray(whole)
            changed[entry + at] = value
            assert "b.exe=exe" in seen(bytes(changed))


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (LETTER, ["a.txt=text"]),
        (made.zipped({"thư mục/": b"", "thư mục/a.txt": "x"}), ["thư mục/a.txt=text"]),
        (packed({"a.txt": b"x"}, zipfile.ZIP_DEFLATED, "Gửi kèm công văn 12".encode()), ["a.txt=text"]),
        (packed({"b.zip": LETTER}, zipfile.ZIP_STORED), ["b.zip > a.txt=text", "b.zip=zip"]),
        (packed({"b.docx": made.docx("x")}, zipfile.ZIP_STORED), ["b.docx=docx"]),
        (made.zipped({}), []),
        (zip64({"a.txt": b"x"}), ["a.txt=text"]),
        (streamed({"a.txt": b"x", "b.txt": b"y"}), ["a.txt=text", "b.txt=text"]),
    ],
)
def test_a_lawful_zip_is_listed_once(octets: bytes, wants: list[str]) -> None:
    assert seen(octets) == wants
    assert blocked(octets) == set()


def test_a_document_with_a_comment_is_one() -> None:
    octets = made.docx("x")
    octets = octets[:-2] + struct.pack("<H", 5) + b"x y z"
    assert seen(octets, "a.docx") == []
    assert blocked(octets, "a.docx") == set()


@pytest.mark.parametrize(
    ("octets", "wants"),
    [
        (JPEG + made.zipped({}), Obstacle.DAMAGED),  # it says zip, and yields nothing
        (headless(LETTER), Obstacle.DAMAGED),
        (b"".join(made.zipped({}) for _ in range(101)), Obstacle.LIMIT),
    ],
)
def test_what_cannot_be_listed_is_said(octets: bytes, wants: Obstacle) -> None:
    assert {obstacle for _, obstacle in blocked(octets)} == {wants}


_STREAMED = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 8, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"


@pytest.mark.parametrize(
    "octets",
    [
        b"PK\5\6" * 300_000,
        b"PK\1\2" * 300_000 + made.zipped({}),
        (_STREAMED + b"x" * 20) * 30_000,
        headless(PROGRAM) * 20_000,
        PROGRAM * 5_000,
    ],
)
def test_hostile_zips_cost_little(octets: bytes) -> None:
    started = time.process_time()
    seen(octets)
    assert time.process_time() - started < 2.0
