"""Secondary captures: a finding's overlay as a picture of its own, which any viewer can show."""

from collections.abc import Callable, Iterator
from typing import Final

import cv2
import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import JPEGBaseline8Bit

from config.cards.classification import ClassificationCard
from config.cards.model import make_card
from config.films import Recipe
from db.scored_images import Maps, Score
from workers.inference.formats.picture import Picture
from workers.inference.region import visible_region
from workers.outputs.dicom.identity import LABEL, Identity, finding_text
from workers.outputs.overlays import render

Decode = Callable[[Recipe], Picture]
"""Decodes the film as a recipe shows it; raises ImageUnusableError."""

_LONGEST_SIDE: Final = 1024
"""Pixels: an overlay says where to look, and the film itself is beside it."""

_KEPT: Final = (
    "PatientOrientation",
    "Laterality",
    "ImageLaterality",
    "BurnedInAnnotation",
    "BodyPartExamined",
)
"""What is true of the capture if it is true of the film, as nothing is turned or cut."""


def captures(identity: Identity, decode: Decode) -> Iterator[tuple[str, Dataset]]:
    """Yield a capture per finding over its threshold, drawn from the stored map.

    None where the run has no maps. Raises ImageUnusableError where the picture cannot be decoded.
    """
    image, card = identity.image, make_card(identity.origin.card)
    flagged = [score for score in image.scores if score.flagged]
    if not flagged or image.maps is None or not isinstance(card, ClassificationCard):
        return
    picture = decode(card.pixels.greyscale)
    region = visible_region(card.pixels, picture.width, picture.height)
    maps = maps_of(image.maps)
    for score in flagged:
        overlay = render(picture, maps[:, :, score.position].astype(np.float32), _LONGEST_SIDE, region)
        said = finding_text(score.finding, score.probability)
        yield (
            score.finding,
            _capture(identity, score, _captioned(overlay, said, f"{LABEL}: {identity.origin.model}")),
        )


def maps_of(maps: Maps) -> NDArray[np.float16]:
    """Return stored maps: (height, width, findings)."""
    return np.frombuffer(maps.content, dtype="<f2").reshape(maps.height, maps.width, -1)


def _capture(identity: Identity, score: Score, overlay: NDArray[np.uint8]) -> Dataset:
    result = SCImage.from_ref_dataset(
        ref_dataset=identity.film.stand_in(),
        pixel_array=cv2.cvtColor(overlay, cv2.COLOR_BGR2RGB),
        photometric_interpretation="YBR_FULL_422",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # it is asked for; the film's own takes its place
        sop_instance_uid=identity.uid(score.finding),
        instance_number=identity.image.row * len(identity.image.scores) + score.position,
        transfer_syntax_uid=JPEGBaseline8Bit,
        **identity.series,
    )
    result.LossyImageCompression = "01"
    result.LossyImageCompressionRatio = f"{overlay.size / len(result.PixelData):.2f}"
    result.LossyImageCompressionMethod = "ISO_10918_1"
    result.DerivationDescription = f"{LABEL}: Grad-CAM, {finding_text(score.finding, score.probability)}"
    source = Dataset()
    source.ReferencedSOPClassUID = identity.film.uid("SOPClassUID")
    source.ReferencedSOPInstanceUID = identity.film.uid("SOPInstanceUID")
    result.SourceImageSequence = [source]
    # Distances are not kept: nobody shall measure on a capture.
    aspect = identity.film.aspect()
    if aspect is not None:
        result.PixelAspectRatio = aspect
    result.PatientOrientation = []
    for tag in map(Tag, _KEPT):
        if tag in identity.film.dataset:
            result[tag] = identity.film.element(tag)
    return result


def _captioned(overlay: NDArray[np.uint8], *lines: str) -> NDArray[np.uint8]:
    """Put lines on a dark strip below a picture, of which nothing is hidden."""
    width = overlay.shape[1]
    scale = max(0.35, width / 1100)
    step = round(30 * scale)
    strip = np.zeros((step * len(lines) + step // 2, width, 3), dtype=np.uint8)
    for number, line in enumerate(lines, start=1):
        place = (step // 2, number * step)
        cv2.putText(strip, line, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([overlay, strip])
