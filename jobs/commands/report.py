"""The command `nightread report`: a run's figures and pictures as one page that needs nothing else."""

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from config.settings import Settings
from db.database import Database
from jobs.commands.app import PANEL_ASK, RunArgument, app, ready
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, err, fail, out

_TEMPLATES: Final = Path(__file__).parents[1] / "report"


@app.command(rich_help_panel=PANEL_ASK)
def report(
    run: RunArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write; one there is replaced.")],
) -> None:
    """Write a run's report: one HTML file with its figures, curves and overlays, to read, print or send.

    It needs no network and no other file. A run that still goes on has one too, of what is there so far.

    Example: nightread report 7 -o run-7.html
    """
    if not output.parent.is_dir():
        fail(f"{output}: there is no folder {output.parent}; make it first", EXIT_USAGE)
    if output.is_dir():
        fail(f"{output} is a folder; name the file to write", EXIT_USAGE)
    settings, database = ready()
    try:
        with err.status(f"writing {output}"):
            written = write_report(database, settings, run, output)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    out.print(f"wrote {output} ({written / 1e6:.1f} MB)", highlight=False, markup=False, soft_wrap=True)


def write_report(database: Database, settings: Settings, run_id: int, path: Path) -> int:
    """Write a run's page, whole or not at all, over what was there; returns its size in bytes.

    Raises UnknownRunError where there is no such run, and OSError.
    """
    from jobs.report.page import page_content  # noqa: PLC0415  # loads Matplotlib, which other commands do without

    page = render(page_content(database, settings.overlays, run_id)).encode()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(page)
            file.flush()
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            os.unlink(file.name)  # noqa: PTH108
            raise
    return len(page)


def render(content: dict[str, Any]) -> str:
    """Fill the page's template with `page_content`; all but our own SVG is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = _moment
    return environment.get_template("page.html.j2").render(content)


def _moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"
