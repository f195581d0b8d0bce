"""What golden scores belong to: a test pattern as a picture, and as a DICOM film with its greys to make."""

from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.cards.classification import ClassificationCard
from workers.inference.formats.decode import decode
from workers.inference.pixels import prepare_views, test_pattern

PATTERN: Final = "the test pattern"
FILM: Final = "the test pattern as a DICOM film"


def pattern_views(card: ClassificationCard) -> NDArray[np.float32]:
    """Return the pattern as the card prepares it: (views, size, size, channels)."""
    return prepare_views(test_pattern(card.pixels.size), card.pixels)


def film_views(card: ClassificationCard) -> NDArray[np.float32]:
    """Return the film as the card makes its greys and prepares it: (views, size, size, channels)."""
    size = card.pixels.size
    return prepare_views(decode(film_of_pattern(size), size * size, card.pixels.greyscale), card.pixels)


def film_of_pattern(size: int) -> bytes:
    """Return a film, (size, size): of 12 bits, negative, rescaled, with a window and padding.

    The window cuts off dark and bright values, the bits above those stored are in use, and the upper
    sixteenth of the rows is padding.
    """
    pattern = test_pattern(size).values.astype(np.uint16)
    words = 400 + 12 * pattern
    words[: size // 16] = 0
    # By name: pydicom is loaded with it, for which a command that checks no model does not wait.
    content: bytes = resolve_name("config.dicom:make_film")(
        words | ((pattern & 0xF0) << 8),
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=12,
        HighBit=11,
        PixelPaddingValue=0,
        RescaleSlope=2,
        RescaleIntercept=-1000,
        WindowCenter=[2900, 1000],
        WindowWidth=[4000, 300],
    )
    return content


def expected_scores(
    card: ClassificationCard,
) -> Iterator[tuple[str, NDArray[np.float32], tuple[float, ...]]]:
    """Yield what is scored, its views, and the card's scores; a card may have none of the film."""
    yield PATTERN, pattern_views(card), card.golden
    if card.golden_film is not None:
        yield FILM, film_views(card), card.golden_film
