"""A card says what a model is; one that cannot be right is refused by file and field."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support import CLASSIFIER_CARD, STUB_CARD, write_card

from config.cards.model import (
    SHIPPED,
    Classifier,
    find_model,
    list_models,
    read_model,
    require_classifier,
    weights_file,
)
from config.errors import ConfigError
from config.findings import FINDINGS


def refusal(models: Path, card: dict[str, Any]) -> str:
    """Give the message with which a card is refused; it always names the file."""
    write_card(models, card)
    path = models / card["name"] / "card.yaml"
    with pytest.raises(ConfigError) as caught:
        read_model(path.parent)
    assert str(path) in str(caught.value)
    return str(caught.value).removeprefix(str(path))


def classifier(folder: Path) -> Classifier:
    return require_classifier(read_model(folder))


def pixels(**fields: object) -> dict[str, Any]:
    return {"pixels": CLASSIFIER_CARD["pixels"] | fields}


# --- cards that are right ----------------------------------------------------------------------------------


def test_shipped_cards_are_valid_and_bear_their_folders_names() -> None:
    names = [path.parent.name for path in SHIPPED.glob("*/card.yaml")]
    assert "untrained" in names
    for name in names:
        assert read_model(SHIPPED / name).card.name == name


def test_shipped_cards_are_fit_for_no_clinical_use() -> None:
    assert not any(read_model(path.parent).card.clinical_use for path in SHIPPED.glob("*/card.yaml"))


def test_numbers_of_a_card_are_kept_in_their_order(tmp_path: Path) -> None:
    golden = [index / 100 for index in range(14)]
    write_card(tmp_path, CLASSIFIER_CARD | {"golden": golden})
    card = classifier(tmp_path / "mine").card
    assert card.findings == FINDINGS
    assert card.golden == tuple(golden)


def test_weights_lie_beside_their_card(tmp_path: Path) -> None:
    write_card(tmp_path, CLASSIFIER_CARD)
    assert weights_file(classifier(tmp_path / "mine")) == tmp_path / "mine" / "weights.npz"
    assert weights_file(classifier(SHIPPED / "untrained")) is None


# --- cards that are not ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field", ["name", "sha256", "findings", "thresholds", "pixels", "provenance", "licence"]
)
def test_missing_field_is_named(tmp_path: Path, field: str) -> None:
    card = {name: value for name, value in CLASSIFIER_CARD.items() if name != field}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"card.yaml: {field}: Field required"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "Mine"}, "name: "),
        ({"name": "x" * 64}, "name: "),
        ({"architecture": "resnet50"}, "architecture: "),
        ({"sha256": "0" * 63}, "sha256: "),
        ({"sha256": "A" * 64}, "sha256: "),
        ({"findings": []}, "findings: "),
        ({"thresholds": [0.5] * 13 + [1.5]}, "thresholds.13: "),
        ({"golden": [0.5] * 13 + [-0.1]}, "golden.13: "),
        ({"golden": [0.5] * 13 + [float("nan")]}, "golden.13: "),
        ({"treshholds": [0.5]}, "treshholds: "),
        (pixels(size=0), "pixels.size: "),
        (pixels(size="big"), "pixels.size: "),
        (pixels(channels=2), "pixels.channels: "),
        (pixels(resize="lanczos"), "pixels.resize: "),
        (pixels(factor=0), "pixels.factor: "),
        (pixels(std=[0.0]), "pixels.std.0: "),
        (pixels(colour="grey"), "pixels.colour: "),
    ],
)
def test_wrong_value_is_named_with_its_field(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    assert named in refusal(tmp_path, CLASSIFIER_CARD | change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"thresholds": [0.5] * 13}, "thresholds has 13 numbers for 14 findings"),
        ({"golden": [0.5] * 15}, "golden has 15 numbers for 14 findings"),
        ({"findings": [*FINDINGS[:13], FINDINGS[0]]}, "findings names one twice"),
        ({"seed": 1}, "exactly one of weights and seed"),
        ({"weights": None}, "exactly one of weights and seed"),
        ({"golden": None}, "golden is missing"),
        (pixels(mean=[0.0, 0.0, 0.0]), "mean and std need 1 numbers"),
        (pixels(channels=3), "mean and std need 3 numbers"),
    ],
)
def test_values_that_do_not_fit_together_are_explained(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    assert said in refusal(tmp_path, CLASSIFIER_CARD | change)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, CLASSIFIER_CARD | {"sha256": "?", "architecture": "?"})
    assert "sha256: " in message
    assert "architecture: " in message


@pytest.mark.parametrize("text", ["", "[]", "just text", "- name: x"])
def test_card_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"card\.yaml: card: "):
        read_model(tmp_path)


def test_card_that_is_no_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("name: x\nfindings: [a, b\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"card.yaml: not valid YAML: (.|\n)*line 3"):
        read_model(tmp_path)


def test_card_cannot_make_python_objects(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("name: !!python/object/apply:os.getpid []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_model(tmp_path)


def test_card_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_model(tmp_path)


@pytest.mark.parametrize("name", ["../up", "a/b", "/etc", ".hidden", "", "two\nlines"])
def test_finding_whose_name_is_no_folders_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "findings.0" in refusal(tmp_path, CLASSIFIER_CARD | {"findings": [name, *FINDINGS[1:]]})


@pytest.mark.parametrize("change", [{"mean": [float("nan")]}, {"factor": float("inf")}])
def test_number_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    assert "finite number" in refusal(tmp_path, CLASSIFIER_CARD | pixels(**change))


def test_missing_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent/card\.yaml: No such file"):
        read_model(tmp_path / "absent")


# --- which model a name means ------------------------------------------------------------------------------


def test_users_model_goes_before_the_shipped_one_of_the_same_name(tmp_path: Path) -> None:
    assert find_model("untrained", tmp_path).folder == SHIPPED / "untrained"
    write_card(tmp_path, STUB_CARD | {"name": "untrained"})
    assert find_model("untrained", tmp_path).folder == tmp_path / "untrained"


def test_models_are_listed_once_and_the_users_first(tmp_path: Path) -> None:
    write_card(tmp_path, STUB_CARD | {"name": "zebra"})
    write_card(tmp_path, STUB_CARD | {"name": "untrained"})
    listed = list_models(tmp_path)
    assert listed[:2] == ["untrained", "zebra"]
    assert len(listed) == len(set(listed))


def test_shipped_models_are_found_where_the_user_has_no_folder(tmp_path: Path) -> None:
    assert "untrained" in list_models(tmp_path / "absent")
    assert find_model("untrained", tmp_path / "absent").card.name == "untrained"


def test_unknown_model_is_an_error_that_lists_what_there_is(tmp_path: Path) -> None:
    write_card(tmp_path, CLASSIFIER_CARD)
    with pytest.raises(ConfigError, match=r"no model 'mnie'; there are: mine, .*untrained"):
        find_model("mnie", tmp_path)


def test_card_that_was_copied_under_another_name_is_refused(tmp_path: Path) -> None:
    write_card(tmp_path, CLASSIFIER_CARD)
    (tmp_path / "mine").rename(tmp_path / "yours")
    with pytest.raises(ConfigError, match=r"name is 'mine', the folder's name is 'yours'"):
        find_model("yours", tmp_path)


@pytest.mark.parametrize("name", ["../mine", "../../mine", "sub/mine", "./mine/.", "..", ".", "", "mine\0"])
def test_name_with_parts_of_a_path_is_refused(tmp_path: Path, name: str) -> None:
    for place in (tmp_path, tmp_path / "models" / "sub", tmp_path / "models"):
        write_card(place, CLASSIFIER_CARD)
        (place / "card.yaml").write_text(yaml.safe_dump(CLASSIFIER_CARD), encoding="utf-8")
    with pytest.raises(ConfigError):
        find_model(name, tmp_path / "models")


def test_absolute_path_is_no_name(tmp_path: Path) -> None:
    write_card(tmp_path, CLASSIFIER_CARD)
    with pytest.raises(ConfigError, match="there is no model"):
        find_model(str(tmp_path / "mine"), tmp_path / "models")
