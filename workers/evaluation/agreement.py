"""How far the readers of a file of labels agree on a run's images, finding by finding."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from itertools import combinations

import numpy as np

from db.agreement import AgreementRow
from db.manifests import ManifestRow
from workers.metrics.agreement import Kappa, cohen_kappa, fleiss_kappa


def agreements(
    readers: Mapping[str, Collection[ManifestRow]], findings: Collection[str], images: Collection[str]
) -> Iterator[AgreementRow]:
    """Measure the agreement of readers, each with rows whose labels are of these findings, on these images.

    For each finding: Fleiss' kappa of all images that as many readers have read as most, and Cohen's of each
    pair of readers with an image in common.
    """
    places = {name: place for place, name in enumerate(images)}
    patients: dict[int, str] = {}
    labels = np.full((len(readers), len(places), len(findings)), "-")
    for reader, rows in enumerate(readers.values()):
        for row in rows:
            if row.image_index in places:
                labels[reader, places[row.image_index]] = list(row.labels)
                if row.patient_id is not None:
                    patients[places[row.image_index]] = row.patient_id
    # An image whose patient is not known is one of its own; its place is no patient's name, which is a text.
    keys = [patients.get(place, place) for place in places.values()]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    patient = np.array([numbers[key] for key in keys], dtype=np.int64)
    names = [*readers]
    for place, finding in enumerate(findings):
        given = labels[:, :, place]
        read, positive = given != "-", given == "1"
        counts = read.sum(axis=0)
        usual = int(np.bincount(counts[counts > 1]).argmax()) if (counts > 1).any() else 0
        alike = counts == usual
        found = (
            fleiss_kappa(positive[:, alike].sum(axis=0), usual, patient[alike])
            if usual
            else fleiss_kappa(counts[:0], 0)
        )
        yield _row(finding, "fleiss", (None, None), usual, found)
        for first, second in combinations(range(len(names)), 2):
            both = read[first] & read[second]
            if both.any():
                found = cohen_kappa(positive[first, both], positive[second, both], patient[both])
                yield _row(finding, "cohen", (names[first], names[second]), 2, found)


def _row(
    finding: str, statistic: str, pair: tuple[str | None, str | None], readers: int, found: Kappa
) -> AgreementRow:
    return AgreementRow(finding, statistic, *pair, readers=readers, **asdict(found))
