"""Promises of `jobs.phantoms.archive` and of the modules it draws with."""

import csv
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from config.findings import FINDINGS
from jobs.phantoms.archive import NIH_PREVALENCE, Box, Phantom, draw, plan_archive, write_archive

PATIENT = Phantom("00000005_000.png", 5, 0, "M", 52, "PA", (), (), 11)
SHAPES = ("Cardiomegaly", "Emphysema")
"""Findings that are a change of the chest's shape."""


def with_findings(patient_id: int, *findings: str) -> Phantom:
    """Return a patient of an archive in which everybody has just these findings."""
    plan = plan_archive(26, seed=11, prevalence={name: float(name in findings) for name in FINDINGS})
    return next(phantom for phantom in plan if phantom.patient_id == patient_id and phantom.follow_up == 0)


@lru_cache(maxsize=48)
def drawn(phantom: Phantom) -> np.ndarray:
    """Return the picture, drawn once for all tests that look at it."""
    return draw(phantom)


def inside(boxes: tuple[Box, ...], margin: int = 0) -> np.ndarray:
    mask = np.zeros((1024, 1024), bool)
    for box in boxes:
        rows = slice(max(0, box.y - margin), box.y + box.height + margin)
        mask[rows, max(0, box.x - margin) : box.x + box.width + margin] = True
    return mask


def difference(phantom: Phantom) -> NDArray[np.int64]:
    """Return how much the findings change each pixel; grain and anatomy are the same in both pictures."""
    healthy = replace(phantom, findings=(), boxes=())
    return np.asarray(np.abs(drawn(phantom).astype(np.int64) - drawn(healthy).astype(np.int64)))


def test_the_same_phantom_gives_the_same_bytes() -> None:
    phantom = with_findings(3, "Fibrosis", "Pneumonia")
    first = draw(phantom)
    assert first.shape == (1024, 1024)
    assert first.dtype == np.uint8
    assert first.tobytes() == draw(phantom).tobytes()


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan_archive(60, seed=3) == plan_archive(60, seed=3)
    assert plan_archive(60, seed=3) != plan_archive(60, seed=4)


def test_two_patients_and_two_follow_ups_look_different() -> None:
    pictures = [draw(PATIENT), draw(replace(PATIENT, patient_id=6)), draw(replace(PATIENT, follow_up=1))]
    small = [cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA).astype(int) for picture in pictures]
    assert np.abs(small[0] - small[1]).mean() > 3
    assert np.abs(small[0] - small[2]).mean() > 1


def test_names_ages_and_follow_ups_are_those_of_a_patients_course() -> None:
    plan = plan_archive(200, seed=1)
    assert len({phantom.image_index for phantom in plan}) == 200
    assert max(phantom.follow_up for phantom in plan) > 1
    for before, after in pairwise(plan):
        assert after.image_index == f"{after.patient_id:08d}_{after.follow_up:03d}.png"
        if after.follow_up:
            assert (after.patient_id, after.follow_up) == (before.patient_id, before.follow_up + 1)
            assert after.sex == before.sex
            assert 0 <= after.age_years - before.age_years <= 1
        else:
            assert after.patient_id == before.patient_id + 1


def test_a_large_archive_has_the_prevalence_of_nih() -> None:
    n = 3000
    counts = Counter(name for phantom in plan_archive(n, seed=2) for name in phantom.findings)
    for name in FINDINGS:
        # Follow-ups of one patient are alike, which widens the spread of a share about twofold.
        spread = 2 * np.sqrt(NIH_PREVALENCE[name] / n)
        assert counts[name] / n == pytest.approx(NIH_PREVALENCE[name], abs=3 * spread), name


def test_a_prevalence_of_ones_own_is_kept() -> None:
    plan = plan_archive(1000, seed=2, prevalence={"Hernia": 0.5, "Infiltration": 0.0})
    counts = Counter(name for phantom in plan for name in phantom.findings)
    assert counts["Hernia"] == pytest.approx(500, abs=100)
    assert counts["Infiltration"] == 2


@pytest.mark.parametrize("seed", range(5))
def test_from_28_images_on_every_finding_has_two_images_with_it_and_two_without(seed: int) -> None:
    everywhere = dict.fromkeys(FINDINGS[:3], 1.0)
    for plan in (plan_archive(28, seed), plan_archive(28, seed, prevalence=everywhere)):
        counts = Counter(name for phantom in plan for name in phantom.findings)
        assert len(plan) == 28
        assert all(2 <= counts[name] <= 26 for name in FINDINGS)


def test_findings_are_in_the_order_of_the_network_and_each_has_its_box() -> None:
    for phantom in plan_archive(200, seed=5):
        assert list(phantom.findings) == [name for name in FINDINGS if name in phantom.findings]
        assert {box.finding for box in phantom.boxes} == set(phantom.findings)


def test_boxes_lie_inside_the_picture() -> None:
    plan = plan_archive(60, seed=6, prevalence=dict.fromkeys(FINDINGS, 1.0))
    for box in (box for phantom in plan for box in phantom.boxes):
        assert 0 <= box.x < box.x + box.width <= 1024
        assert 0 <= box.y < box.y + box.height <= 1024
        assert min(box.width, box.height) >= 20


def test_neither_sex_nor_view_nor_age_tells_of_a_finding() -> None:
    plan = plan_archive(3000, seed=7)
    ill = np.array([bool(phantom.findings) for phantom in plan])
    for trait in ("sex", "view_position"):
        first = np.array([getattr(phantom, trait) in ("F", "AP") for phantom in plan])
        assert abs(first[ill].mean() - first[~ill].mean()) < 0.08
    ages = np.array([phantom.age_years for phantom in plan])
    assert abs(ages[ill].mean() - ages[~ill].mean()) < 3


