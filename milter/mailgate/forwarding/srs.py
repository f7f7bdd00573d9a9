"""SRS: a host that sends another's mail on rewrites its sender (PostSRSd, libsrs2, Exim, cPanel, Microsoft 365).

It tells a forward no more than a relay: a company's host does it to its second domain, Microsoft 365 to what an
application hands it. With a trace of a delivery in that domain it is a forward, or a group's alias, which looks the
same.
"""

from collections.abc import Iterator

from ..identity.spelling import domain_of
from ..model import Evidence
from .letter import Letter
from .lists import is_bounce_address
from .mechanism import Kind, Mechanism, Sign, Strength


def _rewritten(letter: Letter) -> Iterator[Sign]:
    spoken = letter.spoken
    if spoken.scheme != "srs":
        return
    evidence = (Evidence("envelope", "MAIL FROM", letter.mail.envelope.sender),)
    author = spoken.named
    if author and letter.mail.organization.is_official(author):
        # Our own author's mail comes back from a forwarder: that names an official mailbox.
        yield Sign(Kind.FORWARD, Strength.SURE, evidence, domain=spoken.by)
        return
    if domain_of(author) == spoken.by or is_bounce_address(author) or letter.is_addressed:
        yield Sign(Kind.FORWARD, Strength.HINT, evidence, domain=spoken.by)
        return
    there = [box for box in letter.addressed if domain_of(box) == spoken.by]
    if there and letter.unaddressed and spoken.by not in letter.author_domains:
        forwarder = there[0] if len(there) == 1 else ""
        yield Sign(Kind.FORWARD, Strength.SURE, evidence, forwarder, spoken.by, letter.unaddressed)
    else:
        yield Sign(Kind.FORWARD, Strength.LIKELY, evidence, domain=spoken.by)


SRS = Mechanism(
    name="forward with SRS",
    kind=Kind.FORWARD,
    fields=frozenset(),
    read=_rewritten,
    writes="the envelope sender `SRS0=HASH=TT=DOMAIN=LOCAL@FORWARDER`, `SRS1=…`, `bounces+SRS=HASH=TT@FORWARDER`",
    names="the author, and the domain that sends it on",
    how_sure="likely; sure where To or Cc has a mailbox of that domain and not the recipient, or another mark "
    "names one, or "
    "the author is ours (`[rules.auto-forward] srs`)",
    source="Wong, The Sender Rewriting Scheme (2003); postsrsd(8); Microsoft Learn, SRS in Microsoft 365",
    by_sender=True,
    switch_off="Quản trị viên máy chủ thư chuyển tiếp: xóa chuyển tiếp (forwarder) hoặc bí danh của hộp thư",
)

MECHANISMS = (SRS,)
