"""How often the product's 95% intervals hold the truth, on simulated archives.

Prints the tables of docs/statistics.md. Scores are normal with the same spread in each class, so the true
AUROC is known. 200 images are negative. The images of a patient are one; three of the same label, nearly
alike (correlation 0.9); or three of which two are positive (0.5). The same seed gives the same tables.
"""

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.metrics.interval import auroc_interval

NEGATIVES: Final = 200
POSITIVES: Final = (2, 5, 10, 30, 100, 300)
AREAS: Final = (0.6, 0.7, 0.8, 0.9, 0.97, 0.995)
LAYOUTS: Final = {
    "one image per patient": (0, 0.0),
    "three alike": (3, 0.9),
    "three, two of them positive": (2, 0.5),
}
"""By name: how many of a patient's three images are positive, 0 for patients with one image; correlation."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Simulated images: truth (N,), patients' numbers (N,), and how alike a patient's images are."""

    truth: NDArray[np.bool_]
    patients: NDArray[np.intp]
    correlation: float

    def scores(self, rng: np.random.Generator, area: float) -> NDArray[np.float64]:
        """Draw scores (N,) with this AUROC."""
        noise = rng.normal(size=self.truth.size)
        shared = rng.normal(size=int(self.patients.max()) + 1)[self.patients]
        spread = self.correlation**0.5 * shared + (1 - self.correlation) ** 0.5 * noise
        apart = 2**0.5 * NormalDist().inv_cdf(area)
        drawn: NDArray[np.float64] = spread + apart * self.truth
        return drawn


def archive(layout: str, positives: int, negatives: int = NEGATIVES) -> Archive:
    """Return the images of a layout, positive ones first."""
    together, correlation = LAYOUTS[layout]
    truth = np.arange(positives + negatives) < positives
    if not together:
        return Archive(truth, np.arange(truth.size), correlation)
    of_positive = np.arange(positives) // together
    # A patient with a positive image has 3 in all; further patients have three negative ones each.
    beside = np.repeat(np.arange(of_positive[-1] + 1), 3 - together)[:negatives]
    others = of_positive[-1] + 1 + np.arange(negatives - beside.size) // 3
    return Archive(truth, np.concatenate([of_positive, beside, others]), correlation)


def coverage(layout: str, positives: int, area: float, *, sets: int, seed: int) -> tuple[float | None, str]:
    """Return the share of `sets` simulated archives whose interval holds the area, and the method used.

    The method used most often; the share is of the archives that have an interval, None where none has.
    """
    images = archive(layout, positives)
    rng = np.random.default_rng([seed, positives, round(1000 * area)])
    held, methods = 0, []
    for _ in range(sets):
        found = auroc_interval(images.truth, images.scores(rng, area), images.patients)
        if found.low is None or found.high is None:
            continue
        held += found.low <= area <= found.high
        methods.append(str(found.method))
    if not methods:
        return None, ""
    return held / len(methods), max(set(methods), key=methods.count)


def aurocs(measure: Callable[..., Iterator[tuple[float | None, str]]], sets: int, seed: int) -> None:
    """Print the coverage of the AUROC's interval."""
    for layout in LAYOUTS:
        print(f"\n{layout.capitalize()}:\n\n| positive images | {' | '.join(map(str, AREAS))} |")
        print(f"|---|{'---|' * len(AREAS)}")
        for positives in POSITIVES:
            of = partial(coverage, layout, positives, sets=sets, seed=seed)
            cells = [cell(share, method) for share, method in measure(of, AREAS)]
            print(f"| {positives} | {' | '.join(cells)} |", flush=True)


def cell(share: float | None, method: str) -> str:
    """Return a share as a cell of a table, with a D where the interval is DeLong's or Obuchowski's."""
    return "none" if share is None else f"{share:.3f}{'' if method == 'score' else ' D'}"


TABLES: Final = {"auroc": aurocs}


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(
        description="Measure how often the product's 95% intervals hold the truth.",
        epilog="Example: python benchmarks/coverage.py auroc --sets 500",
    )
    parser.add_argument("tables", nargs="*", choices=list(TABLES), default=list(TABLES), help="default: all")
    parser.add_argument("--sets", type=int, default=3000, help="archives per cell; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same tables; default: 0")
    asked = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        for name in asked.tables:
            TABLES[name](pool.map, asked.sets, asked.seed)


if __name__ == "__main__":
    main()
