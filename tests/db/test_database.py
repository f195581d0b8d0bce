"""What both databases have in common, and what SQLite needs to be told."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from support import make_run, score_batches

from db import queries
from db.database import Database, clock
from db.errors import DatabaseError


def test_statistics_let_a_join_of_two_views_find_an_image_by_its_name(
    sqlite: Database, tmp_path: Path
) -> None:
    for _ in range(2):
        make_run(sqlite, tmp_path, 400, batch_size=100)
    score_batches(sqlite, tmp_path / "models")
    sqlite.analyze()
    join = """
        SELECT COUNT(*) FROM heatmaps h
        JOIN scores s ON s.run_id = h.run_id AND s.image_index = h.image_index AND s.finding = h.finding
        WHERE h.run_id = 1
    """
    with sqlite.read() as connection:
        plan = [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {join}"))]
        assert connection.execute(text(join)).scalar_one() == 400 * 14
    assert sum("(run_id=? AND image_id=? AND finding_id=?)" in line for line in plan) >= 1, plan


def test_the_clock_of_the_database_goes_on_within_a_transaction(database: Database) -> None:
    from sqlalchemy import select

    with database.read() as connection:
        first = connection.execute(select(clock())).scalar_one()
        later = first
        while later == first:
            later = connection.execute(select(clock())).scalar_one()
    assert 0 < later - first < 60


def test_a_read_only_connection_is_refused_changes_and_the_next_one_is_not(database: Database) -> None:
    with pytest.raises(DBAPIError), database.read_only() as connection:
        connection.execute(text("INSERT INTO finding (name) VALUES ('x')"))
    with database.write() as connection:
        connection.execute(text("INSERT INTO finding (name) VALUES ('x')"))


def test_a_failed_write_is_rolled_back(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        1 / connection.execute(text("INSERT INTO finding (name) VALUES ('x') RETURNING 0")).scalar_one()
    with database.read() as connection:
        assert connection.execute(text("SELECT name FROM finding WHERE name = 'x'")).all() == []


def test_an_error_does_not_show_the_values(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught, database.write() as connection:
        connection.execute(
            text("INSERT INTO finding (name, nothing) VALUES (:name, 1)"), {"name": "PATIENT-4711"}
        )
    assert "4711" not in str(caught.value)


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(DatabaseError, match="lost with its process"):
        Database("sqlite://")


def test_a_database_without_tables_says_what_to_do(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(DatabaseError, match="nightread db upgrade"):
        queries.all_progress(database)
    database.dispose()
