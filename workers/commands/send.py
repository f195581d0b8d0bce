"""The command `nightread send`: a run's results go into a PACS, each object once."""

from typing import Annotated

import typer

from config.machine import cores
from db import queries
from db.deliveries import all_pictures
from db.scored_images import run_origin
from jobs.commands.options import RunArgument
from jobs.commands.receiver import FormatsOption, TlsOption, kinds_named
from jobs.commands.session import existing
from jobs.console import EXIT_SOME_FAILED, EXIT_USAGE, err, fail, note, shown, warn
from jobs.deliveries.deliver import Patience, deliver, wait_for
from jobs.deliveries.kinds import FEW, kinds_of
from jobs.deliveries.receiver import Receiver
from jobs.results import print_deliveries
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
    formats: FormatsOption = None,
    tls: TlsOption = False,
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
    receiver = Receiver(to, kinds_named(formats), tls)
    kinds, remark = kinds_of(database, run, receiver.kinds)
    if remark is not None:
        note(remark)
    # What makes DICOM objects takes a second to load: an address that is none is said before.
    with receiver.peer(settings) as peer:
        from workers.outputs.dicom.deliver import maker  # noqa: PLC0415

        origin = run_origin(database, run)
        open_source(origin.root).require()  # else each film would seem to be missing
        processes = jobs or (1 if progress.scored <= FEW else cores())
        waits = Patience(60 * patience, warn)
        with err.status(shown(f"sending to {peer.target}")) as status:
            wait_for(peer, waits)
            deliver(
                database,
                run,
                peer,
                kinds,
                maker(origin, settings.max_image_pixels, settings.overlays, processes),
                waits,
                again=again,
                progress=lambda done: status.update(shown(f"sending to {peer.target}: {done:,} objects")),
            )
        target = peer.target
    if all_pictures(database, run, target):
        fail(f"no image of run {run} is a DICOM file, so there are no DICOM results", EXIT_USAGE)
    if not print_deliveries(database, run, target, kinds):
        raise typer.Exit(EXIT_SOME_FAILED)
