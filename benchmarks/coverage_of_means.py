"""How often intervals of means, fixed points, kappas and resampled patients hold the truth."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta, norm
from simulated_archives import LAYOUTS, archive

from workers.metrics.agreement import cohen_kappa, fleiss_kappa
from workers.metrics.averages import brier_interval, mean_interval
from workers.metrics.calibration import BINS
from workers.metrics.fixed import LEVEL, Fixed, at_fixed
from workers.metrics.patients import number_patients
from workers.metrics.summary import summarise

AREAS: Final = (0.7, 0.8, 0.9, 0.97)
Measure = Callable[..., Iterator[float | None]]


def table(
    measure: Measure, of: Callable[..., float | None], heads: tuple[object, ...], counts: tuple[int, ...]
) -> None:
    """Print one row per layout and count; `of` gives the share of intervals that hold, None without one."""
    print(f"\n| images | number | {' | '.join(map(str, heads))} |\n|---|---|{'---|' * len(heads)}")
    for layout in LAYOUTS:
        for count in counts:
            held = measure(partial(of, layout, count), heads)
            cells = ("none" if share is None else f"{share:.3f}" for share in held)
            print(f"| {layout} | {count} | {' | '.join(cells)} |", flush=True)


def boot_coverage(layout: str, positives: int, area: float, *, sets: int, seed: int) -> float | None:
    """Return how often the interval of 500 resamples holds the AUROC; None where most archives have none."""
    images = archive(layout, positives)
    rng = np.random.default_rng([seed, positives, round(1000 * area), 5])
    patients = number_patients(images.patients)
    held = found = 0
    for _ in range(sets):
        scores = norm.cdf(images.scores(rng, area))
        figures = summarise(
            images.truth.astype(np.int8), scores, threshold=None, patients=patients, resamples=500
        ).figures
        if figures.bootstrap_low is not None and figures.bootstrap_high is not None:
            found += 1
            held += figures.bootstrap_low <= area <= figures.bootstrap_high
    return held / found if found >= sets / 2 else None


def probabilities(scores: NDArray[np.float64], area: float, share: float) -> NDArray[np.float64]:
    """Return what normal scores with this AUROC mean, at this share of positive images: calibrated."""
    apart = 2**0.5 * NormalDist().inv_cdf(area)
    calibrated: NDArray[np.float64] = expit(logit(share) + apart * scores - apart**2 / 2)
    return calibrated


def brier_coverage(layout: str, positives: int, area: float, *, sets: int, seed: int) -> float | None:
    """Return how often the interval of the Brier score of calibrated probabilities holds the true one."""
    images = archive(layout, positives)
    share = positives / images.truth.size
    rng = np.random.default_rng([seed, positives, round(1000 * area), 6])
    apart = 2**0.5 * NormalDist().inv_cdf(area)
    x = np.linspace(-10, 10 + apart, 20_001)
    p = probabilities(x, area, share)
    density = share * (1 - p) ** 2 * norm.pdf(x - apart) + (1 - share) * p**2 * norm.pdf(x)
    truth = float(np.trapezoid(density, x))
    held = 0
    for _ in range(sets):
        drawn = probabilities(images.scores(rng, area), area, share)
        low, high = brier_interval(images.truth, drawn, images.patients)
        if low is None or high is None:
            return None
        held += low <= truth <= high
    return held / sets


def iou_coverage(layout: str, number: int, empty: float, *, sets: int, seed: int) -> float | None:
    """Return how often the interval of the mean IoU holds the true one; `empty`: the share without overlap.

    The others' IoU is distributed as beta(2, 5), with a mean of 2/7.
    """
    images = archive(layout, number, 0)
    rng = np.random.default_rng([seed, number, round(1000 * empty), 7])
    truth = (1 - empty) * 2 / 7
    held = found = 0
    for _ in range(sets):
        ranks = norm.cdf(images.scores(rng, 0.5))
        values = beta.ppf(np.clip((ranks - empty) / (1 - empty), 0, 1), 2, 5)
        low, high = mean_interval(values, images.patients)
        if low is not None and high is not None:
            found += 1
            held += low <= truth <= high
    return held / found if found else None


def calibration_error(truth: NDArray[np.bool_], p: NDArray[np.float64]) -> float:
    """Return the product's figure of truth (N,) and probabilities (N,): within bins, a difference of sums."""
    apart = np.bincount(np.minimum((p * BINS).astype(np.intp), BINS - 1), weights=truth - p, minlength=BINS)
    return float(np.abs(apart).sum()) / truth.size


def error_coverage(layout: str, positives: int, area: float, *, sets: int, seed: int) -> float:
    """Return how often 200 resamples of patients hold the calibration error of a calibrated model, 0.

    The product prints no such interval, and this is why: the figure cannot lie below 0, and chance adds to it
    in every bin. The interval is the percentiles' one around twice the figure less the resample's.
    """
    images = archive(layout, positives)
    share = positives / images.truth.size
    rng = np.random.default_rng([seed, positives, round(1000 * area), 8])
    members = [np.flatnonzero(images.patients == patient) for patient in np.unique(images.patients)]
    held = 0
    for _ in range(sets):
        p = probabilities(images.scores(rng, area), area, share)
        found = calibration_error(images.truth, p)
        again = []
        for _ in range(200):
            drawn = np.concatenate([members[of] for of in rng.integers(len(members), size=len(members))])
            again.append(calibration_error(images.truth[drawn], p[drawn]))
        held += 2 * found - float(np.quantile(again, 0.975)) <= 0
    return held / sets


