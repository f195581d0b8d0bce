"""The application behind `nightread browse`: a run's list of images, each image, and the report."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from werkzeug.exceptions import BadRequest, HTTPException, NotFound, ServiceUnavailable
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from config.settings import Settings
from db import browsing, queries
from db.browsing import Finding, Key, Wanted
from db.database import Connection, Database, Record
from db.errors import DatabaseAwayError, UnknownRunError
from jobs.report.templates import environment
from jobs.report.words import finding_in_words
from workers.archive import RunPictures
from workers.browse import pictures
from workers.browse.asked import FAILURES, key_of, query, wanted
from workers.browse.guard import Guard, refused, sealed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROWS: Final = 50
"""Images on a page of the list."""

_MOST_FINDINGS: Final = 3
"""Findings that a row of the list names."""

_FOLDER: Final = Path(__file__).parent
_KINDS: Final = {"browse.css": "text/css", "browse.js": "text/javascript"}
_NUMBER: Final = "int(max=2147483647)"
_ROUTES: Final = Map(
    [
        Rule("/", endpoint="images"),
        Rule(f"/image/<{_NUMBER}:image_id>", endpoint="image"),
        Rule(f"/radiograph/<{_NUMBER}:image_id>.png", endpoint="radiograph"),
        Rule(f"/heatmap/<{_NUMBER}:image_id>/<int(max=9999):place>.png", endpoint="heatmap"),
        Rule("/colours.png", endpoint="colours"),
        Rule("/report", endpoint="report"),
        *(Rule(f"/{name}", endpoint=name) for name in _KINDS),
    ],
    merge_slashes=False,
    strict_slashes=False,
)


class Browser:
    """A WSGI application that shows one run, safe to use by many threads at once."""

    def __init__(self, database: Database, settings: Settings, run_id: int) -> None:
        """Take the run; UnknownRunError if there is no such run."""
        self._database = database
        self._settings = settings
        self._guard = Guard()
        with database.read_only() as connection:
            found = browsing.subject(connection, run_id)
        if found is None:
            raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
        self._run = found
        self._card = queries.model_card(database, run_id)
        self._pictures = RunPictures(database, settings, run_id)
        self._files = {name: (_FOLDER / name).read_bytes() for name in _KINDS}
        self._templates = environment(_FOLDER)
        self._templates.filters["finding"] = finding_in_words
        self._templates.globals.update(root=self._guard.path, run_id=run_id, findings=found.findings)

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
        endpoint = ""
        try:
            rest = self._guard.check(request)
            endpoint, values = _ROUTES.bind("", url_scheme="http").match(rest, request.method)
            answer = self._answer(endpoint, request, values)
        except HTTPException as error:
            answer = refused(error)
        except DatabaseAwayError as error:
            answer = refused(ServiceUnavailable(str(error)))
        return sealed(answer, report=endpoint == "report")(environ, start_response)

    def _answer(self, endpoint: str, request: Request, values: Mapping[str, int]) -> Response:
        if endpoint in self._files:
            return Response(self._files[endpoint], mimetype=_KINDS[endpoint])
        if endpoint == "colours":
            return Response(pictures.colour_bar(), mimetype="image/png")
        if endpoint == "report":
            return self._report()
        with self._database.read_only() as connection:
            if endpoint == "radiograph":
                name = browsing.name_of(connection, self._run, values["image_id"])
            elif endpoint == "heatmap":
                return Response(self._heatmap(connection, **values), mimetype="image/png")
            else:
                page: Callable[..., str] = self._images if endpoint == "images" else self._image
                return Response(page(connection, request.args, **values), mimetype="text/html")
        # Decoding takes a while, in which no transaction needs to be open.
        pixels = None if name is None else self._pictures.radiograph(name)
        if pixels is None:
            raise NotFound("The radiograph cannot be read; its run may say why.")
        return Response(pictures.radiograph(pixels), mimetype="image/png")

    def _images(self, connection: Connection, arguments: Mapping[str, str]) -> str:
        filters = wanted(arguments, self._run.findings)
        after = key_of(arguments.get("after"), filters)
        found = browsing.places(connection, self._run, filters, after, ROWS + 1)
        shown = found[:ROWS]
        rows = browsing.described(connection, self._run, [place.image_id for place in shown])
        return self._templates.get_template("images.html.j2").render(
            rows=[row | {"named": self._named(row, filters.finding)} for row in rows],
            filters=filters,
            failures=FAILURES,
            query=query(filters),
            first=after is None,
            following=query(filters, shown[-1].key) if len(found) > ROWS else None,
        )

    def _image(self, connection: Connection, arguments: Mapping[str, str], image_id: int) -> str:
        rows = browsing.described(connection, self._run, [image_id])
        if not rows:
            raise NotFound("The run has no result for this image.")
        row = rows[0]
        filters = wanted(arguments, self._run.findings)
        chosen = self._chosen(row, arguments.get("map"), filters)
        here = self._key(row, filters)
        links = {
            name: browsing.places(connection, self._run, filters, here, 1, back=back) if here else []
            for name, back in (("before", True), ("after", False))
        }
        maps = browsing.maps_of(connection, self._run, image_id)
        return self._templates.get_template("image.html.j2").render(
            row=row,
            labels=self._labels(row),
            filters=filters,
            chosen=chosen,
            has_maps=maps is not None,
            query=query(filters),
            of_finding={finding.id: query(filters, shown=finding.name) for finding in self._run.findings},
            links={name: found[0].image_id if found else None for name, found in links.items()},
        )

    def _named(self, row: Record, first: Finding | None) -> list[dict[str, Any]]:
        """Return the findings that a row of the list names: the filter's, or the first by their threshold."""
        scores = row["scores"]
        found = [finding for finding in self._run.findings if finding.id in scores]
        if first is not None:
            found = [finding for finding in found if finding == first]
        found.sort(key=lambda finding: finding.threshold - scores[finding.id])
        labels = self._labels(row)
        return [
            {
                "finding": finding.name,
                "probability": scores[finding.id],
                "over": scores[finding.id] >= finding.threshold,
                "label": labels[finding.id],
            }
            for finding in found[:_MOST_FINDINGS]
        ]

    def _labels(self, row: Record) -> dict[int, str]:
        return {
            finding.id: "-" if finding.position is None else row["labels"][finding.position]
            for finding in self._run.findings
        }

    def _chosen(self, row: Record, name: str | None, filters: Wanted) -> tuple[int, Finding] | None:
        """Return the finding whose map is shown, with its place: the named, the filter's, or the highest."""
        named = [(place, found) for place, found in enumerate(self._run.findings) if found.name == name]
        if name and not named:
            raise BadRequest("map: the run's model has no such finding")
        if named:
            return named[0]
        scored = [
            (place, found) for place, found in enumerate(self._run.findings) if found.id in row["scores"]
        ]
        of_filter = [pair for pair in scored if pair[1] == filters.finding]
        return max(
            of_filter or scored, key=lambda pair: row["scores"][pair[1].id] - pair[1].threshold, default=None
        )

    def _key(self, row: Record, filters: Wanted) -> Key | None:
        """Return where an image stands in a list; None where it is not of its kind."""
        if filters.failure not in {None, "none"}:
            return (row["id"],)
        if filters.finding is None:
            return (row["row_number"],)
        probability = row["scores"].get(filters.finding.id)
        return None if probability is None else (probability, row["id"])

    def _heatmap(self, connection: Connection, image_id: int, place: int) -> bytes:
        stored = browsing.maps_of(connection, self._run, image_id)
        if stored is None or place >= len(self._run.findings):
            raise NotFound("There is no such heatmap.")
        region = pictures.region_of(self._card, stored["width"], stored["height"])
        return pictures.heatmap(stored, place, region)

    def _report(self) -> Response:
        # It brings matplotlib, which the other pages do without.
        from jobs.report.page import page_content, render  # noqa: PLC0415

        overlays = self._settings.overlays
        content = page_content(self._database, overlays, self._run.run_id, self._pictures)
        return Response(render(content), mimetype="text/html")
