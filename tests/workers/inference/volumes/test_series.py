"""DICOM series as volumes: values and places are SimpleITK's, and what is no volume says why."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from dicom_support import PATIENT, run_lengths
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)
from series_support import PATIENT_ID, SAGITTAL, enhanced_of, oblique, slice_of, uid_of, write_series

from config.failures import ImageUnusableError, Reason
from workers.inference.volumes.nifti import read_nifti
from workers.inference.volumes.scan import Scan
from workers.inference.volumes.series import read_series
from workers.inference.volumes.volume import labels_of, volume_of

MOST = 100_000

AXIAL = np.array([[-2.0, 0, 0, 90], [0, -2.0, 0, 110], [0, 0, 2.5, -40], [0, 0, 0, 1]])
GRIDS = {
    "axial": AXIAL,
    "as NIfTI's own": np.diag([2.0, 2.0, 2.0, 1.0]),
    "sagittal": SAGITTAL,
    "oblique": oblique((0.9, 1.1, 3.3), (0.3, -0.2, 0.1)),
}


def drawn(shape: tuple[int, int, int] = (9, 7, 6), seed: int = 4) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-900, 3000, shape, dtype=np.int16)


def contents(folder: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


def read(folder: Path, most: int = MOST) -> Scan:
    return read_series(contents(folder), most)


def refusal(folder: Path, most: int = MOST) -> tuple[Reason, str]:
    with pytest.raises(ImageUnusableError) as caught:
        read(folder, most)
    message = caught.value.message
    assert PATIENT.split("^")[0] not in message
    assert PATIENT_ID not in message
    return caught.value.reason, message


def simpleitk() -> Any:
    return pytest.importorskip("SimpleITK")


def by_simpleitk(folder: Path) -> tuple[Any, tuple[str, ...]]:
    sitk = simpleitk()
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(names)
    return reader.Execute(), tuple(Path(name).name for name in names)


def affine_of(image: Any) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


# --- what a volume is --------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS)
def test_values_places_and_order_are_those_that_were_written_and_simpleitks(
    tmp_path: Path, grid: str
) -> None:
    values, affine = drawn(), GRIDS[grid]
    paths = write_series(tmp_path, values, affine, RescaleSlope="0.5", RescaleIntercept="-100")
    scan = read(tmp_path)
    assert scan.values.dtype == np.float32
    np.testing.assert_array_equal(scan.values, values * 0.5 - 100)
    np.testing.assert_allclose(scan.affine, affine, rtol=0, atol=1e-6)
    assert scan.slices == tuple(path.name for path in paths) != tuple(sorted(scan.slices))
    image, names = by_simpleitk(tmp_path)
    np.testing.assert_array_equal(simpleitk().GetArrayFromImage(image).T, scan.values)
    np.testing.assert_allclose(affine_of(image), scan.affine, rtol=0, atol=1e-6)
    assert names == scan.slices


def test_slices_that_are_written_from_the_top_are_read_from_below(tmp_path: Path) -> None:
    values = drawn()
    downward = AXIAL @ np.diag([1.0, 1.0, -1.0, 1.0])
    write_series(tmp_path, values, downward)
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.values, values[..., ::-1])
    np.testing.assert_allclose(scan.affine @ [0, 0, 5, 1], downward @ [0, 0, 0, 1])
    np.testing.assert_allclose(affine_of(by_simpleitk(tmp_path)[0]), scan.affine, rtol=0, atol=1e-6)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_nifti_label_that_is_made_of_the_series_lies_where_it_lies(tmp_path: Path, grid: str) -> None:
    write_series(tmp_path / "series", drawn(), GRIDS[grid])
    image, _ = by_simpleitk(tmp_path / "series")
    sitk = simpleitk()
    sitk.WriteImage(sitk.Cast(image > 1000, sitk.sitkUInt8), str(tmp_path / "label.nii.gz"))
    scan = read(tmp_path / "series")
    label = read_nifti((tmp_path / "label.nii.gz").read_bytes(), MOST)
    labels = labels_of(label, volume_of(scan, ["T1"]), ["bright"], [1])
    np.testing.assert_array_equal(labels, scan.values > 1000)


def test_each_slice_has_its_own_slope(tmp_path: Path) -> None:
    values = drawn()

    def edit(place: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(1 + place / 8), str(-place)

    write_series(tmp_path, values, AXIAL, edit=edit)
    places = np.arange(values.shape[2])
    np.testing.assert_array_equal(read(tmp_path).values, values * (1 + places / 8) - places)


def test_no_window_is_applied_and_no_bit_above_those_stored_counts(tmp_path: Path) -> None:
    values = np.abs(drawn()).astype(np.uint16)
    attributes: dict[str, Any] = {"BitsStored": 12, "HighBit": 11, "WindowCenter": "40", "WindowWidth": "80"}
    write_series(tmp_path / "words", values | 0x8000, AXIAL, **attributes)
    np.testing.assert_array_equal(read(tmp_path / "words").values, values)
    signed = (values.astype(np.int16) - 2048) & 0x0FFF
    write_series(
        tmp_path / "signed", signed, AXIAL, **attributes | {"PhotometricInterpretation": "MONOCHROME1"}
    )
    np.testing.assert_array_equal(read(tmp_path / "signed").values, values.astype(np.int16) - 2048)


Encode = Callable[[NDArray[Any]], bytes | bytearray]
ENCODERS: dict[UID, Encode] = {
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEG2000Lossless: lambda words: imagecodecs.jpeg2k_encode(words, level=0, codecformat="j2k"),
    HTJ2KLossless: imagecodecs.htj2k_encode,
    JPEGLosslessSV1: lambda words: imagecodecs.jpeg8_encode(words, lossless=True, bitspersample=16),
    RLELossless: lambda words: run_lengths(words[..., None].view(np.uint8)[..., ::-1]),
}


@pytest.mark.parametrize(
    "syntax", [*ENCODERS, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=lambda uid: uid.name
)
def test_series_are_read_in_every_kind_of_transfer_syntax(tmp_path: Path, syntax: UID) -> None:
    values = np.abs(drawn((16, 12, 3))).astype(np.uint16)

    def edit(_: int, dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax in ENCODERS:
            words = np.frombuffer(dataset.PixelData, np.uint16).reshape(12, 16)
            dataset.PixelData = encapsulate([bytes(ENCODERS[syntax](words))])
            dataset["PixelData"].is_undefined_length = True

    write_series(tmp_path, values, AXIAL, edit=edit)
    np.testing.assert_array_equal(read(tmp_path).values, values)


@pytest.mark.parametrize("grid", GRIDS)
def test_an_enhanced_object_is_the_volume_of_its_frames(tmp_path: Path, grid: str) -> None:
    values, affine = drawn(), GRIDS[grid]
    enhanced_of(values, affine, slope=0.25).save_as(tmp_path / "all.dcm", enforce_file_format=True)
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.values, values * 0.25)
    np.testing.assert_allclose(scan.affine, affine, rtol=0, atol=1e-6)
    assert scan.slices == ("all.dcm",) * values.shape[2]


def test_a_public_enhanced_object_is_read_as_by_simpleitk(tmp_path: Path) -> None:
    path = Path(get_testdata_file("eCT_Supplemental.dcm", download=False) or pytest.skip("no test data"))
    (tmp_path / path.name).write_bytes(path.read_bytes())
    scan = read(tmp_path, 10**6)
    image = simpleitk().ReadImage(str(path))
    ours, theirs = scan.values, simpleitk().GetArrayFromImage(image).T
    assert any(np.array_equal(ours, found) for found in (theirs, theirs[..., ::-1]))
    np.testing.assert_allclose(scan.affine[:3, :2], affine_of(image)[:3, :2], rtol=0, atol=1e-4)


@pytest.mark.parametrize("fragments", [1, 3])
def test_the_frames_of_a_compressed_object_are_told_apart(tmp_path: Path, fragments: int) -> None:
    values = np.abs(drawn((16, 12, 5))).astype(np.uint16)
    whole = enhanced_of(values, AXIAL)
    words = np.frombuffer(whole.PixelData, np.uint16).reshape(5, 12, 16)
    coded = [bytes(imagecodecs.jpegls_encode(frame)) for frame in words]
    whole.PixelData = encapsulate(coded, fragments_per_frame=fragments)
    whole["PixelData"].is_undefined_length = True
    whole.file_meta.TransferSyntaxUID = JPEGLSLossless
    whole.save_as(tmp_path / "all.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read(tmp_path).values, values)
    if fragments > 1:
        whole.PixelData = encapsulate(coded, fragments_per_frame=fragments, has_bot=False)
        whole["PixelData"].is_undefined_length = True
        whole.save_as(tmp_path / "all.dcm", enforce_file_format=True)
        found, message = refusal(tmp_path)
        assert found is Reason.DAMAGED
        assert "fragments" in message


def test_frames_that_do_not_say_where_they_lie_are_no_volume(tmp_path: Path) -> None:
    path, whole = tmp_path / "all.dcm", enhanced_of(drawn(), AXIAL)
    del whole.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence
    whole.save_as(path, enforce_file_format=True)
    assert refusal(tmp_path)[0] is Reason.WRONG_SHAPE
    whole.PerFrameFunctionalGroupsSequence = whole.PerFrameFunctionalGroupsSequence[:2]
    whole.save_as(path, enforce_file_format=True)
    assert refusal(tmp_path)[0] is Reason.DAMAGED
    del whole.PerFrameFunctionalGroupsSequence
    whole.save_as(path, enforce_file_format=True)
    assert refusal(tmp_path)[0] is Reason.WRONG_FORMAT
    assert refusal(tmp_path, 100)[0] is Reason.TOO_LARGE


def test_what_is_no_picture_is_passed_over(tmp_path: Path) -> None:
    values = drawn()
    write_series(tmp_path, values, AXIAL)
    (tmp_path / "README.txt").write_text("by the scanner", encoding="utf-8")
    (tmp_path / "preview.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(900))
    for name, kind in (
        ("DICOMDIR", MediaStorageDirectoryStorage),
        ("IM99999.dcm", "1.2.840.10008.5.1.4.1.1.11.1"),
    ):
        other = slice_of(values, AXIAL, 0, Rows=None, Columns=None, SOPClassUID=kind)
        other.SeriesInstanceUID = uid_of("another")
        del other.PixelData
        other.save_as(tmp_path / name, enforce_file_format=True)
    np.testing.assert_array_equal(read(tmp_path).values, values)


def test_the_forged_series_are_what_the_standard_wants(tmp_path: Path) -> None:
    checker = shutil.which("dciodvfy")
    if checker is None:
        pytest.skip("dciodvfy is not there: apt-get install dicom3tools")
    for path in write_series(
        tmp_path, drawn((8, 8, 3)), GRIDS["oblique"], RescaleSlope="2", RescaleIntercept="0"
    ):
        said = subprocess.run([checker, path], capture_output=True, text=True, check=False).stderr
        assert "Error" not in said, said
        assert "MRImage" in said


# --- what is none ------------------------------------------------------------------------------------------


def edited(**attributes: Any) -> Callable[[int, Dataset], None]:
    """Change the fourth slice's attributes; None takes one away."""

    def edit(place: int, dataset: Dataset) -> None:
        for keyword, value in attributes.items() if place == 3 else ():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)

    return edit


