"""How an image ends in a run, scored or failed, and the rows that this makes."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert

from config.failures import Reason, Stage
from db.database import insert_rows
from db.schema.runs import image_result, score
from db.states import ImageStatus


@dataclass(frozen=True, slots=True)
class FindingScore:
    """A finding's probability and, in pixels of the original image, its map's peak and box (x, y, w, h)."""

    finding: str
    probability: float
    peak: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None
    overlay_path: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """An image with its scores; `maps` are float16 bytes of shape `map_shape` (h, w, findings)."""

    image_id: int
    width: int
    height: int
    scores: tuple[FindingScore, ...]
    maps: bytes | None = None
    map_shape: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An image that cannot be scored, and why."""

    image_id: int
    stage: Stage
    reason: Reason
    message: str


Outcome = Scored | Failed


def write_failed(connection: Connection, run_id: int, batch_id: int, failed: Sequence[Failed]) -> None:
    """Write the images that cannot be scored."""
    if failed:
        connection.execute(
            insert(image_result),
            [
                {
                    "run_id": run_id,
                    "image_id": one.image_id,
                    "batch_id": batch_id,
                    "status": ImageStatus.FAILED,
                    "stage": one.stage,
                    "reason": one.reason,
                    "message": one.message,
                }
                for one in failed
            ],
        )


def write_scored(
    connection: Connection, run_id: int, batch_id: int, scored: Sequence[Scored], findings: dict[str, int]
) -> None:
    """Write scored images and their findings; `findings` maps the names in the scores to their ids."""
    insert_rows(
        connection,
        image_result,
        ("run_id", "image_id", "batch_id", "status", "width", "height", "maps", "map_height", "map_width"),
        (
            (
                run_id,
                one.image_id,
                batch_id,
                ImageStatus.SCORED,
                one.width,
                one.height,
                one.maps,
                *(one.map_shape or (None, None)),
            )
            for one in scored
        ),
    )
    nowhere = (None, None, None, None)
    insert_rows(
        connection,
        score,
        (
            "run_id",
            "image_id",
            "finding_id",
            "probability",
            "peak_x",
            "peak_y",
            "box_x",
            "box_y",
            "box_width",
            "box_height",
            "overlay_path",
        ),
        (
            (
                run_id,
                one.image_id,
                findings[value.finding],
                value.probability,
                *(value.peak or nowhere[:2]),
                *(value.box or nowhere),
                value.overlay_path,
            )
            for one in scored
            for value in one.scores
        ),
    )
