"""Why an image has no scores: the fixed list of stages and reasons, and the error that carries one of them.

The view `failures` holds these words; docs/failures.md says what to do about each.
"""

from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    """Where on the data's way an image failed."""

    READ = "read"
    """Fetching, checking, decoding and preparing the picture."""
    SCORE = "score"
    """The network's answer."""
    IMPORT = "import"
    """Another system's scores."""
    WORKER = "worker"
    """The process itself, not the image's content as far as anybody knows."""


class Reason(StrEnum):
    """Why an image failed, for good: scoring it again without a change gives the same reason."""

    MISSING = "missing"
    """The source has no such image, or none can have such a name."""
    OUTSIDE_ROOT = "outside_root"
    """The name or a link leaves the images' root; nothing was read."""
    UNREADABLE = "unreadable"
    """It exists, but reading it is refused."""
    NOT_A_FILE = "not_a_file"
    """A folder, a pipe or a device."""
    EMPTY = "empty"
    """0 bytes."""
    TOO_LARGE = "too_large"
    """More pixels, bytes or parts than the limits allow, or than the memory holds."""
    WRONG_FORMAT = "wrong_format"
    """Not a supported format, whatever its name says."""
    TRUNCATED = "truncated"
    """The file ends before its picture does."""
    DAMAGED = "damaged"
    """A wrong checksum, or content that cannot be decoded."""
    WRONG_DEPTH = "wrong_depth"
    """A 16-bit picture that leaves open how many of its bits are used, or whose values do not fit them."""
    WRONG_SHAPE = "wrong_shape"
    """A volume without the model's channels, or a sequence or label with other voxels than the rest."""
    BAD_VALUES = "bad_values"
    """Voxels that are no number, or labels that are none of the model's classes."""
    TOO_SMALL = "too_small"
    """A side of fewer pixels than the model's card allows."""
    NO_CONTRAST = "no_contrast"
    """Wholly or nearly of one grey value."""
    UNLIKE = "unlike"
    """Not like the pictures that the model knows, and its gate refuses such."""
    NOT_FINITE = "not_finite"
    """The network gave a score that is not a number."""
    NO_SCORE = "no_score"
    """An imported file has no number for it."""
    WORKER_DIED = "worker_died"
    """Each worker that had this image alone died."""


_LATER: Final = {
    Reason.UNLIKE: Stage.SCORE,
    Reason.NOT_FINITE: Stage.SCORE,
    Reason.NO_SCORE: Stage.IMPORT,
    Reason.WORKER_DIED: Stage.WORKER,
}
STAGE_OF: Final = {reason: _LATER.get(reason, Stage.READ) for reason in Reason}
"""Where an image fails for each reason."""


class ImageUnusableError(Exception):
    """An image that cannot be scored, now or later, for a reason of its own."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Keep the reason beside the message."""
        super().__init__(message)
        self.reason = reason
        self.message = message
