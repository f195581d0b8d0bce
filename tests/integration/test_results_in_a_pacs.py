"""The whole round: films in a PACS are found, fetched and scored, and the results stand beside them in it."""

import io
import re
import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from orthanc import Orthanc
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import pixel_array
from series_support import oblique, uid_of, write_series
from support import ROOT, Nightread

from config.brats import CHANNELS
from jobs.phantoms.archive import plan_archive, write_archive
from jobs.phantoms.volumes.archive import draw_case

pytestmark = pytest.mark.processes

IMAGES = 12


def kept(pacs: Orthanc) -> list[Dataset]:
    """All that it holds, each with its content."""
    return [dcmread(io.BytesIO(pacs.content(f"/instances/{key}/file"))) for key in pacs.get("/instances")]


def documented(pacs: Orthanc) -> list[list[str]]:
    """The commands of docs/pacs.md but for `score`, as they stand there, with a PACS that there is."""
    page = (ROOT / "docs" / "pacs.md").read_text(encoding="utf-8")
    there = {"PACS@pacs.example:104": pacs.dicom, "dicomweb+https://pacs.example/dicom-web": pacs.dicomweb}
    found = [
        [there.get(word, "1" if word == "7" else word) for word in shlex.split(line)]
        for line in re.findall(r"^\$ nightread (.+)$", page, re.MULTILINE)
    ]
    commands = [words for words in found if words[0] != "score"]
    assert {words[0] for words in commands} == {"manifest", "export", "send", "schedule", "deliveries"}
    return commands


@pytest.mark.timeout(900)
def test_films_go_out_of_a_pacs_and_their_results_into_it(
    nightread: Nightread, orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "films"
    write_archive(folder, plan_archive(IMAGES, 5, ending="dcm"))
    for path in folder.rglob("*.dcm"):
        written = dcmread(path)
        written.StudyDate = f"{datetime.now() - timedelta(days=1):%Y%m%d}"  # noqa: DTZ005  # a PACS' own day
        written.save_as(path)
        orthanc.store(path.read_bytes())
    nightread.environment |= {**orthanc.environment, "NIGHTREAD_CHILDREN": "1"}

    done = nightread.run(
        "score", orthanc.dicomweb, "--since", "yesterday", "--send-to", orthanc.dicom, timeout=500
    )
    assert done.returncode == 0, done.stderr + nightread.logs()
    assert f"{orthanc.dicom} has " in done.stdout
    scores = nightread.sql("SELECT image_index, finding, probability, threshold FROM scores")
    assert len(scores) == 14 * IMAGES
    boxes = nightread.sql("SELECT * FROM heatmaps WHERE probability >= threshold AND box_x IS NOT NULL")
    assert boxes

    monkeypatch.chdir(tmp_path)
    for command in documented(orthanc):
        done = nightread.call(*command)
        assert done.returncode == 0, (command, done.stderr)
    assert len(list((tmp_path / "reports").rglob("*.dcm"))) == IMAGES
    done = nightread.call("send", "last", "--to", orthanc.dicomweb)
    assert done.returncode == 0, done.stderr
    rows = nightread.sql("SELECT * FROM deliveries")
    assert {row["state"] for row in rows} == {"sent"}
    assert {row["kind"] for row in rows} == {"dicom-sr", "dicom-sc", "dicom-gsps"}
    everything = kept(orthanc)
    results = {dataset.SOPInstanceUID: dataset for dataset in everything if dataset.Modality != "CR"}
    # Two ways to one archive: it has each object once.
    assert set(results) == {row["sop_instance_uid"] for row in rows}
    assert 2 * len(results) == len(rows)
    assert len(everything) == IMAGES + len(results)

    of_film = {dataset.SOPInstanceUID: dataset for dataset in everything if dataset.Modality == "CR"}
    numbers = {(row["image_index"], row["finding"]): row for row in scores}
    places = {(row["image_index"], row["finding"]): row for row in boxes}
    drawn: set[tuple[object, ...]] = set()
    for row in rows:
        result = results[row["sop_instance_uid"]]
        film = of_film[row["image_index"].rpartition("/")[2]]
        assert result.StudyInstanceUID == film.StudyInstanceUID
        assert (result.PatientID, result.PatientSex) == (film.PatientID, film.PatientSex)
        if row["kind"] == "dicom-sr":
            assert_numbers(result, row["image_index"], numbers, places)
        if row["kind"] == "dicom-gsps":
            drawn |= outlines(result, row["image_index"])
    assert numbers == {}
    assert {key: row for key, row in places.items() if "seen" not in row} == {}
    assert drawn == {
        (row["image_index"], *(row[f"box_{side}"] for side in ("x", "y", "width", "height"))) for row in boxes
    }
    captures = [dataset for dataset in results.values() if dataset.Modality == "OT"]
    shown = pixel_array(io.BytesIO(orthanc.content(instance_path(orthanc, captures[0]))))
    assert np.ptp(shown.astype(int), axis=2).max() > 50


def instance_path(pacs: Orthanc, dataset: Dataset) -> str:
    for key in pacs.get("/instances"):
        if pacs.get(f"/instances/{key}")["MainDicomTags"]["SOPInstanceUID"] == dataset.SOPInstanceUID:
            return f"/instances/{key}/file"
    pytest.fail("the capture is not there")


def outlines(state: Dataset, image: str) -> set[tuple[object, ...]]:
    """The boxes that a presentation state draws on its film, as SQL has them."""
    found: set[tuple[object, ...]] = set()
    for annotation in state.GraphicAnnotationSequence:
        for drawn in annotation.get("GraphicObjectSequence", []):
            xs, ys = drawn.GraphicData[::2], drawn.GraphicData[1::2]
            found.add((image, min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)))
    return found


