"""Which store a URL names: the one place that knows both."""

from pathlib import Path

from .store import REMEMBERED_S, Store

SCHEMES = (
    "sqlite",
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


def open_store(url: str, folder: Path, keep_s: float = REMEMBERED_S) -> Store:
    """Open the store that a URL names; a relative SQLite path is relative to `folder`. Traces go after keep_s.

    Raises ValueError for a scheme that no store has.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        from .sqlite import SqliteStore

        return SqliteStore(folder / rest.removeprefix("//"), keep_s)
    if scheme in SCHEMES:
        from .redis import RedisStore

        return RedisStore(url, keep_s)
    raise ValueError(f"no store has the scheme {scheme!r}: use one of {', '.join(SCHEMES)}")
