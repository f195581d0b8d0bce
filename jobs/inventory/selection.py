"""Which DICOM files are frontal radiographs of a chest, as far as their headers say."""

from typing import Final

from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from jobs.inventory.header import Header
from jobs.inventory.skips import Skip
from jobs.inventory.view import FRONTAL, LATERAL

_CLASSES: Final = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)
"""Kinds of DICOM object that radiographs are."""

RADIOGRAPHS: Final = frozenset({"CR", "DX", "RG"})

_DOCUMENTS: Final = frozenset({"SR", "KO", "DOC"})

MODALITIES: Final = frozenset(
    (
        *RADIOGRAPHS,
        *_DOCUMENTS,
        *(
            "AU",
            "BI",
            "BMD",
            "CT",
            "ECG",
            "ES",
            "GM",
            "IO",
            "IVUS",
            "MG",
            "MR",
            "NM",
            "OP",
            "OPT",
            "OT",
            "PR",
        ),
        *(
            "PT",
            "PX",
            "REG",
            "RESP",
            "RF",
            "RTDOSE",
            "RTIMAGE",
            "RTPLAN",
            "RTRECORD",
            "RTSTRUCT",
            "SC",
            "SEG",
        ),
        *("SM", "TG", "US", "XA", "XC"),
    )
)
"""Defined terms of the modality (PS3.3 C.7.3.1.1.1); another word is not passed on."""

_OTHER_PARTS: Final = frozenset(
    (
        *("ABDOMEN", "ABDOMENPELVIS", "ANKLE", "ARM", "BREAST", "CALCANEUS", "CLAVICLE", "COCCYX", "CSPINE"),
        *(
            "ELBOW",
            "EXTREMITY",
            "FEMUR",
            "FINGER",
            "FOOT",
            "FOREARM",
            "HAND",
            "HEAD",
            "HIP",
            "HUMERUS",
            "JAW",
        ),
        *("KNEE", "KUB", "LEG", "LSPINE", "LSSPINE", "MANDIBLE", "MAXILLA", "NECK", "ORBIT", "PATELLA"),
        *(
            "PELVIS",
            "SACRUM",
            "SCAPULA",
            "SHOULDER",
            "SINUS",
            "SINUSES",
            "SKULL",
            "SPINE",
            "SSPINE",
            "TIBFIB",
        ),
        *("TIBIA", "TOE", "TSPINE", "WRIST", "ZYGOMA"),
    )
)
"""Body parts, as films name them, that are not the chest. An unknown word may be it, in any language."""


def skip_of(header: Header, view: str, *, any_view: bool) -> Skip | None:
    """Return why a DICOM file is passed over, None for a radiograph that is kept.

    `view` is that of `view_of`; with `any_view` it makes no difference.
    """
    if header.number("Rows") is None or header.number("Columns") is None:
        return skip_without_picture(header)
    image_type = [word.upper() for word in header.texts("ImageType")]
    part = header.word("BodyPartExamined").replace(" ", "").replace("-", "")
    found = (
        (Skip.LOCALIZER, "LOCALIZER" in image_type),
        (Skip.OTHER_MODALITY, not _is_radiograph(header)),
        (Skip.FOR_PROCESSING, _is_for_processing(header)),
        (Skip.SEVERAL_FRAMES, (header.number("NumberOfFrames") or 1) > 1),
        (Skip.COLOUR, (header.number("SamplesPerPixel") or 1) > 1),
        (Skip.COLOUR, header.word("PhotometricInterpretation") == "PALETTE COLOR"),
        (Skip.BODY_PART, part in _OTHER_PARTS),
        (Skip.LATERAL, view == LATERAL and not any_view),
        (Skip.OTHER_VIEW, view not in FRONTAL and not any_view),
    )
    return next((reason for reason, applies in found if applies), None)


def skip_without_picture(header: Header) -> Skip:
    """Return why a DICOM file without rows and columns is passed over."""
    sop_class, modality = header.word("SOPClassUID"), header.word("Modality")
    if sop_class in {"", *_CLASSES} or modality in RADIOGRAPHS:
        return Skip.UNREADABLE  # its header ends early
    return Skip.REPORT if modality in _DOCUMENTS else Skip.NO_PICTURE


def _is_radiograph(header: Header) -> bool:
    sop_class, modality = header.word("SOPClassUID"), header.word("Modality")
    return sop_class in {"", *_CLASSES} and (modality in RADIOGRAPHS or bool(sop_class and not modality))


def _is_for_processing(header: Header) -> bool:
    return (
        header.word("SOPClassUID") == DigitalXRayImageStorageForProcessing
        or header.word("PresentationIntentType") == "FOR PROCESSING"
    )
