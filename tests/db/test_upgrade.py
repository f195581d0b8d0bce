"""The tables and views on both databases."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from db.database import Database
from db.errors import SchemaOutdatedError
from db.schema import metadata
from db.upgrade import HEAD, upgrade, version


def test_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_an_upgraded_database_stands_at_the_newest_migration(database: Database) -> None:
    assert version(database) == HEAD


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    upgrade(database)
    assert version(database) == HEAD


def test_a_newer_versions_database_is_left_alone_and_named(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaOutdatedError, match="newer version"):
        upgrade(database)
    assert version(database) == "9999"
    assert len(inspect(database.engine).get_view_names()) == 5


def test_the_views_have_the_public_columns(database: Database) -> None:
    public = {
        "scores": "run_id image_index patient_id view_position sex age_years finding probability label",
        "auc": "run_id evaluation_id evaluated_at label_set subgroup finding n_positive n_negative auroc "
        "ci_low ci_high average_precision threshold sensitivity specificity ppv npv f1 brier",
        "failures": "run_id image_index stage reason message",
        "progress": "run_id status images scored failed pending started_at finished_at images_per_second",
        "heatmaps": "run_id image_index finding peak_x peak_y box_x box_y box_width box_height overlay_path",
    }
    found = inspect(database.engine)
    assert sorted(found.get_view_names()) == sorted(public)
    for view, columns in public.items():
        have = [column["name"] for column in found.get_columns(view)]
        assert have[: len(columns.split())] == columns.split()
