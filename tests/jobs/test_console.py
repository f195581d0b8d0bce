"""What is printed is what was there: nothing in a value is taken for markup, and no pipe cuts it short."""

import json
from datetime import UTC, datetime

import pytest

from jobs import console

LONG = "a/" * 120 + "[red]b[/red] :heart:"


def test_a_line_is_printed_as_it_is_and_unbroken(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(LONG)
    console.warn(LONG)
    printed = capsys.readouterr()
    assert printed.out == f"{LONG}\n"
    assert printed.err == f"{LONG}\n"


def test_the_cells_of_a_table_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table(["[b]name", "value"], [["[red]", 0.123456], [":heart:", None]], title="[i]title")
    printed = capsys.readouterr().out
    for shown in ("[b]name", "[red]", ":heart:", "[i]title", "0.1235"):
        assert shown in printed
    assert "None" not in printed


def test_json_is_read_back_with_its_moments_as_strings(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json([{"at": datetime(2026, 3, 1, tzinfo=UTC), "value": None}])
    assert json.loads(capsys.readouterr().out) == [{"at": "2026-03-01 00:00:00+00:00", "value": None}]


def test_an_error_names_what_is_wrong_in_one_line_and_ends_with_its_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        console.fail(LONG, console.EXIT_USAGE)
    assert ended.value.code == console.EXIT_USAGE
    assert capsys.readouterr().err == f"error: {LONG}\n"
