"""Mean and standard deviation of an archive's pixels, computed once and frozen in a card."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

import numpy as np

from config.cards.classification import Preprocessing
from config.errors import ConfigError
from config.failures import ImageUnusableError
from workers.inference.formats.picture import Picture
from workers.inference.pixels import prepare

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation, one number per channel each, in units of `value * factor`."""

SAMPLE: Final = 100
"""Images, as in the course; the mean of 100 radiographs is within a grey level of the archive's."""


def raw(pixels: Preprocessing) -> Preprocessing:
    """Give the same resize without scaling: what mean and std are about."""
    zeros, ones = (0.0,) * pixels.channels, (1.0,) * pixels.channels
    return pixels.model_copy(update={"factor": 1.0, "mean": zeros, "std": ones})


def pixel_statistics(pictures: Iterable[Picture], pixels: Preprocessing) -> Statistics:
    """Give mean and standard deviation per channel of resized pictures, in units of `value * factor`.

    ConfigError where there is no picture, or where all pixels are alike: dividing by 0 is no normalisation.
    """
    sums, squares, count = np.zeros(pixels.channels), np.zeros(pixels.channels), 0
    for picture in pictures:
        values = prepare(picture, raw(pixels)).astype(np.float64) * pixels.factor
        sums += values.sum(axis=(0, 1))
        squares += np.square(values).sum(axis=(0, 1))
        count += values.shape[0] * values.shape[1]
    if not count:
        raise ConfigError("none of the sampled images could be read: mean and std cannot be computed")
    mean = sums / count
    # Rounded first: of pixels that are all alike, the sums' own rounding can leave a std of 1e-9.
    std = tuple(
        round(float(deviation), 4) for deviation in np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    )
    if not all(std):
        raise ConfigError("all pixels of the sampled images have one value: std would be 0")
    return tuple(round(float(value), 4) for value in mean), std


def sampled_statistics(
    names: Sequence[str], read: Callable[[str], Picture], pixels: Preprocessing, seed: int = 0
) -> Statistics:
    """Give mean and std of `SAMPLE` of the images, drawn with a seed; unreadable ones are passed over.

    `read` gives an image's picture or raises ImageUnusableError. Raises ConfigError as `pixel_statistics`.
    """
    order = np.random.default_rng(seed).permutation(len(names))
    pictures = _readable((names[index] for index in order), read)
    return pixel_statistics(islice(pictures, SAMPLE), pixels)


def _readable(names: Iterable[str], read: Callable[[str], Picture]) -> Iterator[Picture]:
    for name in names:
        with suppress(ImageUnusableError):
            yield read(name)
