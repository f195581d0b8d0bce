"""The part of a picture that a network sees, and that its maps cover."""

from dataclasses import dataclass
from typing import Final

from config.cards.classification import Preprocessing

CROPS: Final = 5
"""The middle and the four corners."""


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a picture that a network sees, and that its maps cover; pixels of the picture."""

    left: int
    top: int
    width: int
    height: int


def resized_shape(pixels: Preprocessing, width: int, height: int) -> tuple[int, int]:
    """Return (width, height) of a picture (width x height) as it is resized, before its middle is cut out."""
    first = pixels.resize_first
    if first is None:
        return pixels.size, pixels.size
    if isinstance(first, tuple):
        return first[1], first[0]
    # torchvision's arithmetic: the longer side is cut off to whole pixels.
    return (first, int(first * height / width)) if width <= height else (int(first * width / height), first)


def middle(size: int, width: int, height: int) -> tuple[int, int]:
    """Return (left, top) of the middle, size x size, as torchvision's CenterCrop rounds it."""
    return round((width - size) / 2), round((height - size) / 2)


def five_crops(size: int, width: int, height: int) -> list[tuple[int, int]]:
    """Return (left, top) of the middle and of the four corners, size x size, row by row."""
    corners = [(left, top) for top in (0, height - size) for left in (0, width - size)]
    return [middle(size, width, height), *corners]


def visible_region(pixels: Preprocessing, width: int, height: int) -> Region:
    """Return what a card's network sees of a picture (width x height): all of it, or its middle.

    Of ten crops it is the middle, too, of which the maps are.

    Where a resized picture's middle is cut out, the region is that in the picture itself, in whole pixels.
    """
    if pixels.resize_first is not None:
        across, down = resized_shape(pixels, width, height)
        left, top = middle(pixels.size, across, down)
        return Region(
            round(left * width / across),
            round(top * height / down),
            max(1, round(pixels.size * width / across)),
            max(1, round(pixels.size * height / down)),
        )
    if not pixels.center_crop:
        return Region(0, 0, width, height)
    side = min(height, width)
    # Not (height - side) // 2: torchxrayvision halves each first, a pixel further where only the side is odd.
    return Region(width // 2 - side // 2, height // 2 - side // 2, side, side)
