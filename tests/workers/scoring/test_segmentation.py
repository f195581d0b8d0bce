"""Cases of volumes become rows of the ledger: segments, measures and masks, or one failure with a reason."""

import csv
import os
from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
import pytest
from series_support import oblique, uid_of, write_series
from sqlalchemy import text
from support import STUB_CARD, write_card
from volume_support import OBLIQUE, head, label_of, nifti, segment_cases

from config.settings import Settings
from db import evaluations
from db.database import Database
from db.evaluations import EvaluationRequest
from db.manifests import manifest_of
from jobs.commands.session import require_suited
from jobs.export import write_csv, write_file
from jobs.report.page import write_report
from jobs.submit import Order, submit
from workers.archive import RunPictures
from workers.evaluation.comparison import compare_runs
from workers.evaluation.drift import drift_of_runs, is_shifted
from workers.evaluation.figures import evaluate
from workers.evaluation.regression import is_loss


def rows(database: Database, query: str) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(text(query)).all())


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    folder = tmp_path / "volumes"
    folder.mkdir()
    return folder


def test_a_case_has_a_row_per_class_and_region_and_a_mask_where_it_lies(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    values = head()
    (volumes / "a.nii.gz").write_bytes(nifti(values, OBLIQUE))
    (volumes / "a_label.nii.gz").write_bytes(nifti(label_of(values), OBLIQUE))
    segment_cases(sqlite, tmp_path, "Image,Label,PatientId\na.nii.gz,a_label.nii.gz,p1\n")
    found = {row.finding: row for row in rows(sqlite, "SELECT * FROM segments")}
    assert set(found) == {"edema", "non-enhancing", "enhancing", "WT", "TC", "ET"}
    edema = found["edema"]
    image = nibabel.load(tmp_path / "heatmaps" / edema.mask_path)
    mask = np.asarray(image.dataobj)
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-5)
    assert mask.dtype == np.uint8
    assert mask.shape == values.shape[:3]
    assert edema.voxels == np.count_nonzero(mask == 1) > 0
    assert edema.ml == pytest.approx(edema.voxels * abs(np.linalg.det(OBLIQUE[:3, :3])) / 1000, rel=1e-6)
    where = np.argwhere(mask == 1)
    assert [edema.box_x0, edema.box_y0, edema.box_z0] == where.min(axis=0).tolist()
    assert [edema.box_x1, edema.box_y1, edema.box_z1] == where.max(axis=0).tolist()
    centre = OBLIQUE[:3, :3] @ where.mean(axis=0) + OBLIQUE[:3, 3]
    assert [edema.centroid_x, edema.centroid_y, edema.centroid_z] == pytest.approx(centre.tolist(), rel=1e-5)
    reference = label_of(values) == 1
    both = np.count_nonzero(reference & (mask == 1))
    assert edema.dice == pytest.approx(2 * both / (edema.voxels + np.count_nonzero(reference)))
    assert edema.reason is None
    assert edema.hd95_mm >= 0
    assert found["enhancing"].dice is None
    assert found["enhancing"].reason == "neither"
    assert found["WT"].kind == "region"
    assert found["WT"].soft_dice is None
    assert found["WT"].dice == edema.dice


