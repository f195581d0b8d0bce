"""The page of a run's report: its sections in their order, filled into the template, as one file."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Final

from config.files import write_whole
from config.settings import Settings
from db import queries
from db.answers import Rows
from db.database import Connection, Database
from db.scores import LabelledScores, read_scores
from db.states import EvaluationState
from jobs.kinds.segmentation import MEASURES
from jobs.report import plots
from jobs.report.pictures import RunPictures, bare_pictures, error_pictures, gallery
from jobs.report.rows import Content
from jobs.report.sections.auroc import aucs, evaluations, mean, published
from jobs.report.sections.change import comparison, plain_change
from jobs.report.sections.curves import drawn
from jobs.report.sections.drift import drift
from jobs.report.sections.errors import EACH, worst_errors
from jobs.report.sections.films import films
from jobs.report.sections.gallery import PICTURES, highest_overlays
from jobs.report.sections.localisation import localisation
from jobs.report.sections.quality import quality
from jobs.report.sections.run import contents, facts
from jobs.report.sections.segments import segments
from jobs.report.sections.subgroups import subgroups
from jobs.report.sections.summary import alerts, first_images, summary
from jobs.report.sections.thresholds import thresholds
from jobs.report.templates import SCRIPT, SCRIPT_HASH, environment
from jobs.report.words import finding_in_words, subgroup_in_words

_FIRST: Final = 10
"""Rows of the worklist."""

_ERRORS: Final = 4
"""Findings whose worst error of each kind is shown unfolded."""


def write_report(
    database: Database, settings: Settings, run_id: int, path: Path, pictures: RunPictures
) -> int:
    """Write a run's page, whole or not at all, over what was there; returns its size in bytes.

    Raises UnknownRunError where there is no such run, and OSError.
    """
    page = render(page_content(database, settings.overlays, run_id, pictures)).encode()
    write_whole(path, page)
    return len(page)


def render(content: Content) -> str:
    """Fill the page's template with `page_content`; all but our own SVG is escaped."""
    templates = environment()
    templates.filters["moment"] = _moment
    templates.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    templates.filters["finding"] = finding_in_words
    templates.filters["subgroup"] = subgroup_in_words
    return templates.get_template("page.html.j2").render(content, script=SCRIPT, script_hash=SCRIPT_HASH)


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def page_content(database: Database, overlays: Path, run_id: int, pictures: RunPictures) -> Content:
    """Read the content of the page's sections, by name; UnknownRunError if there is no such run.

    `overlays`: the folder that the paths of overlays are relative to.
    """
    run = queries.progress(database, run_id)
    card = queries.model_card(database, run_id)
    with database.read_only() as connection:
        findings = queries.model_findings(connection, run_id)
        segmented = segments(connection, run_id, findings, overlays)
        made = facts(connection, run_id)
        newest = evaluations(connection, "e.run_id = :run_id", run_id=run_id)
        evaluation = next((row for row in newest if row["state"] == EvaluationState.DONE), None)
        figures: Content = {}
        errors: Rows = []
        if evaluation and not segmented:
            scores = read_scores(connection, run_id, evaluation["label_manifest_id"])
            figures = _figures(connection, evaluation["evaluation_id"], findings, scores)
            errors = worst_errors(connection, run_id, scores)
        compared = comparison(connection, run_id, findings)
        change = None
        if not compared and evaluation and not segmented:
            change = plain_change(connection, run_id, evaluation, figures["aucs"])
        highest = highest_overlays(connection, run_id)
        filmed = films(connection, run_id)
        raised = alerts(connection, run_id)
        first = first_images(connection, run_id, _FIRST)
        gate = quality(connection, run_id)
        drifted = drift(connection, run_id)
        tags = contents(connection, run_id)
    return {
        "written_at": datetime.now(UTC),
        "nightread": version("nightread"),
        "run": run,
        "duration": timedelta(seconds=round((run.finished_at - run.started_at).total_seconds()))
        if run.started_at and run.finished_at
        else None,
        "facts": made,
        "card": card,
        "newest": newest[0] if newest else None,
        "evaluation": evaluation,
        **figures,
        "comparison": compared,
        "change": change,
        "segments": segmented,
        "measures": MEASURES,
        "most_pictures": PICTURES,
        "films": filmed,
        "gallery": gallery(overlays, findings, highest, pictures),
        "colour_bar": plots.colour_bar(),
        "alerts": raised,
        "worklist": first,
        "errors": error_pictures(errors, pictures),
        "unfolded_errors": _ERRORS,
        "errors_each": EACH,
        "quality": gate and gate | {"farthest": bare_pictures(gate["farthest"], pictures)},
        "drift": drifted,
        "contents": tags,
        "failures": queries.failure_reasons(database, run_id),
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
