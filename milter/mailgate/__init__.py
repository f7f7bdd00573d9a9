"""Mailgate: a mail-flow policy milter for an official mail system."""

__version__ = "0.1.0"
