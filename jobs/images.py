"""What is found out about an order's images before a run is written: nothing is begun that must fail."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from jobs.sources.depth import bits_remark, measured_bits
from jobs.sources.source import ImageSource, open_source
from jobs.submit import MAX_MISSING, Order, OrderError

_EXAMPLES: Final = 5


class ImagesError(OrderError):
    """More images are missing than may be, or some are there twice; `outline` says so without a name."""

    def __init__(self, outline: str, examples: str, advice: str) -> None:
        super().__init__(f"{outline}: {examples}. {advice}")
        self.outline = outline
        self.examples = examples
        self.advice = advice


def look_at_images(
    order: Order, names: Sequence[str], rows: int, max_pixels: int
) -> tuple[Order, tuple[str, ...]]:
    """Look an order's images up; returns the order with what was found out, and what is to be said of it.

    `names` are the images to score, of the `rows` that the manifest has. `max_pixels`: larger ones are not
    looked into. Raises ImagesError where more of the rows than `max_missing` are not there, or
    where two of the names lead to one file.
    """
    source = open_source(order.images)
    missing = look_up(source, names, rows, order.max_missing)
    if order.bits is not None or source.only_dicom:
        return order, missing
    bits = measured_bits(source, names, max_pixels)
    if bits is None:
        return order, missing
    return replace(order, bits=bits), (*missing, bits_remark(bits))


def look_up(
    source: ImageSource, names: Sequence[str], rows: int, max_missing: float = MAX_MISSING
) -> tuple[str, ...]:
    """Look images up in a source; returns a line about those that are missing, if any are.

    Raises ImagesError as `look_at_images` does.
    """
    missing, hint, twins = source.look_up(names)
    if twins:
        raise ImagesError(
            f"{len(twins):,} of {len(names):,} names lead by links to other images of the manifest",
            ", ".join(f"{name!r} is {first!r}" for first, name in twins[:_EXAMPLES]),
            "Keep one name of each file, which would be scored twice.",
        )
    if not missing:
        return ()
    outline = f"{len(missing):,} of {len(names):,} images are not below {source.root}"
    examples = ", ".join(map(repr, missing[:_EXAMPLES])) + (", …" if len(missing) > _EXAMPLES else "")
    if len(missing) <= max_missing * rows:
        return (f"{outline}: {examples}; they will fail as missing",)
    way = hint or "compare the names with the folder's"
    share = math.ceil(1000 * len(missing) / rows) / 1000
    raise ImagesError(
        outline,
        examples,
        f"{way[0].upper()}{way[1:]}. To score the rest all the same: --max-missing {share:g}",
    )
