"""A training on volumes learns, goes on where it was stopped, and leaves a model that scores."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from volume_support import segmentation_card

from config.errors import ConfigError
from config.failures import ImageUnusableError, Reason
from workers.inference.volumes.volume import Labels, Volume
from workers.training.plan import Epoch, Reporter
from workers.training.splits import Overlap
from workers.training.volumes.plan import VolumePlan, VolumeSplit

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

SHAPE = (24, 20, 12)


def read(name: str) -> tuple[Volume, Labels]:
    """Return a head whose classes are bright in one channel each."""
    if name == "cut":
        raise ImageUnusableError(Reason.TRUNCATED, "cut")
    random = np.random.default_rng(int(name))
    values = np.zeros((*SHAPE, 4), dtype=np.float32)
    values[2:-2, 2:-2, 1:-1] = random.uniform(90, 110, (20, 16, 10, 4))
    labels = np.zeros(SHAPE, dtype=np.uint8)
    x, y = random.integers(3, 7, 2)
    for value in (1, 2, 3):
        labels[x + 4 * value - 3 : x + 4 * value + 1, y : y + 9, 2:9] = value
        values[labels == value, value] += 100
    return Volume(values, np.eye(4)), labels


def split(*names: str) -> VolumeSplit:
    return VolumeSplit(Path("m.csv"), "0" * 64, "images", names, names, read)


PLAN = VolumePlan(
    draft=segmentation_card(name="mine", base=4, weights="in-training.npz", seed=None),
    train=split(*"123456"),
    valid=split("7", "8"),
    shared=Overlap(0, 0, known=True),
    epochs=3,
    batch=2,
    learning_rate=3e-3,
    samples=2,
    seed=1,
)


class Story:
    """What a training reported; `begin` may stop it."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.epochs: list[Epoch] = []
        self.notes: list[str] = []
        self._stop_at = stop_at

    def reporter(self) -> Reporter:
        return Reporter(self._begin, lambda _loss: None, self._end, self.notes.append)

    def _begin(self, epoch: int, _steps: int) -> None:
        if epoch == self._stop_at:
            raise KeyboardInterrupt

    def _end(self, _epoch: int, figures: Epoch) -> None:
        self.epochs.append(dict(figures))


@pytest.fixture
def run(tensorflow: Any, tmp_path: Path) -> Callable[..., Any]:
    from workers.training.volumes.fit import train_volumes

    assert tensorflow

    def train(plan: VolumePlan, story: Story, where: str = "one") -> Any:
        return train_volumes(plan, tmp_path / where / "models", tmp_path / where / "state", story.reporter())

    return train


def test_a_stopped_training_goes_on_to_the_same_end(run: Callable[..., Any], tmp_path: Path) -> None:
    straight, first, second = Story(), Story(stop_at=3), Story()
    whole = run(PLAN, straight)
    with pytest.raises(KeyboardInterrupt):
        run(PLAN, first, "two")
    assert len(first.epochs) == 2
    with pytest.raises(ConfigError, match="other data or options"):
        run(replace(PLAN, learning_rate=1e-4), Story(), "two")
    continued = run(PLAN, second, "two")
    assert second.notes[0] == "going on after epoch 2"
    for ours, theirs in zip([*first.epochs, *second.epochs], straight.epochs, strict=True):
        for name in ("loss", "val_loss", "val_dice"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-4)
    assert continued.card.training == whole.card.training
    assert straight.epochs[-1]["loss"] < straight.epochs[0]["loss"]
    assert not list((tmp_path / "two" / "state").glob("*.npz")), "what only a training needs is removed"


def test_card_says_what_was_learned_and_what_it_reaches(run: Callable[..., Any]) -> None:
    from workers.inference.volumes.engine import TensorFlowVolumeEngine

    story = Story()
    model = run(replace(PLAN, train=split(*"123456", "cut"), epochs=8, patience=8, half=True), story)
    card = model.card
    assert card.training.train_volumes == 7
    assert card.training.unusable_volumes == 1
    assert card.training.max_background == 0.95
    assert "1 cases could not be read and were left out: truncated" in story.notes
    dice = card.figures["validation Dice"]
    assert set(dice) == {"edema", "non-enhancing", "enhancing", "WT", "TC", "ET"}
    assert dice["WT"] > 0.6
    assert not card.clinical_use
    assert {"card.yaml", "weights.npz", "curve.png", "training.json"} == {
        path.name for path in model.folder.iterdir()
    }
    assert yaml.safe_load((model.folder / "card.yaml").read_text())["kind"] == "segmentation"
    TensorFlowVolumeEngine(model)  # its golden scores are those of the stored weights


def test_it_begins_with_another_models_weights(run: Callable[..., Any]) -> None:
    first = run(PLAN, Story())
    draft = PLAN.draft.model_copy(update={"name": "more"})
    story = Story()
    more = run(replace(PLAN, draft=draft, start=first, epochs=1), story)
    assert more.card.training.started_from == first.card.fingerprint
    assert story.epochs[0]["loss"] < 0.9 * 0.8


def test_splits_without_any_sub_volume_are_refused(run: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"m\.csv: 1 cases cannot be read: cut: cut"):
        run(replace(PLAN, valid=split("cut")), Story())
    with pytest.raises(ConfigError, match=r"16 x 16 x 8 voxels had less than 0\.05 of background"):
        run(replace(PLAN, max_background=0.05), Story())


def test_a_taken_name_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "one" / "models" / "mine").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is there already"):
        run(PLAN, Story())
