"""The options of `nightread models add` that are more than one word or number."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from config.cards.classification import Preprocessing
from config.errors import ConfigError
from jobs.sources.source import open_source
from workers.archive import archive_statistics
from workers.inference.statistics import Statistics


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Return the numbers of a list with commas between; None where there is none. Raises ConfigError."""
    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a list of numbers with commas between") from None


def sides(text: str | None) -> int | tuple[int, ...] | None:
    """Return what is resized to: the shorter side, or height and width. Raises ConfigError."""
    if text is None:
        return None
    try:
        sides = tuple(int(number) for number in text.split(","))
    except ValueError:
        sides = ()
    if len(sides) not in {1, 2}:
        raise ConfigError(f"--resize-first: {text!r} is neither one side, such as 256, nor height,width")
    return sides[0] if len(sides) == 1 else sides


def training_sample(
    manifest: Path | None, images: str | None, max_pixels: int
) -> Callable[[Preprocessing], Statistics] | None:
    """Return the function that computes mean and std of the training images, where they are named.

    Raises ConfigError where one is missing, or the images cannot be reached.
    """
    if manifest is None and images is None:
        return None
    if manifest is None or images is None:
        raise ConfigError("--manifest and --images belong together: mean and std are computed of both")
    open_source(images).require()
    return partial(archive_statistics, manifest, images, max_pixels=max_pixels)
