"""The section "Run and model": how the run was made, and its outcomes counted."""

from db.answers import read_rows
from db.database import Connection, Record


def facts(connection: Connection, run_id: int) -> Record:
    """Read what the views do not have: how the run was made, and its outcomes counted one by one.

    One statement sees one moment of a run that is still going on.
    """
    (facts,) = read_rows(
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


def contents(connection: Connection, run_id: int) -> Record:
    """Count a run's images by whether their bytes are those that were read before; see the view `contents`.

    `read`: images of which it is known which bytes were read; `before`: those of them that were read before.
    """
    (counts,) = read_rows(
        connection,
        """
        SELECT COUNT(*) AS read, COUNT(changed) AS before, COALESCE(SUM(changed), 0) AS changed
        FROM contents WHERE run_id = :run_id
        """,
        run_id=run_id,
    )
    return counts
