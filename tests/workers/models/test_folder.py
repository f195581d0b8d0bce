"""The folder that a model is written to: its card, its weights and their golden scores."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from training_support import SCALED, pixels

from config.cards.model import Classifier, Model, read_model, weights_file
from config.errors import ConfigError

# Keras' own, when it reads its variables to save them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)

Arrays = list[NDArray[np.float32]]

FACTS: dict[str, Any] = {
    "name": "whole",
    "description": "of a test",
    "architecture": "densenet121",
    "findings": ("Mass", "Hernia"),
    "thresholds": (0.25, 0.5),
    "pixels": pixels(**SCALED).model_dump(),
    "provenance": "tests",
    "licence": "Apache-2.0",
}


@pytest.fixture(scope="module")
def network(tensorflow: Any) -> Any:
    """The network that FACTS describe."""
    from config.cards.classification import ClassificationCard
    from workers.inference.networks import densenet

    assert tensorflow
    draft = {"sha256": "0" * 64, "weights": "weights.npz", "golden": (0.5, 0.5)}
    return densenet.build(ClassificationCard.model_validate(FACTS | draft))


@pytest.fixture(scope="module")
def arrays(network: Any) -> Arrays:
    from workers.inference.networks.network import seeded_weights

    return seeded_weights(network, 4)


@pytest.fixture(scope="module")
def models(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Classifier]:
    """Two models of the same weights, one stored as float16."""
    from workers.models.folder import write_model

    folder = tmp_path_factory.mktemp("home") / "models"
    return {
        "whole": write_model(folder, FACTS, arrays),
        "half": write_model(folder, FACTS | {"name": "half"}, arrays, half=True),
    }


def stored_arrays(model: Classifier) -> tuple[Arrays, tuple[str, ...]]:
    """Read a model's file as it is: its arrays in order, and its outputs' names."""
    path = weights_file(model)
    assert path is not None
    with np.load(path, allow_pickle=False) as stored:
        names = tuple(str(name) for name in stored["outputs"])
        return [stored[key] for key in sorted(stored.files) if key != "outputs"], names


def test_a_model_folder_holds_the_card_and_the_weights_and_nothing_else(
    models: dict[str, Classifier], arrays: Arrays
) -> None:
    model = models["whole"]
    assert model == read_model(model.folder)
    assert {path.name for path in model.folder.iterdir()} == {"card.yaml", "weights.npz"}
    assert {path.name for path in model.folder.parent.iterdir()} == {"whole", "half"}
    assert model.card.findings == ("Mass", "Hernia")
    assert model.card.thresholds == (0.25, 0.5)
    assert model.card.sha256 == hashlib.sha256((model.folder / "weights.npz").read_bytes()).hexdigest()
    stored, outputs = stored_arrays(model)
    assert outputs == ("Mass", "Hernia")
    assert len(stored) == len(arrays)
    assert all(np.array_equal(found, other) for found, other in zip(stored, arrays, strict=True))


def test_float16_halves_the_size(models: dict[str, Classifier], arrays: Arrays) -> None:
    whole, half = ((models[name].folder / "weights.npz").stat().st_size for name in ("whole", "half"))
    # The frames of 600 arrays stay as they are.
    assert half == pytest.approx(whole / 2, rel=0.01)
    stored, _ = stored_arrays(models["half"])
    assert {array.dtype for array in stored} == {np.dtype(np.float16)}
    assert all(
        np.array_equal(found, other.astype(np.float16)) for found, other in zip(stored, arrays, strict=True)
    )


@pytest.mark.parametrize("name", ["whole", "half"])
def test_golden_scores_are_those_of_the_stored_weights(
    network: Any, models: dict[str, Classifier], name: str
) -> None:
    from workers.inference import weights
    from workers.inference.golden import film_views, pattern_views
    from workers.models.folder import golden_scores

    card = models[name].card
    weights.load_weights(network, models[name])
    assert card.golden == pytest.approx(golden_scores(network, pattern_views(card)), abs=2e-6)
    assert card.golden_film == pytest.approx(golden_scores(network, film_views(card)), abs=2e-6)
    assert card.golden_film is not None
    assert len({*card.golden, *card.golden_film}) == 4


def test_golden_scores_of_rounded_weights_are_not_those_of_the_whole(models: dict[str, Classifier]) -> None:
    assert models["whole"].card.golden != models["half"].card.golden


def test_a_card_that_names_the_outputs_in_another_order_is_refused(
    network: Any, models: dict[str, Classifier]
) -> None:
    from workers.inference import weights

    model = models["whole"]
    swapped = model.card.model_copy(update={"findings": ("Hernia", "Mass")})
    with pytest.raises(ConfigError, match=r"output 1 .* is Mass, .* finding 1 is Hernia"):
        weights.load_weights(network, Model(folder=model.folder, card=swapped))


def test_a_field_that_no_card_could_have_is_refused_and_nothing_is_left_behind(
    tmp_path: Path, arrays: Arrays
) -> None:
    from workers.models.folder import write_model

    with pytest.raises(ConfigError, match=r"model whole: .*thresholds"):
        write_model(tmp_path / "models", FACTS | {"thresholds": (2.0, 0.5)}, arrays)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_is_refused_and_what_is_there_stays(tmp_path: Path, arrays: Arrays) -> None:
    from workers.models.folder import write_model

    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="is there already") as caught:
        write_model(tmp_path, FACTS, arrays)
    assert str(tmp_path / "whole") in str(caught.value)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "whole",
        "whole/mine.txt",
    ]


@pytest.mark.parametrize("wrong", ["shape", "number"])
def test_arrays_that_do_not_fit_are_refused_and_nothing_is_left_behind(
    tmp_path: Path, arrays: Arrays, wrong: str
) -> None:
    from workers.models.folder import write_model

    other = [*arrays[:-1], np.zeros(3, np.float32)] if wrong == "shape" else arrays[:-1]
    shapes = r"is \(3,\), but .* is \(2,\)"
    counts = re.escape(f"holds {len(arrays) - 1} arrays") + f".*has {len(arrays)}"
    with pytest.raises(ConfigError, match=shapes if wrong == "shape" else counts):
        write_model(tmp_path, FACTS, other)
    assert list(tmp_path.iterdir()) == []
