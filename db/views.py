"""The SQL views that people ask their questions of: the public contract, the same on both databases."""

from typing import Final

from sqlalchemy import Connection, text

_LABEL: Final = "CASE substr(r.labels, mf.position + 1, 1) WHEN '1' THEN 1 WHEN '0' THEN 0 END"

_SECONDS: Final = {
    "sqlite": "((julianday({end}) - julianday({start})) * 86400.0)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM ({end} - {start})) AS DOUBLE PRECISION)",
}


def _progress(dialect: str) -> str:
    seconds = _SECONDS[dialect].format(start="b.started_at", end="b.last_finished_at")
    return f"""
        SELECT run.id AS run_id, run.status, run.images, b.scored, b.failed,
               run.images - b.scored - b.failed AS pending,
               b.started_at, run.finished_at,
               (b.scored + b.failed) / NULLIF({seconds}, 0.0) AS images_per_second,
               model.name AS model, model.sha256 AS model_sha256, manifest.path AS manifest,
               run.batches, run.created_at, run.message
        FROM run
        JOIN model ON model.id = run.model_id
        JOIN manifest ON manifest.id = run.manifest_id
        JOIN (SELECT run_id, SUM(scored) AS scored, SUM(failed) AS failed,
                     MIN(started_at) AS started_at, MAX(finished_at) AS last_finished_at
              FROM batch GROUP BY run_id) b ON b.run_id = run.id
        """  # noqa: S608  # made of constants


def _views(dialect: str) -> dict[str, str]:
    return {
        "scores": f"""
        SELECT s.run_id, i.image_index, r.patient_id, r.view_position, r.sex, r.age_years,
               f.name AS finding, s.probability, {_LABEL} AS label, r.follow_up, m.threshold
        FROM score s
        JOIN run ON run.id = s.run_id
        JOIN image i ON i.id = s.image_id
        JOIN finding f ON f.id = s.finding_id
        JOIN model_finding m ON m.model_id = run.model_id AND m.finding_id = s.finding_id
        JOIN manifest_row r ON r.manifest_id = run.manifest_id AND r.image_id = s.image_id
        LEFT JOIN manifest_finding mf ON mf.manifest_id = run.manifest_id AND mf.finding_id = s.finding_id
        """,  # noqa: S608
        "auc": """
        SELECT e.run_id, e.id AS evaluation_id, e.evaluated_at, e.label_set, v.subgroup, f.name AS finding,
               v.n_positive, v.n_negative, v.auroc, v.ci_low, v.ci_high, v.average_precision, v.threshold,
               v.sensitivity, v.specificity, v.ppv, v.npv, v.f1, v.brier,
               model.name AS model, model.sha256 AS model_sha256
        FROM evaluation_result v
        JOIN evaluation e ON e.id = v.evaluation_id
        JOIN finding f ON f.id = v.finding_id
        JOIN run ON run.id = e.run_id
        JOIN model ON model.id = run.model_id
        """,
        "failures": """
        SELECT t.run_id, i.image_index, t.stage, t.reason, t.message
        FROM image_result t
        JOIN image i ON i.id = t.image_id
        WHERE t.status = 'failed'
        """,
        "progress": _progress(dialect),
        "heatmaps": """
        SELECT s.run_id, i.image_index, f.name AS finding, s.peak_x, s.peak_y,
               s.box_x, s.box_y, s.box_width, s.box_height, s.overlay_path,
               t.width AS image_width, t.height AS image_height, s.probability, m.threshold
        FROM score s
        JOIN run ON run.id = s.run_id
        JOIN model_finding m ON m.model_id = run.model_id AND m.finding_id = s.finding_id
        JOIN image_result t ON t.run_id = s.run_id AND t.image_id = s.image_id
        JOIN image i ON i.id = s.image_id
        JOIN finding f ON f.id = s.finding_id
        WHERE t.maps IS NOT NULL
        """,
    }


def drop_views(connection: Connection) -> None:
    """Drop the views, so that the tables below them can change."""
    for name in _views(connection.dialect.name):
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))


def create_views(connection: Connection) -> None:
    """Create the views anew; they hold no state, so each upgrade ends with this version's."""
    for name, query in _views(connection.dialect.name).items():
        connection.execute(text(f"CREATE VIEW {name} AS {query}"))
