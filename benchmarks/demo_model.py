"""Make the demo's model again: draw phantoms, train at 160 and then at 320 pixels, measure it on others.

    make demo-model      # about two hours on two cores; finished steps are kept, so it can be stopped

The model is trained by `nightread train` itself and measured by `nightread score`: AUROC of each finding on
phantoms of other patients and, for the findings with one place, how often the Grad-CAM's peak lies in a drawn
box where the finding was called correctly. The figures go into its card, the folder into config/models/demo.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from config.cards.model import GATE_FILE, SHIPPED, read_model, require_classifier
from config.findings import FINDINGS
from jobs.phantoms.archive import Box, Phantom, plan_archive, write_archive

SEED = 101
PREVALENCE = dict.fromkeys(FINDINGS, 0.2)
"""Every finding as often as the others: NIH's 0.2% of Hernia would want 60,000 pictures."""

SPLITS = {"train": 2400, "valid": 300, "test": 600}
FINISH_IMAGES = 1200
FOCAL = tuple(name for name in FINDINGS if name not in {"Cardiomegaly", "Edema", "Emphysema", "Fibrosis"})
"""The others are signs of both lungs or of the whole heart: there is no one place to point at."""

DESCRIPTION = (
    "DenseNet-121 trained on drawn phantoms: shows what Nightread does, knows nothing of real radiographs"
)


def main() -> None:
    """Draw, train, measure, install."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("nightread-home/demo-model"))
    parser.add_argument("--epochs", type=int, nargs=2, default=(6, 2), help="at 160 and at 320 pixels")
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    images = ("--images", folder / "images")
    draw_splits(folder)
    for name, split, size, epochs, more in (
        ("demo-160", "train", 160, options.epochs[0], ["--patience", "4"]),
        (
            "demo",
            "finish",
            320,
            options.epochs[1],
            ["--from", "demo-160", "--learning-rate", "2e-4", "--half"],
        ),
    ):
        if not (folder / "home" / "models" / name).exists():
            nightread(
                folder,
                *("train", folder / f"{split}.csv", *images),
                *("--valid", folder / "valid.csv", "--name", name, "--size", str(size)),
                *("--epochs", str(epochs), "--description", DESCRIPTION, *more),
                "--allow-leakage",  # of patients there is none; some phantoms are as alike as copies
            )
    nightread(folder, "models", "fit-gate", "demo", "--manifest", folder / "finish.csv", *images)
    measure(folder)


def draw_splits(folder: Path) -> None:
    """Draw one archive and split its manifest by patient; all pictures of a patient are in one split."""
    if (folder / "test.csv").exists():
        return
    plan = plan_archive(sum(SPLITS.values()), SEED, prevalence=PREVALENCE)
    manifest = write_archive(
        folder, plan, progress=lambda done: print(f"\r{done} phantoms", end="", flush=True)
    )
    print()
    rows = manifest.read_text(encoding="utf-8").splitlines()
    begin = 0
    for name, images in SPLITS.items():
        end = boundary(plan, begin + images)
        write_rows(folder / f"{name}.csv", rows, begin, end)
        if name == "train":
            write_rows(folder / "finish.csv", rows, begin, boundary(plan, FINISH_IMAGES))
        begin = end


def boundary(plan: list[Phantom], index: int) -> int:
    """Return the first index from `index` on where another patient begins."""
    while 0 < index < len(plan) and plan[index].patient_id == plan[index - 1].patient_id:
        index += 1
    return min(index, len(plan))


def write_rows(path: Path, rows: list[str], begin: int, end: int) -> None:
    """Write the manifest of some of the archive's rows."""
    path.write_text("\n".join([rows[0], *rows[1 + begin : 1 + end]]) + "\n", encoding="utf-8")


def nightread(folder: Path, *arguments: str | Path) -> str:
    """Run the command and show its progress; returns its output."""
    done = subprocess.run(
        [sys.executable, "-m", "workers.commands.main", *map(str, arguments)],
        env=os.environ | {"NIGHTREAD_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def measure(folder: Path) -> None:
    """Score the test split, put the figures into the card and the model in its place."""
    print(nightread(folder, "score", folder / "test.csv", "--images", folder / "images", "--model", "demo"))

    def ask(query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(nightread(folder, "sql", query, "--json"))
        return rows

    (newest,) = ask("SELECT MAX(run_id) AS run_id FROM progress")
    run = newest["run_id"]
    areas = {
        str(row["finding"]): row["auroc"]
        for row in ask(f"SELECT finding, auroc FROM auc WHERE run_id = {run}")  # noqa: S608  # a number
    }
    peaks = ask(
        "SELECT h.image_index, h.finding, h.peak_x, h.peak_y FROM heatmaps h"  # noqa: S608
        " JOIN scores s ON s.run_id = h.run_id AND s.image_index = h.image_index AND s.finding = h.finding"
        f" WHERE h.run_id = {run} AND s.label = 1 AND s.probability >= s.threshold"
    )
    boxes = read_boxes(folder / "boxes.csv")
    hits: dict[str, list[bool]] = defaultdict(list)
    for row in peaks:
        if row["finding"] in FOCAL and row["peak_x"] is not None:
            found = boxes[str(row["image_index"]), str(row["finding"])]
            hits[str(row["finding"])].append(
                any(
                    box.x <= row["peak_x"] <= box.x + box.width
                    and box.y <= row["peak_y"] <= box.y + box.height
                    for box in found
                )
            )
    pointing = {name: round(sum(hits[name]) / len(hits[name]), 3) for name in FOCAL if hits[name]}
    every = [hit for name in FOCAL for hit in hits[name]]
    pointing["all"] = round(sum(every) / len(every), 3)
    figures = {
        "AUROC on unseen phantoms": {name: round(float(areas[name]), 4) for name in FINDINGS},
        "peak in the drawn box, true positives": pointing,
    }
    mean = sum(figures["AUROC on unseen phantoms"].values()) / len(FINDINGS)
    for title, numbers in figures.items():
        print(title, json.dumps(numbers, indent=1))
    print(f"mean AUROC {mean:.4f}; peak in the box {pointing['all']:.3f} of {len(every)} true positives")
    install(folder, figures)


def read_boxes(path: Path) -> dict[tuple[str, str], list[Box]]:
    """Read the boxes by image and finding."""
    boxes: dict[tuple[str, str], list[Box]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as stream:
        for image, finding, *numbers in list(csv.reader(stream))[1:]:
            boxes[image, finding].append(Box(finding, *(int(number) for number in numbers[:4])))
    return boxes


def install(folder: Path, figures: dict[str, dict[str, float]]) -> None:
    """Put the model beside the shipped ones, with its figures in the card."""
    from workers.models.folder import write_card

    model = require_classifier(read_model(folder / "home" / "models" / "demo"))
    card = model.card.model_copy(
        update={"figures": (model.card.figures or {}) | figures, "licence": "Apache-2.0"}
    )
    target = SHIPPED / "demo"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(model.folder / str(card.weights), target)
    shutil.copy(model.folder / GATE_FILE, target)
    write_card(target, card)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
