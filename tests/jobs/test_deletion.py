"""Deletion by schedules and by those who reconcile, and the overlays of what is deleted."""

from pathlib import Path

import pytest
from schedules_support import DAY, NIGHTS, Archive
from sqlalchemy import select
from support import write_manifest

from config.files import run_folder
from db import deletion, schedules
from db.database import Database
from db.schema.runs import run
from jobs.deletion import sweep


def write_overlays(archive: Archive, run_id: int, count: int) -> Path:
    folder = archive.settings.overlays / run_folder(run_id)
    for number in range(count):
        path = folder / "Mass" / f"{number % 3}" / f"{number:03d}.png.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"overlay")
    return folder


def statuses(database: Database) -> dict[int, str]:
    with database.read() as connection:
        return {
            row.id: str(row.status)
            for row in connection.execute(select(run.c.id, run.c.status).order_by(run.c.id))
        }


def nights(archive: Archive, count: int, keep_last: int) -> None:
    """As many nights, each with an archive of its own images, as of a PACS that is asked for its last day."""
    archive.schedule(archive.score().model_copy(update={"keep_last": keep_last}))
    for number in range(count):
        lines = [f"night-{number}-{image}.png" for image in range(4)]
        archive.manifest.write_text("\n".join(["Image", *lines]) + "\n")
        assert archive.night(NIGHTS[number]) == 4


def test_a_schedule_keeps_its_last_runs_and_sweeping_removes_the_others(
    database: Database, tmp_path: Path
) -> None:
    archive = Archive(database, tmp_path)
    nights(archive, 5, keep_last=2)
    assert statuses(database) == {
        1: "deleting",
        2: "deleting",
        3: "complete",
        4: "complete",
        5: "complete",
    }
    gone, kept = write_overlays(archive, 1, 20), write_overlays(archive, 4, 3)
    sweep(database, archive.settings)
    assert list(statuses(database).values()) == ["deleted", "deleted", "complete", "complete", "complete"]
    assert not gone.exists()
    assert len([path for path in kept.rglob("*") if path.is_file()]) == 3
    with database.read() as connection:
        assert connection.execute(select(run.c.images).where(run.c.id == 1)).scalar_one() == 4


def test_a_growing_archive_keeps_what_its_next_night_would_score_again(
    database: Database, tmp_path: Path
) -> None:
    archive = Archive(database, tmp_path)
    archive.schedule(archive.score().model_copy(update={"keep_last": 1}))
    for number in range(4):
        write_manifest(archive.manifest, 6 + 2 * number)
        assert archive.night(NIGHTS[number]) == (6 if number == 0 else 2)
    sweep(database, archive.settings)
    assert set(statuses(database).values()) == {"complete"}
    with pytest.raises(deletion.RunInUseError, match="schedule night counts on scores of run 1"):
        deletion.mark(database, 1)
    schedules.remove(database, "night", NIGHTS[4])
    deletion.mark(database, 1)


def test_what_another_model_scored_is_not_counted_on(database: Database, tmp_path: Path) -> None:
    archive = Archive(database, tmp_path)
    archive.schedule()
    archive.night(NIGHTS[0])
    (archive.folder / "models" / "stub" / "card.yaml").write_text(
        (archive.folder / "models" / "stub" / "card.yaml").read_text().replace("0" * 64, "1" * 64)
    )
    assert archive.night(NIGHTS[1]) == 6
    deletion.mark(database, 1)


def test_a_deletion_by_hand_that_was_cut_off_is_ended_by_whoever_reconciles(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "IMAGES_AT_ONCE", 2)
    archive = Archive(database, tmp_path)
    archive.schedule()
    archive.night(NIGHTS[0])
    deletion.mark(database, 1)
    assert next(deletion.delete_rows(database, 1)) == 2
    sweep(database, archive.settings)
    assert statuses(database) == {1: "deleted"}
    assert archive.night(NIGHTS[0] + DAY) == 6


def test_an_overlay_that_cannot_be_deleted_keeps_its_run_marked(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive = Archive(sqlite, tmp_path)
    archive.schedule()
    archive.night(NIGHTS[0])
    folder = write_overlays(archive, 1, 2)
    deletion.mark(sqlite, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", _refused)
        sweep(sqlite, archive.settings)
    assert statuses(sqlite) == {1: "deleting"}
    assert "Permission denied" in caplog.text
    assert "000.png" not in caplog.text
    sweep(sqlite, archive.settings)
    assert (statuses(sqlite), folder.exists()) == ({1: "deleted"}, False)


def _refused(path: Path) -> None:
    raise PermissionError(13, "Permission denied", str(path))
