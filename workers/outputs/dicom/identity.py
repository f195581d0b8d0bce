"""What makes a result one object: UIDs, numbers, times and maker follow from run, image and model."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone
from typing import Final, TypedDict

from pydicom import Dataset

from db.scored_images import RunOrigin, ScoredImage
from jobs.kinds.objects import ObjectKind
from workers.outputs.dicom.codes import LONG_STRING, plain_letters
from workers.outputs.dicom.film import Film

MANUFACTURER: Final = "Nightread"
LABEL: Final = "AI, research only"
"""Is in the description of every series, and on every picture."""

SERIES_NUMBERS: Final[Mapping[ObjectKind, int]] = {
    "dicom-sr": 901,
    "dicom-sc": 902,
    "dicom-gsps": 903,
    "dicom-seg": 904,
}
"""Behind those that devices give."""

_NAMESPACE: Final = uuid.UUID("7b0a4f0e-6f2c-5d53-9f6b-2f1f6f6f1d11")
_OFFSET: Final = re.compile(r"([+-])(\d\d)(\d\d)")


class Series(TypedDict):
    """What highdicom's classes take for series and equipment."""

    series_instance_uid: str
    series_number: int
    series_description: str
    manufacturer: str
    manufacturer_model_name: str
    software_versions: str
    device_serial_number: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of the objects of one kind that are made of one image in a run.

    `film`: of a series its first slice.
    """

    kind: ObjectKind
    origin: RunOrigin
    image: ScoredImage
    film: Film

    def uid(self, *parts: object) -> str:
        """Return a UID that follows from run, image and model, and from what it is of (PS3.5 B.2).

        A run is known by its time as well as by its number, which another database gives, too.
        """
        return self._uid(self.image.name, self.film.uid("SOPInstanceUID"), *parts)

    def series_uid(self) -> str:
        """Return the UID of the series: one per study and kind."""
        return self._uid("series", self.film.uid("StudyInstanceUID"))

    def device_uid(self) -> str:
        """Return the UID of the model as an observer: the same in all runs."""
        return _uid_of("model", self.origin.card_sha256)

    def _uid(self, *parts: object) -> str:
        origin = self.origin
        return _uid_of(self.kind, origin.run_id, origin.created_at.isoformat(), origin.card_sha256, *parts)

    @property
    def series(self) -> Series:
        """The series that these objects are in."""
        return {
            "series_instance_uid": self.series_uid(),
            "series_number": SERIES_NUMBERS[self.kind],
            "series_description": f"{LABEL}: {self.origin.model}"[:LONG_STRING],
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.origin.model,
            "software_versions": self.origin.version,
            "device_serial_number": self.origin.sha256,
        }

    def settled(self, result: Dataset) -> Dataset:
        """Give a result its film's patient and study, and the score's time in place of its making's."""
        moment = self.image.scored_at.astimezone(_zone(self.film))
        date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
        result.InstanceCreationDate, result.InstanceCreationTime = date, time
        for keyword in ("ContentDate", "DateOfSecondaryCapture", "PresentationCreationDate"):
            if keyword in result:
                setattr(result, keyword, date)
                setattr(result, keyword.replace("Date", "Time"), time)
        # It is highdicom's own line, with the time of its making.
        result.pop("ContributingEquipmentSequence", None)
        return self.film.landed(result)


def _uid_of(*parts: object) -> str:
    name = "\0".join(map(str, parts))
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def _zone(film: Film) -> timezone:
    """Return the time zone of a film's times: UTC where it names none."""
    said = _OFFSET.fullmatch(str(film.dataset.get("TimezoneOffsetFromUTC", "")))
    if said is None:
        return UTC
    offset = timedelta(hours=int(said[2]), minutes=int(said[3]))
    return timezone(-offset if said[1] == "-" else offset)


def finding_text(finding: str, probability: float) -> str:
    """Return a finding as pictures show it, in letters that every character set has."""
    return f"{plain_letters(finding).replace('_', ' ')} {probability:.2f}"
