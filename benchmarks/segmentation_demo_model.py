"""Make the demo's model of volumes again: draw heads, train by `nightread train`, measure it on others.

    make segmentation-demo-model      # ten minutes on two idle cores; it goes on where it was stopped

The figures, the mean Dice of each class and region over heads that it has not seen, go into its card, the
folder into config/models/demo-volumes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from config.cards.model import SHIPPED, Segmenter, read_model, require_segmenter
from config.settings import load_settings
from jobs.phantoms.volumes.archive import write_volumes
from jobs.tables.reading import ReadOptions

NAME = "demo-volumes"
SPLITS = {"train": (64, 301), "valid": (8, 302), "test": (20, 303)}
"""Heads and seed of each; other seeds are other patients."""

DESCRIPTION = "3-D U-Net trained on drawn heads: shows what Nightread does, knows nothing of real scans"


def main() -> None:
    """Draw, train, measure, install."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("nightread-home/segmentation-demo-model"))
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    for split, (cases, seed) in SPLITS.items():
        if not (folder / split / "manifest.csv").exists():
            write_volumes(folder / split, cases, seed)
    model = folder / "home" / "models" / NAME
    if not model.exists():
        train(folder, options.epochs)
    install(require_segmenter(read_model(model)), folder)


def train(folder: Path, epochs: int) -> None:
    """Run the command, which shows its progress."""
    subprocess.run(
        [
            *(sys.executable, "-m", "workers.commands.main", "train", folder / "train" / "manifest.csv"),
            *("--images", folder / "train", "--valid", folder / "valid" / "manifest.csv"),
            *("--valid-images", folder / "valid", "--name", NAME, "--kind", "segmentation"),
            *("--base", "8", "--patch", "48,48,32", "--samples", "2", "--batch-size", "2", "--seed", "3"),
            *("--epochs", str(epochs), "--patience", str(epochs), "--half"),
        ],
        env=os.environ | {"NIGHTREAD_HOME": str(folder / "home")},
        check=True,
    )


def install(model: Segmenter, folder: Path) -> None:
    """Measure the model on the test split, and put it beside the shipped ones with what was found."""
    from workers.commands.train_volumes import read_cases
    from workers.inference.volumes.engine import make_volume_engine
    from workers.models.folder import write_card
    from workers.training.volumes.validation import segment_cases

    test = folder / "test"
    cases = read_cases(test / "manifest.csv", str(test), ReadOptions(), model.card, load_settings())
    engine = make_volume_engine("openvino", model, threads=2)
    began = time.monotonic()
    found = segment_cases(engine, cases, model.card).means()
    print(json.dumps(found, indent=1))
    print(f"{(time.monotonic() - began) / len(cases):.1f} s per case")
    figures = (model.card.figures or {}) | {"Dice on unseen phantoms": found}
    target = SHIPPED / NAME
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(model.folder / str(model.card.weights), target)
    write_card(
        target,
        model.card.model_copy(
            update={"description": DESCRIPTION, "figures": figures, "licence": "Apache-2.0"}
        ),
    )
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
