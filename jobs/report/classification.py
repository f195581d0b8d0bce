"""The report of a run whose answers are scores of findings."""

from collections.abc import Sequence
from typing import Final

from db.answers import Rows
from db.database import Connection
from db.scores import LabelledScores, read_scores
from jobs.report import plots
from jobs.report.answer import AnswerReport, Subject
from jobs.report.pictures import RunPictures, error_pictures, gallery
from jobs.report.rows import Content
from jobs.report.sections.auroc import aucs, mean, published
from jobs.report.sections.change import comparison, plain_change
from jobs.report.sections.curves import drawn
from jobs.report.sections.errors import EACH, worst_errors
from jobs.report.sections.gallery import highest_overlays
from jobs.report.sections.localisation import localisation
from jobs.report.sections.subgroups import subgroups
from jobs.report.sections.summary import first_images, summary
from jobs.report.sections.thresholds import thresholds

_FIRST: Final = 10
"""Rows of the worklist."""

_ERRORS: Final = 4
"""Findings whose worst error of each kind is shown unfolded."""


def _read(connection: Connection, subject: Subject) -> Content:
    run_id, findings, evaluation = subject.run_id, subject.findings, subject.evaluation
    figures: Content = {}
    errors: Rows = []
    if evaluation:
        scores = read_scores(connection, run_id, evaluation["label_manifest_id"])
        figures = _figures(connection, evaluation["evaluation_id"], findings, scores)
        errors = worst_errors(connection, run_id, scores)
    compared = comparison(connection, run_id, findings)
    change = None
    if not compared and evaluation:
        change = plain_change(connection, run_id, evaluation, figures["aucs"])
    return figures | {
        "errors": errors,
        "comparison": compared,
        "change": change,
        "gallery": highest_overlays(connection, run_id),
        "worklist": first_images(connection, run_id, _FIRST),
        "colour_bar": plots.colour_bar(),
        "unfolded_errors": _ERRORS,
        "errors_each": EACH,
    }


def _figures(
    connection: Connection, evaluation_id: int, findings: Sequence[str], scores: LabelledScores
) -> Content:
    """Read all figures of an evaluation, in the order of the model's findings."""
    rows = aucs(connection, evaluation_id, findings)
    whole = [row for row in rows if row["subgroup"] == "all"]
    by_finding = thresholds(connection, evaluation_id, findings)
    at_card = {finding: row for finding, of in by_finding for row in of if row["kind"] == "card"}
    averaged = mean(connection, evaluation_id)
    references = published(connection, whole, averaged)
    return {
        "aucs": whole,
        "mean": averaged,
        **summary(whole, averaged, references),
        "published": references,
        "plots": drawn(connection, evaluation_id, whole, at_card, scores),
        "thresholds": by_finding,
        **subgroups(rows),
        "localisation": localisation(connection, evaluation_id, findings),
    }


def _illustrate(content: Content, subject: Subject, pictures: RunPictures) -> Content:
    return content | {
        "gallery": gallery(subject.overlays, subject.findings, content["gallery"], pictures),
        "errors": error_pictures(content["errors"], pictures),
    }


REPORT: Final = AnswerReport("classification.html.j2", _read, _illustrate)
