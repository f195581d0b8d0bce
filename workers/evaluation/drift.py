"""Whether a run's images and scores are like those of a baseline run."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from db.database import Database, Record
from db.drift import Baseline, DriftCheck, baseline_of
from db.evaluations import EvaluationClaim
from db.samples import SEEN, Sample, read_sample
from workers.metrics.compare import holm
from workers.metrics.drift import Shift, Side, shift_of_shares, shift_of_values
from workers.metrics.patients import number_patients

LEVEL: Final = 0.01
"""The share of nights without drift that raise an alarm is at most this: p is corrected over all tests."""

_LEAST_SHARE: Final = 0.01
"""Of either run; a rarer sex or view has no row of its own."""

_NAMED: Final = 4
"""What has shifted most, by name; an alert is read on a telephone."""

_OTHER_MODEL: Final = "the runs are of different models"


def check_drift(database: Database, held: EvaluationClaim) -> DriftCheck | None:
    """Compare a scheduled run with its schedule's baseline, once: at the run's end.

    None where there is nothing to compare: no schedule, no baseline, or the baseline itself. Where something
    has shifted, the result carries the alert's message.
    """
    if held.schedule_id is None or not held.closes_run:
        return None
    with database.read() as connection:
        baseline = baseline_of(connection, held.schedule_id)
    if baseline is None or baseline.run_id == held.run_id:
        return None
    rows = drift_of_runs(database, held.run_id, baseline.run_id)
    return DriftCheck(held.run_id, baseline.run_id, rows, _message(baseline, held.run_id, rows))


def drift_of_runs(database: Database, run_id: int, baseline_id: int) -> list[Record]:
    """Compare what two runs have scored themselves; raises UnknownRunError for a run that does not exist."""
    with database.read() as connection:
        night, baseline = (read_sample(connection, each) for each in (run_id, baseline_id))
    return drift(night, baseline)


def drift(night: Sample, baseline: Sample) -> list[Record]:
    """Compare a night with a baseline: rows of `drift_result`, with the name of each finding as `finding`.

    The images of each patient are counted together. p is corrected over all rows by Holm's method.
    """
    rows = [*_shifts(night, baseline)]
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return rows


def is_shifted(row: Record) -> bool:
    """Return whether a row of a comparison shows drift."""
    return row["p_holm"] is not None and row["p_holm"] < LEVEL


def _shifts(night: Sample, baseline: Sample) -> Iterator[Record]:
    samples = (night, baseline)
    patients = [number_patients(one.facts["patient_id"].to_numpy(dtype=object)).numbers for one in samples]

    def sides(values: Callable[[Sample], NDArray[np.floating]]) -> tuple[Side, Side]:
        a, b = (Side(values(one), whose) for one, whose in zip(samples, patients, strict=True))
        return a, b

    same = night.model_id == baseline.model_id
    nothing = Shift(len(night.facts), len(baseline.facts), reason=_OTHER_MODEL)
    for column, finding in enumerate(night.findings):
        values, over = nothing, nothing
        if same:
            of = sides(partial(_probabilities, column))
            values = shift_of_values(*of)
            over = shift_of_shares(*(_over(side, finding.threshold) for side in of))
        yield _row("probability", values, finding.finding_id, finding.name)
        yield _row("over_threshold", over, finding.finding_id, finding.name)
    for name in (*SEEN, "age_years"):
        comparable = same or not name.endswith("_distance")
        shift = shift_of_values(*sides(partial(_numbers, name))) if comparable else nothing
        yield _row(name, shift)
    yield _row("flagged", shift_of_shares(*sides(_flagged)) if same else nothing)
    for name, fact in (("sex", "sex"), ("view", "view_position")):
        shares = [one.facts[fact].value_counts(normalize=True) for one in samples]
        for value in sorted({value for found in shares for value in found.index[found >= _LEAST_SHARE]}):
            yield _row(f"{name}={value}", shift_of_shares(*sides(partial(_is, fact, value))))


def _probabilities(column: int, sample: Sample) -> NDArray[np.floating]:
    return sample.probabilities[:, column]


def _numbers(name: str, sample: Sample) -> NDArray[np.floating]:
    return sample.facts[name].to_numpy(dtype=np.float64)


def _flagged(sample: Sample) -> NDArray[np.floating]:
    flagged = sample.facts["flag"].notna().to_numpy(dtype=np.float64)
    return np.where(sample.facts[SEEN[0]].isna(), np.nan, flagged)


def _is(fact: str, value: str, sample: Sample) -> NDArray[np.floating]:
    facts = sample.facts[fact]
    return np.where(facts.isna(), np.nan, (facts == value).to_numpy(dtype=np.float64))


def _over(side: Side, threshold: float) -> Side:
    known = side.known()
    return Side((known.values >= threshold).astype(np.float64), known.patients)


def _row(measure: str, shift: Shift, finding_id: int | None = None, finding: str | None = None) -> Record:
    row: Record = {"measure": measure, "finding_id": finding_id, "finding": finding}
    return row | asdict(shift)


def _message(baseline: Baseline, run_id: int, rows: list[Record]) -> str | None:
    """Say what has shifted most. A view's own word stays here: a cell of a manifest may hold anything."""
    shifted = sorted(filter(is_shifted, rows), key=lambda row: row["p"])
    if not shifted:
        return None
    names = [
        f"{row['measure'].partition('=')[0]}{' of ' + row['finding'] if row['finding'] else ''} "
        f"{row['value_baseline']:.3g} -> {row['value']:.3g} (PSI {row['psi']:.2f})"
        for row in shifted[:_NAMED]
    ]
    more = f", and {len(shifted) - _NAMED} more" if len(shifted) > _NAMED else ""
    return (
        f"schedule {baseline.schedule}: run {run_id} is not like its baseline, run {baseline.run_id}; "
        f"{', '.join(names)}{more}"
    )
