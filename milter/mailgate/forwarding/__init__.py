"""Mechanisms of automatic forwarding: one file a family, with what its programs write (clause 4.5)."""
