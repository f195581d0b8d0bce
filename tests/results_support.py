"""Films whose results tests make, each of whose elements is as the standard wants it, and their scores."""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import film_of
from pydicom.uid import ExplicitVRLittleEndian

from config.cards.model import SHIPPED, read_model
from config.content import Content
from config.films import Recipe
from config.findings import FINDINGS
from db.classifications import Classification
from db.outcomes import Outcome
from db.scored_images import Box, Maps, RunOrigin, Score, ScoredImage
from jobs.sources.folder import FolderSource

SCORED_AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

COMPLETE: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "StudyInstanceUID": "1.2.826.0.1.3680043.2.1125.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.2.1125.2",
    "SOPInstanceUID": "1.2.826.0.1.3680043.2.1125.3",
    "PatientName": "Mü\xdfig^Zoë",
    "PatientID": "MRN-0007",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientBirthDate": "19480229",
    "PatientSex": "F",
    "PatientAge": "077Y",
    "StudyDate": "20251224",
    "StudyTime": "235901.5",
    "AccessionNumber": "ACC-0815",
    "StudyID": "S1",
    "StudyDescription": "Thorax p.a.",
    "ReferringPhysicianName": "Weiß^Änne",
    "SeriesNumber": 1,
    "InstanceNumber": 1,
    "Manufacturer": "Maker",
    "PatientOrientation": ["L", "F"],
    "BurnedInAnnotation": "NO",
    "ImageType": ["ORIGINAL", "PRIMARY"],
    "AcquisitionDate": "20251224",
    "AcquisitionTime": "235901",
    "ContentDate": "20251224",
    "ContentTime": "235901",
    "PixelSpacing": [0.2, 0.2],
    "Rows": 64,
    "Columns": 64,
    "WindowCenter": 128,
    "WindowWidth": 255,
}


class Shelf(FolderSource):
    """A source of one film, whatever it is called."""

    def __init__(self, content: bytes) -> None:
        super().__init__("/nowhere")
        self._content = content

    def read(self, _name: str, _max_bytes: int) -> Content:
        return Content(self._content, "1")


def complete_film(syntax: Any = ExplicitVRLittleEndian, /, **attributes: Any) -> bytes:
    """A film that lacks nothing, of grey noise."""
    pixels = np.random.default_rng(7).integers(0, 256, (64, 64), dtype=np.uint8)
    return film_of(syntax, **(COMPLETE | {"PixelData": pixels.tobytes()} | attributes))


def origin(run_id: int = 7, recipe: Recipe = "window") -> RunOrigin:
    """A run of the demo's model that no database has."""
    card = read_model(SHIPPED / "demo").card
    fields = card.model_dump()
    fields["pixels"]["greyscale"] = recipe
    return RunOrigin(
        run_id,
        datetime(2026, 1, 1, tzinfo=UTC),
        "/archive",
        None,
        1,
        "positive",
        "0.1.0",
        card.name,
        card.sha256,
        card.fingerprint,
        fields,
    )


def scored(name: str = "IM1", *, flagged: Sequence[int] = (2, 7), boxless: Sequence[int] = ()) -> ScoredImage:
    """An image with a number of its own for each finding, those in `flagged` over their thresholds."""
    digest = hashlib.shake_128(name.encode()).digest(2 * len(FINDINGS))
    values = np.frombuffer(digest, dtype="<u2").astype(np.float32) / 131072  # below a half
    scores = tuple(
        Score(
            finding,
            number,
            float(values[number] + np.float32(0.5 if number in flagged else 0.0)),
            0.5,
            None if number in boxless else Box(number, 2 * number, 10 + number, 20),
        )
        for number, finding in enumerate(FINDINGS)
    )
    maps = np.random.default_rng(1).random((10, 10, len(FINDINGS))).astype("<f2")
    return ScoredImage(1, name, 3, SCORED_AT, 64, 64, Maps(maps.tobytes(), 10, 10), scores)


def without_maps(image: ScoredImage) -> ScoredImage:
    """The same in a run without maps."""
    return replace(image, maps=None, scores=tuple(replace(score, box=None) for score in image.scores))


def small(outcome: Outcome) -> Outcome:
    """A stub's outcome as of a film of 64 x 64."""
    assert isinstance(outcome, Classification)
    scores = tuple(replace(score, peak=(32, 32), box=(16, 8, 32, 40)) for score in outcome.scores)
    return replace(outcome, width=64, height=64, scores=scores)


def validator_errors(path: Path) -> list[str]:
    """What dciodvfy calls an error; the test is skipped where it is not installed."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not there: apt-get install dicom3tools")
    done = subprocess.run([program, path], capture_output=True, text=True, check=False, errors="replace")
    return [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")]
