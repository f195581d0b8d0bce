"""What is left of a picture once it is prepared: all that a score, its row and its overlays are made of."""

from dataclasses import dataclass

from config.cards.classification import Preprocessing
from config.films import Film
from workers.inference.backdrop import STORED_SIDE, Backdrop, backdrop_of
from workers.inference.formats.picture import Picture, Values
from workers.inference.gate import Sight, look_at
from workers.inference.pixels import resized_views
from workers.inference.plausible import Extent, extent_of, require_plausible


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture as a card's preprocessing has it before values are scaled: a few hundred kilobytes.

    `views`: see `resized_views`. `film`: what a DICOM file says of it. `sight`: what a gate sees of it.
    `backdrop`: what overlays are drawn on. Neither is there where nobody asked for it.
    """

    views: Values
    extent: Extent
    film: Film | None
    sight: Sight | None
    backdrop: Backdrop | None


def prepare_picture(picture: Picture, pixels: Preprocessing, *, sight: bool, backdrop: bool) -> Prepared:
    """Prepare a picture; raises ImageUnusableError for one that is no radiograph, going by the card."""
    extent = extent_of(picture)
    require_plausible(extent, pixels)
    return Prepared(
        resized_views(picture, pixels),
        extent,
        picture.film,
        look_at(picture) if sight else None,
        backdrop_of(picture, STORED_SIDE) if backdrop else None,
    )
