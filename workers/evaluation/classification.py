"""From a classification's scores and a label set in SQL to the rows of an evaluation."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from db.database import Database, Record
from db.evaluations import EvaluationClaim, Figures
from db.scores import UNKNOWN, LabelledScores, read_scores
from workers.evaluation.clinical import add_clinical
from workers.evaluation.localisation import localise_run
from workers.metrics.calibration import bin_intervals, fit_platt
from workers.metrics.curves import precision_band, precision_recall, roc, roc_band
from workers.metrics.interval import Interval
from workers.metrics.mean import ENOUGH, mean_auroc
from workers.metrics.patients import number_patients
from workers.metrics.summary import Summary, summarise

ALL: Final = "all"

_AGES: Final = ((18, "0-17"), (40, "18-39"), (60, "40-59"), (80, "60-79"), (float("inf"), "80+"))
"""Bands of age in years: an age belongs to the first band whose end is above it."""


MOST_VIEWS: Final = 20
"""More than any archive's views; a column of other text would have a group for each image."""


def evaluate_classification(database: Database, held: EvaluationClaim) -> Figures:
    """Compute the figures of every finding, over all images and in each subgroup."""
    with database.read() as connection:
        scores = read_scores(connection, held.run_id, held.label_manifest_id)
    figures = figures_of(scores, resamples=held.bootstrap, wanted_sensitivity=held.wanted_sensitivity)
    if held.box_set_id is not None:
        figures.localisations.extend(localise_run(database, held.run_id, held.box_set_id))
    return figures


def figures_of(
    scores: LabelledScores, *, resamples: int = 0, wanted_sensitivity: float | None = None
) -> Figures:
    """Compute the figures of arrays; an image without a score for a finding is left out of it."""
    figures = Figures()
    groups = list(subgroups(scores.facts))
    patients = number_patients(scores.facts["patient_id"].to_numpy(dtype=object))
    labels = np.where(np.isnan(scores.probabilities), np.int8(UNKNOWN), scores.labels)
    for subgroup, members in groups:
        averaged: list[Interval] = []
        left_out: list[str] = []
        for column, finding in enumerate(scores.findings):
            of, p = labels[:, column], scores.probabilities[:, column]
            summary = summarise(
                of[members],
                p[members],
                threshold=finding.threshold,
                wanted_sensitivity=wanted_sensitivity,
                patients=patients[members],
                resamples=resamples,
            )
            key = {"finding_id": finding.finding_id, "subgroup": subgroup}
            row = key | asdict(summary.figures)
            if subgroup == ALL:
                row |= _platt(of, p)
                _add_plots(figures, finding.finding_id, of, p, patients.numbers, summary)
                add_clinical(figures, finding.finding_id, of, p, patients.numbers)
            figures.results.append(row)
            figures.thresholds.extend(
                key | {"kind": kind} | asdict(calls) for kind, calls in summary.calls.items()
            )
            if summary.area.rarer >= ENOUGH:
                averaged.append(summary.area)
            else:
                left_out.append(finding.name)
        figures.means.append(_mean(subgroup, averaged, left_out))
    return figures


def _mean(subgroup: str, averaged: list[Interval], left_out: list[str]) -> Record:
    mean = mean_auroc(averaged)
    return {
        "subgroup": subgroup,
        "findings": len(averaged),
        "mean_auroc": mean.auroc,
        "ci_low": mean.low,
        "ci_high": mean.high,
        "left_out": "|".join(left_out) or None,
    }


def subgroups(facts: pd.DataFrame) -> Iterator[tuple[str, slice | NDArray[np.intp]]]:
    """Return each subgroup that has an image: its name, and its images' positions among the rows of `facts`.

    An image without the fact is in none of its groups. The first subgroup, `all`, is every image. Of views,
    the `MOST_VIEWS` that have the most images are groups.
    """
    yield ALL, slice(None)
    ages = facts["age_years"].to_numpy(dtype=np.float64)
    bands = np.array([name for _, name in _AGES], dtype=object)[
        np.searchsorted([end for end, _ in _AGES], np.nan_to_num(ages), side="right")
    ]
    for name, values in (
        ("sex", facts["sex"]),
        ("age", pd.Series(np.where(np.isnan(ages), None, bands), dtype=object)),
        ("view", facts["view_position"]),
    ):
        codes, distinct = pd.factorize(values, sort=True)
        counts = np.bincount(codes[codes >= 0], minlength=distinct.size)
        # Of equally frequent ones, those that come first in the alphabet.
        for code in np.sort(np.argsort(-counts, kind="stable")[:MOST_VIEWS]):
            yield f"{name}={distinct[code]}", np.flatnonzero(codes == code)


def _platt(labels: NDArray[np.int8], p: NDArray[np.float32]) -> dict[str, float | None]:
    fit = fit_platt(labels, p)
    return {"platt_slope": fit.slope, "platt_intercept": fit.intercept}


def _add_plots(
    figures: Figures,
    finding_id: int,
    labels: NDArray[np.int8],
    p: NDArray[np.float32],
    patients: NDArray[np.intp],
    summary: Summary,
) -> None:
    key = {"finding_id": finding_id}
    bounds = bin_intervals(labels, summary.calibration, patients)
    for number, (bin_, (low, high)) in enumerate(zip(summary.calibration.bins, bounds, strict=True)):
        shares = {"share_positive": bin_.observed, "share_low": low, "share_high": high}
        figures.bins.append(
            key
            | {"bin": number, "lower": bin_.lower, "upper": bin_.upper, "images": bin_.n}
            | {"mean_probability": bin_.mean_probability}
            | shares
        )
    for name, draw, band in (
        ("roc", roc, roc_band),
        ("precision_recall", precision_recall, precision_band),
    ):
        curve = draw(labels, p)
        points = zip(curve.x, curve.y, curve.thresholds, band(curve, labels, p, patients), strict=True)
        figures.points.extend(
            key
            | {"curve": name, "point": point, "x": x, "y": y, "threshold": threshold}
            | {"y_low": low, "y_high": high}
            for point, (x, y, threshold, (low, high)) in enumerate(points)
        )
