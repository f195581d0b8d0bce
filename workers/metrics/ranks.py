"""The places of values in their order, of which the statistics of ranks are made."""

import numpy as np
from numpy.typing import NDArray


def mid_ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the rank of each value (N,), from 1; equal values share the mean of their ranks."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    return ranks
