"""The part of a picture that a network sees, and that its maps cover."""

from dataclasses import dataclass

from config.cards.classification import Preprocessing


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a picture that a network sees, and that its maps cover; pixels of the picture."""

    left: int
    top: int
    width: int
    height: int


def visible_region(pixels: Preprocessing, width: int, height: int) -> Region:
    """Return what a card's network sees of a picture (width x height): all of it, or its middle square."""
    if not pixels.center_crop:
        return Region(0, 0, width, height)
    side = min(height, width)
    # Not (height - side) // 2: torchxrayvision halves each first, a pixel further where only the side is odd.
    return Region(width // 2 - side // 2, height // 2 - side // 2, side, side)
