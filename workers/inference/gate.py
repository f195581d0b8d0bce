"""The gate: whether a picture is like those that a model knows.

A network gives a cat fourteen probabilities, too. The gate compares each picture with those that it was
fitted on, by the network's own features and by the picture's greys at 16 x 16: each by the Mahalanobis
distance from their mean, with a covariance that was shrunk (Ledoit and Wolf, J. Multivariate Analysis 88
(2004) 365-411). It compares the greys of the picture's negative, its mirror image and its turned copies, too:
one that is nearer than the picture itself tells what is wrong.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from math import hypot
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from config.cards.model import GATE_FILE, Classifier
from config.errors import ConfigError
from config.quality import Flag, Quality
from workers.inference.formats.picture import Picture, Values, is_grey

_SIDE: Final = 16

_LEAST_SPREAD: Final = 1.0
"""Grey values; a picture of one grey has no spread to divide by."""

TURNS: Final[dict[Flag, Callable[[NDArray[np.float32]], NDArray[np.float32]]]] = {
    Flag.INVERTED: lambda greys: -greys,
    Flag.MIRRORED: lambda greys: greys[:, ::-1],
    Flag.ROTATED_90: lambda greys: np.rot90(greys, 1),
    Flag.ROTATED_180: lambda greys: np.rot90(greys, 2),
    Flag.ROTATED_270: lambda greys: np.rot90(greys, 3),
}
"""What a flagged picture's greys must go through to be like the others."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the gate sees of a picture: its standardised greys (16, 16), their mean and their spread."""

    greys: NDArray[np.float32]
    brightness: float
    contrast: float


def look_at(picture: Picture) -> Sight:
    """Reduce a picture to what the gate sees of it; the whole of it is stretched to a square."""
    small = _reduced(picture.values)
    if not is_grey(small):
        small = small.mean(axis=-1)
    brightness, contrast = float(small.mean()), float(small.std())
    return Sight((small - brightness) / max(contrast, _LEAST_SPREAD), brightness, contrast)


def _reduced(values: Values) -> NDArray[np.float32]:
    """Return the means of 16 x 16 equal parts of a picture: OpenCV's, up to the rounding of a float32."""
    rows, columns = values.shape[0] // _SIDE, values.shape[1] // _SIDE
    if values.dtype != np.uint8 or values.shape != (rows * _SIDE, columns * _SIDE):
        small = cv2.resize(
            values.astype(np.float32, copy=False), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA
        )
        return np.asarray(small, dtype=np.float32)
    # Sums of whole numbers: a fifth of the time, and not four times the picture in memory.
    sums = np.empty((_SIDE, columns * _SIDE), dtype=np.int32)
    for part in range(_SIDE):
        strip = values[part * rows : (part + 1) * rows]
        cv2.reduce(strip, 0, cv2.REDUCE_SUM, dst=sums[part : part + 1], dtype=cv2.CV_32S)
    means: NDArray[np.float32] = sums.reshape(_SIDE, _SIDE, columns).sum(axis=2).astype(np.float32)
    means *= np.float32(1 / (rows * columns))
    return means


@dataclass(frozen=True, slots=True)
class Distances:
    """How far vectors (N, k) are from the fitted ones: root mean square of their decorrelated differences.

    `mean` and `scale` (k,) standardise them; `precision` (k, k) is the inverse of the standardised ones'
    covariance, symmetric.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    precision: NDArray[np.float32]

    def of(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the distance of each vector, (N,); 1 is usual."""
        off = (vectors.astype(np.float32) - self.mean) / self.scale
        # Not `@`: threads of BLAS, which spin while they wait, cost fifty times as much for one picture.
        products = np.einsum("nk,kj->nj", off, self.precision)
        squares = np.einsum("nk,nk->n", products, off) / self.mean.size
        distances: NDArray[np.float32] = np.sqrt(np.maximum(squares, 0))
        return distances


