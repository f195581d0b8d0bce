"""The answer of a classifying network: one probability per finding, each with its map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection

from config.films import Film
from config.quality import Quality
from db.database import insert_rows
from db.outcomes import BatchKeys
from db.schema.runs import image_result, score
from db.states import ImageStatus


@dataclass(frozen=True, slots=True)
class FindingScore:
    """A finding's probability and, in pixels of the original image, its map's peak and box (x, y, w, h).

    `spread`: how far an ensemble's members are apart; None of one network.
    """

    finding: str
    probability: float
    peak: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None
    overlay_path: str | None = None
    spread: float | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """An image's answer by a classifying network; `maps` are float16 bytes (*map_shape, findings).

    `tag`: of the bytes that were read, None where none were. `film`: what a DICOM file says of its picture,
    None for other files. `quality`: what the model's gate says of it, None without a gate.
    """

    image_id: int
    width: int
    height: int
    scores: tuple[FindingScore, ...]
    maps: bytes | None = None
    map_shape: tuple[int, int] | None = None
    film: Film | None = None
    quality: Quality | None = None
    tag: str | None = None

    @classmethod
    def write(cls, connection: Connection, keys: BatchKeys, outcomes: Sequence[Self]) -> None:
        """Write scored images and their findings."""
        insert_rows(
            connection,
            image_result,
            (
                "run_id",
                "image_id",
                "batch_id",
                "status",
                "width",
                "height",
                "maps",
                "map_height",
                "map_width",
                "greyscale",
                "padded",
                "spacing_down",
                "spacing_across",
                "spacing",
                "feature_distance",
                "picture_distance",
                "brightness",
                "contrast",
                "flag",
                "tag",
            ),
            (
                (
                    keys.run_id,
                    classification.image_id,
                    keys.batch_id,
                    ImageStatus.SCORED,
                    classification.width,
                    classification.height,
                    classification.maps,
                    *(classification.map_shape or (None, None)),
                    *_of_film(classification.film),
                    *_of_quality(classification.quality),
                    classification.tag,
                )
                for classification in outcomes
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
                "spread",
            ),
            (
                (
                    keys.run_id,
                    classification.image_id,
                    keys.findings[value.finding],
                    value.probability,
                    *(value.peak or nowhere[:2]),
                    *(value.box or nowhere),
                    value.overlay_path,
                    value.spread,
                )
                for classification in outcomes
                for value in classification.scores
            ),
        )


def _of_film(film: Film | None) -> tuple[str | None, bool | None, float | None, float | None, str | None]:
    """Give a film's columns: greyscale, padded, spacing down and across, and which spacing it is."""
    if film is None:
        return None, None, None, None, None
    spacing = film.spacing
    if spacing is None:
        return film.greyscale, film.padded, None, None, None
    return film.greyscale, film.padded, spacing.down, spacing.across, spacing.source


def _of_quality(quality: Quality | None) -> tuple[float | str | None, ...]:
    """Give the gate's columns: the distances of features and picture, brightness, contrast and the flag."""
    if quality is None:
        return None, None, None, None, None
    return (
        quality.feature_distance,
        quality.picture_distance,
        quality.brightness,
        quality.contrast,
        quality.flag,
    )
