"""MTAs: Postfix, sendmail, Exim, qmail, Courier. Their .forward files and aliases keep the sender and mark nothing.

What shows is that the mail was delivered, or taken in, for another mailbox before: Delivered-To and the like are
written at a delivery, `for` of Received when it is taken in. A mailing list without List-Id shows the same, and so
does the mail that its own reader sends again.
"""

from collections.abc import Iterator

from ..model import Evidence
from ..text.received import received_for
from .letter import Letter
from .mechanism import Kind, Mechanism, Sign, Strength, field_evidence

_TRACES = (b"delivered-to", b"x-original-to", b"envelope-to", b"x-envelope-to")


def _deliveries(letter: Letter) -> Iterator[Sign]:
    for name in _TRACES:
        for value, boxes in letter.named_in(name):
            for box in boxes:
                if not letter.is_recipient(box):
                    yield _delivery(letter, name, value, box)
    taken_in_for = letter.delivered_for
    if taken_in_for:
        evidence = (Evidence("header", "Received", f"for <{taken_in_for}>"),)
        strength = Strength.LIKELY
        if letter.identity.is_same(taken_in_for, letter.sender):
            # Its host, which wrote the newest line, sends it on in its name; of a person's mail that is his
            # submission.
            is_newest = taken_in_for == received_for(letter.mail.header_values(b"received")[0])
            strength = Strength.SURE if is_newest and is_passed_on(letter, taken_in_for) else Strength.HINT
        elif letter.is_by(taken_in_for) or letter.is_addressed:
            strength = Strength.HINT
        yield Sign(Kind.FORWARD, strength, evidence, taken_in_for)


def _delivery(letter: Letter, name: bytes, value: bytes, box: str) -> Sign:
    """Return what a delivery to a mailbox says: sure where the mail was addressed to it, and not to who gets it now.

    Of who wrote or sends the mail it says nothing: a saved mail that its reader sends again bears it; nor where the
    mail was written to its recipients as well.
    """
    evidence = (field_evidence(name, value),)
    local, _, domain = box.rpartition("@")
    box = f"{local.removeprefix(f'{domain}-')}@{domain}"  # as qmail has a virtual domain's
    if is_passed_on(letter, box):
        return Sign(Kind.FORWARD, Strength.SURE, evidence, box, targets=letter.unaddressed)
    is_nothing = letter.is_addressed or letter.is_by(box) or letter.identity.is_same(box, letter.sender)
    return Sign(Kind.FORWARD, Strength.HINT if is_nothing else Strength.LIKELY, evidence, box)


def is_passed_on(letter: Letter, box: str) -> bool:
    """Tell whether a mail was written to a mailbox by another, and not to who gets it now, and no person redirects
    it."""
    is_its = letter.identity.account(box) in letter.addressed and not letter.is_by(box)
    return is_its and bool(letter.unaddressed) and not letter.resenders


DELIVERY = Mechanism(
    name="delivery to another mailbox",
    kind=Kind.FORWARD,
    fields=frozenset(_TRACES),
    read=_deliveries,
    writes="`Delivered-To`, `X-Original-To`, `Envelope-To`; `Received: … for MAILBOX` (.forward, aliases, .qmail, "
    "Exim's valias)",
    names="the mailbox that the mail was delivered to, or taken in for, before",
    how_sure="sure where the mail was delivered to whom To or Cc names, and its recipient stands there not; "
    "likely else; of "
    "the author or the sender himself nothing",
    source="postconf(5) prepend_delivered_header; Exim's specification, 15 and 48; qmail-local(8); local(8)",
    on_copies=frozenset(_TRACES),
    by_received=True,
    switch_off="Xóa tệp .forward (hoặc .qmail, .courier) trong thư mục của hộp thư, hoặc bí danh (alias) trên máy "
    "chủ thư",
)

MECHANISMS = (DELIVERY,)
