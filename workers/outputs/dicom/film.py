"""The film, or slice of a series, that a result is about: what it says of patient and study, to the byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag, Tag

from config.dicom import SPACINGS
from config.failures import ImageUnusableError, Reason
from workers.inference.formats import dicom
from workers.inference.formats.dicom.header import read_header

_REQUIRED: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
"""What a result needs to stand in a study and to name its image."""

PATIENT: Final = (
    "ReferencedPatientSequence",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "SourcePatientGroupIdentificationSequence",
    "GroupOfPatientsIdentificationSequence",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar",
    "PatientAlternativeCalendar",
    "PatientSex",
    "QualityControlSubject",
    "StrainDescription",
    "StrainNomenclature",
    "StrainCodeSequence",
    "StrainAdditionalInformation",
    "StrainStockSequence",
    "GeneticModificationsSequence",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "ReferencedPatientPhotoSequence",
    "EthnicGroup",
    "EthnicGroupCodeSequence",
    "PatientComments",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "IssuerOfClinicalTrialProtocolID",
    "OtherClinicalTrialProtocolIDsSequence",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "IssuerOfClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "IssuerOfClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "IssuerOfClinicalTrialSubjectReadingID",
    "ClinicalTrialProtocolEthicsCommitteeName",
    "ClinicalTrialProtocolEthicsCommitteeApprovalNumber",
)
"""The modules Patient and Clinical Trial Subject (PS3.3 C.7.1)."""

STUDY: Final = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "StudyID",
    "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName",
    "ConsultingPhysicianIdentificationSequence",
    "StudyDescription",
    "ProcedureCodeSequence",
    "ReferencedStudySequence",
    "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence",
    "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence",
    "RequestingService",
    "RequestingServiceCodeSequence",
    "ReasonForVisit",
    "ReasonForVisitCodeSequence",
    "ReasonForPerformedProcedureCodeSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientSizeCodeSequence",
    "PatientBodyMassIndex",
    "MeasuredAPDimension",
    "MeasuredLateralDimension",
    "MedicalAlerts",
    "Allergies",
    "SmokingStatus",
    "PregnancyStatus",
    "LastMenstrualDate",
    "PatientState",
    "Occupation",
    "AdditionalPatientHistory",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "IssuerOfServiceEpisodeIDSequence",
    "ServiceEpisodeDescription",
    "PatientSexNeutered",
    "ClinicalTrialTimePointID",
    "IssuerOfClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "ClinicalTrialTimePointTypeCodeSequence",
    "LongitudinalTemporalOffsetFromEvent",
    "LongitudinalTemporalEventType",
    "ConsentForClinicalTrialUseSequence",
)
"""The modules General Study, Patient Study and Clinical Trial Study (PS3.3 C.7.2)."""

_COMMON: Final = ("SpecificCharacterSet", "TimezoneOffsetFromUTC")
"""By which the values above are read."""

_KEPT: Final = tuple(Tag(tag_for_keyword(keyword) or 0) for keyword in (*_COMMON, *PATIENT, *STUDY))
_TEXTS: Final = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
"""Value representations whose bytes are the same in every transfer syntax."""

_PIXELS_GROUP: Final = 0x0028


@dataclass(frozen=True, slots=True)
class Film:
    """A DICOM file's elements before the pixels."""

    dataset: Dataset

    def uid(self, keyword: str) -> str:
        """Return one of the UIDs that every film has."""
        return str(self.dataset[keyword].value)

    def stand_in(self, *more: str) -> Dataset:
        """Return what a library may know of the film: UIDs, how its pixels are shown, and `more` keywords.

        What it says of a person is blank: values as files have them, a wrong date or a sex of a word, would
        end in an error that quotes them. `landed` puts them in place, as bytes.
        """
        blank = Dataset()
        for keyword in (
            *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
            *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
        ):
            setattr(blank, keyword, "")
        for keyword in _REQUIRED:
            setattr(blank, keyword, self.uid(keyword))
        blank.SamplesPerPixel = 1
        blank.Modality = "CR"  # it is asked for what no result may refer to, and written nowhere
        for tag in self.dataset.keys():  # noqa: SIM118  # iterating a dataset decodes every element
            if BaseTag(tag).group == _PIXELS_GROUP:
                blank[tag] = self.dataset[tag]
        for keyword in ("PresentationLUTShape", *more):
            if self.dataset.get(keyword):
                setattr(blank, keyword, self.dataset.get(keyword))
        if not _is_window(blank):
            for keyword in ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"):
                blank.pop(keyword, None)
        return blank

    def aspect(self) -> list[int] | None:
        """Return a pixel's height and width as whole numbers; None for a square, or where nothing says it."""
        for keyword in (*SPACINGS, "PixelAspectRatio"):
            try:
                down, across = (float(distance) for distance in self.dataset.get(keyword) or ())
            except (TypeError, ValueError):
                continue
            if down > 0 and across > 0:
                ratio = Fraction(down / across).limit_denominator(1000)
                return None if ratio == 1 else [ratio.numerator, ratio.denominator]
        return None

    def landed(self, result: Dataset) -> Dataset:
        """Give a result the film's patient, study and character set, with the bytes that the file has."""
        for tag in _KEPT:
            if tag in self.dataset:
                result[tag] = self.element(tag)
        return result

    def element(self, tag: BaseTag) -> DataElement | RawDataElement:
        """Return an element as it can be written: a text with the file's own bytes."""
        raw = self.dataset.get_item(tag)
        kind = dictionary_VR(tag)
        if not isinstance(raw, RawDataElement) or kind not in _TEXTS:
            return self.dataset[tag]
        value = raw.value or b""
        if len(value) % 2:
            value += b"\0" if kind == "UI" else b" "
        return RawDataElement(tag, kind, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)


def _is_window(dataset: Dataset) -> bool:
    """Return whether each of its windows has a width that a viewer can apply."""
    try:
        centers, widths = (
            [float(value) for value in (found if isinstance(found, Sequence) else [found])]
            for found in (dataset.get("WindowCenter"), dataset.get("WindowWidth"))
        )
    except (TypeError, ValueError):
        return False
    return len(centers) == len(widths) and min(widths) >= 1


def film_of(content: bytes, max_pixels: int) -> Film | None:
    """Read a file's elements; None where it is no DICOM file.

    Raises ImageUnusableError for one that is damaged, or that names no study.
    """
    if not dicom.matches(content):
        return None
    try:
        dataset = read_header(content, max_pixels).dataset
        named = all(dataset.get(keyword) for keyword in _REQUIRED)
    except ImageUnusableError:
        raise
    except Exception:  # noqa: BLE001  # damage makes parsers raise anything; pydicom's texts quote the file
        raise ImageUnusableError(Reason.DAMAGED, "its DICOM header cannot be read") from None
    if not named:
        raise ImageUnusableError(
            Reason.WRONG_FORMAT, f"lacks one of {', '.join(_REQUIRED)}, which results refer to"
        )
    dataset.buffer = None  # else it keeps the whole file, pixels and all
    return Film(dataset)
