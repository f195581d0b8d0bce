"""What tens of millions of rows cost on PostgreSQL: bytes per image, answers, vacuum, and deleting a run.

Runs of `--images` are filled by INSERT … SELECT as workers leave them: the stub's scores and maps, one image
in a thousand failed. Scoring them would take hours; the first run, of `--through` images, is scored by a
worker, so that the bytes of both ways can be compared. `--url` names an empty PostgreSQL, or one that was
filled before for `--ask` and `--delete`; without it a server is started and removed.
"""

import argparse
import os
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from bench import CORES, HERE, NIGHTREAD, rate_of_run, run, servers, start_worker, stop, write_stub

from config.findings import FINDINGS

Cursor = psycopg.Cursor[tuple[Any, ...]]

QUESTIONS = HERE.parent / "docs" / "sql.md"
SUMMARY = (
    "Did the night's run finish, and is every image accounted for?",
    "When will a run that is under way be finished?",
    "Which model made these numbers, and from which manifest?",
    "Why do some images have no scores?",
    "Which evaluations are there, and which labels and boxes did they use?",
    "How well does the model find each finding?",
    "Which of these figures rest on too few images?",
    "Which points draw the ROC curve?",
    "What is the sensitivity at 90% specificity?",
    "What do the model card's thresholds achieve?",
    "Which threshold finds 95% of the positive images, and at what price?",
    "Which subgroups fall behind?",
    "Where are the probabilities too high, and where too low?",
)
"""About one run, and answered from its batches, failures and evaluations."""

IMAGE = ("What did the model find in one image?", "Where did the model look in one image?")

SCAN = (
    "How good was each run overall?",
    "Which files should somebody look at before they are scored again?",
    "Which images should a radiologist see first?",
    "How many images does each finding flag, and how many were labelled?",
    "What do the runs keep on disk?",
)
"""About all runs, or about each image of one: asked once."""

TABLES = ("score", "image_result", "manifest_row", "image", "batch")
AT_ONCE = 500_000

FILL = {
    "images": """
        INSERT INTO image (id, archive_id, image_index)
        SELECT %(before)s + n, %(archive)s, lpad(n::text, 8, '0') || '.png'
        FROM generate_series(%(low)s::int, %(high)s::int) n
        """,
    "rows": """
        INSERT INTO manifest_row
          (manifest_id, row_number, image_id, patient_id, view_position, sex, age_years, labels)
        SELECT %(manifest)s, n, %(before)s + n, (n / 4)::text, 'PA', (ARRAY['F', 'M'])[1 + n %% 2], n %% 90,
               (%(labels)s::text[])[1 + floor(random() * 256)::int]
        FROM generate_series(%(low)s::int, %(high)s::int) n
        """,
    "scored": """
        INSERT INTO image_result
          (run_id, image_id, batch_id, status, width, height, maps, map_height, map_width)
        SELECT %(run)s, %(before)s + n, %(batch)s + (n + 31) / 32, 'scored', 1024, 1024,
               %(maps)s::bytea, 10, 10
        FROM generate_series(%(low)s::int, %(high)s::int) n WHERE n %% 1000 <> 7
        """,
    "failed": """
        INSERT INTO image_result (run_id, image_id, batch_id, status, stage, reason, message)
        SELECT %(run)s, %(before)s + n, %(batch)s + (n + 31) / 32, 'failed', 'read', 'truncated', 'ends early'
        FROM generate_series(%(low)s::int, %(high)s::int) n WHERE n %% 1000 = 7
        """,
    "scores": """
        INSERT INTO score (run_id, image_id, finding_id, probability, peak_x, peak_y, box_x, box_y, box_width,
                           box_height)
        SELECT %(run)s, %(before)s + n, (%(findings)s::int[])[1 + k %% %(width)s], random()::real,
               512, 512, 256, 256, 512, 512
        FROM (SELECT k, (k / %(width)s)::int AS n
              FROM generate_series(%(low)s * %(width)s::bigint, (%(high)s + 1) * %(width)s::bigint - 1) k) x
        WHERE n %% 1000 <> 7
        """,
}
"""What is written for each part of a run; `before` and `batch` are the last ids that were there."""

