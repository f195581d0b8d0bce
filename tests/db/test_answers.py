"""A person's query that is wrong: the answer names what there is."""

import pytest

from db.answers import QueryError, ask, columns_of_views
from db.database import Database


def refusal(database: Database, query: str) -> str:
    with pytest.raises(QueryError) as refused:
        ask(database, query)
    return str(refused.value)


def test_a_view_that_is_not_there_is_answered_with_the_near_one_and_all(database: Database) -> None:
    told = refusal(database, "SELECT * FROM score_s")
    assert told.startswith("there is no view score_s (perhaps scores")
    assert told.endswith(f"; there are {', '.join(columns_of_views(database))}")
    assert "perhaps" not in refusal(database, "SELECT * FROM xyzzy")


def test_a_column_that_is_not_there_is_answered_with_those_of_the_views_asked(database: Database) -> None:
    told = refusal(database, "SELECT s.probabilty FROM scores s JOIN failures f USING (run_id)")
    assert "there is no column probabilty (perhaps probability)" in told
    assert "; failures has run_id, " in told
    assert "scores has run_id, image_index, " in told
    assert "auc has" not in told
    assert refusal(database, "SELECT absent").startswith("there is no column absent")


def test_a_change_is_answered_with_what_the_command_is_for(database: Database) -> None:
    for change in ("DELETE FROM batch", "INSERT INTO finding (name) VALUES ('x') RETURNING id"):
        assert refusal(database, change).startswith("sql only reads: ")


def test_the_columns_are_those_of_the_views_and_no_tables(database: Database) -> None:
    views = columns_of_views(database)
    assert views["failures"][:2] == ["run_id", "image_index"]
    assert "batch" not in views
