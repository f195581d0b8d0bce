"""The section "Quality": what the model's gate says of the images that were scored."""

from collections import Counter
from typing import Final

import numpy as np

from db.answers import read_rows
from db.database import Connection
from jobs.report import plots
from jobs.report.rows import Content, image_names

_SHOWN: Final = 6
"""How many of the images that do not pass are shown: the farthest."""

_DISTANCES: Final = {"feature_distance": "features", "picture_distance": "greys"}


def quality(connection: Connection, run_id: int) -> Content | None:
    """Count a run's images by the gate's flag; None where no gate has looked at one.

    `flags`: the commonest first, with an image each. `farthest`: the rows of the view of some that have one.
    """
    rows = read_rows(
        connection,
        """
        SELECT t.image_id, t.flag, t.feature_distance, t.picture_distance
        FROM image_result t WHERE t.run_id = :run_id AND t.feature_distance IS NOT NULL
        """,
        run_id=run_id,
    )
    if not rows:
        return None
    flagged = [row for row in rows if row["flag"] is not None]
    flagged.sort(key=lambda row: (-max(row[name] or 0 for name in _DISTANCES), row["image_id"]))
    farthest = flagged[:_SHOWN]
    names = image_names(connection, (row["image_id"] for row in farthest))
    return {
        "images": len(rows),
        "flagged": len(flagged),
        "flags": Counter(row["flag"] for row in flagged).most_common(),
        "farthest": [row | {"image_index": names[row["image_id"]]} for row in farthest],
        "plot": plots.distances(
            {
                name: np.array([row[column] for row in rows if row[column] is not None])
                for column, name in _DISTANCES.items()
            }
        ),
    }
