"""The pictures of an archive for the numeric code, which knows neither sources nor manifests."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.cards.classification import Preprocessing
from config.failures import ImageUnusableError
from config.films import Recipe
from config.settings import Settings
from db import queries
from db.database import Database
from db.manifests import manifest_of
from jobs.errors import SourceAwayError, SourceError
from jobs.sources.source import ImageSource, open_source
from jobs.tables.manifest import Manifest
from jobs.tables.scores import read_scores
from workers.inference.formats.decode import read_picture
from workers.inference.formats.picture import Picture, as_bytes
from workers.inference.statistics import Statistics, sampled_statistics
from workers.models.home import HomeScores


def picture_reader(
    source: ImageSource, max_pixels: int, recipe: Recipe, bits: int | None = None
) -> Callable[[str], Picture]:
    """Return the function from an image's name to its picture; the function raises ImageUnusableError.

    `recipe`: what makes greys of DICOM films. `bits`: used in 16-bit pictures, None where nobody knows.
    """
    return partial(read_picture, source, max_pixels=max_pixels, bits=bits, recipe=recipe)


def radiographs(
    database: Database, settings: Settings, run_id: int
) -> Callable[[str], NDArray[np.uint8] | None]:
    """Return the function from an image of a run to its pixels, prepared as its heatmaps' grounds are.

    Of an image that cannot be read it returns None.
    """
    with database.read() as connection:
        scored = manifest_of(connection, run_id)
    # The card of an imported run, or of an earlier version, says nothing of pixels or greys.
    recipe: Recipe = queries.model_card(database, run_id).get("pixels", {}).get("greyscale", "window")

    def read(name: str) -> NDArray[np.uint8] | None:
        try:
            source = open_source(scored.root)
            picture = read_picture(source, name, settings.max_image_pixels, scored.bits, recipe)
        except (ImageUnusableError, SourceError, SourceAwayError):
            return None
        return as_bytes(picture.values)

    return read


def archive_statistics(
    manifest: Path, images: str | Path, pixels: Preprocessing, max_pixels: int
) -> Statistics:
    """Return mean and std of a sample of a manifest's images.

    Raises TableError for a bad manifest, and ConfigError where no image can be read or all are alike.
    """
    source = open_source(images)
    names = [row.image_index for row in Manifest(manifest, root=source.root)]
    return sampled_statistics(names, picture_reader(source, max_pixels, pixels.greyscale), pixels)


def archive_scores(path: Path, images: str | Path, findings: Sequence[str], max_pixels: int) -> HomeScores:
    """Return what a table of scores says of a model's findings, with the images that it names.

    Raises TableError for a bad table.
    """
    table = read_scores(path, findings=findings)
    source = open_source(images)

    def read(name: str, recipe: Recipe) -> Picture:
        return read_picture(source, name, max_pixels, recipe=recipe)

    return HomeScores(path.name, table.images, table.findings, table.probabilities, read)
