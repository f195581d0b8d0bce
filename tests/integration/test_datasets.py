"""Every row of the table in docs/datasets.md, from the set's own files to rows of AUC."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from miniatures import MINIATURES
from support import ROOT, Nightread, close_run, score_batches


def documented() -> dict[str, list[str]]:
    """Return the sets of the page's table, each with the arguments of its command."""
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ") and "`nightread score " in line]
    rows = [line.split(" | ") for line in lines]
    return {cells[0].removeprefix("| "): shlex.split(cells[1].strip("`"))[2:] for cells in rows}


def test_the_page_has_each_set_of_which_there_is_a_miniature() -> None:
    assert list(documented()) == list(MINIATURES)


def scored(nightread: Nightread, name: str, folder: Path) -> int:
    """Commit and score a run as the page says, in the folder of the set; returns its id."""
    miniature, (manifest, *options) = MINIATURES[name], documented()[name]
    table = miniature.write(folder)
    assert manifest == table.name
    done = nightread.call("submit", manifest, *options, "--model", "stub", "--json")
    assert done.returncode == 0, done.stderr
    assert f"read as {miniature.title}: " in done.stderr
    run_id: int = json.loads(done.stdout)["run_id"]
    database = nightread.database()
    score_batches(database, nightread.home / "models", run_id)
    close_run(database, run_id)
    return run_id


@pytest.fixture
def inside(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nightread]:
    """The command, called in the folder `set`."""
    (tmp_path / "set").mkdir()
    monkeypatch.chdir(tmp_path / "set")
    nightread = Nightread(home)
    yield nightread
    nightread.end()


@pytest.mark.parametrize("name", MINIATURES)
def test_a_set_is_evaluated_as_the_page_says(inside: Nightread, name: str) -> None:
    miniature = MINIATURES[name]
    run_id = scored(inside, name, Path.cwd())
    (auc,) = inside.sql(
        "SELECT n_positive, n_negative, auroc FROM auc "
        f"WHERE run_id = {run_id} AND subgroup = 'all' AND finding = '{miniature.finding}'"
    )
    labels = [*miniature.labels.values()]
    assert (auc["n_positive"], auc["n_negative"]) == (labels.count("1"), labels.count("0"))
    assert auc["auroc"] is not None


@pytest.mark.parametrize(("name", "images"), [("VinDr-CXR", 2), ("RSNA Pneumonia Detection Challenge", 1)])
def test_its_boxes_give_the_table_of_localisation(inside: Nightread, name: str, images: int) -> None:
    run_id = scored(inside, name, Path.cwd())
    done = inside.call("evaluate", str(run_id), "--boxes", documented()[name][0])
    assert done.returncode == 0, done.stderr
    (found,) = inside.sql(
        f"SELECT images, pointing FROM localisation WHERE finding = '{MINIATURES[name].finding}'"
    )
    assert found["images"] == images
    assert found["pointing"] is not None
