"""The kinds of answers that there are, and which of them a run has."""

from typing import Final

from db.database import Database
from db.queries import model_kind
from jobs.errors import InputError
from jobs.kinds import classification, segmentation
from jobs.kinds.kind import AnswerKind

ANSWER_KINDS: Final[dict[str, AnswerKind]] = {
    "classification": classification.KIND,
    "segmentation": segmentation.KIND,
    "stub": classification.KIND,
}
"""By the kind on the model's card."""


class UnknownAnswerError(InputError):
    """This version cannot show runs of a model of this kind."""


def kind_of(database: Database, run_id: int) -> AnswerKind:
    """Return the kind of a run's answers; raises UnknownRunError and UnknownAnswerError."""
    return ANSWER_KINDS[known_kind(database, run_id)]


def noun_of(database: Database, run_id: int) -> str:
    """Return what the rows of a run's manifest are, also where its kind is not known; UnknownRunError."""
    kind = ANSWER_KINDS.get(model_kind(database, run_id))
    return "image" if kind is None else kind.noun


def known_kind(database: Database, run_id: int) -> str:
    """Return the name of the kind of a run's answers; raises UnknownRunError and UnknownAnswerError."""
    kind = model_kind(database, run_id)
    if kind not in ANSWER_KINDS:
        raise UnknownAnswerError(
            f"run {run_id} is of a model of kind {kind!r}, and this version knows {', '.join(ANSWER_KINDS)}; "
            "ask in the version that scored it"
        )
    return kind
