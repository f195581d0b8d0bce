"""DICOM: one frame per file, in any transfer syntax that has a line in `codecs`."""

from pkgutil import resolve_name
from typing import Final

from config.films import Recipe
from workers.inference.formats.picture import Picture

_PREAMBLE: Final = 128
_MAGIC: Final = b"DICM"


def matches(head: bytes) -> bool:
    """Return whether a file with this beginning is a DICOM file."""
    return head.startswith(_MAGIC, _PREAMBLE)


def decode(content: bytes, max_pixels: int, recipe: Recipe) -> Picture:
    """Decode one frame as a recipe shows it; raises ImageUnusableError with the reason.

    Grey is 0 (black) to 255 (white), whichever of the two the file stores as 0; float32 unless each value is
    a whole number.
    """
    # pydicom takes half a second to load, which a command that reads PNGs does not spend.
    picture: Picture = resolve_name(f"{__name__}.film:decode")(content, max_pixels, recipe)
    return picture
