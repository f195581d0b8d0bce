"""Spreadsheets: separators, encodings, lists without a header, and names as other systems write them."""

import csv
import gzip
import json
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from db.manifests import ManifestRow
from jobs.tables.columns import plain_name
from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions
from jobs.tables.scores import read_scores

PLAIN = 'Image,Patient ID,Age,Mass,Note\na.png,p1,58.5,1,"one, two"\nb.png,p2,7,0,é\n'
SPREADSHEET = "Image;Patient ID;Age;Mass;Note\na.png;p1;58,5;1;one, two\nb.png;p2;7;0;é\n"

Read = Callable[..., Manifest]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that opens a manifest with this content."""

    def opened(content: str | bytes, root: str = "", **options: Any) -> Manifest:
        path = tmp_path / "m.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Manifest(path, ReadOptions(**options), root=root)

    return opened


ROWS = [
    ManifestRow("a.png", "p1", None, None, None, 58.5, "1"),
    ManifestRow("b.png", "p2", None, None, None, 7.0, "0"),
]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLAIN.encode(), []),
        (PLAIN.encode("utf-8-sig"), []),
        (PLAIN.encode("utf-16"), ["the file is read as UTF-16"]),
        (PLAIN.encode() + b",,,,\n , ,,,\n", []),
        (SPREADSHEET.encode(), ["columns are separated by semicolons"]),
        (SPREADSHEET.replace(";", "\t").encode(), ["columns are separated by tabs"]),
        (SPREADSHEET.encode("utf-16"), ["the file is read as UTF-16", "columns are separated by semicolons"]),
    ],
    ids=["plain", "mark", "UTF-16", "blank rows", "semicolons", "tabs", "both"],
)
def test_a_table_gives_the_same_rows_however_it_is_saved(read: Read, content: bytes, said: list[str]) -> None:
    manifest = read(content)
    assert list(manifest) == ROWS
    assert list(manifest.reading.remarks) == said


def test_another_encoding_is_read_where_it_is_named_and_refused_where_it_is_not(read: Read) -> None:
    content = "Image,Mass\né.png,1\n".encode("latin-1")
    with pytest.raises(TableError, match="not a text CSV in UTF-8"):
        list(read(content))
    manifest = read(content, encoding="latin-1")
    assert [row.image_index for row in manifest] == ["é.png"]
    assert manifest.reading.remarks == ("the file is read as LATIN-1",)
    with pytest.raises(TableError, match="cannot be read in the encoding 'latin-one'"):
        read(content, encoding="latin-one")


def test_a_separator_within_the_headers_words_is_none(read: Read) -> None:
    manifest = read("Image,Note (a;b;c;d)\na.png,x\n")
    assert [row.image_index for row in manifest] == ["a.png"]


def test_a_list_without_a_header_is_read_whole_and_said(read: Read) -> None:
    manifest = read("a.png\nb.png\nsub/c.JPG\n")
    assert [row.image_index for row in manifest] == ["a.png", "b.png", "sub/c.JPG"]
    assert "without a header" in manifest.reading.remarks[0]
    with pytest.raises(TableError, match=r"no column 'a\.png'"):
        read("a.png\nb.png\n", image_column="a.png")


def test_rows_without_a_header_are_refused_even_if_an_option_names_the_first_image(read: Read) -> None:
    for options in ({}, {"image_column": "a.png"}):
        with pytest.raises(TableError, match="names an image") as caught:
            read("a.png,1\nb.png,0\n", **options)
        assert caught.value.line == 1


def test_an_index_column_is_not_used_and_said(read: Read) -> None:
    manifest = read(",Image,Mass\n0,a.png,1\n1,b.png,0\n")
    assert [row.labels for row in manifest] == ["1", "0"]
    assert manifest.reading.unused == {"column 1, without a name": None}


def test_scores_with_decimal_commas_are_read(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("Image;Mass\na.png;0,25\n", encoding="utf-8")
    assert read_scores(path).probabilities.tolist() == [[0.25]]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("images_001\\a.png", "images_001/a.png"),
        ("a.png ", "a.png"),
        ("./a.png", "a.png"),
        ("sub/./b//c.png", "sub/b/c.png"),
        ("/archive/a.png", "a.png"),
        ("/archive//sub/a.png", "sub/a.png"),
        ("/archive2/a.png", "/archive2/a.png"),
        ("../a.png", "../a.png"),
        ("p1/flair/", "p1/flair"),
        ("..\\a.png", "../a.png"),
        ("a b.png", "a b.png"),
        (".hidden.png", ".hidden.png"),
    ],
)
def test_names_become_paths_below_the_root_and_never_out_of_it_by_our_doing(name: str, plain: str) -> None:
    assert plain_name(name, "/archive") == plain


def test_odd_names_are_counted_and_one_image_under_two_names_is_refused_with_both_lines(read: Read) -> None:
    manifest = read("Image\nsub\\a.png\n/archive/b.png\nc.png\n", root="/archive")
    assert [row.image_index for row in manifest] == ["sub/a.png", "b.png", "c.png"]
    assert manifest.reading.remarks[0].endswith("2, taken as relative paths")
    for twin in ("./a.png", "/archive/a.png", "a.png "):
        with pytest.raises(TableError, match=r"'a\.png' was already on line 2") as caught:
            list(read(f"Image\na.png\nb.png\n{twin}\n", root="/archive"))
        assert caught.value.line == 4


SPELLINGS = (
    ("Image", "image", "Image Index", " IMAGE "),
    ("Patient ID", "PatientId", "subject_id"),
    ("Age", "Patient Age"),
    ("Effusion", "Pleural Effusion", "pleural_effusion", "Effusion."),
    ("Mass", "mass ", "Masses"),
)
"""Names of one column; the rows below are in the same order."""

STRANGE = ("Pixel data", "Person", "Years", "Efusion", "Mass?")
"""A name of each column that is none of its own."""

CELLS = (
    ("a.png", "1", "58.5", "1", "0"),
    ("sub/b c.png", "2", "7", "0", ""),
    ("é.png", "10", "", "", "1"),
)


def as_text(rows: list[list[str]], random: Random, separator: str) -> bytes:
    text = StringIO(newline="")
    ending = random.choice(("\n", "\r\n", "\r"))
    if random.random() < 0.5:
        csv.writer(text, delimiter=separator, lineterminator=ending, quoting=csv.QUOTE_ALL).writerows(rows)
    else:
        csv.writer(text, delimiter=separator, lineterminator=ending).writerows(rows)
    return text.getvalue().encode(random.choice(("utf-8", "utf-8-sig", "utf-16", "cp1252")))


def typed(cell: str, random: Random) -> object:
    """A cell as a program with types may have it: a number for the text of one, nothing for a blank."""
    if not cell:
        return None
    return float(cell) if cell.replace(".", "", 1).isdigit() and random.random() < 0.5 else cell


def as_workbook(rows: list[list[str]], random: Random, _: str) -> bytes:
    content, book = BytesIO(), Workbook()
    for row in rows:
        book.worksheets[0].append([typed(cell, random) for cell in row])
    book.save(content)
    return content.getvalue()


def as_parquet(rows: list[list[str]], _: Random, __: str) -> bytes:
    content = BytesIO()
    columns = [pa.array([cell or None for cell in cells]) for cells in zip(*rows[1:], strict=True)]
    pq.write_table(pa.Table.from_arrays(columns, names=rows[0]), content)
    return content.getvalue()


def as_json_lines(rows: list[list[str]], random: Random, _: str) -> bytes:
    objects = [
        {name: typed(cell, random) for name, cell in zip(rows[0], row, strict=True)} for row in rows[1:]
    ]
    return "\n".join(map(json.dumps, objects)).encode()


WAYS = (as_text, as_text, as_text, as_workbook, as_parquet, as_json_lines)

SAME = [("a.png", "1", 58.5, "10"), ("sub/b c.png", "2", 7.0, "0-"), ("é.png", "10", None, "-1")]


@given(st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200, derandomize=True)
def test_the_same_table_written_in_many_ways_gives_the_same_rows_or_says_what_it_does_not_use(
    tmp_path_factory: pytest.TempPathFactory, random: Random
) -> None:
    order = random.sample(range(len(SPELLINGS)), len(SPELLINGS))
    names = [random.choice((*names, strange)) for names, strange in zip(SPELLINGS, STRANGE, strict=True)]
    # A decimal comma is written where commas do not separate; zeros that programs add come and go.
    way, separator = random.choice(WAYS), random.choice(",;\t")
    rows = [[names[column] for column in order]]
    for cells in CELLS:
        written = list(cells)
        written[1] += random.choice(("", ".0"))
        if way is as_text and separator != "," and random.random() < 0.5:
            written[2] = written[2].replace(".", ",")
        written[3:] = [cell and cell + random.choice(("", ".0")) for cell in written[3:]]
        rows.append([written[column] for column in order])
    if random.random() < 0.5:
        rows = [[index, *row] for index, row in zip(("", "0", "1", "2"), rows, strict=True)]
    if way is not as_json_lines:
        rows += [[""] * len(rows[0])] * random.randrange(3)
    content = way(rows, random, separator)
    packed = way in {as_text, as_json_lines} and random.random() < 0.3
    path = tmp_path_factory.getbasetemp() / f"ways.csv{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content) if packed else content)
    try:
        manifest = Manifest(path)
        found = [(row.image_index, row.patient_id, row.age_years, row.labels) for row in manifest]
    except TableError as error:
        check_refusal(error, content, names)
        return
    unused = {column for column, name in enumerate(names) if name in STRANGE}
    assert unused == {column for column, name in enumerate(names) if name in manifest.reading.unused}
    kept = [column - 3 for column in (3, 4) if column not in unused]
    assert found == [
        (
            image,
            None if 1 in unused else patient,
            None if 2 in unused else age,
            "".join(labels[column] for column in kept),
        )
        for image, patient, age, labels in SAME
    ]


def check_refusal(error: TableError, content: bytes, names: list[str]) -> None:
    """A refusal names the place and the way on: a line that is not UTF-8, or the columns that there are."""
    if "not a text CSV in UTF-8" in error.problem:
        assert "é".encode("cp1252") in content
        assert error.line is not None
        assert "--encoding cp1252 reads '" in error.advice
        assert "é.png" in error.advice
    else:
        assert names[0] == STRANGE[0]
        assert "no column is recognised as the image's" in error.problem
        assert all(name.strip() in error.problem for name in names)
