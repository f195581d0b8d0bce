"""Makes archives of phantoms: drawn chest radiographs with known findings, laid out as ChestX-ray14 is.

They stand in for patients wherever none may be used: the demo, the benchmarks, end-to-end tests, and the
training of the demo's network. `plan_archive` decides who has what, `draw` draws a picture of it,
`write_archive` writes pictures, manifest and boxes. They show that the machinery works, and nothing about
how well a network reads real films.
"""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from pkgutil import resolve_name
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from config.files import write_whole
from config.findings import FINDINGS
from jobs.phantoms.anatomy import SIDE, SPACING_MM, Chest, build_chest
from jobs.phantoms.film import Film, develop, paint_body, paint_chest
from jobs.phantoms.places import signs_of
from jobs.phantoms.signs import paint_signs

NIH_PREVALENCE: Final[dict[str, float]] = {
    "Atelectasis": 0.10309,
    "Cardiomegaly": 0.02476,
    "Effusion": 0.11877,
    "Infiltration": 0.17743,
    "Mass": 0.05157,
    "Nodule": 0.05647,
    "Pneumonia": 0.01276,
    "Pneumothorax": 0.04729,
    "Consolidation": 0.04163,
    "Edema": 0.02054,
    "Emphysema": 0.02244,
    "Fibrosis": 0.01504,
    "Pleural_Thickening": 0.03019,
    "Hernia": 0.00202,
}
"""Share of images with each finding, counted in the 112 120 rows of Data_Entry_2017_v2020.csv."""

AP_SHARE: Final = 0.400
MALE_SHARE: Final = 0.565
"""Both counted in the same rows. View and sex are independent of the findings, so as not to reveal them."""

_AGE: Final = (46.6, 16.6)
"""Mean and standard deviation in years, from the same rows."""

