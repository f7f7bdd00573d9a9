"""Archives other than zips: what is behind filters, names that cannot be read, and what calls itself an archive."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib

import pytest
from libarchive.write import custom_writer
from tests.lab import documents as made

from mailgate.documents.budget import Budget
from mailgate.documents.content import look_into, merged
from mailgate.model import Danger, File, Obstacle, Uninspected
from mailgate.text.file_names import read_name


def look(octets: bytes, name: str) -> list[object]:
    return list(merged(look_into(octets, name, "", name, Budget())))


def files(octets: bytes, name: str) -> dict[str, str]:
    """Return the places of what is inside, and their types."""
    return {each.place: each.type for each in look(octets, name) if isinstance(each, File) and each.place != name}


def dangers(octets: bytes, name: str) -> set[Danger]:
    return {danger for each in look(octets, name) if isinstance(each, File) for danger, _ in each.dangers}


def blocked(octets: bytes, name: str) -> set[Obstacle]:
    return {each.obstacle for each in look(octets, name) if isinstance(each, Uninspected)}


def archive(kind: str, members: dict[str, bytes], filter_name: str | None = None) -> bytes:
    """Return an archive that libarchive writes."""
    out = io.BytesIO()
    with custom_writer(out.write, kind, filter_name) as made_archive:
        for name, octets in members.items():
            made_archive.add_file_from_memory(name, len(octets), octets)
    return out.getvalue()


def tar(members: dict[str, bytes], encoding: str = "utf-8", kind: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", encoding=encoding, format=kind) as made_tar:
        for name, octets in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(octets)
            made_tar.addfile(entry, io.BytesIO(octets))
    return out.getvalue()


ISO = archive("iso9660", {"b.exe": made.PROGRAM})
VHD = bytes(512 * 9) + b"conectix" + bytes(504)
SEVEN = archive("7zip", {"b.exe": made.PROGRAM})


@pytest.mark.parametrize(
    ("octets", "name", "wants"),
    [
        (
            lzma.compress(ISO),
            "a.iso.xz",
            {"a.iso.xz > a.iso": "iso", "a.iso.xz > a.iso > .": "", "a.iso.xz > a.iso > b.exe": "exe"},
        ),
        (gzip.compress(VHD), "a.vhd.gz", {"a.vhd.gz > a.vhd": "vhd"}),
        (bz2.compress(VHD), "a.bz2", {"a.bz2 > a": "vhd"}),
        (archive("raw", {"a": VHD}, "zstd"), "a.zst", {"a.zst > a": "vhd"}),
        (b"\x50*M\x18\x04\0\0\0abcd" + archive("raw", {"a": VHD}, "zstd"), "a.zst", {"a.zst > a": "vhd"}),
        (archive("raw", {"a": VHD}, "lz4"), "a.lz4", {"a.lz4 > a": "vhd"}),
        (archive("raw", {"a": VHD}, "lzip"), "a.lz", {"a.lz > a": "vhd"}),
        (gzip.compress(lzma.compress(VHD)), "a.vhd.xz.gz", {"a.vhd.xz.gz > a.vhd": "vhd"}),
        (gzip.compress(SEVEN), "a.7z.gz", {"a.7z.gz > a.7z": "7z", "a.7z.gz > a.7z > b.exe": "exe"}),
        (lzma.compress(made.zipped({"b.exe": made.PROGRAM})), "a.xz", {"a.xz > a": "zip", "a.xz > a > b.exe": "exe"}),
        (gzip.compress(made.PROGRAM), "a.exe.gz", {"a.exe.gz > a.exe": "exe"}),
        (gzip.compress(made.PROGRAM), "a.pdf", {"a.pdf > a.pdf": "exe"}),
        (lzma.compress(tar({"b.exe": made.PROGRAM})), "a.tar.xz", {"a.tar.xz > b.exe": "exe"}),
        (gzip.compress(tar({"b.exe": made.PROGRAM}, kind=tarfile.USTAR_FORMAT)), "a.tgz", {"a.tgz > b.exe": "exe"}),
        (
            tar({"a.txt": b"x"}) + tar({"b.exe": made.PROGRAM}),
            "a.tar",
            {"a.tar > a.txt": "text", "a.tar > b.exe": "exe"},
        ),
        (
            gzip.compress(archive("cpio", {"b.exe": made.PROGRAM})),
            "a.cpio.gz",
            {"a.cpio.gz > a.cpio": "cpio", "a.cpio.gz > a.cpio > b.exe": "exe"},
        ),
        (lzma.compress(VHD, lzma.FORMAT_ALONE), "a.lzma", {"a.lzma > a": "vhd"}),
        (gzip.compress(gzip.compress(tar({"b.exe": made.PROGRAM}))), "a.tar.gz", {"a.tar.gz > b.exe": "exe"}),
        (
            gzip.compress(tar({"a.txt": b"x"})) + gzip.compress(tar({"b.exe": made.PROGRAM})),
            "a.tgz",
            {"a.tgz > a.txt": "text", "a.tgz > b.exe": "exe"},
        ),
        (
            archive("ar_bsd", {"data.tar.xz": lzma.compress(tar({"b.exe": made.PROGRAM}))}),
            "a.deb",
            {"a.deb > data.tar.xz": "xz", "a.deb > data.tar.xz > b.exe": "exe"},
        ),
        # named as an archive that stands behind something else
        (b"\xff\xd8\xff\xe0" + bytes(2_000) + SEVEN, "a.7z", {"a.7z > b.exe": "exe"}),
        (b"GIF89a" + bytes(2_000) + SEVEN, "a.7z", {"a.7z > b.exe": "exe"}),
        (made.zipped({"a.txt": "x"}) + SEVEN, "a.7z", {"a.7z > a.txt": "text", "a.7z > b.exe": "exe"}),
        # macros of a document that was saved as a page
        (
            b"ActiveMime" + bytes(40) + zlib.compress(made.vba_project("Sub A()")),
            "a.mso",
            {"a.mso > oledata.mso": "ole"},
        ),
    ],
)
def test_what_is_behind(octets: bytes, name: str, wants: dict[str, str]) -> None:
    assert files(octets, name) == wants


@pytest.mark.parametrize(
    "octets", [lzma.compress(ISO), gzip.compress(VHD), archive("raw", {"a": b"vhdxfile" + bytes(99)}, "zstd")]
)
def test_an_image_behind_a_filter_is_one(octets: bytes) -> None:
    assert Danger.DISK_IMAGE in dangers(octets, "a")


def rar(name: bytes) -> bytes:
    """Return a RAR of version 4 with a file that is stored."""

    def block(kind: int, flags: int, body: bytes, octets: bytes = b"") -> bytes:
        head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + octets

    file = struct.pack("<IIBIIBBHI", 1, 1, 2, zlib.crc32(b"x"), 0, 20, 0x30, len(name), 32) + name
    return b"Rar!\x1a\7\0" + block(0x73, 0, bytes(6)) + block(0x74, 0x8000, file, b"x") + block(0x7B, 0x4000, b"")


def rar5(name: bytes) -> bytes:
    """Return a RAR of version 5 with a file that is stored."""

    def block(body: bytes, octets: bytes = b"") -> bytes:
        sized = bytes((len(body),)) + body
        return struct.pack("<I", zlib.crc32(sized)) + sized + octets

    file = b"\2\2\1\4\1\x20" + struct.pack("<I", zlib.crc32(b"x")) + b"\0\0" + bytes((len(name),)) + name
    return b"Rar!\x1a\7\1\0" + block(b"\1\0\0") + block(file, b"x") + block(b"\5\0\0")


def gzip_named(octets: bytes, name: bytes) -> bytes:
    """Return a gz that keeps a name."""
    plain = gzip.compress(octets)
    return plain[:3] + b"\x08" + plain[4:10] + name + b"\0" + plain[10:]


def broken_7z(name: str) -> bytes:
    """Return a 7z whose member's name is half characters of UTF-16."""
    out = bytearray(archive("7zip", {name: b"x"}))
    place = out.index(name[:4].encode("utf-16-le"))
    out[place : place + 8] = b"\0\xd8" * 4
    begin, size, _ = struct.unpack_from("<QQI", out, 12)
    struct.pack_into("<QQI", out, 12, begin, size, zlib.crc32(bytes(out[32 + begin : 32 + begin + size])))
    struct.pack_into("<I", out, 8, zlib.crc32(bytes(out[12:32])))
    return bytes(out)


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (tar({"b\xe1o \xff.vbs": b"x"}, "latin-1", tarfile.GNU_FORMAT), "a.tar"),
        (tar({"b\xe1o c\xe1o.vbs": b"x"}, "latin-1", tarfile.USTAR_FORMAT), "a.tar"),
        (tar({"báo cáo.vbs": b"x"}), "a.tar"),
        (archive("7zip", {"báo cáo.vbs": b"x"}), "a.7z"),
        (archive("iso9660", {"báo cáo.vbs": b"x"}), "a.iso"),
        (archive("cpio", {"báo cáo.vbs": b"x"}), "a.cpio"),
        (rar(b"a.vbs"), "a.rar"),
        (rar(b"b\xe1o \xff.vbs"), "a.rar"),
        (rar5("báo cáo.vbs".encode()), "a.rar"),
        (gzip_named(b"x", b"b\xe1o.vbs"), "a.txt.gz"),
        (gzip_named(b"x", b"a.txt"), "a.vbs.gz"),
    ],
)
def test_a_name_yields_its_extension(octets: bytes, name: str) -> None:
    found = [each for each in look(octets, name) if isinstance(each, File)]
    assert "vbs" in {
        extension for each in found for own in (each.name, *each.names) for extension in read_name(own).extensions
    }


