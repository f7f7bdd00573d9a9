"""Doors: how mail comes in and how the verdict is said; no policy here."""