def fixed_coverage(
    layout: str, positives: int, area: float, *, fixed: Fixed, sets: int, seed: int
) -> float | None:
    """Return how often the interval of sensitivity at 90% specificity, or the reverse, holds the truth.

    None where most archives have no interval.
    """
    images = archive(layout, positives)
    rng = np.random.default_rng([seed, positives, round(1000 * area), 9])
    # Both are the same for normal scores of equal spread.
    truth = float(norm.sf(norm.isf(1 - LEVEL) - 2**0.5 * NormalDist().inv_cdf(area)))
    held = found = 0
    for _ in range(sets):
        point = at_fixed(images.truth, images.scores(rng, area), images.patients, fixed)
        if point.low is not None and point.high is not None:
            found += 1
            held += point.low <= truth <= point.high
    return held / found if found >= sets / 2 else None


def fixed_points(measure: Measure, sets: int, seed: int) -> None:
    """Print the coverage of the sensitivity at 90% specificity, and of the reverse."""
    fixes: tuple[Fixed, ...] = ("specificity", "sensitivity")
    for fixed in fixes:
        print(f"\n90% {fixed}:")
        table(measure, partial(fixed_coverage, fixed=fixed, sets=sets, seed=seed), AREAS, (10, 30, 100, 300))


def kappa_coverage(
    readers: int, images: int, prevalence: float, *, error: float, sets: int, seed: int
) -> float | None:
    """Return how often the interval of Cohen's kappa of two readers, or Fleiss' of more, holds the truth.

    Each reader errs in a share `error` of all images. None where most sets have no interval.
    """
    rng = np.random.default_rng([seed, readers, images, round(1000 * prevalence), round(1000 * error), 10])
    agreeing, positive = 1 - 2 * error * (1 - error), prevalence + error * (1 - 2 * prevalence)
    chance = positive**2 + (1 - positive) ** 2
    truth = (agreeing - chance) / (1 - chance)
    held = found = 0
    for _ in range(sets):
        read = (rng.random((images, 1)) < prevalence) ^ (rng.random((images, readers)) < error)
        kappa = cohen_kappa(*read.T) if readers == 2 else fleiss_kappa(read.sum(axis=1), readers)
        if kappa.ci_low is not None and kappa.ci_high is not None:
            found += 1
            held += kappa.ci_low <= truth <= kappa.ci_high
    return held / found if found >= sets / 2 else None


def kappas(measure: Measure, sets: int, seed: int) -> None:
    """Print the coverage of the kappas' intervals, by the share of positive images and of errors."""
    prevalences, wrong = (0.05, 0.2, 0.5), (0.02, 0.1, 0.2)
    heads = " | ".join(f"{prevalence:.0%}, {error:.0%}" for prevalence in prevalences for error in wrong)
    print(f"\n| kappa | images | {heads} |\n|---|---|{'---|' * len(prevalences) * len(wrong)}")
    for readers, name in ((2, "Cohen's"), (3, "Fleiss', three readers")):
        for images in (20, 50, 100, 300):
            of = partial(_kappa_cell, readers, images, sets=sets, seed=seed)
            held = measure(of, [(prevalence, error) for prevalence in prevalences for error in wrong])
            cells = ("none" if share is None else f"{share:.3f}" for share in held)
            print(f"| {name} | {images} | {' | '.join(cells)} |", flush=True)


def _kappa_cell(
    readers: int, images: int, cell: tuple[float, float], *, sets: int, seed: int
) -> float | None:
    return kappa_coverage(readers, images, cell[0], error=cell[1], sets=sets, seed=seed)


def boots(measure: Measure, sets: int, seed: int) -> None:
    """Print the coverage of the AUROC's interval from resampled patients, over a tenth of the archives."""
    table(measure, partial(boot_coverage, sets=max(1, sets // 10), seed=seed), AREAS, (30, 100, 300))


def briers(measure: Measure, sets: int, seed: int) -> None:
    """Print the coverage of the Brier score's interval."""
    table(measure, partial(brier_coverage, sets=sets, seed=seed), AREAS, (30, 100, 300))


def overlaps(measure: Measure, sets: int, seed: int) -> None:
    """Print the coverage of the mean IoU's interval, by the share of maps that meet no box."""
    table(measure, partial(iou_coverage, sets=sets, seed=seed), (0.0, 0.3, 0.6, 0.8), (30, 100, 300))


def errors(measure: Measure, sets: int, seed: int) -> None:
    """Print how often resampled patients hold the calibration error, over a thirtieth of the archives."""
    table(measure, partial(error_coverage, sets=max(1, sets // 30), seed=seed), AREAS, (30, 100, 300))
