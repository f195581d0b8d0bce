"""How a model of volumes does on the validation split: by sub-volume after each epoch, whole at the end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.cards.segmentation import SegmentationCard
from config.failures import ImageUnusableError
from workers.inference.networks.network import KerasModel, Tensor
from workers.inference.volumes.window import VolumeEngine, label_map, segment_volume
from workers.metrics.segmentation import dice
from workers.training.plan import Epoch
from workers.training.volumes.plan import VolumeSplit


def validate(
    network: KerasModel,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    threshold: float,
) -> Epoch:
    """Return the mean loss of sub-volumes and the mean Dice of the classes.

    A class' Dice is of all sub-volumes' voxels together. NaN where there is no sub-volume.
    """
    total, count = 0.0, 0
    both = np.zeros(1)
    sizes = np.zeros(1)
    cut = np.log(threshold / (1 - threshold)) if 0 < threshold < 1 else 0.0
    for patches, truth in batches:
        logits = network.predict_on_batch(patches)
        total += float(loss(truth, logits)) * len(logits)
        count += len(logits)
        labels, found = np.asarray(truth) > 0, logits >= cut
        both = both + (labels & found).sum(axis=(0, 1, 2, 3))
        sizes = sizes + labels.sum(axis=(0, 1, 2, 3)) + found.sum(axis=(0, 1, 2, 3))
    if not count:
        return {"val_loss": float("nan"), "val_dice": float("nan")}
    return {"val_loss": total / count, "val_dice": float(np.mean(2 * both / np.maximum(sizes, 1)))}


@dataclass(frozen=True, slots=True)
class WholeCases:
    """The Dice of each class and region, by case; None where neither label nor prediction has it."""

    dice: dict[str, list[float | None]]

    def means(self) -> dict[str, float]:
        """Return the mean of each over the cases that have one."""
        found = {name: [value for value in values if value is not None] for name, values in self.dice.items()}
        return {name: round(float(np.mean(values)), 4) for name, values in found.items() if values}


def segment_cases(
    engine: VolumeEngine,
    split: VolumeSplit,
    card: SegmentationCard,
    done: Callable[[], None] = lambda: None,
) -> WholeCases:
    """Segment a split's whole cases, patch by patch as scoring does, and compare them with their labels."""
    found: dict[str, list[float | None]] = {name: [] for name in card.labels}
    for case in split.names:
        try:
            volume, truth = split.read(case)
        except ImageUnusableError:  # it was counted when sub-volumes were drawn
            continue
        probabilities, box = segment_volume(volume.values, card, engine)
        answer: NDArray[np.uint8] = np.zeros_like(truth)
        answer[box] = label_map(probabilities, card.threshold)
        for name, values in card.labels.items():
            found[name].append(dice(np.isin(truth, values), np.isin(answer, values)))
        done()
    return WholeCases(found)
