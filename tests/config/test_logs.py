"""An event is one line, whatever is in it."""

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.logs import about, configure_logging


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


def test_a_json_line_has_the_time_in_utc_and_the_ids_that_it_is_about(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO", "json")
    with about(worker="host:1"):
        with about(run=7, batch=12):
            log.info("%s: done", "run 7, batch 12/440, attempt 1")
        log.warning("between")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    moment = datetime.fromisoformat(first.pop("time"))
    assert moment.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    assert first == {
        "level": "INFO",
        "logger": "tests.logs",
        "process": "MainProcess",
        "message": "run 7, batch 12/440, attempt 1: done",
        "worker": "host:1",
        "run": 7,
        "batch": 12,
    }
    assert {"run", "batch"}.isdisjoint(second)


def test_a_traceback_is_within_its_json_line(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    try:
        int("so")
    except ValueError:
        log.exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["traceback"].splitlines()[-1].startswith("ValueError: ")


@given(st.text())
def test_any_text_is_whole_in_one_json_line(text: str) -> None:
    configure_logging("INFO", "json")
    record = logging.LogRecord("tests.logs", logging.INFO, __file__, 1, "%s", (text,), None)
    line = logging.getLogger().handlers[0].format(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == text.rstrip()
