"""What a person who hands in a list of boxes may rely on."""

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.findings import FINDINGS
from db.boxes import Box
from jobs.phantoms.archive import plan_archive, write_archive
from jobs.tables.boxes import read_boxes
from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest

Write = Callable[..., Path]

UNQUOTED = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
QUOTED = 'Image Index,Finding Label,"Bbox [x,y,w,h]",,,'
ROW = "a.png,Mass,10.5,20,30,40.25"
MASS = Box("a.png", "Mass", 10.5, 20.0, 30.0, 40.25)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a list of boxes and returns its path."""

    def write_boxes(*lines: str, name: str = "boxes.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write_boxes


def failure(path: Path, **options: Any) -> TableError:
    with pytest.raises(TableError) as caught:
        read_boxes(path, **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return caught.value


# --- layouts


@pytest.mark.parametrize("header", [UNQUOTED, QUOTED, UNQUOTED.rstrip(","), QUOTED.rstrip(",")])
@pytest.mark.parametrize("tail", ["", ",", ",,,"])
def test_nihs_layout_is_read_whatever_became_of_its_header_and_its_empty_columns(
    write: Write, header: str, tail: str
) -> None:
    assert read_boxes(write(header, ROW + tail)).boxes == (MASS,)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image,finding,x,y,w,h", ROW),
        ("Path,Label,X,Y,Width,Height", ROW),
        ("h,w,y,x,Finding Label,Image Index", "40.25,30,20,10.5,Mass,a.png"),
        ("image_id,reader,label,x_min,y_min,x_max,y_max", "a.png,R9,Mass,10.5,20,40.5,60.25"),
        # Here width and height are the image's.
        ("file,finding,x_min,y_min,x_max,y_max,width,height", "a.png,Mass,10.5,20,40.5,60.25,1024,1024"),
        ("file,finding,x,y,w,h,width,height", f"{ROW},1024,1024"),
    ],
)
def test_columns_of_other_files_are_recognised_by_their_names(write: Write, header: str, row: str) -> None:
    assert read_boxes(write(header, row)).boxes == (MASS,)


@pytest.mark.parametrize(
    ("header", "row", "columns"),
    [
        ("image,finding,left,top,w,h", ROW, {"x": "left", "y": "top"}),
        (
            "scan,what,left,top,right,bottom",
            "a.png,Mass,10.5,20,40.5,60.25",
            {"image": "scan", "finding": "what", "x_min": "left", "y_min": "top"}
            | {"x_max": "right", "y_max": "bottom"},
        ),
        ("image,finding,x,y,x_max,y_max,wide,high", f"{ROW[:18]},0,0,30,40.25", {"w": "wide", "h": "high"}),
        (QUOTED, "Mass,a.png,10.5,20,30,40.25", {"image": "Finding Label", "finding": "Image Index"}),
    ],
)
def test_columns_may_be_named(write: Write, header: str, row: str, columns: dict[str, str]) -> None:
    assert read_boxes(write(header, row), columns=columns).boxes == (MASS,)


def test_infiltrate_is_infiltration_and_both_spellings_of_pleural_thickening_are_one(write: Write) -> None:
    words = ("Infiltrate", "infiltration", "Pleural Thickening", "pleural_thickening")
    read = read_boxes(write(UNQUOTED, *(f"a.png,{word},1,2,3,4" for word in words)))
    assert [box.finding for box in read.boxes] == ["Infiltration"] * 2 + ["Pleural_Thickening"] * 2


def test_words_for_findings_may_be_given_and_findings_beyond_the_fourteen_too(write: Write) -> None:
    path = write(UNQUOTED, "a.png,Enlarged heart,1,2,3,4", "a.png,broken rib,1,2,3,4")
    read = read_boxes(path, findings={"enlarged heart": "cardiomegaly", "Broken rib": "Fracture"})
    assert [box.finding for box in read.boxes] == ["Cardiomegaly", "Fracture"]


def test_boxes_keep_the_files_order_repeats_and_all_and_may_reach_beyond_the_image(write: Write) -> None:
    rows = ("b.png,Mass,-3.5,0,10,1e1", "a.png,Mass,.5,+2.,3,4", "b.png,Mass,-3.5,0,10,10")
    read = read_boxes(write(UNQUOTED, *rows))
    assert [box.image_index for box in read.boxes] == ["b.png", "a.png", "b.png"]
    assert [box.x for box in read.boxes] == [-3.5, 0.5, -3.5]
    assert read.boxes[0] == read.boxes[2]


def test_a_compressed_list_has_the_same_boxes(write: Write, tmp_path: Path) -> None:
    path = write(UNQUOTED, ROW)
    packed = tmp_path / "boxes.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_boxes(packed).boxes == read_boxes(path).boxes


def test_fingerprint_changes_with_the_bytes_and_with_the_way_of_reading(write: Write) -> None:
    path = write("image,finding,x,y,w,h", ROW)
    first = read_boxes(path).fingerprint
    assert read_boxes(path).fingerprint == first
    prints = {first}
    prints.add(read_boxes(path, findings={"Mass": "Nodule"}).fingerprint)
    prints.add(read_boxes(path, columns={"x": "y", "y": "x"}).fingerprint)
    prints.add(read_boxes(write("image,finding,x,y,w,h", ROW, ROW)).fingerprint)
    assert len(prints) == 4


# --- errors


def test_error_names_file_line_column_and_what_to_do(write: Write) -> None:
    path = write(UNQUOTED, ROW, "b.png,Mass,1,2,-3,4")
    assert str(failure(path)) == (
        f"{path}, line 3, column 'w': the box has the size -3. Width and height are more than 0 pixels."
    )


@pytest.mark.parametrize(
    ("header", "row", "line", "column", "words"),
    [
        (UNQUOTED, "a.png,Mass,ten,2,3,4", 2, "Bbox [x", "'ten' is not a number"),
        (QUOTED, "a.png,Mass,1,2,3,", 2, "Bbox [x,y,w,h]", "'' is not a number"),
        (QUOTED, "a.png,Mass,1,nan,3,4", 2, "Bbox [x,y,w,h]", "'nan' is not a number"),
        (UNQUOTED, "a.png,Mass,1,2,inf,4", 2, "w", "'inf' is not a number"),
        (UNQUOTED, "a.png,Mass,1e999,2,3,4", 2, "Bbox [x", "'1e999' is not a number"),
        (UNQUOTED, "a.png,Mass,1_0,2,3,4", 2, "Bbox [x", "'1_0' is not a number"),
        (UNQUOTED, "a.png,Mass,1,2,3,0", 2, "h]", "the box has the size 0"),
        (
            "image,label,x_min,y_min,x_max,y_max",
            "a.png,Mass,9,2,4,8",
            2,
            "x_max",
            "ends at 4 where it begins at 9",
        ),
        (
            UNQUOTED,
            "a.png,Mas,1,2,3,4",
            2,
            "Finding Label",
            f"'Mas' is not known. Known are {', '.join(FINDINGS)};",
        ),
        (UNQUOTED, " ,Mass,1,2,3,4", 2, "Image Index", "name is blank"),
        (UNQUOTED, "a.png,Mass,1,2,3", 2, None, "the number of fields is 5, of a box 6"),
        (UNQUOTED, "a.png,Mass,1,2,3,4,5", 2, None, "the number of fields is 7"),
        (UNQUOTED, 'a.png,"Mass,1,2,3,4', 2, None, "the quoting"),
        ("image,finding,x,y,w", "a.png,Mass,1,2,3", 1, None, "as the height"),
        ("image,x,y,w,h", "a.png,1,2,3,4", 1, None, "as the finding; the columns are 'image, x, y, w, h'"),
        ("name,finding,x,y,w,h", ROW, 1, None, "as the image"),
        ("image;finding;x;y;w;h", ROW, 2, None, "number of fields is 1"),
        ("image,finding,x,X,y,w,h", ROW, 1, "x", "2 columns have the same name"),
    ],
)
def test_bad_list_is_refused_with_its_place(
    write: Write, header: str, row: str, line: int, column: str | None, words: str
) -> None:
    error = failure(write(header, row))
    assert (error.line, error.column) == (line, column)
    assert words in str(error)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"x": "left"}, "there is no column 'left'"),
        ({"depth": "w"}, "'depth' is no part of a box"),
        ({"x": "w", "x_min": "h"}, "'x_min' is named twice"),
    ],
)
def test_option_that_does_not_fit_is_refused(write: Write, columns: dict[str, str], words: str) -> None:
    assert words in str(failure(write("image,finding,x,y,w,h", ROW), columns=columns))


def test_empty_and_missing_files_are_refused(write: Write, tmp_path: Path) -> None:
    assert "no row" in str(failure(write(UNQUOTED)))
    assert "is empty" in str(failure(write("")))
    assert "no such file" in str(failure(tmp_path / "none.csv"))


def test_the_findings_of_the_model_are_known_in_their_usual_spellings(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    rows = "a.png,Lung opacities,1,2,3,4\na.png,Effusion,1,2,3,4\n"
    path.write_text(f"image,finding,x,y,w,h\n{rows}", encoding="utf-8")
    model = ("Lung Opacity", "Pleural Effusion")
    drawn = read_boxes(path, model=model)
    assert [box.finding for box in drawn.boxes] == list(model)
    with pytest.raises(TableError, match="the finding 'Lung opacities' is not known"):
        read_boxes(path)
    path.write_text("image,finding,x,y,w,h\na.png,Effusion,1,2,3,4\n", encoding="utf-8")
    assert read_boxes(path, model=model).fingerprint != read_boxes(path).fingerprint


# --- whole files


def test_nihs_own_list_is_read_whole(real_data: Path) -> None:
    folder = real_data / "nih"
    boxes = read_boxes(folder / "BBox_List_2017.csv.gz").boxes
    assert len(boxes) == 984
    assert Counter(box.finding for box in boxes)["Infiltration"] == 123
    assert all(0 <= box.x < box.x + box.width <= 1024.5 for box in boxes)
    assert all(0 <= box.y < box.y + box.height <= 1024.5 for box in boxes)
    listed = {row.image_index for row in Manifest(folder / "Data_Entry_2017_v2020.csv.gz")}
    assert {box.image_index for box in boxes} <= listed


def test_the_phantoms_list_is_read_as_it_was_drawn(tmp_path: Path) -> None:
    phantoms = plan_archive(3, seed=1, prevalence=dict.fromkeys(FINDINGS, 0.5))
    write_archive(tmp_path, phantoms)
    drawn = [
        (phantom.image_index, box.finding, box.x, box.y, box.width, box.height)
        for phantom in phantoms
        for box in phantom.boxes
    ]
    assert drawn
    assert read_boxes(tmp_path / "boxes.csv").boxes == tuple(Box(*values) for values in drawn)
