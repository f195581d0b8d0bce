"""`nightread export --format dicom-sr`: a run's results as files, and what is said of the rest."""

from pathlib import Path

import pytest
from pydicom import dcmread
from results_support import complete_film, small
from series_support import uid_of, write_series
from support import Nightread, close_run, make_run, score_batches
from volume_support import AFFINE, head, nifti, segment_cases

IMAGES = 6


@pytest.fixture
def scored(nightread: Nightread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nightread:
    """Run 1 of the stub model over films in the home, which is its images' folder."""
    assert nightread.call("db", "upgrade").returncode == 0
    for number in range(IMAGES):
        film = complete_film(SOPInstanceUID=f"1.2.3.{number}", StudyInstanceUID=f"1.2.9.{number}")
        (nightread.home / f"{number:08d}_000.png").write_bytes(film)
    database = nightread.database()
    run_id = make_run(database, nightread.home, IMAGES)
    score_batches(database, nightread.home / "models", run_id, small)
    close_run(database, run_id)
    monkeypatch.chdir(tmp_path)
    return nightread


def test_a_folder_has_a_report_per_image_with_the_scores_of_sql(scored: Nightread) -> None:
    done = scored.call("export", "1", "--format", "dicom-sr")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "wrote 6 files of 6 images to run-1-dicom-sr\n"
    files = sorted(Path("run-1-dicom-sr").iterdir())
    assert [file.name for file in files] == [f"{number:08d}_000.png.sr.dcm" for number in range(IMAGES)]
    rows = scored.sql("SELECT image_index, finding, probability FROM scores")
    probabilities = {(row["image_index"], row["finding"]): row["probability"] for row in rows}
    assert len(probabilities) == 14 * IMAGES
    for file in files:
        for finding, probability in numbers_of(file).items():
            assert probabilities.pop((file.name.removesuffix(".sr.dcm"), finding)) == probability
    assert probabilities == {}


def numbers_of(report: Path) -> dict[str, float]:
    """Probabilities by finding, by reading the content items alone."""
    (container,) = [
        item
        for item in dcmread(report).ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]
    found = {}
    for group in container.ContentSequence:
        items = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group.ContentSequence}
        value = items["Probability"].MeasuredValueSequence[0].FloatingPointValue
        found[items["Tracking Identifier"].TextValue] = value
    return found


