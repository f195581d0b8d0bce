"""The ways from a DICOM film's stored values to greys, as one table: the standard's, and those of data sets.

The standard's steps are those of PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT) and C.11.6 (presentation LUT),
in this order. A stored value has at most 16 bits, so every step is done once per possible value and not per
pixel.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from config.films import Greyscale, Recipe

Table = NDArray[np.float64]
"""A value per stored value, the stored value's bits being the index."""

Values = NDArray[np.float64 | np.int64]

_WHITE: Final = 255.0
_SCREEN_VALUES: Final = 2**8
_BYTE: Final = 8
_SIGNED: Final = 2**15


def stored_values(bits: int, *, signed: bool) -> NDArray[np.int64]:
    """Return what each pattern of `bits` bits stands for, (2**bits,): two's complement if signed."""
    patterns = np.arange(2**bits, dtype=np.int64)
    return np.where(patterns >= 2 ** (bits - 1), patterns - 2**bits, patterns) if signed else patterns


def display_table(
    dataset: Dataset, stored: NDArray[np.int64], count: Callable[[], NDArray[np.int64]], recipe: Recipe
) -> tuple[Table, Greyscale]:
    """Return what is shown for each stored value, 0 (black) to 255 (white), and what made it so.

    `count` gives the number of pixels of each pattern, padding aside; only what depends on the picture's own
    values asks for it.
    """
    shown, greyscale = _made_grey(dataset, stored, count, recipe)
    shape = str(dataset.get("PresentationLUTShape", "IDENTITY"))
    # A MONOCHROME1 film says INVERSE as well, where it says it at all: that is one inversion and not two.
    if dataset.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE":
        shown = _WHITE - shown
    return (_equalized(shown, count()) if recipe == "equalized" else shown), greyscale


def _made_grey(
    dataset: Dataset, stored: NDArray[np.int64], count: Callable[[], NDArray[np.int64]], recipe: Recipe
) -> tuple[Table, Greyscale]:
    """Return a recipe's greys before presentation; `maxbit` and `equalized` know no modality, as at home."""
    if recipe == "maxbit":
        return (stored * (_WHITE / (stored.size - 1))).clip(0, _WHITE), Greyscale.MAXBIT
    if recipe == "equalized":
        return np.floor(_stretched(stored, stored[count() > 0])), Greyscale.EQUALIZED
    values = modality_values(dataset, stored)
    if recipe == "minmax":
        return _stretched(values, values[count() > 0]), Greyscale.MINMAX
    return _through_voi(dataset, values, count)


def _through_voi(
    dataset: Dataset, values: Table, count: Callable[[], NDArray[np.int64]]
) -> tuple[Table, Greyscale]:
    """Apply the VOI LUT, else the window.

    Without a usable one the smallest value of the picture is black, and its largest white. Where 8 bits are
    stored it is the smallest and largest possible value, since such a picture was made for a screen.
    """
    shown, greyscale = _through_lut(dataset, values), Greyscale.VOI_LUT
    if shown is None:
        shown, greyscale = _through_window(dataset, values), Greyscale.WINDOW
    if shown is None:
        for_a_screen = values.size <= _SCREEN_VALUES
        shown = _stretched(values, values if for_a_screen else values[count() > 0])
        greyscale = Greyscale.AS_STORED if for_a_screen else Greyscale.NO_WINDOW
        if any(dataset.get(name) not in (None, "") for name in ("WindowCenter", "WindowWidth")):
            greyscale = Greyscale.BAD_WINDOW
    return shown, greyscale


def modality_values(dataset: Dataset, stored: NDArray[np.int64]) -> Table:
    """Return stored values in the device's unit, after the modality LUT, else rescaled."""
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(dataset, dataset.ModalityLUTSequence[0], stored.astype(np.float64))
    slope, intercept = (_first(dataset.get(name)) for name in ("RescaleSlope", "RescaleIntercept"))
    scaled = stored * (1.0 if slope is None else slope) + (intercept or 0.0)
    return np.asarray(scaled, dtype=np.float64)


def _through_lut(dataset: Dataset, values: Table) -> Table | None:
    """Apply the first VOI LUT, which goes before a window; its own bits say what white is."""
    if not dataset.get("VOILUTSequence"):
        return None
    item = dataset.VOILUTSequence[0]
    white = 2 ** int(item.LUTDescriptor[2]) - 1
    shown: Table = _looked_up(dataset, item, values) * (_WHITE / white)
    return shown


def _looked_up(dataset: Dataset, item: Dataset, values: Table) -> Table:
    """Look values up (C.11.1.1.1, C.11.2.1.1): whatever is outside the table has its first or last entry.

    pydicom takes the place in a table of 8 bits as a number of 8 bits, so that place 256 is place 0 there.
    """
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = count or 2**16
    if first >= _SIGNED and values.min() < 0:
        first -= 2**16  # it was written as unsigned
    entries = item.LUTData
    if isinstance(entries, bytes):
        # Entries of 8 bits are two in a word or one; the length says which.
        little = dataset.original_encoding[1]
        words = "u1" if bits <= _BYTE and len(entries) < 2 * count else ("<u2" if little else ">u2")
        entries = np.frombuffer(entries, words, count)
    table: Table = np.asarray(entries, dtype=np.float64)
    places = (values.round().astype(np.int64) - first).clip(0, min(count, table.size) - 1)
    return np.take(table, places)


def _through_window(dataset: Dataset, values: Table) -> Table | None:
    """Apply the first window by its function (C.11.2.1.2, C.11.2.1.3); None without a usable one."""
    center, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction", "LINEAR"))
    if center is None or width is None or not np.isfinite([center, width]).all():
        return None
    if width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function == "SIGMOID":
        shown: Table = _WHITE / (1 + np.exp((-4 * (values - center) / width).clip(-700, 700)))
        return shown
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return np.where(values > center, _WHITE, 0.0)
    ramp: Table = (((values - center) / width + 0.5) * _WHITE).clip(0, _WHITE)
    return ramp


def _stretched(values: Values, present: Values) -> Table:
    """Stretch the picture's own range to black and white; a flat picture is black."""
    if present.size == 0 or present.min() == present.max():
        return np.zeros(values.size)
    lowest, highest = present.min(), present.max()
    # Divided first: MIMIC-CXR-JPG cuts these numbers to whole ones, and another rounding would cut others.
    stretched: Table = ((values - lowest) / (highest - lowest) * _WHITE).clip(0, _WHITE)
    return stretched


def _equalized(shown: Table, count: NDArray[np.int64]) -> Table:
    """Equalise the histogram of whole greys, each shown by `count` pixels, as OpenCV's equalizeHist does.

    The darkest grey that is there becomes black, and the brightest white; one grey alone stays as it is.
    """
    histogram = np.bincount(shown.astype(np.int64), count, minlength=_SCREEN_VALUES)
    darkest = histogram[np.flatnonzero(histogram)[:1]].sum()
    others = histogram.sum() - darkest
    if others == 0:
        return shown
    # OpenCV counts in float32.
    white_per_pixel = np.float32(_WHITE) / np.float32(others)
    greys = np.rint((histogram.cumsum() - darkest).astype(np.float32) * white_per_pixel)
    equalized: Table = greys.clip(0, _WHITE).astype(np.float64)[shown.astype(np.int64)]
    return equalized


def _first(value: object) -> float | None:
    """Return the first of an element's numbers, None where it has none."""
    if value is None or value == "":
        return None
    if isinstance(value, str | float | int):
        return float(value)
    numbers = list(np.ravel(np.asarray(value, dtype=np.float64)))
    return float(numbers[0]) if numbers else None
