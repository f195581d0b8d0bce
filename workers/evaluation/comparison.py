"""Whether one run is better than another: the paired test on the images that both have scored."""

from dataclasses import asdict
from typing import Final

import numpy as np

from db.comparisons import Comparisons
from db.database import Database, Record
from db.scores import UNKNOWN, read_scores
from workers.metrics.compare import compare_aurocs, holm
from workers.metrics.patients import number_patients

SIGNIFICANT: Final = 0.05
"""The level of p, corrected by Holm's method for the number of findings."""

_COLUMNS: Final = ("n_positive", "n_negative", "auroc_a", "auroc_b", "difference", "ci_low", "ci_high", "z")


def compare_runs(database: Database, run_a: int, run_b: int, label_manifest_id: int) -> Comparisons:
    """Compare run A with run B, finding by finding, against one label set.

    Raises UnknownRunError for a run that does not exist. The findings are those that both models have; p is
    corrected over them by Holm's method.
    """
    with database.read() as connection:
        a = read_scores(connection, run_a, label_manifest_id)
        b = read_scores(connection, run_b, label_manifest_id)
    of_b = {finding.finding_id: column for column, finding in enumerate(b.findings)}
    both = np.isfinite(a.probabilities).any(axis=1) & np.isfinite(b.probabilities).any(axis=1)
    patients = number_patients(a.facts["patient_id"].to_numpy(dtype=object))
    rows: list[Record] = []
    for column, finding in enumerate(a.findings):
        if finding.finding_id not in of_b:
            continue
        scores_a, scores_b = a.probabilities[:, column], b.probabilities[:, of_b[finding.finding_id]]
        missing = np.isnan(scores_a) | np.isnan(scores_b)
        labels = np.where(missing, np.int8(UNKNOWN), a.labels[:, column])
        found = asdict(compare_aurocs(labels, scores_a, scores_b, patients=patients.numbers))
        row = {"finding_id": finding.finding_id, "finding": finding.name}
        row |= {name: found[name] for name in ("p", "test", "reason")}
        row["patients"] = patients[labels != UNKNOWN].count()
        rows.append(row | {name: found[name] for name in _COLUMNS})
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return Comparisons(int(np.count_nonzero(both)), rows)