def test_files_of_single_sequences_are_the_same_case_as_one_file(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    values = head()
    (volumes / "whole.nii").write_bytes(nifti(values, zipped=False))
    names = ("flair", "t1", "t1ce", "t2")
    for index, name in enumerate(names):
        (volumes / f"b_{name}.nii.gz").write_bytes(nifti(values[..., index]))
    segment_cases(sqlite, tmp_path, "Image\nwhole.nii\n")
    # In another order than the card's channels.
    segment_cases(
        sqlite, tmp_path, "t2,flair,T1ce,T1\nb_t2.nii.gz,b_flair.nii.gz,b_t1ce.nii.gz,b_t1.nii.gz\n"
    )
    one, four = (
        rows(
            sqlite,
            "SELECT finding, voxels, probability_max, dice, reason FROM segments "
            f"WHERE run_id = {run_id} ORDER BY finding",
        )
        for run_id in (1, 2)
    )
    assert one == four
    assert {row.reason for row in one} == {"no_label"}
    assert rows(sqlite, "SELECT image_index FROM volumes WHERE run_id = 2") == [("b_flair.nii.gz",)]


def test_labels_and_masks_have_the_values_that_the_card_names(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    values = head()
    plain = label_of(values)
    plain[4, 4, 4] = 3
    (volumes / "a.nii.gz").write_bytes(nifti(values))
    (volumes / "plain.nii.gz").write_bytes(nifti(plain))
    # As BraTS had them: 1 non-enhancing, 2 edema, 4 enhancing; and as floats, which some programs write.
    (volumes / "brats.nii.gz").write_bytes(nifti(np.array([0, 2, 1, 4], dtype=np.float32)[plain]))
    segment_cases(sqlite, tmp_path, "Image,Label\na.nii.gz,plain.nii.gz\n")
    segment_cases(sqlite, tmp_path, "Image,Label\na.nii.gz,brats.nii.gz\n", label_values=(2, 1, 4))
    same = "finding, voxels, dice, sensitivity, reason"
    of_plain, of_brats = (
        rows(sqlite, f"SELECT {same} FROM segments WHERE run_id = {run_id} ORDER BY finding")
        for run_id in (1, 2)
    )
    assert of_plain == of_brats
    assert {row.finding: row.dice for row in of_brats}["enhancing"] == 0
    masks = [
        np.asarray(nibabel.load(tmp_path / "heatmaps" / path).dataobj)
        for (path,) in rows(sqlite, "SELECT mask_path FROM volumes ORDER BY run_id")
    ]
    assert set(np.unique(masks[0])) == {0, 1}
    np.testing.assert_array_equal(masks[1], 2 * masks[0])


def test_each_thing_wrong_with_a_case_costs_that_case_alone_and_is_said(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    values = head()
    good, label = nifti(values), nifti(label_of(values))
    numberless = values.astype(np.float32)
    numberless[8, 8, 8, 2] = np.nan
    strange = label_of(values)
    strange[4, 4, 4] = 4
    files = {
        "good.nii.gz": good,
        "label.nii.gz": label,
        "cut.nii.gz": good[: len(good) // 2],
        "three.nii.gz": nifti(values[..., :3]),
        "nan.nii.gz": nifti(numberless),
        "large.nii.gz": nifti(np.ones((60, 60, 60, 4), dtype=np.int16)),
        "flat.nii.gz": nifti(np.where(np.arange(4) == 1, 0, values).astype(np.int16)),
        "picture.nii.gz": b"\x89PNG\r\n\x1a\n" + bytes(600),
        "small_label.nii.gz": nifti(label_of(values)[:-1]),
        "moved_label.nii.gz": nifti(label_of(values), np.diag([1.0, 1.0, 2.0, 1.0])),
        "strange_label.nii.gz": nifti(strange),
    }
    for name, content in files.items():
        (volumes / name).write_bytes(content)
    for copy in "abcd":
        (volumes / f"{copy}.nii.gz").write_bytes(good)
    (tmp_path / "outside.nii.gz").write_bytes(label)
    segment_cases(
        sqlite,
        tmp_path,
        "Image,Label\n"
        "good.nii.gz,label.nii.gz\ncut.nii.gz,\nthree.nii.gz,\nnan.nii.gz,\nlarge.nii.gz,\nflat.nii.gz,\n"
        "picture.nii.gz,\na.nii.gz,small_label.nii.gz\nb.nii.gz,moved_label.nii.gz\n"
        "c.nii.gz,strange_label.nii.gz\nd.nii.gz,../outside.nii.gz\nlost.nii.gz,\n",
    )
    failures = {
        row.image_index: (row.stage, row.reason, row.message)
        for row in rows(sqlite, "SELECT * FROM failures")
    }
    assert {name: reason for name, (_, reason, _) in failures.items()} == {
        "cut.nii.gz": "truncated",
        "three.nii.gz": "wrong_shape",
        "nan.nii.gz": "bad_values",
        "large.nii.gz": "too_large",
        "flat.nii.gz": "no_contrast",
        "picture.nii.gz": "wrong_format",
        "a.nii.gz": "wrong_shape",
        "b.nii.gz": "wrong_shape",
        "c.nii.gz": "bad_values",
        "d.nii.gz": "outside_root",
        "lost.nii.gz": "missing",
    }
    assert {stage for stage, _, _ in failures.values()} == {"read"}
    assert failures["three.nii.gz"][2] == "it has 3 channels, and the model reads 4: FLAIR, T1, T1Gd, T2"
    assert failures["a.nii.gz"][2] == "the label has 23 x 20 x 12 voxels, the image 24 x 20 x 12"
    assert failures["c.nii.gz"][2] == (
        "the label has the value 4; the model knows 1 edema, 2 non-enhancing, 3 enhancing; if others stand "
        "for its classes, label_values in its card says so"
    )
    assert failures["d.nii.gz"][2].startswith("Label: ")
    assert rows(sqlite, "SELECT DISTINCT image_index FROM segments") == [("good.nii.gz",)]


CHANNELS = ("FLAIR", "T1", "T1Gd", "T2")
ACROSS = oblique((0.8, 1.2, 2.5), (0.2, 0.1, -0.3))


def write_case(folder: Path, case: str, seed: int = 1) -> str:
    """Write a case of four series, and return its line of a manifest."""
    values = head(seed=seed)
    for index, channel in enumerate(CHANNELS):
        write_series(
            folder / case / channel,
            values[..., index],
            ACROSS,
            series_uid=uid_of(case, channel),
            RescaleSlope="0.5",
        )
    (folder / f"{case}.nii").write_bytes(nifti(label_of(values), ACROSS, zipped=False))
    return f"{','.join(f'{case}/{channel}/' for channel in CHANNELS)},{case}.nii"


def test_a_case_of_dicom_series_is_that_of_the_nifti_file_with_the_same_numbers(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    line = write_case(volumes, "p1")
    (volumes / "whole.nii").write_bytes(nifti(head() * np.float32(0.5), ACROSS, zipped=False))
    segment_cases(sqlite, tmp_path, "Image,Label\nwhole.nii,p1.nii\n")
    segment_cases(sqlite, tmp_path, f"{','.join(CHANNELS)},Label\n{line}\n")
    file, series = (
        rows(sqlite, f"SELECT * FROM segments WHERE run_id = {run_id} ORDER BY finding") for run_id in (1, 2)
    )
    names = {"run_id", "image_index", "mask_path", "planes_path"}
    for one, other in zip(file, series, strict=True):
        found = other._asdict()
        for name, value in one._asdict().items():
            if name not in names:
                # A NIfTI file has its affine in 32 bits.
                assert found[name] == (pytest.approx(value, rel=1e-7) if isinstance(value, float) else value)
    assert {row.image_index for row in series} == {"p1/FLAIR"}
    assert {row.finding: row.dice for row in series}["edema"] > 0.9
    masks = [nibabel.load(tmp_path / "heatmaps" / found[0].mask_path) for found in (file, series)]
    np.testing.assert_array_equal(np.asarray(masks[0].dataobj), np.asarray(masks[1].dataobj))
    np.testing.assert_allclose(masks[0].affine, masks[1].affine, rtol=0, atol=1e-6)


def test_each_bad_series_costs_its_case_alone_and_names_no_patient(
    sqlite: Database, tmp_path: Path, volumes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = {
        case: write_case(volumes, case) for case in ("good", "gap", "two", "cut", "text", "empty", "far")
    }
    slices = {case: sorted((volumes / case / "T1").iterdir()) for case in lines}
    slices["gap"][4].unlink()
    write_series(volumes / "two" / "T1" / "later", head()[..., 0], ACROSS, series_uid=uid_of("later"))
    slices["cut"][2].write_bytes(slices["cut"][2].read_bytes()[:-300])
    for path in (*slices["text"], *slices["empty"]):
        path.unlink()
    (volumes / "text" / "T1" / "README").write_text("moved", encoding="utf-8")
    write_series(volumes / "far" / "T1", head()[..., 1], ACROSS @ np.diag([1, 1, 1.5, 1]))
    text_of = "\n".join([f"{','.join(CHANNELS)},Label", *lines.values()])
    segment_cases(sqlite, tmp_path, text_of + "\n")
    failures = {row.image_index.partition("/")[0]: row for row in rows(sqlite, "SELECT * FROM failures")}
    assert {case: row.reason for case, row in failures.items()} == {
        "gap": "wrong_shape",
        "two": "wrong_shape",
        "cut": "truncated",
        "text": "wrong_format",
        "empty": "empty",
        "far": "wrong_shape",
    }
    assert {row.stage for row in failures.values()} == {"read"}
    assert failures["two"].message.startswith("T1: there are 2 series in it")
    assert failures["cut"].message.startswith(f"T1: '{slices['cut'][2].name}': ")
    assert rows(sqlite, "SELECT DISTINCT image_index FROM segments") == [("good/FLAIR",)]
    said = (
        caplog.text
        + str(rows(sqlite, "SELECT * FROM failures"))
        + str(rows(sqlite, "SELECT * FROM contents"))
    )
    assert "SEEDED" not in said


def test_a_changed_slice_is_another_content(sqlite: Database, tmp_path: Path, volumes: Path) -> None:
    lines = [write_case(volumes, case) for case in ("p1", "p2")]
    manifest = f"{','.join(CHANNELS)},Label\n" + "\n".join(lines) + "\n"
    segment_cases(sqlite, tmp_path, manifest)
    one = next((volumes / "p2" / "T2").iterdir())
    os.utime(one, ns=(0, 1))
    segment_cases(sqlite, tmp_path, manifest, threshold=0.7)
    assert rows(sqlite, "SELECT image_index, changed FROM contents WHERE run_id = 2 ORDER BY 1") == [
        ("p1/FLAIR", 0),
        ("p2/FLAIR", 1),
    ]


def test_a_run_is_summarised_over_its_labelled_patients(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    lines = ["Image,Label,PatientId"]
    for number in range(6):
        values = head(seed=number)
        reference = label_of(values)
        reference[:12] = 0 if number % 2 else reference[:12]
        (volumes / f"{number}.nii.gz").write_bytes(nifti(values))
        (volumes / f"{number}_label.nii.gz").write_bytes(nifti(reference))
        lines.append(f"{number}.nii.gz,{f'{number}_label.nii.gz' if number < 5 else ''},p{number}")
    run_id = segment_cases(sqlite, tmp_path, "\n".join(lines) + "\n")
    with sqlite.write() as connection:
        manifest_id = manifest_of(connection, run_id).manifest_id
        due = evaluations.ask(connection, run_id, EvaluationRequest(manifest_id, "own"))
    assert evaluate(sqlite, due, 60.0, lambda action: action()) is not None
    summary = {(row.finding, row.measure): row for row in rows(sqlite, "SELECT * FROM segment_summary")}
    dices = [
        row.dice for row in rows(sqlite, "SELECT dice FROM segments WHERE finding = 'edema' AND dice > 0")
    ]
    edema = summary["edema", "dice"]
    assert (edema.cases, edema.left_out) == (5, 0)
    assert edema.mean == pytest.approx(np.mean(dices))
    assert edema.median == pytest.approx(np.median(dices))
    assert edema.low < edema.mean < edema.high
    nothing = summary["enhancing", "dice"]
    assert (nothing.cases, nothing.left_out, nothing.mean) == (0, 5, None)
    assert nothing.reason == "defined in no case"


def test_a_manifest_with_some_of_the_models_sequences_is_refused(tmp_path: Path, sqlite: Database) -> None:
    (tmp_path / "volumes").mkdir()
    with pytest.raises(Exception, match="there is no column for T1Gd"):
        segment_cases(sqlite, tmp_path, "FLAIR,T1,T2\na.nii.gz,b.nii.gz,c.nii.gz\n")


def test_the_same_file_under_a_classifier_is_another_manifest(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    (volumes / "a.nii.gz").write_bytes(nifti(head()))
    segment_cases(sqlite, tmp_path, "Image,Label\na.nii.gz,a.nii.gz\n")
    assert rows(sqlite, "SELECT reason FROM failures") == [("wrong_shape",)]
    write_card(tmp_path / "models", STUB_CARD)
    submit(sqlite, Settings(home=tmp_path), Order(tmp_path / "manifest.csv", volumes, "stub"))
    assert rows(sqlite, "SELECT COUNT(*) FROM manifest") == [(2,)]
    assert rows(sqlite, "SELECT files FROM manifest_row ORDER BY manifest_id") == [
        ('{"Label": "a.nii.gz"}',),
        (None,),
    ]


def test_the_report_shows_the_worst_cases_first_and_no_section_about_radiographs(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    lines = ["Image,Label"]
    for number in range(4):
        values = head(seed=number)
        reference = label_of(values)
        reference[: 9 + number] = 0
        (volumes / f"case{number}.nii.gz").write_bytes(nifti(values))
        (volumes / f"label{number}.nii.gz").write_bytes(nifti(reference))
        lines.append(f"case{number}.nii.gz,label{number}.nii.gz")
    run_id = segment_cases(sqlite, tmp_path, "\n".join(lines) + "\n")
    with sqlite.write() as connection:
        manifest_id = manifest_of(connection, run_id).manifest_id
        due = evaluations.ask(connection, run_id, EvaluationRequest(manifest_id, "own"))
    evaluate(sqlite, due, 60.0, lambda action: action())
    settings = Settings(home=tmp_path)
    page = tmp_path / "report.html"
    write_report(sqlite, settings, run_id, page, RunPictures(sqlite, settings, run_id))
    text_of_page = page.read_text(encoding="utf-8")
    worst = rows(
        sqlite,
        "SELECT image_index FROM segments WHERE finding = 'edema' ORDER BY dice, image_index",
    )
    places = [text_of_page.index(f'alt="Case {row.image_index} in three planes') for row in worst]
    assert places == sorted(places)
    assert text_of_page.count("data:image/jpeg;base64,") == 4
    assert "Mean Dice with its 95% interval: edema" in text_of_page
    assert "AUROC" not in text_of_page.split("<body>")[1]
    (picture,) = rows(sqlite, "SELECT planes_path FROM volumes WHERE image_index = 'case0.nii.gz'")[0]
    drawn = cv2.imread(str(tmp_path / "heatmaps" / picture))
    assert drawn is not None
    blue, _, red = (drawn[..., channel].astype(int) for channel in range(3))
    assert (red - blue > 40).any()  # the outline of what was found
    assert (blue - red > 40).any()  # the outline of the label


def test_segments_are_exported_as_the_view_has_them(sqlite: Database, tmp_path: Path, volumes: Path) -> None:
    (volumes / "a.nii.gz").write_bytes(nifti(head(), OBLIQUE))
    run_id = segment_cases(sqlite, tmp_path, "Image\na.nii.gz\n")
    assert write_file(sqlite, run_id, tmp_path / "a.parquet", "parquet", what="segments") == 6
    with (tmp_path / "a.csv").open("w", encoding="utf-8") as stream:
        write_csv(sqlite, run_id, stream, what="segments")
    written = list(csv.DictReader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    for row, expected in zip(
        written, rows(sqlite, "SELECT * FROM segments ORDER BY image_index, finding"), strict=True
    ):
        assert (row["finding"], float(row["ml"]), row["reason"]) == (
            expected.finding,
            expected.ml,
            "no_label",
        )
        assert set(row) == set(expected._fields)


def test_the_report_of_a_run_whose_cases_all_failed_is_one_of_volumes_too(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    (volumes / "a.nii.gz").write_bytes(b"no volume")
    run_id = segment_cases(sqlite, tmp_path, "Image\na.nii.gz\n")
    settings, page = Settings(home=tmp_path), tmp_path / "report.html"
    write_report(sqlite, settings, run_id, page, RunPictures(sqlite, settings, run_id))
    body = page.read_text(encoding="utf-8").split("<body>")[1]
    assert "No case has been segmented." in body
    assert "a.nii.gz" in body
    assert "AUROC" not in body


def test_what_is_about_scores_is_refused_with_the_way_on(
    sqlite: Database, tmp_path: Path, volumes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (volumes / "a.nii.gz").write_bytes(nifti(head()))
    run_id = segment_cases(sqlite, tmp_path, "Image\na.nii.gz\n")
    with pytest.raises(SystemExit) as ended:
        require_suited(sqlite, "worklist", run_id)
    assert ended.value.code == 2
    assert f"nightread report {run_id}" in " ".join(capsys.readouterr().err.split())


def test_a_schedules_checks_of_scores_find_nothing_to_test_in_runs_of_volumes(
    sqlite: Database, tmp_path: Path, volumes: Path
) -> None:
    for number in range(3):
        (volumes / f"{number}.nii.gz").write_bytes(nifti(head(seed=number)))
    manifest = "Image,PatientId\n0.nii.gz,a\n1.nii.gz,b\n2.nii.gz,c\n"
    first, second = (
        segment_cases(sqlite, tmp_path, manifest),
        segment_cases(sqlite, tmp_path, manifest, threshold=0.7),
    )
    compared = compare_runs(sqlite, first, second, 1)
    assert compared.images == 0
    assert not any(is_loss(row, 0.0) for row in compared.rows)
    assert not any(is_shifted(row) for row in drift_of_runs(sqlite, second, first))
