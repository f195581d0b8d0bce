"""The page of a run's report: its sections in their order, filled into the template, as one file."""

import base64
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name

from config.files import write_whole
from config.settings import Settings
from db import queries
from db.database import Database
from db.states import EvaluationState
from jobs.kinds.known import kind_of
from jobs.report.answer import AnswerReport, Subject
from jobs.report.pictures import RunPictures, bare_pictures
from jobs.report.rows import Content
from jobs.report.sections.auroc import evaluations
from jobs.report.sections.drift import drift
from jobs.report.sections.films import films
from jobs.report.sections.quality import quality
from jobs.report.sections.run import contents, facts
from jobs.report.sections.summary import alerts
from jobs.report.templates import SCRIPT, SCRIPT_HASH, environment
from jobs.report.words import finding_in_words, subgroup_in_words


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
    """Fill the template of the run's kind with `page_content`; all but our own SVG is escaped."""
    templates = environment()
    templates.filters["moment"] = _moment
    templates.filters["base64"] = lambda text: base64.b64encode(text.encode()).decode()
    templates.filters["finding"] = finding_in_words
    templates.filters["subgroup"] = subgroup_in_words
    return templates.get_template(content["template"]).render(content, script=SCRIPT, script_hash=SCRIPT_HASH)


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def page_content(database: Database, overlays: Path, run_id: int, pictures: RunPictures) -> Content:
    """Read the content of the page's sections, by name; UnknownRunError if there is no such run.

    `overlays`: the folder that the paths of overlays are relative to.
    """
    run = queries.progress(database, run_id)
    card = queries.model_card(database, run_id)
    kind = kind_of(database, run_id)
    report: AnswerReport = resolve_name(kind.report)
    with database.read_only() as connection:
        findings = queries.model_findings(connection, run_id)
        made = facts(connection, run_id)
        newest = evaluations(connection, "e.run_id = :run_id", run_id=run_id)
        evaluation = next((row for row in newest if row["state"] == EvaluationState.DONE), None)
        subject = Subject(run_id, findings, evaluation, overlays)
        own = report.read(connection, subject)
        filmed = films(connection, run_id)
        raised = alerts(connection, run_id)
        gate = quality(connection, run_id)
        drifted = drift(connection, run_id)
        tags = contents(connection, run_id)
    return {
        "template": report.template,
        "noun": kind.noun,
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
        **report.illustrate(own, subject, pictures),
        "films": filmed,
        "alerts": raised,
        "quality": gate and gate | {"farthest": bare_pictures(gate["farthest"], pictures)},
        "drift": drifted,
        "contents": tags,
        "failures": queries.failure_reasons(database, run_id),
    }
