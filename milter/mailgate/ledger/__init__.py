"""Activity of mailboxes: events in, totals out; SQLite on one machine, Redis for many nodes."""
