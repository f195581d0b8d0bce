"""The command `nightread metrics`: numbers for Prometheus, served or written to a file."""

import signal
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import generate_latest, start_http_server

from config.files import write_whole
from db.database import Database
from jobs.commands.session import open_database, quiet_settings
from jobs.console import EXIT_INCOMPLETE, fail, note
from jobs.dispatch.broker import Broker
from jobs.monitoring.metrics import registry

app = typer.Typer()


@app.command()
def metrics(
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Serve the metrics on this port until stopped; 0: any that is free.",
        ),
    ] = None,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; there is no password.")
    ] = "127.0.0.1",
    textfile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the metrics once, for the node exporter's textfile collector."
        ),
    ] = None,
) -> None:
    """Export the state of the ledger and the queue to Prometheus; no patient, image or run is named.

    Without --port and --textfile, the metrics are printed.

    Example: nightread metrics --port 9108

    Example: nightread metrics --textfile /var/lib/node_exporter/nightread.prom
    """
    settings = quiet_settings()
    # A server need not answer yet: that it does not is one of the numbers.
    database = open_database(settings) if settings.embedded_database else Database(settings.database)
    url = settings.broker_url
    broker = None if url is None else Broker.connect(url.get_secret_value(), settings.tick_seconds)
    found = registry(database, broker)
    if textfile is not None:
        try:
            write_whole(textfile, generate_latest(found))
        except OSError as error:
            fail(f"{textfile}: cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    if port is None:
        if textfile is None:
            typer.echo(generate_latest(found).decode(), nl=False)
        return
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before there are threads that would get them
    try:
        server, thread = start_http_server(port, address, found)
    except OSError as error:
        fail(f"{address}, port {port}: cannot be listened on: {error.strerror or error}", EXIT_INCOMPLETE)
    note(f"metrics at http://{address}:{server.server_port}/metrics")
    signal.sigwait(signals)
    server.shutdown()
    thread.join()
