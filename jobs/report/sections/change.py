"""The section "Change since": this run beside another, with a test if the two were compared."""

from collections.abc import Sequence

from db.answers import Rows, read_rows
from db.database import Connection, Record
from jobs.report.rows import Content, in_order
from jobs.report.sections.auroc import aucs, evaluations


def comparison(connection: Connection, run_id: int, findings: Sequence[str]) -> Rows:
    """Read the newest comparison that has this run on either side."""
    rows = read_rows(
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
    return in_order(rows, findings)


def plain_change(connection: Connection, run_id: int, evaluation: Record, figures: Rows) -> Content | None:
    """Set the figures beside those of the last complete run of the same archive, where both have some."""
    earlier = evaluations(
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
        for row in aucs(connection, earlier[0]["evaluation_id"], [])
        if row["subgroup"] == "all"
    }
    rows = [
        {"finding": row["finding"], "now": row["auroc"], "then": then[row["finding"]]["auroc"]}
        for row in figures
        if row["finding"] in then
    ]
    same_labels = earlier[0]["labels_sha256"] == evaluation["labels_sha256"]
    return {"evaluation": earlier[0], "same_labels": same_labels, "rows": rows} if rows else None
