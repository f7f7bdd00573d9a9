"""Bytes to values and back, without IO."""


class ProtocolError(Exception):
    """The peer broke its protocol; the connection ends with one line in the log."""
