"""Names of files as Windows reads them, and the tricks in them."""

import time

import pytest

from mailgate.text.file_names import PROGRAMS, Trick, extension_of, read_name


@pytest.mark.parametrize(
    ("name", "extensions", "tricks"),
    [
        ("a.exe", "exe", ()),
        ("a.EXE", "exe", ()),
        ("bao-cao.pdf.exe", "exe", (Trick.DOUBLE_EXTENSION,)),
        ("bao-cao.docx .scr", "scr", (Trick.DOUBLE_EXTENSION,)),
        ("hoa don.pdf          .exe", "exe", (Trick.DOUBLE_EXTENSION, Trick.PADDING)),
        ("hoa don        .exe", "exe", (Trick.PADDING,)),
        ("a.exe .", "exe", (Trick.ENDING,)),
        ("a.exe...", "exe", (Trick.ENDING,)),
        ("a.ｅｘｅ", "exe", (Trick.FULL_WIDTH,)),
        ("a．exe", "exe", (Trick.FULL_WIDTH,)),
        ("a.e\u200bxe", "exe", (Trick.FULL_WIDTH,)),
        ("thongbao\u202efdp.exe", "exe", (Trick.DIRECTION,)),
        ("thongbao\u2067fdp.docx", "docx", (Trick.DIRECTION,)),
        ("a.txt:b.exe", "txt exe", (Trick.STREAM,)),
        ("a.exe:b.txt", "exe txt", (Trick.STREAM,)),
        ("a.exe\0.txt", "exe txt", (Trick.STREAM, Trick.CONTROL)),
        ("../../x", "", (Trick.PATH,)),
        ("..\\x.txt", "txt", (Trick.PATH,)),
        ("a/b.exe", "exe", ()),
        ("a.exe/b.txt", "txt", ()),
        ("a.exe/", "exe", ()),
        ("a.exe/.", "exe", ()),
        ("a.exe\\. ", "exe", ()),
        ("a.exe::$DATA", "exe", (Trick.STREAM,)),
        ("a.exe:", "exe", ()),
        ("a.exe\t", "exe", (Trick.ENDING,)),
        ("a.exe\u3000", "exe", (Trick.ENDING,)),
        ("a․exe", "exe", (Trick.FULL_WIDTH,)),
        ('a.exe"', 'exe" exe', ()),
        ("a.exe'", "exe' exe", ()),
        ("a.exe\ufffd", "exe\ufffd exe", ()),
        ("a.{3050f4d8-98B5-11CF-BB82-00AA00BDCE0B}", "{3050f4d8-98b5-11cf-bb82-00aa00bdce0b}", (Trick.CLASS,)),
        ("a.{2026}", "{2026}", ()),
        # daily life
        ("v1.2.docx", "docx", ()),
        ("12.QD-UBND.pdf", "pdf", ()),
        ("bao.cao.thang.11.docx", "docx", ()),
        ("Biên bản 10:30.docx", "docx", ()),
        ("bao cao.docx ", "docx", ()),
        ("bao cao\tthang 11.docx", "docx", ()),
        ("Danh sách......pdf", "pdf", ()),
        ("a..b.pdf", "pdf", ()),
        ("ten tep", "", ()),
        ("", "", ()),
        (".", "", ()),
        (".htaccess", "htaccess", ()),
    ],
)
def test_names(name: str, extensions: str, tricks: tuple[Trick, ...]) -> None:
    reading = read_name(name)
    assert reading.extensions == tuple(extensions.split())
    assert set(reading.tricks) == set(tricks)


def test_the_last_extension_is_the_one_that_counts() -> None:
    assert extension_of("a.txt:b.exe") == "exe"
    assert extension_of("a") == ""


@pytest.mark.parametrize(
    "name", ["a" * 100_000, " " * 100_000 + ".exe", "../" * 50_000, ":" * 100_000, "." * 100_000]
)
def test_long_names_cost_little(name: str) -> None:
    started = time.process_time()
    read_name.anew(name)
    assert time.process_time() - started < 0.1


def test_extensions_are_as_names_have_them() -> None:
    assert {extension for extension in PROGRAMS if extension != extension.lower().strip(". ")} == set()
