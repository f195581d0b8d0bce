"""Calibrated probabilities beside the raw ones: Platt's fit of an evaluation, applied to a run's scores."""

from functools import partial
from math import log, tanh
from typing import Final

from sqlalchemy import ColumnElement, Connection, Double, cast, func, select, update

from db.database import Database, driver_of
from db.errors import DatabaseError
from db.operating_points import model_of, shared_images
from db.receipts import write_once
from db.schema.evaluations import evaluation, evaluation_result
from db.schema.runs import run, score
from db.states import EvaluationState

_CLOSEST: Final = 2.0**-24
"""As in the fit: the step of float32 below 1; the logit of 0 or 1 is infinite."""


class CalibrationError(DatabaseError):
    """There is no fit to calibrate the run's scores with."""


def calibrate_run(database: Database, run_id: int, evaluation_id: int | None = None) -> tuple[int, int]:
    """Write a run's `score.calibrated` from an evaluation's fit; returns that and the number of findings.

    The evaluation may be of any run of the same model; the default is the run's newest. A finding without a
    fit (a class is missing) has no calibrated probability. Raises CalibrationError where there is no such
    evaluation, or no fit in it.
    """

    def write(connection: Connection) -> list[int]:
        fitted = _evaluation(connection, run_id, evaluation_id)
        fits = connection.execute(
            select(
                evaluation_result.c.finding_id,
                evaluation_result.c.platt_slope,
                evaluation_result.c.platt_intercept,
            ).where(evaluation_result.c.evaluation_id == fitted, evaluation_result.c.subgroup == "all")
        ).all()
        found = [fit for fit in fits if fit.platt_slope is not None]
        if not found:
            raise CalibrationError(
                f"evaluation {fitted} has a fit for no finding: its labels lack positive or negative images"
            )
        for fit in fits:
            _apply(connection, run_id, *fit)
        connection.execute(update(run).where(run.c.id == run_id).values(calibrated_by=fitted))
        return [fitted, len(found)]

    fitted, findings = write_once(database, write)
    return fitted, findings


def images_fitted(connection: Connection, run_id: int, evaluation_id: int) -> int:
    """Count the images of a run that are among the labelled ones of an evaluation."""
    _, manifest_id = model_of(connection, run_id)
    labelled: int = connection.execute(
        select(evaluation.c.label_manifest_id).where(evaluation.c.id == evaluation_id)
    ).scalar_one()
    return shared_images(connection, manifest_id, labelled)


def _evaluation(connection: Connection, run_id: int, evaluation_id: int | None) -> int:
    model_id = connection.execute(select(run.c.model_id).where(run.c.id == run_id)).scalar_one_or_none()
    if model_id is None:
        raise CalibrationError(f"there is no run {run_id}; see: nightread status")
    wanted = select(evaluation.c.id, run.c.model_id).join(run, run.c.id == evaluation.c.run_id)
    wanted = wanted.where(evaluation.c.state == EvaluationState.DONE).order_by(evaluation.c.id.desc())
    if evaluation_id is None:
        row = connection.execute(wanted.where(run.c.id == run_id)).first()
        if row is None:
            raise CalibrationError(f"run {run_id} has no evaluation yet; see: nightread evaluate")
        return int(row.id)
    row = connection.execute(wanted.where(evaluation.c.id == evaluation_id)).first()
    if row is None:
        raise CalibrationError(
            f"there is no finished evaluation {evaluation_id}; the view evaluations lists them"
        )
    if row.model_id != model_id:
        raise CalibrationError(
            f"evaluation {evaluation_id} is of another model than run {run_id}: its fit says nothing here"
        )
    return evaluation_id


def _apply(
    connection: Connection, run_id: int, finding_id: int, slope: float | None, intercept: float | None
) -> None:
    p: ColumnElement[float] = cast(score.c.probability, Double)
    calibrated: ColumnElement[float] | None = None
    if slope is not None and intercept is not None:
        if connection.dialect.name == "sqlite":
            # Not every SQLite is built with logarithms.
            driver = driver_of(connection)
            driver.create_function("platt", 1, partial(platt, slope, intercept), deterministic=True)
            calibrated = func.platt(p)
        else:
            p = func.least(func.greatest(p, _CLOSEST), 1 - _CLOSEST)
            calibrated = 0.5 + 0.5 * func.tanh((slope * func.ln(p / (1 - p)) + intercept) / 2)
    connection.execute(
        update(score)
        .where(score.c.run_id == run_id, score.c.finding_id == finding_id)
        .values(calibrated=calibrated)
    )


def platt(slope: float, intercept: float, probability: float) -> float:
    """Return the calibrated probability, whose logit is slope * logit(p) + intercept; used on SQLite.

    A probability closer than 2^-24 to 0 or 1 is taken to be 2^-24 away from it.
    """
    p = min(max(probability, _CLOSEST), 1 - _CLOSEST)
    return 0.5 + 0.5 * tanh((slope * log(p / (1 - p)) + intercept) / 2)  # the logistic function
