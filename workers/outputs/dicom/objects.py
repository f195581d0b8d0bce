"""From an image of a run to its results as DICOM files in memory."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.filewriter import correct_ambiguous_vr

from config.failures import ImageUnusableError, Reason
from db.scored_images import RunOrigin, ScoredImage
from jobs.deliveries.peer import DicomObject
from jobs.kinds.objects import ObjectKind
from jobs.sources.source import ImageSource
from workers.inference.formats.decode import most_bytes, picture_of
from workers.inference.volumes.volume import on_grid
from workers.outputs.dicom.capture import Decode, captures
from workers.outputs.dicom.film import film_of
from workers.outputs.dicom.identity import Identity
from workers.outputs.dicom.presentation import states
from workers.outputs.dicom.report import reports
from workers.outputs.dicom.segmentation import segmentations
from workers.outputs.dicom.slices import read_slices
from workers.outputs.masks import Masks

_Results = Iterator[tuple[str | None, Dataset]]
"""Each with the finding that it is of, None where it is of all."""

_OF_FILMS: Final[Mapping[ObjectKind, Callable[[Identity, Decode], _Results]]] = {
    "dicom-sr": reports,
    "dicom-sc": captures,
    "dicom-gsps": states,
}


def make_objects(
    kinds: Sequence[ObjectKind],
    origin: RunOrigin,
    image: ScoredImage,
    source: ImageSource,
    max_pixels: int,
    outputs: Path,
) -> list[DicomObject] | None:
    """Return an image's results, the same bytes each time; None where it is no DICOM file.

    `outputs`: the folder below which masks lie. Raises ImageUnusableError where its files cannot be read, or
    results cannot stand beside them, and what `Masks.read` raises.
    """
    if "dicom-seg" in kinds:
        return _of_series(origin, image, source, max_pixels, Masks(outputs))
    content = source.read(image.name, most_bytes(max_pixels)).data
    film = film_of(content, max_pixels)
    if film is None:
        return None
    size = (film.dataset.get("Columns"), film.dataset.get("Rows"))
    if image.width is not None and size != (image.width, image.height):
        raise ImageUnusableError(Reason.DAMAGED, "has another size than when it was scored")
    decode = partial(picture_of, content, max_pixels, origin.bits)
    found: list[DicomObject] = []
    for kind in kinds:
        identity = Identity(kind, origin, image, film)
        found += _made(identity, partial(_OF_FILMS[kind], identity, decode))
    return found


def _of_series(
    origin: RunOrigin, image: ScoredImage, source: ImageSource, max_voxels: int, masks: Masks
) -> list[DicomObject] | None:
    slices = read_slices(source, image.name, max_voxels)
    if slices is None:
        return None
    mask = masks.read(image.mask_path, max_voxels)
    values = on_grid("the mask", mask, "the series", slices.shape, slices.affine).astype(np.uint8)
    identity = Identity("dicom-seg", origin, image, slices.films[0])
    return _made(identity, partial(segmentations, identity, slices, values))


def _made(identity: Identity, results: Callable[[], _Results]) -> list[DicomObject]:
    try:
        made = list(results())
    except (AttributeError, KeyError, TypeError, ValueError):
        # A header that contradicts itself; the libraries' texts quote it.
        raise ImageUnusableError(
            Reason.DAMAGED, f"its DICOM header is such that no {identity.kind} can refer to it"
        ) from None
    return [_written(identity.kind, finding, identity.settled(result)) for finding, result in made]


def _written(kind: ObjectKind, finding: str | None, result: Dataset) -> DicomObject:
    result = correct_ambiguous_vr(result, True)
    # As if it had been read as it is written: pydicom then leaves the film's bytes as they are.
    result.set_original_encoding(False, True, convert_encodings(result.get("SpecificCharacterSet")))
    stream = io.BytesIO()
    result.save_as(stream, enforce_file_format=True)
    return DicomObject(
        kind,
        finding,
        str(result.file_meta.MediaStorageSOPClassUID),
        str(result.file_meta.MediaStorageSOPInstanceUID),
        str(result.file_meta.TransferSyntaxUID),
        stream.getvalue(),
    )
