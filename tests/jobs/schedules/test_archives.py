"""A schedule over what has no manifest: each night scores what came, once, whatever nights were missed."""

import json
import logging
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from films import PATIENT, film_of, write_film
from http_server import Answer, Request, serving
from object_store import Bucket
from orthanc import Orthanc
from pydantic import SecretStr
from schedules_support import DAY, HOUR, NIGHTS, Archive
from sqlalchemy import text
from support import STUB_CARD, Nightread, free_port

from db import alerts, schedules
from db.database import Database
from db.schedules import DueTime
from jobs import archive as archives
from jobs.schedules.schedule import Evaluate, Score


@pytest.fixture
def archive(database: Database, tmp_path: Path) -> Archive:
    return Archive(database, tmp_path)


def score(place: str, **asked: Any) -> Score:
    found = archives.Archive(place, **asked)
    return Score(
        manifest=Path(place),
        archive=found,
        images=found.images,
        model=STUB_CARD["name"],
        heatmaps="none",
        batch_size=4,
    )


@pytest.fixture
def pacs(orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> Orthanc:
    for name, value in orthanc.environment.items():
        monkeypatch.setenv(name, value)
    return orthanc


def of_pacs(archive: Archive, orthanc: Orthanc, since: str | None = "1d") -> None:
    archive.settings = archive.settings.model_copy(
        update={"dicomweb_user": orthanc.user, "dicomweb_password": SecretStr(orthanc.password)}
    )
    archive.schedule(score(orthanc.dicomweb, since=since))


def came(orthanc: Orthanc, night: datetime, films: int) -> None:
    """Films of the evening before a night."""
    day = f"{night - DAY:%Y%m%d}"
    for number in range(films):
        uid = f"1.2.{day}.{number}"
        orthanc.store(
            film_of(
                StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1", SOPInstanceUID=f"{uid}.1.1", StudyDate=day
            )
        )


def times_scored(archive: Archive) -> list[int]:
    with archive.database.read() as connection:
        counts = connection.execute(
            text("SELECT COUNT(*) FROM scores WHERE finding = 'Mass' GROUP BY image_index")
        )
        return [*counts.scalars()]


def states(archive: Archive) -> list[str]:
    return [state for _, state, *_ in archive.history()]


def test_each_night_scores_what_came_into_the_pacs(archive: Archive, pacs: Orthanc) -> None:
    of_pacs(archive, pacs)
    scored = []
    for night, films in zip(NIGHTS, (5, 0, 3), strict=False):
        came(pacs, night, films)
        scored.append(archive.night(night))
    assert scored == [5, 0, 3]
    assert times_scored(archive) == [1] * 8
    assert states(archive) == ["begun", "nothing_new", "begun"]
    assert archive.count("progress") == 2


def test_what_came_in_nights_that_were_missed_is_scored_once(archive: Archive, pacs: Orthanc) -> None:
    of_pacs(archive, pacs)
    came(pacs, NIGHTS[0], 2)
    assert archive.night(NIGHTS[0]) == 2
    for night in NIGHTS[1:6]:
        came(pacs, night, 2)
    # Its search alone would go back one day, to the films of the last two nights.
    assert archive.night(NIGHTS[5]) == 10
    assert archive.night(NIGHTS[6]) == 0
    assert times_scored(archive) == [1] * 12


def test_a_late_film_is_scored_where_the_search_goes_back_that_far(archive: Archive, pacs: Orthanc) -> None:
    of_pacs(archive, pacs, since="3d")
    came(pacs, NIGHTS[3], 1)
    assert archive.night(NIGHTS[3]) == 1
    came(pacs, NIGHTS[2], 1)
    assert archive.night(NIGHTS[4]) == 1
    assert times_scored(archive) == [1, 1]


def test_a_pacs_that_is_away_is_waited_for_and_raises_no_alert(archive: Archive, pacs: Orthanc) -> None:
    of_pacs(archive, pacs)
    came(pacs, NIGHTS[0], 2)
    pacs.stop()
    archive.tick(NIGHTS[0])
    archive.tick(NIGHTS[0] + HOUR)
    assert states(archive) == ["due"]
    pacs.start()
    assert archive.night(NIGHTS[0] + 2 * HOUR) == 2
    assert not alerts.since(archive.database, NIGHTS[0] - DAY)


def test_what_is_waited_for_is_said_once_in_the_log_and_shown_as_long_as_it_lasts(
    archive: Archive, pacs: Orthanc, caplog: pytest.LogCaptureFixture
) -> None:
    of_pacs(archive, pacs)
    came(pacs, NIGHTS[0], 2)
    pacs.stop()
    for _ in range(3):
        archive.tick(NIGHTS[0])
        with archive.database.write() as connection:
            connection.execute(text("UPDATE schedule_due SET not_before = NULL"))
    (night,) = schedules.active(archive.database)
    assert "does not answer" in (night.waits_for or "")
    pacs.start()
    assert archive.night(NIGHTS[0]) == 2
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.partition(": ")[2].split(":")[0] for line in said] == ["waiting", "goes on; it waited for"]
    (night,) = schedules.active(archive.database)
    assert night.waits_for is None


def test_one_search_at_a_time_however_many_ticks_begin_while_it_lasts(archive: Archive) -> None:
    searches, begun, answer = [], threading.Event(), threading.Event()

    def slow(asked: Request) -> Answer:
        searches.append(asked.path)
        begun.set()
        assert answer.wait(30)
        return Answer(content=b"[]")

    with serving(slow) as host:
        archive.schedule(score(f"dicomweb+http://{host}/dicom-web"))
        first = threading.Thread(target=archive.tick, args=(NIGHTS[0],))
        first.start()
        try:
            assert begun.wait(30)
            for _ in range(3):
                archive.tick(NIGHTS[0])
            assert len(searches) == 1
            assert states(archive) == ["due"]
        finally:
            answer.set()
            first.join()
    assert states(archive) == ["nothing_new"]


