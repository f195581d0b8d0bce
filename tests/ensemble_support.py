"""Models of toy networks with seeded weights: cards with true hashes and golden scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import CLASSIFIER_CARD, write_card

from config.cards.classification import ClassificationCard
from config.films import Recipe
from workers.inference.golden import pattern_views
from workers.inference.networks.network import network_of
from workers.inference.weights import arrays_sha256
from workers.models.folder import golden_scores

FINDINGS = ("Mass", "Nodule", "Edema")


def write_toy(
    models: Path,
    name: str,
    seed: int,
    findings: Sequence[str] = FINDINGS,
    size: int = 32,
    greyscale: Recipe = "window",
) -> None:
    """Write the card of a toy network, which must be registered: see toy_network."""
    fields: dict[str, Any] = CLASSIFIER_CARD | {
        "name": name,
        "architecture": "toy",
        "weights": None,
        "seed": seed,
        "findings": list(findings),
        "thresholds": [0.5] * len(findings),
        "golden": [0.5] * len(findings),
        "pixels": CLASSIFIER_CARD["pixels"]
        | {"size": size, "factor": 1 / 64, "mean": [2.0], "least_contrast": 0, "greyscale": greyscale},
    }
    draft = ClassificationCard.model_validate(fields)
    built = network_of(draft).build(draft)
    arrays = network_of(draft).seeded_weights(built, seed)
    built.set_weights(arrays)
    golden = list(golden_scores(built, pattern_views(draft)))
    write_card(models, fields | {"sha256": arrays_sha256(arrays), "golden": golden})
