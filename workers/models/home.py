"""Compare an imported network with scores that its owner brings from where it comes from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from config.cards.classification import ClassificationCard, HomeComparison, Preprocessing
from config.errors import ConfigError
from config.failures import ImageUnusableError
from config.films import Recipe
from workers.inference.formats.picture import Picture
from workers.inference.networks.network import KerasModel, probabilities_of, with_other_relu
from workers.inference.pixels import prepare_views
from workers.models.layouts import Resize

_FEWEST_DECIMALS: Final = 4
_ELSEWHERE: Final = "see docs/models.md, Does it score as the original does?"
_ROUNDED: Final = 1e-7  # float32 keeps no more of a probability


@dataclass(frozen=True, slots=True)
class HomeScores:
    """Scores of a few images, from where a model comes from.

    `file`: name of their table. `images`: their names. `findings`: which have scores. `probabilities`:
    (images, findings), NaN where there is none. `read`: gives the picture of an image's name, its greys made
    by a recipe, or raises ImageUnusableError.
    """

    file: str
    images: tuple[str, ...]
    findings: tuple[str, ...]
    probabilities: NDArray[np.float32]
    read: Callable[[str, Recipe], Picture]


def compare_with_home(
    home: HomeScores, network: KerasModel, card: ClassificationCard, tolerance: float
) -> HomeComparison:
    """Score the images as the card prepares them, and compare.

    Raises ConfigError over the tolerance, with what would fit where that shows, and where the scores say too
    little or an image cannot be read.
    """
    known = _known(home, card)
    here = known.scores(network, card)
    apart = np.abs(here - known.theirs)
    largest = float(np.nanmax(apart))
    if largest <= tolerance:
        return HomeComparison(
            file=home.file,
            images=len(home.images),
            findings=len(known.findings),
            difference=float(f"{largest:.2g}"),
        )
    image, place = np.unravel_index(np.nanargmax(apart), apart.shape)
    reason = next(_reasons(known, here, network, card, tolerance), _ELSEWHERE)
    raise ConfigError(
        f"its scores differ from {home.file} by {largest:.2g} in probability: {home.images[image]}, "
        f"{known.findings[place]}: {here[image, place]:.4f} here, {known.theirs[image, place]:.4f} at home; "
        f"{reason}"
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known from home of a card's findings: their `columns` in our scores, and `theirs`."""

    pictures: Callable[[Recipe], list[Picture]]
    findings: list[str]
    columns: list[int]
    theirs: NDArray[np.float64]

    def scores(self, network: KerasModel, card: ClassificationCard) -> NDArray[np.float64]:
        """Return ours: (images, findings)."""
        views = (prepare_views(picture, card.pixels) for picture in self.pictures(card.pixels.greyscale))
        scores = np.stack([probabilities_of(network, inputs).mean(axis=0) for inputs in views])
        return scores[:, self.columns]

    def apart(self, network: KerasModel, card: ClassificationCard) -> float:
        """Return the largest difference of ours from theirs."""
        return float(np.nanmax(np.abs(self.scores(network, card) - self.theirs)))


def _known(home: HomeScores, card: ClassificationCard) -> _Known:
    """Read the pictures, and keep the findings that the card has and that have a score."""
    places = [
        (index, card.findings.index(finding))
        for index, finding in enumerate(home.findings)
        if finding in card.findings and not np.isnan(home.probabilities[:, index]).all()
    ]
    if not places:
        raise ConfigError(f"{home.file} has no score of its findings, which are: {', '.join(card.findings)}")
    theirs = home.probabilities[:, [index for index, _ in places]].astype(np.float64)
    numbers = theirs[~np.isnan(theirs)]
    for decimals in range(_FEWEST_DECIMALS):
        if np.abs(numbers.round(decimals) - numbers).max() < _ROUNDED:
            raise ConfigError(
                f"{home.file}: its scores are rounded to {decimals} decimals; write them with five or more"
            )
    columns = [column for _, column in places]
    named = [card.findings[column] for column in columns]
    return _Known(cache(partial(_pictures, home)), named, columns, theirs)


def _pictures(home: HomeScores, recipe: Recipe) -> list[Picture]:
    pictures = []
    for name in home.images:
        try:
            pictures.append(home.read(name, recipe))
        except ImageUnusableError as error:
            raise ConfigError(f"{home.file}: {name}: {error.message}") from error
    return pictures


# --- what would fit ----------------------------------------------------------------------------------------


def _reasons(
    known: _Known,
    here: NDArray[np.float64],
    network: KerasModel,
    card: ClassificationCard,
    tolerance: float,
) -> Iterator[str]:
    """Yield what would make our scores `here` those from home: another order, resize or final ReLU."""
    # (ours, theirs): the largest difference between two findings' columns
    apart = np.nanmax(np.abs(here[:, :, None] - known.theirs[:, None, :]), axis=0)
    if apart.min(axis=0).max() <= tolerance:
        pairs = zip(known.findings, apart.argmin(axis=0), strict=True)
        swapped = [
            f"{finding} at home is {known.findings[index]} here"
            for finding, index in pairs
            if finding != known.findings[index]
        ]
        yield f"its findings are in another order: {', '.join(swapped)}; see --findings"
    films = any(picture.film for picture in known.pictures(card.pixels.greyscale))
    for option, pixels in _other_pixels(card.pixels, films=films):
        if known.apart(network, card.model_copy(update={"pixels": pixels})) <= tolerance:
            yield f"with {option} they are the same"
    turned, other = with_other_relu(network, card)
    if known.apart(turned, other) <= tolerance:
        yield f"with {'--final-relu' if other.final_relu else '--no-final-relu'} they are the same"


def _other_pixels(pixels: Preprocessing, *, films: bool) -> Iterator[tuple[str, Preprocessing]]:
    """Yield each other way to prepare pictures, of which some are DICOM `films`, with its option."""
    for recipe in get_args(Recipe):
        if films and recipe != pixels.greyscale:
            yield f"--greyscale {recipe}", pixels.model_copy(update={"greyscale": recipe})
    for resize in get_args(Resize):
        if resize != pixels.resize:
            yield f"--resize {resize}", pixels.model_copy(update={"resize": resize})
    if pixels.resize_first is None:
        crop = not pixels.center_crop
        option = "--center-crop" if crop else "--no-center-crop"
        yield option, pixels.model_copy(update={"center_crop": crop})
    elif not pixels.ten_crops:
        yield "--ten-crops", pixels.model_copy(update={"ten_crops": True})
    if not pixels.standardize:
        own = {"mean": (0.0,) * pixels.channels, "std": (1.0,) * pixels.channels, "standardize": True}
        yield "--standardize", pixels.model_copy(update=own)
