"""Whether a picture is like those that a model knows; the view `quality` holds it."""

from dataclasses import dataclass
from enum import StrEnum


class Flag(StrEnum):
    """What a picture that is not like them seems to be."""

    UNLIKE = "unlike"
    """Another thing: no chest, a lateral, a part of a chest, a picture with nothing on it."""
    CONTRAST = "contrast"
    """Darker, brighter, flatter or harder than all of them."""
    INVERTED = "inverted"
    """Its negative is like them."""
    MIRRORED = "mirrored"
    """Its mirror image is more like them: left is right, or the heart lies right."""
    ROTATED_90 = "rotated_90"
    """It is like them when it is turned left by 90 degrees; so do the next two say."""
    ROTATED_180 = "rotated_180"
    ROTATED_270 = "rotated_270"


@dataclass(frozen=True, slots=True)
class Quality:
    """How a model's gate sees a picture.

    `feature_distance`: of the network's features from those of the pictures that the gate was fitted on;
    `picture_distance`: of its greys, at 16 x 16. Both are Mahalanobis distances, divided by the largest that
    passes. `brightness` and `contrast`: mean and standard deviation of those greys, 0 to 255. `flag`: why it
    does not pass, None where it does.
    """

    feature_distance: float
    picture_distance: float
    brightness: float
    contrast: float
    flag: Flag | None