@pytest.mark.parametrize("finding", [name for name in FINDINGS if name not in SHAPES])
def test_a_sign_changes_the_picture_in_its_box_and_hardly_elsewhere(finding: str) -> None:
    for patient in (2, 4):
        phantom = with_findings(patient, finding)
        changed = difference(phantom)
        within = changed[inside(phantom.boxes)].mean()
        # Edema's haze has no edge: its box is drawn at half of its density.
        beyond = changed[~inside(phantom.boxes, margin=40 if finding == "Edema" else 12)].mean()
        assert within > 6
        assert within > 40 * beyond


@pytest.mark.parametrize("finding", SHAPES)
def test_a_change_of_shape_is_seen_mostly_in_its_box(finding: str) -> None:
    # A wide heart also moves its shadow's soft rim, and a flat diaphragm the abdomen below the lungs.
    for patient in (2, 4):
        phantom = with_findings(patient, finding)
        changed = difference(phantom)
        within = changed[inside(phantom.boxes)].mean()
        assert within > 6
        assert within > 8 * changed[~inside(phantom.boxes, margin=12)].mean()


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_sign_is_still_there_at_the_networks_size(finding: str) -> None:
    phantom = with_findings(4, finding)
    pair = [drawn(phantom), drawn(replace(phantom, findings=(), boxes=()))]
    small = [cv2.resize(picture, (320, 320), interpolation=cv2.INTER_AREA).astype(int) for picture in pair]
    # Grain is about one grey level at this size.
    assert (np.abs(small[0] - small[1]) > 12).sum() >= 30


def test_a_mass_is_larger_than_30_mm_and_a_nodule_smaller() -> None:
    for phantom in plan_archive(40, seed=8, prevalence={"Mass": 1.0, "Nodule": 1.0}):
        sizes = {box.finding: max(box.width, box.height) * 0.35 for box in phantom.boxes}
        assert sizes.get("Mass", 31) > 30
        assert sizes.get("Nodule", 29) < 30


def test_cardiomegaly_widens_the_heart_beyond_half_of_the_chest() -> None:
    for phantom in plan_archive(40, seed=9, prevalence={"Cardiomegaly": 1.0, "Emphysema": 1.0})[:38]:
        boxes = {name: [box for box in phantom.boxes if box.finding == name] for name in SHAPES}
        if not all(boxes.values()):
            continue
        lungs = boxes["Emphysema"]
        chest = max(box.x + box.width for box in lungs) - min(box.x for box in lungs)
        assert boxes["Cardiomegaly"][0].width / chest > 0.52


def test_a_chronic_finding_stays_where_it_is_from_one_follow_up_to_the_next() -> None:
    plan = plan_archive(26, seed=11, prevalence={name: float(name == "Mass") for name in FINDINGS})
    for before, after in pairwise(plan):
        if after.follow_up:
            (first,), (second,) = before.boxes, after.boxes
            assert abs(first.x + first.width / 2 - second.x - second.width / 2) < 120
            assert abs(first.y + first.height / 2 - second.y - second.height / 2) < 120


def test_an_archive_is_written_in_the_format_of_nih(tmp_path: Path) -> None:
    plan = plan_archive(3, seed=1, prevalence={"Edema": 1.0, "Mass": 1.0})
    seen: list[int] = []
    manifest = write_archive(tmp_path / "archive", plan, threads=2, progress=seen.append)
    assert manifest == tmp_path / "archive" / "manifest.csv"
    assert seen == [1, 2, 3]
    header, *rows = manifest.read_text().splitlines()
    assert header == (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    for phantom, row in zip(plan, csv.reader(rows), strict=True):
        assert row[0] == phantom.image_index
        assert row[1].split("|") == list(phantom.findings)
        assert row[2:] == [
            str(phantom.follow_up), str(phantom.patient_id), str(phantom.age_years), phantom.sex,
            phantom.view_position, "1024", "1024", "0.35", "0.35",
        ]  # fmt: skip
        stored = cv2.imread(str(manifest.parent / "images" / phantom.image_index), cv2.IMREAD_UNCHANGED)
        assert stored is not None
        assert np.array_equal(stored, draw(phantom))
    header, *rows = (manifest.parent / "boxes.csv").read_text().splitlines()
    assert header == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    assert len(rows) == sum(len(phantom.boxes) for phantom in plan)
    assert not list(manifest.parent.rglob(".*"))


def test_a_picture_without_findings_is_labelled_no_finding(tmp_path: Path) -> None:
    manifest = write_archive(tmp_path, [PATIENT])
    assert manifest.read_text().splitlines()[1].split(",")[1] == "No Finding"


def test_a_written_archive_replaces_an_older_one(tmp_path: Path) -> None:
    write_archive(tmp_path, [PATIENT])
    (tmp_path / "images" / PATIENT.image_index).write_bytes(b"half a file")
    write_archive(tmp_path, [PATIENT])
    stored = cv2.imread(str(tmp_path / "images" / PATIENT.image_index), cv2.IMREAD_GRAYSCALE)
    assert stored is not None
    assert stored.shape == (1024, 1024)


@pytest.mark.parametrize("prevalence", [{"Cold": 0.1}, {"Mass": 1.5}, {"Mass": -0.1}])
def test_a_prevalence_that_cannot_be_is_refused(prevalence: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(prevalence))):
        plan_archive(30, prevalence=prevalence)
