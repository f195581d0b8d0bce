"""A mask as a DICOM Segmentation lies on the pixels of its series, in whatever order these came."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from highdicom.seg import Segmentation, segread
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.tag import Tag
from results_support import COMPLETE, origin, scored, validator_errors
from series_support import SAGITTAL, enhanced_of, oblique, write_series
from volume_support import head, nifti, segmentation_card

from config.failures import ImageUnusableError, Reason
from db.scored_images import RunOrigin, ScoredImage
from jobs.deliveries.peer import DicomObject
from jobs.errors import AwayError
from jobs.sources.folder import FolderSource
from workers.cases import read_scan
from workers.outputs.dicom.film import PATIENT, STUDY
from workers.outputs.dicom.objects import make_objects
from workers.outputs.masks import MaskLostError, Masks

NAME = "case_1/flair"
SHAPE = (24, 20, 12)
TILTED = oblique((0.9, 1.1, 2.5), (0.3, -0.2, 0.1))
BACKWARDS = TILTED @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 11], [0, 0, 0, 1]])
"""Its slices are counted from the other end: the files' order is against that of their places."""

MAX_VOXELS = 100_000
FACTS = {
    keyword: value
    for keyword, value in COMPLETE.items()
    if keyword in {*PATIENT, *STUDY, "SpecificCharacterSet"}
}
"""Of patient and study, as in a complete film."""

KEPT = {Tag(keyword) for keyword in (*PATIENT, *STUDY)}


def values_of(found: bool = True) -> NDArray[np.int16]:
    """A head with an edema of values from 500, and in it something that is not enhancing, of 1,000."""
    values = head(SHAPE)[..., 0]
    if not found:
        return np.minimum(values, 199)
    values[values > 450] = 500
    values[10, 9, 5:7] = 1000
    return values


def label_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The mask of such values, in whatever grid they are."""
    label: NDArray[np.uint8] = np.digitize(values, [450, 900]).astype(np.uint8)
    return label


def run(run_id: int = 7) -> RunOrigin:
    """A run of a segmenting model that no database has."""
    card = segmentation_card()
    return replace(
        origin(run_id),
        model=card.name,
        sha256=card.sha256,
        card_sha256=card.fingerprint,
        card=card.model_dump(),
    )


class Home:
    """An archive with a series, and its mask as a worker writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = FolderSource(folder / "archive")
        self.outputs = folder / "outputs"
        self.image = replace(scored(NAME), scores=(), maps=None, width=SHAPE[0], height=SHAPE[1])

    def write(
        self, values: NDArray[np.int16], affine: NDArray[np.float64] = TILTED, **attributes: Any
    ) -> list[Path]:
        paths = write_series(self.folder / "archive" / NAME, values, affine, **FACTS | attributes)
        self.segment()
        return paths

    def segment(self) -> None:
        scan = read_scan(self.source, NAME, MAX_VOXELS, [])
        path = Masks(self.outputs).write(7, NAME, label_of(scan.values), scan.affine)
        self.image = replace(self.image, mask_path=path)

    def made(self, run_id: int = 7, image: ScoredImage | None = None) -> list[DicomObject] | None:
        return make_objects(
            ("dicom-seg",), run(run_id), image or self.image, self.source, MAX_VOXELS, self.outputs
        )

    def one(self) -> DicomObject:
        made = self.made()
        assert made is not None
        (result,) = made
        assert result.kind == "dicom-seg"
        return result


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "archive").mkdir()
    return Home(tmp_path)


def read(result: DicomObject) -> Segmentation:
    return segread(io.BytesIO(result.content))


