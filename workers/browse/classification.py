"""The pages of a run of findings: its images, and each one under its heatmaps."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast, get_args

from werkzeug.exceptions import BadRequest, NotFound
from werkzeug.wrappers import Response

from db.browsing import classification as browsing
from db.browsing.classification import Finding, Labels, Wanted
from db.browsing.pages import Key
from db.database import Record
from workers.browse import asked, pictures
from workers.browse.pages import NUMBER, ROWS, Browsed, Page

_MOST_FINDINGS: Final = 3
"""Findings that a row of the list names."""


class ImagePages:
    """The images of one run, safe to use by many threads at once."""

    def __init__(self, run: Browsed) -> None:
        """Take the run; UnknownRunError if there is no such run."""
        self._run = run
        with run.database.read_only() as connection:
            self._subject = browsing.subject(connection, run.run_id)
        self.pages: Final[Mapping[str, Page]] = {
            "/": self._list,
            f"/image/<{NUMBER}:image_id>": self._image,
            f"/radiograph/<{NUMBER}:image_id>.png": self._radiograph,
            f"/heatmap/<{NUMBER}:image_id>/<int(max=9999):place>.png": self._heatmap,
        }

    def _list(self, arguments: Mapping[str, str]) -> Response:
        filters = _wanted(arguments, self._subject.findings)
        after = asked.key_of(arguments.get("after"), asked.SHARE if _by_score(filters) else None)
        with self._run.database.read_only() as connection:
            found = browsing.places(connection, self._subject, filters, after, ROWS + 1)
            shown = found[:ROWS]
            rows = browsing.described(connection, self._subject, [place.image_id for place in shown])
        return self._run.render(
            "images.html.j2",
            findings=self._subject.findings,
            rows=[row | {"named": self._named(row, filters.finding)} for row in rows],
            filters=filters,
            failures=asked.FAILURES,
            query=_query(filters),
            first=after is None,
            following=_query(filters, shown[-1].key) if len(found) > ROWS else None,
        )

    def _image(self, arguments: Mapping[str, str], image_id: int) -> Response:
        filters = _wanted(arguments, self._subject.findings)
        with self._run.database.read_only() as connection:
            rows = browsing.described(connection, self._subject, [image_id])
            if not rows:
                raise NotFound("The run has no result for this image.")
            row = rows[0]
            chosen = self._chosen(row, arguments.get("map"), filters)
            here = self._key(row, filters)
            links = {
                name: browsing.places(connection, self._subject, filters, here, 1, back=back) if here else []
                for name, back in (("before", True), ("after", False))
            }
            maps = browsing.maps_of(connection, self._subject, image_id)
        return self._run.render(
            "image.html.j2",
            findings=self._subject.findings,
            row=row,
            labels=self._labels(row),
            filters=filters,
            chosen=chosen,
            has_maps=maps is not None,
            query=_query(filters),
            of_finding={
                finding.id: _query(filters, shown=finding.name) for finding in self._subject.findings
            },
            links={name: found[0].image_id if found else None for name, found in links.items()},
        )

    def _radiograph(self, _: object, image_id: int) -> Response:
        with self._run.database.read_only() as connection:
            name = browsing.name_of(connection, self._subject, image_id)
        # Decoding takes a while, in which no transaction needs to be open.
        pixels = None if name is None else self._run.pictures.radiograph(name)
        if pixels is None:
            raise NotFound("The radiograph cannot be read; its run may say why.")
        return Response(pictures.radiograph(pixels), mimetype="image/png")

    def _heatmap(self, _: object, image_id: int, place: int) -> Response:
        with self._run.database.read_only() as connection:
            stored = browsing.maps_of(connection, self._subject, image_id)
        if stored is None or place >= len(self._subject.findings):
            raise NotFound("There is no such heatmap.")
        region = pictures.region_of(self._run.card, stored["width"], stored["height"])
        return Response(pictures.heatmap(stored, place, region), mimetype="image/png")

    def _named(self, row: Record, first: Finding | None) -> list[dict[str, Any]]:
        """Return the findings that a row of the list names: the filter's, or the first by their threshold."""
        scores = row["scores"]
        found = [finding for finding in self._subject.findings if finding.id in scores]
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
            for finding in self._subject.findings
        }

    def _chosen(self, row: Record, name: str | None, filters: Wanted) -> tuple[int, Finding] | None:
        """Return the finding whose map is shown, with its place: the named, the filter's, or the highest."""
        named = [(place, found) for place, found in enumerate(self._subject.findings) if found.name == name]
        if name and not named:
            raise BadRequest("map: the run's model has no such finding")
        if named:
            return named[0]
        scored = [
            (place, found) for place, found in enumerate(self._subject.findings) if found.id in row["scores"]
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


def _by_score(filters: Wanted) -> bool:
    return filters.finding is not None and filters.failure in {None, "none"}


def _wanted(arguments: Mapping[str, str], findings: Sequence[Finding]) -> Wanted:
    label = asked.chosen(arguments, "label", get_args(Labels), "1, 0 or -")
    return Wanted(
        finding=asked.named(arguments, "finding", findings),
        at_least=asked.within(arguments, "at_least", asked.SHARE),
        label=cast("Labels | None", label),
        failure=asked.failure(arguments),
    )


def _query(filters: Wanted, after: Key | None = None, shown: str | None = None) -> str:
    """Write the query of an address; `shown`: the finding whose map is."""
    given = {
        "finding": filters.finding and filters.finding.name,
        "at_least": None if filters.at_least is None else repr(filters.at_least),
        "label": filters.label,
        "failure": filters.failure,
        "map": shown,
    }
    return asked.query(given, after)
