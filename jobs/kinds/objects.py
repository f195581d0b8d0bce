"""The kinds of DICOM objects that answers become, by the words that commands take for them."""

from typing import Final, Literal, get_args

ObjectKind = Literal["dicom-sr", "dicom-sc", "dicom-gsps", "dicom-seg"]
"""A structured report, secondary captures, a presentation state, a segmentation."""

OBJECT_KINDS: Final[tuple[ObjectKind, ...]] = get_args(ObjectKind)
