"""Structured reports: all findings of an image with probability and threshold (PS3.16, TID 1500)."""

from collections.abc import Iterator

import numpy as np
from highdicom import sr
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes

from db.scored_images import Box, Score
from workers.outputs.dicom.codes import CHEST_IMAGING, PROBABILITY, THRESHOLD, finding_code, plain_letters
from workers.outputs.dicom.identity import MANUFACTURER, Identity

_Group = sr.PlanarROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations


def reports(identity: Identity, _: object) -> Iterator[tuple[None, Dataset]]:
    """Yield the report of an image: Comprehensive 3D SR, complete, preliminary and unverified."""
    evidence = identity.film.stand_in()
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(
                observer_type=codes.DCM.Device,
                observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                    uid=identity.device_uid(),
                    name=identity.origin.model,
                    manufacturer_name=MANUFACTURER,
                    model_name=identity.origin.model,
                    serial_number=identity.origin.sha256,
                ),
            )
        ),
        procedure_reported=CHEST_IMAGING,
        imaging_measurements=[_group(identity, evidence, score) for score in identity.image.scores],
        title=codes.DCM.ImagingMeasurementReport,
    )
    report = sr.Comprehensive3DSR(
        evidence=[evidence],
        content=content[0],
        sop_instance_uid=identity.uid(),
        instance_number=identity.image.row,
        is_complete=True,
        is_final=False,
        is_verified=False,
        **identity.series,
    )
    yield None, report


def _group(identity: Identity, evidence: Dataset, score: Score) -> _Group:
    """Return a finding's numbers, with its region where it is over its threshold and has one."""
    tracking = sr.TrackingIdentifier(identity.uid("finding", score.finding), plain_letters(score.finding))
    finding = finding_code(score.finding)
    algorithm = sr.AlgorithmIdentification(identity.origin.model, identity.origin.sha256)
    measurements = [
        sr.Measurement(PROBABILITY, score.probability, codes.UCUM.NoUnits),
        sr.Measurement(THRESHOLD, score.threshold, codes.UCUM.NoUnits),
    ]
    if not score.flagged or score.box is None:
        return sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_type=finding,
            algorithm_id=algorithm,
            measurements=measurements,
            source_images=[sr.SourceImageForMeasurementGroup.from_source_image(evidence)],
        )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_type=finding,
        algorithm_id=algorithm,
        measurements=measurements,
        referenced_region=sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=corners(score.box),
            source_image=sr.SourceImageForRegion.from_source_image(evidence),
        ),
    )


def corners(box: Box) -> NDArray[np.float64]:
    """Return a box as a closed line, (5, 2): columns and rows, from the outer corner of the first pixel."""
    left, top = float(box.x), float(box.y)
    right, bottom = left + box.width, top + box.height
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
