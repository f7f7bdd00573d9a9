"""The daemon's own log: structlog, one line an event, JSON or (on a terminal) for the eye.

Lines are written in groups, at the latest a tenth of a second after the event; warnings and errors at once.
"""

import asyncio
import sys
import time
from collections.abc import MutableMapping
from typing import Any, BinaryIO

import orjson
import structlog

_FLUSH_S = 0.1
_FLUSH_BYTES = 32_768
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Lines:
    """The logger that structlog ends in; one a process."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: list[bytes] = []
        self._octets = 0

    def info(self, line: bytes) -> None:
        """Write a line, soon."""
        self._waiting.append(line)
        self._octets += len(line)
        if self._octets > _FLUSH_BYTES:
            self.flush()
        elif len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)
            except RuntimeError:  # outside a loop there is no later
                self.flush()

    def error(self, line: bytes) -> None:
        """Write a line now."""
        self._waiting.append(line)
        self.flush()

    def debug(self, line: bytes) -> None:
        """Write a line, soon."""
        self.info(line)

    def warning(self, line: bytes) -> None:
        """Write a line now."""
        self.error(line)

    def critical(self, line: bytes) -> None:
        """Write a line now."""
        self.error(line)

    def flush(self) -> None:
        """Write what waits; a log that nobody reads any more stops no mail."""
        waiting, self._waiting, self._octets = self._waiting, [], 0
        if waiting:
            try:
                self._file.write(b"\n".join(waiting) + b"\n")
                self._file.flush()
            except (OSError, ValueError):
                return


_lines: _Lines | None = None
_mails: _Lines | None = None  # where mail() may write by itself: JSON, at a level that shows it


def _stamp(_: Any, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {"time": _now(), "level": level, **event}


_second = (0, "")  # the last one that was written as text


def _now() -> str:
    global _second
    now = time.time()
    second = int(now)
    if second != _second[0]:
        _second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return f"{_second[1]}.{int((now - second) * 1_000):03d}+00:00"


def _default(value: Any) -> Any:
    return str(value)


def _as_json(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(event, default=_default)
    except orjson.JSONEncodeError:  # text with octets that were no UTF-8
        clean = {key: str(value).encode("utf-8", "replace").decode() for key, value in event.items()}
        return orjson.dumps(clean)


def configure(level: str, style: str, file: BinaryIO | None = None) -> None:
    """Set structlog up for this process; style: auto, json or console."""
    global _lines, _mails
    target = file or sys.stdout.buffer
    _lines = _Lines(target)
    console = style == "console" or (style == "auto" and target.isatty())
    _mails = _lines if not console and _LEVELS[level] <= _LEVELS["info"] else None
    render: list[Any] = [_as_json]
    if console:
        # Not the default, which shows the values of variables where rich is installed: a mail's text among them.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        render = [renderer, lambda _, __, text: str(text).encode("utf-8", "replace")]
    structlog.configure(
        processors=[_stamp, *([structlog.processors.format_exc_info] if not console else []), *render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _lines,
        cache_logger_on_first_use=False,
    )


def mail(fields: dict[str, Any]) -> None:
    """Write the one line a mail, as structlog's info("mail", **fields) does, at a third of its cost."""
    if _mails is not None:
        try:
            line = orjson.dumps({"time": _now(), "level": "info", "event": "mail", **fields})
        except orjson.JSONEncodeError:  # octets that were no UTF-8: structlog's way knows what to do
            pass
        else:
            _mails.info(line)
            return
    structlog.get_logger().info("mail", **fields)


def flush() -> None:
    """Write what waits; called before a process forks or ends."""
    if _lines is not None:
        _lines.flush()
