"""The commands of `nightread` that need no model code: submitting, following, asking."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from config.errors import ConfigError
from config.logs import configure_logging
from config.settings import Settings, load_settings
from db import queries, runs
from db.database import Database
from db.errors import DatabaseError
from db.upgrade import require_current, upgrade
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, err, fail, out, print_table
from jobs.dispatch.follow import connect_broker, finish, follow, show_alerts, work_on
from jobs.errors import AwayError, JobsError
from jobs.submit import Heatmaps, Order, submit

_NOTE = "Not for clinical use."
PANEL_ASK = "Look at the results"
PANEL_RUN = "Score an archive"
PANEL_MANY = "Run on several machines"
PANEL_MODELS = "Models"

app = typer.Typer(
    help="Scores archives of chest radiographs overnight; every result is a row in SQL. " + _NOTE,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
db_app = typer.Typer(help="The database's tables.", no_args_is_help=True)
app.add_typer(db_app, name="db", rich_help_panel=PANEL_MANY)


def run_cli() -> None:
    """Run the command line; what a person can act on becomes one line instead of a traceback."""
    try:
        app()
    except AwayError as error:
        fail(str(error), EXIT_INCOMPLETE)
    except (JobsError, ConfigError, DatabaseError) as error:
        fail(str(error), EXIT_USAGE)
    except OperationalError as error:
        fail(f"the database does not answer: {str(error.orig).strip()}", EXIT_INCOMPLETE)


def open_database(settings: Settings) -> Database:
    """Open the database; the embedded one is made or upgraded first, another must be current."""
    database = Database(settings.database)
    if settings.embedded_database:
        try:
            require_current(database)
        except DatabaseError:
            upgrade(database)
    else:
        require_current(database)
    return database


def ready() -> tuple[Settings, Database]:
    """Read the settings and open the database, for a command that a person waits for."""
    settings = load_settings()
    configure_logging(settings.log_level if settings.log_level == "DEBUG" else "WARNING")
    return settings, open_database(settings)


ManifestArgument = Annotated[Path, typer.Argument(help="CSV with an image a row; .csv or .csv.gz.")]
ImagesOption = Annotated[Path, typer.Option(help="Folder that the image names are relative to.")]
ModelOption = Annotated[str | None, typer.Option(help="Model's name. Default: NIGHTREAD_MODEL.")]
BatchOption = Annotated[int, typer.Option(min=1, max=4096, help="Images a message.")]
HeatmapsOption = Annotated[
    Heatmaps,
    typer.Option(
        help="none: scores only. positive: maps of all findings, and an overlay for each finding over its "
        "threshold. all: an overlay for every finding."
    ),
]
ImageColumnOption = Annotated[
    str | None, typer.Option(help="Column of the image names, where it is not recognised.")
]
FindingColumnOption = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN=FINDING", help="Column with a finding's labels 0, 1 or blank; repeatable."),
]
RunArgument = Annotated[int, typer.Argument(metavar="RUN", help="The run's number.")]


def column_mapping(finding_column: list[str] | None) -> dict[str, str] | None:
    """Read the pairs COLUMN=FINDING of --finding-column."""
    if not finding_column:
        return None
    mapping = {}
    for given in finding_column:
        column, _, finding = given.partition("=")
        if not (column and finding):
            raise typer.BadParameter(f"{given!r} is not COLUMN=FINDING", param_hint="--finding-column")
        mapping[column] = finding
    return mapping


def _order(
    settings: Settings,
    manifest: Path,
    images: Path,
    model: str | None,
    batch_size: int,
    heatmaps: Heatmaps,
    image_column: str | None,
    finding_column: list[str] | None,
) -> Order:
    return Order(
        manifest,
        images,
        model or settings.model,
        heatmaps,
        batch_size,
        image_column,
        column_mapping(finding_column),
    )


def _submit(database: Database, settings: Settings, order: Order) -> int:
    with err.status(f"reading {order.manifest}") as status:
        return submit(
            database, settings, order, lambda rows: status.update(f"reading {order.manifest}: {rows:,} rows")
        )


@app.command(rich_help_panel=PANEL_RUN)
def score(
    manifest: ManifestArgument,
    images: ImagesOption,
    model: ModelOption = None,
    batch_size: BatchOption = 32,
    heatmaps: HeatmapsOption = "positive",
    image_column: ImageColumnOption = None,
    finding_column: FindingColumnOption = None,
) -> None:
    """Score all images of a manifest, wait, and print the AUC table.

    Without NIGHTREAD_BROKER_URL it starts its own queue and workers and stops them at the end. Ctrl-C leaves
    a run that `nightread resume` goes on with.

    Exit code 0: every row scored; 3: complete, some images failed; 1: not complete; 2: wrong usage.

    Example: nightread score Data_Entry_2017.csv --images images/
    """
    settings, database = ready()
    run_id = _submit(
        database,
        settings,
        _order(settings, manifest, images, model, batch_size, heatmaps, image_column, finding_column),
    )
    finish(database, work_on(database, settings, run_id))


@app.command("submit", rich_help_panel=PANEL_RUN)
def submit_(
    manifest: ManifestArgument,
    images: ImagesOption,
    model: ModelOption = None,
    batch_size: BatchOption = 32,
    heatmaps: HeatmapsOption = "positive",
    image_column: ImageColumnOption = None,
    finding_column: FindingColumnOption = None,
) -> None:
    """Commit a run and print its number; workers elsewhere score it.

    Without NIGHTREAD_BROKER_URL nothing works on it before `nightread resume`.

    Example: nightread submit manifest.csv --images /archive
    """
    settings, database = ready()
    run_id = _submit(
        database,
        settings,
        _order(settings, manifest, images, model, batch_size, heatmaps, image_column, finding_column),
    )
    if settings.broker_url is None:
        err.print(f"no broker is configured; to score it: nightread resume {run_id}", highlight=False)
    else:
        from jobs.dispatch.broker import BrokerAwayError  # noqa: PLC0415  # loads Celery
        from jobs.dispatch.reconcile import top_up  # noqa: PLC0415

        try:
            top_up(database, connect_broker(settings, settings.broker_url.get_secret_value()))
        except BrokerAwayError as error:
            err.print(f"[yellow]committed, but not yet announced:[/] {escape(str(error))}; beat will do it")
    typer.echo(run_id)


@app.command(rich_help_panel=PANEL_RUN)
def resume(run: RunArgument) -> None:
    """Go on with a run that was stopped or cancelled, and wait for it. Nothing is scored twice.

    Example: nightread resume 7
    """
    settings, database = ready()
    if runs.resume(database, run):
        finish(database, work_on(database, settings, run))
    finish(database, queries.progress(database, run))


@app.command(rich_help_panel=PANEL_RUN)
def cancel(run: RunArgument) -> None:
    """Stop a run; batches under way still end, and `nightread resume` goes on with it.

    Example: nightread cancel 7
    """
    _, database = ready()
    if runs.cancel(database, run):
        out.print(f"run {run} is cancelled; to go on: nightread resume {run}", highlight=False)
    else:
        fail(f"run {run} is {queries.progress(database, run).status}, not running", EXIT_USAGE)


@app.command(rich_help_panel=PANEL_ASK)
def status(
    run: Annotated[
        int | None, typer.Argument(metavar="[RUN]", help="A run's number. Default: all runs.")
    ] = None,
    follow_: Annotated[
        bool, typer.Option("--follow", "-f", help="Show a live bar until the run ends.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a run.")] = False,
) -> None:
    """Show how far the runs are, and the alerts of the last seven days.

    Example: nightread status 7 --follow
    """
    _, database = ready()
    found = queries.all_progress(database) if run is None else [queries.progress(database, run)]
    if follow_:
        if not found:
            fail("there are no runs yet", EXIT_USAGE)
        found = [follow(database, found[0].run_id, out)]
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], default=str, indent=2))
        return
    print_table(
        ("run", "status", "model", "images", "scored", "failed", "pending", "images/s"),
        (
            (p.run_id, p.status, p.model, p.images, p.scored, p.failed, p.pending, p.images_per_second)
            for p in found
        ),
    )
    for one in found:
        if one.message:
            err.print(f"run {one.run_id}: {one.message}", style="yellow", highlight=False)
    show_alerts(database)


@app.command(rich_help_panel=PANEL_ASK)
def sql(
    query: Annotated[
        str, typer.Argument(help="A query over the views scores, auc, failures, progress, heatmaps.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a row.")] = False,
) -> None:
    """Ask the database; nothing can be changed this way.

    Example: nightread sql "SELECT finding, auroc FROM auc WHERE run_id = 1 ORDER BY auroc DESC"
    """
    _, database = ready()
    with _query_errors_named(), database.read_only() as connection:
        result = connection.execute(text(query.replace(":", r"\:")))
        if not result.returns_rows:
            fail("this is no query: it gives no rows", EXIT_USAGE)
        columns, rows = list(result.keys()), result.fetchall()
    if as_json:
        typer.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=str, indent=2))
    else:
        print_table(columns, rows)


@contextmanager
def _query_errors_named() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        fail(str(error.orig).strip(), EXIT_USAGE)


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Make the tables and views, or bring them to this version. Safe to call twice, and by two at once."""
    settings = load_settings()
    configure_logging("WARNING")
    database = Database(settings.database)
    upgrade(database)
    out.print(f"{database.where} is ready", highlight=False)
