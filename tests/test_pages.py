"""Pages that make files by script, files in URLs, pictures that run something; and pages of offices that do not."""

import base64
import gzip
import time

import pytest
from tests.lab import documents as made
from tests.lab.gates import make_gate, settings_of
from tests.lab.mails import base64_lines

from mailgate.documents.budget import Budget
from mailgate.documents.content import look_into, merged
from mailgate.doors.offline import Case, judge_case
from mailgate.model import Action, File, Uninspected
from mailgate.text.file_names import read_name
from mailgate_rules.dangerous_attachment import Stanza

PROGRAM = base64.b64encode(made.PROGRAM).decode()
ZIP = base64.b64encode(made.zipped({"b.exe": made.PROGRAM})).decode()
LETTER = base64.b64encode(b"Kinh gui: quy co quan, xin gui bao cao thang nay.").decode()
LONG = base64.b64encode(b"Kinh gui: quy co quan, xin gui bao cao thang nay." * 5).decode()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
_BLOB = (
    "var b=new Blob([u]);var a=document.createElement('a');a.href=URL.createObjectURL(b);"
    "a.download='hoa-don.exe';a.click();"
)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def look(page: str | bytes, name: str = "a.html") -> list[File]:
    octets = page if isinstance(page, bytes) else page.encode()
    return [each for each in merged(look_into(octets, name, "", name, Budget())) if isinstance(each, File)]


def dangers(page: str | bytes, name: str = "a.html") -> set[str]:
    return {danger.value for each in look(page, name) for danger, _ in each.dangers}


def script(code: str) -> str:
    return f"<html><body><script>{code}</script></body></html>"


@pytest.mark.parametrize(
    "page",
    [
        script(f"var u=atob('{LETTER}');{_BLOB}"),
        script(f"var d='{LETTER}';var u=new Uint8Array(d.split('').map(c=>c.charCodeAt(0)));{_BLOB}"),
        script(f"var u=decodeURIComponent('{LETTER}');navigator.msSaveOrOpenBlob(new Blob([u]),'a.zip');"),
        script(
            f"var w=window;var u=w['at'+'ob']('{LETTER}');var b=new w['Bl'+'ob']([u]);var a=d.createElement('a');"
            "a.href=w.URL['create'+'ObjectURL'](b);a['down'+'load']='a.exe';a['cl'+'ick']();"
        ),
        script(f"var u=\\x61tob('{LETTER}');".replace("\\x61tob", "window['\\x61tob']") + _BLOB),
        script(
            f"fetch('data:x/y;base64,{LETTER}').then(r=>r.blob()).then(function(b){{var a=d.createElement('a');"
            "a.href=URL.createObjectURL(b);a.setAttribute('download','a.exe');a.dispatchEvent(new Event('click'))});"
        ),
        f"<html><body onload=\"var u=atob('{LETTER}');var b=new Blob([u]);saveAs(b,'a.zip')\"></body></html>",
        f"<html><SCRIPT type='text/javascript'\n>var u=atob('{LETTER}');{_BLOB}",
        script(f"var u=atob('{LETTER}');{_BLOB}").encode("utf-16"),
        f"<html><script src='data:text/javascript;base64,{encoded(f'var u=atob(`{LETTER}`);' + _BLOB)}'></script>",
    ],
)
def test_a_page_that_makes_a_file_and_saves_it(page: str | bytes) -> None:
    assert "html-smuggling" in dangers(page)


