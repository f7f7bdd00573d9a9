"""Marks of state secrecy in a text: Tuyệt mật (A, top secret), Tối mật (B, secret), Mật (C, confidential).

Law 29/2018/QH14 article 8 has the levels, article 10(3) has them shown by a stamp or in another form; Circular
24/2020/TT-BCA has the stamps: capitals in a frame, and "GIẢI MẬT" where secrecy ended. A stamp is mostly an image,
which nobody sees here; and a mark is evidence, no proof.

mật is in many everyday words: bảo mật (security), mật khẩu (password), bí thư, mật ong (honey), and without marks it
is mất (lose) and mặt (face) too. So where a mark stands and beside what decides, and nothing here returns text: only
the level, the form and the place.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from ..model import Grade, Level, Mark, MarkForm, TextKind
from .folding import Folded, fold

_LEVELS = {
    "tuyệt": Level.TOP_SECRET,
    "tuyet": Level.TOP_SECRET,
    "tối": Level.SECRET,
    "toi": Level.SECRET,
    "": Level.CONFIDENTIAL,
}
_CANDIDATE = re.compile(
    r"(?<![^\W_])(?:(?:(?P<word>tuyệt|tối)[\s_.-]{0,3})?(?P<mark>mật)|(?:(?P<bare>tuyet|toi)[\s_.-]{1,3})?mat)"
    r"(?![^\W_])"
)
_NEAR = 48  # letters before and after that are looked at: a label and its value, or a few words

# Words that mật is the other half of: beside it, and across lines where a heading in capitals is wrapped, "BẢO⏎MẬT".
# The second lists are short, for below a stamp mostly stands something else: "MẬT⏎⏎BÁO CÁO", "MẬT⏎DANH SÁCH".
_BEFORE = "bảo|bí|cơ|túi|thân|trăng|cẩn|nội|ống|đường|dịch|sỏi|gan|rỉ"
_BEFORE_WRAPPED = "bảo|bí|cơ|túi"
_DENSITY = "độ(?! *(?:khẩn|mật|:))"  # mật độ; but below "MẬT" stands "Độ khẩn: …"
_AFTER = f"khẩu|ong|mã|thiết|thư|danh|hiệu|lệnh|đàm|ngọt|mía|vụ|tông|thám|báo|ước|phục|nhân|nghị|thất|gấu|{_DENSITY}"
_AFTER_WRAPPED = f"khẩu|ong|mã(?! số)|thiết|{_DENSITY}"
_FRAME = r"\s|*_#+=~>\"“”'.:–—-"
_WRAP = rf"[{_FRAME}]*\n[{_FRAME}]*"
_HALF_BEFORE = re.compile(rf"(?<![^\W_])(?:{_BEFORE})(?:[ \t]*|[-_.])\Z")
_HALF_AFTER = re.compile(rf"(?:[ \t]*|[-_.])(?:{_AFTER})(?![^\W_])")
_WRAPPED_BEFORE = re.compile(rf"(?<![^\W_])({_BEFORE_WRAPPED}){_WRAP}\Z")
_WRAPPED_AFTER = re.compile(rf"{_WRAP}({_AFTER_WRAPPED})(?![^\W_])")

_URGENT = r"(?:hỏa tốc|thượng khẩn|khẩn|hẹn giờ)"  # degrees of urgency (độ khẩn) stand beside marks
_CELL = r"[\t|]|\s{3}"
_ALONE_BEFORE = re.compile(rf"(?:\n|{_CELL})[{_FRAME}]*\Z")
_COPY = r"\(? *bản số *:? *[0-9/]{1,7} *\)?"  # which copy it is: "TUYỆT MẬT (Bản số 1)"
_ALONE_AFTER = re.compile(rf"[{_FRAME}]*?(?:(?:[-–—/,] *{_URGENT}|{_COPY})[{_FRAME}]*?)?(?:\n|{_CELL})")
# Mật is a given name too, and lists have it in a cell of its own: "NGUYỄN THỊ | MẬT".
_SURNAME = (
    "nguyễn|trần|lê|phạm|hoàng|huỳnh|phan|vũ|võ|đặng|bùi|đỗ|hồ|ngô|dương|lý|đinh|trịnh|lương|mai|cao|lại|tạ|chu"
)
_NAME = re.compile(rf"(?<![^\W_])(?:{_SURNAME})(?: [^\W\d_]+){{0,3}}[\s|]*\Z")
_REPLIES = re.compile(r"\n\s*(?:(?:re|fw|fwd|tl|ct|trả lời|chuyển tiếp) *: *)*\Z")
_OPENING = ("[", "(", "{", "<", "«", "【", "《")
_CLOSED = re.compile(rf"\s*(?:[-–—,/;:]\s*{_URGENT}\s*)?[\])}}>»】》]")
_PREFIX_AFTER = re.compile(r"\s*:|\s+[–—-]\s")
_FIELD = re.compile(
    r"(?<![^\W_])độ mật(?: của [^\W\d_]+(?: [^\W\d_]+)?)?(?:\s*[:|=–—-]\s*|[ ]*[\t\n]\s*|\s+(?=[\"“«]))[\"“«(\[]*\Z"
)
_FIELD_BARE = re.compile(r"(?<![^\W_])do mat\s*:\s*\Z")
_FIELD_BEGUN = re.compile(r"(?<![^\W_])độ mật *:")
_TICKED = ("☒", "☑", "✓", "✔", "✗", "✘", "[x]", "(x)")
_UNTICKED = ("☐", "□", "❑", "❏", "○", "[ ]", "( )", "[]", "()")
_BOXES = (*_TICKED, *_UNTICKED)
_LEVEL = r"(?:tuyệt\s{1,3}mật|tối\s{1,3}mật|mật)"  # a line may end between
_AND = r"[\"”]?\s*(?:[,/;]|và|hoặc|hay)\s*[\"“]?"
_LISTED_BEFORE = re.compile(rf"(?<![^\W_])(?:{_LEVEL}{_AND}|(?:tuyệt mật|tối mật|(?<!độ )mật)\s*\|\s*)(?:độ )?\Z")
_LISTED_AFTER = re.compile(rf"(?:{_AND}|\s*\|\s*)(?:độ )?{_LEVEL}(?![^\W_])")
# A table's head has them in cells, "TUYỆT MẬT | TỐI MẬT | MẬT", a list of stamps one below the other.
_ROW_BEFORE = re.compile(rf"(?<![^\W_])({_LEVEL}) ?[|\t\n][ \t\n|]*\Z")
_ROW_AFTER = re.compile(rf" ?[|\t\n][ \t\n|]*({_LEVEL})(?![^\W_])")
# What the law says of every secret of a level it says of none: "30 năm đối với bí mật nhà nước độ Tuyệt mật".
_PROVISION_BEFORE = re.compile(r"đối với bí mật nhà nước (?:thuộc )?\Z")
_SECRETS_BEFORE = re.compile(r"bí mật nhà nước (?:thuộc )?\Z")
_PROVISION_AFTER = re.compile(r"[\"”»]? (?:là bí mật|gồm|bao gồm|được (?:quy định|xác định|bảo vệ))(?![^\W_])")
_ARTICLE = 2_000  # letters, a page: so near the law has its levels one after another
_DEGREE = re.compile(r"(?<![^\W_])(?P<degree>độ|mức)\s+(?P<quote>[\"“«]?)\Z")
_NOUN = re.compile(r"(?<![^\W_])(?:tài liệu|văn bản|công văn|công điện|hồ sơ|báo cáo|tờ trình)\s+\Z")
_ENDED = re.compile(r"(?<![^\W_])(?:đã\s+)?giải\s+\Z")
_LINE_END = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")
_LINE_ENDS = dict.fromkeys(map(ord, "\r\v\f\x85\u2028\u2029"), "\n")


def marks_in(text: str, kind: TextKind, folded: Folded | None = None) -> Iterator[Mark]:
    """Yield the marks in a text, in order; folded: the same text, where it was folded already.

    Of a thread every message counts: a mark that is quoted leaves again with the reply. A list of several levels, as
    the law and forms have it, is no mark; sentences on one level after another are for somebody to look at. Linear in
    the text.
    """
    folded = folded or fold(text)
    if "mật" not in folded.canon and "mat" not in folded.canon:
        return
    canon = folded.canon.translate(_LINE_ENDS)
    line = 1
    counted = 0
    marks: list[tuple[int, Mark]] = []
    named: list[tuple[int, Level]] = []
    for found in _CANDIDATE.finditer(canon):
        judged = _judged(canon, folded.cased, found, kind)
        if found["word"]:
            named.append((found.start(), _LEVELS[found["word"]]))
        if judged:
            level, grade, form = judged
            if form is MarkForm.PHRASE and level and not found["word"]:
                named.append((found.start(), level))
            offset = folded.canon_at[found.start()]
            line += len(_LINE_END.findall(text, counted, offset))
            counted = offset
            marks.append((found.start(), Mark(level, grade, form, line, offset)))
    series = _in_series(named)
    for place, mark in marks:
        yield replace(mark, grade=Grade.REVIEW) if mark.form is MarkForm.PHRASE and place in series else mark


def _in_series(named: list[tuple[int, Level]]) -> set[int]:
    """Return the places of levels that stand within an article of another one; named: in order."""
    series = set()
    for levels in (named, named[::-1]):
        last: dict[Level, int] = {}
        for place, level in levels:
            if any(other is not level and abs(place - at) <= _ARTICLE for other, at in last.items()):
                series.add(place)
            last[level] = place
    return series


def _judged(
    canon: str, cased: str, found: re.Match[str], kind: TextKind
) -> tuple[Level | None, Grade, MarkForm] | None:
    """Tell what a word is by where it stands, None where it is no mark."""
    start, end = found.span()
    first = max(0, start - _NEAR)
    before = ("" if first else "\n") + canon[first:start]  # a text begins and ends as a line does
    after = canon[end : end + _NEAR] + ("" if end + _NEAR < len(canon) else "\n")
    head = before[max(before.rfind("\n"), 0) :]
    level = _LEVELS[found["word"] or found["bare"] or ""]
    two_words = level is not Level.CONFIDENTIAL
    marked = found["mark"] is not None  # with marks (có dấu)
    upper = _is_upper(cased[start:end])
    title = cased[start].isupper()
    is_clear = level is Level.TOP_SECRET  # without marks too: TOI MAT is tôi mất (I lost) as well

    if _is_half_a_word(before, after, cased[first:start], cased[end : end + _NEAR], upper):
        return None
    if ended := _ENDED.search(head):
        begin = head[: ended.start()]
        if upper and marked and (form := _set_off(begin, after, kind)):
            return None, Grade.DECLASSIFIED, form
        return None
    ticked = _is_ticked(head, after)
    if ticked is False:
        return None

    form = _set_off(head, after, kind)
    if form and upper and (marked or two_words):
        is_name = form is MarkForm.STAMP and not two_words and _NAME.search(before)
        is_listed = _is_in_a_row(before, after, canon[start:end])
        return level, Grade.HOLD if marked and not is_name and not is_listed else Grade.REVIEW, form
    if _LISTED_BEFORE.search(head) or _LISTED_AFTER.match(after):
        return None
    if marked and (_FIELD.search(before) or ticked):
        return level, Grade.HOLD, MarkForm.FIELD
    if _FIELD_BARE.search(before):
        return level, Grade.REVIEW, MarkForm.FIELD
    if marked and (degree := _degree(head, after, upper, title or two_words)):
        return level, Grade.REVIEW if _is_provision(head[: degree.start()], after) else Grade.HOLD, MarkForm.PHRASE
    if form and title and marked and (two_words or (form is MarkForm.BRACKETED and kind is TextKind.SUBJECT)):
        return level, Grade.REVIEW, form
    if marked and _NOUN.search(head):
        return level, Grade.REVIEW, MarkForm.NOUN
    if kind is TextKind.FILE_NAME and ((upper and (marked or two_words)) or (two_words and (marked or is_clear))):
        return level, Grade.REVIEW, MarkForm.FILE_NAME
    if upper and two_words and (marked or is_clear):
        return level, Grade.REVIEW, MarkForm.RUNNING
    return None


def _set_off(head: str, after: str, kind: TextKind) -> MarkForm | None:
    """Tell how a mark is set off from other text, None where it is not."""
    if head.rstrip().endswith(_OPENING) and _CLOSED.match(after):
        return MarkForm.BRACKETED
    if kind is TextKind.FILE_NAME:
        return None
    if _ALONE_AFTER.match(after) and (
        _ALONE_BEFORE.search(head) or (kind is TextKind.SUBJECT and _REPLIES.search(head))
    ):
        return MarkForm.STAMP
    if kind is TextKind.SUBJECT and _REPLIES.search(head) and _PREFIX_AFTER.match(after):
        return MarkForm.PREFIX
    return None


def _is_ticked(head: str, after: str) -> bool | None:
    """Tell whether a form's box for a level is ticked, None where it has none; the boxes stand before the levels, or
    after them."""
    begun = _FIELD_BEGUN.search(head)
    if begun and not head[begun.end() :].lstrip().startswith(_BOXES):
        rest = after.lstrip(" ")
        return rest.startswith(_TICKED) if rest.startswith(_BOXES) else None
    begin = head.rstrip()
    if begin.endswith(_UNTICKED):
        return False
    return True if begun and begin.endswith(_TICKED) else None


def _is_in_a_row(before: str, after: str, mark: str) -> bool:
    """Tell whether the cell or line before or after names another level."""
    cells = (_ROW_BEFORE.search(before), _ROW_AFTER.match(after))
    return any(cell and cell[1][:2] != mark[:2] for cell in cells)  # tu, tố, mậ


def _degree(head: str, after: str, upper: bool, named: bool) -> re.Match[str] | None:
    """Return what makes a word a level, "độ Mật", None for "ĐỘ MẬT" or "Độ mật", what forms ask for."""
    degree = _DEGREE.search(head)
    if degree is None or after.lstrip(" ").startswith((":", "|")):
        return None
    return degree if degree["quote"] or (named and not upper and head[: degree.start()].strip()) else None


def _is_provision(head: str, after: str) -> bool:
    """Tell whether a sentence is of all secrets of a level; head: what stands before "độ Mật"."""
    if _PROVISION_BEFORE.search(head):
        return True
    return bool(_SECRETS_BEFORE.search(head) and _PROVISION_AFTER.match(after))


def _is_upper(cased: str) -> bool:
    """Tell whether a word is in capitals; TCVN3 has none with tones: "TUYệT MậT"."""
    plain = "".join([letter for letter in cased if letter.isascii()])
    return plain.isupper() or (cased.isupper() and not plain)


def _is_half_a_word(before: str, after: str, cased_before: str, cased_after: str, upper: bool) -> bool:
    """Tell whether mật is half of another word."""
    if _HALF_BEFORE.search(before) or _HALF_AFTER.match(after):
        return True
    if not upper:
        return False
    if wrapped := _WRAPPED_BEFORE.search(before):
        begin, end = (place - len(before) for place in wrapped.span(1))
        return _is_upper(cased_before[begin:end])
    if wrapped := _WRAPPED_AFTER.match(after):
        return _is_upper(cased_after[slice(*wrapped.span(1))])
    return False
