"""The demo: an archive of phantoms, scored like any other, and three queries of its database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from textwrap import dedent
from typing import Annotated, Final, Literal

import typer
from rich.syntax import Syntax

from config.cards.model import find_model
from db.answers import ask
from db.database import Database
from db.states import RunStatus
from jobs.commands.options import ModelOption
from jobs.commands.session import ready
from jobs.console import EXIT_USAGE, err, fail, out, print_table, say
from jobs.dispatch.follow import claimed, finish
from jobs.phantoms.archive import plan_archive, write_archive
from jobs.report.page import write_report
from jobs.submit import Order, submit
from workers.archive import RunPictures

app = typer.Typer()

QUESTIONS: Final = (
    (
        "Which images should a radiologist see first?",
        """
        SELECT image_index, finding, probability, threshold, label
        FROM scores
        WHERE run_id = {run} AND probability >= threshold
        ORDER BY probability - threshold DESC
        LIMIT 5
        """,
    ),
    (
        "Are women and men, front and back views, scored alike for an enlarged heart?",
        """
        SELECT sex, view_position, COUNT(*) AS images, AVG(probability) AS mean_probability,
               AVG(label) AS prevalence
        FROM scores
        WHERE run_id = {run} AND finding = 'Cardiomegaly'
        GROUP BY sex, view_position
        ORDER BY sex, view_position
        """,
    ),
    (
        "Where did the model look for what it scored highest, in pixels of the image?",
        """
        SELECT image_index, finding, probability, box_x, box_y, box_width, box_height
        FROM heatmaps
        WHERE run_id = {run} AND overlay_path IS NOT NULL
        ORDER BY probability DESC
        LIMIT 5
        """,
    ),
)

VOLUME_QUESTIONS: Final = (
    (
        "How large is each tumour, and where?",
        """
        SELECT image_index, ml, components, ROUND(centroid_x) AS x_mm, ROUND(centroid_y) AS y_mm,
               ROUND(centroid_z) AS z_mm
        FROM segments
        WHERE run_id = {run} AND finding = 'WT'
        ORDER BY ml DESC
        """,
    ),
    (
        "How well do classes and regions agree with the labels?",
        """
        SELECT finding, cases, left_out, mean, low, high
        FROM segment_summary
        WHERE run_id = {run} AND measure = 'dice'
        """,
    ),
    (
        "Which segments are the worst?",
        """
        SELECT image_index, finding, dice, hd95_mm, voxels, reference_voxels, reason
        FROM segments
        WHERE run_id = {run} AND dice IS NOT NULL
        ORDER BY dice
        LIMIT 5
        """,
    ),
)

Format = Literal["png", "dicom"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A demo's phantoms, how many, where they lie, and with which model they are scored.

    `draw`: from folder, number, seed, format and what is told the number drawn so far, to the manifest.
    `images`: the folder below, that the manifest's names are relative to. `model`: None is the settings'.
    """

    draw: Callable[[Path, int, int, Format, Callable[[int], None]], Path]
    count: int
    fewest: int
    folder: str
    images: str
    model: str | None
    questions: tuple[tuple[str, str], ...]


def _draw_chests(
    folder: Path, count: int, seed: int, format_: Format, progress: Callable[[int], None]
) -> Path:
    plan = plan_archive(count, seed, ending="dcm" if format_ == "dicom" else "png")
    return write_archive(folder, plan, progress=progress)


def _draw_heads(
    folder: Path, count: int, seed: int, format_: Format, progress: Callable[[int], None]
) -> Path:
    if format_ == "dicom":
        fail("--format dicom is for chests; heads are NIfTI volumes", EXIT_USAGE)
    # By name: nibabel is loaded with it, for which a demo of chests does not wait.
    write_volumes = resolve_name("jobs.phantoms.volumes.archive:write_volumes")
    manifest: Path = write_volumes(folder, count, seed, progress=progress)
    return manifest


_KINDS: Final = {
    "classification": _Kind(_draw_chests, 112, 28, "demo", "images", None, QUESTIONS),
    "segmentation": _Kind(_draw_heads, 8, 1, "demo-volumes", "", "demo-volumes", VOLUME_QUESTIONS),
}


@app.command()
def demo(
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Number of phantoms to draw: 28 chests or more, so that each finding occurs, or heads. "
            "Default: 112, or 8 heads.",
        ),
    ] = None,
    kind: Annotated[
        Literal["classification", "segmentation"],
        typer.Option(
            help="classification: chests with findings. segmentation: heads with a tumour, as NIfTI volumes."
        ),
    ] = "classification",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another number draws other patients.")] = 0,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the archive is written. Default: home/demo, or home/demo-volumes."
        ),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="Format of the chests' files.")] = "png",
    model: ModelOption = None,
) -> None:
    """Draw phantoms, score them, and ask the database three questions: half a minute on two cores.

    The phantoms are drawings with NIH's 14 findings at known places: no patient is involved. With --kind
    segmentation they are heads with a tumour in four sequences of MRI, which is segmented.

    Example: nightread demo

    Example: nightread demo --format dicom

    Example: nightread demo --kind segmentation
    """
    shown = _KINDS[kind]
    count = shown.count if images is None else images
    if count < shown.fewest:
        fail(f"--images: {shown.fewest} or more, so that each finding occurs", EXIT_USAGE)
    settings, database = ready()
    name = model or shown.model or settings.model
    found = find_model(name, settings.models)  # before phantoms are drawn for it
    if found.card.kind in _KINDS and found.card.kind != kind:
        fail(f"model {name} is of the kind {found.card.kind}; this is a demo of {kind}", EXIT_USAGE)
    archive = (folder or settings.home / shown.folder).absolute()
    with claimed(database, settings) as place:
        # A worker loads its model while the phantoms are drawn.
        place.prepare(name)
        with err.status("drawing phantoms") as status:
            manifest = shown.draw(
                archive,
                count,
                seed,
                format_,
                lambda done: status.update(f"drawing phantoms: {done}/{count}"),
            )
        say(f"{count} phantoms: {manifest}")
        order = Order(manifest, archive / shown.images, name)
        run_id = submit(database, settings, order)
        ended = place.work_on(run_id)
    if ended.status == RunStatus.COMPLETE:
        _ask(database, run_id, shown.questions)
        write_report(
            database, settings, run_id, archive / "report.html", RunPictures(database, settings, run_id)
        )
        say(f"report: {archive / 'report.html'}\n")
    finish(database, ended, place)


def _ask(database: Database, run_id: int, questions: Sequence[tuple[str, str]]) -> None:
    for question, query in questions:
        asked = dedent(query).strip().format(run=run_id)
        out.print(f"\n[bold]{question}[/]")
        out.print(Syntax(asked, "sql", background_color="default"))
        print_table(*ask(database, asked))
    say('Ask your own: nightread sql "SELECT ..."\n')
