"""DICOM's way from stored values to what a screen shows: modality, window, presentation; as one table.

The steps are those of PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT) and C.11.6 (presentation LUT), in this
order. A stored value has at most 16 bits, so every step is done once per possible value and not per pixel.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from config.films import Greyscale

Table = NDArray[np.float64]
"""A value per stored value, the stored value's bits being the index."""

_WHITE: Final = 255.0
_SCREEN_VALUES: Final = 2**8
_BYTE: Final = 8
_SIGNED: Final = 2**15


def stored_values(bits: int, *, signed: bool) -> NDArray[np.int64]:
    """Return what each pattern of `bits` bits stands for, (2**bits,): two's complement if signed."""
    patterns = np.arange(2**bits, dtype=np.int64)
    return np.where(patterns >= 2 ** (bits - 1), patterns - 2**bits, patterns) if signed else patterns


def display_table(
    dataset: Dataset, stored: NDArray[np.int64], present: Callable[[], NDArray[np.bool_]]
) -> tuple[Table, Greyscale]:
    """Return what is shown for each stored value, 0 (black) to 255 (white), and what made it so.

    `present` counts which patterns the picture has, padding aside; it is asked without a usable window only:
    their smallest value is black then, and their largest white. Where 8 bits are stored it is the smallest
    and largest possible value, since such a picture was made for a screen.
    """
    values = _of_modality(dataset, stored)
    shown, greyscale = _through_lut(dataset, values), Greyscale.VOI_LUT
    if shown is None:
        shown, greyscale = _through_window(dataset, values), Greyscale.WINDOW
    if shown is None:
        for_a_screen = values.size <= _SCREEN_VALUES
        shown = _stretched(values, values if for_a_screen else values[present()])
        greyscale = Greyscale.AS_STORED if for_a_screen else Greyscale.NO_WINDOW
        if any(dataset.get(name) not in (None, "") for name in ("WindowCenter", "WindowWidth")):
            greyscale = Greyscale.BAD_WINDOW
    shape = str(dataset.get("PresentationLUTShape", "IDENTITY"))
    # A MONOCHROME1 film says INVERSE as well, where it says it at all: that is one inversion and not two.
    if dataset.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE":
        shown = _WHITE - shown
    return shown, greyscale


def _of_modality(dataset: Dataset, stored: NDArray[np.int64]) -> Table:
    """Apply the modality LUT, else rescale."""
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


def _stretched(values: Table, present: Table) -> Table:
    """Stretch the picture's own range to black and white; a flat picture is black."""
    lowest, highest = present.min(initial=np.inf), present.max(initial=-np.inf)
    if not highest > lowest:
        return np.zeros_like(values)
    stretched: Table = ((values - lowest) * (_WHITE / (highest - lowest))).clip(0, _WHITE)
    return stretched


def _first(value: object) -> float | None:
    """Return the first of an element's numbers, None where it has none."""
    if value is None or value == "":
        return None
    if isinstance(value, str | float | int):
        return float(value)
    numbers = list(np.ravel(np.asarray(value, dtype=np.float64)))
    return float(numbers[0]) if numbers else None