def test_exported_again_the_bytes_are_the_same_and_what_was_there_is_said(
    scored: Nightread, tmp_path: Path
) -> None:
    folder = tmp_path / "states"
    first = scored.call("export", "last", "--format", "dicom-gsps", "-o", folder)
    assert first.returncode == 0, first.stderr
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = scored.call("export", "last", "--format", "dicom-gsps", "-o", folder)
    assert (
        again.stdout
        == f"wrote {len(before)} files of 6 images to {folder}, replacing {len(before)} that were there\n"
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_pictures_and_missing_films_cost_only_themselves(scored: Nightread, tmp_path: Path) -> None:
    (scored.home / "00000001_000.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (scored.home / "00000002_000.png").unlink()
    (scored.home / "00000003_000.png").write_bytes(complete_film(StudyInstanceUID=None))
    done = scored.call("export", "1", "--format", "dicom-sr", "-o", tmp_path / "reports")
    assert done.returncode == 3
    assert f"wrote 3 files of 6 images to {tmp_path / 'reports'}" in done.stdout
    assert "1 images are no DICOM files: they have no study to stand in" in done.stderr
    assert "images that cannot be read again: 1 missing, 1 wrong_format" in done.stderr
    assert len(list((tmp_path / "reports").iterdir())) == 3


def test_a_run_of_pictures_alone_is_told_why_there_is_nothing(scored: Nightread) -> None:
    for path in scored.home.glob("*.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    done = scored.call("export", "1", "--format", "dicom-sr")
    assert done.returncode == 2
    assert "no image of run 1 is a DICOM file" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--wide",), "--what, --wide and --spreadsheet-safe are for CSV and Parquet"),
        (("-o", "none/there"), "there is no folder none; make it first"),
        (("-o", "file"), "file is there and no folder; name another"),
    ],
)
def test_a_wrong_option_is_said_in_a_line(scored: Nightread, arguments: tuple[str, ...], said: str) -> None:
    Path("file").touch()
    done = scored.call("export", "1", "--format", "dicom-sr", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_without_a_network_or_maps_there_are_no_overlays_to_capture(scored: Nightread) -> None:
    done = scored.call("export", "1", "--format", "dicom-sc")
    assert done.returncode == 2
    assert "model stub has no network, and its maps no picture to lie on" in done.stderr
    database = scored.database()
    make_run(database, scored.home, IMAGES, heatmaps="none")
    done = scored.call("export", "2", "--format", "dicom-sc")
    assert done.returncode == 2
    assert "run 2 has no maps to draw: it was made with --heatmaps none" in done.stderr


@pytest.mark.processes
def test_many_images_are_done_by_several_processes(
    nightread: Nightread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = 12
    monkeypatch.setattr("workers.outputs.dicom.files.FEW", images - 1)
    assert nightread.call("db", "upgrade").returncode == 0
    for number in range(images):
        (nightread.home / f"{number:08d}_000.png").write_bytes(
            complete_film(SOPInstanceUID=f"1.2.3.{number}")
        )
    database = nightread.database()
    run_id = make_run(database, nightread.home, images)
    score_batches(database, nightread.home / "models", run_id, small)
    folders = (tmp_path / "one", tmp_path / "two")
    for jobs, folder in enumerate(folders, start=1):
        done = nightread.call("export", "1", "--format", "dicom-sr", "--jobs", str(jobs), "-o", folder)
        assert done.returncode == 0, done.stderr
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert len(one) == images
    assert one == two


# --- volumes -----------------------------------------------------------------------------------------------


@pytest.fixture
def segmented(nightread: Nightread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nightread:
    """Run 1 of a segmenting model over two series and a NIfTI file."""
    assert nightread.call("db", "upgrade").returncode == 0
    volumes = nightread.home / "volumes"
    for number in range(2):
        write_series(volumes / f"case{number}", head()[..., 0], AFFINE, series_uid=uid_of(number))
    (volumes / "case2.nii.gz").write_bytes(nifti(head(channels=1)))
    manifest = "Image\ncase0\ncase1\ncase2.nii.gz\n"
    segment_cases(nightread.database(), nightread.home, manifest, channels=["FLAIR"])
    monkeypatch.chdir(tmp_path)
    return nightread


def test_masks_of_series_are_written_and_nifti_files_are_said(segmented: Nightread) -> None:
    done = segmented.call("export", "1", "--format", "dicom-seg")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "wrote 2 files of 3 cases to run-1-dicom-seg\n"
    assert "1 cases are no DICOM files: they have no study to stand in" in done.stderr
    rows = segmented.sql("SELECT image_index, SUM(voxels) AS n FROM segments WHERE kind = 'class' GROUP BY 1")
    voxels = {row["image_index"]: row["n"] for row in rows}
    for number in range(2):
        mask = dcmread(f"run-1-dicom-seg/case{number}.seg.dcm")
        assert mask.pixel_array.sum() == voxels[f"case{number}"] > 0


def test_a_lost_mask_costs_its_case_alone(segmented: Nightread) -> None:
    (row,) = segmented.sql("SELECT mask_path FROM volumes WHERE image_index = 'case1'")
    (segmented.home / "heatmaps" / row["mask_path"]).unlink()
    done = segmented.call("export", "1", "--format", "dicom-seg")
    assert done.returncode == 3
    assert "wrote 1 files of 3 cases" in done.stdout
    assert "cases that cannot be read again: 1 no_mask" in done.stderr


def test_what_a_run_has_not_is_refused_with_what_it_has(segmented: Nightread) -> None:
    done = segmented.call("export", "1", "--format", "dicom-sr")
    assert (done.returncode, done.stdout) == (2, "")
    assert "run 1 has no dicom-sr: its results become dicom-seg" in done.stderr
    make_run(segmented.database(), segmented.home, IMAGES)
    done = segmented.call("export", "2", "--format", "dicom-seg")
    assert (done.returncode, done.stdout) == (2, "")
    assert "run 2 has no dicom-seg: its results become dicom-sr, dicom-sc, dicom-gsps" in done.stderr
