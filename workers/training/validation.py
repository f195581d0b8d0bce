"""How a model does on the validation split: loss, AUROC per finding, and the thresholds chosen there."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import roc_curve

from workers.inference.networks.network import KerasModel, Tensor
from workers.metrics.auroc import delong
from workers.training.plan import Epoch


@dataclass(frozen=True, slots=True)
class Validated:
    """Probabilities (N, findings) with their labels (N, findings), and the mean loss of an image."""

    labels: NDArray[np.int8]
    probabilities: NDArray[np.float64]
    loss: float

    def aurocs(self) -> list[float | None]:
        """Return the AUROC of each finding, None where the known labels are alike."""
        found = []
        for labels, probabilities in zip(self.labels.T, self.probabilities.T, strict=True):
            known = labels >= 0
            found.append(delong(labels[known], probabilities[known]).auroc)
        return found

    def mean_auroc(self) -> float:
        """Return the mean over the findings that have one, NaN where none has."""
        defined = [auroc for auroc in self.aurocs() if auroc is not None]
        return float(np.mean(defined)) if defined else float("nan")

    def figures(self) -> Epoch:
        """Return what an epoch is judged by."""
        return {"val_loss": self.loss, "val_auroc": self.mean_auroc()}

    def thresholds(self, wanted_sensitivity: float) -> tuple[list[float], list[float]]:
        """Return each finding's threshold by Youden, and the highest that reaches the wanted sensitivity.

        Youden, Cancer 3 (1950) 32-35: the threshold of the greatest sensitivity + specificity - 1. A
        finding without both classes keeps 0.5.
        """
        youden, sensitive = [], []
        for labels, probabilities in zip(self.labels.T, self.probabilities.T, strict=True):
            truth = labels[labels >= 0]
            if truth.size == 0 or truth.min() == truth.max():
                youden.append(0.5)
                sensitive.append(0.5)
                continue
            false_alarms, hits, cuts = roc_curve(truth, probabilities[labels >= 0], drop_intermediate=False)
            # The first cut is infinity: nothing called positive.
            best = int(np.argmax((hits - false_alarms)[1:])) + 1
            enough = max(int(np.argmax(hits >= wanted_sensitivity)), 1)
            youden.append(_down(cuts[best]))
            sensitive.append(_down(cuts[enough]))
        return youden, sensitive


def _down(cut: float) -> float:
    """Round a threshold down to six digits, so that the image it was taken from is still called positive."""
    return float(np.floor(cut * 1e6) / 1e6)


def validate(
    network: KerasModel,
    dataset: Iterable[tuple[Tensor, Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Validated:
    """Run a network, from pictures to logits, over a dataset of batches."""
    labels, logits, total = [], [], 0.0
    for pictures, truth in dataset:
        answered = network.predict_on_batch(pictures)
        total += float(loss(truth, answered)) * len(answered)
        labels.append(np.asarray(truth))
        logits.append(answered)
    z = np.concatenate(logits).astype(np.float64)
    return Validated(np.concatenate(labels).astype(np.int8), expit(z), total / len(z))
