"""Why a file of a tree is not in its manifest: the fixed list of reasons."""

from enum import StrEnum
from typing import NamedTuple


class Skip(StrEnum):
    """Why a file is passed over; docs/dicom.md says more about each."""

    LATERAL = "lateral"
    """A lateral radiograph."""
    OTHER_VIEW = "other_view"
    """An oblique one, or one of a patient who lies on the side."""
    BODY_PART = "body_part"
    """A radiograph of something else than the chest."""
    LOCALIZER = "localizer"
    """A scout view, by which a scan was planned."""
    FOR_PROCESSING = "for_processing"
    """The detector's values, not yet a picture for a person's eye."""
    OTHER_MODALITY = "other_modality"
    """CT, MR, ultrasound and whatever else is no radiograph."""
    REPORT = "report"
    """A structured report, a key object selection or an enclosed document."""
    NO_PICTURE = "no_picture"
    """Another DICOM object without a picture: a presentation state, a waveform."""
    COLOUR = "colour"
    """A DICOM picture in colour: a screenshot, not a radiograph."""
    BURNED_IN = "burned_in"
    """Text is part of its pixels, as its header says, where that is not wanted."""
    SEVERAL_FRAMES = "several_frames"
    """A film strip in one file."""
    DICOMDIR = "dicomdir"
    """The directory of a DICOM medium, not a picture of it."""
    DUPLICATE = "duplicate"
    """The same bytes as another file, which is in the manifest."""
    NOT_DICOM = "not_dicom"
    """A PNG or JPEG file, where only DICOM files are wanted."""
    NOT_A_PICTURE = "not_a_picture"
    """Neither DICOM nor PNG nor JPEG, by its content."""
    UNREADABLE = "unreadable"
    """It may not be read, or its DICOM header is damaged, cut, or larger than any real one."""
    EMPTY = "empty"
    """0 bytes."""
    MISSING = "missing"
    """Named in a DICOMDIR, and not there."""
    NIGHTREADS_OWN = "nightreads_own"
    """The home folder, or that of overlays or models: its pictures are drawn by Nightread."""
    LINK = "link"
    """A symbolic link to a file or folder of the same tree, which is found at its own place."""
    OUTSIDE_ROOT = "outside_root"
    """A symbolic link, or a name in a DICOMDIR, that leads out of the tree; it is not followed."""
    NOT_A_FILE = "not_a_file"
    """A pipe, a socket or a device."""
    BAD_NAME = "bad_name"
    """A name that no table can hold: not UTF-8, a control character, a backslash, blanks at an end."""


class Skipped(NamedTuple):
    """A file that is not in the manifest. `modality`: its DICOM modality, blank where it has none."""

    name: str
    reason: Skip
    modality: str = ""
