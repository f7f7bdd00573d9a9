"""States of official mailboxes and how they change."""
