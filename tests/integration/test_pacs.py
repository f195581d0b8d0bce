"""A PACS as the archive, with a real network and a real Orthanc: the same scores, whatever happens to it."""

import csv
from pathlib import Path
from typing import Any

import psutil
import pytest
from films import PATIENT
from orthanc import Orthanc
from pydicom import dcmread
from support import Nightread, eventually

from jobs.phantoms.archive import plan_archive, write_archive

FILMS = 24


@pytest.fixture
def films(tmp_path: Path, orthanc: Orthanc) -> Path:
    """Phantoms of patients with names, in a folder and in the PACS."""
    write_archive(tmp_path, plan_archive(FILMS, seed=7, ending="dcm"))
    folder = tmp_path / "images"
    for path in folder.iterdir():
        film = dcmread(path)
        for keyword, value in PATIENT.items():
            setattr(film, keyword, value)
        film.save_as(path)
        orthanc.store(path.read_bytes())
    return folder


def by_film(nightread: Nightread, run_id: int, manifest: Path) -> dict[tuple[str, str], float]:
    """A run's scores by SOP Instance UID and finding."""
    with manifest.open(encoding="utf-8", newline="") as file:
        uids = {row["Image Index"]: row["SOP Instance UID"] for row in csv.DictReader(file)}
    rows = nightread.sql(f"SELECT image_index, finding, probability FROM scores WHERE run_id = {run_id}")
    return {(uids[row["image_index"]], row["finding"]): row["probability"] for row in rows}


def progress(nightread: Nightread) -> dict[str, Any]:
    if not (nightread.home / "nightread.db").exists():
        return {"scored": 0}
    rows = nightread.sql("SELECT * FROM progress ORDER BY run_id DESC LIMIT 1")
    return rows[0] if rows else {"scored": 0}


@pytest.mark.timeout(900)
def test_scores_from_a_pacs_that_dies_in_the_night_are_those_from_disk(
    nightread: Nightread, orthanc: Orthanc, films: Path, tmp_path: Path
) -> None:
    nightread.environment |= orthanc.environment
    nightread.environment |= {"NIGHTREAD_CHILDREN": "1", "NIGHTREAD_ENGINE": "openvino"}
    manifests = {"disk": tmp_path / "disk.csv", "pacs": tmp_path / "pacs.csv"}
    for place, manifest in ((films, manifests["disk"]), (orthanc.dicomweb, manifests["pacs"])):
        made = nightread.call("manifest", place, "-o", manifest)
        assert made.returncode == 0, made.stderr
    running = nightread.start(
        "score", manifests["pacs"], "--images", orthanc.dicomweb, "--batch-size", "2", "--heatmaps", "none"
    )
    eventually(lambda: progress(nightread)["scored"] > 0, 300, "the first image is scored")
    lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in lines if orthanc.password in line]
    orthanc.stop()
    waits = eventually(lambda: progress(nightread).get("waits_for"), 120, "the run says what it waits for")
    assert "does not answer" in waits
    orthanc.start()
    assert nightread.ends(running, 400) == 0
    ended = progress(nightread)
    assert (ended["scored"], ended["failed"], ended["status"]) == (FILMS, 0, "complete")
    assert ended["waits_for"] is None

    done = nightread.run(
        "score", manifests["disk"], "--images", films, "--batch-size", "2", "--heatmaps", "none", timeout=400
    )
    assert done.returncode == 0, done.stderr
    of_pacs, of_disk = by_film(nightread, 1, manifests["pacs"]), by_film(nightread, 2, manifests["disk"])
    assert len(of_pacs) == 14 * FILMS
    assert of_pacs == of_disk

    secrets = {*PATIENT.values(), orthanc.password}
    written = [path for path in nightread.home.rglob("*") if path.is_file()]
    assert {"nightread.db", "worker.log"} <= {path.name for path in written}
    for path in (*written, *manifests.values()):
        found = [secret for secret in secrets if secret.encode() in path.read_bytes()]
        assert not found, path
