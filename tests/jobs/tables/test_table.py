"""What every CSV that a person hands in has in common, whatever its columns are about."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.tables.boxes import read_boxes
from jobs.tables.errors import TableError
from jobs.tables.files.text import TextFile
from jobs.tables.manifest import Manifest
from jobs.tables.scores import read_scores
from jobs.tables.table import fingerprint_of

READERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "manifest": (lambda path: list(Manifest(path)), "Image,Mass", "a.png,1"),
    "scores": (read_scores, "Image,Mass", "a.png,0.5"),
    "boxes": (read_boxes, "image,finding,x,y,w,h", "a.png,Mass,1,2,3,4"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def failure(path: Path, read: Callable[[Path], object], content: str) -> TableError:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TableError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", READERS)
def test_every_reader_says_alike_what_is_wrong_with_a_file(path: Path, kind: str) -> None:
    read, header, row = READERS[kind]
    assert "the file is empty" in str(failure(path, read, "\n"))
    assert "a header but no row" in str(failure(path, read, f"{header}\n"))
    for bad, words in (
        ("a.png", "the number of fields is 1"),
        (row.replace("a.png", " "), "name is blank"),
        (row.replace("a.png", "b\x1b.png"), "control character"),
        (f'"{row}', "quoting"),
    ):
        error = failure(path, read, f"{header}\n{row}\n\n{bad}\n")
        assert error.line == 4
        assert words in str(error)


@pytest.mark.parametrize(("kind", "once"), [("manifest", True), ("scores", True), ("boxes", False)])
def test_an_image_has_one_row_or_several_boxes(path: Path, kind: str, once: bool) -> None:
    read, header, row = READERS[kind]
    content = f"{header}\n{row}\n\n{row}\n"
    if once:
        error = failure(path, read, content)
        assert (error.line, error.column) == (4, header.split(",", maxsplit=1)[0])
        assert "already on line 2" in str(error)
    else:
        path.write_text(content, encoding="utf-8")
        read(path)


def test_records_have_the_line_on_which_they_start_and_blank_ones_are_passed_over(path: Path) -> None:
    path.write_text('a,b\n\n1,"two\nlines"\n  \n3,4\n', encoding="utf-8")
    assert list(TextFile(path).records()) == [(1, ["a", "b"]), (3, ["1", "two\nlines"]), (6, ["3", "4"])]


def test_fingerprint_is_of_the_bytes_and_of_the_options(path: Path) -> None:
    path.write_text("a\n1\n", encoding="utf-8")
    first = fingerprint_of(path, None)
    assert fingerprint_of(path, None) == first
    assert fingerprint_of(path, ["a"]) != first
    path.write_text("a\n2\n", encoding="utf-8")
    assert fingerprint_of(path, None) != first
