"""How well a gate tells forged pictures from real radiographs: the table in docs/models.md.

    NIGHTREAD_REAL_DATA=... PYTHONPATH=tests python benchmarks/gate.py --real 1620 --forged 125

It fits a gate for the demo's network on a half of the real radiographs, drawn with a seed, and judges the
other half, and forged pictures of each kind.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gate_support import FORGED, Grey, Random
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from config.cards.model import SHIPPED, Classifier, read_model, require_classifier
from config.quality import Quality
from workers.inference.engine import Engine, make_engine
from workers.inference.formats.picture import Picture
from workers.inference.gate import Gate
from workers.models.gate import fit, see


def main() -> None:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=int, default=1620, help="real radiographs, NIH's 120 first")
    parser.add_argument("--forged", type=int, default=125, help="pictures of each kind")
    options = parser.parse_args()
    random = np.random.default_rng(7)
    model = require_classifier(read_model(SHIPPED / "demo"))
    engine = make_engine("openvino", model, maps=False)
    paths = real_paths(Path(os.environ["NIGHTREAD_REAL_DATA"]), options.real, random)
    order = random.permutation(len(paths))
    known, held = ([paths[index] for index in part] for part in np.array_split(order, 2))
    gate = fit(*see((Picture(read(path)) for path in known), engine, model))
    passed = judged(gate, [read(path) for path in held], engine, model)
    print(f"| real radiographs, {len(held)} | {share(passed):.3f} | |")
    for kind, forge in FORGED.items():
        sources = random.choice(len(held), options.forged)
        forged = judged(gate, [forge(read(held[index]), random) for index in sources], engine, model)
        truth = [0] * len(passed) + [1] * len(forged)
        area = roc_auc_score(truth, [farthest(quality) for quality in passed + forged])
        print(f"| {kind} | {share(forged):.3f} | {area:.3f} |", flush=True)


def real_paths(root: Path, count: int, random: Random) -> list[Path]:
    """Return NIH's radiographs, and of the children's as many as are missing."""
    nih = sorted((root / "nih" / "images").iterdir())
    others = sorted((root / "pneumonia" / "images").rglob("*.jpeg"))
    chosen: NDArray[np.intp] = random.choice(len(others), count - len(nih), replace=False)
    return nih + [others[index] for index in chosen]


def read(path: Path) -> Grey:
    """Read a picture's greys."""
    return np.asarray(Image.open(path).convert("L"))


def judged(gate: Gate, values: list[Grey], engine: Engine, model: Classifier) -> list[Quality]:
    """Run the network over pictures, and ask the gate."""

    def pictures() -> Iterator[Picture]:
        return (Picture(np.ascontiguousarray(one)) for one in values)

    _, features = see(pictures(), engine, model)
    return [gate.judge(picture, own) for picture, own in zip(pictures(), features, strict=True)]


def share(judged: list[Quality]) -> float:
    """Return the share that does not pass."""
    return sum(quality.flag is not None for quality in judged) / len(judged)


def farthest(quality: Quality) -> float:
    """Return the larger distance, for the area under the curve of the distances alone."""
    return max(quality.feature_distance, quality.picture_distance)


if __name__ == "__main__":
    main()
