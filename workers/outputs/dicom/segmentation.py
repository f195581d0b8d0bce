"""Segmentations: a case's mask as a DICOM object that lies on its series, a segment per class."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence, seg
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import DSfloat

from config.cards.model import make_card
from config.cards.segmentation import SegmentationCard
from workers.inference.volumes.scan import LPS_TO_RAS
from workers.inference.volumes.volume import Labels, unvalued
from workers.outputs.dicom.codes import LONG_STRING, plain_letters, segment_code
from workers.outputs.dicom.film import Film
from workers.outputs.dicom.identity import LABEL, MANUFACTURER, Identity
from workers.outputs.dicom.slices import Slices

_CONTENT: Final = "AI_SEGMENTATION"

_PLACE: Final = (
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
)
"""Where a slice lies in the patient, beside its pixels' spacing; the distance of slices follows from it."""


def segmentations(identity: Identity, slices: Slices, mask: Labels) -> Iterator[tuple[None, Dataset]]:
    """Yield the segmentation of a case, none of a model of other answers; binary, as viewers show these best.

    `mask`: (x, y, z), along a slice's rows, along its columns, and across the slices, with the card's value
    of each class. A segment has the frames in which it was found. Where nothing was found, all frames of all
    segments are there and empty: an object needs one, and without an object nobody would know that the study
    has been segmented.
    """
    card = make_card(identity.origin.card)
    if not isinstance(card, SegmentationCard):
        return
    labels = unvalued(mask, card.values)
    found = bool(labels.any())
    sources, frames = _sources(slices, labels.transpose(2, 1, 0))
    result = seg.Segmentation(
        source_images=sources,
        pixel_array=frames,
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(identity, number, name) for number, name in enumerate(card.classes, start=1)
        ],
        omit_empty_frames=found,
        sop_instance_uid=identity.uid(),
        instance_number=identity.image.row,
        content_label=_CONTENT,
        content_description=LABEL if found else f"{LABEL}: nothing found",
        **identity.series,
    )
    # The library draws one by lot.
    dimensions = identity.uid("dimensions")
    for item in (*result.DimensionOrganizationSequence, *result.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    yield None, result


def _sources(slices: Slices, frames: Labels) -> tuple[list[Dataset], Labels]:
    """Return what the library may know of the slices, and their labels, (slices, y, x), in the same order.

    Their direction is that of the first one, as the library lets them differ by nothing. Slices that say
    nothing of their thickness have no gaps.
    """
    lps = LPS_TO_RAS @ slices.affine  # which is its own inverse
    if len(slices.films) < len(frames):
        return _enhanced(slices.films[0], lps, frames)
    found = [film.stand_in(*_PLACE) for film in slices.films]
    for part in found:
        part.ImageOrientationPatient = found[0].ImageOrientationPatient
        if "SliceThickness" not in part:
            part.SliceThickness = DSfloat(float(np.linalg.norm(lps[:3, 2])), auto_format=True)
    return found, frames


def _enhanced(film: Film, lps: NDArray[np.float64], frames: Labels) -> tuple[list[Dataset], Labels]:
    """Return an object whose frames are the slices, and the labels in the order of its frames."""
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    measures, direction, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = _decimals(sizes[[1, 0]])
    measures.SliceThickness = _decimals(sizes[2:])[0]
    direction.ImageOrientationPatient = _decimals((lps[:3, :2] / sizes[:2]).T.ravel())
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [direction]
    whole = film.stand_in(*_PLACE[:2])
    whole.SharedFunctionalGroupsSequence = [shared]
    places = []
    groups: list[Dataset] = []
    for frame in film.dataset.PerFrameFunctionalGroupsSequence:
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = frame.PlanePositionSequence[0].ImagePositionPatient
        group.PlanePositionSequence = [place]
        groups.append(group)
        places.append(np.array(place.ImagePositionPatient, dtype=np.float64))
    whole.PerFrameFunctionalGroupsSequence = groups
    order = np.rint(apply_affine(np.linalg.inv(lps), places)[:, 2]).astype(int)
    if sorted(order) != [*range(len(frames))]:
        raise ValueError("its frames are not the slices")
    return [whole], frames[order]


def _decimals(numbers: NDArray[np.float64]) -> list[DSfloat]:
    return [DSfloat(number, auto_format=True) for number in numbers.tolist()]


def _description(identity: Identity, number: int, name: str) -> seg.SegmentDescription:
    origin = identity.origin
    category, kind = segment_code(name)
    return seg.SegmentDescription(
        segment_number=number,
        segment_label=plain_letters(name)[:LONG_STRING],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=origin.model,
            family=codes.DCM.ArtificialIntelligence,
            version=origin.sha256,
            source=f"{MANUFACTURER} {origin.version}"[:LONG_STRING],
        ),
        tracking_uid=identity.uid("segment", name),
        tracking_id=plain_letters(name),
    )
