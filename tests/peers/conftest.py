"""What the tests of original libraries share: a small card, its network, and a network of torchvision's."""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from config.cards.classification import ClassificationCard, Preprocessing
from config.cards.model import Classifier
from workers.models.original_runs import arrays_in, run

with warnings.catch_warnings(), suppress(ImportError):
    warnings.simplefilter("ignore")
    # Before TensorFlow: after it, importing what torchvision needs of torch ends in a segmentation fault.
    import torchvision

OUTPUTS = 3
SIZE = 64


@pytest.fixture(scope="session")
def small_card(untrained: Classifier) -> ClassificationCard:
    """A card of three findings and pictures that are scored quickly."""
    pixels = Preprocessing(
        size=SIZE, channels=3, resize="bilinear", factor=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.2,) * 3
    )
    findings = tuple(f"finding {index}" for index in range(OUTPUTS))
    return untrained.card.model_copy(update={"pixels": pixels, "findings": findings})


@pytest.fixture(scope="session")
def small_network(tensorflow: Any, small_card: ClassificationCard) -> Any:
    assert tensorflow
    from workers.inference.networks import densenet

    return densenet.build(small_card)


@pytest.fixture(scope="session")
def densenet() -> Any:
    """Torchvision's network with numbers of its own in every array, and statistics that fit its inputs.

    With those of its initialisation it would answer 0 or 1 to everything.
    """
    torch = pytest.importorskip("torch", reason="torch is a peer: make test-peers")
    torch.manual_seed(1)
    network = torchvision.models.densenet121(weights=None, num_classes=OUTPUTS)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.uniform_(0.8, 1.25)
            norm.bias.normal_(0.0, 0.1)
        network.train()(torch.randn(8, 3, SIZE, SIZE))
        for norm in norms:
            norm.momentum = 0.1
        network.classifier.weight.normal_(0.0, 0.15)
        network.classifier.bias.normal_(0.0, 0.5)
    return network.eval()


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Open and run files here: another process would load its library for each. Its bounds have own tests."""
    monkeypatch.setattr(
        "workers.models.original.scores_of",
        lambda source, container, inputs: run(source, container, tmp_path, inputs),
    )
    monkeypatch.setattr("workers.models.programs.arrays_of", arrays_in)
