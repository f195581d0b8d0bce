"""From a run's measured segments in SQL to the summary of each class, region and measure."""

from dataclasses import asdict
from itertools import groupby
from operator import attrgetter

from db.database import Database
from db.evaluations import EvaluationClaim, Figures
from db.schema.segmentations import MEASURES
from db.segmentations import read_measures
from workers.metrics.cases import case_mean


def evaluate_segmentation(database: Database, held: EvaluationClaim) -> Figures:
    """Summarise a run's labelled cases; labels are compared as cases are segmented, and nowhere else."""
    with database.read() as connection:
        measured = read_measures(connection, held.run_id)
    figures = Figures()
    for finding_id, found in groupby(measured, attrgetter("finding_id")):
        cases = list(found)
        patients = [case.patient_id for case in cases]
        for place, measure in enumerate(MEASURES):
            values = [case.measures[place] for case in cases]
            if any(value is not None for value in values) or measure != "soft_dice":
                summary = asdict(case_mean(values, patients))
                figures.segments.append({"finding_id": finding_id, "measure": measure} | summary)
    return figures
