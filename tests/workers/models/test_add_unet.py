"""The course's U-Net becomes a model folder, and a folder of it is added as any other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unet_support import course_layout

from config.cards.model import read_model, require_segmenter
from config.errors import ConfigError
from workers.models.add import add_folder, add_unet
from workers.models.keras_files import read_keras


@pytest.fixture(scope="module")
def file(tensorflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert tensorflow
    path = tmp_path_factory.mktemp("course") / "model_pretrained.hdf5"
    course_layout(base=2, channels_first=True, seed=3).save_weights(path)
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_card_says_what_the_course_says(file: Path, models: Path) -> None:
    model = add_unet(file, models, name="tumours")
    card = model.card
    assert (card.architecture, card.base, card.depth) == ("unet3d", 2, 4)
    assert card.channels == ("FLAIR", "T1", "T1Gd", "T2")
    assert card.labels == {
        "edema": (1,),
        "non-enhancing": (2,),
        "enhancing": (3,),
        "WT": (1, 2, 3),
        "TC": (2, 3),
        "ET": (3,),
    }
    assert (card.patch, card.standardization, card.threshold) == ((160, 160, 16), "plane", 0.5)
    assert "model_pretrained.hdf5, SHA-256" in card.provenance
    assert len(set(card.golden)) == 3
    assert not card.clinical_use


def test_a_worker_takes_it_and_its_copy(file: Path, models: Path, tmp_path: Path) -> None:
    from workers.inference.volumes.engine import TensorFlowVolumeEngine

    model = add_unet(file, models, name="tumours", half=True)
    patch = np.random.default_rng(2).normal(size=(1, 16, 16, 8, 4)).astype(np.float32)
    answers = TensorFlowVolumeEngine(model).segment(patch)
    again = add_folder(model.folder, tmp_path / "elsewhere")
    assert again == read_model(tmp_path / "elsewhere" / "tumours")
    np.testing.assert_array_equal(TensorFlowVolumeEngine(require_segmenter(again)).segment(patch), answers)


def test_other_classes_have_names_of_their_own_and_no_regions(file: Path, models: Path) -> None:
    card = add_unet(file, models, classes=("liver", "spleen", "kidney")).card
    assert (card.name, card.classes, card.regions) == ("model_pretrained", ("liver", "spleen", "kidney"), {})


def test_layout_of_radiographs_names_the_right_one(file: Path) -> None:
    with pytest.raises(ConfigError, match="a network of volumes; --layout course-unet reads"):
        read_keras(file)


def test_numbers_that_do_not_fit_are_refused_and_nothing_is_left(file: Path, models: Path) -> None:
    with pytest.raises(ConfigError, match="has 3 classes, the layout 2: liver, spleen"):
        add_unet(file, models, classes=("liver", "spleen"))
    cut = models.parent / "cut.hdf5"
    cut.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(ConfigError, match="damaged or not complete"):
        add_unet(cut, models)
    assert not models.exists()
