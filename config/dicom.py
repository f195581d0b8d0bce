"""pydicom, kept from saying what a file says."""

import logging
import warnings
from typing import Final

import pydicom

SPACINGS: Final = ("PixelSpacing", "ImagerPixelSpacing")
"""Where a file has the distance of its pixels: in the patient, if calibrated, before that on the detector."""


def silence_pydicom() -> None:
    """Switch off the warnings and log lines of pydicom: they quote values, which may be a patient's name."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").disabled = True
    warnings.filterwarnings("ignore", module=r"pydicom\.")