def moved(change: Callable[[int], list[float]]) -> Callable[[int, Dataset], None]:
    """Move each slice by millimetres to the left, back and up."""

    def edit(place: int, dataset: Dataset) -> None:
        at = np.array(dataset.ImagePositionPatient, dtype=float) + change(place)
        dataset.ImagePositionPatient = [f"{number:.4f}" for number in at]

    return edit


BAD: dict[str, tuple[Callable[[int, Dataset], None], Reason, str]] = {
    "uneven": (
        moved(lambda place: [0, 0, 0.5 * (place > 2)]),
        Reason.WRONG_SHAPE,
        "between -35.00 and -32.00 mm",
    ),
    "at one place": (
        moved(lambda place: [0, 0, -2.5 * (place == 4)]),
        Reason.WRONG_SHAPE,
        "lie at one place, -32.50 mm",
    ),
    "several times": (
        moved(lambda place: [0, 0, -7.5 * (place > 2)]),
        Reason.WRONG_SHAPE,
        "several times or echoes",
    ),
    "tilted": (moved(lambda place: [0, 0.4 * place, 0]), Reason.WRONG_SHAPE, "they move 2.00 mm aside"),
    "turned": (
        edited(ImageOrientationPatient=["1", "0", "0", "0", "0.8", "0.6"]),
        Reason.WRONG_SHAPE,
        "differ in direction",
    ),
    "of other pixels": (edited(PixelSpacing=["2", "2.1"]), Reason.WRONG_SHAPE, "differ in spacing"),
    "without a place": (
        edited(ImagePositionPatient=None),
        Reason.WRONG_SHAPE,
        "no ImagePositionPatient of 3",
    ),
    "of a blank place": (edited(ImagePositionPatient=""), Reason.WRONG_SHAPE, "no ImagePositionPatient of 3"),
    "without a direction": (
        edited(ImageOrientationPatient=None),
        Reason.WRONG_SHAPE,
        "no ImageOrientationPatient",
    ),
    "without a spacing": (edited(PixelSpacing=None), Reason.WRONG_SHAPE, "no PixelSpacing of 2 numbers"),
    "of no spacing": (edited(PixelSpacing=["2", "0"]), Reason.DAMAGED, "its PixelSpacing"),
    "skewed": (
        edited(ImageOrientationPatient=["1", "0", "0", "0.1", "0.99", "0"]),
        Reason.DAMAGED,
        "right angle",
    ),
    "of two series": (
        edited(SeriesInstanceUID=uid_of("other")),
        Reason.WRONG_SHAPE,
        "there are 2 series in it",
    ),
    "in colour": (
        edited(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0),
        Reason.WRONG_FORMAT,
        "colour",
    ),
    "of several frames": (edited(NumberOfFrames="6"), Reason.WRONG_FORMAT, "several frames"),
    "of a slope that is none": (
        edited(RescaleSlope="nan", RescaleIntercept="0"),
        Reason.BAD_VALUES,
        "no number",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_series_that_is_no_volume_says_why(tmp_path: Path, what: str) -> None:
    edit, reason, said = BAD[what]
    write_series(tmp_path, drawn(), AXIAL, edit=edit)
    found, message = refusal(tmp_path)
    assert (found, said in message) == (reason, True), message


def test_a_missing_slice_is_told_by_where_it_is_missing(tmp_path: Path) -> None:
    paths = write_series(tmp_path, drawn((9, 7, 40)), AXIAL)
    paths[17].unlink()
    found, message = refusal(tmp_path)
    assert found is Reason.WRONG_SHAPE
    assert message == (
        "between 0.00 and 5.00 mm along their normal its slices are 5.00 mm apart, and 2.50 mm elsewhere: "
        "one is missing, or they are uneven"
    )


def test_slices_of_another_size_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, drawn(), AXIAL)
    slice_of(drawn((8, 7, 6)), AXIAL, 2).save_as(tmp_path / "IM15838.dcm", enforce_file_format=True)
    assert refusal(tmp_path)[0] is Reason.WRONG_SHAPE


def test_one_slice_and_none_are_no_volume(tmp_path: Path) -> None:
    write_series(tmp_path / "one", drawn((9, 7, 1)), AXIAL)
    assert refusal(tmp_path / "one") == (
        Reason.WRONG_SHAPE,
        "it has one slice; name the folder of the whole series",
    )
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "flair.nii").write_bytes(bytes(600))
    assert refusal(tmp_path / "none")[0] is Reason.WRONG_FORMAT


