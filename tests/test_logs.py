"""The daemon's own log: what an error of our own may show of a mail."""

import io
from collections.abc import Iterator

import pytest
import structlog

from mailgate import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave the log as other tests expect it: nobody's but structlog's."""
    yield
    logs.configure("info", "console", io.BytesIO())
    structlog.reset_defaults()


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_shows_where_and_no_values(style: str) -> None:
    file = io.BytesIO()
    logs.configure("info", style, file)

    def judge(body: str) -> None:
        raise KeyError(len(body))

    try:
        judge("text " + "of a mail")
    except KeyError as error:
        structlog.get_logger().error("own error", exc_info=error)
    logs.flush()
    written = file.getvalue().decode()
    assert "Traceback" in written
    assert "in judge" in written
    assert "text of a mail" not in written
