"""The kinds of DICOM objects that a run's results become, by the words that commands take for them."""

from collections.abc import Collection, Sequence
from typing import Final, Literal, get_args

from config.cards.classification import ClassificationCard
from config.cards.model import Card, make_card
from db.database import Database
from db.scored_images import run_origin
from jobs.errors import InputError

Kind = Literal["dicom-sr", "dicom-sc", "dicom-gsps"]
"""A structured report, secondary captures, a presentation state."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


FEW: Final = 64
"""So many images are done before other processes have loaded their libraries."""


class KindError(InputError):
    """A run has nothing of which objects of a kind could be made."""


def kinds_of(
    database: Database, run_id: int, asked: Collection[str] | None
) -> tuple[Sequence[Kind], str | None]:
    """Return the kinds of objects that a run is to become, and why not all, where all are asked for.

    `asked`: None for all that the run has. Raises KindError for one that is asked for and cannot be.
    """
    kinds = [kind for kind in KINDS if asked is None or kind in asked]
    try:
        require_kinds(database, run_id, kinds)
    except KindError as error:
        if asked is not None:
            raise
        return [kind for kind in kinds if kind != "dicom-sc"], f"no dicom-sc: {error}"
    return kinds, None


def require_kinds(database: Database, run_id: int, kinds: Collection[Kind]) -> None:
    """Raise KindError where a run has no maps to capture."""
    if "dicom-sc" not in kinds:
        return
    origin = run_origin(database, run_id)
    require_maps(f"run {run_id}", origin.heatmaps, make_card(origin.card))


def require_maps(what: str, heatmaps: str, card: Card) -> None:
    """Raise KindError where runs with these options have no maps to capture; `what` has the options."""
    if heatmaps == "none":
        raise KindError(f"{what} has no maps to draw: it was made with --heatmaps none")
    if not isinstance(card, ClassificationCard):
        raise KindError(f"model {card.name} has no network, and its maps no picture to lie on")
