"""Mean and standard deviation of an archive's pixels, computed once and frozen in a card."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from config.cards.card import Preprocessing
from config.errors import ConfigError
from jobs.tables.manifest import Manifest
from workers.inference.formats.decode import ImageUnusableError, Picture, read_picture
from workers.inference.pixels import prepare

SAMPLE: Final = 100
"""Images, as in the course; the mean of 100 radiographs is within a grey level of the archive's."""


def raw(pixels: Preprocessing) -> Preprocessing:
    """Give the same resize without scaling: what mean and std are about."""
    zeros, ones = (0.0,) * pixels.channels, (1.0,) * pixels.channels
    return pixels.model_copy(update={"factor": 1.0, "mean": zeros, "std": ones})


def pixel_statistics(
    pictures: Iterable[Picture], pixels: Preprocessing
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give mean and standard deviation a channel of resized pictures, in units of `value * factor`.

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
    std = tuple(round(float(one), 4) for one in np.sqrt(np.maximum(squares / count - mean**2, 0.0)))
    if not all(std):
        raise ConfigError("all pixels of the sampled images have one value: std would be 0")
    return tuple(round(float(one), 4) for one in mean), std


def sampled_statistics(
    manifest: Path, images: Path, pixels: Preprocessing, max_pixels: int, seed: int = 0
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give mean and std of `SAMPLE` images of a manifest, drawn with a seed; unreadable ones are passed over.

    Raises TableError for a bad manifest, ConfigError as `pixel_statistics`.
    """
    names = [row.image_index for row in Manifest(manifest)]
    order = np.random.default_rng(seed).permutation(len(names))
    return pixel_statistics(
        islice(_readable(images, (names[index] for index in order), max_pixels), SAMPLE), pixels
    )


def _readable(images: Path, names: Iterable[str], max_pixels: int) -> Iterable[Picture]:
    for name in names:
        try:
            yield read_picture(images, name, max_pixels)
        except ImageUnusableError:
            continue
