"""Excel workbooks give the rows that the same table gives as CSV, or one error with the sheet's row."""

from collections.abc import Callable, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from openpyxl import Workbook

from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions

Sheets = dict[str, Sequence[Sequence[object]]]
Write = Callable[[Sheets], Path]

TABLE = (
    ("Image", "Patient ID", "Age", "Mass", "Nodule", "Read on"),
    ("a.png", 1, 58.5, 1, True, datetime(2024, 3, 1)),  # noqa: DTZ001  # a sheet's moments have no zone
    (),
    ("b.png", 17.0, "90+", None, "#N/A", None),
    ("c.png", "0002", None, 0.0, False, "x"),
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a workbook of these sheets."""

    def written(sheets: Sheets) -> Path:
        book = Workbook()
        book.remove(book.worksheets[0])
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(list(row))
        book.save(tmp_path / "m.xlsx")
        return tmp_path / "m.xlsx"

    return written


def rows_of(manifest: Manifest) -> list[tuple[str, str | None, float | None, str | None]]:
    return [(row.image_index, row.patient_id, row.age_years, row.labels) for row in manifest]


def refused(path: Path, **options: object) -> TableError:
    with pytest.raises(TableError) as caught:
        list(Manifest(path, ReadOptions.model_validate(options)))
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_workbook_gives_the_rows_of_the_same_csv_and_says_which_sheet(write: Write, tmp_path: Path) -> None:
    csv = tmp_path / "m.csv"
    csv.write_text(
        "Image,Patient ID,Age,Mass,Nodule,Read on\na.png,1,58.5,1,True,2024-03-01\n\nb.png,17,90+,,#N/A,\n"
        "c.png,0002,,0,False,x\n",
        encoding="utf-8",
    )
    manifest = Manifest(write({"readings": TABLE}))
    assert rows_of(manifest) == rows_of(Manifest(csv))
    assert manifest.reading.remarks[0] == "the file is read as a workbook, sheet 'readings'"


def test_blank_sheets_do_not_matter_and_of_several_tables_one_must_be_named(write: Write) -> None:
    assert len(rows_of(Manifest(write({"notes": (), "readings": TABLE})))) == 3
    path = write({"old": (("Image",), ("z.png",)), "new, final": TABLE})
    assert "2 sheets: 'old', 'new, final'" in str(refused(path))
    assert "--sheet" in refused(path).advice
    told = Manifest(path, ReadOptions(sheet="new, final"))
    assert [row.image_index for row in told] == ["a.png", "b.png", "c.png"]
    assert told.fingerprint() != Manifest(path, ReadOptions(sheet="old")).fingerprint()
    assert "There are 'old', 'new, final'" in refused(path, sheet="newest").advice


def test_the_option_for_a_sheet_is_refused_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("Image\na.png\n", encoding="utf-8")
    assert "--sheet old: this is no workbook" in str(refused(path, sheet="old"))


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        (("d.png", 3, "old", 0), "Age", "age 'old'"),
        (("d.png", 3, 5, 7), "Mass", "label '7'"),
        (("a.png", 3, 5, 1), "Image", "already on row 2"),
        (("d.png", *range(9)), None, "the number of fields is 10"),
    ],
)
def test_errors_name_the_sheets_row_and_the_column(
    write: Write, row: Sequence[object], column: str | None, words: str
) -> None:
    error = refused(write({"readings": (*TABLE, row)}))
    assert (error.line, error.column) == (6, column)
    assert f"m.xlsx, row 6{'' if column is None else f', column {column!r}'}: " in str(error)
    assert words in str(error)


def test_a_list_of_images_needs_no_header(write: Write) -> None:
    assert [row.image_index for row in Manifest(write({"list": (("a.png",), ("b.png",))}))] == [
        "a.png",
        "b.png",
    ]


def test_formulas_that_were_never_computed_are_refused_and_not_read_as_blank(write: Write) -> None:
    path = write({"readings": (*TABLE, ("d.png", 3, 5, "=1+0"))})
    assert "formulas without their values" in str(refused(path))


def test_merged_cells_are_said(write: Write) -> None:
    path = write({"readings": TABLE})
    parts = {name: ZipFile(path).read(name) for name in ZipFile(path).namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    merged = b'<mergeCells count="1"><mergeCell ref="B2:B3"/></mergeCells>'
    parts[sheet] = parts[sheet].replace(b"</sheetData>", b"</sheetData>" + merged)
    path.write_bytes(packed(parts))
    assert any("merged cells" in line for line in Manifest(path).reading.remarks)


def packed(parts: dict[str, bytes]) -> bytes:
    content = BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed({"m.csv": b"Image\na.png\n"}), "a ZIP archive, no workbook"),
        (packed({"xl/worksheets/sheet1.xml": b"0" * (1 << 30) + b"0"}), "bytes when unpacked"),
        (packed({"xl/workbook.xml": b"<a"}), "no workbook that can be read"),
        (b"PK\x03\x04 and no more", "no workbook that can be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "of the old kind (.xls), or one with a password"),
    ],
    ids=["archive", "bomb", "not whole", "cut", "xls"],
)
def test_what_is_no_workbook_is_named_for_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "m.xlsx"
    path.write_bytes(content)
    assert words in str(refused(path))


def test_the_name_does_not_decide_what_a_file_is(write: Write, tmp_path: Path) -> None:
    path = write({"readings": TABLE})
    assert len(rows_of(Manifest(path.rename(tmp_path / "m.csv")))) == 3
