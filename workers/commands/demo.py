"""The demo: an archive of phantoms, scored like any other, and three queries of its database."""

from pathlib import Path
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
from jobs.console import err, out, print_table, say
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


@app.command()
def demo(
    images: Annotated[
        int,
        typer.Option(
            min=28, metavar="N", help="Number of phantoms to draw; from 28 on, each finding occurs."
        ),
    ] = 112,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another number draws other patients.")] = 0,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the archive is written. Default: home/demo.")
    ] = None,
    format_: Annotated[
        Literal["png", "dicom"], typer.Option("--format", help="Format of the phantoms' files.")
    ] = "png",
    model: ModelOption = None,
) -> None:
    """Draw phantoms, score them, and ask the database three questions: two minutes on two cores.

    The phantoms are drawings with NIH's 14 findings at known places: no patient is involved.

    Example: nightread demo

    Example: nightread demo --format dicom
    """
    settings, database = ready()
    find_model(model or settings.model, settings.models)  # before phantoms are drawn for it
    archive = (folder or settings.home / "demo").absolute()
    with err.status("drawing phantoms") as status:
        manifest = write_archive(
            archive,
            plan_archive(images, seed, ending="dcm" if format_ == "dicom" else "png"),
            progress=lambda done: status.update(f"drawing phantoms: {done}/{images}"),
        )
    say(f"{images} phantoms: {manifest}")
    order = Order(manifest, archive / "images", model or settings.model)
    with claimed(database, settings) as place:
        run_id = submit(database, settings, order)
        ended = place.work_on(run_id)
    if ended.status == RunStatus.COMPLETE:
        _ask(database, run_id)
        write_report(
            database, settings, run_id, archive / "report.html", RunPictures(database, settings, run_id)
        )
        say(f"report: {archive / 'report.html'}\n")
    finish(database, ended, place)


def _ask(database: Database, run_id: int) -> None:
    for question, query in QUESTIONS:
        asked = dedent(query).strip().format(run=run_id)
        out.print(f"\n[bold]{question}[/]")
        out.print(Syntax(asked, "sql", background_color="default"))
        print_table(*ask(database, asked))
    say('Ask your own: nightread sql "SELECT ..."\n')
