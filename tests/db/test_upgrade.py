"""The tables and views on both databases."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

import db.upgrade
from db.database import Database
from db.errors import SchemaOutdatedError
from db.schema import metadata
from db.upgrade import HEAD, require_current, upgrade, version

PUBLIC = {
    "scores": "run_id image_index patient_id view_position sex age_years finding probability label",
    "auc": "run_id evaluation_id evaluated_at label_set subgroup finding n_positive n_negative auroc "
    "ci_low ci_high average_precision threshold sensitivity specificity ppv npv f1 brier",
    "failures": "run_id image_index stage reason message",
    "earlier_failures": "run_id image_index stage reason message retried_at",
    "agreement": "run_id finding statistic reader_a reader_b readers images kappa ci_low ci_high "
    "reason labels measured_at",
    "left_out": "run_id image_index view_position reason",
    "progress": "run_id status images scored failed pending started_at finished_at images_per_second",
    "heatmaps": "run_id image_index finding peak_x peak_y box_x box_y box_width box_height overlay_path",
    "films": "run_id image_index width height greyscale padded spacing_down spacing_across spacing",
    "contents": "run_id image_index tag earlier_tag changed",
    "quality": "run_id image_index flag feature_distance picture_distance",
    "members": "run_id place member member_sha256 member_card_sha256 model model_sha256",
    "worklist": "run_id place image_index patient_id finding probability threshold percentile flagged",
    "evaluations": "evaluation_id run_id state evaluated_at label_set labels labels_sha256",
    "auc_mean": "run_id evaluation_id evaluated_at label_set subgroup findings mean_auroc",
    "thresholds": "run_id evaluation_id evaluated_at label_set subgroup finding kind threshold tp fp tn fn",
    "calibration": "run_id evaluation_id label_set finding bin lower upper images mean_probability",
    "curves": "run_id evaluation_id label_set finding curve point x y threshold",
    "fixed_points": "run_id evaluation_id label_set finding fixed level threshold value low high reason",
    "net_benefit": "run_id evaluation_id label_set finding threshold tp fp net_benefit net_benefit_of_all",
    "first_images": "run_id evaluation_id label_set finding images positive precision",
    "operating_points": "run_id chosen_on chosen_on_run finding kind threshold tp fp tn fn sensitivity",
    "sample_size": "run_id evaluation_id label_set finding n_positive half_width wanted n_positive_needed",
    "segments": "run_id image_index patient_id finding kind voxels ml components largest_ml",
    "segment_summary": "run_id evaluation_id evaluated_at label_set finding measure cases left_out mean low",
    "volumes": "run_id image_index size_x size_y size_z spacing_x spacing_y spacing_z labelled mask_path",
    "localisation": "run_id evaluation_id evaluated_at finding images hits pointing ci_low ci_high mean_iou",
    "comparisons": "comparison_id compared_at run_a run_b model_a model_b label_set",
    "drift": "drift_id measured_at run_id baseline_id measure finding n n_baseline value value_baseline psi",
    "sendings": "run_id target formats tls state waits_for waits_since message created_at ended_at schedule",
    "deliveries": "run_id image_index kind finding target state status sop_instance_uid attempts",
    "published": "source finding auroc ci_low ci_high citation",
    "schedules": "schedule cron timezone action margin",
    "alerts": "alert_id raised_at kind schedule",
}
"""The views and the columns that they begin with: the public contract."""


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
    assert set(inspect(database.engine).get_view_names()) == set(PUBLIC)


def test_the_views_have_the_public_columns(database: Database) -> None:
    found = inspect(database.engine)
    assert sorted(found.get_view_names()) == sorted(PUBLIC)
    for view, columns in PUBLIC.items():
        have = [column["name"] for column in found.get_columns(view)]
        assert have[: len(columns.split())] == columns.split()
        with database.read_only() as connection:
            connection.execute(text(f"SELECT * FROM {view} WHERE 1 = 0"))


OLD_ROWS = """
INSERT INTO archive (id, root) VALUES (1, '/images');
INSERT INTO manifest (id, archive_id, fingerprint, path, rows, created_at)
VALUES (1, 1, 'f', 'm.csv', 3, '2026-01-01 00:00:00');
INSERT INTO model (id, name, sha256, card, card_sha256) VALUES (1, 'm', 'h', '{}', 'c');
INSERT INTO run (id, manifest_id, model_id, status, images, batches, heatmaps, version, created_at)
VALUES (1, 1, 1, 'complete', 3, 1, 'none', '0.1', '2026-01-01 00:00:00');
INSERT INTO finding (name) VALUES ('Effusion');
INSERT INTO score (run_id, image_id, finding_id, probability) VALUES (1, 1, 1, 0.5);
INSERT INTO evaluation (id, run_id, label_manifest_id, label_set, closes_run, state)
VALUES (1, 1, 1, 'manifest', true, 'done');
INSERT INTO evaluation_result (evaluation_id, subgroup, finding_id, n_positive, n_negative, auroc)
VALUES (1, 'all', 1, 2, 1, 0.5)
"""


def test_an_older_database_keeps_its_rows(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(db.upgrade.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in OLD_ROWS.split(";"):
            connection.execute(text(statement))
    with pytest.raises(SchemaOutdatedError, match=r"0001.*nightread db upgrade"):
        require_current(database)
    upgrade(database)
    with database.read_only() as connection:
        assert connection.execute(text("SELECT run_id, auroc, reason FROM auc")).all() == [(1, 0.5, None)]
        unknown = text("SELECT COUNT(*) FROM score WHERE calibrated IS NULL AND spread IS NULL")
        assert connection.execute(unknown).scalar() == 1
        # The finding that was there keeps its id, and the published figures hang on it.
        published = text("SELECT COUNT(*) FROM published_auroc WHERE finding_id = 1")
        assert connection.execute(published).scalar() == 6
    with database.write() as connection:
        connection.execute(text("UPDATE run SET status = 'failed'"))
    for wrong in ("status = 'lost'", "heatmaps = 'some'"):
        with pytest.raises(IntegrityError, match="ck_run"), database.write() as connection:
            connection.execute(text(f"UPDATE run SET {wrong}"))
    database.dispose()