BATCHES = """
    INSERT INTO batch (id, run_id, number, first_row, last_row, state, attempt, lease_token, sent_at, worker,
                       engine, started_at, finished_at, scored, failed)
    SELECT %(batch)s + b, %(run)s, b, first, last, 'done', 1, md5(b::text), 0, 'nightread@host', 'stub',
           now() + b * interval '10 ms', now() + b * interval '10 ms' + interval '50 ms',
           last - first + 1 - failed, failed
    FROM (SELECT b, first, last, (last + 993) / 1000 - (first + 992) / 1000 AS failed
          FROM (SELECT b, 32 * b - 31 AS first, LEAST(32 * b, %(images)s) AS last
                FROM generate_series(1, %(batches)s) b) bounds) counted
    """


def question(title: str) -> str:
    """Return the query below a heading of docs/sql.md."""
    page = QUESTIONS.read_text(encoding="utf-8")
    found = re.search(rf"^### {re.escape(title)}\n.*?```sql\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit(f"{QUESTIONS} does not ask: {title}")
    return found[1]


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long something took."""
    begun = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - begun:.1f} s", flush=True)


def one(cursor: Cursor, query: str, *values: object) -> Any:  # noqa: ANN401  # what the query asks for
    """Return the one value of a query's one row."""
    row = cursor.execute(query.encode(), values or None).fetchone()
    if row is None:
        raise SystemExit(f"no row: {query}")
    return row[0]


# --- filling -----------------------------------------------------------------------------------------------


def score_with_worker(settings: dict[str, str], images: int) -> None:
    """Score images with the stub as a user would."""
    home = Path(settings["NIGHTREAD_HOME"])
    write_stub(home)
    manifest = home / "manifest.csv"
    random = np.random.default_rng(1)
    with manifest.open("w") as file:
        file.write("Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position\n")
        for n, present in enumerate(random.random((images, len(FINDINGS))) < 0.05):
            labels = "|".join(name for name, is_there in zip(FINDINGS, present, strict=True) if is_there)
            file.write(f"w{n:08d}.png,{labels or 'No Finding'},{n // 4},{n % 90},{'MF'[n % 2]},PA\n")
    worker = start_worker(settings, "stub", CORES, "stub")
    try:
        run("score", manifest, "--images", home, "--model", "stub", **settings)
    finally:
        stop(worker)
    print(f"scored by a worker: {rate_of_run('1', **settings):,.0f} images/s", flush=True)


def fill(cursor: Cursor, images: int, seed: int) -> int:
    """Write a run of so many images beside the first one, whose model it has; returns its number."""
    random = np.random.default_rng(seed)
    labels = [
        "".join("01"[int(share < 0.05)] for share in row) for row in random.random((256, len(FINDINGS)))
    ]
    cursor.execute("SELECT setseed(%s)", (seed / 1000,))
    cursor.execute("SET session_replication_role = replica")  # no check of foreign keys
    key_at_end = images > one(cursor, "SELECT SUM(images) FROM run")
    if key_at_end:  # it is faster
        cursor.execute("ALTER TABLE score DROP CONSTRAINT pk_score")
    batches = -(-images // 32)
    archive = one(cursor, "INSERT INTO archive (root) VALUES ('/' || clock_timestamp()) RETURNING id")
    manifest = one(
        cursor,
        "INSERT INTO manifest (archive_id, fingerprint, path, rows, created_at) "
        "VALUES (%s, 'filled', 'filled.csv', %s, now()) RETURNING id",
        *(archive, images),
    )
    cursor.execute(
        "INSERT INTO manifest_finding SELECT %s, finding_id, position FROM manifest_finding "
        "WHERE manifest_id = (SELECT MIN(manifest_id) FROM manifest_finding)",
        (manifest,),
    )
    number: int = one(
        cursor,
        "INSERT INTO run (manifest_id, model_id, status, images, batches, heatmaps, version, created_at, "
        "finished_at) SELECT %s, model_id, 'complete', %s, %s, 'positive', version, now(), now() "
        "FROM run ORDER BY id LIMIT 1 RETURNING id",
        *(manifest, images, batches),
    )
    findings = one(
        cursor, "SELECT array_agg(finding_id ORDER BY position) FROM model_finding WHERE model_id = 1"
    )
    values: dict[str, object] = {
        "archive": archive,
        "manifest": manifest,
        "run": number,
        "findings": findings,
        "width": len(findings),
        "labels": labels,
        "maps": np.ones((10, 10, len(findings)), dtype="<f2").tobytes(),
        "images": images,
        "batches": batches,
        "before": one(cursor, "SELECT MAX(id) FROM image"),
        "batch": one(cursor, "SELECT MAX(id) FROM batch"),
    }
    cursor.execute(BATCHES, values)
    for low in range(1, images + 1, AT_ONCE):
        high = min(images, low + AT_ONCE - 1)
        with timed(f"run {number}: images to {high:,}"), cursor.connection.transaction():
            for statement in FILL.values():
                cursor.execute(statement.encode(), values | {"low": low, "high": high})
    if key_at_end:
        with timed("primary key of score"):
            cursor.execute(
                "ALTER TABLE score ADD CONSTRAINT pk_score PRIMARY KEY (run_id, image_id, finding_id)"
            )
    copy_evaluation(cursor, number, manifest)
    cursor.execute("SET session_replication_role = DEFAULT")
    for table in ("image", "batch"):
        one(cursor, f"SELECT setval('{table}_id_seq', (SELECT MAX(id) FROM {table}))")  # noqa: S608
    return number


def copy_evaluation(cursor: Cursor, number: int, manifest: int) -> None:
    """Give a run the figures of the first evaluation: as many as any run has."""
    made = one(
        cursor,
        "INSERT INTO evaluation "
        "(run_id, label_manifest_id, label_set, closes_run, state, attempt, evaluated_at) "
        "VALUES (%s, %s, 'manifest', true, 'done', 1, now()) RETURNING id",
        *(number, manifest),
    )
    tables = one(
        cursor,
        "SELECT array_agg(table_name::text) FROM information_schema.columns "
        "WHERE column_name = 'evaluation_id' AND table_name ~ '_(result|point|bin)$'",
    )
    for table in tables:
        names = one(
            cursor,
            "SELECT string_agg(column_name, ', ') FROM information_schema.columns "
            "WHERE table_name = %s AND column_name <> 'evaluation_id'",
            table,
        )
        copied = f"SELECT {made}, {names} FROM {table} WHERE evaluation_id = 1"  # noqa: S608
        cursor.execute(f"INSERT INTO {table} (evaluation_id, {names}) {copied}".encode())


# --- measuring ---------------------------------------------------------------------------------------------


def sizes(cursor: Cursor) -> None:
    """Print the bytes of each large table and each of its indexes."""
    images = one(cursor, "SELECT SUM(images) FROM run WHERE status <> 'deleted'")
    print(f"\n| table or index | GB | bytes per image, of {images:,} |\n|---|---|---|")
    for table in TABLES:
        rows = cursor.execute(
            "SELECT 'table', pg_table_size(%(table)s::regclass) UNION ALL "
            "SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index "
            "WHERE indrelid = %(table)s::regclass",
            {"table": table},
        ).fetchall()
        for name, size in rows:
            what = table if name == "table" else f"{table}: {name}"
            print(f"| {what} | {size / 1e9:.2f} | {size / int(images):.1f} |", flush=True)


def vacuum(cursor: Cursor) -> None:
    """Print how long VACUUM and ANALYZE take."""
    for table in TABLES:
        for what in ("VACUUM", "ANALYZE"):
            with timed(f"{what} {table}"):
                cursor.execute(f"{what} {table}".encode())


def ask(cursor: Cursor, number: int, times: int, limit: int) -> None:
    """Print median and 95th percentile of each question's time, of as many askings as `times`; in ms.

    A question about each image is asked once, and given up after `limit` seconds.
    """
    random = np.random.default_rng(7)
    images = one(cursor, "SELECT images FROM run WHERE id = %s", number)
    cursor.execute(f"SET statement_timeout = '{limit}s'".encode())
    # Each question is planned as for somebody who asks it once.
    cursor.connection.prepare_threshold = None
    print(f"\n| question, of a run of {images:,} images | p50, ms | p95, ms |\n|---|---|---|")
    for title in (*SUMMARY, *IMAGE, *SCAN):
        query = question(title).replace("run_id = 1", f"run_id = {number}")
        taken: list[float] = []
        for _ in range(1 if title in SCAN else times):
            asked = query.replace("00000004", f"{random.integers(1, images):08d}")
            begun = time.perf_counter()
            try:
                cursor.execute(asked.encode()).fetchall()
            except psycopg.errors.QueryCanceled:
                print(f"given up after {limit} s:", flush=True)
            taken.append(1e3 * (time.perf_counter() - begun))
        p95 = sorted(taken)[min(len(taken) - 1, int(0.95 * len(taken)))]
        print(f"| {title} | {statistics.median(taken):,.1f} | {p95:,.1f} |", flush=True)
    cursor.execute("SET statement_timeout = 0")


def delete(cursor: Cursor, settings: dict[str, str], number: int, beside: int) -> None:
    """Delete a run while a worker scores another of `beside` images; print how long it took."""
    home = Path(settings["NIGHTREAD_HOME"])
    if not (home / "models").exists():
        write_stub(home)
    manifest = home / "beside.csv"
    manifest.write_text("Image\n" + "".join(f"b{n:08d}.png\n" for n in range(beside)))
    other = 1 + one(cursor, "SELECT MAX(id) FROM run")
    done = f"SELECT COALESCE(SUM(scored), 0)::bigint FROM batch WHERE run_id = {other}"  # noqa: S608
    worker = start_worker(settings, "stub", CORES, "stub")
    scoring = threading.Thread(
        target=run, args=("score", manifest, "--images", home, "--model", "stub"), kwargs=settings
    )
    scoring.start()
    try:
        while not one(cursor, done):
            time.sleep(0.1)
        before = one(cursor, done)
        with timed(f"deletion of run {number}"):
            command = [*NIGHTREAD, "runs", "delete", str(number), "--yes"]
            subprocess.run(command, env=os.environ | settings, check=True)
        print(f"run {other} scored {one(cursor, done) - before:,} images meanwhile", flush=True)
    finally:
        scoring.join()
        stop(worker)
    for run_id in (number, other):
        status = one(cursor, "SELECT status FROM run WHERE id = %s", run_id)
        scores = one(cursor, "SELECT COUNT(*) FROM score WHERE run_id = %s", run_id)
        print(f"run {run_id} is {status} and has {scores:,} scores", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--images", type=int, nargs="*", default=[1_000_000], help="of each run that is filled"
    )
    parser.add_argument(
        "--through",
        type=int,
        default=20_000,
        help="images that a worker scores first; 0 for none, if there is a run",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=40, help="how often a question is asked")
    parser.add_argument("--limit", type=int, default=600, help="seconds for a question about each image")
    parser.add_argument("--beside", type=int, default=50_000, help="images scored during the deletion")
    parser.add_argument("--url", help="a PostgreSQL of one's own")
    parser.add_argument("--ask", type=int, metavar="RUN", help="only ask, about this run")
    parser.add_argument("--delete", type=int, metavar="RUN", help="only delete this run")
    asked = parser.parse_args(arguments)
    with servers() as settings:
        if asked.url:
            settings["NIGHTREAD_DATABASE_URL"] = asked.url
        url = settings["NIGHTREAD_DATABASE_URL"]
        if asked.ask is None and asked.delete is None:
            run("db", "upgrade", **settings)
            if asked.through:
                score_with_worker(settings, asked.through)
        with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            if asked.delete is not None:
                delete(cursor, settings, asked.delete, asked.beside)
                return
            number = asked.ask
            if number is None:
                sizes(cursor)
                for seed, images in enumerate(asked.images, start=asked.seed):
                    number = fill(cursor, images, seed)
                vacuum(cursor)
                sizes(cursor)
            ask(cursor, number, asked.times, asked.limit)


if __name__ == "__main__":
    main()
