"""The two splits of a training: images with their labels, and whether patients are in both."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Split:
    """A manifest's images: names, labels (N, findings) int8 of 1, 0 or -1 (unknown), patients."""

    manifest: Path
    sha256: str
    findings: tuple[str, ...]
    names: tuple[str, ...]
    labels: NDArray[np.int8]
    patients: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.names)

    def only(self, findings: tuple[str, ...]) -> "Split":
        """Return the split with these findings in this order; ConfigError names a finding without labels."""
        missing = [name for name in findings if name not in self.findings]
        if missing:
            raise ConfigError(f"{self.manifest} has no labels for {', '.join(missing)}")
        columns = [self.findings.index(name) for name in findings]
        return Split(self.manifest, self.sha256, findings, self.names, self.labels[:, columns], self.patients)


class LabelledRow(Protocol):
    """A row of a manifest, as far as a training needs it; `labels` has one character per finding."""

    @property
    def image_index(self) -> str:
        """The image's name."""

    @property
    def patient_id(self) -> str | None:
        """Who is in the image, None where the manifest does not say."""

    @property
    def labels(self) -> str:
        """`1`, `0` or `-` (unknown) per finding."""


class LabelledTable(Protocol):
    """A manifest with labels."""

    path: Path
    findings: tuple[str, ...]

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file and of how it is read."""

    def __iter__(self) -> Iterator[LabelledRow]:
        """Stream the rows."""


def read_split(manifest: LabelledTable) -> Split:
    """Read a whole manifest; raises the manifest's errors, and ConfigError for one without labels."""
    if not manifest.findings:
        raise ConfigError(
            f"{manifest.path} has no labels to learn from; name their columns with --finding-column"
        )
    rows = list(manifest)
    code = np.frombuffer("".join(row.labels for row in rows).encode("ascii"), dtype=np.uint8)
    labels = np.full(code.shape, -1, dtype=np.int8)
    labels[code == ord("0")], labels[code == ord("1")] = 0, 1
    return Split(
        manifest.path,
        manifest.fingerprint(),
        manifest.findings,
        tuple(row.image_index for row in rows),
        labels.reshape(len(rows), len(manifest.findings)),
        tuple(row.patient_id for row in rows),
    )


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two splits share. `known` is False where a manifest does not name all its patients."""

    patients: int
    images: int
    known: bool

    @property
    def leaks(self) -> bool:
        """Whether validation figures would be flattered."""
        return bool(self.patients or self.images)


class Patients(Protocol):
    """A split of images of any kind: their names, and whose they are."""

    @property
    def names(self) -> tuple[str, ...]:
        """The images."""

    @property
    def patients(self) -> tuple[str | None, ...]:
        """Who is in them, None where the manifest does not say."""


def overlap(train: Patients, valid: Patients) -> Overlap:
    """Count the patients that are in both splits, and the images of the validation split that are theirs."""
    shared = (set(train.patients) & set(valid.patients)) - {None}
    same = set(train.names)
    images = sum(
        patient in shared or name in same for patient, name in zip(valid.patients, valid.names, strict=True)
    )
    return Overlap(len(shared), images, None not in {*train.patients, *valid.patients})


def class_frequencies(split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each finding's share of positive and of negative images among those whose label is known.

    ConfigError names a finding that has only one class: nothing can be learned about it.
    """
    known = (split.labels >= 0).sum(axis=0)
    positive = (split.labels == 1).sum(axis=0)
    poor = [
        name
        for name, images, ill in zip(split.findings, known, positive, strict=True)
        if not 0 < ill < images
    ]
    if poor:
        raise ConfigError(
            f"{split.manifest}: {', '.join(poor)}: all known labels are alike; a finding needs "
            "images with it and without it, or leave it out with --findings"
        )
    return positive / known, 1 - positive / known
