"""The section "How well each finding is found": an evaluation's figures, beside published ones."""

from collections.abc import Sequence
from statistics import fmean

from db.answers import Rows, read_rows
from db.database import Connection, Record
from jobs.report.rows import Content, in_order


def evaluations(connection: Connection, condition: str, **values: object) -> Rows:
    """Read evaluations, the newest first."""
    return read_rows(
        connection,
        f"""
        SELECT e.evaluation_id, e.run_id, e.state, e.evaluated_at, e.label_set, e.labels, e.labels_sha256,
               e.bootstrap, e.wanted_sensitivity, e.boxes, e.model, e.message, own.label_manifest_id
        FROM evaluations e
        JOIN evaluation own ON own.id = e.evaluation_id
        JOIN run ON run.id = e.run_id
        JOIN manifest ON manifest.id = run.manifest_id
        WHERE {condition}
        ORDER BY e.run_id DESC, e.evaluation_id DESC
        """,  # noqa: S608  # conditions are written in this module
        moments=["evaluated_at"],
        **values,
    )


def aucs(connection: Connection, evaluation_id: int, findings: Sequence[str]) -> Rows:
    """Read the figures of all subgroups, `all` first, in the order of the model's findings."""
    rows = read_rows(
        connection,
        """
        SELECT subgroup, finding, n_positive, n_negative, auroc, ci_low, ci_high, average_precision,
               threshold, sensitivity, specificity, brier, calibration_error, bootstrap_low, bootstrap_high,
               reason, ci_method, patients, without_patient, average_precision_low, average_precision_high,
               brier_low, brier_high
        FROM auc WHERE evaluation_id = :evaluation_id
        """,
        evaluation_id=evaluation_id,
    )
    for row in rows:
        row["reason"] = row["reason"] or _missing_class(row)
    return in_order(rows, findings, lambda row: (row["subgroup"] != "all", row["subgroup"]))


def _missing_class(row: Record) -> str | None:
    """Say why there is no AUROC: the first version of Nightread stored no reason."""
    if row["auroc"] is not None:
        return None
    if not row["n_positive"]:
        return "no positive image" if row["n_negative"] else "no labelled image"
    return "no negative image"


def mean(connection: Connection, evaluation_id: int) -> Record | None:
    """Read the mean AUROC over the findings with patients enough; None if there is no such row."""
    rows = read_rows(
        connection,
        """
        SELECT findings, mean_auroc, ci_low, ci_high, left_out
        FROM auc_mean WHERE evaluation_id = :evaluation_id AND subgroup = 'all'
        """,
        evaluation_id=evaluation_id,
    )
    return rows[0] if rows else None


def published(connection: Connection, figures: Rows, averaged: Record | None) -> dict[str, Content]:
    """Return the sources that know one of the findings, and each finding's AUROCs by source.

    A source's mean is over the findings that are in the mean here, and is None unless it has them all.
    """
    known = {row["finding"] for row in figures}
    left_out = set(((averaged and averaged["left_out"]) or "").split("|"))
    measured = known - left_out if averaged and averaged["findings"] else set()
    sources: dict[str, Content] = {}
    rows = read_rows(connection, "SELECT source, finding, auroc, ci_low, ci_high, citation FROM published")
    for row in sorted(rows, key=lambda row: str(row["source"]).casefold()):
        if row["finding"] in known:
            source = sources.setdefault(row["source"], {"citation": row["citation"], "of": {}})
            source["of"][row["finding"]] = row
    for source in sources.values():
        comparable = measured and measured <= source["of"].keys()
        source["mean"] = fmean(source["of"][finding]["auroc"] for finding in measured) if comparable else None
    return sources
