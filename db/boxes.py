"""Boxes that people drew around findings: written once, read together with the maps of a run."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert

from db.database import bulk_insert
from db.manifests import find_or_write_findings
from db.schema.archives import box, box_set, finding, image, manifest, manifest_row
from db.schema.runs import image_result, model_finding, run
from db.states import ImageStatus

_AT_ONCE: Final = 32
"""Rows fetched at once: a map has a few kilobytes, but a set may have boxes in many images."""


Edges = tuple[float, float, float, float]
"""A box: x, y, width, height, in pixels of the original image from its upper left corner."""


class Box(NamedTuple):
    """A rectangle around a finding: pixels of the original image from its upper left corner.

    `image_index` is as in the manifest. A part of the box may lie outside the image.
    """

    image_index: str
    finding: str
    x: float
    y: float
    width: float
    height: float


def find_or_write_boxes(connection: Connection, *, fingerprint: str, path: str, boxes: Sequence[Box]) -> int:
    """Return the id of the set of boxes with this fingerprint, writing it if it is new."""
    added = connection.execute(
        upsert(box_set)
        .values(fingerprint=fingerprint, path=path, created_at=datetime.now(UTC))
        .on_conflict_do_nothing()
        .returning(box_set.c.id)
    ).scalar_one_or_none()
    if added is None:
        known: int = connection.execute(
            select(box_set.c.id).where(box_set.c.fingerprint == fingerprint)
        ).scalar_one()
        return known
    ids = find_or_write_findings(connection, sorted({drawn.finding for drawn in boxes}))
    bulk_insert(
        connection,
        box,
        ("box_set_id", "number", "image_index", "finding_id", "x", "y", "width", "height"),
        (
            (added, number, drawn.image_index, ids[drawn.finding], *drawn[2:])
            for number, drawn in enumerate(boxes, start=1)
        ),
    )
    return int(added)


def boxes_of(connection: Connection, box_set_id: int) -> dict[str, dict[int, list[Edges]]]:
    """Return the boxes of a set: image's name -> finding's id -> its boxes."""
    rows = connection.execute(
        select(box.c.image_index, box.c.finding_id, box.c.x, box.c.y, box.c.width, box.c.height)
        .where(box.c.box_set_id == box_set_id)
        .order_by(box.c.number)
    )
    boxes: dict[str, dict[int, list[Edges]]] = defaultdict(lambda: defaultdict(list))
    for image_index, finding_id, *edges in rows:
        boxes[image_index][finding_id].append((edges[0], edges[1], edges[2], edges[3]))
    return boxes


@dataclass(frozen=True, slots=True)
class BoxedFinding:
    """A finding that has boxes; `channel` is its place in the maps, None where it is not scored."""

    finding_id: int
    name: str
    channel: int | None


def boxed_findings(connection: Connection, run_id: int, box_set_id: int) -> Sequence[BoxedFinding]:
    """Return the findings of a set's boxes with their places in a run's maps, by name."""
    rows = connection.execute(
        select(finding.c.id, finding.c.name, model_finding.c.position)
        .join_from(finding, run, run.c.id == run_id)
        .outerjoin(
            model_finding,
            and_(model_finding.c.model_id == run.c.model_id, model_finding.c.finding_id == finding.c.id),
        )
        .where(finding.c.id.in_(select(box.c.finding_id).where(box.c.box_set_id == box_set_id)))
        .order_by(finding.c.name)
    )
    return [BoxedFinding(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class ImageMaps:
    """An image of a run's manifest with its maps: float16 bytes (map_height, map_width, findings), C order.

    `patient_id`: as the run's manifest has it. `width` and `height` are the image's, in pixels. They and the
    maps are None where the image was not scored; the maps also where the run kept none.
    """

    image_index: str
    patient_id: str | None
    width: int | None
    height: int | None
    maps: bytes | None
    map_height: int | None
    map_width: int | None


def boxed_maps(connection: Connection, run_id: int, box_set_id: int) -> Iterator[ImageMaps]:
    """Stream the images that are both in a run's manifest and in a set of boxes, a few at a time.

    A run that took only new images (`run.only_new`) is read together with the earlier runs of its model: each
    image has the maps of the newest that scored it.
    """
    source = connection.execute(
        select(run.c.model_id, run.c.manifest_id, run.c.only_new, manifest.c.archive_id)
        .join(manifest, manifest.c.id == run.c.manifest_id)
        .where(run.c.id == run_id)
    ).one()
    maker: ColumnElement[int] = literal(run_id)
    if source.only_new:
        earlier = image_result.alias()
        runs = select(run.c.id).where(run.c.model_id == source.model_id, run.c.id <= run_id)
        # By run and image, the primary key: the table has no index by image, and its rows are long.
        maker = (
            select(func.max(earlier.c.run_id))
            .where(
                earlier.c.run_id.in_(runs),
                earlier.c.image_id == image.c.id,
                earlier.c.status == ImageStatus.SCORED,
            )
            .correlate(image)
            .scalar_subquery()
        )
    rows = connection.execute(
        select(
            image.c.image_index,
            manifest_row.c.patient_id,
            *(image_result.c[name] for name in ImageMaps.__slots__[2:]),
        )
        .join_from(image, manifest_row, manifest_row.c.image_id == image.c.id)
        .outerjoin(
            image_result,
            and_(
                image_result.c.run_id == maker,
                image_result.c.image_id == image.c.id,
                image_result.c.status == ImageStatus.SCORED,
            ),
        )
        .where(
            image.c.image_index.in_(select(box.c.image_index).where(box.c.box_set_id == box_set_id)),
            image.c.archive_id == source.archive_id,
            manifest_row.c.manifest_id == source.manifest_id,
        )
        .order_by(image.c.id),
        execution_options={"yield_per": _AT_ONCE},
    )
    for row in rows:
        yield ImageMaps(*row)
