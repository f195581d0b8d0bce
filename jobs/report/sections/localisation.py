"""The section "Localisation": how well the maps point at the boxes that people drew."""

from collections.abc import Sequence

from db.answers import Rows, read_rows
from db.database import Connection
from jobs.report.rows import in_order


def localisation(connection: Connection, evaluation_id: int, findings: Sequence[str]) -> Rows:
    """Read what an evaluation with boxes found, finding by finding; empty without boxes."""
    rows = read_rows(
        connection,
        """
        SELECT finding, images, hits, pointing, ci_low, ci_high, mean_iou, mean_iou_low, mean_iou_high,
               reason, boxes
        FROM localisation WHERE evaluation_id = :evaluation_id
        """,
        evaluation_id=evaluation_id,
    )
    return in_order(rows, findings)
