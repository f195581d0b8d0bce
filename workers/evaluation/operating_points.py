"""Whether operating points keep on other images what they promised on those that chose them."""

from dataclasses import asdict

import numpy as np

from db.database import Database, Record
from db.operating_points import ChosenPoints
from db.scores import UNKNOWN, read_scores
from workers.metrics.patients import number_patients
from workers.metrics.thresholds import confusion


def judge_points(
    database: Database, run_id: int, label_manifest_id: int, chosen: ChosenPoints
) -> list[Record]:
    """Count the calls at each chosen threshold against a run's labels: rows of `operating_result`.

    Raises UnknownRunError.
    """
    with database.read() as connection:
        scores = read_scores(connection, run_id, label_manifest_id)
    patients = number_patients(scores.facts["patient_id"].to_numpy(dtype=object)).numbers
    rows: list[Record] = []
    for column, finding in enumerate(scores.findings):
        p = scores.probabilities[:, column]
        labels = np.where(np.isnan(p), np.int8(UNKNOWN), scores.labels[:, column])
        for kind, threshold in chosen.by_finding.get(finding.finding_id, ()):
            calls = asdict(confusion(labels, p, threshold, patients))
            rows.append({"finding_id": finding.finding_id, "kind": kind} | calls)
    return rows
