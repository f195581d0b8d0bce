"""A worker's turn with a sending: it goes on where another stopped, and waits for whoever is away."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from films import film_of
from orthanc import Orthanc
from pydantic import SecretStr
from results_support import complete_film, small
from sqlalchemy import text
from support import close_run, make_run, score_batches

import workers.sending
from config.settings import Settings
from db import deliveries, sendings
from db.database import Database
from db.sendings import Sending
from db.states import SendingState
from workers.sending import send

T = TypeVar("T")
IMAGES = 4


def patiently(action: Callable[[], T]) -> T:
    return action()


@pytest.fixture
def settings(tmp_path: Path, orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in orthanc.environment.items():
        monkeypatch.setenv(name, value)
    return Settings(home=tmp_path, dicomweb_user=orthanc.user, dicomweb_password=SecretStr(orthanc.password))


@pytest.fixture
def run_id(database: Database, tmp_path: Path) -> int:
    """A complete run over films."""
    for number in range(IMAGES):
        film = complete_film(
            SOPInstanceUID=f"1.2.3.{number}", StudyInstanceUID=f"1.2.9.{number}", PatientID=f"P{number}"
        )
        (tmp_path / f"{number:08d}_000.png").write_bytes(film)
    run = make_run(database, tmp_path, IMAGES)
    score_batches(database, tmp_path / "models", run, small)
    close_run(database, run)
    return run


def asked(database: Database, run: int, target: str, *kinds: str) -> int:
    with database.write() as connection:
        sendings.ask(connection, run, target, kinds or None)
    ((sending_id, _),) = sendings.take_due(database, 60)
    return sending_id


def again(database: Database) -> int:
    with database.write() as connection:
        connection.execute(text("UPDATE sending SET not_before = NULL"))
    ((sending_id, _),) = sendings.take_due(database, 60)
    return sending_id


def only(database: Database, run: int) -> Sending:
    (found,) = sendings.of_run(database, run)
    return found


@pytest.mark.parametrize("way", ["dicom", "dicomweb"])
def test_all_that_the_run_has_is_sent(
    database: Database, settings: Settings, orthanc: Orthanc, run_id: int, way: str
) -> None:
    target = orthanc.dicom if way == "dicom" else orthanc.dicomweb
    sending_id = asked(database, run_id, target)
    assert not send(database, settings, sending_id, patiently)
    done = only(database, run_id)
    assert (done.state, done.left, done.refused) == (SendingState.DONE, 0, 0)
    assert done.sent == len(orthanc.instances()) > IMAGES
    assert not send(database, settings, sending_id, patiently)  # a message that was redelivered
    assert done.sent == len(orthanc.instances())


def test_turns_follow_each_other_until_all_is_sent(
    database: Database,
    settings: Settings,
    orthanc: Orthanc,
    run_id: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers.sending, "_TURN_SECONDS", 0.0)  # an image each
    sending_id = asked(database, run_id, orthanc.dicom, "dicom-sr")
    turns = 1
    while send(database, settings, sending_id, patiently):
        assert len(orthanc.instances()) == turns
        sending_id = again(database)
        turns += 1
    assert turns == IMAGES + 1
    counted = deliveries.counts(database, run_id)
    assert [(count.state, count.objects) for count in counted] == [("sent", IMAGES)]
    assert only(database, run_id).state == SendingState.DONE


def test_whoever_is_away_or_refuses_us_is_waited_for_and_said_once(
    database: Database,
    settings: Settings,
    orthanc: Orthanc,
    run_id: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    sending_id = asked(database, run_id, orthanc.dicomweb, "dicom-sr")
    orthanc.stop()
    assert not send(database, settings, sending_id, patiently)
    assert "does not answer" in (only(database, run_id).waits_for or "")
    orthanc.start()
    locked_out = settings.model_copy(update={"dicomweb_password": SecretStr("not-this-one")})
    assert not send(database, locked_out, again(database), patiently)
    waits = only(database, run_id)
    assert "refuses the credentials (status 401)" in (waits.waits_for or "")
    assert (waits.state, orthanc.instances()) == (SendingState.DUE, [])
    assert not send(database, settings, again(database), patiently)
    assert (only(database, run_id).state, only(database, run_id).sent) == (SendingState.DONE, IMAGES)
    said = [record.getMessage() for record in caplog.records if record.name == "workers.sending"]
    assert [line.partition(": ")[2].split(":")[0] for line in said] == ["waiting", "goes on; it waited for"]
    assert "not-this-one" not in caplog.text


def test_films_whose_folder_is_away_are_waited_for(
    database: Database, settings: Settings, orthanc: Orthanc, run_id: int, tmp_path: Path
) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE archive SET root = :root"), {"root": str(tmp_path / "unmounted")})
    sending_id = asked(database, run_id, orthanc.dicom)
    assert not send(database, settings, sending_id, patiently)
    assert "unmounted: there is no such folder" in (only(database, run_id).waits_for or "")
    assert deliveries.counts(database, run_id) == []
    (tmp_path / "unmounted").symlink_to(tmp_path)
    assert not send(database, settings, again(database), patiently)
    assert only(database, run_id).state == SendingState.DONE


def test_a_run_over_pictures_has_nothing_to_send_and_says_so(
    database: Database, settings: Settings, orthanc: Orthanc, run_id: int, tmp_path: Path
) -> None:
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    sending_id = asked(database, run_id, orthanc.dicom)
    assert not send(database, settings, sending_id, patiently)
    failed = only(database, run_id)
    assert failed.state == SendingState.FAILED
    assert failed.message == f"no image of run {run_id} is a DICOM file, so there are no DICOM results"


def test_what_a_model_without_a_network_cannot_show_is_said(
    database: Database, settings: Settings, orthanc: Orthanc, run_id: int
) -> None:
    sending_id = asked(database, run_id, orthanc.dicom, "dicom-sc")
    assert not send(database, settings, sending_id, patiently)
    assert only(database, run_id).message == "model stub has no network, and its maps no picture to lie on"


def test_films_that_failed_cost_only_themselves(
    database: Database, settings: Settings, orthanc: Orthanc, run_id: int, tmp_path: Path
) -> None:
    (tmp_path / "00000002_000.png").unlink()
    (tmp_path / "00000003_000.png").write_bytes(film_of(Rows=1))
    sending_id = asked(database, run_id, orthanc.dicom, "dicom-sr")
    assert not send(database, settings, sending_id, patiently)
    done = only(database, run_id)
    assert (done.state, done.sent, done.unusable) == (SendingState.DONE, IMAGES - 2, 2)
