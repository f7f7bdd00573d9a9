"""The attachments of one mail, decoded, together within the limit (clause 8.1b).

The clause says `kích cỡ các tệp gửi kèm tối đa 20MB`: the files of a mail, summed. 20 MB is read as
20 MiB, the reading that refuses no lawful mail; exactly the limit passes. What counts as a file is the
walker's (mailgate.mime.walker). The answer comes in the middle of the body, as soon as the sum passes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailgate.model import Action, Evidence, Mail
from mailgate.rule import Example, Hit, RuleStanza


@dataclass(frozen=True, kw_only=True)
class Stanza(RuleStanza):
    """Keys of [rules.attachment-size].

    limit_bytes: of all attachments together, decoded. max_message_bytes: of the whole mail as sent, judged by
    SIZE= at MAIL; 20 MiB of files are 28,697,872 octets in base64. count_inline_images: whether parts that
    are shown in the text, without a name, count.
    """

    NAME = "attachment-size"
    CLAUSE = "QD27/2023 8.1b"
    REPLY = "552 5.3.4 Attachments are too large"

    limit_bytes: int = 20_971_520
    max_message_bytes: int = 31_457_280
    count_inline_images: bool = True

    def at_mail(self, mail: Mail) -> Iterable[Hit]:
        """Refuse a mail whose declared size cannot be within the limits."""
        declared = mail.envelope.declared_bytes()
        if declared is None or declared <= self.max_message_bytes:
            return ()
        reply = (
            self.reply
            or f"552 5.3.4 Message of {declared} bytes exceeds the limit of {self.max_message_bytes} bytes\n"
            f"Thu {declared} byte vuot gioi han {self.max_message_bytes} byte (diem b khoan 1 Dieu 8 QD 27/2023)"
        )
        return [Hit((Evidence("envelope", "SIZE", str(declared)),), reply=reply)]

    def at_body(self, mail: Mail) -> Iterable[Hit]:
        """Refuse as soon as the sum of what has arrived passes the limit."""
        content = mail.content
        counted = content.attachment_bytes
        if counted > self.limit_bytes:
            return self._over(mail, counted)
        return ()

    def at_end(self, mail: Mail) -> Iterable[Hit]:
        """Judge the whole sum: the last octets may be counted only at the end."""
        return self.at_body(mail)

    def _over(self, mail: Mail, counted: int) -> Iterable[Hit]:
        if not self.count_inline_images:
            counted -= mail.content.inline_bytes
            if counted <= self.limit_bytes:
                return
        yield Hit(
            (
                Evidence("attachments", "bytes", str(counted)),
                Evidence("attachments", "limit_bytes", str(self.limit_bytes)),
            ),
            reply=self.reply
            or f"552 5.3.4 Attachments of {counted} bytes exceed the limit of {self.limit_bytes} bytes\n"
            f"Tong dung luong tep gui kem {counted} byte vuot gioi han {self.limit_bytes} byte (diem b khoan 1 "
            "Dieu 8 QD 27/2023)",
        )


def _with_files(*sizes: int, headers: bytes = b'Content-Disposition: attachment; filename="a.bin"\r\n') -> bytes:
    parts = b"".join(b"--b\r\n" + headers + b"\r\n" + b"x" * size + b"\r\n" for size in sizes)
    return b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"


_IMAGE = b"Content-Type: image/png\r\n"
_LIMIT = (("limit_bytes", 1_000),)

EXAMPLES = (
    Example("exactly the limit", Action.ACCEPT, _with_files(1_000), keys=_LIMIT),
    Example("one octet over", Action.REJECT, _with_files(1_001), keys=_LIMIT),
    Example("two files, together the limit", Action.ACCEPT, _with_files(500, 500), keys=_LIMIT),
    Example("two files, together over", Action.REJECT, _with_files(500, 501), keys=_LIMIT),
    Example("a long text is no attachment", Action.ACCEPT, b"Subject: x\r\n\r\n" + b"a\r\n" * 900, keys=_LIMIT),
    Example("inline images count", Action.REJECT, _with_files(1_001, headers=_IMAGE), keys=_LIMIT),
    Example(
        "inline images do not count where configured",
        Action.ACCEPT,
        _with_files(1_001, headers=_IMAGE),
        keys=(*_LIMIT, ("count_inline_images", False)),
    ),
    Example(
        "a signature does not count",
        Action.ACCEPT,
        _with_files(1_001, headers=b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\n").replace(
            b"mixed", b"signed"
        ),
        keys=_LIMIT,
    ),
    Example("declared size is the limit", Action.ACCEPT, arguments=("SIZE=31457280",)),
    Example("declared size is over", Action.REJECT, arguments=("SIZE=31457281",)),
)
