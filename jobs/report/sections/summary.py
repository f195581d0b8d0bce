"""The first screen: what a reader wants to know before any table."""

from collections.abc import Mapping

from db.answers import Rows, read_rows
from db.database import Connection, Record
from jobs.report import plots
from jobs.report.rows import Content


def summary(rows: Rows, averaged: Record | None, references: Mapping[str, Content]) -> Content:
    """Return the best and the worst finding, and the plot of all; both are of the findings in the mean.

    `rows`: figures over all images, in the model's order. `averaged`: their mean, None without any.
    `references`: published figures, by source.
    """
    left_out = set(((averaged and averaged["left_out"]) or "").split("|"))
    measured = [row for row in rows if row["auroc"] is not None]
    sound = [row for row in measured if averaged and row["finding"] not in left_out]
    ranked = sorted(sound, key=lambda row: -row["auroc"])
    return {
        "best": ranked[0] if ranked else None,
        "worst": ranked[-1] if len(ranked) > 1 else None,
        "forest": plots.forest(measured, {row["finding"] for row in sound}, averaged, references)
        if measured
        else None,
    }


def alerts(connection: Connection, run_id: int) -> Rows:
    """Read the alerts that this run raised, oldest first."""
    return read_rows(
        connection,
        "SELECT alert_id, raised_at, message FROM alerts WHERE run_id = :run_id ORDER BY alert_id",
        moments=["raised_at"],
        run_id=run_id,
    )


def first_images(connection: Connection, run_id: int, images: int) -> Rows:
    """Read the first images of the run's worklist, in the order of the view of that name.

    Each of them has one of the highest probabilities of its finding; only those are put in order. The view
    does it with all of the run, which takes half a minute on an archive.
    """
    findings = read_rows(
        connection,
        """
        SELECT m.finding_id FROM model_finding m JOIN run ON run.model_id = m.model_id
        WHERE run.id = :run_id
        """,
        run_id=run_id,
    )
    highest = " UNION ALL ".join(
        f"""
        SELECT * FROM (SELECT run_id, image_id, finding_id, probability, spread FROM score
                       WHERE run_id = :run_id AND finding_id = {row["finding_id"]:d}
                       ORDER BY probability DESC, image_id LIMIT :images) of_{row["finding_id"]:d}
        """  # noqa: S608  # made of numbers
        for row in findings
    )
    return read_rows(
        connection,
        f"""
        WITH counts AS (
            SELECT finding_id, COUNT(*) AS scored FROM score WHERE run_id = :run_id GROUP BY finding_id
        ),
        high AS (
            SELECT h.*, m.threshold,
                   CASE WHEN h.probability >= m.threshold THEN 1 ELSE 0 END AS is_over,
                   -- CUME_DIST over all: the share of the probabilities of the finding that is not higher.
                   1 - CAST(RANK() OVER (PARTITION BY h.finding_id ORDER BY h.probability DESC) - 1
                            AS DOUBLE PRECISION) / counts.scored AS percentile
            FROM ({highest}) h
            JOIN counts ON counts.finding_id = h.finding_id
            JOIN run ON run.id = h.run_id
            JOIN model_finding m ON m.model_id = run.model_id AND m.finding_id = h.finding_id
        ),
        reasons AS (
            SELECT high.*, ROW_NUMBER() OVER (PARTITION BY image_id ORDER BY is_over DESC, percentile DESC,
                                              probability DESC, finding_id) AS reason
            FROM high
        )
        SELECT ROW_NUMBER() OVER (ORDER BY w.is_over DESC, w.percentile DESC, w.probability DESC, w.image_id)
                   AS place,
               i.image_index, f.name AS finding, w.probability, w.threshold, w.percentile,
               (SELECT COUNT(*) FROM score s
                JOIN run ON run.id = s.run_id
                JOIN model_finding m ON m.model_id = run.model_id AND m.finding_id = s.finding_id
                WHERE s.run_id = w.run_id AND s.image_id = w.image_id
                  AND s.probability >= m.threshold) AS flagged,
               w.spread
        FROM reasons w
        JOIN image i ON i.id = w.image_id
        JOIN finding f ON f.id = w.finding_id
        WHERE w.reason = 1
        ORDER BY place
        LIMIT :images
        """,  # noqa: S608  # made of the queries above
        run_id=run_id,
        images=images,
    )
