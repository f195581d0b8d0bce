"""The shipped demo model finds on phantoms that it has not seen what its card says it finds."""

import numpy as np
import pytest
from numpy.typing import NDArray

from config.cards.model import Classifier
from config.findings import FINDINGS
from jobs.phantoms.archive import Phantom, draw, plan_archive
from workers.inference.engine import Engine, Inference, infer_views
from workers.inference.formats.picture import Picture
from workers.inference.peak import locate
from workers.inference.pixels import prepare
from workers.inference.region import visible_region
from workers.metrics.auroc import delong

# Of another seed than the training's, so of other patients.
UNSEEN = plan_archive(96, seed=77, prevalence=dict.fromkeys(FINDINGS, 0.2))
WIDE = {"Cardiomegaly", "Edema", "Emphysema", "Fibrosis"}


@pytest.fixture(scope="module")
def inferred(demo: Classifier, demo_engine: Engine) -> Inference:
    views = (prepare(Picture(draw(phantom)), demo.card.pixels)[None] for phantom in UNSEEN)
    return infer_views(demo_engine, np.stack(list(views)))


def truth(finding: str) -> NDArray[np.int8]:
    return np.array([finding in phantom.findings for phantom in UNSEEN], dtype=np.int8)


def test_findings_of_unseen_phantoms_are_told_apart(demo: Classifier, inferred: Inference) -> None:
    areas = [
        delong(truth(finding), inferred.probabilities[:, index]).auroc or 0.0
        for index, finding in enumerate(demo.card.findings)
    ]
    assert float(np.mean(areas)) >= 0.95
    assert min(areas) >= 0.75, "the smallest is measured over 603 phantoms, and stands in the card"


def points_at(phantom: Phantom, finding: str, map_: NDArray[np.float32], demo: Classifier) -> bool:
    peak = locate(map_, visible_region(demo.card.pixels, 1024, 1024))
    assert peak is not None
    x, y = peak.point
    return any(
        box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height
        for box in phantom.boxes
        if box.finding == finding
    )


def test_peaks_of_true_positives_lie_in_the_drawn_boxes(demo: Classifier, inferred: Inference) -> None:
    hits = [
        points_at(phantom, finding, inferred.maps[row, :, :, index], demo)
        for index, finding in enumerate(demo.card.findings)
        if finding not in WIDE
        for row, phantom in enumerate(UNSEEN)
        if finding in phantom.findings and inferred.probabilities[row, index] >= demo.card.thresholds[index]
    ]
    assert len(hits) > 100
    assert sum(hits) / len(hits) >= 0.8


def test_card_tells_what_was_measured(demo: Classifier) -> None:
    figures = demo.card.figures or {}
    areas = figures["AUROC on unseen phantoms"]
    assert set(areas) == set(FINDINGS)
    assert np.mean(list(areas.values())) >= 0.95
    assert min(areas.values()) >= 0.85
    assert figures["peak in the drawn box, true positives"]["all"] >= 0.8
    assert (demo.folder / str(demo.card.weights)).stat().st_size <= 16 << 20
    assert not demo.card.clinical_use
