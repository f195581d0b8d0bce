"""From a run's stored maps and the boxes in SQL to how well each finding's maps point at them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np

from config.cards.classification import Preprocessing
from db.boxes import BoxedFinding, Edges, ImageMaps, boxed_findings, boxed_maps, boxes_of
from db.database import Database, Record
from db.queries import model_card
from workers.inference.region import visible_region
from workers.metrics.localisation import Localisation, localise, summarise_localisations
from workers.metrics.patients import number_patients

_NOT_LISTED = "not in the run's manifest"


def localise_run(database: Database, run_id: int, box_set_id: int) -> list[Record]:
    """Judge a run's maps by a set of boxes: one row of localisation_result per finding with a box.

    Rows lack the evaluation's id. `reason` says why figures are None, or how many images with a box of the
    finding could not be judged, and why. Raises UnknownRunError.
    """
    card = model_card(database, run_id)
    # A stub's card says nothing about pixels: its maps cover the whole picture. Nor does the card of an
    # imported run, which has no maps.
    pixels = Preprocessing.model_validate(card["pixels"]) if "pixels" in card else None
    with database.read() as connection:
        findings = boxed_findings(connection, run_id, box_set_id)
        boxes = boxes_of(connection, box_set_id)
        judged: dict[int, list[tuple[str | None, Localisation]]] = {
            finding.finding_id: [] for finding in findings
        }
        for image in boxed_maps(connection, run_id, box_set_id):
            for finding in findings:
                drawn = boxes[image.image_index].get(finding.finding_id)
                if drawn and finding.channel is not None:
                    judgement = _judge(pixels, image, finding.channel, drawn)
                    judged[finding.finding_id].append((image.patient_id, judgement))
    return [
        _row(
            finding,
            sum(finding.finding_id in of_image for of_image in boxes.values()),
            judged[finding.finding_id],
        )
        for finding in findings
    ]


def _judge(pixels: Preprocessing | None, image: ImageMaps, channel: int, drawn: list[Edges]) -> Localisation:
    if image.width is None or image.height is None:
        return Localisation(None, None, "not scored")
    if image.maps is None or image.map_height is None or image.map_width is None:
        return Localisation(None, None, "without a stored map (imported, or --heatmaps none)")
    maps = np.frombuffer(image.maps, dtype="<f2").reshape(image.map_height, image.map_width, -1)
    seen = None if pixels is None else visible_region(pixels, image.width, image.height)
    return localise(maps[:, :, channel], np.array(drawn), image.width, image.height, seen=seen)


def _row(finding: BoxedFinding, images: int, judged: list[tuple[str | None, Localisation]]) -> Record:
    judgements = [judgement for _, judgement in judged]
    patients = number_patients(np.array([patient for patient, _ in judged], dtype=object))
    summary = asdict(summarise_localisations(judgements, patients.numbers))
    left_out = Counter(judgement.reason or "" for judgement in judgements if judgement.hit is None)
    left_out[_NOT_LISTED] = images - len(judged)
    reason = _reason(images, (+left_out).most_common())
    if finding.channel is None:
        reason = f"the model does not score {finding.name}"
    return {"finding_id": finding.finding_id, "images": summary.pop("n"), **summary, "reason": reason}


def _reason(images: int, left_out: Iterable[tuple[str, int]]) -> str | None:
    reasons = ", ".join(f"{count} {why}" for why, count in left_out)
    return f"of {images} images with a box: {reasons}" if reasons else None
