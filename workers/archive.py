"""The pictures of an archive for the numeric code, which knows neither sources nor manifests."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from config.cards.classification import Preprocessing
from jobs.sources.source import ImageSource, open_source
from jobs.tables.manifest import Manifest
from jobs.tables.scores import read_scores
from workers.inference.formats.decode import read_picture
from workers.inference.formats.picture import Picture
from workers.inference.statistics import Statistics, sampled_statistics
from workers.models.home import HomeScores


def picture_reader(source: ImageSource, max_pixels: int, bits: int | None = None) -> Callable[[str], Picture]:
    """Return the function from an image's name to its picture; the function raises ImageUnusableError.

    `bits`: used in 16-bit pictures, None where nobody knows.
    """
    return partial(read_picture, source, max_pixels=max_pixels, bits=bits)


def archive_statistics(
    manifest: Path, images: str | Path, pixels: Preprocessing, max_pixels: int
) -> Statistics:
    """Return mean and std of a sample of a manifest's images.

    Raises TableError for a bad manifest, and ConfigError where no image can be read or all are alike.
    """
    source = open_source(images)
    names = [row.image_index for row in Manifest(manifest, root=source.root)]
    return sampled_statistics(names, picture_reader(source, max_pixels), pixels)


def archive_scores(path: Path, images: str | Path, findings: Sequence[str], max_pixels: int) -> HomeScores:
    """Return what a table of scores says of a model's findings, with the images that it names.

    Raises TableError for a bad table.
    """
    table = read_scores(path, findings=findings)
    read = picture_reader(open_source(images), max_pixels)
    return HomeScores(path.name, table.images, table.findings, table.probabilities, read)
