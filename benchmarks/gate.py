"""How well a gate tells forged pictures from real radiographs: the tables in docs/models.md.

    NIGHTREAD_REAL_DATA=... PYTHONPATH=tests python benchmarks/gate.py --features gate-features.npz

The demo's network runs over all real radiographs, and over pictures forged of them by a seed; its features
are kept in --features, as that takes ten minutes or more. The patients are split into halves. A gate is
fitted on each half's radiographs, and judges the other half and what was forged of it: so each radiograph is
judged once, by a gate that has not seen its patient.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import hypot
from pathlib import Path
from typing import Final

import numpy as np
from duplicates import MAX_PIXELS, real_films
from gate_support import FORGED, Grey, Random
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from config.cards.model import SHIPPED, Classifier, read_model, require_classifier
from config.quality import Flag
from workers.inference.engine import Engine, make_engine
from workers.inference.formats.decode import read_picture
from workers.inference.formats.picture import Picture
from workers.inference.gate import Gate, look_at
from workers.inference.likeness import grey_values
from workers.inference.pixels import prepare_views
from workers.models.gate import fit, see

REAL: Final = "real"
BESIDE: Final = "mirrored"
"""A kind with a row of its own, which is not counted among the forged: a heart may lie in the middle."""

RATES: Final = (0.005, 0.01, 0.02)
"""Shares of the real radiographs that are flagged, at which the ROC is read off."""

TIMED: Final = 96
"""Of NIH's radiographs, which come first and are larger."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Pictures of a kind, the features (N, k) of each, and of which radiograph (N,) each was made."""

    pictures: list[Picture]
    features: NDArray[np.floating]
    of: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Judged:
    """A picture's flag, and the largest of its measures, in limits: beyond 1 it is flagged."""

    flag: Flag | None
    far: float


