"""From an image of a run to its results as DICOM files in memory."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.filewriter import correct_ambiguous_vr

from config.failures import ImageUnusableError, Reason
from db.scored_images import RunOrigin, ScoredImage
from jobs.deliveries.kinds import Kind
from jobs.deliveries.peer import DicomObject
from workers.inference.formats.decode import Readable
from workers.outputs.dicom.capture import captures
from workers.outputs.dicom.film import read_film
from workers.outputs.dicom.identity import Identity
from workers.outputs.dicom.presentation import states
from workers.outputs.dicom.report import reports

_MAKERS: Final[Mapping[Kind, Callable[[Identity, int], Iterator[tuple[str | None, Dataset]]]]] = {
    "dicom-sr": reports,
    "dicom-sc": captures,
    "dicom-gsps": states,
}


def make_objects(
    kinds: Sequence[Kind], origin: RunOrigin, image: ScoredImage, source: Readable, max_pixels: int
) -> list[DicomObject] | None:
    """Return an image's results, the same bytes each time; None where it is no DICOM file.

    Raises ImageUnusableError where its file cannot be read, or results cannot stand beside it.
    """
    film = read_film(source, image.name, max_pixels)
    if film is None:
        return None
    size = (film.dataset.get("Columns"), film.dataset.get("Rows"))
    if image.width is not None and size != (image.width, image.height):
        raise ImageUnusableError(Reason.DAMAGED, "has another size than when it was scored")
    found: list[DicomObject] = []
    for kind in kinds:
        identity = Identity(kind, origin, image, film)
        try:
            made = list(_MAKERS[kind](identity, max_pixels))
        except (AttributeError, KeyError, TypeError, ValueError):
            # A header that contradicts itself; the libraries' texts quote it.
            raise ImageUnusableError(
                Reason.DAMAGED, f"its DICOM header is such that no {kind} can refer to it"
            ) from None
        found += (_written(kind, finding, identity.settled(result)) for finding, result in made)
    return found


def _written(kind: Kind, finding: str | None, result: Dataset) -> DicomObject:
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
