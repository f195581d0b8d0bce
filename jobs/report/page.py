"""What stands in the report of a run: read from the views, in the order of the page, for its template."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from sqlalchemy import Connection, Text, bindparam, text

from db import queries
from db.database import Database
from db.schema.base import UtcDateTime
from db.states import EvaluationState
from jobs.report import plots as report_plots

PICTURES: Final = 3
"""So many overlays of each finding are shown, those of the highest probabilities."""

_KINDS: Final = ("card", "0.5", "youden", "sensitivity")

Rows = list[dict[str, Any]]


def page_content(database: Database, overlays: Path, run_id: int) -> dict[str, Any]:
    """Read what the page says, a name for each of its sections; UnknownRunError if there is no such run.

    `overlays`: the folder that the paths of overlays are relative to.
    """
    run = queries.progress(database, run_id)
    card = queries.model_card(database, run_id)
    findings: list[str] = card["findings"]
    with database.read_only() as connection:
        facts = _facts(connection, run_id)
        newest = _evaluations(connection, "e.run_id = :run_id", run_id=run_id)
        evaluation = next((one for one in newest if one["state"] == EvaluationState.DONE), None)
        figures = _figures(connection, evaluation["evaluation_id"], findings) if evaluation else {}
        comparison = _comparison(connection, run_id, findings)
        change = None
        if not comparison and evaluation:
            change = _plain_change(connection, run_id, evaluation, figures["aucs"])
        highest = _highest_overlays(connection, run_id)
    return {
        "written_at": datetime.now(UTC),
        "nightread": version("nightread"),
        "run": run,
        "duration": timedelta(seconds=round((run.finished_at - run.started_at).total_seconds()))
        if run.started_at and run.finished_at
        else None,
        "facts": facts,
        "card": card,
        "newest": newest[0] if newest else None,
        "evaluation": evaluation,
        **figures,
        "comparison": comparison,
        "change": change,
        "most_pictures": PICTURES,
        "gallery": report_plots.gallery(overlays, findings, highest),
        "failures": queries.failure_reasons(database, run_id),
    }


def _rows(connection: Connection, query: str, moments: Sequence[str] = (), **values: Any) -> Rows:
    asked = text(query).columns(**dict.fromkeys(moments, UtcDateTime))
    return [dict(row) for row in connection.execute(asked, values).mappings()]


def _facts(connection: Connection, run_id: int) -> dict[str, Any]:
    """Read what the views do not have: how the run was made, and its outcomes counted one by one.

    In one statement, which sees one moment of a run that still goes on.
    """
    (facts,) = _rows(
        connection,
        """
        SELECT run.created_at, run.version, run.heatmaps, run.only_new, run.calibrated_by,
               manifest.fingerprint, manifest.rows AS manifest_rows,
               p.images, p.scored, p.failed, p.pending,
               (SELECT COUNT(*) FROM image_result t WHERE t.run_id = run.id AND t.status = 'scored')
                 AS counted_scored,
               (SELECT COUNT(*) FROM image_result t WHERE t.run_id = run.id AND t.status = 'failed')
                 AS counted_failed
        FROM run
        JOIN manifest ON manifest.id = run.manifest_id
        JOIN progress p ON p.run_id = run.id
        WHERE run.id = :run_id
        """,
        moments=["created_at"],
        run_id=run_id,
    )
    return facts


def _evaluations(connection: Connection, condition: str, **values: Any) -> Rows:
    """Read evaluations, the newest first."""
    return _rows(
        connection,
        f"""
        SELECT e.evaluation_id, e.run_id, e.state, e.evaluated_at, e.label_set, e.labels, e.labels_sha256,
               e.bootstrap, e.wanted_sensitivity, e.boxes, e.model, e.message
        FROM evaluations e
        JOIN run ON run.id = e.run_id
        JOIN manifest ON manifest.id = run.manifest_id
        WHERE {condition}
        ORDER BY e.run_id DESC, e.evaluation_id DESC
        """,  # noqa: S608  # conditions are written in this module
        moments=["evaluated_at"],
        **values,
    )


def _figures(connection: Connection, evaluation_id: int, findings: list[str]) -> dict[str, Any]:
    """Read all that an evaluation says, in the order of the model's findings."""
    rows = _aucs(connection, evaluation_id, findings)
    aucs = [row for row in rows if row["subgroup"] == "all"]
    thresholds = _thresholds(connection, evaluation_id, findings)
    at_card = {finding: row for finding, of in thresholds for row in of if row["kind"] == "card"}
    return {
        "aucs": aucs,
        "mean": _mean(connection, evaluation_id),
        "published": _published(connection, aucs),
        "plots": report_plots.plots(
            [row | {"card": at_card.get(row["finding"])} for row in aucs],
            _curves(connection, evaluation_id),
            _bins(connection, evaluation_id),
        ),
        "thresholds": thresholds,
        **_subgroups(rows),
        "localisation": _localisation(connection, evaluation_id, findings),
    }


