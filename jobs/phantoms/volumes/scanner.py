"""What a scanner makes of a head: four sequences, unevenly lit and noisy, of the brain alone."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from jobs.phantoms.volumes.head import Head, Tissue

SEQUENCES: Final = ("FLAIR", "T1", "T1Gd", "T2")
"""In the order of the Medical Segmentation Decathlon's first task."""

_SIGNALS: Final = {
    Tissue.OUTSIDE: (0, 0, 0, 0),
    Tissue.FLUID: (60, 150, 155, 900),
    Tissue.GREY: (470, 400, 420, 500),
    Tissue.WHITE: (380, 550, 570, 370),
    Tissue.EDEMA: (760, 390, 400, 720),
    Tissue.CORE: (540, 240, 250, 820),
    Tissue.ENHANCING: (650, 400, 880, 610),
}
"""By sequence: which is brighter than which is as in real images; the unit is nobody's."""

_PARTIAL_VOLUME: Final = 0.6
"""Voxels: neighbouring tissues mix at their border."""


def scan(head: Head, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return the sequences (x, y, z, 4) of a head, 0 outside of the brain, as where the skull was removed."""
    inside = head.tissues != Tissue.OUTSIDE
    signals = np.array([_SIGNALS[tissue] for tissue in Tissue], dtype=np.float64)
    signals *= rng.normal(1, 0.04, signals.shape)
    image = np.empty((*head.tissues.shape, len(SEQUENCES)), np.int16)
    for channel in range(len(SEQUENCES)):
        ideal = gaussian_filter(signals[head.tissues, channel], _PARTIAL_VOLUME)
        # No two scanners have the same scale.
        lit = ideal * _bias(rng, ideal.shape) * rng.uniform(0.6, 1.6)
        noise = rng.uniform(0.015, 0.035) * float(np.median(lit[inside]))
        # The magnitude of a complex signal with noise in both parts (Rice 1944).
        real, imaginary = rng.normal(0, noise, (2, *ideal.shape))
        image[..., channel] = np.where(inside, np.maximum(np.rint(np.hypot(lit + real, imaginary)), 1), 0)
    return image


def _bias(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return how the coil lights the head: a smooth factor between about 0.8 and 1.2."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij", sparse=True)
    a = rng.normal(0, 0.07, 6)
    log = a[0] * x + a[1] * y + a[2] * z + a[3] * x * y + a[4] * y * z + a[5] * (x**2 + y**2 + z**2 - 1)
    factor: NDArray[np.float64] = np.exp(log)
    return factor
