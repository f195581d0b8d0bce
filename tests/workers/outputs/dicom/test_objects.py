"""DICOM results say of scores what the run says, and of patient and study what the film says, to the byte."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import highdicom
import numpy as np
import pytest
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom import Dataset, dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.pixels.utils import pixel_array
from pydicom.sr.codedict import codes
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from results_support import (
    COMPLETE,
    SCORED_AT,
    Shelf,
    complete_film,
    origin,
    scored,
    validator_errors,
    without_maps,
)

from config.failures import ImageUnusableError, Reason
from config.findings import FINDINGS
from db.scored_images import ScoredImage
from jobs.deliveries.peer import DicomObject
from jobs.kinds.classification import KIND
from jobs.kinds.objects import ObjectKind
from workers.outputs.dicom.film import PATIENT, STUDY
from workers.outputs.dicom.objects import make_objects

ALL = KIND.objects
MAX_PIXELS = 1_000_000
OUTPUTS = Path("/nowhere")


def made(
    film: bytes, *kinds: ObjectKind, image: ScoredImage | None = None, run: int = 7
) -> list[DicomObject]:
    objects = make_objects(kinds or ALL, origin(run), image or scored(), Shelf(film), MAX_PIXELS, OUTPUTS)
    assert objects is not None
    return objects


def opened(result: DicomObject) -> Dataset:
    return dcmread(io.BytesIO(result.content))


def one(film: bytes, kind: ObjectKind, image: ScoredImage | None = None) -> Dataset:
    (result,) = made(film, kind, image=image)
    return opened(result)


# --- patient and study -------------------------------------------------------------------------------------


def test_what_is_kept_is_all_that_the_standard_says_of_patient_and_study() -> None:
    modules = get_iod_module_map()[get_sop_class_iod_map()[ComputedRadiographyImageStorage]]
    attributes = get_module_attribute_map()
    wanted = {
        item["keyword"]
        for module in modules
        if module["ie"] in {"Patient", "Study"}
        for item in attributes[module["key"]]
        if not item["path"]
    }
    assert wanted <= {*PATIENT, *STUDY}


NAMES = {
    "default": (None, "Doe^Jane"),
    "Latin-1": ("ISO_IR 100", "Mü\xdfig^Zoë"),
    "UTF-8": ("ISO_IR 192", "Wáng^小东=王^小东"),
    "Cyrillic": ("ISO_IR 144", "Люда^Ж"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "GB18030": ("GB18030", "Wang^XiaoDong=王^小东"),
}
SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
@pytest.mark.parametrize("said", NAMES.values(), ids=NAMES)
def test_patient_and_study_are_the_films_to_the_byte(said: tuple[Any, str], syntax: UID) -> None:
    charset, name = said
    issuer = Dataset()
    issuer.UniversalEntityID = "1.2.3"
    issuer.UniversalEntityIDType = "ISO"
    film = complete_film(
        syntax,
        SpecificCharacterSet=charset,
        PatientName=name,
        ReferringPhysicianName=name,
        StudyDescription="Thorax p.a. ",
        PregnancyStatus=4,
        IssuerOfPatientIDQualifiersSequence=[issuer],
    )
    source = dcmread(io.BytesIO(film))
    stored = {tag: source.get_item(tag) for tag in source.keys()}  # noqa: SIM118  # before they are decoded
    kept = {tag for tag in stored if keyword_for_tag(tag) in {*PATIENT, *STUDY}}
    assert len(kept) >= 15
    for result in made(film):
        dataset = opened(result)
        for tag in kept:
            if keyword_for_tag(tag).endswith(("Sequence", "Status")):
                assert dataset[tag] == source[tag], keyword_for_tag(tag)
            else:
                assert dataset.get_item(tag).value == stored[tag].value, keyword_for_tag(tag)
        assert dataset.get("SpecificCharacterSet") == source.get("SpecificCharacterSet")
        assert dataset.PatientName == source.PatientName


def test_values_that_the_standard_forbids_are_kept_and_quoted_nowhere() -> None:
    bad = {"PatientSex": "Zyxw", "PatientBirthDate": "Zyxw.1948", "PatientAge": "62", "StudyTime": "Zy:xw"}
    film = complete_film(**bad)
    for result in made(film):
        dataset = opened(result)
        for keyword, value in bad.items():
            assert dataset.get_item(keyword).value.rstrip(b" ") == value.encode()


def test_what_a_film_lacks_of_type_2_is_there_and_empty() -> None:
    lacking = (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"),
        *("StudyDate", "StudyTime", "StudyID", "ReferringPhysicianName"),
    )
    for result in made(complete_film(**dict.fromkeys(lacking))):
        dataset = opened(result)
        assert all(keyword in dataset and not dataset[keyword].value for keyword in lacking)


def test_nothing_of_one_patient_is_in_anothers_results() -> None:
    words = {"PatientName": "Zyxwname^Qvor", "PatientID": "MRNZYXW", "StudyDescription": "Zyxwstudy"}
    first = made(complete_film(**words, StudyInstanceUID="1.2.777"))
    second = made(complete_film())
    again = made(complete_film(**words, StudyInstanceUID="1.2.777"))
    assert [result.content for result in first] == [result.content for result in again]
    assert all(b"Zyxw" in result.content and b"1.2.777" in result.content for result in first)
    assert not any(word in result.content for result in second for word in (b"Zyxw", b"ZYXW", b"1.2.777"))


# --- identity ----------------------------------------------------------------------------------------------


def test_results_stand_in_the_films_study_in_series_of_their_own_and_are_labelled() -> None:
    numbers = {"dicom-sr": ("SR", 901), "dicom-sc": ("OT", 902), "dicom-gsps": ("PR", 903)}
    series = set()
    for result in made(complete_film()):
        dataset = opened(result)
        assert dataset.StudyInstanceUID == COMPLETE["StudyInstanceUID"]
        assert (dataset.Modality, dataset.SeriesNumber) == numbers[result.kind]
        assert dataset.SeriesDescription == "AI, research only: demo"
        assert dataset.Manufacturer == "Nightread"
        assert dataset.DeviceSerialNumber == origin().sha256
        assert UID(dataset.SOPInstanceUID).is_valid
        assert dataset.SOPInstanceUID.startswith("2.25.")
        series.add(dataset.SeriesInstanceUID)
    assert len(series) == 3
    assert COMPLETE["SeriesInstanceUID"] not in series


def test_a_result_is_the_same_object_each_time_and_another_of_another_run_image_or_model() -> None:
    film = complete_film()
    first = {(result.kind, result.finding): result for result in made(film)}
    assert {(result.kind, result.finding): result for result in made(film)} == first
    uids = [result.sop_instance_uid for result in first.values()]
    assert len(set(uids)) == len(uids) == 4
    other_model = replace(origin(), card_sha256="0" * 64)
    others = [
        made(film, run=8),
        made(film, image=scored("IM2")),
        made(complete_film(SOPInstanceUID="1.2.3.4.5")),
        make_objects(ALL, other_model, scored(), Shelf(film), MAX_PIXELS, OUTPUTS),
    ]
    for objects in others:
        assert objects
        assert not {result.sop_instance_uid for result in objects} & set(uids)


@pytest.mark.parametrize(
    ("offset", "moment"),
    [(None, ("20260102", "030405.678901")), ("-0430", ("20260101", "223405.678901")), ("junk", None)],
)
def test_a_results_time_is_the_scores_in_the_films_zone(
    offset: str | None, moment: tuple[str, str] | None
) -> None:
    expected = moment or (SCORED_AT.strftime("%Y%m%d"), SCORED_AT.strftime("%H%M%S.%f"))
    for result in made(complete_film(TimezoneOffsetFromUTC=offset)):
        dataset = opened(result)
        assert (dataset.InstanceCreationDate, dataset.InstanceCreationTime) == expected
        if result.kind != "dicom-gsps":
            assert (dataset.ContentDate, dataset.ContentTime) == expected


# --- structured reports ------------------------------------------------------------------------------------


def test_a_report_read_back_has_the_runs_numbers_exactly(tmp_path: Path) -> None:
    image = scored(flagged=(2, 7, 9), boxless=(9,))
    (result,) = made(complete_film(), "dicom-sr", image=image)
    path = tmp_path / "report.dcm"
    path.write_bytes(result.content)
    report = highdicom.sr.srread(path)
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert report.PreliminaryFlag == "PRELIMINARY"
    content = report.content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    planar = content.get_planar_roi_measurement_groups()
    plain = content.get_image_measurement_groups()
    assert {group.tracking_identifier for group in planar} == {"Effusion", "Pneumothorax"}
    groups = {group.tracking_identifier: group for group in (*planar, *plain)}
    assert len(groups) == len(planar) + len(plain) == len(FINDINGS)
    for score in image.scores:
        group = groups[score.finding]
        probability, threshold = group.get_measurements()
        assert probability.name == codes.DCM.Probability
        assert probability.value == score.probability  # to the last bit
        assert threshold.name == codes.DCM.ThresholdValue
        assert threshold.value == score.threshold
    for group in planar:
        (score,) = [score for score in image.scores if score.finding == group.tracking_identifier]
        assert score.box is not None
        assert isinstance(group.roi, highdicom.sr.ImageRegion)
        x, y, width, height = score.box
        assert group.roi.value.tolist() == [
            [x, y],
            [x + width, y],
            [x + width, y + height],
            [x, y + height],
            [x, y],
        ]
    text = str(report)
    assert origin().sha256 in text


def test_a_report_names_its_film_as_evidence() -> None:
    report = one(complete_film(), "dicom-sr")
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    (image,) = series.ReferencedSOPSequence
    assert study.StudyInstanceUID == COMPLETE["StudyInstanceUID"]
    assert series.SeriesInstanceUID == COMPLETE["SeriesInstanceUID"]
    assert image.ReferencedSOPInstanceUID == COMPLETE["SOPInstanceUID"]


def test_findings_of_any_name_have_a_code() -> None:
    image = scored()
    names = ("Épanchement", "肺炎", "A name that is longer than sixteen letters", *FINDINGS[3:])
    image = replace(
        image,
        scores=tuple(replace(score, finding=name) for score, name in zip(image.scores, names, strict=True)),
    )
    (result,) = made(complete_film(), "dicom-sr", image=image)
    assert b"Epanchement" in result.content
    assert b"longer than sixteen letters" in result.content


# --- presentation states -----------------------------------------------------------------------------------


def test_a_state_draws_the_boxes_of_the_findings_over_their_thresholds() -> None:
    image = scored(flagged=(2, 9), boxless=(9,))
    state = one(complete_film(), "dicom-gsps", image)
    (annotation,) = state.GraphicAnnotationSequence
    (outline,) = annotation.GraphicObjectSequence
    assert outline.GraphicData == [2, 4, 14, 4, 14, 24, 2, 24, 2, 4]
    texts = [text.UnformattedTextValue for text in annotation.TextObjectSequence]
    assert texts == [
        f"Effusion {image.scores[2].probability:.2f}",
        f"Edema {image.scores[9].probability:.2f}",
        "AI, research only: demo",
    ]
    (series,) = state.ReferencedSeriesSequence
    assert series.ReferencedImageSequence[0].ReferencedSOPInstanceUID == COMPLETE["SOPInstanceUID"]


@pytest.mark.parametrize(
    ("photometric", "shape", "expected"),
    [
        ("MONOCHROME2", None, "IDENTITY"),
        ("MONOCHROME2", "INVERSE", "INVERSE"),
        ("MONOCHROME1", None, "INVERSE"),
        ("MONOCHROME1", "INVERSE", "INVERSE"),
    ],
)
def test_a_state_shows_a_negative_as_a_negative(photometric: str, shape: str | None, expected: str) -> None:
    film = complete_film(PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    assert one(film, "dicom-gsps").PresentationLUTShape == expected


def test_a_state_keeps_the_films_window_unless_it_cannot_be_applied() -> None:
    (kept,) = one(complete_film(), "dicom-gsps").SoftcopyVOILUTSequence
    assert (kept.WindowCenter, kept.WindowWidth) == (128, 255)
    assert "SoftcopyVOILUTSequence" not in one(complete_film(WindowWidth=0), "dicom-gsps")


def test_pixels_that_are_not_square_stay_so() -> None:
    film = complete_film(PixelSpacing=[0.2, 0.1])
    (area,) = one(film, "dicom-gsps").DisplayedAreaSelectionSequence
    assert area.PresentationPixelAspectRatio == [2, 1]
    capture = one(film, "dicom-sc", scored(flagged=(2,)))
    assert capture.PixelAspectRatio == [2, 1]
    assert "PixelSpacing" not in capture


def test_nothing_over_a_threshold_is_nothing_to_show_and_still_a_report() -> None:
    assert [result.kind for result in made(complete_film(), image=scored(flagged=()))] == ["dicom-sr"]


def test_a_run_without_maps_has_reports_and_states_without_regions() -> None:
    results = made(complete_film(), image=without_maps(scored()))
    assert [result.kind for result in results] == ["dicom-sr", "dicom-gsps"]
    assert "GraphicObjectSequence" not in opened(results[1]).GraphicAnnotationSequence[0]


# --- secondary captures ------------------------------------------------------------------------------------


def test_a_capture_is_the_overlay_with_a_strip_below_it() -> None:
    results = made(complete_film(), "dicom-sc")
    assert [result.finding for result in results] == ["Effusion", "Pneumothorax"]
    capture = opened(results[0])
    assert (capture.Columns, capture.PhotometricInterpretation) == (64, "YBR_FULL_422")
    assert capture.Rows > 64
    assert capture.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert capture.PatientOrientation == ["L", "F"]
    assert capture.LossyImageCompression == "01"
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == COMPLETE["SOPInstanceUID"]
    shown = pixel_array(io.BytesIO(results[0].content))
    assert shown[64:].max() > 200  # the caption
    assert np.ptp(shown[:64].astype(int), axis=2).max() > 50  # colours
    other = pixel_array(io.BytesIO(results[1].content))
    assert np.abs(shown[:64].astype(int) - other[:64]).mean() > 5


def test_a_film_with_burned_in_text_gives_a_capture_that_says_so() -> None:
    capture = one(complete_film(BurnedInAnnotation="YES"), "dicom-sc", scored(flagged=(2,)))
    assert capture.BurnedInAnnotation == "YES"


def test_large_films_give_captures_of_a_bounded_size() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (900, 700), dtype=np.uint8)
    big = cv2.resize(pixels, (1400, 1800), interpolation=cv2.INTER_NEAREST)
    film = complete_film(Rows=1800, Columns=1400, PixelData=big.tobytes())
    results = make_objects(
        ("dicom-sc",),
        origin(),
        replace(scored(flagged=(2,)), width=1400, height=1800),
        Shelf(film),
        10_000_000,
        OUTPUTS,
    )
    assert results
    assert opened(results[0]).Columns == round(1400 * 1024 / 1800)


# --- what cannot be made -----------------------------------------------------------------------------------


def test_a_picture_that_is_no_dicom_file_has_no_results() -> None:
    done, png = cv2.imencode(".png", np.zeros((64, 64), dtype=np.uint8))
    assert done
    assert make_objects(ALL, origin(), scored(), Shelf(png.tobytes()), MAX_PIXELS, OUTPUTS) is None


def test_another_film_in_the_place_of_the_one_that_was_scored_gets_none_of_its_results() -> None:
    with pytest.raises(ImageUnusableError, match="another size"):
        made(complete_film(Rows=32, PixelData=bytes(64 * 32)))


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_film_without_a_uid_has_no_results(keyword: str) -> None:
    with pytest.raises(ImageUnusableError, match=keyword) as error:
        made(complete_film(**{keyword: None}))
    assert error.value.reason == Reason.WRONG_FORMAT


def test_a_film_that_ends_within_its_pixels_has_a_report_and_no_capture() -> None:
    film = complete_film()[:-1000]
    assert made(film, "dicom-sr")
    with pytest.raises(ImageUnusableError) as error:
        made(film, "dicom-sc")
    assert error.value.reason == Reason.TRUNCATED


# --- another program's judgement ---------------------------------------------------------------------------


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_validator_finds_no_error_in_results_of_a_complete_film(tmp_path: Path, photometric: str) -> None:
    film = complete_film(PhotometricInterpretation=photometric)
    path = tmp_path / "film.dcm"
    path.write_bytes(film)
    assert validator_errors(path) == []
    for result in made(film):
        path = tmp_path / f"{result.kind}-{result.finding}.dcm"
        path.write_bytes(result.content)
        assert validator_errors(path) == [], result.kind


def test_a_validator_finds_no_error_that_a_poor_film_did_not_have(real_data: Path, tmp_path: Path) -> None:
    for source in sorted((real_data / "dicom").glob("*.dcm")):
        known = set(validator_errors(source))
        image = replace(scored(), width=None)
        results = make_objects(ALL, origin(), image, Shelf(source.read_bytes()), 100_000_000, OUTPUTS)
        assert results
        for result in results:
            path = tmp_path / "result.dcm"
            path.write_bytes(result.content)
            assert set(validator_errors(path)) <= known, (source.name, result.kind)