def main() -> None:
    """Look, fit, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", type=Path, required=True, help="where features are kept, an .npz")
    parser.add_argument("--forged", type=int, default=125, help="pictures of each kind")
    options = parser.parse_args()
    model = require_classifier(read_model(SHIPPED / "demo"))
    engine = make_engine("openvino", model, maps=False)
    archive = real_films()
    films = [
        grey_values(read_picture(archive.source, name, MAX_PIXELS)).astype(np.uint8) for name in archive.names
    ]
    kinds = look(films, options.forged, np.random.default_rng(7), options.features, engine, model)

    # The same name in two tables is taken for one patient.
    names = np.array([str(who).rpartition(" ")[2] for who in archive.patients])
    patients = np.unique(names, return_inverse=True)[1]
    second = np.random.default_rng(8).permutation(patients.max() + 1)[patients] % 2 == 1
    real = kinds[REAL]
    gates = [
        fit([look_at(real.pictures[index]) for index in half], real.features[half])
        for half in (np.flatnonzero(second), np.flatnonzero(~second))
    ]
    found = {
        name: [
            judge(gates[int(second[of])], picture, own)
            for picture, own, of in zip(kind.pictures, kind.features, kind.of, strict=True)
        ]
        for name, kind in kinds.items()
    }
    nih = np.array([name.startswith("nih/") for name in archive.names])
    shipped = Gate.load(model)
    if shipped is None:
        raise RuntimeError("the demo's model has a gate, and it was not found")
    strange = [judge(shipped, *pair) for pair in zip(real.pictures, real.features, strict=True)]
    print_tables(found, nih, strange)
    print_cost(engine, gates[0], real, model)


def look(
    films: Sequence[Grey], forged: int, random: Random, kept: Path, engine: Engine, model: Classifier
) -> dict[str, Kind]:
    """Forge pictures of the films, and run the network over all, or read what it has said."""
    values: dict[str, list[Grey]] = {REAL: list(films)}
    sources = {REAL: np.arange(len(films))}
    for name, forge in FORGED.items():
        sources[name] = random.choice(len(films), forged, replace=False)
        values[name] = [forge(films[int(index)], random) for index in sources[name]]
    pictures = {name: [Picture(np.ascontiguousarray(one)) for one in of] for name, of in values.items()}
    if not kept.exists():
        seen = {name: see(of, engine, model)[1] for name, of in pictures.items()}
        np.savez(kept, allow_pickle=False, **seen)
    with np.load(kept) as features:
        return {name: Kind(of, features[name], sources[name]) for name, of in pictures.items()}


def judge(gate: Gate, picture: Picture, features: NDArray[np.floating]) -> Judged:
    """Ask a gate, and measure how far from its limits it is: a ratio, or for a turned copy a difference."""
    sight = look_at(picture)
    measured, limits = gate.known.measure(sight, features), gate.limits
    nearer = max(measured.nearer[flag] - limit for flag, limit in limits.nearer.items())
    together = hypot(*measured.of(limits)) / gate.together
    far = max(*measured.of(limits), together, 1 + nearer / limits.picture)
    return Judged(gate.judge(sight, features).flag, far)


def print_tables(found: dict[str, list[Judged]], nih: NDArray[np.bool_], strange: list[Judged]) -> None:
    """Print a row of each kind of forged picture, and the rows of the real ones."""
    real = found[REAL]
    groups = {
        "all": real,
        "of NIH": [one for one, is_nih in zip(real, nih, strict=True) if is_nih],
        "of children": [one for one, is_nih in zip(real, nih, strict=True) if not is_nih],
        "all, by the demo's own gate": strange,
    }
    print("| real radiographs | judged | flagged | 95% interval | as |\n|---|---|---|---|---|")
    for name, of in groups.items():
        print(f"| {name} | {len(of):,} | {flagged(of)} | {flags(of)} |")
    forged = {name: of for name, of in found.items() if name not in (REAL, BESIDE)}
    rows = forged | {"all of these": [*chain(*forged.values())], BESIDE: found[BESIDE]}
    heads = " | ".join(f"found at {rate:.1%}" for rate in RATES)
    print(f"\n| picture | judged | flagged | 95% interval | as | AUROC | {heads} |")
    print(f"|---|---|---|---|---|---|{'---|' * len(RATES)}", flush=True)
    passing = np.array([one.far for one in real])
    for name, of in rows.items():
        far = np.array([one.far for one in of])
        area = roc_auc_score([0] * len(real) + [1] * len(of), np.concatenate([passing, far]))
        caught = " | ".join(f"{np.mean(far > np.quantile(passing, 1 - rate)):.3f}" for rate in RATES)
        print(f"| {name} | {len(of):,} | {flagged(of)} | {flags(of)} | {area:.4f} | {caught} |", flush=True)


def flagged(of: list[Judged]) -> str:
    """Return the share that does not pass, and its interval, as cells."""
    count = sum(one.flag is not None for one in of)
    low, high = proportion_confint(count, len(of), method="wilson")
    return f"{count / len(of):.4f} ({count}) | {low:.3f} to {high:.3f}"


def flags(of: list[Judged]) -> str:
    """Return the flags, each with its number, as a cell."""
    counts = Counter(one.flag for one in of if one.flag is not None)
    return ", ".join(f"`{flag}` {count}" for flag, count in counts.most_common())


def print_cost(engine: Engine, gate: Gate, real: Kind, model: Classifier) -> None:
    """Time the network and the gate in turns, in seconds of processors."""
    spent = {"network": 0.0, "gate": 0.0}
    for start in range(0, TIMED, engine.batch):
        pictures = real.pictures[start : start + engine.batch]
        inputs = np.stack([prepare_views(one, model.card.pixels)[0] for one in pictures])
        before = time.process_time()
        engine.infer(inputs)
        between = time.process_time()
        for picture, own in zip(pictures, real.features[start : start + engine.batch], strict=True):
            gate.judge(look_at(picture), own)
        spent["network"] += between - before
        spent["gate"] += time.process_time() - between
    network, gates = (1000 * seconds / TIMED for seconds in spent.values())
    print(f"\nms of a processor per image: network {network:.1f}, gate {gates:.2f}: {gates / network:.4f}")


if __name__ == "__main__":
    main()
