"""The pictures of an archive for the numeric code, which knows neither sources nor manifests."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.cache import cache_of
from config.cards.classification import ClassificationCard, Preprocessing
from config.cards.model import make_card
from config.errors import ConfigError
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
from workers.inference.prepared import Prepared
from workers.inference.region import visible_region
from workers.inference.statistics import Statistics, sampled_statistics
from workers.models.home import HomeScores
from workers.outputs.overlays import render
from workers.prepared.pictures import Preparation, PreparedPictures


def picture_reader(
    source: ImageSource, max_pixels: int, recipe: Recipe, bits: int | None = None
) -> Callable[[str], Picture]:
    """Return the function from an image's name to its picture; the function raises ImageUnusableError.

    `recipe`: what makes greys of DICOM films. `bits`: used in 16-bit pictures, None where nobody knows.
    """
    return partial(read_picture, source, max_pixels=max_pixels, bits=bits, recipe=recipe)


def prepared_reader(
    source: ImageSource,
    pixels: Preprocessing,
    settings: Settings,
    bits: int | None = None,
) -> Callable[[str], Prepared]:
    """Return the function from an image's name to its picture as a card's `pixels` have it.

    What the settings' cache has is neither read nor decoded. The function raises ImageUnusableError.
    """
    wanted = Preparation((pixels,), settings.max_image_pixels, bits)
    pictures = PreparedPictures(source, wanted, cache_of(settings))
    return lambda name: pictures.get(name)[0]


class RunPictures:
    """The pictures of a run's images, bare and under their heatmaps, prepared as for its overlays."""

    def __init__(self, database: Database, settings: Settings, run_id: int) -> None:
        """Take the run; UnknownRunError if there is no such run."""
        self._database = database
        self._max_pixels = settings.max_image_pixels
        self._run_id = run_id
        with database.read() as connection:
            self._scored = manifest_of(connection, run_id)
        stored = queries.model_card(database, run_id)
        # The card of an imported run, or of an earlier version, says nothing of pixels or greys.
        self._recipe: Recipe = stored.get("pixels", {}).get("greyscale", "window")
        try:
            card = make_card(stored)
        except ConfigError:
            card = None
        self._pixels = card.pixels if isinstance(card, ClassificationCard) else None
        self._last: tuple[str, Picture | None] = ("", None)

    def radiograph(self, image_index: str) -> NDArray[np.uint8] | None:
        """Return an image's pixels, (h, w) or (h, w, 3); None of one that cannot be read."""
        picture = self._read(image_index)
        self._last = (image_index, picture)
        return None if picture is None else as_bytes(picture.values)

    def overlay(self, image_index: str, finding: str, longest_side: int) -> NDArray[np.uint8] | None:
        """Draw the stored map of a finding: RGB (h, w, 3); None without one, or without the radiograph."""
        if self._pixels is None:
            return None
        stored = queries.stored_maps(self._database, self._run_id, image_index)
        if isinstance(stored, str) or finding not in stored.findings:
            return None
        maps = np.frombuffer(stored.maps, dtype="<f2").reshape(stored.map_height, stored.map_width, -1)
        # A report asks for the radiograph first, which is not read again.
        name, picture = self._last
        if name != image_index:
            picture = self._read(image_index)
        if picture is None:
            return None
        region = visible_region(self._pixels, picture.width, picture.height)
        map_ = maps[:, :, stored.findings.index(finding)]
        return np.ascontiguousarray(render(picture, map_, longest_side, region)[:, :, ::-1])

    def _read(self, image_index: str) -> Picture | None:
        try:
            source = open_source(self._scored.root)
            return read_picture(source, image_index, self._max_pixels, self._scored.bits, self._recipe)
        except (ImageUnusableError, SourceError, SourceAwayError):
            return None


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
