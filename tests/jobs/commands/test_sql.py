"""`nightread sql`: whole values in a pipe, and on a terminal what fits there."""

import csv
import io
import json

import pytest
from support import Nightread

from jobs import console

QUERY = "SELECT 'a, \"b\"\n' || CHAR(9) || 'c' AS text, 0.1234567890123 AS number, NULL AS missing"
VALUES = ['a, "b"\n\tc', "0.1234567890123", ""]


@pytest.mark.parametrize(("option", "delimiter"), [((), ","), (("--csv",), ","), (("--tsv",), "\t")])
def test_another_program_gets_whole_values(
    nightread: Nightread, option: tuple[str, ...], delimiter: str
) -> None:
    done = nightread.call("sql", QUERY, *option)
    assert done.returncode == 0, done.stderr
    rows = list(csv.reader(io.StringIO(done.stdout), delimiter=delimiter))
    assert rows == [["text", "number", "missing"], VALUES]


def test_json_has_types(nightread: Nightread) -> None:
    (row,) = json.loads(nightread.call("sql", QUERY, "--json").stdout)
    assert row == {"text": VALUES[0], "number": 0.1234567890123, "missing": None}


def test_json_has_moments_in_iso_8601(nightread: Nightread) -> None:
    done = nightread.call("sql", "SELECT '2026-03-01 02:00:00.123456' AS at", "--json")
    assert json.loads(done.stdout) == [{"at": "2026-03-01T02:00:00.123456+00:00"}]


def test_two_forms_exclude_each_other(nightread: Nightread) -> None:
    refused = nightread.call("sql", "SELECT 1", "--json", "--tsv")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--json and --tsv exclude each other" in refused.stderr


def test_a_pipe_has_no_prompt(nightread: Nightread) -> None:
    refused = nightread.call("sql")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "only a terminal has a prompt" in refused.stderr


@pytest.mark.parametrize("width", [60, 30])
def test_a_terminal_shows_a_table_or_a_list_where_that_is_too_wide(
    nightread: Nightread, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(console.out, "_force_terminal", True)
    monkeypatch.setattr(console.out, "_color_system", None)
    monkeypatch.setattr(console.out, "width", width)
    name = "images_001/00000001_000.png"
    shown = nightread.call("sql", f"SELECT '{name}' AS image_index, 0.123456 AS probability").stdout
    assert name in shown
    assert "0.1235" in shown
    lines = shown.splitlines()
    assert (lines[0].startswith("┏"), "--- 1 of 1" in lines[0]) == (width == 60, width == 30)


def test_a_wide_answer_without_rows_names_its_columns(
    nightread: Nightread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.out, "_force_terminal", True)
    monkeypatch.setattr(console.out, "width", 30)
    shown = nightread.call("sql", "SELECT run_id, stage, reason, message FROM failures").stdout
    assert "no rows; columns: run_id, stage, reason, message" in shown
