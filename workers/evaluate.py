"""From a run's scores and the labels in SQL to the rows of an evaluation."""

from dataclasses import asdict
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from db.database import Database
from db.evaluations import EvaluationClaim, ScoredFinding, finding_frame, run_findings
from workers.evaluation.summary import summarise

_UNKNOWN: Final = -1


def evaluate_run(database: Database, held: EvaluationClaim) -> list[tuple[int, str, dict[str, Any]]]:
    """Compute each finding's figures over all images: (finding id, subgroup, figures)."""
    results = []
    with database.read() as connection:
        for one in run_findings(connection, held.run_id, held.label_manifest_id):
            frame = finding_frame(connection, held, one.finding_id)
            figures = asdict(
                summarise(
                    one.name,
                    _labels(frame["labels"], one),
                    frame["probability"].to_numpy(dtype=np.float32),
                    one.threshold,
                )
            )
            del figures["finding"]
            results.append((one.finding_id, "all", figures))
    return results


def _labels(labels: "pd.Series[str]", one: ScoredFinding) -> NDArray[np.int8]:
    """Read a finding's labels out of the label strings: 1, 0, or -1 where unknown."""
    if one.position is None or labels.empty:
        return np.full(len(labels), _UNKNOWN, dtype=np.int8)
    # An archive has few distinct label strings: the character is looked up once in each.
    codes, distinct = pd.factorize(labels)
    values = [{"0": 0, "1": 1}.get(text[one.position], _UNKNOWN) for text in distinct]
    known: NDArray[np.int8] = np.asarray(values, dtype=np.int8)[codes]
    return known