def test_the_voxels_of_all_slices_are_bounded_before_they_are_decoded(tmp_path: Path) -> None:
    values = drawn()
    write_series(tmp_path, values, AXIAL)
    assert read(tmp_path, values.size).values.size == values.size
    found, message = refusal(tmp_path, values.size - 1)
    assert found is Reason.TOO_LARGE
    assert f"{values.size - 1:,}" in message


@pytest.mark.parametrize(
    ("size", "reasons"),
    [
        (-2, {Reason.TRUNCATED}),
        (400, {Reason.TRUNCATED, Reason.DAMAGED, Reason.WRONG_FORMAT}),
        (100, {Reason.DAMAGED}),
    ],
)
def test_a_cut_file_fails_the_series_and_is_named(tmp_path: Path, size: int, reasons: set[Reason]) -> None:
    # The last one: without it, the others would be a volume.
    cut = write_series(tmp_path, drawn(), AXIAL)[-1]
    cut.write_bytes(cut.read_bytes()[:size])
    found, message = refusal(tmp_path)
    assert found in reasons
    assert cut.name in message


def test_a_file_cut_anywhere_is_never_passed_over(tmp_path: Path) -> None:
    last = write_series(tmp_path, drawn((4, 4, 3)), AXIAL)[-1]
    whole = last.read_bytes()
    reasons = set()
    for size in range(1, len(whole), 3):
        last.write_bytes(whole[:size])
        reasons.add(refusal(tmp_path)[0])
    assert reasons <= {Reason.TRUNCATED, Reason.DAMAGED, Reason.WRONG_FORMAT, Reason.WRONG_SHAPE}


