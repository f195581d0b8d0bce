"""The order in which somebody should look at a run's images, and how well it does, on both databases."""

import csv
import json
from pathlib import Path

import pytest
from sqlalchemy import update
from support import finding_ids

from db.database import Database
from db.schema.runs import model_finding, score
from jobs.imports import ImportOrder, import_scores
from jobs.worklist import COLUMNS, read_worklist, worth_of, write_worklist

SCORES = {
    "a.png": (0.10, 0.80),
    "b.png": (0.20, 0.70),
    "c.png": (0.60, 0.10),
    "d.png": (0.05, 0.20),
    "<e>.png": (0.15, 0.95),
}
"""Of Mass and Effusion; the thresholds are 0.5 and 0.9."""


@pytest.fixture
def run_id(database: Database, tmp_path: Path) -> int:
    lines = ["Image Index,Mass,Effusion", *(f"{name},{a},{b}" for name, (a, b) in SCORES.items())]
    (tmp_path / "scores.csv").write_text("\n".join(lines), encoding="utf-8")
    labels = ["Image Index,Mass,Effusion", "a.png,0,1", "b.png,0,0", "c.png,1,0", "d.png,0,0"]
    (tmp_path / "labels.csv").write_text("\n".join(labels), encoding="utf-8")
    order = ImportOrder(tmp_path / "scores.csv", "theirs", tmp_path / "labels.csv")
    made = import_scores(database, order).run_id
    ids = finding_ids(database, made)
    with database.write() as connection:
        for name, threshold in {"Mass": 0.5, "Effusion": 0.9}.items():
            connection.execute(
                update(model_finding)
                .where(model_finding.c.finding_id == ids[name])
                .values(threshold=threshold)
            )
    return made


def test_flagged_images_come_first_and_then_the_highest_percentiles(database: Database, run_id: int) -> None:
    rows, _ = read_worklist(database, run_id)
    # e is first of five by effusion and over the threshold, as c by mass; b is second by mass, a by effusion.
    listed = [(row["place"], row["image_index"], row["finding"], row["flagged"]) for row in rows]
    assert listed == [
        (1, "<e>.png", "Effusion", 1),
        (2, "c.png", "Mass", 1),
        (3, "a.png", "Effusion", 0),
        (4, "b.png", "Mass", 0),
        (5, "d.png", "Effusion", 0),
    ]
    assert [row["percentile"] for row in rows] == pytest.approx([1.0, 1.0, 0.8, 0.8, 0.4])


def test_how_far_an_ensembles_members_are_apart_is_shown_for_ensembles_only(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    page = tmp_path / "list.html"
    write_worklist(run_id, *read_worklist(database, run_id), page)
    assert "Spread" not in page.read_text(encoding="utf-8")
    with database.write() as connection:
        connection.execute(update(score).values(spread=score.c.probability / 8))
    rows, worth = read_worklist(database, run_id)
    assert [row["spread"] for row in rows] == pytest.approx([row["probability"] / 8 for row in rows])
    write_worklist(run_id, rows, worth, page)
    written = page.read_text(encoding="utf-8")
    assert '<th scope="col">Spread</th>' in written
    assert "<td>0.119</td>" in written, "an eighth of 0.95"


def test_the_order_is_measured_over_labelled_images_only(database: Database, run_id: int) -> None:
    _, worth = read_worklist(database, run_id, limit=1)
    # Without e, which has no label: c, a, b, d, of which the first is the first tenth.
    assert (worth.images, worth.positive, worth.first, worth.found) == (4, 2, 1, 1)
    assert worth.share == 0.5
    assert "(50%)" in worth.sentence()
    nothing = worth_of([0, None, 0])
    assert nothing.share is None
    assert "no image has a positive label" in nothing.sentence()


def test_all_files_hold_the_rows_and_the_page_escapes_names(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    rows, worth = read_worklist(database, run_id)
    for ending in ("csv", "json", "html"):
        write_worklist(run_id, rows, worth, tmp_path / f"list.{ending}")
    with (tmp_path / "list.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(COLUMNS)
    assert [row["image_index"] for row in read] == [row["image_index"] for row in rows]
    whole = json.loads((tmp_path / "list.json").read_text(encoding="utf-8"))
    assert whole["images"] == rows
    assert whole["measured"]["positive_in_first_tenth"] == 1
    page = (tmp_path / "list.html").read_text(encoding="utf-8")
    assert "&lt;e&gt;.png" in page
    assert "<e>" not in page
    assert page.count("<tr") == 6
