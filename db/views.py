"""The SQL views that people query: the public contract, the same on both databases."""

from typing import Final

from sqlalchemy import Connection, text

_LABEL: Final = "CASE substr(r.labels, mf.position + 1, 1) WHEN '1' THEN 1 WHEN '0' THEN 0 END"

_SECONDS: Final = {
    "sqlite": "((julianday({end}) - julianday({start})) * 86400.0)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM ({end} - {start})) AS DOUBLE PRECISION)",
}

_NAMES: Final = {"sqlite": "GROUP_CONCAT(engine)", "postgresql": "STRING_AGG(engine, ',')"}


def _progress(dialect: str) -> str:
    # In two steps, as PostgreSQL sorts all of a run's batches for a DISTINCT among them.
    seconds = _SECONDS[dialect].format(start="b.started_at", end="b.last_finished_at")
    return f"""
        SELECT run.id AS run_id, run.status, run.images,
               COALESCE(b.scored, 0) AS scored, COALESCE(b.failed, 0) AS failed,
               CASE WHEN run.status IN ('deleting', 'deleted') THEN 0
                    ELSE run.images - COALESCE(b.scored, 0) - COALESCE(b.failed, 0) END AS pending,
               b.started_at, run.finished_at,
               (b.scored + b.failed) / NULLIF({seconds}, 0.0) AS images_per_second,
               model.name AS model, model.sha256 AS model_sha256, manifest.path AS manifest,
               run.batches, run.created_at, run.message, schedule.name AS schedule, run.calibrated_by,
               b.engines, run.bits, CASE WHEN run.status = 'running' THEN run.waits_for END AS waits_for
        FROM run
        JOIN model ON model.id = run.model_id
        JOIN manifest ON manifest.id = run.manifest_id
        LEFT JOIN schedule ON schedule.id = run.schedule_id
        LEFT JOIN (SELECT run_id,
                     CAST(SUM(scored) AS BIGINT) AS scored, CAST(SUM(failed) AS BIGINT) AS failed,
                     MIN(started_at) AS started_at, MAX(finished_at) AS last_finished_at,
                     {_NAMES[dialect]} AS engines
              FROM (SELECT run_id, engine, SUM(scored) AS scored, SUM(failed) AS failed,
                           MIN(started_at) AS started_at, MAX(finished_at) AS finished_at
                    FROM batch GROUP BY run_id, engine) by_engine
              GROUP BY run_id) b ON b.run_id = run.id AND run.status <> 'deleting'
        """  # noqa: S608  # made of constants


