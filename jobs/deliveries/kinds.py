"""Which DICOM objects the results of a run can become."""

from collections.abc import Collection, Sequence
from typing import Final

from config.cards.classification import ClassificationCard
from config.cards.model import Card, make_card
from db.database import Database
from db.scored_images import run_origin
from jobs.errors import InputError
from jobs.kinds.kind import AnswerKind
from jobs.kinds.known import kind_of
from jobs.kinds.objects import ObjectKind

FEW: Final = 64
"""So many images are done before other processes have loaded their libraries."""


class KindError(InputError):
    """A run has nothing of which objects of a kind could be made."""


def kinds_of(
    database: Database, run_id: int, asked: Collection[str] | None
) -> tuple[Sequence[ObjectKind], str | None]:
    """Return the kinds of objects that a run is to become, and why not all, where all are asked for.

    `asked`: None for all that the run has. Raises KindError for one that is asked for and cannot be.
    """
    answers = kind_of(database, run_id)
    origin = run_origin(database, run_id)
    kinds = answers.objects if asked is None else asked
    try:
        require_kinds(f"run {run_id}", answers, origin.heatmaps, make_card(origin.card), kinds)
    except KindError as error:
        if asked is not None:
            raise
        return [kind for kind in answers.objects if kind != "dicom-sc"], f"no dicom-sc: {error}"
    return [kind for kind in answers.objects if kind in kinds], None


def require_kinds(what: str, answers: AnswerKind, heatmaps: str, card: Card, kinds: Collection[str]) -> None:
    """Raise KindError where runs with these answers and options have nothing of a kind; `what` has them."""
    foreign = [kind for kind in kinds if kind not in answers.objects]
    if foreign:
        become = ", ".join(answers.objects) or "no DICOM objects"
        raise KindError(f"{what} has no {', '.join(foreign)}: its results become {become}")
    if "dicom-sc" not in kinds:
        return
    if heatmaps == "none":
        raise KindError(f"{what} has no maps to draw: it was made with --heatmaps none")
    if not isinstance(card, ClassificationCard):
        raise KindError(f"model {card.name} has no network, and its maps no picture to lie on")
