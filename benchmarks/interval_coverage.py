"""How often the product's 95% intervals hold the truth, on simulated archives.

Prints the tables of docs/statistics.md. Scores are normal with the same spread in each class, so the true
AUROC is known. 200 images are negative. The images of a patient are one; three of the same label, nearly
alike (correlation 0.9); or three of which two are positive (0.5). The same seed gives the same tables.
"""

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import NormalDist, fmean
from typing import Final

import numpy as np
from coverage_of_means import boots, briers, errors, fixed_points, kappas, overlaps
from scipy.stats import norm
from simulated_archives import LAYOUTS, archive

from workers.metrics.compare import compare_aurocs
from workers.metrics.interval import auroc_interval
from workers.metrics.mean import ENOUGH, mean_auroc
from workers.metrics.precision import average_precision
from workers.metrics.shares import clustered_wilson

POSITIVES: Final = (2, 5, 10, 30, 100, 300)
AREAS: Final = (0.6, 0.7, 0.8, 0.9, 0.97, 0.995)


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


def false_alarms(layout: str, positives: int, area: float, *, sets: int, seed: int) -> float:
    """Return the share of `sets` archives in which two equally good models differ with a p below 0.05."""
    images = archive(layout, positives)
    rng = np.random.default_rng([seed, positives, round(1000 * area), 1])
    labels = images.truth.astype(np.int8)
    found = 0
    for _ in range(sets):
        common = images.scores(rng, area)
        first, second = (common + images.scores(rng, 0.5) for _ in range(2))
        p = compare_aurocs(labels, first, second, patients=images.patients).p
        found += p is not None and p < 0.05
    return found / sets


def paired(measure: Callable[..., Iterator[float]], sets: int, seed: int) -> None:
    """Print how often the paired test finds a difference where there is none."""
    areas = (0.7, 0.8, 0.9, 0.97)
    print(f"\n| images | positive | {' | '.join(map(str, areas))} |\n|---|---|{'---|' * len(areas)}")
    for layout in LAYOUTS:
        for positives in (30, 100, 300):
            of = partial(false_alarms, layout, positives, sets=sets, seed=seed)
            print(
                f"| {layout} | {positives} | {' | '.join(f'{share:.3f}' for share in measure(of, areas))} |"
            )


def share_coverage(layout: str, images: int, share: float, *, sets: int, seed: int) -> float:
    """Return how often the interval of a share of images, as the sensitivity, holds the true share."""
    patients = archive(layout, images).patients[:images]
    drawn = archive(layout, images, 0)
    rng = np.random.default_rng([seed, images, round(1000 * share), 2])
    wholes = np.bincount(patients)
    below = 2**0.5 * NormalDist().inv_cdf(0.9) + NormalDist().inv_cdf(share)
    held = 0
    for _ in range(sets):
        hits = np.bincount(patients, drawn.scores(rng, 0.9) < below).astype(np.int64)
        low, high = clustered_wilson(hits, wholes)
        held += low is not None and high is not None and low <= share <= high
    return held / sets


def shares(measure: Callable[..., Iterator[float]], sets: int, seed: int) -> None:
    """Print the coverage of the interval of sensitivity, specificity, PPV and NPV."""
    truths = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    print(f"\n| images | number | {' | '.join(map(str, truths))} |\n|---|---|{'---|' * len(truths)}")
    for layout in LAYOUTS:
        for images in (10, 30, 100, 300):
            of = partial(share_coverage, layout, images, sets=sets, seed=seed)
            print(f"| {layout} | {images} | {' | '.join(f'{held:.3f}' for held in measure(of, truths))} |")


def true_precision(area: float, share: float) -> float:
    """Return the average precision of endless normal scores with this AUROC and share of positive images."""
    apart = 2**0.5 * NormalDist().inv_cdf(area)
    scores = np.linspace(-9, 9 + apart, 20_001)
    hits, false_alarms = share * norm.sf(scores - apart), (1 - share) * norm.sf(scores)
    return float(np.trapezoid(hits / (hits + false_alarms) * norm.pdf(scores - apart), scores))


def precision_coverage(layout: str, positives: int, area: float, *, sets: int, seed: int) -> float | None:
    """Return how often the interval of the average precision holds the true one; None without intervals."""
    images = archive(layout, positives)
    rng = np.random.default_rng([seed, positives, round(1000 * area), 3])
    truth = true_precision(area, positives / images.truth.size)
    held, found = 0, 0
    for _ in range(sets):
        one = average_precision(images.truth, images.scores(rng, area), images.patients)
        if one.low is not None and one.high is not None:
            found += 1
            held += one.low <= truth <= one.high
    return held / found if found else None


def precisions(measure: Callable[..., Iterator[float | None]], sets: int, seed: int) -> None:
    """Print the coverage of the average precision's interval."""
    print(f"\n| images | positive | {' | '.join(map(str, AREAS))} |\n|---|---|{'---|' * len(AREAS)}")
    for layout in LAYOUTS:
        for positives in POSITIVES[2:]:
            of = partial(precision_coverage, layout, positives, sets=sets, seed=seed)
            cells = " | ".join(cell(share, "score") for share in measure(of, AREAS))
            print(f"| {layout} | {positives} | {cells} |", flush=True)


FINDINGS: Final = np.linspace(0.65, 0.97, 14)
"""The true AUROCs of the findings of a mean."""


def mean_coverage(layout: str, images: int, share: float, *, sets: int, seed: int) -> float | None:
    """Return how often the mean's interval holds the true mean; None with too few patients for a mean.

    The same images are positive for all findings, as many as `share` says. The scores of one image for two
    findings correlate by a half, and those of a patient's images as the layout has it.
    """
    positives = round(share * images)
    drawn = archive(layout, positives, images - positives)
    rng = np.random.default_rng([seed, images, round(1000 * share), 4])
    held = 0
    for _ in range(sets):
        common = drawn.scores(rng, 0.5)
        areas, truths = [], []
        for area in FINDINGS:
            scores = (drawn.scores(rng, area) + common) / 2**0.5
            # What is common to all findings takes from how far the classes are apart.
            truths.append(NormalDist().cdf(NormalDist().inv_cdf(area) / 2**0.5))
            areas.append(auroc_interval(drawn.truth, scores, drawn.patients))
        if areas[0].rarer < ENOUGH:
            return None
        found = mean_auroc(areas)
        truth = fmean(truths)
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    return held / sets


def means(measure: Callable[..., Iterator[float | None]], sets: int, seed: int) -> None:
    """Print the coverage of the mean's interval."""
    parts = (0.02, 0.05, 0.2, 0.5)
    heads = " | ".join(f"{part:.0%}" for part in parts)
    print(f"\n| images | number | {heads} |\n|---|---|{'---|' * len(parts)}")
    for layout in LAYOUTS:
        for images in (500, 2000):
            of = partial(mean_coverage, layout, images, sets=sets, seed=seed)
            cells = " | ".join(cell(held, "score") for held in measure(of, parts))
            print(f"| {layout} | {images:,} | {cells} |", flush=True)


TABLES: Final[dict[str, Callable[..., None]]] = {
    "auroc": aurocs,
    "paired": paired,
    "shares": shares,
    "precision": precisions,
    "mean": means,
    "bootstrap": boots,
    "brier": briers,
    "iou": overlaps,
    "ece": errors,
    "fixed": fixed_points,
    "kappa": kappas,
}


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(
        description="Measure how often the product's 95% intervals hold the truth.",
        epilog="Example: python benchmarks/interval_coverage.py auroc --sets 500",
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
