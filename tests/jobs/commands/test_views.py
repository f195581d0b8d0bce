"""`nightread views`: docs/sql.md as a command; that the page describes every column: tests/test_docs.py."""

import json

from support import Nightread


def test_every_view_is_shown_with_the_meaning_of_every_column(nightread: Nightread) -> None:
    nightread.call("db", "upgrade")
    there = {
        (view, column)
        for view in ("scores", "auc", "heatmaps", "progress")
        for column in nightread.call("sql", f"SELECT * FROM {view}").stdout.strip().split(",")
    }
    rows = json.loads(nightread.call("views", "--json").stdout)
    described = {(row["view"], row["column"]) for row in rows}
    assert there <= described
    assert all(row["meaning"] and "](" not in row["meaning"] for row in rows)


def test_one_view_is_shown_without_a_database(nightread: Nightread) -> None:
    done = nightread.call("views", "SCORES")
    assert done.stdout.startswith("scores: one row per scored image and finding")
    assert "Years, with fractions" in done.stdout
    assert not (nightread.home / "nightread.db").exists()


def test_a_misspelt_view_is_answered_with_the_one_that_is_near(nightread: Nightread) -> None:
    refused = nightread.call("views", "score")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "there is no view score (perhaps scores)" in refused.stderr
