"""Write a model's folder: its weights, its card with their hash, and the golden scores that they give."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from config.cards.card import CardFields, problems_of
from config.cards.classification import ClassificationCard
from config.cards.model import (
    CARD_FILE,
    SHIPPED,
    Card,
    Classifier,
    Model,
    Segmenter,
    list_models,
    read_model,
    require_classifier,
    require_segmenter,
)
from config.cards.segmentation import SegmentationCard
from config.errors import ConfigError
from config.files import is_full
from workers.inference.golden import film_views, pattern_views
from workers.inference.networks.network import KerasModel, network_of, probabilities_of
from workers.inference.volumes.engine import NetworkEngine, golden_means
from workers.inference.weights import fill, save_weights

WEIGHTS_FILE = "weights.npz"

_CardT = TypeVar("_CardT", ClassificationCard, SegmentationCard)


def write_model(
    models_dir: Path,
    facts: CardFields,
    arrays: list[NDArray[np.float32]],
    *,
    half: bool = False,
    check: Callable[[KerasModel, ClassificationCard], CardFields] | None = None,
) -> Classifier:
    """Write `models_dir/NAME/` with `card.yaml` and `weights.npz`; returns the model as it is read back.

    `facts` are the card's fields without sha256, weights and golden, which follow from the `arrays` (in the
    network's own order, `network.weights`). `half` stores them as float16. `check` looks at the filled
    network before anything is written, and returns more of the card's fields, or raises. The folder appears
    whole or not at all. Raises ConfigError where the name is taken, a field is wrong, or number or shapes of
    the arrays do not fit the card's network.
    """
    draft = _draft(ClassificationCard, facts, golden=[0.0] * len(facts["findings"]))
    _require_free(models_dir, draft)
    network = network_of(draft).build(draft)
    fill(network, stored_as(arrays, half=half), draft, "the weights")
    found = {} if check is None else check(network, draft)
    answers = {
        "golden": golden_scores(network, pattern_views(draft)),
        "golden_film": golden_scores(network, film_views(draft)),
        **found,
    }
    return require_classifier(_write(models_dir, network, draft, answers, half=half))


def write_segmenter(
    models_dir: Path,
    facts: CardFields,
    arrays: list[NDArray[np.float32]],
    *,
    half: bool = False,
) -> Segmenter:
    """Write the folder of a model of volumes, as `write_model` does that of a classifier."""
    draft = _draft(SegmentationCard, facts, golden=[0.0] * len(facts["classes"]))
    _require_free(models_dir, draft)
    network = network_of(draft).build(draft)
    fill(network, stored_as(arrays, half=half), draft, "the weights")
    answers = {"golden": golden_means(NetworkEngine(network), draft)}
    return require_segmenter(_write(models_dir, network, draft, answers, half=half))


def _draft(kind: type[_CardT], facts: CardFields, golden: list[float]) -> _CardT:
    placeholders = {"sha256": "0" * 64, "weights": WEIGHTS_FILE, "golden": golden}
    try:
        return kind.model_validate(facts | placeholders)
    except ValidationError as error:
        problems = problems_of(error)
        raise ConfigError(f"model {facts['name']}: its card would be wrong: {problems}") from error


def _require_free(models_dir: Path, draft: Card) -> None:
    target = models_dir / draft.name
    if target.exists():
        raise ConfigError(f"{target} is there already; choose another --name or remove it")
    models_dir.mkdir(parents=True, exist_ok=True)


def stored_as(arrays: list[NDArray[np.float32]], *, half: bool) -> list[NDArray[np.float32]]:
    """Return the weights as they are read back: the golden scores are those of the rounded ones."""
    return [array.astype(np.float16).astype(np.float32) for array in arrays] if half else arrays


def _write(
    models_dir: Path,
    network: KerasModel,
    draft: ClassificationCard | SegmentationCard,
    answers: CardFields,
    *,
    half: bool,
) -> Model[Card]:
    target = models_dir / draft.name
    with tempfile.TemporaryDirectory(dir=models_dir, prefix=".new-") as scratch:
        folder = Path(scratch) / draft.name
        folder.mkdir()
        sha256 = save_weights(network, folder / WEIGHTS_FILE, outputs=draft.outputs, half=half)
        write_card(folder, draft.model_copy(update={"sha256": sha256, **answers}))
        read_model(folder)  # a model that a worker would refuse must not be put in place
        shutil.move(folder, target)
    return read_model(target)


def golden_scores(network: KerasModel, views: NDArray[np.float32]) -> tuple[float, ...]:
    """Return the probabilities of a filled network for one picture's views, rounded to six digits."""
    return tuple(round(float(mean), 6) for mean in probabilities_of(network, views).mean(axis=0))


def write_card(folder: Path, card: ClassificationCard | SegmentationCard) -> None:
    """Write a card as a person would: fields in their order, numbers in one line."""
    fields = card.model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump(fields, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def require_free(name: str, models_dir: Path, advice: str) -> None:
    """Raise ConfigError, with an advice, where there is a model of this name."""
    if (models_dir / name).exists():
        raise ConfigError(f"there is a model {name!r} already in {models_dir}; remove it or {advice}")
    if name in list_models(SHIPPED):
        raise ConfigError(f"{name!r} is the name of a model that comes with Nightread; {advice}")


@contextmanager
def writing(models_dir: Path) -> Iterator[None]:
    """Make the folder of models, and say which file cannot be written: ConfigError, OSError if it is full."""
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if is_full(error):
            raise OSError(error.errno, error.strerror, str(models_dir)) from error
        raise ConfigError(f"{error.filename or models_dir}: {error.strerror or error}") from error