def test_changed_bytes_of_a_header_give_a_volume_or_a_reason(tmp_path: Path) -> None:
    last = write_series(tmp_path, drawn((4, 4, 3)), AXIAL)[-1]
    whole, random = last.read_bytes(), np.random.default_rng(8)
    outcomes: set[object] = set()
    messages = []
    for _ in range(150):
        damaged = bytearray(whole)
        for place in random.integers(132, len(whole) - 40, 2):
            damaged[place] = random.integers(256)
        last.write_bytes(damaged)
        try:
            outcomes.add(read(tmp_path).values.shape)
        except ImageUnusableError as error:
            outcomes.add(error.reason)
            messages.append(error.message)
    assert (4, 4, 3) in outcomes
    assert len(outcomes) > 2
    assert "SEEDED" not in " ".join(messages)


def test_positions_that_are_rounded_to_a_hundredth_of_a_millimetre_are_even(tmp_path: Path) -> None:
    affine = oblique((0.47, 0.47, 0.94), (0.31, -0.27, 0.13))

    def edit(_: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [f"{float(number):.2f}" for number in dataset.ImagePositionPatient]
        dataset.ImageOrientationPatient = [
            f"{float(cosine):.5f}" for cosine in dataset.ImageOrientationPatient
        ]

    write_series(tmp_path, drawn((9, 7, 60)), affine, edit=edit)
    np.testing.assert_allclose(read(tmp_path).affine, affine, rtol=0, atol=0.01)
