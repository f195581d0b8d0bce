"""What is said of a manifest that was read: what was taken, what was not, and how odd cells were taken."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.findings import FINDINGS
from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions, reading_lines

CHEXPERT = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
    *("Fracture", "Support Devices"),
)
"""The labels of CheXpert's files, in their order; its models leave the first one out."""

Read = Callable[..., Manifest]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that opens a manifest with this content."""

    def opened(content: str, findings: Sequence[str] = FINDINGS, **options: Any) -> Manifest:
        path = tmp_path / "m.csv"
        path.write_text(content, encoding="utf-8")
        return Manifest(path, ReadOptions(**options), findings=findings)

    return opened


def labels_of(manifest: Manifest) -> list[dict[str, str]]:
    return [dict(zip(manifest.findings, row.labels, strict=True)) for row in manifest]


def said(manifest: Manifest) -> str:
    return "\n".join(reading_lines(manifest.path, manifest.reading))


# --- columns


def test_usual_spellings_of_columns_are_labels_and_the_others_are_named(read: Read) -> None:
    header = "Image,Pleural Thickening,Pleural Effusion,Infiltrate,Fibrosis ,COVID-19,Mass.,PatientId"
    manifest = read(f"{header}\na.png,1,1,1,1,1,1,1\n")
    assert labels_of(manifest) == [
        dict.fromkeys(("Effusion", "Infiltration", "Mass", "Fibrosis", "Pleural_Thickening"), "1")
    ]
    assert manifest.reading.unused == {"COVID-19": None}
    assert "Effusion from 'Pleural Effusion'" in said(manifest)
    assert "not used: 'COVID-19'" in said(manifest)


def test_a_models_findings_are_looked_up_in_columns_and_in_cells(read: Read) -> None:
    header = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{','.join(CHEXPERT)}"
    cells = ["0"] * len(CHEXPERT)
    cells[3] = cells[10] = "1.0"
    manifest = read(f"{header}\na.png,Female,68,Frontal,AP,{','.join(cells)}\n", CHEXPERT[1:])
    (labels,) = labels_of(manifest)
    assert {finding for finding, label in labels.items() if label == "1"} == {
        "Lung Opacity",
        "Pleural Effusion",
    }
    assert set(labels) == set(CHEXPERT[1:])
    assert manifest.reading.unlabelled == ()
    assert manifest.reading.unused == {"No Finding": None}
    listed = read("Path,Finding Labels\na.png,Lung Opacity|Edema\nb.png,No Finding\n", CHEXPERT[1:])
    assert labels_of(listed) == [
        {"Edema": "1", "Lung Opacity": "1"},
        {"Edema": "0", "Lung Opacity": "0"},
    ]
    assert "Fracture" in listed.reading.unlabelled


def test_a_list_in_nihs_words_is_not_about_a_models_other_findings(read: Read) -> None:
    manifest = read("Image,Finding Labels\na.png,Mass\nb.png,No Finding\n", (*FINDINGS, "Fracture"))
    assert manifest.findings == FINDINGS
    assert manifest.reading.unlabelled == ("Fracture",)


def test_a_column_named_by_an_option_is_added_to_those_recognised(read: Read) -> None:
    manifest = read("Image,Mass,Nodule,opacity\na.png,1,0,1\n", finding_columns={"opacity": "infiltrate"})
    assert labels_of(manifest) == [{"Infiltration": "1", "Mass": "1", "Nodule": "0"}]
    listed = read(
        "Image,Finding Labels,Mass (CT)\na.png,Mass|Edema,0\n", finding_columns={"Mass (CT)": "Mass"}
    )
    (labels,) = labels_of(listed)
    assert {finding for finding, label in labels.items() if label == "1"} == {"Edema"}
    assert listed.reading.labels["Mass"] == "Mass (CT)"


@pytest.mark.parametrize("name", ["Finding Labels", "Finding Label", "Labels", "label", "Findings"])
def test_the_list_of_findings_has_several_names(read: Read, name: str) -> None:
    (labels,) = labels_of(read(f"Image,{name}\na.png,Mass|Hernia\n"))
    assert {finding for finding, label in labels.items() if label == "1"} == {"Mass", "Hernia"}


def test_a_column_that_only_has_the_name_of_a_list_is_not_used_and_named(read: Read) -> None:
    manifest = read("Image,Label\na.png,train\n")
    assert manifest.findings == ()
    assert "Label" in manifest.reading.unused
    assert "no labels" in said(manifest)


def test_a_list_beside_columns_must_agree_with_them(read: Read) -> None:
    (labels,) = labels_of(read("Image,Labels,Mass,Edema\na.png,Mass,1,\n"))
    assert (labels["Mass"], labels["Edema"], labels["Hernia"]) == ("1", "0", "0")
    with pytest.raises(TableError) as caught:
        list(read("Image,Labels,Mass\na.png,Mass,1\nb.png,No Finding,1\n"))
    assert (caught.value.line, caught.value.column) == (3, "Mass")
    assert "--finding-column 'Mass=Mass'" in str(caught.value)
    (first, second) = labels_of(
        read("Image,Labels,Mass\na.png,Mass,1\nb.png,No Finding,1\n", finding_columns={"Mass": "Mass"})
    )
    assert (first["Mass"], second["Mass"]) == ("1", "1")


def test_two_columns_of_one_finding_are_refused_until_one_is_named(read: Read) -> None:
    content = "Image,Effusion,Pleural Effusion\na.png,1,0\n"
    with pytest.raises(TableError) as caught:
        read(content)
    assert "'Effusion' and 'Pleural Effusion'" in str(caught.value)
    manifest = read(content, finding_columns={"Pleural Effusion": "Effusion"})
    assert labels_of(manifest) == [{"Effusion": "0"}]
    assert manifest.reading.unused == {
        "Effusion": "Effusion, instead of Pleural Effusion? add --finding-column 'Effusion=Effusion'"
    }


def test_facts_have_options_for_their_columns_and_hints_where_they_are_not_recognised(read: Read) -> None:
    content = "Image,MRN of patient,view_pos,sex at birth,age at study\na.png,p1,pa,F,41\n"
    hints = read(content).reading.unused
    assert [hint and hint.split()[-1] for hint in hints.values()] == [
        "--patient-column",
        "--view-column",
        "--sex-column",
        "--age-column",
    ]
    manifest = read(
        content,
        patient_column="MRN of patient",
        view_column="view_pos",
        sex_column="sex at birth",
        age_column="age at study",
    )
    assert next(iter(manifest))[1:6] == ("p1", None, "PA", "F", 41.0)
    assert manifest.reading.unused == {}


def test_laterals_of_chexpert_have_a_view(read: Read) -> None:
    manifest = read("Path,Frontal/Lateral,AP/PA\na.png,Lateral,\nb.png,Frontal,AP\nc.png,Frontal,\n")
    assert [row.view_position for row in manifest] == ["LATERAL", "AP", "FRONTAL"]


def test_columns_without_a_name_are_said_and_many_others_are_counted(read: Read) -> None:
    names = [f"q{number}" for number in range(20)]
    manifest = read(f",Image,{','.join(names)}\n0,a.png,{','.join(names)}\n")
    assert next(iter(manifest.reading.unused)) == "column 1, without a name"
    assert "and 9 more" in said(manifest)


# --- cells


@pytest.mark.parametrize("word", ["NA", "nan", "NaN", "None", "NULL", "N/A", "", " "])
def test_words_for_unknown_are_unknown_and_said(read: Read, word: str) -> None:
    header = "Image,Patient ID,Age,Sex,View Position,Follow-up #,Mass"
    manifest = read(f"{header}\na.png,{word},{word},{word},{word},{word},{word}\n")
    assert next(iter(manifest))[1:] == (None,) * 5 + ("-", None)
    assert not manifest.labelled
    assert ("words for unknown, taken as blank: 6 (" in said(manifest)) == bool(word.strip())


def test_words_for_unknown_in_a_list_are_unknown(read: Read) -> None:
    (first, second) = labels_of(read("Image,Finding Labels\na.png,nan\nb.png,Mass\n"))
    assert set(first.values()) == {"-"}
    assert second["Mass"] == "1"


def test_labels_may_be_words_for_true_and_false(read: Read) -> None:
    content = "Image,Mass\n" + "".join(
        f"{n}.png,{c}\n" for n, c in enumerate(["True", "FALSE", "1.00", "0.0"])
    )
    assert "".join(row.labels for row in read(content)) == "1010"


@pytest.mark.parametrize(
    ("uncertain", "labels"), [("ignore", "1--0"), ("positive", "1110"), ("negative", "1000")]
)
def test_uncertain_labels_follow_a_policy_that_is_said(read: Read, uncertain: str, labels: str) -> None:
    content = "Path,Edema\na,1.0\nb,-1.0\nc,-1\nd,0.0\n"
    manifest = read(content, uncertain=uncertain)
    assert "".join(row.labels for row in manifest) == labels
    taken = {"ignore": "unknown"}.get(uncertain, uncertain)
    assert f"uncertain labels (-1), taken as {taken}" in said(manifest)
    assert "2 (1 '-1.0', 1 '-1')" in said(manifest)
    assert manifest.reading.uncertain == uncertain
    assert manifest.fingerprint() != read(content.replace("-1.0", "-1")).fingerprint()


def test_other_words_in_a_list_are_passed_over_where_told_and_counted(read: Read) -> None:
    content = "Image,Finding Labels\na.png,Hernia|COVID-19\nb.png,COVID-19\n"
    with pytest.raises(TableError, match="--ignore-labels"):
        list(read(content))
    manifest = read(content, ignore_labels=True)
    assert [labels["Hernia"] for labels in labels_of(manifest)] == ["1", "0"]
    assert "passed over (--ignore-labels): 2 (2 'COVID-19')" in said(manifest)
    with pytest.raises(TableError, match="is it Cardiomegaly"):
        list(read("Image,Finding Labels\na.png,Cardiomegally\nb.png,Mass\n"))


@pytest.mark.parametrize(
    ("cell", "years"),
    [
        *(("90+", 90.0), (">89", 90.0), (">= 90", 90.0), ("85 or more", 85.0), ("89 and over", 89.0)),
        *(("58 years", 58.0), ("058Y", 58.0), ("58,5", 58.5), ("6 months", 0.5), ("1 year old", 1.0)),
        *(("411", None), ("414Y", None), ("120", 120.0)),
    ],
)
def test_ages_as_people_write_them(read: Read, cell: str, years: float | None) -> None:
    manifest = read(f'Image,Age\na.png,"{cell}"\n')
    assert next(iter(manifest)).age_years == years
    assert ("ages over 120" in said(manifest)) == (years is None)
    assert ("without an upper bound" in said(manifest)) == any(
        sign in cell for sign in (">", "+", "or", "over")
    )


def test_a_patient_whose_number_is_written_in_several_ways_is_one_and_that_is_said(read: Read) -> None:
    manifest = read("Image,Patient ID\na,1\nb,1.0\nc,0001\nd,nan\ne,0\nf,000.0\ng,10\n")
    assert [row.patient_id for row in manifest] == ["1", "1", "1", None, "0", "0", "10"]
    assert "kept without .0 and zeros in front: 3 rows" in said(manifest)


def test_patients_that_are_not_all_numbers_are_kept_as_they_are(read: Read) -> None:
    manifest = read("Image,Patient ID\na,0001\nb,1.0\nc,P1\n")
    assert [row.patient_id for row in manifest] == ["0001", "1.0", "P1"]
    assert "zeros" not in said(manifest)


def test_a_sex_that_is_not_known_is_said(read: Read) -> None:
    manifest = read("Image,Sex\na.png,X\nb.png,Unknown\nc.png,F\n")
    assert [row.sex for row in manifest] == [None, None, "F"]
    assert "sexes taken as unknown: 2 (1 'X', 1 'Unknown')" in said(manifest)


def test_a_plain_manifest_is_said_in_two_lines(read: Read) -> None:
    manifest = read("Image Index,Finding Labels,Patient ID\na.png,Mass,p1\n")
    assert reading_lines(manifest.path, manifest.reading) == [
        "m.csv: image from 'Image Index', patient from 'Patient ID'",
        "labels: 14 findings from 'Finding Labels'",
    ]
