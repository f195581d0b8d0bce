"""Which DICOM files are kept, and for which reason each other kind is passed over."""

import io
from typing import Any

import pytest
from films import film_of
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from jobs.inventory.header import read_header
from jobs.inventory.selection import skip_of
from jobs.inventory.skips import Skip
from jobs.inventory.view import view_of

NONE: dict[str, Any] = {"Rows": None, "Columns": None, "PixelData": None}

KEPT: dict[str, dict[str, Any]] = {
    "CR": {},
    "DX for presentation": {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "Modality": "DX",
        "PresentationIntentType": "FOR PRESENTATION",
    },
    "secondary capture of CR": {"SOPClassUID": SecondaryCaptureImageStorage},
    "secondary capture without a modality": {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": ""},
    "one frame of a kind with several": {
        "SOPClassUID": MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        "NumberOfFrames": "1",
    },
    "no class": {"SOPClassUID": None},
    "unknown view": {"ViewPosition": None},
    "unknown body part": {"BodyPartExamined": None},
    "body part in another language": {"BodyPartExamined": "BRUSTKORB"},
    "MONOCHROME1": {"PhotometricInterpretation": "MONOCHROME1"},
}

SKIPPED: dict[str, tuple[dict[str, Any], Skip]] = {
    "lateral": ({"ViewPosition": "LL"}, Skip.LATERAL),
    "oblique": ({"ViewPosition": "RAO"}, Skip.OTHER_VIEW),
    "on the side": ({"ViewPosition": "RLD"}, Skip.OTHER_VIEW),
    "hand": ({"BodyPartExamined": "HAND"}, Skip.BODY_PART),
    "spine": ({"BodyPartExamined": "T-SPINE"}, Skip.BODY_PART),
    "localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Skip.LOCALIZER),
    "scout of a CT": (
        {"SOPClassUID": CTImageStorage, "Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        Skip.LOCALIZER,
    ),
    "detector's values": (
        {"SOPClassUID": DigitalXRayImageStorageForProcessing, "Modality": "DX"},
        Skip.FOR_PROCESSING,
    ),
    "detector's values by their intent": ({"PresentationIntentType": "FOR PROCESSING"}, Skip.FOR_PROCESSING),
    "CT": ({"SOPClassUID": CTImageStorage, "Modality": "CT"}, Skip.OTHER_MODALITY),
    "ultrasound": ({"SOPClassUID": UltrasoundImageStorage, "Modality": "US"}, Skip.OTHER_MODALITY),
    "capture of a CT": ({"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "CT"}, Skip.OTHER_MODALITY),
    "neither class nor modality": ({"SOPClassUID": None, "Modality": None}, Skip.OTHER_MODALITY),
    "report": ({"SOPClassUID": BasicTextSRStorage, "Modality": "SR"} | NONE, Skip.REPORT),
    "key objects": ({"SOPClassUID": KeyObjectSelectionDocumentStorage, "Modality": "KO"} | NONE, Skip.REPORT),
    "PDF": ({"SOPClassUID": EncapsulatedPDFStorage, "Modality": "DOC"} | NONE, Skip.REPORT),
    "presentation state": (
        {"SOPClassUID": GrayscaleSoftcopyPresentationStateStorage, "Modality": "PR"} | NONE,
        Skip.NO_PICTURE,
    ),
    "screenshot": (
        {
            "SOPClassUID": SecondaryCaptureImageStorage,
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": "RGB",
        },
        Skip.COLOUR,
    ),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, Skip.COLOUR),
    "frames": ({"NumberOfFrames": "12"}, Skip.SEVERAL_FRAMES),
    "film that ends in its header": (NONE, Skip.UNREADABLE),
}


def skip(attributes: dict[str, Any], *, any_view: bool = False) -> Skip | None:
    header = read_header(io.BytesIO(film_of(**attributes)))
    return skip_of(header, view_of(header), any_view=any_view)


@pytest.mark.parametrize("kind", KEPT)
def test_a_frontal_radiograph_is_kept(kind: str) -> None:
    assert skip(KEPT[kind]) is None


@pytest.mark.parametrize("kind", SKIPPED)
def test_everything_else_has_its_reason(kind: str) -> None:
    attributes, reason = SKIPPED[kind]
    assert skip(attributes) == reason


def test_every_view_is_kept_where_all_are_wanted() -> None:
    for kind, (attributes, reason) in SKIPPED.items():
        wanted = reason in {Skip.LATERAL, Skip.OTHER_VIEW}
        assert (skip(attributes, any_view=True) is None) == wanted, kind
