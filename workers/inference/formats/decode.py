"""From a file's bytes to a decoded picture: its content, not its name, decides which format it is."""

from typing import Final, Protocol

from config.content import Content
from config.failures import ImageUnusableError, Reason
from config.films import Recipe
from workers.inference.formats import dicom, jpeg, png, strangers
from workers.inference.formats.depth import rescaled
from workers.inference.formats.picture import Picture

_HEAD: Final = strangers.HEAD
"""The number of bytes by which every format, and every other kind of file, can be recognised."""

_BYTES_PER_PIXEL: Final = 8
"""Bytes per pixel of the largest picture that a file may hold uncompressed: 16-bit RGBA."""


class Format(Protocol):
    """A format of pictures: a module with these two functions."""

    def matches(self, head: bytes) -> bool:
        """Return whether a file is of this format, by its first bytes."""

    def decode(self, content: bytes, max_pixels: int, recipe: Recipe, /) -> Picture:
        """Decode a whole file of at most `max_pixels`; raises ImageUnusableError with the reason.

        `recipe`: how greys are made of values that no screen shows as they are; others are as they are.
        """


FORMATS: Final[dict[str, Format]] = {
    "PNG": png,
    "JPEG": jpeg,
    "DICOM": dicom,
}
"""The supported formats, by the names that people know them by."""


class Readable(Protocol):
    """Where pictures are read from: a source of images."""

    def read(self, name: str, max_bytes: int) -> Content:
        """Return an image's content; raises ImageUnusableError with the reason."""


def read_picture(
    source: Readable, name: str, max_pixels: int, bits: int | None = None, recipe: Recipe = "window"
) -> Picture:
    """Read one image of a source, of which 16-bit pictures use so many `bits`, None where nobody knows.

    `recipe`: the card's, which makes greys of a DICOM film's values. Raises ImageUnusableError with the
    reason.
    """
    return picture_of(source.read(name, most_bytes(max_pixels)).data, max_pixels, bits, recipe)


def picture_of(content: bytes, max_pixels: int, bits: int | None, recipe: Recipe) -> Picture:
    """Make a picture of an image's content, as `read_picture` does; raises ImageUnusableError."""
    return rescaled(decode(content, max_pixels, recipe), bits)


def most_bytes(max_pixels: int) -> int:
    """Return how many bytes the file of a picture of so many pixels may have."""
    return max_pixels * _BYTES_PER_PIXEL


def decode(content: bytes, max_pixels: int, recipe: Recipe = "window") -> Picture:
    """Decode a file of any known format; raises ImageUnusableError for any other or damaged content."""
    head = content[:_HEAD]
    found = next((known for known in FORMATS.values() if known.matches(head)), None)
    if found is None:
        names = ", ".join(FORMATS)
        what = strangers.describe(head) or f"is none of {names}, whatever its name"
        raise ImageUnusableError(Reason.WRONG_FORMAT, what)
    try:
        return found.decode(content, max_pixels, recipe)
    except (ImageUnusableError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  # damage makes parsers raise IndexError too, and more
        raise ImageUnusableError(Reason.DAMAGED, f"cannot be decoded: {error}") from None
