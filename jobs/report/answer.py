"""What a kind of answer brings into the page of a run: its own sections, figures and pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from db.database import Connection, Record
from jobs.report.pictures import RunPictures
from jobs.report.rows import Content


@dataclass(frozen=True, slots=True)
class Subject:
    """The run that a page is about.

    `findings`: in the model's order. `evaluation`: the newest that is done. `overlays`: the folder that the
    paths of pictures are relative to.
    """

    run_id: int
    findings: Sequence[str]
    evaluation: Record | None
    overlays: Path


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """How the runs of one kind are reported."""

    template: str
    """It extends page.html.j2 and fills its blocks."""

    read: Callable[[Connection, Subject], Content]
    """Reads the content of those blocks, as of the moment of the whole page."""

    illustrate: Callable[[Content, Subject, RunPictures], Content]
    """Returns what `read` has found with its pictures, for which no connection is kept open."""
