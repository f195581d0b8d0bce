"""What a training learns from: the labels of a manifest, who is in both splits, how frequent a finding is."""

from pathlib import Path

import numpy as np
import pytest
from training_support import split_of

from config.errors import ConfigError
from config.findings import FINDINGS
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions
from workers.training.splits import Overlap, Split, class_frequencies, overlap, read_split

# --- labels -------------------------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("Image,Mass,Hernia,Edema,PatientId\na.png,1,0,,7\nb.png,0,,1,8\nc.png,,1,0,\n")
    return path


def test_labels_are_1_and_0_and_a_blank_one_is_unknown(manifest: Path) -> None:
    split = read_split(Manifest(manifest))
    assert split.findings == tuple(name for name in FINDINGS if name in {"Mass", "Hernia", "Edema"})
    columns = {name: split.labels[:, index].tolist() for index, name in enumerate(split.findings)}
    assert columns == {"Mass": [1, 0, -1], "Hernia": [0, -1, 1], "Edema": [-1, 1, 0]}
    assert split.labels.dtype == np.int8
    assert split.names == ("a.png", "b.png", "c.png")
    assert split.patients == ("7", "8", None)
    assert len(split) == 3


def test_a_row_of_nihs_file_without_labels_is_unknown_and_no_finding_is_0(tmp_path: Path) -> None:
    path = tmp_path / "nih.csv"
    path.write_text("Image Index,Finding Labels\na.png,No Finding\nb.png,\nc.png,Hernia|Mass\n")
    split = read_split(Manifest(path))
    assert split.findings == FINDINGS
    assert not split.labels[0].any()
    assert (split.labels[1] == -1).all()
    named = [name for name, label in zip(FINDINGS, split.labels[2], strict=True) if label == 1]
    assert set(named) == {"Hernia", "Mass"}


def test_columns_of_other_names_are_read_and_the_hash_tells_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("picture,tumour\na.png,1\nb.png,0\n")
    split = read_split(
        Manifest(path, ReadOptions(image_column="picture", finding_columns={"tumour": "Mass"}))
    )
    assert (split.findings, split.labels.tolist()) == (("Mass",), [[1], [0]])
    assert (
        split.sha256
        != read_split(
            Manifest(path, ReadOptions(image_column="picture", finding_columns={"tumour": "Nodule"}))
        ).sha256
    )


def test_a_manifest_without_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("Image\na.png\n")
    with pytest.raises(ConfigError, match=r"no labels to learn from.*--finding-column") as caught:
        read_split(Manifest(path))
    assert str(path) in str(caught.value)


def test_only_gives_the_findings_in_the_order_asked_for(manifest: Path) -> None:
    split = read_split(Manifest(manifest))
    chosen = split.only(("Edema", "Mass"))
    assert chosen.findings == ("Edema", "Mass")
    assert chosen.labels.tolist() == [[-1, 1], [1, 0], [0, -1]]
    assert (chosen.names, chosen.patients, chosen.sha256) == (split.names, split.patients, split.sha256)
    assert split.only(("Mass", "Edema")).labels.tolist() == chosen.labels[:, ::-1].tolist()


def test_only_names_a_finding_that_is_not_labelled(manifest: Path) -> None:
    with pytest.raises(ConfigError, match=r"no labels for Nodule, mass$") as caught:
        read_split(Manifest(manifest)).only(("Mass", "Nodule", "mass"))
    assert str(manifest) in str(caught.value)


# --- patients in both splits --------------------------------------------------------------------------------


def of_patients(names: str, patients: tuple[str | None, ...]) -> Split:
    return split_of([[0]] * len(names), names=tuple(names), patients=patients)


def test_splits_of_other_patients_do_not_leak() -> None:
    found = overlap(of_patients("abc", ("1", "1", "2")), of_patients("de", ("3", "4")))
    assert found == Overlap(0, 0, known=True)
    assert not found.leaks


def test_shared_patients_are_counted_once_and_all_their_validation_images() -> None:
    found = overlap(of_patients("abc", ("1", "1", "2")), of_patients("defgh", ("1", "1", "2", "3", "3")))
    assert found == Overlap(2, 3, known=True)
    assert found.leaks


def test_an_image_in_both_splits_leaks_though_its_patient_is_unknown() -> None:
    found = overlap(of_patients("ab", (None, None)), of_patients("bc", (None, None)))
    assert found == Overlap(0, 1, known=False)
    assert found.leaks


def test_a_patient_whose_number_the_splits_write_differently_leaks(tmp_path: Path) -> None:
    splits = []
    for name, patients in (("train.csv", ("1.0", "2.0")), ("valid.csv", ("2", "0001"))):
        lines = [f"{name}{number},{patient},1" for number, patient in enumerate(patients)]
        (tmp_path / name).write_text("\n".join(["Image,PatientId,Mass", *lines]) + "\n", encoding="utf-8")
        splits.append(read_split(Manifest(tmp_path / name)))
    assert overlap(*splits) == Overlap(2, 2, known=True)


def test_rows_without_a_patient_are_not_one_patient() -> None:
    found = overlap(of_patients("ab", (None, "1")), of_patients("cd", (None, "2")))
    assert found == Overlap(0, 0, known=False)
    assert not found.leaks


# --- class frequencies --------------------------------------------------------------------------------------


def test_class_frequencies_are_shares_of_the_known_labels() -> None:
    positive, negative = class_frequencies(split_of([[1, 0], [0, 1], [-1, 1], [0, -1], [0, 1]]))
    assert positive.tolist() == [0.25, 0.75]
    assert negative.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("column", [[1, 1, 1], [0, 0, 0], [-1, -1, -1], [1, -1, 1], [-1, 0, 0]])
def test_a_finding_of_one_class_is_refused_and_named(column: list[int]) -> None:
    split = split_of(np.stack([[0, 1, 1], column], axis=1))
    with pytest.raises(ConfigError, match="--findings") as caught:
        class_frequencies(split)
    assert FINDINGS[1] in str(caught.value)
    assert FINDINGS[0] not in str(caught.value)
    assert str(split.manifest) in str(caught.value)
