"""How often drift is found where there is none, and where a window has changed: docs/statistics.md.

    NIGHTREAD_REAL_DATA=... python benchmarks/drift.py --scores drift.npz

It runs the demo's network and gate over the children's radiographs, and over 1,000 of them with a gamma of
1.3 (kept in --scores, as this takes ten minutes). A night and a baseline are then drawn from their patients,
none in both, 200 times.
"""

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from config.cards.model import SHIPPED, read_model, require_classifier
from db.samples import Sample
from db.scores import ScoredFinding
from workers.evaluation.drift import LEVEL, drift
from workers.inference.engine import make_engine
from workers.inference.formats.picture import Picture
from workers.inference.gate import Gate, look_at
from workers.inference.pixels import prepare_views

NIGHTS = 200
CHANGED = 1000
GAMMA = 1.3


def main() -> None:
    """Score, draw, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scores", type=Path, required=True, help="where scores are kept, an .npz")
    options = parser.parse_args()
    if not options.scores.exists():
        score(Path(os.environ["NIGHTREAD_REAL_DATA"]) / "pneumonia", options.scores)
    with np.load(options.scores) as kept:
        patients = kept["patients"]
        plain, changed = (
            sample(patients[: len(kept[f"{kind}_p"])], *(kept[f"{kind}_{part}"] for part in "pqf"))
            for kind in ("plain", "gamma")
        )
    print(f"{len(patients):,} images of {np.unique(patients).size:,} patients; level {LEVEL}")
    print("| images a night | nights without drift: alarms | gamma 1.3: found | least p (Holm), median |")
    print("|---|---|---|---|")
    for images in (100, 500):
        quiet, _ = alarms(plain, plain, images)
        found, least = alarms(changed, plain, images)
        print(
            f"| {images} | {quiet} of {NIGHTS} | {found} of {NIGHTS} | {np.median(least):.1e} |", flush=True
        )


def score(root: Path, kept: Path) -> None:
    """Run network and gate over the radiographs, in an order drawn by a seed."""
    rows: list[dict[str, str]] = []
    for name in ("train.csv", "test.csv"):
        with (root / name).open(encoding="utf-8") as table:
            rows += csv.DictReader(table)
    rows = [rows[index] for index in np.random.default_rng(0).permutation(len(rows))]
    films = [np.asarray(Image.open(root / "images" / row["Image"]).convert("L")) for row in rows]
    table_of_greys = np.rint(255 * (np.arange(256) / 255) ** GAMMA).astype(np.uint8)
    kinds = {"plain": films, "gamma": [table_of_greys[film] for film in films[:CHANGED]]}
    arrays = {
        f"{kind}_{part}": array
        for kind, greys in kinds.items()
        for part, array in zip("pqf", judged(greys), strict=True)
    }
    np.savez(kept, allow_pickle=False, patients=np.array([row["PatientId"] for row in rows]), **arrays)


def judged(greys: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.floating] | NDArray[np.bool_], ...]:
    """Return probabilities (N, F), what the gate measures (N, 4), and whether it flags (N,)."""
    model = require_classifier(read_model(SHIPPED / "demo"))
    engine = make_engine("openvino", model, maps=False)
    gate = Gate.load(model)
    if gate is None:
        raise RuntimeError("the demo's model has a gate, and it was not found")
    probabilities: list[NDArray[np.float32]] = []
    measured: list[list[float]] = []
    flagged: list[bool] = []
    for start in range(0, len(greys), engine.batch):
        pictures = [Picture(np.ascontiguousarray(film)) for film in greys[start : start + engine.batch]]
        inferred = engine.infer(np.stack([prepare_views(one, model.card.pixels)[0] for one in pictures]))
        probabilities += [*inferred.probabilities]
        for picture, features in zip(pictures, inferred.features, strict=True):
            seen = gate.judge(look_at(picture), features)
            measured.append([seen.feature_distance, seen.picture_distance, seen.brightness, seen.contrast])
            flagged.append(seen.flag is not None)
    return np.stack(probabilities), np.array(measured), np.array(flagged)


def sample(
    patients: NDArray[np.str_],
    probabilities: NDArray[np.float32],
    seen: NDArray[np.float64],
    flagged: NDArray[np.bool_],
) -> Sample:
    """Make what a run would have in the database."""
    card = require_classifier(read_model(SHIPPED / "demo")).card
    named = enumerate(zip(card.findings, card.thresholds, strict=True))
    facts = pd.DataFrame(seen, columns=["feature_distance", "picture_distance", "brightness", "contrast"])
    facts["flag"] = ["unlike" if one else None for one in flagged]
    facts["patient_id"] = patients
    facts["sex"], facts["view_position"], facts["age_years"] = None, None, np.nan
    findings = tuple(ScoredFinding(number, name, level, None) for number, (name, level) in named)
    return Sample(1, findings, facts, probabilities)


def alarms(night: Sample, baseline: Sample, images: int) -> tuple[int, list[float]]:
    """Draw nights of `images` and baselines of up to 2,000; returns the alarms, and each night's least p."""
    random = np.random.default_rng(17)
    least: list[float] = []
    of_night, of_baseline = (one.facts["patient_id"].to_numpy(dtype=str) for one in (night, baseline))
    for _ in range(NIGHTS):
        # Whole patients: those of one night would otherwise be the ones with many images.
        names = np.unique(of_baseline)
        turn = random.permutation(names.size)
        place = [turn[np.searchsorted(names, patients)] for patients in (of_night, of_baseline)]
        tonight = np.argsort(place[0], kind="stable")[:images]
        others = np.argsort(place[1], kind="stable")
        others = others[place[1][others] > place[0][tonight].max()][:2000]
        rows = drift(part(night, tonight), part(baseline, others))
        least.append(min(row["p_holm"] for row in rows if row["p_holm"] is not None))
    return sum(p < LEVEL for p in least), least


def part(of: Sample, chosen: NDArray[np.intp]) -> Sample:
    """Return some of a sample's images."""
    facts = of.facts.iloc[chosen].reset_index(drop=True)
    return Sample(of.model_id, of.findings, facts, of.probabilities[chosen])


if __name__ == "__main__":
    main()