@pytest.mark.parametrize(
    "page",
    [
        script(f"var u=atob('{PROGRAM}');{_BLOB}"),
        script(f"var u=atob('{ZIP}');{_BLOB}"),
        script(
            "var u=atob('" + "'+'".join(PROGRAM[at : at + 50] for at in range(0, len(PROGRAM), 50)) + f"');{_BLOB}"
        ),
        script(
            "var u=['" + "','".join(PROGRAM[at : at + 8] for at in range(0, len(PROGRAM), 8)) + f"'].join('');{_BLOB}"
        ),
        script(f"var u=atob('{PROGRAM[::-1]}'.split('').reverse().join(''));{_BLOB}"),
        script(f"var u=hex('{made.PROGRAM.hex()}');{_BLOB}"),
        script("var u='" + "".join(f"\\x{octet:02x}" for octet in made.PROGRAM) + f"';{_BLOB}"),
        script(f"var u=new Uint8Array([{', '.join(map(str, made.PROGRAM))}]);{_BLOB}"),
        script(f"var u=new Uint8Array([{','.join(map(hex, made.PROGRAM))}]);{_BLOB}"),
        script(
            "document.write(unescape('"
            + "".join(f"%{octet:02X}" for octet in script(f"atob('{PROGRAM}');{_BLOB}").encode())
            + "'))"
        ),
        f"<html><div id=x hidden>{PROGRAM}</div><script>var u=atob(x.innerText);{_BLOB}</script></html>",
        f"<html><input type=hidden value='{ZIP}'><script src=https://example.com/a.js></script></html>",
        f"<html><a id=x download='hoa-don.exe' href='data:application/octet-stream;base64,{PROGRAM}'>x</a></html>",
        f"<html><iframe src='data:application/zip;base64,{ZIP}'></iframe></html>",
        f"<html><meta http-equiv=refresh content='0;url=data:application/zip;base64,{ZIP}'></html>",
        f"<html><a href='data:image/png;base64,{PROGRAM}' download=a.exe>x</a></html>",
        f'<html><embed src="data:text/html;base64,{encoded(script(f"atob(`{PROGRAM}`)"))}"></html>',
        # as browsers read a URL: without line ends and tabs, and blanks before it; entities are resolved first
        f"<html><a href='\n d\na\tta:application/octet-stream;base64,{PROGRAM}'>x</a></html>",
        f"<html><a href='data&colon;application/octet-stream;base64,{PROGRAM}'>x</a></html>",
        f"<html><a href=&#100;ata:application/octet-stream;base64,{PROGRAM}>x</a></html>",
        f'<html><a href="data:a/b ; base64 ,{PROGRAM[:40]} {PROGRAM[40:]}">x</a></html>',
        f"<html><meta http-equiv=refresh content='0; url=d&Tab;ata:application/zip;base64,{ZIP}'></html>",
        f"<html><script src='da\nta:text/javascript;base64,{encoded(f'var u=atob(`{PROGRAM}`);' + _BLOB)}'></script>",
    ],
)
def test_what_a_page_carries_is_looked_into(page: str) -> None:
    assert "program" in dangers(page)


_SMUGGLED = f"<script>var u=atob('{LETTER}');{_BLOB}</script>"


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("a.html", ""),
        ("A.HTM", ""),
        ("a.xhtml", ""),
        ("a.xht", ""),
        ("a.shtml", ""),
        ("a.html:b.txt", ""),
        ("a.txt", "text/html"),
        ("a", "application/xhtml+xml"),
    ],
)
@pytest.mark.parametrize(
    "begin",
    [
        *("<!-- x -->", "Kinh gui", "\ufeffKinh gui", "</x>", "<center>", "<b>", "<?xml version='1.0'?><b>"),
        *(" " * 5_000, "GIF89a", "%PDF-1.4", "{\\rtf1}", "ID;P", "BEGIN:VCALENDAR", "Subject: x\n\n", "\0\1\2\3" * 9),
        *("ID3", "MZ\0", "PK\3\4", "@echo off\n", "WEB\n1\nhttp://a\n", "[InternetShortcut]\n"),
    ],
)
def test_a_page_is_one_by_its_name_or_type_whatever_it_begins_with(begin: str, name: str, declared: str) -> None:
    octets = (begin + _SMUGGLED).encode()
    found = [each for each in look_into(octets, name, declared, "p", Budget()) if isinstance(each, File)]
    assert "html-smuggling" in {danger.value for each in found for danger, _ in each.dangers}
    if not declared:
        assert "html-smuggling" in dangers(made.zipped({name: octets}), "a.zip")


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"GIF89a" + bytes(20), "a.gif"),
        (made.pdf("x"), "a.pdf"),
        (b"Kinh gui: quy co quan", "a.html"),
        (b"<!-- x --><p>Kinh gui</p>", "a.html"),
        (b"\xef\xbb\xbfKinh gui", "a.htm"),
    ],
)
def test_what_runs_nothing_is_no_danger(octets: bytes, name: str) -> None:
    found = list(look_into(octets, name, "", name, Budget()))
    assert not any(isinstance(each, Uninspected) or (isinstance(each, File) and each.dangers) for each in found)


