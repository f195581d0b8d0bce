"""The pages of a run of volumes: its cases, and each one in three planes with its segments and its mask."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal, cast, get_args

from werkzeug.exceptions import NotFound, ServiceUnavailable
from werkzeug.utils import secure_filename
from werkzeug.wrappers import Response

from config.failures import ImageUnusableError
from db.browsing import segmentation as browsing
from db.browsing.pages import Key
from db.browsing.segmentation import Order, Segmented, Wanted
from jobs.errors import SourceAwayError
from jobs.kinds.segmentation import MEASURES, REASONS
from jobs.sources.folder import FolderSource
from workers.browse import asked
from workers.browse.pages import NUMBER, ROWS, Browsed, Page

_LABELLED: Final = {"with": True, "without": False}
_LARGEST_FILE: Final = 256 * 2**20
"""Bytes; a mask of a whole head has a thousandth of it."""

_SIZE: Final = asked.Range(0, math.inf, "millilitres, 0 or more")
_FIGURES: Final = {"dice": asked.Range(0, 2, ""), "ml": asked.Range(-math.inf, 1, "")}
"""What orders a list, as `db.browsing.segmentation.places` has it."""


class CasePages:
    """The cases of one run, safe to use by many threads at once."""

    def __init__(self, run: Browsed) -> None:
        """Take the run; UnknownRunError if there is no such run."""
        self._run = run
        with run.database.read_only() as connection:
            self._subject = browsing.subject(connection, run.run_id)
        self._outputs = FolderSource(run.settings.overlays)
        self.pages: Final[Mapping[str, Page]] = {
            "/": self._list,
            f"/case/<{NUMBER}:image_id>": self._case,
            f"/planes/<{NUMBER}:image_id>.jpg": self._planes,
            f"/mask/<{NUMBER}:image_id>.nii.gz": self._mask,
        }

    def _list(self, arguments: Mapping[str, str]) -> Response:
        filters = _wanted(arguments, self._subject.findings)
        after = asked.key_of(arguments.get("after"), filters.order and _FIGURES[filters.order])
        with self._run.database.read_only() as connection:
            found = browsing.places(connection, self._subject, filters, after, ROWS + 1)
            shown = found[:ROWS]
            rows = browsing.described(connection, self._subject, [place.image_id for place in shown])
            pending = browsing.pending(connection, self._subject)
        return self._run.render(
            "cases.html.j2",
            findings=self._subject.findings,
            shown=[filters.finding] if filters.finding else self._subject.findings,
            rows=rows,
            pending=pending,
            filters=filters,
            failures=asked.FAILURES,
            query=_query(filters),
            first=after is None,
            following=_query(filters, shown[-1].key) if len(found) > ROWS else None,
        )

    def _case(self, arguments: Mapping[str, str], image_id: int) -> Response:
        filters = _wanted(arguments, self._subject.findings)
        with self._run.database.read_only() as connection:
            rows = browsing.described(connection, self._subject, [image_id])
            if not rows:
                raise NotFound("The run has no result for this case.")
            here = browsing.key_of(connection, self._subject, filters, image_id)
            before, after = (
                browsing.places(connection, self._subject, filters, here, 1, back=back) if here else []
                for back in (True, False)
            )
        return self._run.render(
            "case.html.j2",
            row=rows[0],
            segments=[
                (finding, rows[0]["segments"][finding.id])
                for finding in self._subject.findings
                if finding.id in rows[0]["segments"]
            ],
            files=json.loads(rows[0]["files"] or "{}"),
            card=self._run.card,
            measures=MEASURES,
            reasons=REASONS,
            filters=filters,
            query=_query(filters),
            links={"before": before and before[0].image_id, "after": after and after[0].image_id},
        )

    def _planes(self, _: object, image_id: int) -> Response:
        _path, content = self._output(image_id, "planes_path")
        return Response(content, mimetype="image/jpeg")

    def _mask(self, _: object, image_id: int) -> Response:
        path, content = self._output(image_id, "mask_path")
        answer = Response(content, mimetype="application/gzip")
        # Only plain letters of a name that came from a manifest.
        name = secure_filename(PurePosixPath(path).name) or "mask.nii.gz"
        answer.headers.set("Content-Disposition", "attachment", filename=name)
        return answer

    def _output(self, image_id: int, what: Literal["mask_path", "planes_path"]) -> tuple[str, bytes]:
        """Read a file that a worker wrote of a case, below the outputs' folder and nowhere else."""
        with self._run.database.read_only() as connection:
            path = browsing.path_of(connection, self._subject, image_id, what)
        if path is None:
            raise NotFound("No such file was written.")
        try:
            return path, self._outputs.read(path, _LARGEST_FILE).data
        except ImageUnusableError as error:
            raise NotFound(f"The file cannot be read: {error.reason}.") from None
        except SourceAwayError:
            raise ServiceUnavailable("The folder of masks and pictures cannot be read now.") from None


def _wanted(arguments: Mapping[str, str], findings: Sequence[Segmented]) -> Wanted:
    order = asked.chosen(arguments, "order", get_args(Order), "dice or ml")
    label = asked.chosen(arguments, "label", [*_LABELLED], "with or without")
    return Wanted(
        finding=asked.named(arguments, "finding", findings),
        order=cast("Order | None", order),
        least_ml=asked.within(arguments, "least_ml", _SIZE),
        dice_below=asked.within(arguments, "dice_below", asked.SHARE),
        labelled=None if label is None else _LABELLED[label],
        failure=asked.failure(arguments),
    )


def _query(filters: Wanted, after: Key | None = None) -> str:
    label = next((word for word, labelled in _LABELLED.items() if labelled == filters.labelled), None)
    given = {
        "finding": filters.finding and filters.finding.name,
        "order": filters.order,
        "least_ml": None if filters.least_ml is None else repr(filters.least_ml),
        "dice_below": None if filters.dice_below is None else repr(filters.dice_below),
        "label": label,
        "failure": filters.failure,
    }
    return asked.query(given, after)
