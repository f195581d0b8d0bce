"""The card of a segmenting network: classes and regions with their labels, and what cannot be right."""

from pathlib import Path
from typing import Any

import pytest
from support import CLASSIFIER_CARD, SEGMENTATION_CARD, write_card

from config.cards.model import find_model, make_card, require_classifier, require_segmenter
from config.cards.segmentation import SegmentationCard
from config.errors import ConfigError


def test_classes_and_regions_are_findings_with_their_labels() -> None:
    card = make_card(SEGMENTATION_CARD)
    assert isinstance(card, SegmentationCard)
    assert card.findings == ("edema", "non-enhancing", "enhancing", "WT", "TC", "ET")
    assert card.thresholds == (0.5,) * 6
    assert card.labels == {
        "edema": (1,),
        "non-enhancing": (2,),
        "enhancing": (3,),
        "WT": (1, 2, 3),
        "TC": (2, 3),
        "ET": (3,),
    }


def test_values_of_labels_are_those_of_the_card_and_change_nothing_where_it_names_none() -> None:
    card = make_card(SEGMENTATION_CARD)
    brats = make_card(SEGMENTATION_CARD | {"label_values": [2, 1, 4]})
    assert isinstance(card, SegmentationCard)
    assert isinstance(brats, SegmentationCard)
    assert (card.values, brats.values) == ((1, 2, 3), (2, 1, 4))
    assert brats.labels == card.labels
    assert "label_values" not in card.model_dump_json(exclude_defaults=True)
    assert card.fingerprint != brats.fingerprint


def test_a_model_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    write_card(tmp_path, SEGMENTATION_CARD)
    write_card(tmp_path, CLASSIFIER_CARD)
    with pytest.raises(ConfigError, match="model tumours is of the kind segmentation"):
        require_classifier(find_model("tumours", tmp_path))
    with pytest.raises(ConfigError, match="model mine is of the kind classification"):
        require_segmenter(find_model("mine", tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "densenet121"}, "no network for volumes; there are: unet3d"),
        ({"seed": None}, "exactly one of weights and seed"),
        ({"classes": ["edema", "edema", "enhancing"]}, "findings names one twice"),
        ({"regions": {"edema": ["enhancing"]}}, "findings names one twice"),
        ({"regions": {"WT": ["necrosis"]}}, "WT names necrosis, which is no class"),
        ({"regions": {"WT": []}}, "WT has no class"),
        ({"golden": [0.5]}, "golden has 1 numbers for 3 classes"),
        ({"channels": ["T1", "t1"]}, "channels names one twice"),
        ({"patch": [16, 16, 9]}, "each edge must be a multiple of 2 for a depth of 2"),
        ({"label_values": [1, 2]}, "label_values has 2 numbers for 3 classes"),
        ({"label_values": [1, 2, 2]}, "label_values has one twice"),
        ({"label_values": [0, 1, 2]}, "label_values.0"),
        ({"depth": 5}, "each edge must be a multiple of 16"),
        ({"overlap": 1.0}, "overlap: "),
        ({"standardization": "none"}, "standardization: "),
    ],
)
def test_values_that_cannot_be_right_are_explained(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_card(SEGMENTATION_CARD | change)
