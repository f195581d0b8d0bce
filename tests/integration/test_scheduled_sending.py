"""A schedule's results go into a real PACS by real workers: after each run, and each object once."""

import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from films import PATIENT, film_of
from orthanc import Orthanc
from sqlalchemy import text
from support import STUB_CARD, Nightread, eventually, write_card

from db.schema.schedules import schedule

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

FILMS = 24


def add_films(folder: Path, first: int, films: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(first, first + films):
        film = film_of(
            StudyInstanceUID=f"1.2.9.{number}",
            SeriesInstanceUID=f"1.2.8.{number}",
            SOPInstanceUID=f"1.2.3.{number}",
            # As large as the stub model takes all pictures to be.
            Rows=1024,
            Columns=1024,
            PixelData=bytes(1024 * 1024),
        )
        (folder / f"{number:04d}.dcm").write_bytes(film)


def add_schedule(nightread: Nightread, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    half_a_day_ago = datetime.now(UTC) - timedelta(hours=12)  # no cron time comes while the test runs
    cron = f"{half_a_day_ago.minute} {half_a_day_ago.hour} * * *"
    write_card(nightread.home / "models", STUB_CARD)
    when = ("schedule", "add", "night", "--cron", cron)
    return nightread.call(*when, "score", folder, "--model", "stub", *options)


def let_it_be_due(nightread: Nightread) -> None:
    """The schedule was added two days ago: the last time has come since."""
    with nightread.database().write() as connection:
        connection.execute(schedule.update().values(created_at=datetime.now(UTC) - timedelta(days=2)))


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a worker with its children."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        child.send_signal(signal.SIGKILL)
    process.wait()


def sending(nightread: Nightread) -> dict[str, Any]:
    rows = nightread.sql("SELECT * FROM sendings")
    return rows[0] if rows else {"state": None, "waits_for": None}


def test_results_of_a_schedules_run_are_in_the_pacs_once_though_it_was_away_and_the_worker_was_killed(
    cluster: Nightread, orthanc: Orthanc, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    add_films(films, 0, FILMS)
    added = add_schedule(cluster, films, "--send-to", orthanc.dicom, "--format", "dicom-sr,dicom-gsps")
    assert added.returncode == 0, added.stderr
    orthanc.stop()
    worker = cluster.start("worker", "--model", "stub", "--children", "1")
    cluster.start("beat")
    let_it_be_due(cluster)
    waits = eventually(lambda: sending(cluster)["waits_for"], 90, "the sending waits")
    assert "does not answer" in waits
    for command in (("status",), ("schedule", "list")):
        said = " ".join(cluster.call(*command).stderr.split())
        assert f"run 1, results to {orthanc.dicom}: waiting since" in said
        assert waits in said
    (night,) = cluster.sql("SELECT sent_to, sending, waits_for FROM schedules")
    assert night.pop("sending") in {"due", "queued", "running"}
    assert night == {"sent_to": orthanc.dicom, "waits_for": waits}
    (listed,) = json.loads(cluster.call("schedule", "list", "--json").stdout)
    assert listed["action"]["receiver"]["target"] == orthanc.dicom

    orthanc.start()
    with cluster.database().write() as connection:
        connection.execute(text("UPDATE sending SET not_before = NULL"))
    eventually(lambda: len(orthanc.instances()) >= 3, 60, "some results are there")
    kill(worker)
    there = len(orthanc.instances())
    cluster.start("worker", "--model", "stub", "--children", "1")
    eventually(lambda: sending(cluster)["state"] == "done", 90, f"all is sent\n{cluster.logs()}")
    rows = cluster.sql("SELECT * FROM deliveries")
    kept = sorted(tags["SOPInstanceUID"] for tags in orthanc.instances())
    assert kept == sorted(row["sop_instance_uid"] for row in rows)
    assert there < len(kept)
    assert {row["state"] for row in rows} == {"sent"}
    assert {row["image_index"] for row in rows if row["kind"] == "dicom-sr"} == {
        f"{number:04d}.dcm" for number in range(FILMS)
    }
    log = "".join(path.read_text() for path in cluster.home.rglob("worker*.log"))
    assert log.count(f"run 1 to {orthanc.dicom}: waiting:") == 1
    assert [word for word in PATIENT.values() if word in log] == []
    shown = cluster.call("status", "1")
    assert f"run 1, results to {orthanc.dicom}: done, {len(kept)} sent" in " ".join(shown.stdout.split())

    # The next night has more, and what was sent is not sent again.
    add_films(films, FILMS, 3)
    with cluster.database().write() as connection:
        for step in ("- INTERVAL '1000 days'", "+ INTERVAL '999 days'"):
            connection.execute(text(f"UPDATE schedule_due SET due_at = due_at {step}"))

    def both() -> bool:
        return [row["state"] for row in cluster.sql("SELECT state FROM sendings")] == ["done"] * 2

    eventually(both, 90, "the second night is sent")
    rows = cluster.sql("SELECT image_index FROM deliveries WHERE run_id = 2 AND kind = 'dicom-sr'")
    assert len(rows) == 3
    assert {row["attempts"] for row in cluster.sql("SELECT attempts FROM deliveries WHERE run_id = 2")} == {1}


def test_a_command_that_waits_sends_by_its_own_worker(
    nightread: Nightread, orthanc: Orthanc, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    add_films(films, 0, 5)
    write_card(nightread.home / "models", STUB_CARD)
    nightread.environment |= orthanc.environment | {"NIGHTREAD_CHILDREN": "1"}
    order = ("score", films, "--model", "stub", "--send-to", f"{orthanc.dicomweb}/", "--json")
    done = nightread.run(*order)
    assert done.returncode == 0, done.stderr + nightread.logs()
    (told,) = json.loads(done.stdout)["sendings"]
    assert (told["state"], told["target"], told["left"]) == ("done", orthanc.dicomweb, 0)
    assert told["sent"] == len(orthanc.instances()) >= 5

    # Stopped while the PACS is away, it goes on with `resume`.
    orthanc.stop()
    running = nightread.start("score", films, "--model", "stub", "--send-to", orthanc.dicom)
    eventually(lambda: "waiting: " in nightread.logs(), 90, "it says what it waits for")
    running.terminate()
    assert nightread.ends(running, 60) == 1
    orthanc.start()
    done = nightread.run("resume", "2")
    assert done.returncode == 0, done.stderr + nightread.logs()
    assert f"{orthanc.dicom} has {told['sent']} objects of run 2" in done.stdout
    assert len(orthanc.instances()) == 2 * told["sent"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--send-to", "pacs.example:104"), "a receiver is TITLE@HOST:PORT"),
        (("--send-to", "PACS@127.0.0.1:1", "--format", "sr"), "'sr' is none of dicom-sr"),
        (("--send-to", "PACS@127.0.0.1:1", "--format", "dicom-sc"), "model stub has no network"),
        (("--send-to", "PACS@127.0.0.1:1", "--format", "dicom-seg"), "a run of model stub has no dicom-seg"),
        (("--format", "dicom-sr"), "goes with --send-to"),
        (("--tls",), "goes with --send-to"),
        (("--send-to", "WRONG"), "it is not WRONG; its title may be another"),
        (("--send-to", "dicomweb+http://127.0.0.1:1/x", "--tls"), "--tls is for TITLE@HOST:PORT"),
    ],
)
def test_what_could_never_be_sent_is_said_when_it_is_asked_for(
    nightread: Nightread, orthanc: Orthanc, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    films = tmp_path / "films"
    add_films(films, 0, 1)
    write_card(nightread.home / "models", STUB_CARD)
    options = tuple(f"WRONG@127.0.0.1:{orthanc.dicom_port}" if word == "WRONG" else word for word in options)
    for order in (
        ("submit", films, "--model", "stub"),
        ("schedule", "add", "night", "--cron", "0 2 * * *", "score", films, "--model", "stub"),
    ):
        done = nightread.call(*order, *options)
        assert done.returncode == 2, done.stdout
        assert says in " ".join(done.stderr.replace("│", " ").split())
    assert nightread.sql("SELECT * FROM sendings") == []
    assert nightread.sql("SELECT * FROM schedules") == []


def test_a_receiver_that_is_away_is_no_reason_to_refuse_a_schedule(
    nightread: Nightread, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    add_films(films, 0, 1)
    added = add_schedule(nightread, films, "--send-to", "PACS@127.0.0.1:1", "--tls")
    assert added.returncode == 0, added.stderr
    assert "does not answer" in added.stderr
    (kept,) = json.loads(nightread.call("schedule", "list", "--json").stdout)
    assert kept["action"]["receiver"] == {"target": "PACS@127.0.0.1:1", "kinds": None, "tls": True}
