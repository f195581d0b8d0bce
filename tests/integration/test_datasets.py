"""Every row of the table in docs/datasets.md, from the set's own files to rows of AUC."""

import json
import shlex
from pathlib import Path

import pytest
from miniatures import MINIATURES
from support import ROOT, Nightread, close_run, score_batches


def documented() -> dict[str, list[str]]:
    """Return the sets of the page's table, each with the arguments of its command."""
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if "`nightread score " in line]
    return {cells[0].removeprefix("| "): shlex.split(cells[1].strip("`"))[2:] for cells in rows}


def test_the_page_has_each_set_of_which_there_is_a_miniature() -> None:
    assert list(documented()) == list(MINIATURES)


@pytest.mark.parametrize("name", MINIATURES)
def test_a_set_is_evaluated_as_the_page_says(
    home: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniature, nightread = MINIATURES[name], Nightread(home)
    table = miniature.write(tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set")
    manifest, *options = documented()[name]
    assert manifest == table.name
    done = nightread.call("submit", manifest, *options, "--model", "stub", "--json")
    assert done.returncode == 0, done.stderr
    assert f"read as {miniature.title}: " in done.stderr
    run_id = json.loads(done.stdout)["run_id"]
    database = nightread.database()
    score_batches(database, home / "models", run_id)
    close_run(database, run_id)
    (auc,) = nightread.sql(
        "SELECT n_positive, n_negative, auroc FROM auc "
        f"WHERE run_id = {run_id} AND subgroup = 'all' AND finding = '{miniature.finding}'"
    )
    labels = [*miniature.labels.values()]
    assert (auc["n_positive"], auc["n_negative"]) == (labels.count("1"), labels.count("0"))
    assert auc["auroc"] is not None
    nightread.end()