def assert_numbers(
    report: Dataset,
    image: str,
    numbers: dict[tuple[str, str], dict[str, object]],
    places: dict[tuple[str, str], dict[str, object]],
) -> None:
    """Compare a report with SQL, number by number; what was found is taken out, or marked."""
    content = highdicom.sr.Comprehensive3DSR.from_dataset(report).content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    planar = content.get_planar_roi_measurement_groups()
    plain = content.get_image_measurement_groups()
    for group in (*planar, *plain):
        finding = str(group.tracking_identifier)
        probability, threshold = group.get_measurements()
        # Its report came twice, on two ways, and is one object.
        row = numbers.pop((image, finding), None)
        if row is not None:
            assert (probability.value, threshold.value) == (row["probability"], row["threshold"])
    for group in planar:
        row = places[image, str(group.tracking_identifier)]
        assert isinstance(group.roi, highdicom.sr.ImageRegion)
        left, top = group.roi.value[0].tolist()
        right, bottom = group.roi.value[2].tolist()
        assert (left, top) == (row["box_x"], row["box_y"])
        assert (right - left, bottom - top) == (row["box_width"], row["box_height"])
        row["seen"] = True


# --- volumes -----------------------------------------------------------------------------------------------


def test_a_head_in_a_pacs_is_segmented_and_its_mask_is_in_it(
    nightread: Nightread, orthanc: Orthanc, tmp_path: Path
) -> None:
    name: dict[str, Any] = {"PatientName": "Zyxw^Müßig", "AccessionNumber": "ACCZYXW"}
    values = draw_case(5, 1)[0][:, :, 16:48]
    affine = oblique((3.0, 3.0, 3.0), (0.3, -0.2, 0.1))
    for index, sequence in enumerate(CHANNELS):
        folder = tmp_path / sequence
        paths = write_series(folder, values[..., index], affine, series_uid=uid_of(sequence), **name)
        orthanc.store(*(path.read_bytes() for path in paths))
    slices = {part.SOPInstanceUID: part for part in map(dcmread, (tmp_path / "FLAIR").iterdir())}
    source = next(iter(slices.values()))
    series = [f"studies/{source.StudyInstanceUID}/series/{uid_of(sequence)}" for sequence in CHANNELS]
    manifest = tmp_path / "cases.csv"
    manifest.write_text(f"{','.join(CHANNELS)}\n{','.join(series)}\n")
    nightread.environment |= {**orthanc.environment, "NIGHTREAD_CHILDREN": "1"}
    nightread.environment["NIGHTREAD_LOG_LEVEL"] = "DEBUG"
    done = nightread.run(
        *("score", manifest, "--images", orthanc.dicomweb, "--model", "demo-volumes"),
        *("--send-to", orthanc.dicom, "--format", "dicom-seg"),
        timeout=280,
    )
    said = done.stderr + done.stdout + nightread.logs()
    assert done.returncode == 0, said
    assert f"{orthanc.dicom} has 1 objects of run 1" in done.stdout
    assert [word for word in ("Zyxw", "ACCZYXW") if word in said] == []

    (sent,) = nightread.sql("SELECT * FROM deliveries")
    assert (sent["kind"], sent["state"], sent["image_index"]) == ("dicom-seg", "sent", series[0])
    (mask,) = [dataset for dataset in kept(orthanc) if dataset.Modality == "SEG"]
    assert mask.SOPInstanceUID == sent["sop_instance_uid"]
    assert mask.StudyInstanceUID == source.StudyInstanceUID
    for tag in ("PatientName", "PatientID", "AccessionNumber"):
        assert mask.get_item(tag).value == source.get_item(tag).value, tag
    segmentation = highdicom.seg.Segmentation.from_dataset(mask)
    found = segmentation.get_pixels_by_source_instance(
        list(slices), combine_segments=True, assert_missing_frames_are_empty=True
    )
    segments = nightread.sql("SELECT finding, voxels, mask_path FROM segments WHERE kind = 'class'")
    voxels = {row["finding"]: row["voxels"] for row in segments}
    assert voxels["edema"] > 0
    for segment in segmentation.SegmentSequence:
        assert np.count_nonzero(found == segment.SegmentNumber) == voxels[segment.SegmentLabel]
    # The same object, written into a folder.
    exported = tmp_path / "masks"
    done = nightread.run("export", "1", "--format", "dicom-seg", "-o", exported)
    assert done.returncode == 0, done.stderr
    (path,) = exported.rglob("*.dcm")
    assert path == exported / f"{series[0]}.seg.dcm"
    assert dcmread(path) == mask
