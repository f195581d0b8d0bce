"""How long `nightread browse` takes for a page of a large run; the run is synthetic.

Arguments: the number of images, and a folder that keeps the run (SQLite) or the URL of an empty PostgreSQL;
`--kind segmentation`: cases of volumes, with six segments each. Prints, for each kind of page, median and
longest of several requests and the mean of their processor time, which other programs change less; in
milliseconds, of the application alone, without a browser.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, insert
from werkzeug.test import Client

from config.findings import FINDINGS
from config.settings import Settings
from db.database import Database, bulk_insert
from db.schema.archives import archive, finding, image, manifest, manifest_finding, manifest_row
from db.schema.runs import batch, image_result, model, model_finding, run, score
from db.schema.segmentations import MEASURES, segment, volume_result
from db.upgrade import upgrade, version
from workers.browse.app import Browser

IMAGE_PAGES = {
    "first page": "",
    "finding": "?finding=Effusion",
    "finding, next page": "?finding=Effusion&after=0.5,56000",
    "finding and probability": "?finding=Hernia&at_least=0.9",
    "any finding, rare probability": "?at_least=0.9999999",
    "finding and label": "?finding=Hernia&label=1",
    "finding and label that nothing has": "?finding=Fibrosis&label=-",
    "label present": "?label=1",
    "label absent": "?label=0",
    "no label": "?label=-",
    "failed": "?failure=any",
    "failed, one reason": "?failure=truncated",
    "failed, reason that nothing has": "?failure=empty",
    "scored": "?failure=none",
    "image": "image/{half}",
    "image in a filter": "image/{half}?finding=Hernia&label=1",
}

CASE_PAGES = {
    "first page": "",
    "class": "?finding=edema",
    "lowest Dice of any": "?order=dice",
    "lowest Dice of a class": "?finding=edema&order=dice",
    "the same, next page": "?finding=edema&order=dice&after=0.5,5000",
    "largest of any": "?order=ml",
    "largest of a region": "?finding=WT&order=ml",
    "at least so large": "?least_ml=90",
    "Dice below": "?finding=edema&dice_below=0.1",
    "with label, lowest Dice of any": "?label=with&order=dice",
    "without label": "?label=without",
    "failed": "?failure=any",
    "failed, reason that nothing has": "?failure=empty",
    "segmented": "?failure=none",
    "case": "case/{half}",
    "case in a list by Dice of any": "case/{half}?order=dice",
}

SEGMENTS: Final = {
    **dict.fromkeys(("edema", "non-enhancing", "enhancing"), "class"),
    **dict.fromkeys(("WT", "TC", "ET"), "region"),
}

FAILED: Final = 1e-3
PLACE: Final = (90, 80, 60, 130, 125, 95, 12.5, -20.25, 31.0)
"""First and last voxel, and the centroid in millimetres."""


def write_run(connection: Connection, kind: str, images: int, findings: Sequence[str]) -> dict[str, int]:
    """Write a complete run of a model and its manifest without rows; returns the findings' ids."""
    now = datetime.now(UTC)
    connection.execute(insert(archive).values(id=1, root="/nowhere"))
    known = {row.name: row.id for row in connection.execute(finding.select())}
    for name in findings:
        if name not in known:
            key = connection.execute(insert(finding).values(name=name)).inserted_primary_key
            known[name] = key[0] if key is not None else 0
    connection.execute(
        insert(manifest).values(
            id=1, archive_id=1, fingerprint="0", path="m.csv", rows=images, created_at=now
        )
    )
    card = f'{{"kind": "{kind}"}}'
    connection.execute(insert(model).values(id=1, name="m", sha256="0", card=card, card_sha256="0"))
    for place, name in enumerate(findings):
        of = {"finding_id": known[name], "position": place}
        connection.execute(insert(manifest_finding).values(manifest_id=1, **of))
        connection.execute(insert(model_finding).values(model_id=1, threshold=0.5, **of))
    connection.execute(
        insert(run).values(
            id=1,
            manifest_id=1,
            model_id=1,
            status="complete",
            images=images,
            batches=1,
            heatmaps="positive",
            version="0",
            created_at=now,
            finished_at=now,
        )
    )
    connection.execute(
        insert(batch).values(id=1, run_id=1, number=1, first_row=1, last_row=images, state="done")
    )
    return known


