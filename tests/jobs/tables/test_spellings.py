"""Which finding a word means: by the model's own names, the usual spellings, and never by a guess."""

import pytest

from config.findings import FINDINGS
from jobs.tables.spellings import Vocabulary, is_no_finding

CHEXPERT = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture"),
    "Support Devices",
)


@pytest.mark.parametrize(
    ("word", "finding"),
    [
        ("Pleural Thickening", "Pleural_Thickening"),
        ("PLEURAL-THICKENING", "Pleural_Thickening"),
        ("Pleural Effusion", "Effusion"),
        ("Infiltrate", "Infiltration"),
        ("Fibrosis ", "Fibrosis"),
        ("Mass.", "Mass"),
        ("oedema", "Edema"),
        ("COVID-19", None),
        ("Lung Opacity", None),
        ("Mass.1", None),
        ("", None),
    ],
)
def test_usual_spellings_mean_the_finding(word: str, finding: str | None) -> None:
    assert Vocabulary().finding(word) == finding


def test_a_word_means_the_finding_under_the_models_name() -> None:
    vocabulary = Vocabulary(CHEXPERT)
    assert vocabulary.finding("Effusion") == vocabulary.finding("pleural effusions") == "Pleural Effusion"
    assert vocabulary.finding("lung opacity") == "Lung Opacity"
    assert vocabulary.finding("Hernia") == "Hernia"  # ChestX-ray14's, though not the model's
    assert "Effusion" not in vocabulary.findings


def test_a_model_that_tells_two_spellings_apart_is_taken_at_its_word() -> None:
    vocabulary = Vocabulary(("Effusion", "Pleural Effusion"))
    assert vocabulary.finding("effusion") == "Effusion"
    assert vocabulary.finding("pleural effusion") == "Pleural Effusion"


def test_order_does_not_depend_on_the_models() -> None:
    assert Vocabulary().findings == Vocabulary(FINDINGS[::-1]).findings == FINDINGS
    assert Vocabulary(CHEXPERT).findings == Vocabulary(CHEXPERT[::-1]).findings
    assert Vocabulary(("Mass",)).findings == FINDINGS


def test_near_names_are_hints_only() -> None:
    vocabulary = Vocabulary()
    assert (vocabulary.finding("Cardiomegally"), vocabulary.near("Cardiomegally")) == (None, "Cardiomegaly")
    assert vocabulary.near("COVID-19") is None


def test_no_finding_has_its_spellings() -> None:
    assert all(map(is_no_finding, ("No Finding", "no_finding", "No findings")))
    assert not is_no_finding("Normal")
