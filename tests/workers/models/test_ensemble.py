"""Making an ensemble: its card follows from its members', and what cannot answer together is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import CLASSIFIER_CARD, STUB_CARD, write_card

from config.cards.classification import ClassificationCard
from config.cards.model import Classifier, find_model, require_classifier
from config.errors import ConfigError
from workers.models.ensemble import EnsembleOptions, make_ensemble

PAIR: dict[str, Any] = CLASSIFIER_CARD | {"findings": ["Mass", "Edema"]}


def write(models: Path, name: str, digit: str, **fields: object) -> ClassificationCard:
    numbers = {"thresholds": [0.2, 0.6], "golden": [0.1, 0.3], "golden_film": [0.3, 0.5]}
    write_card(models, PAIR | numbers | {"name": name, "sha256": digit * 64} | fields)
    return require_classifier(find_model(name, models)).card


def unchecked(_model: Classifier) -> None:
    pass


def make(models: Path, *names: str, **options: Any) -> ClassificationCard:
    return make_ensemble(models, "ours", names, EnsembleOptions(**options), unchecked).card


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    write(folder, "a", "1")
    return folder


def test_what_follows_from_the_members_is_on_the_card(models: Path) -> None:
    write(
        models,
        "b",
        "2",
        findings=["Edema", "Mass"],
        thresholds=[0.8, 0.5],
        golden=[0.5, 0.2],
        licence="CC-BY-4.0",
        views="frontal",
        trained=True,
        clinical_use=True,
    )
    card = make(models, "a", "b")
    assert card.members is not None
    assert [member.name for member in card.members] == ["a", "b"]
    assert [member.card_sha256 for member in card.members] == [
        find_model(name, models).card.fingerprint for name in ("a", "b")
    ]
    assert card.findings == ("Mass", "Edema")
    assert card.thresholds == (0.35, 0.7)
    assert card.golden == (0.15, 0.4)
    assert card.golden_film == (0.4, 0.4)
    assert card.views == "frontal"
    assert not card.trained
    assert not card.clinical_use
    assert card.licence == "a: Apache-2.0; b: CC-BY-4.0"
    assert card.provenance == "tests"
    assert card.description == "Ensemble of a, b"


def test_what_is_given_takes_precedence(models: Path) -> None:
    write(models, "b", "2", golden_film=None)
    card = make(models, "a", "b", thresholds=(0.4,), description="two", provenance="here", licence="mine")
    assert card.thresholds == (0.4, 0.4)
    assert card.golden_film is None
    assert (card.description, card.provenance, card.licence) == ("two", "here", "mine")


def test_the_first_members_gate_is_the_ensembles(models: Path) -> None:
    gate = {"sha256": "7" * 64, "images": 300, "policy": "refuse"}
    gated = write(models, "gated", "2", gate=gate)
    (models / "gated" / "gate.npz").write_bytes(b"the gate")
    assert make(models, "gated", "a").gate == gated.gate
    assert (models / "ours" / "gate.npz").read_bytes() == b"the gate"
    made = make_ensemble(models, "others", ["a", "gated"], EnsembleOptions(), unchecked)
    assert made.card.gate is None
    assert not (made.folder / "gate.npz").exists()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a"], "two members or more"),
        (["a", "a"], "a is given twice"),
        (["a", "twin"], "twin is the same network as a"),
        (["a", "other"], "other has other findings than a: Edema, Nodule"),
        (["a", "gone"], "there is no model 'gone'"),
        (["a", "stub"], "model stub is of the kind stub"),
        (["a", "inner"], "model inner is an ensemble"),
    ],
)
def test_what_cannot_answer_together_is_refused_and_leaves_nothing(
    models: Path, names: Sequence[str], says: str
) -> None:
    write(models, "b", "2")
    write(models, "twin", "1", thresholds=[0.9, 0.9])
    write(models, "other", "3", findings=["Mass", "Nodule"])
    write_card(models, STUB_CARD)
    make_ensemble(models, "inner", ["a", "b"], EnsembleOptions(), unchecked)
    before = sorted(models.rglob("*"))
    with pytest.raises(ConfigError, match=says):
        make(models, *names)
    assert sorted(models.rglob("*")) == before


def test_the_same_weights_may_look_at_other_pixels(models: Path) -> None:
    write(models, "larger", "1", pixels=CLASSIFIER_CARD["pixels"] | {"size": 512})
    card = make(models, "a", "larger")
    assert card.pixels.size == 320, "the first member's"


def test_a_name_that_is_taken_or_wrong_is_refused(models: Path) -> None:
    write(models, "b", "2")
    for name, says in (("a", "already"), ("demo", "comes with Nightread"), ("Ours", "name: String should")):
        with pytest.raises(ConfigError, match=says):
            make_ensemble(models, name, ["a", "b"], EnsembleOptions(), unchecked)
    with pytest.raises(ConfigError, match="thresholds has 3 numbers for 2 findings"):
        make(models, "a", "b", thresholds=(0.1, 0.2, 0.3))


def test_a_check_that_fails_leaves_nothing(models: Path) -> None:
    write(models, "b", "2")

    def check(made: Classifier) -> None:
        assert [member.card.name for member in made.members] == ["a", "b"]
        raise ConfigError("a member's weights are damaged")

    with pytest.raises(ConfigError, match="damaged"):
        make_ensemble(models, "ours", ["a", "b"], EnsembleOptions(), check)
    assert sorted(path.name for path in models.iterdir()) == ["a", "b"]
