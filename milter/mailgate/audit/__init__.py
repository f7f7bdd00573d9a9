"""The auditor: where forwarding from official mailboxes is configured, before any mail flows.

Each source is a file: it reads, within limits, and gives edges. Nothing here executes what it reads.
"""
