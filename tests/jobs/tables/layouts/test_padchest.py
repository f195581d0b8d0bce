"""PadChest's lists of labels in a cell."""

import pytest

from jobs.tables.layouts.padchest import _age, _listed


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("['cardiomegaly', 'pleural effusion']", "cardiomegaly|pleural effusion"),
        ("['normal']", "No Finding"),
        ("['normal', 'unchanged']", "No Finding"),
        ("['pneumonia', ' pneumonia', 'suboptimal study']", "pneumonia"),
        ("['pneumonia', nan]", "pneumonia"),
        ("['exclude']", ""),
        ("['unchanged']", ""),
        ("[]", ""),
        ("", ""),
        ("nan", ""),
    ],
)
def test_a_list_becomes_words(cell: str, words: str) -> None:
    assert _listed(cell) == words


@pytest.mark.parametrize(
    ("study", "birth", "age"),
    [("20140915", "1930.0", "84"), ("20140915", "1930", "84"), ("20140915", "", ""), ("None", "1930", "")],
)
def test_the_age_is_by_the_year_of_birth(study: str, birth: str, age: str) -> None:
    assert _age(study, birth) == age
