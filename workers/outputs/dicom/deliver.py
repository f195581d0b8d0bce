"""Making what is due to a receiver, by several processes where it is much."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from config.failures import ImageUnusableError
from db.deliveries import Due
from db.scored_images import RunOrigin
from jobs.deliveries.deliver import Made, Maker
from jobs.inventory.processes import in_processes
from jobs.kinds.objects import OBJECT_KINDS
from jobs.sources.source import kept_source
from workers.outputs.dicom.objects import make_objects
from workers.outputs.masks import MaskLostError


def maker(origin: RunOrigin, max_pixels: int, outputs: Path, processes: int) -> Maker:
    """Return what makes the objects of a run; with one process in this one."""
    make = partial(_made, origin=origin, max_pixels=max_pixels, outputs=outputs)

    def made(due: Iterable[Due]) -> Iterator[Made]:
        return map(make, due) if processes == 1 else in_processes(make, due, processes)

    return made


def _made(due: Due, *, origin: RunOrigin, max_pixels: int, outputs: Path) -> Made:
    kinds = [kind for kind in OBJECT_KINDS if any(wanted.kind == kind for wanted in due.objects)]
    image_id, wanted = due.image.image_id, due.objects
    try:
        objects = make_objects(kinds, origin, due.image, kept_source(origin.root), max_pixels, outputs)
    except (ImageUnusableError, MaskLostError) as error:
        return Made(image_id, wanted, reason=error.reason)
    return Made(image_id, wanted, objects or ())
