"""The rules of the regulation and of decree 91, one a file; the file's name is the stanza's name."""

from types import ModuleType

from mailgate.rule import RuleStanza

from . import (
    advertising,
    attachment_size,
    auto_forward,
    charset,
    dangerous_attachment,
    mailbox_state,
    online_registration,
    prohibited_content,
    sender_identity,
    sending_rate,
    spam,
    state_secret,
    uninspectable,
    virus,
)

MODULES: tuple[ModuleType, ...] = (
    mailbox_state,
    auto_forward,
    sender_identity,
    sending_rate,
    attachment_size,
    virus,
    dangerous_attachment,
    uninspectable,
    state_secret,
    charset,
    spam,
    advertising,
    online_registration,
    prohibited_content,
)
"""In the order of their findings: the first of equally strong ones gives the reply. A forward by a mail program's
rule keeps the author's From too: that it forwards says more of what is to be mended."""

STANZAS: dict[str, type[RuleStanza]] = {module.Stanza.NAME: module.Stanza for module in MODULES}