_CHRONIC: Final = ("Cardiomegaly", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia", "Mass", "Nodule")
_CHRONIC_PERSISTENCE: Final = 0.8
_ACUTE_PERSISTENCE: Final = 0.3
"""Chance that a follow-up keeps a finding's state rather than drawing it again."""

_FIRST_EVALUABLE: Final = 2 * len(FINDINGS)
_MOST_FOLLOW_UPS: Final = 9
_COMPRESSION: Final = 1
"""Grain does not compress: level 6 takes three times as long to save 4%."""

_MANIFEST_HEADER: Final = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
"""As NIH has it; its commas in brackets split like all others, so rows have eleven fields."""
_BOXES_HEADER: Final = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


@dataclass(frozen=True, slots=True)
class Box:
    """Where a finding's sign is, in pixels of the picture; a finding of both lungs has a box in each."""

    finding: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Phantom:
    """One picture of an archive, before it is drawn."""

    image_index: str
    """The file's name, as NIH's: patient (8 digits), follow-up (3 digits)."""
    patient_id: int
    follow_up: int
    sex: str
    """`F` or `M`."""
    age_years: int
    view_position: str
    """`PA` or `AP`."""
    findings: tuple[str, ...]
    """In the order of FINDINGS; empty is No Finding."""
    boxes: tuple[Box, ...]
    seed: int
    """The archive's; with patient and follow-up it gives the picture its own streams."""


def plan_archive(
    n_images: int,
    seed: int = 0,
    *,
    prevalence: Mapping[str, float] | None = None,
    ending: Literal["png", "dcm"] = "png",
) -> list[Phantom]:
    """Return the plan of an archive of `n_images` pictures, by patient and follow-up.

    Findings are independent of each other and of sex, age and view, so that no network can read them off
    anything but their signs. `prevalence` replaces NIH's share (0..1) of the findings it names. `ending`: of
    the files' names, by which they are written as PNG or as DICOM. From 28 images on every finding occurs in
    at least two images and is absent from at least two, whatever its prevalence, so that each has an AUROC.
    Raises ValueError for a negative number, an unknown finding or a share outside 0..1.
    """
    if n_images < 0 or seed < 0:
        raise ValueError(f"n_images and seed must not be negative, got {n_images} and {seed}")
    shares = _shares(prevalence or {})
    plan: list[Phantom] = []
    present = np.zeros((n_images, len(FINDINGS)), bool)
    patient = 0
    while len(plan) < n_images:
        patient += 1
        rng = np.random.default_rng([seed, patient])
        visits = min(int(rng.geometric(0.45)), _MOST_FOLLOW_UPS, n_images - len(plan))
        present[len(plan) : len(plan) + visits] = _course(rng, visits, shares)
        plan += _visits(rng, visits, patient, seed, ending)
    if n_images >= _FIRST_EVALUABLE:
        _make_evaluable(present, np.random.default_rng([seed, 0]))
    return [_with_findings(phantom, row) for phantom, row in zip(plan, present, strict=True)]


def _shares(prevalence: Mapping[str, float]) -> NDArray[np.float64]:
    for name, share in prevalence.items():
        if name not in NIH_PREVALENCE:
            raise ValueError(f"{name!r} is not one of the 14 findings")
        if not 0 <= share <= 1:
            raise ValueError(f"the prevalence of {name} must lie between 0 and 1, got {share}")
    return np.array([prevalence.get(name, NIH_PREVALENCE[name]) for name in FINDINGS])


def _course(rng: np.random.Generator, visits: int, shares: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which findings (visits, 14) a patient has; every visit's expectation is the prevalence."""
    keep = np.array([_CHRONIC_PERSISTENCE if name in _CHRONIC else _ACUTE_PERSISTENCE for name in FINDINGS])
    fresh = rng.uniform(size=(visits, len(FINDINGS))) < shares
    kept = rng.uniform(size=(visits, len(FINDINGS))) < keep
    for visit in range(1, visits):
        fresh[visit] = np.where(kept[visit], fresh[visit - 1], fresh[visit])
    return fresh


def _visits(rng: np.random.Generator, visits: int, patient: int, seed: int, ending: str) -> list[Phantom]:
    """Return a patient's pictures, the findings still to come."""
    sex = "M" if rng.uniform() < MALE_SHARE else "F"
    ages = int(np.clip(rng.normal(*_AGE), 18, 88)) + np.cumsum(np.r_[0, rng.integers(0, 2, visits - 1)])
    views = np.where(rng.uniform(size=visits) < AP_SHARE, "AP", "PA")
    return [
        Phantom(
            image_index=f"{patient:08d}_{follow_up:03d}.{ending}",
            patient_id=patient,
            follow_up=follow_up,
            sex=sex,
            age_years=int(ages[follow_up]),
            view_position=str(views[follow_up]),
            findings=(),
            boxes=(),
            seed=seed,
        )
        for follow_up in range(visits)
    ]


def _make_evaluable(present: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Return every finding two images that have it and two that do not, in place.

    The images with the fewest findings take what is missing, so that rare signs are not buried under others.
    """
    for column in range(present.shape[1]):
        for state in (True, False):
            lacking = 2 - int((present[:, column] == state).sum())
            if lacking <= 0:
                continue
            candidates = np.flatnonzero(present[:, column] != state)
            crowding = present[candidates].sum(axis=1) + rng.uniform(size=len(candidates))
            present[candidates[np.argsort(crowding)[:lacking]], column] = state


def _with_findings(phantom: Phantom, row: NDArray[np.bool_]) -> Phantom:
    """Return the phantom with its findings, and with the boxes that its geometry gives them."""
    findings = tuple(name for name, has in zip(FINDINGS, row, strict=True) if has)
    found = replace(phantom, findings=findings)
    boxes = tuple(Box(sign.finding, *box) for sign in signs_of(_chest(found)) for box in sign.boxes())
    return replace(found, boxes=boxes)


def _chest(phantom: Phantom) -> Chest:
    return build_chest(
        seed=phantom.seed,
        patient_id=phantom.patient_id,
        follow_up=phantom.follow_up,
        sex=phantom.sex,
        age_years=phantom.age_years,
        view_position=phantom.view_position,
        findings=phantom.findings,
    )


def draw(phantom: Phantom) -> NDArray[np.uint8]:
    """Return the picture (1024, 1024) uint8 of a phantom; the same phantom gives the same bytes."""
    film = Film(_chest(phantom))
    paint_chest(film)
    paint_signs(film)
    paint_body(film)
    return develop(film)


def write_archive(
    folder: Path,
    phantoms: Sequence[Phantom],
    *,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write `folder/images/*`, `folder/boxes.csv` and `folder/manifest.csv`; return the manifest's path.

    Files appear whole or not at all, and the manifest last, so an archive that has one is complete.
    `threads` defaults to the processors, at most four; `progress` is called in this thread with the number
    of pictures finished so far. Raises OSError where the folder cannot be written.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    workers = threads or min(os.cpu_count() or 1, 4)
    with ThreadPoolExecutor(workers, thread_name_prefix="phantom") as pool:
        jobs = [pool.submit(_write_picture, images, phantom) for phantom in phantoms]
        try:
            for finished, job in enumerate(as_completed(jobs), start=1):
                job.result()
                if progress is not None:
                    progress(finished)
        except BaseException:
            # After a full disk or Ctrl-C, the rest of a long archive must not be waited for.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    write_whole(folder / "boxes.csv", _table(_BOXES_HEADER, _box_rows(phantoms)))
    manifest = folder / "manifest.csv"
    write_whole(manifest, _table(_MANIFEST_HEADER, _manifest_rows(phantoms)))
    return manifest


def _write_picture(images: Path, phantom: Phantom) -> None:
    encode = _as_dicom if phantom.image_index.endswith(".dcm") else _as_png
    write_whole(images / phantom.image_index, encode(phantom))


def _as_png(phantom: Phantom) -> bytes:
    _, encoded = cv2.imencode(".png", draw(phantom), [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
    return encoded.tobytes()


def _as_dicom(phantom: Phantom) -> bytes:
    # By name: pydicom is loaded with it, for which an archive of PNGs does not wait.
    content: bytes = resolve_name("jobs.phantoms.dicom:film_of")(
        draw(phantom),
        patient_id=phantom.patient_id,
        follow_up=phantom.follow_up,
        sex=phantom.sex,
        age_years=phantom.age_years,
        view=phantom.view_position,
    )
    return content


def _table(header: str, rows: list[tuple[str | int | float, ...]]) -> bytes:
    text = StringIO()
    text.write(header + "\n")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _manifest_rows(phantoms: Sequence[Phantom]) -> list[tuple[str | int | float, ...]]:
    return [
        (
            phantom.image_index,
            "|".join(phantom.findings) or "No Finding",
            phantom.follow_up,
            phantom.patient_id,
            phantom.age_years,
            phantom.sex,
            phantom.view_position,
            *(SIDE, SIDE, SPACING_MM, SPACING_MM),
        )
        for phantom in phantoms
    ]


def _box_rows(phantoms: Sequence[Phantom]) -> list[tuple[str | int | float, ...]]:
    return [
        (phantom.image_index, box.finding, box.x, box.y, box.width, box.height)
        for phantom in phantoms
        for box in phantom.boxes
    ]