def _aucs(connection: Connection, evaluation_id: int, findings: list[str]) -> Rows:
    rows = _rows(
        connection,
        """
        SELECT subgroup, finding, n_positive, n_negative, auroc, ci_low, ci_high, average_precision,
               threshold, sensitivity, specificity, brier, calibration_error, bootstrap_low, bootstrap_high,
               reason
        FROM auc WHERE evaluation_id = :evaluation_id
        """,
        evaluation_id=evaluation_id,
    )
    for row in rows:
        row["reason"] = row["reason"] or _missing_class(row)
    return _in_order(rows, findings, lambda row: (row["subgroup"] != "all", row["subgroup"]))


def _missing_class(row: dict[str, Any]) -> str | None:
    """Say why there is no AUROC: the first version of Nightread stored no reason."""
    if row["auroc"] is not None:
        return None
    if not row["n_positive"]:
        return "no positive image" if row["n_negative"] else "no labelled image"
    return "no negative image"


def _in_order(rows: Rows, findings: list[str], within: Any = lambda _: 0) -> Rows:
    """Sort rows by their finding's place in the model, then by `within`."""
    places = {finding: place for place, finding in enumerate(findings)}
    return sorted(rows, key=lambda row: (places.get(row["finding"], len(places)), within(row)))


def _mean(connection: Connection, evaluation_id: int) -> dict[str, Any] | None:
    rows = _rows(
        connection,
        "SELECT findings, mean_auroc FROM auc_mean WHERE evaluation_id = :evaluation_id AND subgroup = 'all'",
        evaluation_id=evaluation_id,
    )
    return rows[0] if rows else None


def _published(connection: Connection, aucs: Rows) -> dict[str, Any]:
    """Give the sources that know one of the findings, and each finding's AUROCs by source.

    A source's mean is over those findings that have an AUROC here too, and stands only where it has them all.
    """
    known = {row["finding"] for row in aucs}
    measured = {row["finding"] for row in aucs if row["auroc"] is not None}
    sources: dict[str, Any] = {}
    rows = _rows(connection, "SELECT source, finding, auroc, ci_low, ci_high, citation FROM published")
    for row in sorted(rows, key=lambda row: str(row["source"]).casefold()):
        if row["finding"] in known:
            source = sources.setdefault(row["source"], {"citation": row["citation"], "of": {}})
            source["of"][row["finding"]] = row
    for source in sources.values():
        comparable = measured and measured <= source["of"].keys()
        source["mean"] = fmean(source["of"][one]["auroc"] for one in measured) if comparable else None
    return sources


