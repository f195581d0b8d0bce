"""The shipped demo model of volumes segments heads that it has not seen as its card says."""

from typing import Any

import numpy as np
import pytest

from config.cards.model import SHIPPED, Segmenter, read_model, require_segmenter
from jobs.phantoms.volumes.archive import draw_case
from workers.metrics.segmentation import dice

SEED = 303
"""Of the test split of benchmarks/segmentation_demo_model.py: the card has the means of twenty of them."""


@pytest.fixture(scope="module")
def demo() -> Segmenter:
    return require_segmenter(read_model(SHIPPED / "demo-volumes"))


def test_unseen_heads_are_segmented(tensorflow: Any, demo: Segmenter) -> None:
    from workers.inference.volumes.engine import TensorFlowVolumeEngine
    from workers.inference.volumes.window import label_map, segment_volume

    assert tensorflow
    engine = TensorFlowVolumeEngine(demo, threads=1)
    found: dict[str, list[float | None]] = {name: [] for name in demo.card.labels}
    for patient in range(1, 5):
        image, head = draw_case(SEED, patient)
        probabilities, box = segment_volume(image.astype(np.float32), demo.card, engine)
        answer = np.zeros_like(head.label)
        answer[box] = label_map(probabilities, demo.card.threshold)
        for name, values in demo.card.labels.items():
            found[name].append(dice(np.isin(head.label, values), np.isin(answer, values)))
    means = {
        name: float(np.mean([value for value in values if value is not None]))
        for name, values in found.items()
    }
    assert means["WT"] > 0.85
    assert min(means[name] for name in demo.card.classes) > 0.75


def test_card_tells_what_was_measured(demo: Segmenter) -> None:
    figures = (demo.card.figures or {})["Dice on unseen phantoms"]
    assert set(figures) == set(demo.card.labels)
    assert figures["WT"] > 0.85
    assert min(figures[name] for name in demo.card.classes) > 0.75
    assert (demo.folder / str(demo.card.weights)).stat().st_size <= 5 << 20
    assert (demo.card.base, demo.card.clinical_use) == (8, False)
    assert demo.card.provenance.startswith("nightread train")
