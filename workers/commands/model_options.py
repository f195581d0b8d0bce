"""The options of `nightread models add` that are more than one word or number."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from config.cards.classification import Preprocessing
from config.errors import ConfigError
from jobs.sources.source import open_source
from workers.archive import archive_scores, archive_statistics
from workers.inference.statistics import Statistics
from workers.models.home import HomeScores


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


def check_images(images: str | None, *, wanted: bool) -> None:
    """Raise ConfigError where the folder of images is missing, cannot be reached, or is not for anything.

    `wanted`: whether there is a table that names images.
    """
    if wanted != (images is not None):
        raise ConfigError(
            "--images is the folder of the images that --manifest (for mean and std) or --expect (to compare "
            "scores) names; give it with one of them"
        )
    if images is not None:
        open_source(images).require()


def training_sample(
    manifest: Path | None, images: str | None, max_pixels: int
) -> Callable[[Preprocessing], Statistics] | None:
    """Return the function that computes mean and std of the training images, where they are named."""
    if manifest is None or images is None:
        return None
    return partial(archive_statistics, manifest, images, max_pixels=max_pixels)


def expected_scores(
    expect: Path | None, images: str | None, max_pixels: int
) -> Callable[[tuple[str, ...]], HomeScores] | None:
    """Return the function that reads scores from home for a model's findings, where there are any."""
    if expect is None or images is None:
        return None
    return partial(archive_scores, expect, images, max_pixels=max_pixels)