def _views(dialect: str) -> dict[str, str]:
    # Of a run that is being deleted, no view shows the rows that are still there.
    return {
        "scores": f"""
        SELECT s.run_id, i.image_index, r.patient_id, r.view_position, r.sex, r.age_years,
               f.name AS finding, s.probability, {_LABEL} AS label, r.follow_up, m.threshold, s.calibrated,
               s.spread
        FROM score s
        JOIN run ON run.id = s.run_id AND run.status <> 'deleting'
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
               model.name AS model, model.sha256 AS model_sha256, v.calibration_error,
               v.bootstrap_low, v.bootstrap_high, v.platt_slope, v.platt_intercept, v.reason,
               v.ci_method, v.patients, v.without_patient,
               v.average_precision_low, v.average_precision_high, v.brier_low, v.brier_high
        FROM evaluation_result v
        JOIN evaluation e ON e.id = v.evaluation_id
        JOIN finding f ON f.id = v.finding_id
        JOIN run ON run.id = e.run_id
        JOIN model ON model.id = run.model_id
        """,
        # By a LEFT JOIN, though each has an image: who asks for no names does not pay for them.
        "failures": """
        SELECT t.run_id, i.image_index, t.stage, t.reason, t.message, t.tag
        FROM image_result t
        JOIN run ON run.id = t.run_id AND run.status <> 'deleting'
        LEFT JOIN image i ON i.id = t.image_id
        WHERE t.status = 'failed'
        """,
        "earlier_failures": """
        SELECT e.run_id, i.image_index, e.stage, e.reason, e.message, e.retried_at, e.tag
        FROM earlier_failure e
        JOIN run ON run.id = e.run_id AND run.status <> 'deleting'
        JOIN image i ON i.id = e.image_id
        """,
        "agreement": """
        SELECT a.run_id, f.name AS finding, a.statistic, a.reader_a, a.reader_b, a.readers, a.images,
               a.kappa, a.ci_low, a.ci_high, a.reason, a.labels, a.measured_at
        FROM agreement_result a
        JOIN finding f ON f.id = a.finding_id
        """,
        "left_out": """
        SELECT run.id AS run_id, l.image_index, l.view_position, l.reason
        FROM image_left_out l
        JOIN run ON run.manifest_id = l.manifest_id AND run.status NOT IN ('deleting', 'deleted')
        """,
        "progress": _progress(dialect),
        "heatmaps": """
        SELECT s.run_id, i.image_index, f.name AS finding, s.peak_x, s.peak_y,
               s.box_x, s.box_y, s.box_width, s.box_height, s.overlay_path,
               t.width AS image_width, t.height AS image_height, s.probability, m.threshold,
               s.box_width * t.spacing_across AS box_width_mm, s.box_height * t.spacing_down AS box_height_mm,
               t.spacing
        FROM score s
        JOIN run ON run.id = s.run_id AND run.status <> 'deleting'
        JOIN model_finding m ON m.model_id = run.model_id AND m.finding_id = s.finding_id
        JOIN image_result t ON t.run_id = s.run_id AND t.image_id = s.image_id
        JOIN image i ON i.id = s.image_id
        JOIN finding f ON f.id = s.finding_id
        WHERE t.maps IS NOT NULL
        """,
        "films": """
        SELECT t.run_id, i.image_index, t.width, t.height, t.greyscale, t.padded,
               t.spacing_down, t.spacing_across, t.spacing
        FROM image_result t
        JOIN run ON run.id = t.run_id AND run.status <> 'deleting'
        JOIN image i ON i.id = t.image_id
        WHERE t.padded IS NOT NULL
        """,
        # Of the runs before this one the newest that has read the image, without an index over all of them.
        "contents": """
        SELECT c.run_id, i.image_index, c.tag, c.earlier_tag,
               CASE WHEN c.earlier_tag = c.tag THEN 0 WHEN c.earlier_tag IS NOT NULL THEN 1 END AS changed
        FROM (SELECT t.run_id, t.image_id, t.tag,
                     COALESCE(
                       (SELECT f.tag
                        FROM earlier_failure f
                        WHERE f.run_id = t.run_id AND f.image_id = t.image_id AND f.tag IS NOT NULL
                        ORDER BY f.id DESC LIMIT 1),
                       (SELECT e.tag
                        FROM run r
                        CROSS JOIN image_result e
                        WHERE r.id < t.run_id AND r.status <> 'deleting'
                          AND e.run_id = r.id AND e.image_id = t.image_id AND e.tag IS NOT NULL
                        ORDER BY r.id DESC LIMIT 1)) AS earlier_tag
              FROM image_result t
              WHERE t.tag IS NOT NULL) c
        JOIN run ON run.id = c.run_id AND run.status <> 'deleting'
        JOIN image i ON i.id = c.image_id
        """,
        "quality": """
        SELECT t.run_id, i.image_index, t.flag, t.feature_distance, t.picture_distance,
               t.brightness, t.contrast
        FROM image_result t
        JOIN run ON run.id = t.run_id AND run.status <> 'deleting'
        JOIN image i ON i.id = t.image_id
        WHERE t.feature_distance IS NOT NULL
        """,
        "worklist": """
        SELECT w.run_id,
               ROW_NUMBER() OVER (PARTITION BY w.run_id ORDER BY w.is_over DESC, w.percentile DESC,
                                  w.probability DESC, w.image_id) AS place,
               i.image_index, r.patient_id, f.name AS finding, w.probability, w.threshold, w.percentile,
               w.flagged, w.peak_x, w.peak_y, w.box_x, w.box_y, w.box_width, w.box_height, w.overlay_path,
               CASE WHEN r.labels LIKE '%1%' THEN 1 WHEN r.labels LIKE '%0%' THEN 0 END AS positive, w.spread
        FROM (SELECT q.*,
                     SUM(q.is_over) OVER (PARTITION BY q.run_id, q.image_id) AS flagged,
                     ROW_NUMBER() OVER (PARTITION BY q.run_id, q.image_id
                                        ORDER BY q.is_over DESC, q.percentile DESC, q.probability DESC,
                                                 q.finding_id) AS reason
              FROM (SELECT s.*, run.manifest_id, m.threshold,
                           CASE WHEN s.probability >= m.threshold THEN 1 ELSE 0 END AS is_over,
                           CUME_DIST() OVER (PARTITION BY s.run_id, s.finding_id
                                             ORDER BY s.probability) AS percentile
                    FROM score s
                    JOIN run ON run.id = s.run_id AND run.status <> 'deleting'
                    JOIN model_finding m ON m.model_id = run.model_id AND m.finding_id = s.finding_id) q) w
        JOIN image i ON i.id = w.image_id
        JOIN finding f ON f.id = w.finding_id
        JOIN manifest_row r ON r.manifest_id = w.manifest_id AND r.image_id = w.image_id
        WHERE w.reason = 1
        """,
        "members": """
        SELECT run.id AS run_id, c.position + 1 AS place, c.name AS member, c.sha256 AS member_sha256,
               c.card_sha256 AS member_card_sha256, model.name AS model, model.sha256 AS model_sha256
        FROM model_member c
        JOIN model ON model.id = c.model_id
        JOIN run ON run.model_id = c.model_id
        """,
        "evaluations": """
        SELECT e.id AS evaluation_id, e.run_id, e.state, e.evaluated_at, e.label_set,
               l.path AS labels, l.fingerprint AS labels_sha256,
               model.name AS model, model.sha256 AS model_sha256, e.closes_run,
               e.bootstrap, e.wanted_sensitivity, b.path AS boxes, b.fingerprint AS boxes_sha256,
               schedule.name AS schedule, e.message, l.uncertain, l.reading
        FROM evaluation e
        JOIN manifest l ON l.id = e.label_manifest_id
        JOIN run ON run.id = e.run_id
        JOIN model ON model.id = run.model_id
        LEFT JOIN box_set b ON b.id = e.box_set_id
        LEFT JOIN schedule ON schedule.id = e.schedule_id
        """,
        "auc_mean": """
        SELECT e.run_id, e.id AS evaluation_id, e.evaluated_at, e.label_set, v.subgroup, v.findings,
               v.mean_auroc, model.name AS model, model.sha256 AS model_sha256,
               v.ci_low, v.ci_high, v.left_out
        FROM mean_result v
        JOIN evaluation e ON e.id = v.evaluation_id
        JOIN run ON run.id = e.run_id
        JOIN model ON model.id = run.model_id
        """,
        "thresholds": """
        SELECT e.run_id, e.id AS evaluation_id, e.evaluated_at, e.label_set, t.subgroup, f.name AS finding,
               t.kind, t.threshold, t.tp, t.fp, t.tn, t.fn,
               t.sensitivity, t.sensitivity_low, t.sensitivity_high,
               t.specificity, t.specificity_low, t.specificity_high,
               t.ppv, t.ppv_low, t.ppv_high, t.npv, t.npv_low, t.npv_high,
               t.f1, t.accuracy, t.prevalence, t.reason
        FROM threshold_result t
        JOIN evaluation e ON e.id = t.evaluation_id
        JOIN finding f ON f.id = t.finding_id
        """,
        "calibration": """
        SELECT e.run_id, e.id AS evaluation_id, e.label_set, f.name AS finding, c.bin, c.lower, c.upper,
               c.images, c.mean_probability, c.share_positive, c.share_low, c.share_high
        FROM calibration_bin c
        JOIN evaluation e ON e.id = c.evaluation_id
        JOIN finding f ON f.id = c.finding_id
        """,
        "curves": """
        SELECT e.run_id, e.id AS evaluation_id, e.label_set, f.name AS finding, c.curve, c.point,
               c.x, c.y, c.threshold, c.y_low, c.y_high
        FROM curve_point c
        JOIN evaluation e ON e.id = c.evaluation_id
        JOIN finding f ON f.id = c.finding_id
        """,
        "fixed_points": """
        SELECT e.run_id, e.id AS evaluation_id, e.label_set, f.name AS finding, v.fixed, v.level,
               v.threshold, v.value, v.low, v.high, v.reason
        FROM fixed_result v
        JOIN evaluation e ON e.id = v.evaluation_id
        JOIN finding f ON f.id = v.finding_id
        """,
        "net_benefit": """
        SELECT e.run_id, e.id AS evaluation_id, e.label_set, f.name AS finding, v.threshold, v.tp, v.fp,
               v.model AS net_benefit, v.everyone AS net_benefit_of_all
        FROM net_benefit_point v
        JOIN evaluation e ON e.id = v.evaluation_id
        JOIN finding f ON f.id = v.finding_id
        """,
        "first_images": """
        SELECT e.run_id, e.id AS evaluation_id, e.label_set, f.name AS finding, v.images, v.positive,
               v.precision, v.low AS precision_low, v.high AS precision_high, v.lift, v.found
        FROM first_images_result v
        JOIN evaluation e ON e.id = v.evaluation_id
        JOIN finding f ON f.id = v.finding_id
        """,
        "operating_points": """
        SELECT o.run_id, o.chosen_on, e.run_id AS chosen_on_run, f.name AS finding, o.kind, o.threshold,
               o.tp, o.fp, o.tn, o.fn,
               o.sensitivity, o.sensitivity_low, o.sensitivity_high,
               o.specificity, o.specificity_low, o.specificity_high,
               o.ppv, o.ppv_low, o.ppv_high, o.npv, o.npv_low, o.npv_high,
               COALESCE(t.sensitivity, CASE v.fixed WHEN 'specificity' THEN v.value ELSE v.level END)
                 AS sensitivity_when_chosen,
               COALESCE(t.specificity, CASE v.fixed WHEN 'sensitivity' THEN v.value ELSE v.level END)
                 AS specificity_when_chosen,
               o.reason, o.tested_at
        FROM operating_result o
        JOIN evaluation e ON e.id = o.chosen_on
        JOIN finding f ON f.id = o.finding_id
        LEFT JOIN threshold_result t ON t.evaluation_id = o.chosen_on AND t.finding_id = o.finding_id
          AND t.subgroup = 'all' AND t.kind = o.kind
        LEFT JOIN fixed_result v ON v.evaluation_id = o.chosen_on AND v.finding_id = o.finding_id
          AND o.kind = 'fixed_' || v.fixed
        """,
        "sample_size": """
        SELECT e.run_id, e.id AS evaluation_id, e.label_set, f.name AS finding, v.n_positive,
               (v.ci_high - v.ci_low) / 2 AS half_width, 0.03 AS wanted,
               CAST(ROUND(v.n_positive * (v.ci_high - v.ci_low) * (v.ci_high - v.ci_low) / 0.0036) AS INTEGER)
                 AS n_positive_needed
        FROM evaluation_result v
        JOIN evaluation e ON e.id = v.evaluation_id
        JOIN finding f ON f.id = v.finding_id
        WHERE v.subgroup = 'all'
        """,
        "segments": """
        SELECT s.run_id, i.image_index, r.patient_id, f.name AS finding, s.kind, s.voxels, s.ml, s.components,
               s.largest_ml, s.box_x0, s.box_y0, s.box_z0, s.box_x1, s.box_y1, s.box_z1,
               s.centroid_x, s.centroid_y, s.centroid_z, s.probability_max, s.reference_voxels,
               s.dice, s.soft_dice, s.sensitivity, s.specificity, s.hd95_mm, s.assd_mm, s.reason, v.mask_path
        FROM segment s
        JOIN volume_result v ON v.run_id = s.run_id AND v.image_id = s.image_id
        JOIN run ON run.id = s.run_id AND run.status <> 'deleting'
        JOIN image i ON i.id = s.image_id
        JOIN finding f ON f.id = s.finding_id
        JOIN manifest_row r ON r.manifest_id = run.manifest_id AND r.image_id = s.image_id
        """,
        "segment_summary": """
        SELECT e.run_id, e.id AS evaluation_id, e.evaluated_at, e.label_set, f.name AS finding, v.measure,
               v.cases, v.left_out, v.mean, v.low, v.high, v.median, v.reason,
               model.name AS model, model.sha256 AS model_sha256
        FROM segment_summary_result v
        JOIN evaluation e ON e.id = v.evaluation_id
        JOIN finding f ON f.id = v.finding_id
        JOIN run ON run.id = e.run_id
        JOIN model ON model.id = run.model_id
        """,
        "volumes": """
        SELECT v.run_id, i.image_index, v.size_x, v.size_y, v.size_z, v.spacing_x, v.spacing_y, v.spacing_z,
               v.labelled, v.mask_path, v.planes_path
        FROM volume_result v
        JOIN run ON run.id = v.run_id AND run.status <> 'deleting'
        JOIN image i ON i.id = v.image_id
        """,
        "localisation": """
        SELECT e.run_id, e.id AS evaluation_id, e.evaluated_at, f.name AS finding, v.images, v.hits,
               v.pointing, v.ci_low, v.ci_high, v.mean_iou, v.reason, b.path AS boxes,
               v.mean_iou_low, v.mean_iou_high
        FROM localisation_result v
        JOIN evaluation e ON e.id = v.evaluation_id
        JOIN box_set b ON b.id = e.box_set_id
        JOIN finding f ON f.id = v.finding_id
        """,
        "comparisons": """
        SELECT c.id AS comparison_id, c.compared_at, c.run_a, c.run_b, a.name AS model_a, b.name AS model_b,
               c.label_set, l.fingerprint AS labels_sha256, c.images, f.name AS finding,
               v.n_positive, v.n_negative, v.auroc_a, v.auroc_b, v.difference, v.ci_low, v.ci_high,
               v.z, v.p, v.p_holm, v.reason, v.patients, v.test
        FROM comparison_result v
        JOIN comparison c ON c.id = v.comparison_id
        JOIN finding f ON f.id = v.finding_id
        JOIN manifest l ON l.id = c.label_manifest_id
        JOIN run run_a ON run_a.id = c.run_a
        JOIN model a ON a.id = run_a.model_id
        JOIN run run_b ON run_b.id = c.run_b
        JOIN model b ON b.id = run_b.model_id
        """,
        "drift": """
        SELECT v.drift_id, c.measured_at, c.run_id, c.baseline_id, v.measure, f.name AS finding,
               v.n, v.n_baseline, v.value, v.value_baseline, v.psi, v.ks, v.p, v.p_holm, v.reason
        FROM drift_result v
        JOIN drift_check c ON c.id = v.drift_id
        LEFT JOIN finding f ON f.id = v.finding_id
        """,
        "deliveries": """
        SELECT d.run_id, i.image_index, d.kind, NULLIF(d.finding, '') AS finding, d.target, d.state,
               d.status, d.sop_instance_uid, d.attempts, d.created_at, d.tried_at, d.sent_at
        FROM delivery d
        JOIN run ON run.id = d.run_id AND run.status <> 'deleting'
        JOIN image i ON i.id = d.image_id
        """,
        "sendings": """
        SELECT n.run_id, n.target, n.formats, n.tls, n.state, n.waits_for, n.waits_since, n.message,
               n.created_at, n.ended_at, s.name AS schedule
        FROM sending n
        JOIN run ON run.id = n.run_id
        LEFT JOIN schedule s ON s.id = run.schedule_id
        """,
        "published": """
        SELECT p.source, f.name AS finding, p.auroc, p.ci_low, p.ci_high, p.citation
        FROM published_auroc p
        JOIN finding f ON f.id = p.finding_id
        """,
        "schedules": """
        SELECT s.name AS schedule, s.cron, s.timezone, s.action, s.margin, s.created_at, s.removed_at,
               d.due_at, d.state, d.begun_at, d.run_id, d.evaluation_id, d.message, s.baseline_id,
               COALESCE(d.waits_for, n.waits_for) AS waits_for,
               COALESCE(d.waits_since, n.waits_since) AS waits_since, n.target AS sent_to, n.state AS sending
        FROM schedule s
        LEFT JOIN schedule_due d ON d.schedule_id = s.id
        LEFT JOIN sending n ON n.run_id = d.run_id
        """,
        "alerts": """
        SELECT a.id AS alert_id, a.raised_at, a.kind, s.name AS schedule, a.due_at,
               COALESCE(e.run_id, d.run_id) AS run_id,
               a.evaluation_id, a.comparison_id, a.message, a.delivered_at, a.drift_id
        FROM alert a
        JOIN schedule s ON s.id = a.schedule_id
        LEFT JOIN evaluation e ON e.id = a.evaluation_id
        LEFT JOIN schedule_due d ON d.schedule_id = a.schedule_id AND d.due_at = a.due_at
        """,
    }


def drop_views(connection: Connection) -> None:
    """Drop the views, so that the tables below them can change."""
    for name in _views(connection.dialect.name):
        connection.execute(text(f"DROP VIEW IF EXISTS {name}"))


def create_views(connection: Connection) -> None:
    """Create the views again; they hold no state, so each upgrade ends with this version's."""
    for name, query in _views(connection.dialect.name).items():
        connection.execute(text(f"CREATE VIEW {name} AS {query}"))
