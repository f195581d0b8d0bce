"""How long `nightread browse` takes for a page of a large run; the run is synthetic.

Arguments: the number of images, and a folder that keeps the run (SQLite) or the URL of an empty PostgreSQL.
Prints, for each kind of page, median and longest of several requests and the mean of their processor time,
which other programs change less; in milliseconds, of the application alone, without a browser.
"""

import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import insert
from werkzeug.test import Client

from config.findings import FINDINGS
from config.settings import Settings
from db.database import Database, bulk_insert
from db.schema.archives import archive, finding, image, manifest, manifest_finding, manifest_row
from db.schema.runs import batch, image_result, model, model_finding, run, score
from db.upgrade import upgrade, version
from workers.browse.app import Browser

PAGES = {
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
    "image": "image/56000",
    "image in a filter": "image/56000?finding=Hernia&label=1",
}


def write_run(database: Database, images: int, map_bytes: int) -> None:
    """Write a run as workers leave it: scores and maps of all images, one in a thousand failed."""
    random = np.random.default_rng(19)
    upgrade(database)
    now = datetime.now(UTC)
    with database.write() as connection:
        connection.execute(insert(archive).values(id=1, root="/nowhere"))
        known = {row.name: row.id for row in connection.execute(finding.select())}
        for name in FINDINGS:
            if name not in known:
                key = connection.execute(insert(finding).values(name=name)).inserted_primary_key
                known[name] = key[0] if key is not None else 0
        connection.execute(
            insert(manifest).values(
                id=1, archive_id=1, fingerprint="0", path="m.csv", rows=images, created_at=now
            )
        )
        connection.execute(insert(model).values(id=1, name="m", sha256="0", card="{}", card_sha256="0"))
        for place, name in enumerate(FINDINGS):
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
        numbers = range(1, images + 1)
        bulk_insert(
            connection,
            image,
            ("id", "archive_id", "image_index"),
            ((n, 1, f"{n:08d}_000.png") for n in numbers),
        )
        positive = random.random((images, len(FINDINGS))) < np.linspace(0.002, 0.18, len(FINDINGS))[::-1]
        bulk_insert(
            connection,
            manifest_row,
            (
                "manifest_id",
                "row_number",
                "image_id",
                "patient_id",
                "view_position",
                "sex",
                "age_years",
                "labels",
            ),
            (
                (1, n, n, str(n // 4), "PA", "F", 50.0, "".join(str(int(p)) for p in positive[n - 1]))
                for n in numbers
            ),
        )
        failed = random.random(images) < 1e-3
        maps = random.bytes(map_bytes)
        bulk_insert(
            connection,
            image_result,
            (
                *("run_id", "image_id", "batch_id", "status", "width", "height"),
                *("maps", "map_height", "map_width", "stage", "reason", "message"),
            ),
            (
                (1, n, 1, "failed", None, None, None, None, None, "read", "truncated", "ends early")
                if failed[n - 1]
                else (1, n, 1, "scored", 1024, 1024, maps, 10, 10, None, None, None)
                for n in numbers
            ),
        )
        bulk_insert(
            connection,
            score,
            ("run_id", "image_id", "finding_id", "probability"),
            (
                (1, n, known[name], float(np.float32(probability)))
                for n in numbers
                if not failed[n - 1]
                for name, probability in zip(FINDINGS, random.beta(0.5, 4, len(FINDINGS)), strict=True)
            ),
        )


def main(images: int, settings: Settings) -> None:
    """Measure each kind of page."""
    database = Database(settings.database)
    begun = time.perf_counter()
    if version(database) is None:
        write_run(database, images, 10 * 10 * len(FINDINGS) * 2)
        database.analyze()
        print(f"wrote a run of {images:,} images in {time.perf_counter() - begun:.0f} s", flush=True)
    database.dispose()
    begun = time.perf_counter()
    database = Database(settings.database)
    browser = Browser(database, settings, 1)
    browser.listens_at(80)
    client = Client(browser)
    for name, path in PAGES.items():
        taken: list[float] = []
        worked = time.process_time()
        for _ in range(7):
            taken.append(time.perf_counter() if taken else begun)
            answer = client.get(f"{browser.path}{path}", base_url="http://127.0.0.1:80")
            taken[-1] = 1e3 * (time.perf_counter() - taken[-1])
            if answer.status_code != 200:
                raise SystemExit(f"{name}: {answer.status} {answer.text}")
        worked = 1e3 * (time.process_time() - worked) / len(taken)
        figures = f"{statistics.median(taken):6.1f} | {max(taken):6.1f} | {worked:6.1f}"
        print(f"| {name:<36} | {figures} |", flush=True)
        begun = time.perf_counter()


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 112_120
    kept = sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory() as made:
        if kept.startswith("postgresql"):
            main(size, Settings(home=Path(made), database_url=kept))
        else:
            main(size, Settings(home=Path(kept or made)))