def test_a_search_whose_worker_died_is_made_by_another(archive: Archive) -> None:
    films = archive.folder / "films"
    write_film(films / "a")
    schedule_id = archive.schedule(score(str(films)))
    schedules.note_due(archive.database, schedule_id, NIGHTS[0])
    died = schedules.claim(archive.database, DueTime(schedule_id, NIGHTS[0]), 60)
    assert died is not None
    assert archive.night(NIGHTS[0]) == 0
    schedules.renew(archive.database, died, -1)
    assert archive.night(NIGHTS[0]) == 1


def test_credentials_that_are_refused_raise_an_alert_with_neither_them_nor_a_patient(
    archive: Archive, pacs: Orthanc
) -> None:
    of_pacs(archive, pacs)
    came(pacs, NIGHTS[0], 2)
    archive.settings = archive.settings.model_copy(update={"dicomweb_password": SecretStr("not-this-one")})
    archive.tick(NIGHTS[0])
    assert states(archive) == ["failed"]
    (alert,) = alerts.since(archive.database, NIGHTS[0] - timedelta(days=400))
    assert "401" in alert.message
    assert not [word for word in (*PATIENT.values(), "not-this-one") if word in alert.message]


def test_each_night_scores_what_came_into_a_folder(archive: Archive) -> None:
    films = archive.folder / "films"
    write_film(films / "a")
    archive.schedule(score(str(films)))
    assert archive.night(NIGHTS[0]) == 1
    assert archive.night(NIGHTS[1]) == 0
    write_film(films / "later" / "b")
    write_film(films / "later" / "side", ViewPosition="LL")
    assert archive.night(NIGHTS[2]) == 1
    assert times_scored(archive) == [1, 1]
    assert states(archive) == ["begun", "nothing_new", "begun"]


@pytest.mark.processes
def test_each_night_scores_what_came_into_a_bucket(archive: Archive, bucket: Bucket) -> None:
    root = f"{bucket.uri}/films"
    bucket.put("films/a.dcm", film_of(SOPInstanceUID="1.2.1"))
    archive.schedule(score(root))
    assert archive.night(NIGHTS[0]) == 1
    assert archive.night(NIGHTS[1]) == 0
    bucket.put("films/later/b.dcm", film_of(SOPInstanceUID="1.2.2"))
    assert archive.night(NIGHTS[2]) == 1
    assert times_scored(archive) == [1, 1]
    assert states(archive) == ["begun", "nothing_new", "begun"]


@pytest.mark.processes
def test_labels_in_a_bucket_are_fetched_each_time_and_waited_for(
    archive: Archive, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.schedule()
    archive.night(NIGHTS[0])
    schedules.remove(archive.database, "night", NIGHTS[0])
    labels = archive.manifest.read_bytes()
    bucket.put("read.csv", labels.replace(b"No Finding", b"Edema"))
    archive.schedule(Evaluate(run=1, labels=f"{bucket.uri}/read.csv", label_set="readers"))
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        archive.tick(NIGHTS[1])
    (night,) = schedules.active(archive.database)
    assert "refuses connections" in (night.waits_for or "")
    archive.night(NIGHTS[1])
    bucket.put("read.csv", labels.replace(b"No Finding", b"Mass"))
    archive.night(NIGHTS[2])
    with archive.database.read() as connection:
        found = connection.execute(
            text("SELECT label_set, labels, labels_sha256 FROM evaluations ORDER BY evaluation_id")
        ).all()
    assert [row.labels for row in found[1:]] == [f"{bucket.uri}/read.csv"] * 2
    assert len({row.labels_sha256 for row in found}) == 3


def test_the_command_keeps_what_makes_the_manifest(nightread: Nightread, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    when = ("schedule", "add", "night", "--cron", "0 2 * * *", "score", "--model", "stub")
    done = nightread.call(*when, tmp_path / "films")
    assert done.returncode == 0, done.stderr
    (kept,) = json.loads(nightread.call("schedule", "list", "--json").stdout)
    assert kept["action"]["archive"]["place"] == str(tmp_path / "films")
    assert kept["action"]["images"] == str(tmp_path / "films")


@pytest.mark.parametrize(
    ("place", "more", "status", "says"),
    [
        ("{host}", (), 200, "due next"),
        ("{host}", ("--since", "2d", "--modality", "dx"), 200, "due next"),
        ("{host}", ("--since", "gestern"), 200, "--since"),
        ("{host}", ("--modality", "XRAY"), 200, "--modality"),
        ("{host}", (), 401, "NIGHTREAD_DICOMWEB_TOKEN"),
        ("dicomweb+http://127.0.0.1:1/x", (), 200, "does not answer"),
        ("dicomweb+https://user:hidden@pacs/x", (), 200, "holds no user"),
        ("gone.csv", ("--since", "2d"), 200, "is for a service"),
    ],
)
def test_what_would_fail_every_night_is_said_when_the_schedule_is_added(
    nightread: Nightread, place: str, more: tuple[str, ...], status: int, says: str
) -> None:
    with serving(lambda _: Answer(status, b"[]")) as host:
        place = place.format(host=f"dicomweb+http://{host}/dicom-web")
        when = ("schedule", "add", "night", "--cron", "0 2 * * *", "score", "--model", "stub")
        done = nightread.call(*when, place, *more)
    said = f"{done.stdout} {done.stderr}".replace("\n", " ")
    assert says in said
    assert "hidden" not in said
    assert (done.returncode == 0) == (says == "due next")
