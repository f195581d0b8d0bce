"""The kinds of DICOM objects that a run's results become, by the words that commands take for them."""

from collections.abc import Collection
from typing import Final, Literal, get_args

from config.cards.classification import ClassificationCard
from config.cards.model import make_card
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


def require_kinds(database: Database, run_id: int, kinds: Collection[Kind]) -> None:
    """Raise KindError where a run has no maps to capture."""
    if "dicom-sc" not in kinds:
        return
    origin = run_origin(database, run_id)
    if origin.heatmaps == "none":
        raise KindError(f"run {run_id} has no maps to draw: it was made with --heatmaps none")
    card = make_card(origin.card)
    if not isinstance(card, ClassificationCard):
        raise KindError(f"model {card.name} has no network, and its maps no picture to lie on")