@pytest.mark.parametrize(
    "page",
    [
        script(f"var u=xor('zzzzzzzz{LETTER}');{_BLOB}"),
        script(f"var n='bao cao.pdf.js';var u=atob('{LETTER}');saveAs(new Blob([u]),n)"),
        "<html><a download='a.hta' href='data:text/html,<b>x</b>'>x</a></html>",
    ],
)
def test_the_name_of_what_is_made_counts(page: str) -> None:
    names = {last for each in look(page) for name in (each.name, *each.names) for last in read_name(name).extensions}
    assert names & {"exe", "js", "hta"}


@pytest.mark.parametrize(
    "page",
    [
        script(f"eval(atob('{LONG}'))"),
        script(f"document.write(unescape(atob('{LONG}')))"),
        script("var _0x1a2b=1;" + "".join(f"_0x{number:04x}=2;" for number in range(0xABC0, 0xABE0))),
        script(
            "function xuat(){var b=new Blob([bang.innerText]);a.href=URL.createObjectURL(b);a.download='bang.csv'}"
        ),
        "<html><a href='search-ms:query=a&crumb=location:%5C%5C192.0.2.1%5Cb'>x</a></html>",
        '<html><iframe src="ms-msdt:/id PCWDiagnostic"></iframe></html>',
        '<html><iframe src="ms-\n&#109;sdt&colon;/id PCWDiagnostic"></iframe></html>',
        "<html><a download='bang.csv' href='data:text/csv;charset=utf-8,a;b%0A1;2'>Tải bảng</a></html>",
    ],
)
def test_what_is_only_said(page: str) -> None:
    assert dangers(page) == {"active-page"}


def svg(inner: str, head: str = "") -> str:
    return f'{head}<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{inner}</svg>'


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        (svg("<script>location='https://example.com/'</script>"), "a.svg"),
        (svg("<script xlink:href='https://example.com/a.js'/>"), "a.svg"),
        (svg("<s:script xmlns:s='http://www.w3.org/2000/svg'>x</s:script>"), "a.svg"),
        (svg("<rect onload='x()'/>"), "a.svg"),
        (svg('<g\nonmouseover = "x()"/>'), "a.svg"),
        (svg("<a xlink:href='javascript:x()'><text>x</text></a>"), "a.svg"),
        (svg("<a xlink:href='&#106;avascript:x()'><text>x</text></a>"), "a.svg"),
        (svg("<a xlink:href='java&#10;script:x()'><text>x</text></a>"), "a.svg"),
        (svg("<animate attributeName='href' values='javascript:x()'/>"), "a.svg"),
        (svg("<set attributeName='onmouseover' to='x()'/>"), "a.svg"),
        (svg("<foreignObject><iframe src='https://example.com/'/></foreignObject>"), "a.svg"),
        (svg("<foreignObject><form action='https://example.com/'/></foreignObject>"), "a.svg"),
        (svg("<use href='data:image/svg+xml;base64,PHN2Zz48c2NyaXB0Lz48L3N2Zz4='/>"), "a.svg"),
        (svg("&x;", '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x "&#60;script>x&#60;/script>">]>'), "a.svg"),
        (svg("", '<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#x"?>'), "a.svg"),
        (svg("<script>x</script>", "<!--" + "x" * 9_000 + "-->"), "a.svg"),
        (svg("<script>x</script>").encode("utf-16"), "a.svg"),
        (gzip.compress(svg("<script>x</script>").encode()), "a.svgz"),
        (svg("<script>x</script>"), "a.xml"),
        ("<?xml version='1.0'?><a><x:script xmlns:x='http://www.w3.org/1999/xhtml'>x</x:script></a>", "a.xml"),
    ],
)
def test_a_picture_that_runs_something(picture: str | bytes, name: str) -> None:
    assert "active-image" in dangers(picture, name)


_CHART = "var Plotly={};" + "function f(x){return x.toString()+createObjectURL(x)+atob(x)}\n" * 4_000


