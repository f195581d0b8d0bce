"""A run's results as DICOM files below a folder, under the names of their images."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from config.failures import ImageUnusableError
from config.files import write_whole
from db.database import Database
from db.scored_images import RunOrigin, ScoredImage, run_origin, scored_images
from jobs.deliveries.kinds import FEW
from jobs.inventory.processes import in_processes
from jobs.kinds.objects import ObjectKind
from jobs.sources.source import kept_source
from workers.outputs.dicom.objects import make_objects
from workers.outputs.masks import MaskLostError
from workers.outputs.overlays import confined


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image: files, those of them that replaced others, and why there are none."""

    files: int = 0
    replaced: int = 0
    other_format: bool = False
    reason: str | None = None


@dataclass(slots=True)
class Tally:
    """What became of all images of a run."""

    images: int = 0
    files: int = 0
    replaced: int = 0
    without: int = 0
    """Images with nothing to show: no finding is over its threshold."""
    other_format: int = 0
    """Images that are no DICOM files, beside which no result can stand."""
    unusable: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count one image."""
        self.images += 1
        self.files += outcome.files
        self.replaced += outcome.replaced
        self.other_format += outcome.other_format
        if outcome.reason is not None:
            self.unusable[outcome.reason] += 1
        elif not outcome.files and not outcome.other_format:
            self.without += 1


def write_files(
    database: Database,
    run_id: int,
    kind: ObjectKind,
    folder: Path,
    *,
    max_pixels: int,
    outputs: Path,
    processes: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Write the objects of one kind of all scored images, each file whole or not at all.

    `outputs`: where masks lie. `progress` is called with the number of images so far. Raises OSError where a
    file cannot be written, and what the images' source raises where it is away, or AwayError for the masks'.
    """
    origin = run_origin(database, run_id)
    kept_source(origin.root).require()
    write = partial(
        _write, kinds=(kind,), origin=origin, folder=folder, max_pixels=max_pixels, outputs=outputs
    )
    images = scored_images(database, run_id)
    alone = processes == 1 or origin.images <= FEW
    tally = Tally()
    for outcome in map(write, images) if alone else in_processes(write, images, processes):
        tally.add(outcome)
        progress(tally.images)
    return tally


def _write(
    image: ScoredImage,
    *,
    kinds: Sequence[ObjectKind],
    origin: RunOrigin,
    folder: Path,
    max_pixels: int,
    outputs: Path,
) -> Outcome:
    try:
        made = make_objects(kinds, origin, image, kept_source(origin.root), max_pixels, outputs)
    except (ImageUnusableError, MaskLostError) as error:
        return Outcome(reason=error.reason)
    if made is None:
        return Outcome(other_format=True)
    replaced = 0
    for result in made:
        path = folder / file_name(image.name, result.kind, result.finding)
        path.parent.mkdir(parents=True, exist_ok=True)
        replaced += path.exists()
        write_whole(path, result.content, durable=False)
    return Outcome(len(made), replaced)


def file_name(image: str, kind: ObjectKind, finding: str | None) -> str:
    """Name an object below its folder: its image's name, then what it is."""
    below = confined(image)
    parts = (below.name, kind.removeprefix("dicom-"), *([finding] if finding else []), "dcm")
    return str(below.with_name(".".join(parts)))
