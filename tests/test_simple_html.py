"""HTML that is read without a parser says what the parser says, or nothing."""

import random
import time

import pytest
from tests.lab.pages import page

from mailgate.text.html import visible_text
from mailgate.text.simple_html import simple_text


@pytest.mark.parametrize("is_tidy", [True, False])
def test_what_is_read_without_a_parser_is_what_a_parser_reads(is_tidy: bool) -> None:
    answered = 0
    for number in range(6_000):
        html = page(random.Random(number), is_tidy)
        shown = simple_text(html)
        if shown is not None:
            answered += 1
            assert shown == visible_text(html), html
    assert answered > (1_500 if is_tidy else 150)


OUTLOOK = (
    '<html xmlns:o="urn:schemas-microsoft-com:office:office"><head><meta http-equiv="Content-Type" '
    'content="text/html; charset=utf-8"><!--[if !mso]><style>v\\:* {behavior:url(#default#VML);}</style><![endif]-->'
    "<style><!--\n/* Font Definitions */\n@font-face\n\t{font-family:Calibri;}\n--></style></head>"
    '<body lang="EN-US" link="#0563C1" style="word-wrap:break-word"><div class="WordSection1"><p class="MsoNormal">'
    '<span style="font-family:&quot;Times New Roman&quot;,serif">Kính gửi<o:p></o:p></span></p>'
    '<p class="MsoNormal"><o:p>&nbsp;</o:p></p><table class="MsoTableGrid" border="1"><tr><td width="10">'
    '<p class="MsoNormal">1<o:p></o:p></p></td><td>TỐI <b>MẬT</b></td></tr></table></div></body></html>'
)
GMAIL = (
    '<div dir="ltr">Kính gửi<div><br></div><div>Nội dung</div></div><br><div class="gmail_quote"><div dir="ltr" '
    'class="gmail_attr">On Mon, Nov 30, 2026 at 8:00 AM Lan &lt;<a href="mailto:lan@example.com">lan@example.com</a>'
    '&gt; wrote:<br></div><blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex"><div>Cũ</div>'
    "</blockquote></div>"
)


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        (OUTLOOK, "Kính gửi\n\t\n1\n\tTỐI MẬT"),
        (GMAIL, "Kính gửi\nNội dung\nOn Mon, Nov 30, 2026 at 8:00 AM Lan <lan@example.com> wrote:\nCũ"),
        ('TUYỆT <span style="display:none">x</span>MẬT', "TUYỆT MẬT"),
        ("<div>a</div>\r\n<div>b</div>\r\n", "a\nb"),
        ("", ""),
    ],
)
def test_what_mail_programs_write_needs_no_parser(html: str, shown: str) -> None:
    assert simple_text(html) == visible_text(html) == shown


@pytest.mark.parametrize(
    "html",
    [
        pytest.param("<p>a<div>b</div>", id="a paragraph that a block closes"),
        pytest.param("<b>a<i>b</b>c</i>", id="elements that cross"),
        pytest.param("<table>a<tr><td>b</td></tr></table>", id="text that stands before its table"),
        pytest.param("<td>a</td>", id="a cell of no table"),
        pytest.param("a</div>b", id="an end of nothing"),
        pytest.param("<script>document.write('a')</script>", id="a script"),
        pytest.param("<textarea><b></textarea>a", id="text of another kind"),
        pytest.param("<svg><style><p></style></svg>", id="SVG"),
        pytest.param("<select><option>a<option>b</select>", id="a list to choose from"),
        pytest.param('<p title="a>b">c</p>', id="a tag's end in an attribute"),
        pytest.param("<!--> a -->", id="a comment that is none"),
        pytest.param("a<b", id="a tag that does not end"),
        pytest.param("&ampx", id="a reference without its end"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("<body style='display:none'>a</body>", id="a body that is hidden"),
        pytest.param("<div>" * 200 + "</div>" * 200, id="deep"),
    ],
)
def test_what_a_parser_would_repair_has_no_answer(html: str) -> None:
    assert simple_text(html) is None


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<p>a</p>",
            "<",
            "<!--",
            "<a b=",
            "&",
            "&#",
            "<p ",
            " ",
            "<style>",
            "<b>",
            "</b>",
            "<table><tr><td>",
            "hidden",
        ),
        *(
            "<p a=b a=b ",
            "<!",
            "<![if ",
            "<style><!--",
            '<p a="',
            "<a b ",
            "<br>",
            "&amp;",
            "<div style=display:none>",
        ),
    ],
)
def test_its_time_is_linear(piece: str) -> None:
    started = time.process_time()
    for _ in range(3):
        simple_text(piece * (262_144 // len(piece)))
    assert time.process_time() - started < 3.0
