"""Readers of a run's images: whose labels count together."""

import numpy as np

from db.agreement import AgreementRow
from db.manifests import ManifestRow
from workers.evaluation.agreement import agreements

IMAGES = [f"{number:03d}.png" for number in range(90)]


def measured(patients: list[str | None]) -> list[AgreementRow]:
    """Measure three readers of these patients' images, alike on the three images of each third."""
    rng = np.random.default_rng(5)
    votes = np.repeat(rng.random((30, 1)) < 0.5, 3, axis=1) ^ (rng.random((30, 3)) < 0.2)
    readers = {
        name: [
            ManifestRow(image, patient, labels="01"[int(vote)])
            for image, patient, vote in zip(IMAGES, patients, np.repeat(votes[:, reader], 3), strict=True)
        ]
        for reader, name in enumerate(("R1", "R2", "R3"))
    }
    return list(agreements(readers, ["Mass"], IMAGES))


def test_the_images_of_a_patient_count_together_and_those_of_unknown_patients_alone() -> None:
    alone = measured([None] * 90)
    together = measured([f"p{number // 3}" for number in range(90)])
    assert [row.statistic for row in together] == ["fleiss", *["cohen"] * 3]
    for one, other in zip(alone, together, strict=True):
        assert one.kappa == other.kappa
        assert None not in {one.ci_low, one.ci_high, other.ci_low, other.ci_high}
        assert (other.ci_high or 0) - (other.ci_low or 0) > 1.3 * ((one.ci_high or 0) - (one.ci_low or 0))