@pytest.mark.parametrize("octets", [broken_7z("1234.vbs"), rar5(b"b\xe1o\xff.vbs")])
def test_a_name_that_cannot_be_read_is_a_danger(octets: bytes) -> None:
    assert Danger.DISGUISED in dangers(octets, "a")


@pytest.mark.parametrize(
    ("octets", "name", "wants"),
    [
        (SEVEN[:32] + bytes(40), "a.7z", Obstacle.DAMAGED),
        (b"MSCF" + bytes(99), "a.cab", Obstacle.DAMAGED),
        (ISO[:32_768] + b"\x01CD001\x01" + bytes(30_000), "a.iso", Obstacle.DAMAGED),
        (gzip.compress(b"x" * 999)[:20], "a.gz", Obstacle.DAMAGED),
        (b"\x60\xea" + bytes(99), "a.arj", Obstacle.UNSUPPORTED),
        (bytes(7) + b"**ACE**" + bytes(99), "a.rar", Obstacle.UNSUPPORTED),
        (bytes(20) + b"\xdc\xa7\xc4\xfd" + bytes(99), "a.zoo", Obstacle.UNSUPPORTED),
        (b"EGGA" + bytes(99), "a.egg", Obstacle.UNSUPPORTED),
        (b"ALZ\1" + bytes(99), "a.alz", Obstacle.UNSUPPORTED),
        (b"MSWIM\0\0\0" + bytes(99), "a.wim", Obstacle.UNSUPPORTED),
        (b"hsqs" + bytes(99), "a.sqfs", Obstacle.UNSUPPORTED),
        (b"QFI\xfb" + bytes(99), "a.qcow2", Obstacle.UNSUPPORTED),
        (b"\x89LZO\0\r\n\x1a\n" + bytes(99), "a.lzo", Obstacle.UNSUPPORTED),
        (b"ActiveMime" + bytes(99), "a.mso", Obstacle.DAMAGED),
        (b"SZDD\x88\xf0'3A" + bytes(99), "a.tx_", Obstacle.UNSUPPORTED),
        (b"\x50*M\x18\x04\0\0\0abcd" + b"\0" * 99, "a.zst", Obstacle.DAMAGED),
        (b"\1\2\3" * 40, "a.arj", Obstacle.DAMAGED),
        (b"\1\2\3" * 40, "a.cab", Obstacle.DAMAGED),
        (b"\1\2\3" * 40, "a.gz", Obstacle.DAMAGED),
    ],
)
def test_what_yields_nothing_is_said(octets: bytes, name: str, wants: Obstacle) -> None:
    assert blocked(octets, name) == {wants}
