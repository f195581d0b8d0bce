"""What the cards of all kinds share: the types of their fields, their common rules, and their fingerprint."""

import hashlib
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.queues import LONGEST_BATCH_SECONDS

ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
# A finding's name is a folder's name below the heatmaps, too.
FindingName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][^/\\\x00-\x1f]{0,99}$")]
Findings = Annotated[tuple[FindingName, ...], Field(min_length=1, description="In the order of the outputs.")]
CardFields = dict[str, Any]
"""A card's fields before they are validated; only its kind says which there are."""

Views = Literal["frontal"]
"""The views that a model may be for."""

Numbers = tuple[Probability, ...]
"""One probability per finding, in their order."""


class Frozen(BaseModel):
    """A card or a part of one: frozen, without unknown fields, infinity or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reads_images: ClassVar[bool] = True
    """Whether a run needs its images' files; they are then looked up before it is committed."""

    longest_batch_seconds: ClassVar[int] = LONGEST_BATCH_SECONDS
    """A process that works longer on one batch is taken for one that hangs."""

    batch_size: ClassVar[int | None] = None
    """Images of a batch where nobody asks for a number; None: it follows from the run's size."""

    @property
    def fingerprint(self) -> str:
        """The hex SHA-256 of the card's content, without the fields that have their default.

        The order of the fields counts: a kind's fields keep their places, and new ones have a default.
        """
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()


def require_one_per_finding(findings: tuple[str, ...], **fields: tuple[float, ...] | None) -> None:
    """Raise ValueError for a finding that is named twice, and for a field without one number per finding."""
    if len(set(findings)) != len(findings):
        raise ValueError("findings names one twice")
    for field, numbers in fields.items():
        if numbers is not None and len(numbers) != len(findings):
            raise ValueError(f"{field} has {len(numbers)} numbers for {len(findings)} findings")


def require_weights_or_seed(weights: str | None, seed: int | None) -> None:
    """Raise ValueError unless a network's weights come from one of a file and a seed."""
    if (weights is None) == (seed is None):
        raise ValueError("exactly one of weights and seed must be given")


def problems_of(error: ValidationError) -> str:
    """Say in one line which fields are wrong, and why."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'card'}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    )
