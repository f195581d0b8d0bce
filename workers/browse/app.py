"""The application behind `nightread browse`: a run's pages, by the kind of its answers, and the report."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from werkzeug.exceptions import HTTPException, ServiceUnavailable
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from config.settings import Settings
from db import queries
from db.database import Database
from db.errors import DatabaseAwayError
from jobs.kinds.known import known_kind
from jobs.report.templates import environment
from jobs.report.words import finding_in_words
from workers.archive import RunPictures
from workers.browse import pictures
from workers.browse.guard import Guard, refused, sealed
from workers.browse.kinds import PAGES
from workers.browse.pages import Browsed, Page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_FOLDER: Final = Path(__file__).parent
_FILES: Final = {"browse.css": "text/css", "browse.js": "text/javascript"}


class Browser:
    """A WSGI application that shows one run, safe to use by many threads at once."""

    def __init__(self, database: Database, settings: Settings, run_id: int) -> None:
        """Take the run; raises UnknownRunError and UnknownAnswerError."""
        kind = known_kind(database, run_id)
        self._guard = Guard()
        templates = environment(_FOLDER)
        templates.filters["finding"] = finding_in_words
        templates.globals.update(root=self._guard.path, run_id=run_id)
        card = queries.model_card(database, run_id)
        read = RunPictures(database, settings, run_id)
        self._run = Browsed(run_id, database, settings, card, read, templates)
        answers = {
            **PAGES[kind](self._run).pages,
            **{f"/{name}": _file(_FOLDER / name, mimetype) for name, mimetype in _FILES.items()},
            "/colours.png": _colours,
            "/report": self._report,
        }
        self._routes = Map(
            [Rule(path, endpoint=answer) for path, answer in answers.items()],
            merge_slashes=False,
            strict_slashes=False,
        )

    @property
    def path(self) -> str:
        """The path of the first page, which holds the secret."""
        return self._guard.path

    def listens_at(self, port: int) -> None:
        """Take the port that it is asked on."""
        self._guard.listens_at(port)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        page: Page | None = None
        try:
            rest = self._guard.check(request)
            page, values = self._routes.bind("", url_scheme="http").match(rest, request.method)
            answer = page(request.args, **values)
        except HTTPException as error:
            answer = refused(error)
        except DatabaseAwayError as error:
            answer = refused(ServiceUnavailable(str(error)))
        return sealed(answer, report=page == self._report)(environ, start_response)

    def _report(self, _: object) -> Response:
        # It brings matplotlib, which the other pages do without.
        from jobs.report.page import page_content, render  # noqa: PLC0415

        run = self._run
        content = page_content(run.database, run.settings.overlays, run.run_id, run.pictures)
        return Response(render(content), mimetype="text/html")


def _file(path: Path, mimetype: str) -> Page:
    content = path.read_bytes()
    return lambda _: Response(content, mimetype=mimetype)


def _colours(_: object) -> Response:
    return Response(pictures.colour_bar(), mimetype="image/png")