def _curves(connection: Connection, evaluation_id: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Give each finding's points (x, y), from the highest threshold to the lowest, by finding and curve."""
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in _rows(
        connection,
        "SELECT finding, curve, x, y FROM curves WHERE evaluation_id = :evaluation_id ORDER BY point",
        evaluation_id=evaluation_id,
    ):
        curves.setdefault((row["finding"], row["curve"]), []).append((row["x"], row["y"]))
    return curves


def _bins(connection: Connection, evaluation_id: int) -> dict[str, list[tuple[float, float, int]]]:
    """Give each finding's bins with an image: mean probability, share of positive images, images."""
    bins: dict[str, list[tuple[float, float, int]]] = {}
    for row in _rows(
        connection,
        """
        SELECT finding, mean_probability, share_positive, images FROM calibration
        WHERE evaluation_id = :evaluation_id AND mean_probability IS NOT NULL AND share_positive IS NOT NULL
        ORDER BY bin
        """,
        evaluation_id=evaluation_id,
    ):
        bins.setdefault(row["finding"], []).append(
            (row["mean_probability"], row["share_positive"], row["images"])
        )
    return bins


def _thresholds(connection: Connection, evaluation_id: int, findings: list[str]) -> list[tuple[str, Rows]]:
    """Give each finding's thresholds, the card's first."""
    rows = _rows(
        connection,
        """
        SELECT finding, kind, threshold, tp, fp, tn, fn, sensitivity, sensitivity_low, sensitivity_high,
               specificity, specificity_low, specificity_high, ppv, ppv_low, ppv_high,
               npv, npv_low, npv_high, f1, accuracy, prevalence, reason
        FROM thresholds WHERE evaluation_id = :evaluation_id AND subgroup = 'all'
        """,
        evaluation_id=evaluation_id,
    )
    ordered = _in_order(rows, findings, lambda row: _KINDS.index(row["kind"]))
    return [(finding, list(of)) for finding, of in groupby(ordered, key=lambda row: str(row["finding"]))]


def _subgroups(rows: Rows) -> dict[str, Any]:
    """Give the subgroups' names, `all` first, and a finding's rows by them; nothing where `all` is alone."""
    names = sorted({row["subgroup"] for row in rows}, key=lambda name: (name != "all", name))
    if len(names) == 1:
        names = []
    by_finding: dict[str, dict[str, Any]] = {}
    for row in rows:
        by_finding.setdefault(row["finding"], {})[row["subgroup"]] = row
    return {
        "subgroups": names,
        "by_subgroup": by_finding,
        "whiskers": report_plots.whisker_plots(names, by_finding) if names else [],
    }


def _localisation(connection: Connection, evaluation_id: int, findings: list[str]) -> Rows:
    rows = _rows(
        connection,
        """
        SELECT finding, images, hits, pointing, ci_low, ci_high, mean_iou, reason, boxes
        FROM localisation WHERE evaluation_id = :evaluation_id
        """,
        evaluation_id=evaluation_id,
    )
    return _in_order(rows, findings)


def _comparison(connection: Connection, run_id: int, findings: list[str]) -> Rows:
    """Read the newest comparison that has this run on either side."""
    rows = _rows(
        connection,
        """
        SELECT compared_at, run_a, run_b, model_a, model_b, label_set, images, finding,
               n_positive, n_negative, auroc_a, auroc_b, difference, ci_low, ci_high, p, p_holm, reason
        FROM comparisons
        WHERE comparison_id = (SELECT MAX(comparison_id) FROM comparisons
                               WHERE run_a = :run_id OR run_b = :run_id)
        """,
        moments=["compared_at"],
        run_id=run_id,
    )
    return _in_order(rows, findings)


def _plain_change(
    connection: Connection, run_id: int, evaluation: dict[str, Any], aucs: Rows
) -> dict[str, Any] | None:
    """Set the figures beside those of the last complete run of the same archive, where both have some."""
    earlier = _evaluations(
        connection,
        """
        e.state = 'done' AND e.run_id < :run_id AND run.status = 'complete'
        AND manifest.archive_id = (SELECT m.archive_id FROM manifest m JOIN run r ON r.manifest_id = m.id
                                   WHERE r.id = :run_id)
        """,
        run_id=run_id,
    )
    if not earlier:
        return None
    then = {
        row["finding"]: row
        for row in _aucs(connection, earlier[0]["evaluation_id"], [])
        if row["subgroup"] == "all"
    }
    rows = [
        {"finding": row["finding"], "now": row["auroc"], "then": then[row["finding"]]["auroc"]}
        for row in aucs
        if row["finding"] in then
    ]
    same_labels = earlier[0]["labels_sha256"] == evaluation["labels_sha256"]
    return {"evaluation": earlier[0], "same_labels": same_labels, "rows": rows} if rows else None


def _highest_overlays(connection: Connection, run_id: int) -> Rows:
    rows = _rows(
        connection,
        """
        SELECT finding, image_index, probability, threshold, overlay_path, place
        FROM (SELECT finding, image_index, probability, threshold, overlay_path,
                     ROW_NUMBER() OVER (PARTITION BY finding ORDER BY probability DESC, image_index) AS place
              FROM heatmaps
              WHERE run_id = :run_id AND overlay_path IS NOT NULL) ranked
        WHERE place <= :pictures
        ORDER BY place
        """,
        run_id=run_id,
        pictures=PICTURES,
    )
    # The view `scores` is asked for these few images only: joined as a whole it takes minutes on an archive.
    asked = text(
        "SELECT image_index, finding, label FROM scores WHERE run_id = :run_id AND image_index IN :images"
    ).bindparams(bindparam("images", type_=Text, expanding=True))
    images = [row["image_index"] for row in rows]
    labels = {
        (row.image_index, row.finding): row.label
        for row in connection.execute(asked, {"run_id": run_id, "images": images})
    }
    return [row | {"label": labels.get((row["image_index"], row["finding"]))} for row in rows]
