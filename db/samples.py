"""What came in by a run, as arrays: a sample that another run's is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from db.errors import UnknownRunError
from db.schema.runs import image_result, run
from db.scores import Facts, ScoredFinding, read_columns, read_scores

SEEN: Final = ("feature_distance", "picture_distance", "brightness", "contrast")
"""What a model's gate measures of each image."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The images that a run itself has scored.

    `facts`: of N images. `flagged` (N,): 1 or 0, and `seen`: what `SEEN` names, each (N,); NaN without a
    gate. `probabilities` (N, F) in the order of `findings`.
    """

    model_id: int
    findings: tuple[ScoredFinding, ...]
    facts: Facts
    flagged: NDArray[np.float64]
    seen: Mapping[str, NDArray[np.float64]]
    probabilities: NDArray[np.float32]


def read_sample(connection: Connection, run_id: int) -> Sample:
    """Read what a run has scored, without the images that earlier runs did; raises UnknownRunError."""
    found = connection.execute(select(run.c.manifest_id, run.c.model_id).where(run.c.id == run_id)).first()
    if found is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    # First: then each image whose score is seen has a row here, even in a run that is being deleted.
    measured = read_columns(
        connection,
        select(image_result.c.image_id, image_result.c.flag, *(image_result.c[name] for name in SEEN))
        .where(image_result.c.run_id == run_id)
        .order_by(image_result.c.image_id),
    )
    scores = read_scores(connection, run_id, found.manifest_id, own=True)
    scored = np.flatnonzero(np.isfinite(scores.probabilities).any(axis=1))
    rows = np.searchsorted(measured["image_id"].astype(np.int64), scores.images[scored])
    seen = {name: measured[name][rows].astype(np.float64) for name in SEEN}
    flagged = (measured["flag"][rows] != None).astype(np.float64)  # noqa: E711 - of each
    return Sample(
        found.model_id,
        scores.findings,
        scores.facts[scored],
        np.where(np.isnan(seen[SEEN[0]]), np.nan, flagged),
        seen,
        scores.probabilities[scored],
    )