def write_rows(connection: Connection, names: Iterable[str], labels: Iterable[str]) -> None:
    """Write the manifest's rows, four images of each patient."""
    bulk_insert(
        connection,
        image,
        ("id", "archive_id", "image_index"),
        ((n, 1, name) for n, name in enumerate(names, start=1)),
    )
    bulk_insert(
        connection,
        manifest_row,
        (
            *("manifest_id", "row_number", "image_id", "patient_id"),
            *("view_position", "sex", "age_years", "labels"),
        ),
        ((1, n, n, str(n // 4), "PA", "F", 50.0, cell) for n, cell in enumerate(labels, start=1)),
    )


def write_outcomes(connection: Connection, failed: NDArray[np.bool_], **scored: object) -> None:
    """Write each image's outcome; `scored`: what those that did not fail have."""
    bulk_insert(
        connection,
        image_result,
        (*("run_id", "image_id", "batch_id", "status", "stage", "reason", "message"), *scored),
        (
            (1, n, 1, "failed", "read", "truncated", "ends early", *(None for _ in scored))
            if is_failed
            else (1, n, 1, "scored", None, None, None, *scored.values())
            for n, is_failed in enumerate(failed, start=1)
        ),
    )


def write_images(connection: Connection, images: int) -> None:
    """Write a run of radiographs: scores and maps of all images, one in a thousand failed."""
    random = np.random.default_rng(19)
    known = write_run(connection, "classification", images, FINDINGS)
    positive = random.random((images, len(FINDINGS))) < np.linspace(0.002, 0.18, len(FINDINGS))[::-1]
    names = (f"{n:08d}_000.png" for n in range(1, images + 1))
    write_rows(connection, names, ("".join(str(int(p)) for p in row) for row in positive))
    failed = random.random(images) < FAILED
    maps = random.bytes(10 * 10 * len(FINDINGS) * 2)
    write_outcomes(connection, failed, width=1024, height=1024, maps=maps, map_height=10, map_width=10)
    bulk_insert(
        connection,
        score,
        ("run_id", "image_id", "finding_id", "probability"),
        (
            (1, n, known[name], float(np.float32(probability)))
            for n in range(1, images + 1)
            if not failed[n - 1]
            for name, probability in zip(FINDINGS, random.beta(0.5, 4, len(FINDINGS)), strict=True)
        ),
    )


def write_cases(connection: Connection, cases: int) -> None:
    """Write a run of volumes: three classes and three regions, a tenth without a label."""
    random = np.random.default_rng(19)
    known = write_run(connection, "segmentation", cases, list(SEGMENTS))
    names = (f"case_{n:05d}/flair.nii.gz" for n in range(1, cases + 1))
    write_rows(connection, names, ("-" * len(SEGMENTS) for _ in range(cases)))
    failed, labelled = random.random(cases) < FAILED, random.random(cases) < 0.9
    write_outcomes(connection, failed, width=240, height=240)
    whole = [n for n in range(1, cases + 1) if not failed[n - 1]]
    bulk_insert(
        connection,
        volume_result,
        [column.name for column in volume_result.columns],
        (
            (1, n, 240, 240, 155, 1.0, 1.0, 1.0, bool(labelled[n - 1]), f"m{n}.nii.gz", f"p{n}.jpg")
            for n in whole
        ),
    )
    bulk_insert(
        connection,
        segment,
        (
            *("run_id", "image_id", "finding_id", "kind", "voxels", "components", "ml", "largest_ml"),
            *("box_x0", "box_y0", "box_z0", "box_x1", "box_y1", "box_z1"),
            *("centroid_x", "centroid_y", "centroid_z", "reference_voxels", *MEASURES, "reason"),
        ),
        (
            (1, n, known[name], kind, int(voxels), 3, voxels / 1000, voxels / 1200, *PLACE, *agreement)
            for n in whole
            for (name, kind), voxels, agreement in zip(
                SEGMENTS.items(),
                random.integers(0, 100_000, len(SEGMENTS)),
                (
                    (1000, *random.beta(8, 2, 4), *random.gamma(2, 3, 2), None)
                    if labelled[n - 1]
                    else (*(None,) * 7, "no_label")
                    for _ in SEGMENTS
                ),
                strict=True,
            )
        ),
    )


KINDS: Final = {
    "classification": (write_images, IMAGE_PAGES),
    "segmentation": (write_cases, CASE_PAGES),
}


def main(kind: str, images: int, settings: Settings) -> None:
    """Measure each kind of page."""
    write, pages = KINDS[kind]
    database = Database(settings.database)
    begun = time.perf_counter()
    if version(database) is None:
        upgrade(database)
        with database.write() as connection:
            write(connection, images)
        database.analyze()
        print(f"wrote a run of {images:,} images in {time.perf_counter() - begun:.0f} s", flush=True)
    database.dispose()
    begun = time.perf_counter()
    database = Database(settings.database)
    browser = Browser(database, settings, 1)
    browser.listens_at(80)
    client = Client(browser)
    for name, path in pages.items():
        taken: list[float] = []
        worked = time.process_time()
        for _ in range(7):
            taken.append(time.perf_counter() if taken else begun)
            answer = client.get(browser.path + path.format(half=images // 2), base_url="http://127.0.0.1:80")
            taken[-1] = 1e3 * (time.perf_counter() - taken[-1])
            if answer.status_code != 200:
                raise SystemExit(f"{name}: {answer.status} {answer.text}")
        worked = 1e3 * (time.process_time() - worked) / len(taken)
        figures = f"{statistics.median(taken):6.1f} | {max(taken):6.1f} | {worked:6.1f}"
        print(f"| {name:<36} | {figures} |", flush=True)
        begun = time.perf_counter()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="?", type=int, default=112_120)
    parser.add_argument("kept", nargs="?", default="")
    parser.add_argument("--kind", choices=KINDS, default="classification")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if asked.kept.startswith("postgresql"):
            main(asked.kind, asked.images, Settings(home=Path(made), database_url=asked.kept))
        else:
            main(asked.kind, asked.images, Settings(home=Path(asked.kept or made)))
