"""The view of a film: which element says it, and what its words and codes mean."""

import io
from typing import Any

import pytest
from films import film_of
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from jobs.inventory.header import read_header
from jobs.inventory.view import CODES, view_of


def view(**attributes: Any) -> str:
    return view_of(read_header(io.BytesIO(film_of(**{"ViewPosition": None} | attributes))))


def coded(value: str, scheme: str = "SCT", meaning: str = "whatever") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ("PA", "PA"),
        ("AP", "AP"),
        ("ap ", "AP"),
        ("LL", "LATERAL"),
        ("RL", "LATERAL"),
        ("LATERAL", "LATERAL"),
        ("LLD", "DECUBITUS"),
        ("RLO", "OBLIQUE"),
        ("FRONTAL", "FRONTAL"),
        ("", ""),
        ("SMITH^JOHN", ""),
    ],
)
def test_a_view_position_is_understood(position: str, expected: str) -> None:
    assert view(ViewPosition=position) == expected


# What the dictionary calls each concept, by the view that it is here.
FRONTALS = {"AnteroPosterior": "AP", "PosteroAnterior": "PA", "Frontal": "FRONTAL"}
LATERALS = ("LateralProjection", "LeftLateral", "RightLateral", "LateralMedial", "MedioLateralProjection")


def concepts() -> dict[str, Code]:
    return {name: getattr(codes.cid4010, name) for name in codes.cid4010.dir()}


def test_codes_are_those_of_the_standards_group() -> None:
    expected = FRONTALS | dict.fromkeys(LATERALS, "LATERAL")
    known = {name: CODES[code.value] for name, code in concepts().items() if code.value in CODES}
    assert expected.items() <= known.items()
    assert {view for name, view in known.items() if name not in expected} == {"OBLIQUE"}
    assert all("Oblique" in name for name in known.keys() - expected.keys())


@pytest.mark.parametrize("code", [code for code in CODES if not code.isdigit()])
def test_older_codes_mean_what_the_newer_ones_do(code: str) -> None:
    if code == "R-10214":  # PA in films before 2019, and not in the dictionary
        assert CODES[code] == "PA"
        return
    newer = next(each for each in concepts().values() if Code(code, "SRT", "") == each)
    assert CODES[code] == CODES[newer.value]


@pytest.mark.parametrize(
    ("value", "scheme", "expected"),
    [
        ("272479007", "SCT", "PA"),
        ("399348003", "SCT", "AP"),
        ("R-10214", "SNM3", "PA"),
        ("R-10236", "SRT", "LATERAL"),
        ("R-40985", "SRT", "OBLIQUE"),
        ("4711", "99LOCAL", ""),
    ],
)
def test_a_code_says_the_view_where_the_position_does_not(value: str, scheme: str, expected: str) -> None:
    assert view(ViewCodeSequence=coded(value, scheme)) == expected
    assert view(ViewPosition="XX", ViewCodeSequence=coded(value, scheme)) == expected
    assert view(ViewPosition="AP", ViewCodeSequence=coded(value, scheme)) == "AP"


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("Thorax p.a.", "PA"),
        ("CHEST A.P. SUPINE", "AP"),
        ("view: PA", "PA"),
        ("Chest Postero-Anterior", "PA"),
        ("Thorax seitlich", "LATERAL"),
        ("thorax de profil", "LATERAL"),
        ("W033 Thorax lat", "LATERAL"),
        ("left lateral decubitus", "DECUBITUS"),
        ("right anterior oblique", "OBLIQUE"),
        ("Chest PA and lateral", ""),
        ("Chest AP/PA", "FRONTAL"),
        ("Chest", ""),
        ("SPARTAN", ""),
        ("PATIENT", ""),
    ],
)
def test_words_of_a_description_say_the_view_where_nothing_else_does(description: str, expected: str) -> None:
    assert view(SeriesDescription=description) == expected
    assert view(SeriesDescription="Thorax", ProtocolName=description) == expected
    assert view(SeriesDescription=description, ViewCodeSequence=coded("399173006")) == "LATERAL"


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (["L", "F"], "FRONTAL"),
        (["R", "F"], "FRONTAL"),
        (["P", "F"], "LATERAL"),
        (["A", "F"], "LATERAL"),
        ("", ""),
    ],
)
def test_the_patients_orientation_is_asked_last(orientation: list[str], expected: str) -> None:
    assert view(PatientOrientation=orientation) == expected
    assert view(PatientOrientation=orientation, SeriesDescription="PA") == "PA"
