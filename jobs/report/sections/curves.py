"""The section "Curves and calibration": the stored points of each finding, drawn."""

from collections.abc import Mapping

from db.answers import Rows, read_rows
from db.database import Connection, Record
from jobs.report import plots
from jobs.report.rows import Content


def drawn(
    connection: Connection, evaluation_id: int, aucs: Rows, at_card: Mapping[str, Record]
) -> dict[str, Content]:
    """Draw the curves of each finding; `at_card`: its row of thresholds at the card's threshold."""
    return plots.plots(
        [row | {"card": at_card.get(row["finding"])} for row in aucs],
        _curves(connection, evaluation_id),
        _bins(connection, evaluation_id),
    )


def _curves(connection: Connection, evaluation_id: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return each finding's points (x, y), from the highest threshold to the lowest, by finding and curve."""
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in read_rows(
        connection,
        "SELECT finding, curve, x, y FROM curves WHERE evaluation_id = :evaluation_id ORDER BY point",
        evaluation_id=evaluation_id,
    ):
        curves.setdefault((row["finding"], row["curve"]), []).append((row["x"], row["y"]))
    return curves


def _bins(connection: Connection, evaluation_id: int) -> dict[str, list[Record]]:
    """Return each finding's bins with an image."""
    bins: dict[str, list[Record]] = {}
    for row in read_rows(
        connection,
        """
        SELECT finding, mean_probability, share_positive, share_low, share_high, images FROM calibration
        WHERE evaluation_id = :evaluation_id AND mean_probability IS NOT NULL AND share_positive IS NOT NULL
        ORDER BY bin
        """,
        evaluation_id=evaluation_id,
    ):
        bins.setdefault(row["finding"], []).append(row)
    return bins
