"""The members of an ensemble: the networks that answer together, each as it was when they were joined."""

import hashlib
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from config.cards.card import Frozen, ModelName, Sha256


class Member(Frozen):
    """A member, as the ensemble's card names it."""

    name: ModelName
    sha256: Annotated[Sha256, Field(description="Of its weights, as its own card has it.")]
    card_sha256: Annotated[Sha256, Field(description="Fingerprint of its whole card.")]


Members = Annotated[tuple[Member, ...], Field(min_length=2)]


def members_sha256(members: Iterable[Member]) -> str:
    """Return the hex SHA-256 of members' fingerprints in their order, one per line."""
    return hashlib.sha256("".join(f"{member.card_sha256}\n" for member in members).encode()).hexdigest()
