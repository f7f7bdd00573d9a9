"""Who is meant by an address: one identity for every mailbox, as the mail system itself resolves it.

spelling: the forms in which one mailbox is written. rewriting: what Postfix makes of an address that it is given.
organization: whose mail this is. aliases: other addresses of the mailboxes. identity: all that, to be asked.
"""
