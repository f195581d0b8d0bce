"""A phantom as a hospital has its films: a DICOM file of 12 bits, whose window gives the drawn greys."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.dicom import make_film
from jobs.phantoms.anatomy import SPACING_MM

_BLACK: Final = 200
_STEP: Final = 14
"""A stored value, and how many of them lie between two greys: 0 to 255 is 200 to 3,770 of 4,095."""

_LARGEST: Final = 4095
_UID: Final = "2.25.{}"
"""A UID of a number of one's own (PS3.5 B.2)."""


def film_of(
    picture: NDArray[np.uint8], *, patient_id: int, follow_up: int, sex: str, age_years: int, view: str
) -> bytes:
    """Return the file of a picture, (rows, columns); without a name, as there is no patient.

    Films of patients with odd numbers are negatives, MONOCHROME1.
    """
    negative = patient_id % 2 == 1
    values = _BLACK + _STEP * picture.astype(np.uint16)
    center = _BLACK + _STEP * 255 / 2
    number = 10 * (100 * patient_id + follow_up)
    return make_film(
        _LARGEST - values if negative else values,
        StudyInstanceUID=_UID.format(number + 1),
        SeriesInstanceUID=_UID.format(number + 2),
        SOPInstanceUID=_UID.format(number + 3),
        PatientName="",
        PatientID=str(patient_id),
        PatientSex=sex,
        PatientAge=f"{age_years:03d}Y",
        BodyPartExamined="CHEST",
        ViewPosition=view,
        PixelSpacing=[SPACING_MM, SPACING_MM],
        PhotometricInterpretation="MONOCHROME1" if negative else "MONOCHROME2",
        BitsStored=12,
        HighBit=11,
        VOILUTFunction="LINEAR_EXACT",
        WindowCenter=_LARGEST - center if negative else center,
        WindowWidth=_STEP * 255,
    )
