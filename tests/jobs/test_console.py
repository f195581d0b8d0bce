"""What is printed is what was there: nothing in a value is taken for markup, and no pipe cuts it short."""

import json
import unicodedata
from datetime import UTC, datetime
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

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


def test_json_is_read_back_with_its_moments_in_iso_8601(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json([{"at": datetime(2026, 3, 1, tzinfo=UTC), "value": None}])
    assert json.loads(capsys.readouterr().out) == [{"at": "2026-03-01T00:00:00+00:00", "value": None}]


def test_an_error_names_what_is_wrong_in_one_line_and_ends_with_its_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        console.fail(LONG, console.EXIT_USAGE)
    assert ended.value.code == console.EXIT_USAGE
    assert capsys.readouterr().err == f"error: {LONG}\n"


OUTSIDE = st.one_of(
    st.text(st.characters(codec=None, categories=None), max_size=40),
    st.lists(
        st.sampled_from(
            ["[/]", "[red]", "\x1b[31m", "\x1b]0;t\x07", "\r", "\x00", "\x9b", "\u202e", "\ud800", "a"]
        )
    ).map("".join),
)


@settings(max_examples=1_000, deadline=None)
@given(OUTSIDE)
def test_no_text_from_outside_reaches_a_terminal_as_anything_but_text(text: str) -> None:
    written = StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("out", "err"):
            patch.setattr(console, name, Console(file=written, width=80, emoji=False))
        console.say(text)
        console.warn(text)
        console.print_table([text], [[text]], title=text)
        console.print_readable([text, "b"], [[text, text * 9]])
        console.err.print(console.shown(text))
        with pytest.raises(SystemExit):
            console.fail(text, 1)
    printed = written.getvalue()
    printed.encode()
    assert not [letter for letter in printed if unicodedata.category(letter) == "Cc" and letter not in "\n\t"]


def test_a_text_of_a_megabyte_and_its_control_characters_are_shown() -> None:
    assert console.plain("\x1b[31m\u202e\ud800\tb\n") == "\\x1b[31m\\u202e\\ud800\tb\n"
    assert len(console.plain("\x1b" * 2**20)) == 4 * 2**20
