"""What an ensemble of three costs beside its networks: real radiographs scored by three engines and by one.

`python benchmarks/ensemble.py --images DIR`: a folder of radiographs. By turns, in one process of one thread:
an image scored by three networks, by one, the bare forward pass of one, and reading and decoding alone. The
members are the demo's model three times, each with an engine and memory of its own.
"""

import argparse
import resource
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from config.cards.model import SHIPPED, read_model, require_classifier
from db.ledger import BatchImage, Claim
from workers.inference.engine import Inference, make_engine
from workers.inference.ensemble import Ensemble, Member
from workers.inference.pixels import prepare, test_pattern
from workers.outputs.overlays import Overlays
from workers.scoring.classification import ClassificationScorer

_PIXELS: Final = 64_000_000
_MIB: Final = 1 << 20


@dataclass
class _NoNetwork:
    """Answers at once, so that reading, decoding and preparing are left."""

    inference: Inference
    batch: int
    name: str = "none"

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        count = len(inputs)
        found = self.inference
        return Inference(found.probabilities[:count], found.maps[:count], found.features[:count])


def _processor() -> float:
    """Return this process's seconds of the processor, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident() -> int:
    return int(psutil.Process().memory_info().rss // _MIB)


def main(images: Path, count: int, rounds: int) -> None:
    """Measure by turns, and print medians, ratios and memory."""
    cv2.setNumThreads(1)
    model = require_classifier(read_model(SHIPPED / "demo"))
    card = model.card
    order = tuple(range(len(card.findings)))
    members, resident = [], []
    for _ in range(3):
        members.append(Member(card.pixels, make_engine("openvino", model), order))
        resident.append(_resident())
    inputs = np.stack([prepare(test_pattern(card.pixels.size), card.pixels)] * members[0].engine.batch)
    nothing = Ensemble.alone(card, _NoNetwork(members[0].engine.infer(inputs), len(inputs)))
    names = tuple(path.name for path in islice(sorted(images.iterdir()), count))
    held = Claim(
        batch_id=1,
        run_id=1,
        number=1,
        batches=1,
        attempt=1,
        token="benchmark",  # noqa: S106  # of a lease
        root=str(images),
        heatmaps="positive",
        bits=None,
        model=card.name,
        card_sha256=card.fingerprint,
        findings={finding: number for number, finding in enumerate(card.findings, start=1)},
        images=tuple(BatchImage(number, name) for number, name in enumerate(names, start=1)),
    )
    with tempfile.TemporaryDirectory() as folder:

        def scoring(networks: Ensemble) -> Callable[[], object]:
            scorer = ClassificationScorer(
                card, networks, overlays=Overlays(Path(folder)), max_pixels=_PIXELS, threads=1
            )
            return lambda: scorer.score(held)

        def forward() -> None:
            for _ in range(0, len(names), len(inputs)):
                members[0].engine.infer(inputs)

        turns = {
            "three networks": scoring(Ensemble(members)),
            "one network": scoring(Ensemble(members[:1])),
            "bare forward pass": forward,
            "without a network": scoring(nothing),
        }
        taken: dict[str, list[float]] = {what: [] for what in turns}
        for number in range(rounds + 1):
            for what, turn in turns.items():
                begun = _processor()
                turn()
                if number:  # the first round warms up
                    taken[what].append((_processor() - begun) / len(names))
    medians = {what: statistics.median(seconds) for what, seconds in taken.items()}
    for what, seconds in medians.items():
        print(f"{what}: {1000 * seconds:.0f} ms of the processor per image")
    three, bare, rest = (
        medians[what] for what in ("three networks", "bare forward pass", "without a network")
    )
    print(f"three networks less one reading, over the bare pass: {(three - rest) / bare:.3f}")
    print(f"three networks over one: {three / medians['one network']:.3f}")
    print(f"resident with 1, 2 and 3 networks: {resident} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=32, help="images; a multiple of 8 fills each call")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    main(asked.images, asked.count, asked.rounds)
