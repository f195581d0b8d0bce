"""The command `nightread browse`: a run in a browser, on this machine only."""

import signal
import webbrowser
from threading import Thread
from typing import Annotated

import typer
from werkzeug.serving import WSGIRequestHandler, make_server

from jobs.commands.options import RunArgument
from jobs.commands.session import existing
from jobs.console import EXIT_INCOMPLETE, fail, note
from workers.browse.app import Browser

app = typer.Typer()

_HOST = "127.0.0.1"


class _Quiet(WSGIRequestHandler):
    """Writes no line for each request, as addresses hold the secret, and waits for no slow client."""

    timeout = 30

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # Werkzeug's name
        pass

    def version_string(self) -> str:
        return "nightread"


@app.command()
def browse(
    run: RunArgument,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0: any that is free.")
    ] = 0,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open the address in a browser.")] = False,
) -> None:
    """Look at a run in a browser, on this machine only: images or volumes, filters, and its report.

    It changes nothing. The address holds a secret, new each time; Ctrl-C ends it.

    Example: nightread browse last --open
    """
    settings, database = existing()
    browser = Browser(database, settings, run)
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before there are threads that would get them
    try:
        server = make_server(_HOST, port, browser, threaded=True, request_handler=_Quiet)
    except (OSError, SystemExit) as error:
        reason = getattr(error, "strerror", None) or "it is in use"
        fail(f"{_HOST}, port {port}: cannot be listened on: {reason}", EXIT_INCOMPLETE)
    browser.listens_at(server.port)
    address = f"http://{_HOST}:{server.port}{browser.path}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    note(f"run {run} at {address} (Ctrl-C ends it)")
    if open_:
        webbrowser.open(address)
    signal.sigwait(signals)
    server.shutdown()
    thread.join()
    server.server_close()
    database.dispose()
