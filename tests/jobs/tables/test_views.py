"""Images of other views than a model's are left out as rows, with the reason."""

import json
from pathlib import Path

import pytest
from support import STUB_CARD, Nightread, close_run, score_batches, write_card

from db.manifests import LeftOut
from jobs.tables.cells import is_frontal
from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions, View

TABLE = """Image,View,Frontal/Lateral,Mass
a.png,PA,Frontal,1
b.png,,Lateral,0
c.png,ap supine,,0
d.png,LL,,1
e.png,,,0
"""
FRONTAL = ["a.png", "c.png", "e.png"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "views.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


@pytest.mark.parametrize("view", ["PA", "AP", "AP_HORIZONTAL", "FRONTAL", "POSTEROANTERIOR", None])
def test_frontal_views(view: str | None) -> None:
    assert is_frontal(view)


@pytest.mark.parametrize("view", ["L", "LL", "LATERAL", "XTABLE LATERAL", "LAO", "COSTAL", "SWIMMERS"])
def test_other_views(view: str) -> None:
    assert not is_frontal(view)


def test_other_views_are_left_out_and_said(table: Path) -> None:
    manifest = Manifest(table, ReadOptions(view="frontal"))
    for _ in range(2):  # each time that its rows are read
        assert [row.image_index for row in manifest] == FRONTAL
        assert manifest.left_out == [LeftOut("b.png", "LATERAL", "view"), LeftOut("d.png", "LL", "view")]
    remarks = manifest.reading.remarks
    assert "views that are not frontal, left out (see --view): 2 (1 'LATERAL', 1 'LL')" in remarks
    assert "views that are not known, taken as frontal: 1" in remarks
    assert manifest.fingerprint() != Manifest(table).fingerprint()


@pytest.mark.parametrize("view", [None, "all"])
def test_all_are_taken_unless_told(table: Path, view: str | None) -> None:
    manifest = Manifest(table, ReadOptions.model_validate({"view": view}))
    assert len([*manifest]) == 5
    assert manifest.left_out == []


def test_a_table_of_laterals_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("Image,View\na.png,LL\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"no image has a frontal view\. Take all of them: --view all"):
        list(Manifest(path, ReadOptions(view="frontal")))


@pytest.mark.parametrize("view", ["frontal", "all"])
def test_the_names_alone_are_those_of_the_rows(table: Path, view: View) -> None:
    manifest = Manifest(table, ReadOptions(view=view), root=str(table.parent))
    names = [*manifest.names()]
    assert names == [row.image_index for row in manifest]
    assert len(names) == (3 if view == "frontal" else 5)


@pytest.mark.parametrize(
    ("views", "option", "scored"),
    [("frontal", (), 3), (None, ("--view", "frontal"), 3), ("frontal", ("--view", "all"), 5), (None, (), 5)],
)
def test_a_run_leaves_out_what_the_card_or_the_option_says(
    home: Path, table: Path, views: str | None, option: tuple[str, ...], scored: int
) -> None:
    write_card(home / "models", STUB_CARD | {"views": views})
    nightread = Nightread(home)
    images = ("--images", table.parent, "--model", "stub")
    done = nightread.call("submit", table, *images, "--json", *option)
    assert done.returncode == 0, done.stderr
    run_id = json.loads(done.stdout)["run_id"]
    database = nightread.database()
    score_batches(database, home / "models", run_id)
    close_run(database, run_id)
    (progress,) = nightread.sql("SELECT status, images, scored, failed FROM progress")
    assert progress == {"status": "complete", "images": scored, "scored": scored, "failed": 0}
    left = nightread.sql(f"SELECT image_index, view_position, reason FROM left_out WHERE run_id = {run_id}")
    assert [row["image_index"] for row in left] == (["b.png", "d.png"] if scored == 3 else [])
    assert {row["reason"] for row in left} <= {"view"}
    nightread.end()
