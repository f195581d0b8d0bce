"""What a person may rely on who hands in another system's scores."""

import csv
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any, NoReturn
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

import db.imports
from config.findings import FINDINGS
from db import queries, recovery
from db.database import Database
from db.schema import metadata
from jobs.errors import JobsError
from jobs.export import write_file
from jobs.imports import ImportOrder, import_scores
from jobs.tables.columns import plain_name
from jobs.tables.errors import TableError
from jobs.tables.reading import ReadOptions

Write = Callable[..., Path]

H = "Image Index,Mass,Effusion\n"
SCORES = "Image Index,Mass,Effusion\nb.png,0.25,0.5\na.png,1,0\n"
LABELS = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
    "a.png,Mass,3,17,058Y,F,PA\nb.png,No Finding,0,18,60,M,AP\n"
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a file and returns its path."""

    def write_file(content: str, name: str = "scores.csv") -> Path:
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write_file


def counts(database: Database) -> dict[str, int]:
    """How many rows each table has, but for receipts, which each transaction of a command leaves."""
    with database.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
            if table.name != "receipt"
        }


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


# --- what becomes of a file


def test_scores_become_a_run_whose_work_is_done(database: Database, write: Write) -> None:
    order = ImportOrder(write(SCORES), "theirs", write(LABELS, "labels.csv"))
    taken = import_scores(database, order)
    assert (taken.new, taken.images, taken.findings) == (True, 2, 2)
    assert (taken.unlabelled, taken.unscored) == (0, 0)
    columns = "image_index, finding, probability, label, patient_id, follow_up, view_position, sex, age_years"
    found = rows(database, f"SELECT {columns} FROM scores ORDER BY image_index, finding")
    assert [tuple(row.values()) for row in found] == [
        ("a.png", "Effusion", 0.0, 0, "17", 3, "PA", "F", 58.0),
        ("a.png", "Mass", 1.0, 1, "17", 3, "PA", "F", 58.0),
        ("b.png", "Effusion", 0.5, 0, "18", 0, "AP", "M", 60.0),
        ("b.png", "Mass", 0.25, 0, "18", 0, "AP", "M", 60.0),
    ]
    progress = queries.progress(database, taken.run_id)
    assert (progress.status, progress.images, progress.scored, progress.pending) == ("running", 2, 2, 0)
    assert progress.images_per_second is None
    assert (progress.model, progress.manifest) == ("theirs", str(order.scores.resolve()))
    assert len(recovery.close_finished(database, taken.run_id)) == 1, "its evaluation is due"


def test_card_tells_where_the_scores_are_from(database: Database, write: Write) -> None:
    import hashlib

    path = write(SCORES)
    card = queries.model_card(database, import_scores(database, ImportOrder(path, "theirs")).run_id)
    assert card == {
        "name": "theirs",
        "description": "scores imported from scores.csv",
        "architecture": "imported",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "findings": ["Effusion", "Mass"],
        "thresholds": [0.5, 0.5],
        "trained": True,
        "clinical_use": False,
        "provenance": str(path.resolve()),
        "licence": "unknown",
    }


def test_images_that_only_one_of_the_files_has_are_counted(database: Database, write: Write) -> None:
    labels = write(LABELS.replace("a.png", "other.png") + "third.png,Mass,0,1,50,F,PA\n", "labels.csv")
    taken = import_scores(database, ImportOrder(write(SCORES), "theirs", labels))
    assert (taken.unlabelled, taken.unscored) == (1, 2)
    found = rows(database, "SELECT DISTINCT label, patient_id FROM scores WHERE image_index = 'a.png'")
    assert found == [{"label": None, "patient_id": None}]


def test_labels_are_read_as_the_options_say_and_what_was_taken_is_known(
    database: Database, write: Write
) -> None:
    labels = write("file;Person;Mass;split\na.png;7;-1;test\nb.png;8;0;train\n", "labels.csv")
    read = ReadOptions(patient_column="Person", uncertain="positive", split="test")
    taken = import_scores(database, ImportOrder(write(SCORES), "theirs", labels, read=read))
    assert taken.unlabelled == 1
    assert taken.reading is not None
    assert taken.reading.columns == {"image": "file", "patient": "Person"}
    found = rows(
        database, "SELECT image_index, label, patient_id FROM scores WHERE finding = 'Mass' ORDER BY 1"
    )
    assert [tuple(row.values()) for row in found] == [("a.png", 1, "7"), ("b.png", None, None)]


def test_scores_without_labels_are_taken(database: Database, write: Write) -> None:
    import_scores(database, ImportOrder(write(SCORES), "theirs"))
    assert rows(database, "SELECT COUNT(*) AS n, COUNT(label) AS known FROM scores") == [{"n": 4, "known": 0}]


@pytest.mark.parametrize("blank", ["", " ", "NaN", "nan"])
def test_a_blank_cell_is_no_score_and_an_image_without_any_has_failed(
    database: Database, write: Write, blank: str
) -> None:
    path = write(f"Image,Mass,Effusion\na.png,{blank},0.5\nb.png,{blank},{blank}\n")
    run_id = import_scores(database, ImportOrder(path, "theirs")).run_id
    assert rows(database, "SELECT image_index, finding FROM scores") == [
        {"image_index": "a.png", "finding": "Effusion"}
    ]
    assert rows(database, "SELECT image_index, stage, reason FROM failures") == [
        {"image_index": "b.png", "stage": "import", "reason": "no_score"}
    ]
    progress = queries.progress(database, run_id)
    assert (progress.scored, progress.failed, progress.pending) == (1, 1, 0)
    assert len(recovery.close_finished(database, run_id)) == 1, "every image is accounted for"


def test_options_name_the_columns(database: Database, write: Write) -> None:
    path = write("study,flu_score,mass_v2,Mass\na.png,0.5,0.25,7\n")
    columns = {"flu_score": "Flu", "mass_v2": "mass"}
    order = ImportOrder(path, "theirs", image_column="study", finding_columns=columns)
    run_id = import_scores(database, order).run_id
    found = rows(database, "SELECT finding, probability FROM scores ORDER BY finding")
    assert found == [{"finding": "Flu", "probability": 0.5}, {"finding": "Mass", "probability": 0.25}]
    assert queries.model_card(database, run_id)["findings"] == ["Mass", "Flu"]


def test_images_are_those_of_the_archive_that_is_named(
    database: Database, write: Write, tmp_path: Path
) -> None:
    here = import_scores(database, ImportOrder(write(SCORES), "theirs"))
    there = import_scores(database, ImportOrder(write(SCORES), "theirs", images=tmp_path / "not there"))
    assert here.run_id != there.run_id
    found = rows(database, "SELECT root FROM archive ORDER BY id")
    assert [row["root"] for row in found] == [str(tmp_path), str(tmp_path / "not there")]


def test_the_smallest_numbers_are_kept_in_single_precision(database: Database, write: Write) -> None:
    path = write(H + "a.png,1e-45,1e-60\nb.png,-0.0,0.99999999999\n")
    import_scores(database, ImportOrder(path, "theirs"))
    found = rows(database, "SELECT probability FROM scores ORDER BY image_index, finding")
    tiny = np.float32(1e-45)
    assert [np.float32(row["probability"]) for row in found] == [0, tiny, 1, 0]


# --- once


def test_the_same_files_under_the_same_name_are_the_run_that_is_there(
    database: Database, write: Write
) -> None:
    order = ImportOrder(write(SCORES), "theirs", write(LABELS, "labels.csv"))
    first = import_scores(database, order)
    before = counts(database)
    second = import_scores(database, order)
    assert (second.run_id, second.new) == (first.run_id, False)
    assert counts(database) == before


def test_another_name_or_file_or_label_is_a_run_of_its_own(database: Database, write: Write) -> None:
    path, labels = write(SCORES), write(LABELS, "labels.csv")
    runs = [import_scores(database, ImportOrder(path, "theirs", labels))]
    runs.append(import_scores(database, ImportOrder(path, "ours", labels)))
    write(SCORES.replace("0.25", "0.75"))
    runs.append(import_scores(database, ImportOrder(path, "theirs", labels)))
    write(LABELS.replace("No Finding", "Effusion"), "labels.csv")
    runs.append(import_scores(database, ImportOrder(path, "theirs", labels)))
    assert [taken.new for taken in runs] == [True] * 4
    assert len({taken.run_id for taken in runs}) == 4
    found = counts(database)
    assert (found["image"], found["manifest"], found["model"]) == (2, 3, 3)


def test_of_two_imports_at_the_same_time_one_writes(database: Database, write: Write) -> None:
    order = ImportOrder(write(SCORES), "theirs", write(LABELS, "labels.csv"))
    start = Barrier(2)

    def take() -> tuple[int, bool]:
        start.wait(timeout=30)
        taken = import_scores(database, order)
        return taken.run_id, taken.new

    with ThreadPoolExecutor(2) as pool:
        both = [future.result(timeout=60) for future in [pool.submit(take), pool.submit(take)]]
    assert {run_id for run_id, _ in both} == {1}
    assert sorted(new for _, new in both) == [False, True]


def test_an_import_that_breaks_off_leaves_nothing(
    database: Database, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counts(database)

    def broken(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(db.imports, "_score_rows", broken)
        with pytest.raises(KeyboardInterrupt):
            import_scores(database, ImportOrder(write(SCORES), "theirs"))
    assert counts(database) == before
    assert import_scores(database, ImportOrder(write(SCORES), "theirs")).new


# --- as spreadsheets save them


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_decimal_comma_is_a_decimal_point(database: Database, write: Write, separator: str) -> None:
    table = [["Image Index", "Mass", "Effusion"], ["a.png", "0,5", "0.25"], ["b.png", "1", "1,0"]]
    file = io.StringIO()
    csv.writer(file, delimiter=separator).writerows(table)
    run_id = import_scores(database, ImportOrder(write(file.getvalue()), "theirs")).run_id
    assert stored(database, run_id) == {
        ("a.png", "Mass", 0.5),
        ("a.png", "Effusion", 0.25),
        ("b.png", "Mass", 1.0),
        ("b.png", "Effusion", 1.0),
    }


# --- what is refused

REFUSED = {
    "logit": (
        H + "a.png,-2.31,0.5\n",
        2,
        "Mass",
        ("'-2.31' is no", "look like logits", "exp(-x)"),
    ),
    "percent": (H + "a.png,0.5,0.1\nb.png,0.5,87\n", 3, "Effusion", ("'87'", "per cent", "by 100")),
    "infinite": (H + "a.png,inf,0.5\n", 2, "Mass", ("'inf'",)),
    "just above 1": (H + "a.png,1.0000001,0.5\n", 2, "Mass", ("'1.0000001'",)),
    "two commas": (H + 'a.png,"0,5,1",0.5\n', 2, "Mass", ("'0,5,1' is not a number", "decimal point")),
    "thousands": (H + 'a.png,"1,234",0.5\n', 2, "Mass", ("'1,234'", "look like logits")),
    "underscore": (H + "a.png,0_1,0.5\n", 2, "Mass", ("'0_1' is not a number",)),
    "word": (H + "a.png,high,0.5\n", 2, "Mass", ("'high'", "from 0 to 1")),
    "image twice": (
        H + "a.png,0.5,0.5\nb.png,0.5,0.5\na.png,0.5,0.5\n",
        4,
        "Image Index",
        ("'a.png'", "line 2", "Keep one row"),
    ),
    "blank image": (H + ",0.5,0.5\n", 2, "Image Index", ("blank",)),
    "missing field": (H + "a.png,0.5\n", 2, None, ("the number of fields is 2, in the header 3",)),
    "column twice": ("Image,Mass,mass\na.png,0.5,0.5\n", 1, "Mass", ("2 columns have the same name",)),
    "no finding": (
        "Image,score\na.png,0.5\n",
        1,
        None,
        ("named as a finding", "--finding-column"),
    ),
    "no image": ("study,Mass\na.png,0.5\n", 1, None, ("image", "--image-column")),
    "no row": (H, None, None, ("a header but no row",)),
    "empty": ("", None, None, ("empty",)),
    "broken quoting": (H + 'a.png,0.5,"0.5\n', 2, None, ("quoting",)),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_bad_scores_are_named_in_one_line_and_nothing_is_written(
    database: Database, write: Write, fault: str
) -> None:
    content, line, column, words = REFUSED[fault]
    path = write(content)
    before = counts(database)
    with pytest.raises(TableError) as caught:
        import_scores(database, ImportOrder(path, "theirs", write(LABELS, "labels.csv")))
    assert (caught.value.path, caught.value.line, caught.value.column) == (path, line, column)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert counts(database) == before


def test_bad_labels_are_named_and_nothing_is_written(database: Database, write: Write) -> None:
    labels = write(LABELS.replace("No Finding", "Flu"), "labels.csv")
    with pytest.raises(TableError) as caught:
        import_scores(database, ImportOrder(write(SCORES), "theirs", labels))
    assert (caught.value.path, caught.value.line, caught.value.column) == (labels, 3, "Finding Labels")
    odd = write(LABELS.replace("Image Index", "study"), "odd.csv")
    with pytest.raises(TableError) as caught:
        import_scores(database, ImportOrder(write(SCORES), "theirs", odd))
    assert (caught.value.path, caught.value.line) == (odd, 1)
    assert caught.value.advice == "Name it Image Index.", "--image-column is about the scores"
    assert counts(database)["run"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "Theirs 2017"}, "--name 'Theirs 2017'"),
        ({"name": ""}, "--name ''"),
        ({"finding_columns": {"Mass": "../Mass"}}, "--finding-column: '../Mass'"),
        ({"finding_columns": {"Flu": "Flu"}}, "there is no column 'Flu'"),
        ({"finding_columns": {"Mass": "A", "Effusion": "A"}}, "has a second column"),
        ({"image_column": "study"}, "there is no column 'study'"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    database: Database, write: Write, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(JobsError) as caught:
        import_scores(database, replace(ImportOrder(write(SCORES), "theirs"), **options))
    assert words in str(caught.value)
    assert counts(database)["run"] == 0


# --- there and back

SINGLE = st.floats(0.0, 1.0, width=32).map(abs)
NAME = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(
    # Others become paths below the root: blanks at an end and backslashes are not kept.
    lambda name: name.strip() and plain_name(name) == name
)


def stored(database: Database, run_id: int) -> set[tuple[str, str, float]]:
    found = rows(database, f"SELECT image_index, finding, probability FROM scores WHERE run_id = {run_id}")
    return {(row["image_index"], row["finding"], float(np.float32(row["probability"]))) for row in found}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAME, st.lists(st.none() | SINGLE, min_size=14, max_size=14), min_size=1, max_size=6))
def test_an_exported_csv_imported_again_gives_the_same_probabilities(
    database: Database, tmp_path: Path, table: dict[str, list[float | None]]
) -> None:
    folder = tmp_path / uuid4().hex
    folder.mkdir()
    with (folder / "first.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Image Index", *FINDINGS])
        writer.writerows([name, *values] for name, values in table.items())
    first = import_scores(database, ImportOrder(folder / "first.csv", "theirs")).run_id
    write_file(database, first, folder / "second.csv", "csv", wide=True)
    given_ = {
        (name, finding, value)
        for name, values in table.items()
        for finding, value in zip(FINDINGS, values, strict=True)
        if value is not None
    }
    assert stored(database, first) == given_
    if given_:  # else the export is a header alone, which is refused
        second = import_scores(database, ImportOrder(folder / "second.csv", "theirs")).run_id
        assert second != first
        assert stored(database, second) == given_
