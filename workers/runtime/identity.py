"""What a worker says of itself to those who ask through the broker: whether all workers are alike."""

from importlib.metadata import version
from typing import Final

from celery.utils.collections import AttributeDict
from celery.worker.control import inspect_command

from config.cards.model import Card
from config.machine import engine_of
from config.queues import IDENTITY
from config.settings import Settings

_known: Final[dict[str, str]] = {}


def remember(settings: Settings, card: Card) -> None:
    """Keep what the worker started with: a folder that changes later does not change its children."""
    _known.update(
        version=version("nightread"),
        model=card.name,
        card_sha256=card.fingerprint,
        engine=engine_of(settings),
    )


@inspect_command(name=IDENTITY)
def identity(state: AttributeDict) -> dict[str, str]:
    """Answer a question by broadcast: what the worker started with, and how many children still start."""
    # Celery keeps no public count of them. Of the children that it starts with itself it does not even note
    # that they are waited for: only where to write to each one that has said that it is up.
    pool = state.consumer.pool._pool  # noqa: SLF001
    starting = sum(pool._fileno_to_inq.get(child.inqW_fd) is not child for child in pool._pool)  # noqa: SLF001
    return {**_known, "starting": str(starting)}
