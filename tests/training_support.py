"""What the tests of training share: splits, plans and pictures drawn for them, and the course's loss."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from config.cards.classification import Preprocessing
from config.findings import FINDINGS
from config.settings import Settings
from jobs.sources.folder import FolderSource
from workers.archive import picture_reader, prepared_reader
from workers.inference.formats.picture import Picture
from workers.training.plan import Plan, ReadPrepared
from workers.training.splits import Overlap, Split

LIMIT = 64_000_000


def pictures_of(folder: Path) -> Callable[[str], Picture]:
    """The function from a name in a folder to its picture."""
    return picture_reader(FolderSource(folder), LIMIT, "window")


def reader(folder: Path, shape: Preprocessing | None = None) -> ReadPrepared:
    """The function from a name in a folder to its picture, prepared."""
    return prepared_reader(FolderSource(folder), shape or pixels(), Settings())


def pixels(size: int = 32, channels: int = 1, **fields: Any) -> Preprocessing:
    plain = {"resize": "bilinear", "factor": 1.0, "mean": (0.0,) * channels, "std": (1.0,) * channels}
    return Preprocessing.model_validate({"size": size, "channels": channels} | plain | fields)


def split_of(
    labels: Any, *, names: tuple[str, ...] | None = None, patients: tuple[str | None, ...] | None = None
) -> Split:
    array = np.asarray(labels, dtype=np.int8)
    images = len(array)
    return Split(
        manifest=Path("drawn.csv"),
        sha256="a" * 64,
        findings=FINDINGS[: array.shape[1]],
        names=names or tuple(f"{number}.png" for number in range(images)),
        labels=array,
        patients=patients or tuple(str(number) for number in range(images)),
    )


def course_loss(labels: NDArray[np.int8], logits: NDArray[np.float32], share: NDArray[np.float64]) -> float:
    """State the course's formula in its own terms; an unknown label is a term of 0."""
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    total = 0.0
    for column in range(labels.shape[1]):
        y, q = labels[:, column], p[:, column]
        w_positive, w_negative = 1 - share[column], share[column]
        terms = np.where(y == 1, -w_positive * np.log(q), -w_negative * np.log(1 - q))
        total += float(np.mean(np.where(y == -1, 0.0, terms)))
    return total


def drawn_batch(kinds: tuple[int, ...]) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(3)
    labels = rng.choice(kinds, (40, 5)).astype(np.int8)
    return labels, rng.normal(0, 3, (40, 5)).astype(np.float32), rng.uniform(0.01, 0.6, 5)


def drawn_pictures(count: int, *shape: int) -> list[Picture]:
    rng = np.random.default_rng(8)
    return [Picture(rng.integers(0, 60 + 15 * number, shape, dtype=np.uint8)) for number in range(count)]


def write_pictures(folder: Path) -> Path:
    """Write twelve noisy pictures, every third of the input's size, every third in colour."""
    folder.mkdir()
    for number, shape in enumerate([(32, 32), (40, 56), (64, 48, 3)] * 4):
        values = drawn_pictures(number + 1, *shape)[-1].values
        Image.fromarray(values).save(folder / f"{number}.png")
    return folder


SCALED: dict[str, Any] = {"mean": (90.0,), "std": (40.0,)}


def plan_of(folder: Path, **fields: Any) -> Plan:
    split = split_of([[0, 1], [1, 0]])
    plain = Plan(
        "mine",
        split,
        replace(split, sha256="b" * 64),
        Overlap(0, 0, known=True),
        str(folder),
        str(folder),
        reader(folder),
        reader(folder),
        pixels(),
    )
    return replace(plain, **fields)


def figures(val_auroc: float) -> dict[str, float]:
    return {"loss": 1.0, "val_loss": 1.1, "val_auroc": val_auroc, "next_learning_rate": 1e-3}
