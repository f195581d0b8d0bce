"""The Medical Segmentation Decathlon's brain tumours: sequences, classes, and the regions of BraTS."""

from typing import Final

CHANNELS: Final = ("FLAIR", "T1", "T1Gd", "T2")
"""In the order of its files."""

CLASSES: Final = ("edema", "non-enhancing", "enhancing")
"""In the order of its labels, 1 to 3."""

REGIONS: Final = {
    "WT": ("edema", "non-enhancing", "enhancing"),
    "TC": ("non-enhancing", "enhancing"),
    "ET": ("enhancing",),
}
"""Whole tumour, tumour core and enhancing tumour, of which the figures of BraTS are."""

PATCH: Final = (160, 160, 16)
"""The course's sub-volume."""
