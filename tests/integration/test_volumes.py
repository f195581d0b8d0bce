"""Runs of volumes by real workers: processes are killed, and each case is segmented once all the same."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sqlalchemy import text
from support import SEGMENTATION_CARD, Nightread, eventually
from volume_support import OBLIQUE, head, nifti, segmentation_card

from db import queries
from db.database import Database

CASES = 60

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


@pytest.fixture
def model(tensorflow: Any, cluster: Nightread) -> str:
    """A network of 1,800 parameters in the models' folder."""
    from workers.inference.networks.network import network_of, seeded_weights
    from workers.models.folder import write_segmenter

    assert tensorflow
    card = segmentation_card()
    arrays = seeded_weights(network_of(card).build(card), 5)
    facts = {
        name: value
        for name, value in SEGMENTATION_CARD.items()
        if name not in {"kind", "sha256", "seed", "golden"}
    }
    return write_segmenter(cluster.home / "models", facts, arrays).card.name


def write_cases(folder: Path) -> Path:
    """Write cases, each with a label, of which the last one's is of another shape."""
    lines = ["Image,Label,PatientId"]
    for number in range(CASES):
        values = head(seed=number)
        label = (values[..., 0] > 450).astype(np.uint8)
        if number == CASES - 1:
            label = label[:-1]
        (folder / f"c{number}.nii.gz").write_bytes(nifti(values, OBLIQUE))
        (folder / f"l{number}.nii.gz").write_bytes(nifti(label, OBLIQUE))
        lines.append(f"c{number}.nii.gz,l{number}.nii.gz,p{number}")
    manifest = folder / "cases.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def start_worker(cluster: Nightread, model: str, name: str) -> psutil.Process:
    process = cluster.start("worker", "--model", model, "--children", "2", "--name", f"{name}@%h")
    return psutil.Process(process.pid)


def one(database: Database, query: str) -> Any:
    with database.read() as connection:
        return connection.execute(text(query)).one()


def holds_a_case(database: Database, done: int) -> bool:
    finished, running = one(
        database,
        "SELECT SUM(CASE WHEN state IN ('done', 'split') THEN 1 ELSE 0 END),"
        " SUM(CASE WHEN state = 'running' THEN 1 ELSE 0 END) FROM batch",
    )
    return bool(finished >= done and running)


def test_killed_children_and_workers_lose_and_double_no_case(
    cluster: Nightread, model: str, tmp_path: Path
) -> None:
    folder = tmp_path / "volumes"
    folder.mkdir()
    manifest = write_cases(folder)
    database = cluster.database()
    worker = start_worker(cluster, model, "first")
    submitted = cluster.run("submit", manifest, "--images", folder, "--model", model)
    assert submitted.returncode == 0, submitted.stderr
    resumed = cluster.start("resume", submitted.stdout.strip())

    eventually(lambda: holds_a_case(database, 5), 240, "five cases are done")
    next(child for child in worker.children() if "spawn_main" in " ".join(child.cmdline())).kill()
    eventually(lambda: holds_a_case(database, 15), 240, "fifteen cases are done")
    os.kill(worker.pid, signal.SIGKILL)
    start_worker(cluster, model, "second")

    assert cluster.ends(resumed) == 3, cluster.logs()
    progress = queries.progress(database, int(submitted.stdout))
    assert (progress.status, progress.scored, progress.failed) == ("complete", CASES - 1, 1)
    assert tuple(one(database, "SELECT image_index, reason FROM failures")) == (
        f"c{CASES - 1}.nii.gz",
        "wrong_shape",
    )
    assert tuple(
        one(database, "SELECT COUNT(*), COUNT(DISTINCT image_index), COUNT(DISTINCT finding) FROM segments")
    ) == ((CASES - 1) * 6, CASES - 1, 6)
    assert tuple(one(database, "SELECT MAX(attempt) FROM batch")) <= (3,)
    evaluations, cases = one(
        database, "SELECT COUNT(DISTINCT evaluation_id), MAX(cases + left_out) FROM segment_summary"
    )
    assert (evaluations, cases) == (1, CASES - 1)
    with database.read() as connection:
        masks = connection.execute(text("SELECT mask_path FROM volumes")).scalars().all()
    assert all((cluster.home / "heatmaps" / mask).is_file() for mask in masks)
