"""The card of a training: a draft to build the network from, and the model's own at the end."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from config.cards.card import CardFields, problems_of
from config.cards.classification import ClassificationCard
from config.cards.model import Classifier
from config.errors import ConfigError
from workers.inference.networks.depths import DEPTHS
from workers.models.folder import write_model
from workers.training.plan import Plan
from workers.training.plots import plot_classes, plot_curve
from workers.training.state import LAST_FILE, STATE_FILE, State
from workers.training.validation import Validated

_ARCHITECTURE: Final = "densenet121"


def _architecture(plan: Plan) -> str:
    """Return what is trained: the network of the model to start from, if there is one."""
    return _ARCHITECTURE if plan.start is None else plan.start.card.architecture


def draft_card(plan: Plan) -> ClassificationCard:
    """Return a card that says enough to build the network; ConfigError where name or findings are invalid."""
    try:
        return ClassificationCard(
            name=plan.name,
            description="in training",
            architecture=_architecture(plan),
            sha256="0" * 64,
            weights="in-training.npz",
            findings=plan.train.findings,
            thresholds=(0.5,) * len(plan.train.findings),
            golden=(0.5,) * len(plan.train.findings),
            pixels=plan.pixels,
            final_relu=plan.final_relu,
            provenance="",
            licence="",
        )
    except ValidationError as error:
        raise ConfigError(f"model {plan.name!r}: its card would be wrong: {problems_of(error)}") from error


def write_trained(
    plan: Plan,
    state: State,
    models_dir: Path,
    arrays: list[NDArray[np.float32]],
    found: Validated,
    unusable: int,
) -> Classifier:
    """Write the model's folder from the best epoch's arrays, and remove what only a training needs."""
    youden, sensitive = found.thresholds(plan.wanted_sensitivity)
    figures = {
        name: round(value, 4)
        for name, value in zip(plan.train.findings, found.aurocs(), strict=True)
        if value is not None
    }
    architecture = _architecture(plan)
    start = "from seeded initial weights" if plan.start is None else f"from model {plan.start.card.name}"
    facts: CardFields = {
        "name": plan.name,
        "description": plan.description
        or f"{DEPTHS[architecture].name} trained on {plan.train.manifest.name}",
        "architecture": architecture,
        "findings": plan.train.findings,
        "thresholds": youden,
        "sensitive_thresholds": sensitive,
        "wanted_sensitivity": plan.wanted_sensitivity,
        "pixels": plan.pixels.model_dump(),
        "final_relu": plan.final_relu,
        "provenance": f"nightread train, version {version('nightread')}, {start}",
        "licence": "that of the training data",
        "training": {
            "train_sha256": plan.train.sha256,
            "valid_sha256": plan.valid.sha256,
            "train_images": len(plan.train),
            "valid_images": len(plan.valid),
            "unusable_images": unusable,
            "shared_patients": plan.shared.patients,
            "started_from": None if plan.start is None else plan.start.card.fingerprint,
            "epochs": len(state.history),
            "best_epoch": state.best_epoch,
            "batch": plan.batch,
            "learning_rate": plan.learning_rate,
            "flip": plan.flip,
            "seed": plan.seed,
        },
        "figures": {"validation AUROC": figures},
        "views": plan.views,
    }
    model = write_model(models_dir, facts, arrays, half=plan.half)
    plot_curve(state.history, model.folder / "curve.png")
    plot_classes(plan.train, plan.valid, model.folder / "classes.png")
    shutil.copy(state.folder / STATE_FILE, model.folder / STATE_FILE)
    for kept in (state.best_file, state.folder / LAST_FILE, state.folder / STATE_FILE):
        kept.unlink()
    return model
