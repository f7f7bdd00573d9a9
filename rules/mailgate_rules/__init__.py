"""The rules of the regulation and of decree 91, one a file; the file's name is the stanza's name."""

from types import ModuleType

from mailgate.rule import RuleStanza

from . import attachment_size, auto_forward, mailbox_state, spam, virus

MODULES: tuple[ModuleType, ...] = (mailbox_state, auto_forward, attachment_size, virus, spam)
"""In the order of their findings: the first of equally strong ones gives the reply."""

STANZAS: dict[str, type[RuleStanza]] = {module.Stanza.NAME: module.Stanza for module in MODULES}
