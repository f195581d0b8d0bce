"""What came in by a run, as arrays: a sample that another run's is compared with."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from db.errors import UnknownRunError
from db.schema.runs import image_result, run
from db.scores import ScoredFinding, read_scores

SEEN: Final = ("feature_distance", "picture_distance", "brightness", "contrast")
"""What a model's gate measures of each image."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The images that a run itself has scored.

    `facts`: a frame of N rows with patient_id, sex, age_years, view_position, flag, and what `SEEN` names:
    NaN without a gate. `probabilities` (N, F) in the order of `findings`.
    """

    model_id: int
    findings: tuple[ScoredFinding, ...]
    facts: pd.DataFrame
    probabilities: NDArray[np.float32]


def read_sample(connection: Connection, run_id: int) -> Sample:
    """Read what a run has scored, without the images that earlier runs did; raises UnknownRunError."""
    found = connection.execute(select(run.c.manifest_id, run.c.model_id).where(run.c.id == run_id)).first()
    if found is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    scores = read_scores(connection, run_id, found.manifest_id, own=True)
    seen = pd.read_sql_query(
        select(image_result.c.image_id, image_result.c.flag, *(image_result.c[name] for name in SEEN)).where(
            image_result.c.run_id == run_id
        ),
        connection,
        index_col="image_id",
    )
    scored = np.isfinite(scores.probabilities).any(axis=1)
    facts = scores.facts[scored].reset_index(drop=True)
    return Sample(
        found.model_id,
        scores.findings,
        pd.concat([facts, seen.reindex(scores.images[scored]).reset_index(drop=True)], axis=1),
        scores.probabilities[scored],
    )
