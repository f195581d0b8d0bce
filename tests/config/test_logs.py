"""An event is one line, whatever is in it."""

import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.logs import configure_logging


@pytest.fixture
def log() -> logging.Logger:
    return logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("INFO")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_name_forges_no_event_and_moves_no_cursor(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO")
    log.warning("%s is damaged", "a\n2026-01-01T00:00:00Z ERROR forged\x1b[2J\u202e\ud800.png")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"a\n2026-01-01T00:00:00Z ERROR forged\x1b[2J\u202e\ud800.png is damaged")


def test_a_traceback_keeps_its_lines(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    try:
        int("so")
    except ValueError:
        log.exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert re.search(r"ERROR .*: failed$", lines[0])
    assert lines[1].startswith("Traceback")
    assert lines[-1].startswith("ValueError: ")


@given(st.text())
def test_no_text_makes_a_second_line(text: str) -> None:
    record = logging.LogRecord("tests.logs", logging.INFO, __file__, 1, "%s", (text,), None)
    line = logging.getLogger().handlers[0].format(record)
    assert line.isprintable()