def usual_features(features: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return features as the gate compares them: their roots are less skewed than what a ReLU leaves."""
    roots: NDArray[np.floating] = np.sign(features) * np.sqrt(np.abs(features))
    return roots


@dataclass(frozen=True, slots=True)
class Measures:
    """A picture's distances, and how much nearer each of its turned copies is than itself."""

    feature: float
    picture: float
    nearer: dict[Flag, float]

    def of(self, limits: Self) -> tuple[float, float]:
        """Return both distances, each as a share of its limit."""
        return self.feature / limits.feature, self.picture / limits.picture


@dataclass(frozen=True, slots=True)
class Known:
    """The pictures that a gate was fitted on: what distances are measured from, by features and by greys."""

    features: Distances
    greys: Distances

    def measure(self, sight: Sight, features: NDArray[np.floating]) -> Measures:
        """Measure a picture by what is seen of it and by the network's features (k,)."""
        seen = [sight.greys, *(turn(sight.greys) for turn in TURNS.values())]
        own, *turned = self.greys.of(np.stack(seen).reshape(len(seen), -1)).tolist()
        nearer = {flag: own - distance for flag, distance in zip(TURNS, turned, strict=True)}
        (feature,) = self.features.of(usual_features(features)[None]).tolist()
        return Measures(feature, own, nearer)


@dataclass(frozen=True, slots=True)
class Gate:
    """A fitted gate.

    `limits` are the largest measures that pass, the ranges are of all fitted pictures. `together`: the same
    for both distances at once, each in its limits, as sides of a right angle. `usual`: the picture distance
    that a turned copy must reach to explain what is wrong.
    """

    known: Known
    limits: Measures
    together: float
    usual: float
    brightness: tuple[float, float]
    contrast: tuple[float, float]

    @classmethod
    def load(cls, model: Classifier) -> Self | None:
        """Read a model's gate; None if none was fitted. ConfigError if it is not what the card says."""
        if model.card.gate is None:
            return None
        path = model.folder / GATE_FILE
        name = model.card.name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"model {name}: {path}: {error.strerror}") from error
        if (found := hashlib.sha256(content).hexdigest()) != model.card.gate.sha256:
            raise ConfigError(
                f"model {name}: the SHA-256 of {GATE_FILE} is {found}, the card says "
                f"{model.card.gate.sha256}; fit it again: nightread models fit-gate {name}"
            )
        try:
            return cls.from_bytes(content)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigError(f"model {name}: {GATE_FILE} is not a gate: {error}") from error

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            limits = stored["limits"].tolist()
            together, usual, *ranges = stored["ranges"].tolist()
            features, greys = (
                Distances(
                    stored[f"{part}_mean"],
                    stored[f"{part}_scale"],
                    _unpacked(stored[f"{part}_precision"], stored[f"{part}_mean"].size),
                )
                for part in ("features", "greys")
            )
        passing = Measures(limits[0], limits[1], dict(zip(TURNS, limits[2:], strict=True)))
        return cls(Known(features, greys), passing, together, usual, tuple(ranges[:2]), tuple(ranges[2:]))

    def to_bytes(self) -> bytes:
        """Write it as an .npz; of a symmetric matrix the half is enough."""
        arrays: dict[str, NDArray[np.floating]] = {
            "limits": np.array([self.limits.feature, self.limits.picture, *self.limits.nearer.values()]),
            "ranges": np.array([self.together, self.usual, *self.brightness, *self.contrast]),
        }
        for part, distances in (("features", self.known.features), ("greys", self.known.greys)):
            arrays[f"{part}_mean"] = distances.mean
            arrays[f"{part}_scale"] = distances.scale
            arrays[f"{part}_precision"] = distances.precision[np.triu_indices(distances.mean.size)]
        written = io.BytesIO()
        np.savez(written, allow_pickle=False, **arrays)
        return written.getvalue()

    def judge(self, sight: Sight, features: NDArray[np.floating]) -> Quality:
        """Say whether a picture is like the fitted ones, and what it seems to be if not."""
        found = self.known.measure(sight, features)
        return Quality(
            *found.of(self.limits),
            sight.brightness,
            sight.contrast,
            self._flag(sight, found),
        )

    def _flag(self, sight: Sight, found: Measures) -> Flag | None:
        turns = [flag for flag, nearer in found.nearer.items() if nearer > self.limits.nearer[flag]]
        if turns:
            best = max(turns, key=lambda flag: found.nearer[flag])
            return best if found.picture - found.nearer[best] <= self.usual else Flag.UNLIKE
        if max(found.of(self.limits)) > 1 or hypot(*found.of(self.limits)) > self.together:
            return Flag.UNLIKE
        low, high = self.brightness
        flat, hard = self.contrast
        usual = low <= sight.brightness <= high and flat <= sight.contrast <= hard
        return None if usual else Flag.CONTRAST


def _unpacked(half: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    whole = np.zeros((size, size), dtype=np.float32)
    whole[np.triu_indices(size)] = half
    return whole + np.triu(whole, 1).T
