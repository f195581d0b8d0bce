"""Whether one night's images differ from a baseline's: the size of a shift, and a test of it.

The population stability index is the symmetric divergence of Kullback and Leibler over the baseline's tenths;
it is a size and no test, as small samples have a large one. The tests are Kolmogorov and Smirnov's for values
and Fisher's exact one for shares. Images of one patient are not independent: both tests count as many images
as those of the patients are worth (Kish).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.patients import effective_number, intraclass_correlation
from workers.metrics.ranks import mid_ranks

LEAST_IMAGES: Final = 30
"""Of each side, in independent ones; with fewer, a PSI is mostly chance."""

_BINS: Final = 10

_TOO_FEW: Final = f"fewer than {LEAST_IMAGES} independent images with a value"


@dataclass(frozen=True, slots=True)
class Shift:
    """A night (n) beside a baseline (n_baseline): each side's mean or share, and how far they are apart.

    `psi`: population stability index. `ks`: the largest difference of the cumulative distributions, None for
    a share. `p`: two-sided. What is not defined is None, see `reason`.
    """

    n: int
    n_baseline: int
    value: float | None = None
    value_baseline: float | None = None
    psi: float | None = None
    ks: float | None = None
    p: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """The values (N,) of a side's images, and whose (N,) each is, numbers from 0; NaN is unknown."""

    values: NDArray[np.floating]
    patients: NDArray[np.intp]

    def known(self) -> "Side":
        """Return the side without unknown values."""
        known = np.isfinite(self.values)
        return Side(self.values[known].astype(np.float64), self.patients[known])


def shift_of_values(night: Side, baseline: Side) -> Shift:
    """Compare values with a baseline's."""
    from scipy.stats import kstwo  # noqa: PLC0415  # see fisher_exact below

    night, baseline = night.known(), baseline.known()
    a, b = night.values, baseline.values
    both = np.concatenate([a, b])
    worth = _independent(night, baseline, mid_ranks(both))
    if min(worth) < LEAST_IMAGES:
        return Shift(a.size, b.size, reason=_TOO_FEW)
    inner = np.unique(np.quantile(b, np.arange(1, _BINS) / _BINS))
    counts = [
        np.bincount(np.searchsorted(inner, values, side="left"), minlength=inner.size + 1)
        for values in (a, b)
    ]
    of_a, of_b = (np.searchsorted(np.sort(side), both, side="right") / side.size for side in (a, b))
    statistic = float(np.abs(of_a - of_b).max())
    p = float(kstwo.sf(statistic, max(1, round(worth[0] * worth[1] / sum(worth)))))
    return Shift(a.size, b.size, float(a.mean()), float(b.mean()), _psi(*counts), statistic, min(1.0, p))


def shift_of_shares(night: Side, baseline: Side) -> Shift:
    """Compare the share of ones with a baseline's; values are 1 or 0."""
    # Here, as a worker's child keeps what it loads, and drift alone needs these 20 MB.
    from scipy.stats import fisher_exact  # noqa: PLC0415

    night, baseline = night.known(), baseline.known()
    sides = (night.values, baseline.values)
    sizes = night.values.size, baseline.values.size
    worth = _independent(night, baseline, np.concatenate(sides))
    if min(worth) < LEAST_IMAGES:
        return Shift(*sizes, reason=_TOO_FEW)
    shares = [float(values.mean()) for values in sides]
    counts = [np.array([values.size - values.sum(), values.sum()]) for values in sides]
    # Whole images, as Fisher's test counts them.
    table = np.array(
        [
            [round(images * share), round(images) - round(images * share)]
            for images, share in zip(worth, shares, strict=True)
        ]
    )
    p = float(fisher_exact(table).pvalue)
    return Shift(sizes[0], sizes[1], shares[0], shares[1], _psi(*counts), p=p)


def _independent(night: Side, baseline: Side, values: NDArray[np.floating]) -> tuple[float, float]:
    """Return how many independent images each side's are worth; `values` are of both, one after the other.

    How alike two images of a patient are is taken from both sides together: a night has few such pairs.
    """
    size = night.values.size
    if not 0 < size < values.size:
        return 0.0, 0.0
    centred = np.concatenate([part - part.mean() for part in (values[:size], values[size:])])
    apart = np.concatenate([night.patients, baseline.patients + 1 + night.patients.max()])
    correlation = intraclass_correlation(centred, apart)
    return (
        effective_number(_renumbered(night.patients), correlation),
        effective_number(_renumbered(baseline.patients), correlation),
    )


def _renumbered(patients: NDArray[np.intp]) -> NDArray[np.intp]:
    numbers: NDArray[np.intp] = np.unique(patients, return_inverse=True)[1].astype(np.intp)
    return numbers


def _psi(night: NDArray[np.generic], baseline: NDArray[np.generic]) -> float:
    """Return the index of two histograms (K,); half an image in each bin keeps empty ones finite."""
    p, q = (
        (counts.astype(np.float64) + 0.5) / (counts.astype(np.float64).sum() + counts.size / 2)
        for counts in (night, baseline)
    )
    return float(((p - q) * np.log(p / q)).sum())
