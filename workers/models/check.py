"""What a network that was read must answer before it comes in: something, and what its original answers."""

from collections.abc import Callable
from pathlib import Path

from config.cards.card import CardFields
from config.cards.classification import ClassificationCard
from config.errors import ConfigError
from workers.inference.networks.network import KerasModel
from workers.models.bounded import OriginalError
from workers.models.foreign_weights import ForeignWeights
from workers.models.home import HomeScores, compare_with_home
from workers.models.kinds import Kind, kind_of
from workers.models.original import (
    HALF_TOLERANCE,
    TOLERANCE,
    Original,
    answers,
    compare,
    computes,
)


def original_in(source: Path, named: ForeignWeights) -> Original | None:
    """Return the file as one that computes; None where it holds arrays alone."""
    container = named.module
    if container is None and kind_of(source) is Kind.KERAS and computes(source):
        container = ""
    if container is None:
        return None
    findings = named.findings or (None,) * named.outputs
    return Original(source, container, tuple(index for index, name in enumerate(findings) if name))


def check_network(
    source: Path,
    original: Original | None,
    home: HomeScores | None,
    network: KerasModel,
    card: ClassificationCard,
    *,
    half: bool,
    warn: Callable[[str], None],
) -> CardFields:
    """Refuse a network that answers nothing, or other than its original or than its scores from home.

    Returns what the card says of the comparisons. `warn` gets what was not compared.
    """
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    found: CardFields = {}
    try:
        answers(network, card)
        if original is not None:
            try:
                difference = compare(original, network, card, tolerance)
                found["compared"] = float(f"{difference:.2g}")
            except OriginalError as error:
                warn(f"not compared with the original, which cannot be run here: {error}")
        elif home is None:
            warn(f"not compared with the original: {source.name} holds arrays, and cannot compute by itself")
        if home is not None:
            found["home"] = compare_with_home(home, network, card, tolerance)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return found
