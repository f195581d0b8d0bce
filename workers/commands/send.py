"""The command `nightread send`: a run's results go into a PACS, each object once."""

from collections.abc import Sequence
from typing import Annotated

import typer

from config.machine import cores
from config.settings import Settings
from db import deliveries, queries
from db.database import Database
from db.scored_images import run_origin
from db.states import DeliveryState
from jobs.commands.options import RunArgument
from jobs.commands.session import existing
from jobs.console import EXIT_SOME_FAILED, EXIT_USAGE, err, fail, note, say, shown, warn
from jobs.deliveries.deliver import NOT_DICOM, Patience, deliver
from jobs.deliveries.kinds import FEW, KINDS, Kind, KindError, require_kinds
from jobs.deliveries.peer import peer_of
from jobs.sources.source import open_source

app = typer.Typer()


@app.command()
def send(
    run: RunArgument,
    to: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="TITLE@HOST:PORT for C-STORE, or dicomweb+https://HOST/PATH for STOW-RS.",
        ),
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="KIND",
            help=f"What to send: {', '.join(KINDS)}; repeatable. Default: all that the run has.",
        ),
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="C-STORE over TLS.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was refused, or could not be made, before.")
    ] = False,
    patience: Annotated[
        float,
        typer.Option(
            min=0, metavar="MINUTES", help="How long the receiver or the films' source may be away."
        ),
    ] = 10.0,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes that make DICOM objects. Default: one per core."),
    ] = None,
) -> None:
    """Send a run's results into a PACS as DICOM objects, by C-STORE or STOW-RS.

    Each object is sent once: the database knows what the receiver has, and what it refused and why. Stopped
    and called again, it goes on. A receiver that is away is waited for.

    Example: nightread send 7 --to PACS@pacs.example:104 --format dicom-sr

    Example: nightread send last --to dicomweb+https://pacs.example/dicom-web
    """
    settings, database = existing()
    progress = queries.progress(database, run)
    if not progress.settled:
        note(f"run {run} is {progress.status}: these are its images so far")
    send_results(
        settings,
        database,
        run,
        to,
        _kinds(database, run, formats),
        tls=tls,
        again=again,
        patience=patience,
        processes=jobs or (1 if progress.scored <= FEW else cores()),
    )


def _kinds(database: Database, run: int, formats: Sequence[str] | None) -> Sequence[Kind]:
    unknown = next((word for word in formats or () if word not in KINDS), None)
    if unknown is not None:
        raise typer.BadParameter(f"{unknown!r} is none of {', '.join(KINDS)}", param_hint="--format")
    if formats:
        kinds = [kind for kind in KINDS if kind in formats]
        require_kinds(database, run, kinds)
        return kinds
    try:
        require_kinds(database, run, KINDS)
    except KindError as error:
        note(f"no dicom-sc: {error}")
        return [kind for kind in KINDS if kind != "dicom-sc"]
    return KINDS


def send_results(
    settings: Settings,
    database: Database,
    run: int,
    to: str,
    kinds: Sequence[Kind],
    *,
    tls: bool,
    again: bool,
    patience: float,
    processes: int,
) -> None:
    """Send, and say what became of it; the command ends where not all is sent."""
    # What makes DICOM objects takes a second to load: an address that is none is said before.
    with peer_of(to, settings, tls=tls) as peer:
        from workers.outputs.dicom.deliver import maker  # noqa: PLC0415

        origin = run_origin(database, run)
        open_source(origin.root).require()  # else each film would seem to be missing
        make = maker(origin, settings.max_image_pixels, processes)
        with err.status(shown(f"sending to {peer.target}")) as status:
            deliver(
                database,
                run,
                peer,
                kinds,
                make,
                Patience(60 * patience, warn),
                again=again,
                progress=lambda done: status.update(shown(f"sending to {peer.target}: {done:,} objects")),
            )
        target = peer.target
    _say_counts(database, run, target, kinds)


def _say_counts(database: Database, run: int, target: str, kinds: Sequence[Kind]) -> None:
    counts = [count for count in deliveries.counts(database, run, target) if count.kind in kinds]
    sent = sum(count.objects for count in counts if count.state == DeliveryState.SENT)
    pictures = sum(count.objects for count in counts if count.status == NOT_DICOM)
    if pictures and pictures == sum(count.objects for count in counts):
        fail(f"no image of run {run} is a DICOM file, so there are no DICOM results", EXIT_USAGE)
    say(f"{target} has {sent:,} objects of run {run}")
    if pictures:
        note(f"{pictures:,} objects are not made, as their images are no DICOM files")
    others = [count for count in counts if count.state != DeliveryState.SENT and count.status != NOT_DICOM]
    for count in others:
        warn(f"{count.objects:,} {count.kind} are {count.state}: {count.status}")
    if others:
        note(f"once mended: nightread send {run} --to {target} --again")
        raise typer.Exit(EXIT_SOME_FAILED)
