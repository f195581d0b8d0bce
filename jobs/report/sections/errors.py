"""The section "Worst errors": the labels that the model contradicts most, finding by finding."""

from typing import Final

import numpy as np

from db.answers import Rows
from db.database import Connection, Record
from db.scores import LabelledScores
from jobs.report.rows import image_names, spreads_of

EACH: Final = 2
"""How many images of each finding and kind are shown."""


def worst_errors(connection: Connection, run_id: int, scores: LabelledScores) -> Rows:
    """Return the `EACH` worst images of each finding and kind: the worst of each finding first, by its size.

    `kind`: `missed` (labelled present, below the threshold on the model's card) or `false_alarm` (labelled
    absent, at or above it). `error`: the distance of the probability from the threshold. `rank`: from 1.
    `spread`: of an ensemble's members; None where another run has scored the image.
    """
    found: list[Record] = []
    for column, finding in enumerate(scores.findings):
        p, labels = scores.probabilities[:, column].astype(np.float64), scores.labels[:, column]
        for kind, label, error in (
            ("missed", 1, finding.threshold - p),
            ("false_alarm", 0, p - finding.threshold),
        ):
            wrong = np.flatnonzero((labels == label) & ((error > 0) if label else (error >= 0)))
            # The images' ids rise, so that equal errors are in their order.
            worst = wrong[np.argsort(-error[wrong], kind="stable")[:EACH]]
            found.extend(
                {
                    "finding": finding.name,
                    "kind": kind,
                    "rank": rank,
                    "image_id": int(scores.images[place]),
                    "probability": float(p[place]),
                    "threshold": finding.threshold,
                    "error": float(error[place]),
                }
                for rank, place in enumerate(worst, start=1)
            )
    images = [row["image_id"] for row in found]
    names, spreads = image_names(connection, images), spreads_of(connection, run_id, images)
    found.sort(key=lambda row: (row["rank"], -row["error"]))
    return [
        row
        | {
            "image_index": names[row["image_id"]],
            "spread": spreads.get((row["image_id"], row["finding"])),
        }
        for row in found
    ]
