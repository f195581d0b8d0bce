"""Networks that answer as one: the mean of their probabilities and maps, and how far they are apart.

Most models are one network, whose answers pass through as they are. The mean over networks that were trained
apart usually ranks better than one of them (Lakshminarayanan et al., NeurIPS 2017); CheXNeXt was that of ten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from config.cards.classification import ClassificationCard, Preprocessing
from config.cards.model import Classifier, networks_of
from config.engines import EngineKind
from config.errors import ConfigError
from workers.inference.engine import Engine, infer_views, make_engine
from workers.inference.region import Region, visible_region

_ROUNDING: Final = 1e-6
"""Of a card's golden scores."""

Views = tuple[NDArray[np.float32], ...]
"""A picture's views, (views, size, size, channels), for each of an ensemble's preprocessings."""


@dataclass(frozen=True, slots=True)
class Member:
    """A network that is ready to run; `order`: where the ensemble's findings are among its own."""

    pixels: Preprocessing
    engine: Engine
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to N pictures: probabilities (N, findings), maps (N, h, w, findings), features (N, k).

    Each map's maximum is 1 or 0. `spread` (N, findings): the population standard deviation of the members'
    probabilities; None of one network. Features are the first member's.
    """

    probabilities: NDArray[np.float32]
    spread: NDArray[np.float32] | None
    maps: NDArray[np.float32]
    features: NDArray[np.float32]


class Ensemble:
    """A model's networks in one process: its members one after the other, or the one that it is."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Take the members; the first one's maps, pixels and features are those of the ensemble."""
        self._members = tuple(members)
        self.preprocessings = tuple(dict.fromkeys(member.pixels for member in members))
        first = members[0].engine
        self.name, self.batch = first.name, first.batch

    @classmethod
    def alone(cls, card: ClassificationCard, engine: Engine) -> Self:
        """Make it of one network."""
        return cls([Member(card.pixels, engine, tuple(range(len(card.findings))))])

    @classmethod
    def load(
        cls,
        model: Classifier,
        kind: EngineKind,
        *,
        threads: int = 1,
        maps: bool = True,
        graphs: Path | None = None,
    ) -> Self:
        """Load a model's networks into this process; ConfigError where one is not what its card says.

        `graphs`: as `make_engine` has it.
        """
        require_mean_golden(model)
        return cls(
            [
                Member(
                    network.card.pixels,
                    make_engine(kind, network, threads=threads, maps=maps, graphs=graphs),
                    order_of(model.card, network.card),
                )
                for network in networks_of(model)
            ]
        )

    def infer(self, pictures: Sequence[Views], sizes: Sequence[tuple[int, int]]) -> Answers:
        """Score pictures by their views; `sizes`: their (width, height) in pixels, which place the maps."""
        inputs = {
            pixels: np.stack([views[place] for views in pictures])
            for place, pixels in enumerate(self.preprocessings)
        }
        found = [infer_views(member.engine, inputs[member.pixels]) for member in self._members]
        first = found[0]
        if len(found) == 1:
            return Answers(first.probabilities, None, first.maps, first.features)
        pairs = list(zip(self._members, found, strict=True))
        probabilities = np.stack([part.probabilities[:, member.order] for member, part in pairs])
        maps = [part.maps[..., member.order] for member, part in pairs]
        return Answers(
            probabilities.mean(axis=0, dtype=np.float64).astype(np.float32),
            probabilities.std(axis=0, dtype=np.float64).astype(np.float32),
            mean_maps(maps, [member.pixels for member in self._members], sizes),
            first.features,
        )


def order_of(card: ClassificationCard, network: ClassificationCard) -> tuple[int, ...]:
    """Return where a card's findings are among those of a network, which has the same."""
    return tuple(network.findings.index(finding) for finding in card.findings)


def mean_golden(
    card: ClassificationCard, networks: Sequence[ClassificationCard]
) -> tuple[tuple[float, ...], tuple[float, ...] | None]:
    """Return the golden scores of networks' mean, for pattern and film, rounded to six digits.

    None for the film where a network has none. Each network's are of the pattern at its own size.
    """
    orders = [order_of(card, network) for network in networks]

    def mean(scores: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
        ordered = [np.take(one, order) for one, order in zip(scores, orders, strict=True)]
        return tuple(round(float(value), 6) for value in np.mean(ordered, axis=0))

    films = [network.golden_film for network in networks if network.golden_film is not None]
    return mean([network.golden for network in networks]), (
        mean(films) if len(films) == len(networks) else None
    )


def require_mean_golden(model: Classifier) -> None:
    """Raise ConfigError unless an ensemble's golden scores are the mean of its members'.

    Each member's engine compares the member's own with what it computes.
    """
    if not model.members:
        return
    card = model.card
    expected = mean_golden(card, [member.card for member in model.members])
    for ours, means in zip((card.golden, card.golden_film), expected, strict=True):
        if (ours is None) != (means is None) or not np.allclose(
            ours or 0, means or 0, rtol=0, atol=_ROUNDING
        ):
            raise ConfigError(
                f"model {card.name}: its golden scores are not the mean of its members'; make it again"
            )


# --- maps --------------------------------------------------------------------------------------------------


def mean_maps(
    maps: Sequence[NDArray[np.float32]], pixels: Sequence[Preprocessing], sizes: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """Return the mean of members' maps, (N, h, w, findings) each, divided by its maximum.

    All lie on the first member's places: bilinear between the places of another member, whose maps may be
    finer or cover another part of the picture. Where that member sees nothing its map is 0.
    """
    shape = maps[0].shape[1:3]
    total = maps[0].astype(np.float64)
    for member, seen in zip(maps[1:], pixels[1:], strict=True):
        for place, (width, height) in enumerate(sizes):
            ours, theirs = visible_region(pixels[0], width, height), visible_region(seen, width, height)
            total[place] += (
                member[place]
                if member.shape[1:3] == shape and ours == theirs
                else _resampled(member[place], theirs, shape, ours)
            )
    highest = total.max(axis=(1, 2), keepdims=True)
    np.divide(total, highest, out=total, where=highest > 0)
    return total.astype(np.float32)


def _resampled(
    maps: NDArray[np.float32], region: Region, shape: tuple[int, int], onto: Region
) -> NDArray[np.float64]:
    """Return maps (h, w, findings) of a region at the places of another region's, (*shape, findings)."""
    rows = _weights(maps.shape[0], region.top, region.height, shape[0], onto.top, onto.height)
    columns = _weights(maps.shape[1], region.left, region.width, shape[1], onto.left, onto.width)
    resampled: NDArray[np.float64] = np.einsum("ij,jkf,lk->ilf", rows, maps, columns)
    return resampled


def _weights(
    count: int, start: float, length: float, onto: int, onto_start: float, onto_length: float
) -> NDArray[np.float64]:
    """Return each place's share in each place of another line, (onto, count): bilinear, beyond the ends 0.

    A line's places are the middles of its equal parts; starts and lengths are pixels of the picture.
    """
    middles = onto_start + (np.arange(onto) + 0.5) * onto_length / onto
    at = (middles - start) * count / length
    between = (at - 0.5).clip(0, count - 1)
    weights = np.maximum(0, 1 - np.abs(between[:, None] - np.arange(count)))
    return np.where(((at >= 0) & (at <= count))[:, None], weights, 0.0)
