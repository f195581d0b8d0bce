"""The answer of a segmenting network: what it found in a case, per class and region; and reading it again."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple, Self

from sqlalchemy import Connection, select

from db.database import insert_rows
from db.outcomes import BatchKeys
from db.schema.archives import finding, image, manifest_row
from db.schema.runs import image_result, model_finding, run
from db.schema.segmentations import MEASURES, segment, volume_result
from db.states import ImageStatus

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Measures:
    """How a segment agrees with the case's label, each None where it is not defined.

    `reason` says why some are; see docs/segmentation.md for the definitions.
    """

    dice: float | None = None
    soft_dice: float | None = None
    sensitivity: float | None = None
    specificity: float | None = None
    hd95_mm: float | None = None
    assd_mm: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """What was found of a class or region in a case.

    `box`: first and last voxel along x, y and z; `centroid`: millimetres by the affine; both None where
    nothing was found. `reference_voxels`: of the label, None without one.
    """

    finding: str
    kind: str
    voxels: int
    components: int
    ml: float
    largest_ml: float
    box: tuple[tuple[int, int, int], tuple[int, int, int]] | None
    centroid: Triple | None
    probability_max: float | None
    reference_voxels: int | None
    measures: Measures


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A case's answer. `size`: voxels along x, y and z; `spacing`: millimetres.

    `mask_path`: of its labels; `planes_path`: of its picture, each None where there cannot be such a file.
    """

    image_id: int
    size: tuple[int, int, int]
    spacing: Triple
    labelled: bool
    mask_path: str | None
    planes_path: str | None
    segments: tuple[Segment, ...]
    tag: str | None = None

    @classmethod
    def write(cls, connection: Connection, keys: BatchKeys, outcomes: Sequence[Self]) -> None:
        """Write segmented cases and their segments."""
        insert_rows(
            connection,
            image_result,
            ("run_id", "image_id", "batch_id", "status", "width", "height", "tag"),
            (
                (
                    keys.run_id,
                    answer.image_id,
                    keys.batch_id,
                    ImageStatus.SCORED,
                    *answer.size[:2],
                    answer.tag,
                )
                for answer in outcomes
            ),
        )
        insert_rows(
            connection,
            volume_result,
            [column.name for column in volume_result.columns],
            (
                (
                    keys.run_id,
                    answer.image_id,
                    *answer.size,
                    *answer.spacing,
                    answer.labelled,
                    answer.mask_path,
                    answer.planes_path,
                )
                for answer in outcomes
            ),
        )
        insert_rows(
            connection,
            segment,
            [column.name for column in segment.columns],
            (
                (
                    keys.run_id,
                    answer.image_id,
                    keys.findings[found.finding],
                    found.kind,
                    found.voxels,
                    found.components,
                    found.ml,
                    found.largest_ml,
                    *((None,) * 6 if found.box is None else (*found.box[0], *found.box[1])),
                    *(found.centroid or (None,) * 3),
                    found.probability_max,
                    found.reference_voxels,
                    *astuple(found.measures),
                )
                for answer in outcomes
                for found in answer.segments
            ),
        )


class MeasuredSegment(NamedTuple):
    """A labelled case's measures of a class or region, in the order of MEASURES."""

    finding_id: int
    finding: str
    image_index: str
    patient_id: str | None
    measures: tuple[float | None, ...]


def read_measures(connection: Connection, run_id: int) -> list[MeasuredSegment]:
    """Read what a run's evaluation summarises: the segments of its labelled cases, in the model's order."""
    rows = connection.execute(
        select(
            finding.c.id,
            finding.c.name,
            image.c.image_index,
            manifest_row.c.patient_id,
            *(segment.c[name] for name in MEASURES),
        )
        .join_from(segment, run, run.c.id == segment.c.run_id)
        .join(
            volume_result,
            (volume_result.c.run_id == segment.c.run_id) & (volume_result.c.image_id == segment.c.image_id),
        )
        .join(
            model_finding,
            (model_finding.c.model_id == run.c.model_id)
            & (model_finding.c.finding_id == segment.c.finding_id),
        )
        .join(finding, finding.c.id == segment.c.finding_id)
        .join(image, image.c.id == segment.c.image_id)
        .join(
            manifest_row,
            (manifest_row.c.manifest_id == run.c.manifest_id) & (manifest_row.c.image_id == image.c.id),
        )
        .where(segment.c.run_id == run_id, volume_result.c.labelled)
        .order_by(model_finding.c.position, manifest_row.c.row_number)
    )
    return [
        MeasuredSegment(finding_id, name, image_index, patient_id, tuple(measures))
        for finding_id, name, image_index, patient_id, *measures in rows
    ]
