"""covid-chestxray's findings are paths of kinds."""

from pathlib import Path

import pytest
from miniatures import COVID

from config.findings import FINDINGS
from jobs.tables.layouts.covid import _listed
from jobs.tables.manifest import Manifest


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("Pneumonia/Viral/COVID-19", "Pneumonia"),
        ("Tuberculosis", "Tuberculosis"),
        ("COVID-19, ARDS", "COVID-19|ARDS"),
        ("No Finding", "No Finding"),
        ("todo", ""),
        ("Unknown", ""),
        ("", ""),
    ],
)
def test_kinds_of_a_finding_are_the_finding(cell: str, words: str) -> None:
    assert _listed(lambda _: False)(cell) == words


def test_a_model_that_knows_a_kind_gets_its_labels(tmp_path: Path) -> None:
    manifest = Manifest(COVID.write(tmp_path), findings=(*FINDINGS, "COVID-19"))
    assert manifest.findings == ("Pneumonia", "COVID-19")
    assert [row.labels for row in manifest] == ["11", "00", "--"]
