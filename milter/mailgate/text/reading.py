"""A text of a mail as rules read it: folded, with the marks of secrecy in it."""

from ..model import Text, TextKind
from .folding import fold
from .marks import marks_in


def read_text(
    place: str, kind: TextKind, text: str, charset: str = "", declared: str = "", is_html: bool = False
) -> Text:
    """Fold a text as a reader sees it, and look for marks; charset and declared as in model.Text."""
    folded = fold(text)
    return Text(place, kind, folded.canon, tuple(marks_in(text, kind, folded)), charset, declared, is_html)
