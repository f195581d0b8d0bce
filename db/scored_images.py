"""The scored images of a run with all that is stored of each: what is written back as DICOM objects."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from config.cards.card import CardFields
from db.database import Database
from db.errors import UnknownRunError
from db.schema.archives import archive, finding, image, manifest, manifest_row
from db.schema.runs import batch, image_result, model, model_finding, run, score
from db.schema.segmentations import volume_result
from db.states import ImageStatus

_AT_ONCE: Final = 256
"""Images that are in memory at a time."""


class Box(NamedTuple):
    """Pixels of the original image, from its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Score:
    """A finding's probability in an image; `position`: of the finding in the model's order, from 0.

    `box`: around the map's peak; None where the map has no positive value, or there is none.
    """

    finding: str
    position: int
    probability: float
    threshold: float
    box: Box | None

    @property
    def flagged(self) -> bool:
        """Whether the finding is over its threshold, as the view `heatmaps` and the worklist count it."""
        return self.probability >= self.threshold


@dataclass(frozen=True, slots=True)
class Maps:
    """Grad-CAMs: float16 bytes (height, width, findings), C order."""

    content: bytes
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """An image of a run with its scores in the model's order; `row`: of the manifest, from 1.

    `width`, `height`: of the picture that was scored, pixels; None where another system scored it.
    `mask_path`: of a segmented case, below the outputs' folder; None where the disk refused the mask.
    """

    image_id: int
    name: str
    row: int
    scored_at: datetime
    width: int | None
    height: int | None
    maps: Maps | None
    scores: tuple[Score, ...]
    mask_path: str | None = None


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """Where a run's images are, and what scored them; `bits`: used in its 16-bit pictures."""

    run_id: int
    created_at: datetime
    root: str
    bits: int | None
    images: int
    heatmaps: str
    version: str
    model: str
    sha256: str
    card_sha256: str
    card: CardFields


def run_origin(database: Database, run_id: int) -> RunOrigin:
    """Return where a run comes from; UnknownRunError if there is no such run."""
    with database.read() as connection:
        row = connection.execute(
            select(
                *(run.c.created_at, archive.c.root, run.c.bits, run.c.images, run.c.heatmaps, run.c.version),
                *(model.c.name, model.c.sha256, model.c.card_sha256, model.c.card),
            )
            .join(manifest, manifest.c.id == run.c.manifest_id)
            .join(archive, archive.c.id == manifest.c.archive_id)
            .join(model, model.c.id == run.c.model_id)
            .where(run.c.id == run_id)
        ).first()
    if row is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    return RunOrigin(
        run_id,
        row.created_at,
        row.root,
        row.bits,
        row.images,
        row.heatmaps,
        row.version,
        row.name,
        row.sha256,
        row.card_sha256,
        json.loads(row.card),
    )


def scored_images(
    database: Database, run_id: int, image_ids: Sequence[int] | None = None
) -> Iterator[ScoredImage]:
    """Yield a run's scored images in the manifest's order, or those of them that are named.

    A few hundred are read at a time, each time in a transaction of its own.
    """
    last = 0
    while True:
        with database.read() as connection:
            found = _after(connection, run_id, last, image_ids)
        yield from found
        if len(found) < _AT_ONCE:
            return
        last = found[-1].row


def _after(
    connection: Connection, run_id: int, last: int, image_ids: Sequence[int] | None
) -> list[ScoredImage]:
    query = (
        select(
            image.c.id,
            image.c.image_index,
            manifest_row.c.row_number,
            batch.c.finished_at,
            run.c.created_at,
            image_result.c.width,
            image_result.c.height,
            image_result.c.maps,
            image_result.c.map_height,
            image_result.c.map_width,
            volume_result.c.mask_path,
        )
        .join(run, run.c.id == image_result.c.run_id)
        .join(
            manifest_row,
            (manifest_row.c.manifest_id == run.c.manifest_id)
            & (manifest_row.c.image_id == image_result.c.image_id),
        )
        .join(image, image.c.id == image_result.c.image_id)
        .join(batch, batch.c.id == image_result.c.batch_id)
        .outerjoin(
            volume_result,
            (volume_result.c.run_id == image_result.c.run_id)
            & (volume_result.c.image_id == image_result.c.image_id),
        )
        .where(
            image_result.c.run_id == run_id,
            image_result.c.status == ImageStatus.SCORED,
            manifest_row.c.row_number > last,
        )
        .order_by(manifest_row.c.row_number)
        .limit(_AT_ONCE)
    )
    if image_ids is not None:
        query = query.where(image_result.c.image_id.in_(image_ids))
    rows = connection.execute(query).all()
    scores = _scores(connection, run_id, [row.id for row in rows])
    return [
        ScoredImage(
            row.id,
            row.image_index,
            row.row_number,
            row.finished_at or row.created_at,
            row.width,
            row.height,
            None if row.maps is None else Maps(row.maps, row.map_height, row.map_width),
            tuple(scores[row.id]),
            row.mask_path,
        )
        for row in rows
    ]


def _scores(connection: Connection, run_id: int, image_ids: Sequence[int]) -> dict[int, list[Score]]:
    rows = connection.execute(
        select(
            *(score.c.image_id, finding.c.name, model_finding.c.position, score.c.probability),
            *(model_finding.c.threshold, score.c.box_x, score.c.box_y),
            *(score.c.box_width, score.c.box_height),
        )
        .join(run, run.c.id == score.c.run_id)
        .join(finding, finding.c.id == score.c.finding_id)
        .join(
            model_finding,
            (model_finding.c.model_id == run.c.model_id) & (model_finding.c.finding_id == score.c.finding_id),
        )
        .where(score.c.run_id == run_id, score.c.image_id.in_(image_ids))
        .order_by(score.c.image_id, model_finding.c.position)
    )
    found: dict[int, list[Score]] = defaultdict(list)
    for image_id, name, position, probability, threshold, *box in rows:
        place = None if box[0] is None else Box(*box)
        found[image_id].append(Score(name, position, probability, threshold, place))
    return found
