"""What kept pixels save: a second model over the same radiographs, and a JPEG 2000 archive's second pass.

`python benchmarks/prepared.py [--engine openvino] [--rounds 3]`; with NIGHTREAD_REAL_DATA the 120 radiographs
and the film are real ones, else they are drawn. Processor seconds per image from the claim to the outcomes in
one process, without the database; the network's answers stand in for it, unless it is named.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Self, cast

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

from dicom_rates import ENCODERS, drawn, real  # noqa: E402
from dicom_support import compressed  # noqa: E402
from support import claim_of  # noqa: E402

from config.cache import Cache  # noqa: E402
from config.cards.classification import ClassificationCard  # noqa: E402
from config.cards.model import SHIPPED, Classifier, Model, read_model, require_classifier  # noqa: E402
from config.engines import EngineKind  # noqa: E402
from jobs.phantoms.archive import draw, plan_archive  # noqa: E402
from workers.inference.engine import Engine, Inference, make_engine  # noqa: E402
from workers.inference.ensemble import Ensemble  # noqa: E402
from workers.inference.gate import Gate  # noqa: E402
from workers.inference.pixels import prepare, test_pattern  # noqa: E402
from workers.outputs.overlays import Overlays  # noqa: E402
from workers.scoring.classification import ClassificationScorer  # noqa: E402

LIMIT = 64_000_000
FILMS = 12


def radiographs(folder: Path) -> tuple[Path, list[str]]:
    """Return 120 PNGs of 1024 x 1024, real ones if there are."""
    data = os.environ.get("NIGHTREAD_REAL_DATA")
    if data:
        root = Path(data) / "nih" / "images"
        return root, sorted(path.name for path in root.glob("*.png"))[:120]
    folder.mkdir()
    for number, phantom in enumerate(plan_archive(120, seed=3)):
        cv2.imwrite(str(folder / f"{number:03d}.png"), draw(phantom))
    return folder, sorted(path.name for path in folder.iterdir())


def films(folder: Path) -> tuple[Path, list[str]]:
    """Write a film of 15 bits, as JPEG 2000 without loss, turned and mirrored so that all differ."""
    data = os.environ.get("NIGHTREAD_REAL_DATA")
    _, pixels = real(Path(data)) if data else drawn()
    syntax, encode = ENCODERS["JPEG 2000"]
    folder.mkdir()
    for number in range(FILMS):
        turned = np.ascontiguousarray(np.roll(pixels, 40 * number, axis=1)[:, :: -1 if number % 2 else 1])
        content = compressed(
            bytes(encode(turned)),
            syntax,
            BitsStored=15,
            HighBit=14,
            BitsAllocated=16,
            Rows=turned.shape[0],
            Columns=turned.shape[1],
            WindowCenter=15_000,
            WindowWidth=30_000,
        )
        (folder / f"{number:02d}.dcm").write_bytes(content)
    return folder, sorted(path.name for path in folder.iterdir())


def processor(work: Callable[[], object]) -> float:
    """Return the seconds of the processor, of all threads, that some work takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


@dataclass
class Instant:
    """The answers of a network without its work, so that what is beside it is measured alone."""

    name: str
    batch: int
    answer: Inference

    @classmethod
    def of(cls, engine: Engine, inputs: NDArray[np.float32]) -> Self:
        """Take what an engine answers to a full batch."""
        return cls(engine.name, engine.batch, engine.infer(inputs))

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        """Answer at once."""
        count = len(inputs)
        return Inference(
            self.answer.probabilities[:count], self.answer.maps[:count], self.answer.features[:count]
        )


def scorer_of(model: Classifier, engine: Engine, folder: Path, cache: Cache | None) -> ClassificationScorer:
    """Make a scorer with the model's gate."""
    overlays = Overlays(folder / "overlays")
    gate = Gate.load(model)
    return ClassificationScorer(
        model.card,
        Ensemble.alone(model.card, engine),
        overlays=overlays,
        max_pixels=LIMIT,
        gate=gate,
        cache=cache,
    )


def second_model(model: Classifier, engine: Engine, folder: Path, rounds: int) -> None:
    """Print what an image costs beside the network: without a cache, with a new one, and a second model's."""
    root, names = radiographs(folder / "png")
    other = Model(model.folder, other_model(model.card))
    print(f"\n{len(names)} radiographs; ms of a processor per image, without the network")
    print("| heatmaps | no cache | cache, first model | cache, second model |\n|---|---|---|---|")
    for heatmaps in ("none", "positive"):
        held = claim_of(model.card, root, names, heatmaps)
        turns: list[list[float]] = []
        for number in range(rounds):
            cache = Cache(folder / f"cache-{heatmaps}-{number}", 1 << 40)
            scorers = [
                scorer_of(scored, engine, folder, kept)
                for scored, kept in ((model, None), (model, cache), (other, cache))
            ]
            turns.append([processor(partial(scorer.score, held)) for scorer in scorers])
        each = [f"{1000 * median(taken) / len(names):.2f}" for taken in zip(*turns, strict=True)]
        print(f"| {heatmaps} | {' | '.join(each)} |")


def other_model(card: ClassificationCard) -> ClassificationCard:
    """Return the card of a model that scales the same pixels otherwise."""
    mean = tuple(value + 1 for value in card.pixels.mean)
    return card.model_copy(update={"pixels": card.pixels.model_copy(update={"mean": mean})})


def second_pass(model: Classifier, engines: Sequence[Engine], folder: Path) -> None:
    """Print what a JPEG 2000 archive's first and second pass cost."""
    root, names = films(folder / "j2k")
    held = claim_of(model.card, root, names, "positive")
    print(f"\n{len(names)} films of JPEG 2000; ms of a processor per image, maps and overlays included")
    print("| | first pass | second pass | times |\n|---|---|---|---|")
    for number, engine in enumerate(engines):
        cache = Cache(folder / f"cache-j2k-{number}", 1 << 40)
        scorer = scorer_of(model, engine, folder, cache)
        first, *others = (processor(partial(scorer.score, held)) for _ in range(4))
        second = median(others)
        what = "without the network" if isinstance(engine, Instant) else f"with the network, {engine.name}"
        each = [f"{1000 * seconds / len(names):.1f}" for seconds in (first, second)]
        print(f"| {what} | {' | '.join(each)} | {first / second:.1f} |")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", default="openvino", choices=["tensorflow", "openvino"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    model = require_classifier(read_model(SHIPPED / "demo"))
    engine = make_engine(cast(EngineKind, options.engine), model)
    inputs = np.stack([prepare(test_pattern(model.card.pixels.size), model.card.pixels)] * engine.batch)
    calls = [processor(partial(engine.infer, inputs)) for _ in range(10)]
    print(
        f"the network, {engine.name}: {1000 * median(calls) / engine.batch:.1f} ms of a processor per image"
    )
    instant = Instant.of(engine, inputs)
    with tempfile.TemporaryDirectory(prefix="nightread-prepared-") as folder:
        second_model(model, instant, Path(folder), options.rounds)
        second_pass(model, [instant, engine], Path(folder))


if __name__ == "__main__":
    main()