def labelled_places(segmentation: Dataset) -> dict[tuple[float, ...], int]:
    """Each voxel of a segment: where its middle lies, in millimetres, by the elements of its frame alone."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    axes = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    down, across = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    places: dict[tuple[float, ...], int] = {}
    for frame, groups in zip(
        segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence, strict=True
    ):
        corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        rows, columns = np.nonzero(frame)
        middles = corner + np.outer(columns * across, axes[0]) + np.outer(rows * down, axes[1])
        for middle in middles.tolist():
            assert places.setdefault(tuple(round(mm, 2) + 0.0 for mm in middle), number) == number
    return places


def assert_in_place(home: Home, segmentation: Segmentation) -> None:
    """Compare the places of a segmentation's voxels with those of the NIfTI file's."""
    assert home.image.mask_path is not None
    mask = nibabel.load(home.outputs / home.image.mask_path)
    labels = np.asarray(mask.dataobj)
    voxels = np.argwhere(labels)
    places = apply_affine(np.diag([-1, -1, 1, 1]) @ mask.affine, voxels)
    mine = labelled_places(segmentation)
    assert len(mine) == len(voxels) > 20
    theirs = np.array(list(mine))
    for voxel, place in zip(voxels, places, strict=True):
        distances = np.linalg.norm(theirs - place, axis=1)
        assert distances.min() < 0.02
        assert mine[tuple(theirs[distances.argmin()])] == labels[tuple(voxel)]


@pytest.mark.parametrize(
    "affine", [TILTED, BACKWARDS, SAGITTAL], ids=["oblique", "counted backwards", "sagittal"]
)
def test_labels_are_those_of_the_mask_voxel_by_voxel_in_the_patient(
    home: Home, affine: NDArray[np.float64]
) -> None:
    paths = home.write(values_of(), affine)
    segmentation = read(home.one())
    # By the slices that its frames refer to, whose pixels say what was to be found.
    slices = [dcmread(path) for path in sorted(paths)]
    found = segmentation.get_pixels_by_source_instance(
        [part.SOPInstanceUID for part in slices], combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(found, np.stack([label_of(part.pixel_array) for part in slices]))
    assert_in_place(home, segmentation)


def test_it_lies_in_the_study_and_frame_of_its_series_and_says_what_made_it(home: Home) -> None:
    paths = home.write(values_of())
    segmentation = read(home.one())
    source = dcmread(paths[0])
    assert segmentation.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert segmentation.StudyInstanceUID == source.StudyInstanceUID
    assert (segmentation.Modality, segmentation.SeriesNumber) == ("SEG", 904)
    assert segmentation.SeriesInstanceUID != source.SeriesInstanceUID
    assert segmentation.SeriesDescription == "AI, research only: tumours"
    assert segmentation.SegmentationType == "BINARY"
    (series,) = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == {
        dcmread(path).SOPInstanceUID for path in paths
    }
    edema, other, enhancing = segmentation.SegmentSequence
    assert [part.SegmentLabel for part in (edema, other, enhancing)] == list(segmentation_card().classes)
    types = [part.segmented_property_type for part in (edema, other, enhancing)]
    assert [(code.scheme_designator, code.value) for code in types] == [
        ("SCT", "79654002"),
        ("NCIt", "C81175"),
        ("NCIt", "C113842"),
    ]
    assert {part.segmented_property_category.value for part in (edema, other, enhancing)} == {"49755003"}
    assert {part.SegmentAlgorithmType for part in segmentation.SegmentSequence} == {"AUTOMATIC"}
    algorithm = edema.algorithm_identification
    assert algorithm is not None
    assert (algorithm.name, algorithm.version) == ("tumours", run().sha256)
    # What was not found has no frame.
    frames = segmentation.PerFrameFunctionalGroupsSequence
    numbers = [item.SegmentIdentificationSequence[0].ReferencedSegmentNumber for item in frames]
    assert set(numbers) == {1, 2}
    assert numbers.count(2) == 2


def test_classes_that_no_code_means_keep_their_names_as_tissue(home: Home) -> None:
    home.write(values_of())
    classes = ("Hirnstamm_größer", "necrosis", "a class whose name is longer than sixteen letters")
    card = segmentation_card(classes=list(classes), regions={})
    made = make_objects(
        ("dicom-seg",),
        replace(run(), card=card.model_dump()),
        home.image,
        home.source,
        MAX_VOXELS,
        home.outputs,
    )
    assert made
    kinds = [
        (part.segmented_property_category.meaning, part.segmented_property_type.scheme_designator)
        for part in read(made[0]).SegmentSequence
    ]
    assert kinds == [
        ("Tissue", "99NIGHTREAD"),
        ("Morphologically Abnormal Structure", "SCT"),
        ("Tissue", "99NIGHTREAD"),
    ]
    assert [part.SegmentLabel for part in read(made[0]).SegmentSequence] == [
        "Hirnstamm_gro?er",
        *classes[1:],
    ]


def test_masks_whose_classes_have_other_values_are_read_by_the_card(home: Home) -> None:
    home.write(values_of())
    plain = read(home.one())
    scan = read_scan(home.source, NAME, MAX_VOXELS, [])
    values = np.array([0, 1, 4], dtype=np.uint8)[label_of(scan.values)]
    path = Masks(home.outputs).write(8, NAME, values, scan.affine)
    card = segmentation_card(label_values=[1, 4, 2])
    made = make_objects(
        ("dicom-seg",),
        replace(run(8), card=card.model_dump()),
        replace(home.image, mask_path=path),
        home.source,
        MAX_VOXELS,
        home.outputs,
    )
    assert made
    np.testing.assert_array_equal(read(made[0]).pixel_array, plain.pixel_array)


def test_a_case_in_which_nothing_was_found_has_an_object_that_says_so(home: Home) -> None:
    home.write(values_of(found=False))
    segmentation = read(home.one())
    assert segmentation.ContentDescription == "AI, research only: nothing found"
    assert segmentation.NumberOfFrames == 3 * SHAPE[2]
    assert not segmentation.pixel_array.any()


@pytest.mark.parametrize("lone", [True, False], ids=["a file", "in a folder"])
def test_the_frames_of_an_enhanced_object_are_its_slices(home: Home, lone: bool) -> None:
    values = values_of()
    enhanced = enhanced_of(values, TILTED)
    path = home.folder / "archive" / (NAME if lone else f"{NAME}/IM1")
    path.parent.mkdir(parents=True)
    enhanced.save_as(path, enforce_file_format=True)
    home.segment()
    segmentation = read(home.one())
    count = SHAPE[2]
    found = segmentation.get_pixels_by_source_frame(
        enhanced.SOPInstanceUID,
        [*range(1, count + 1)],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(found, label_of(dcmread(path).pixel_array))
    assert_in_place(home, segmentation)


def own_uids(result: DicomObject) -> set[str]:
    """The UIDs that an object has of its own."""
    dataset = read(result)
    segments = {segment.TrackingUID for segment in dataset.SegmentSequence}
    dimensions = {item.DimensionOrganizationUID for item in dataset.DimensionIndexSequence}
    return {dataset.SOPInstanceUID, dataset.SeriesInstanceUID, *segments, *dimensions}


def test_it_is_the_same_object_each_time_and_another_of_another_run(home: Home) -> None:
    home.write(values_of())
    first = home.one()
    assert home.one() == first
    other = home.made(8)
    assert other
    assert own_uids(first)
    assert not own_uids(first) & own_uids(other[0])


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Wáng^小东=王^小东"},
        {"SpecificCharacterSet": None, "PatientName": "Doe^Jane"},
        {"PatientSex": "Zyxw", "PatientBirthDate": "Zyxw.1948", "StudyTime": "Zy:xw"},
    ],
)
def test_patient_and_study_are_the_slices_to_the_byte(home: Home, said: dict[str, Any]) -> None:
    paths = home.write(values_of(), **said)
    source, result = dcmread(paths[0]), dcmread(io.BytesIO(home.one().content))
    kept = [tag for tag in source.keys() if tag in KEPT]  # noqa: SIM118
    assert len(kept) >= 10
    for tag in kept:
        assert result.get_item(tag).value == source.get_item(tag).value, tag
    assert result.PatientName == source.PatientName


def test_slices_that_do_not_say_how_thick_they_are_have_no_gaps(home: Home) -> None:
    home.write(values_of(), SliceThickness=None)
    (measures,) = read(home.one()).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert measures.SliceThickness == pytest.approx(2.5, abs=1e-4)
    assert measures.SpacingBetweenSlices == pytest.approx(2.5, abs=1e-4)


def test_directions_that_differ_by_their_last_digits_are_one(home: Home) -> None:
    def nudge(place: int, part: Dataset) -> None:
        part.ImageOrientationPatient = [
            f"{cosine + (place % 2) * 2e-5:.8f}" for cosine in part.ImageOrientationPatient
        ]

    home.write(values_of(), edit=nudge)
    assert read(home.one()).NumberOfFrames > 0


# --- what cannot be made -----------------------------------------------------------------------------------


def test_a_nifti_file_has_no_study_to_stand_in(home: Home) -> None:
    (home.folder / "archive" / "case.nii.gz").write_bytes(nifti(head(SHAPE)))
    assert home.made(image=replace(home.image, name="case.nii.gz")) is None


def refusal(home: Home) -> ImageUnusableError:
    with pytest.raises(ImageUnusableError) as raised:
        home.made()
    return raised.value


def test_a_series_that_has_changed_since_it_was_segmented_is_refused(home: Home) -> None:
    paths = home.write(values_of())
    last = paths[-1].read_bytes()
    paths[-1].unlink()
    fewer = refusal(home)
    assert fewer.reason == Reason.WRONG_SHAPE
    assert "the mask has 24 x 20 x 12 voxels, the series 24 x 20 x 11" in fewer.message
    paths[-1].write_bytes(last)
    assert home.made()
    for path in paths:
        moved = dcmread(path)
        moved.ImagePositionPatient = [moved.ImagePositionPatient[0] + 1, *moved.ImagePositionPatient[1:]]
        moved.save_as(path)
    elsewhere = refusal(home)
    assert elsewhere.reason == Reason.WRONG_SHAPE
    assert "the mask lies elsewhere than the series" in elsewhere.message
    for path in paths:
        path.unlink()
    paths[0].parent.rmdir()
    assert refusal(home).reason == Reason.MISSING


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [({"StudyInstanceUID": None}, Reason.WRONG_FORMAT), ({"FrameOfReferenceUID": None}, Reason.DAMAGED)],
)
def test_a_series_without_a_study_or_a_frame_of_reference_is_refused(
    home: Home, lacking: dict[str, Any], reason: Reason
) -> None:
    home.write(values_of(), **lacking)
    assert refusal(home).reason == reason


def test_a_mask_that_is_lost_is_said_and_a_folder_that_is_away_is_waited_for(home: Home) -> None:
    home.write(values_of())
    away = home.outputs.rename(home.folder / "away")
    with pytest.raises(AwayError, match="the folder of masks is not there now"):
        home.made()
    away.rename(home.outputs)
    assert home.made()
    assert home.image.mask_path is not None
    mask = home.outputs / home.image.mask_path
    mask.write_bytes(mask.read_bytes()[:-20])
    with pytest.raises(MaskLostError):
        home.made()
    mask.unlink()
    with pytest.raises(MaskLostError):
        home.made()
    with pytest.raises(MaskLostError):
        home.made(image=replace(home.image, mask_path=None))


# --- another program's judgement ---------------------------------------------------------------------------


@pytest.mark.parametrize("found", [True, False])
def test_a_validator_finds_no_error_in_the_segmentation_of_a_complete_series(
    home: Home, tmp_path: Path, found: bool
) -> None:
    paths = home.write(values_of(found))
    assert validator_errors(paths[0]) == []
    path = tmp_path / "mask.dcm"
    path.write_bytes(home.one().content)
    assert validator_errors(path) == []
