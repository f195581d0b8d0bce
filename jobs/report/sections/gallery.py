"""The section "Highest-scored heatmaps": a few overlays of each finding."""

from typing import Final

from db.answers import Rows, read_rows
from db.database import Connection

PICTURES: Final = 3
"""How many overlays of each finding are shown: those of the highest probabilities."""


def highest_overlays(connection: Connection, run_id: int) -> Rows:
    """Read which overlays are shown, with each image's label for the finding."""
    rows = read_rows(
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
    # The view `scores` is queried for these few images only: joined whole it takes minutes on an archive.
    labelled = read_rows(
        connection,
        "SELECT image_index, finding, label FROM scores WHERE run_id = :run_id AND image_index IN :images",
        run_id=run_id,
        images=[row["image_index"] for row in rows],
    )
    labels = {(row["image_index"], row["finding"]): row["label"] for row in labelled}
    return [row | {"label": labels.get((row["image_index"], row["finding"]))} for row in rows]