@pytest.mark.parametrize(
    ("page", "name", "wants"),
    [
        (svg("<path d='M0 0h9v9z'/><text>Sở Nội vụ</text><style>.on{fill:#000}</style>"), "logo.svg", ""),
        (
            svg(
                "<image href='data:image/png;base64,iVBORw0KGgoAAAA='/>",
                "<?xml version='1.0'?><!DOCTYPE svg PUBLIC 'a' 'b'>",
            ),
            "logo.svg",
            "",
        ),
        (svg("", "<!DOCTYPE svg [<!ENTITY ns_svg 'http://www.w3.org/2000/svg'>]>"), "logo.svg", ""),
        (
            svg("<foreignObject><div xmlns='http://www.w3.org/1999/xhtml'>Phòng Tư pháp</div></foreignObject>"),
            "so-do.svg",
            "active-page",
        ),
        (svg("<text>&lt;script&gt; là thẻ</text>"), "a.svg", ""),
        ("<?xml version='1.0'?><f><h:form xmlns:h='http://www.w3.org/1999/xhtml'/></f>", "a.xml", ""),
        (script("window.print()"), "a.html", ""),
        (script("document.getElementById('in').onclick=function(){window.print();}"), "ban-tin.html", ""),
        (
            f"<html><body><img src='data:image/png;base64,{PNG}'><p onclick='dong()'>Bản tin</p></body></html>",
            "ban-tin.html",
            "",
        ),
        ("<html><style>@font-face{src:url(data:font/woff2;base64,d09GMgABAAAAAA==)}</style></html>", "a.html", ""),
        ("<html><a href='https://example.com/?token=" + "aB3" * 40 + "'>x</a></html>", "a.html", ""),
        (
            f"<html><p>Dùng atob('{LETTER}'), new Blob, createObjectURL và a.download.</p></html>",
            "huong-dan.html",
            "",
        ),
        (script(f"{_CHART}a.download='bieu-do.png';a.click();new Uint8Array()"), "bao-cao.html", "active-page"),
        (
            "<?xml version='1.0'?><?xml-stylesheet type='text/xsl' href='hd.xsl'?><HDon><Ten>x</Ten></HDon>",
            "hd.xml",
            "",
        ),
        ("<html><form action='https://example.com/'><input name=a></form></html>", "a.html", ""),
    ],
)
def test_lawful_pages(page: str, name: str, wants: str) -> None:
    assert dangers(page, name) == set(wants.split())


async def judged(part: bytes) -> Action:
    mail = (
        b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + part + b"\r\n--b--\r\n"
    )
    case = Case(mail, client_ip="203.0.113.7", mail_from="a@example.com", rcpts=("ptp.bl@hanam.gov.vn",))
    return (await judge_case(make_gate(settings_of(Stanza())), case)).verdict.action


@pytest.mark.parametrize(
    ("head", "page", "wants"),
    [
        (b"Content-Type: text/html; name=a.html", script(f"u=atob('{PROGRAM}');{_BLOB}"), Action.REJECT),
        (
            b"Content-Type: text/html; name=a.html",
            script(f"u=xor(atob('{LETTER}'));{_BLOB.replace('.exe', '')}"),
            Action.QUARANTINE,
        ),
        (b"Content-Type: text/html", script(f"u=atob('{LETTER}');{_BLOB}"), Action.QUARANTINE),
        (b"Content-Type: text/html", script("window.print()"), Action.ACCEPT),
        (b"Content-Type: text/html; name=a.html", script("window.print()"), Action.ACCEPT),
        (b"Content-Type: image/svg+xml; name=a.svg", svg("<script>x</script>"), Action.QUARANTINE),
        (b"Content-Type: image/svg+xml; name=a.svg", svg("<path/>"), Action.ACCEPT),
        (b"Content-Type: image/svg+xml; name=a", svg("<script>x</script>", "x"), Action.QUARANTINE),
    ],
)
async def test_what_follows(head: bytes, page: str, wants: Action) -> None:
    assert (
        await judged(head + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64_lines(page.encode())) is wants
    )


@pytest.mark.parametrize(
    "page",
    [
        "<html>" + "<script" * 75_000,
        "<html><script>" + "A" * 500_000,
        "<html><script>" + "AAAA'," * 75_000,
        "<html><script>" + "'AAAA', " * 50_000 + "x",
        "<html><script>" + "data:a;b" * 50_000,
        "<html><script>" + "1 ," * 125_000,
        "<html>" + " onabc =" * 50_000,
        "<html><script>" + "'+'" * 125_000,
        "<html><script>" + "'a." * 100_000,
        svg("<!ENTITY" * 50_000),
        "<html>" + "data:x/y;base64,AAAA " * 7_500,
        "<html>" + "= " * 250_000,
        "<html>" + "='\"=" * 100_000,
        "<html><meta content='0;url=" + " " * 500_000 + ":'>",
    ],
)
def test_hostile_pages_cost_little(page: str) -> None:
    for name in ("a.html", "a.svg"):
        started = time.process_time()
        look(page, name)
        assert time.process_time() - started < 1.0  # a quadratic search takes minutes
