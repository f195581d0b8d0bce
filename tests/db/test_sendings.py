"""The ledger of sendings, on both databases: due with the run's end, held by one, and never lost."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update
from support import close_run, make_run, score_batches

from config.failures import Reason, Stage
from db import alerts, deliveries, evaluations, runs, schedules, sendings
from db.database import Database
from db.deliveries import Object
from db.leases import new_token
from db.outcomes import Failed, Outcome
from db.retries import retry_failed
from db.schedules import DueTime, Settlement
from db.schema.deliveries import sending
from db.sendings import Sending, SendingClaim
from db.states import DeliveryState, DueState, RunStatus, SendingState

PACS = "PACS@pacs.example:104"
NIGHT = datetime(2026, 3, 2, 2, tzinfo=UTC)
IMAGES = 3


@pytest.fixture
def run_id(database: Database, tmp_path: Path) -> int:
    """A run that is under way, of a schedule that sends its results."""
    run = make_run(database, tmp_path, IMAGES)
    schedule_id = schedules.add(
        database, name="night", cron="0 2 * * *", timezone="UTC", action="{}", margin=0.02, now=NIGHT
    )
    due = DueTime(schedule_id, NIGHT)
    schedules.note_due(database, schedule_id, NIGHT)
    with database.write() as connection:
        schedules.settle(connection, due, Settlement(DueState.BEGUN, run_id=run), NIGHT)
        sendings.ask(connection, run, PACS, ("dicom-sr",))
    return run


def complete(database: Database, folder: Path, run: int) -> None:
    score_batches(database, folder / "models", run)
    close_run(database, run)


def claimed(database: Database) -> SendingClaim:
    ((sending_id, _),) = sendings.take_due(database, 60)
    held = sendings.claim(database, sending_id, 60, new_token())
    assert held is not None
    return held


def only(database: Database, run: int) -> Sending:
    (found,) = sendings.of_run(database, run)
    return found


def messages(database: Database) -> list[str]:
    return [alert.message for alert in alerts.since(database, NIGHT - timedelta(days=400))]


def test_results_are_sent_once_the_run_is_complete_and_not_before(
    database: Database, tmp_path: Path, run_id: int
) -> None:
    assert sendings.take_due(database, 60) == []
    complete(database, tmp_path, run_id)
    ((sending_id, of_run),) = sendings.take_due(database, 60)
    assert of_run == run_id
    assert sendings.take_due(database, 60) == []  # it is announced
    assert len(sendings.take_due(database, -1)) == 1  # a message that was lost is sent again
    held = sendings.claim(database, sending_id, 60, new_token())
    assert held is not None
    assert (held.target, held.kinds, held.tls, held.waits_for) == (PACS, ("dicom-sr",), False, None)
    assert sendings.claim(database, sending_id, 60, new_token()) is None
    assert sendings.finish(database, held)
    assert sendings.finish(database, held)  # the answer to the first COMMIT may have been lost
    assert only(database, run_id).state == SendingState.DONE
    assert sendings.take_due(database, -1) == []
    assert messages(database) == []


def test_what_the_broker_does_not_take_stays_due(database: Database, tmp_path: Path, run_id: int) -> None:
    complete(database, tmp_path, run_id)
    ((sending_id, _),) = sendings.take_due(database, 60)
    sendings.put_back(database, [sending_id])
    assert len(sendings.take_due(database, 60)) == 1


def test_a_worker_that_died_is_followed_by_another_and_writes_nothing(
    database: Database, tmp_path: Path, run_id: int
) -> None:
    complete(database, tmp_path, run_id)
    dead = claimed(database)
    assert sendings.renew(database, dead, -1)
    assert sendings.expire(database, 3) == 1
    heir = claimed(database)
    assert not sendings.renew(database, dead, 60)
    assert not sendings.finish(database, dead)
    assert sendings.finish(database, heir)


def test_one_that_kills_its_workers_is_given_up_with_an_alert(
    database: Database, tmp_path: Path, run_id: int
) -> None:
    complete(database, tmp_path, run_id)
    for _ in range(3):
        sendings.renew(database, claimed(database), -1)
        assert sendings.expire(database, 3) == 1
    given_up = only(database, run_id)
    assert given_up.state == SendingState.FAILED
    assert given_up.message == "its worker died 3 times in a row (see the workers' log)"
    (message,) = messages(database)
    assert message.startswith(
        f"schedule night, run {run_id}: results are not sent to {PACS}: its worker died"
    )


def test_turns_and_waiting_are_nobodys_attempt(database: Database, tmp_path: Path, run_id: int) -> None:
    complete(database, tmp_path, run_id)
    for _ in range(5):
        sendings.release(database, claimed(database))
    for _ in range(5):
        sendings.release(database, claimed(database), "the PACS does not answer")
        with database.write() as connection:
            connection.execute(update(sending).values(not_before=None))
    sendings.renew(database, claimed(database), -1)
    sendings.expire(database, 3)
    assert only(database, run_id).state == SendingState.DUE


def test_a_receiver_that_is_away_is_asked_again_at_growing_intervals_and_told_after_an_hour(
    database: Database, tmp_path: Path, run_id: int
) -> None:
    complete(database, tmp_path, run_id)
    sendings.release(database, claimed(database), "the PACS does not answer")
    assert only(database, run_id).waits_for == "the PACS does not answer"
    assert messages(database) == []
    with database.write() as connection:
        since = {"waits_since": datetime.now(UTC) - timedelta(hours=1, minutes=1)}
        connection.execute(update(sending).values(since))
    held = claimed(database)
    assert held.waits_for == "the PACS does not answer"
    sendings.release(database, held, "the PACS does not answer")
    assert sendings.take_due(database, 60) == []
    (message,) = messages(database)
    assert message.endswith(f"results for {PACS} wait: the PACS does not answer")
    with database.write() as connection:
        connection.execute(update(sending).values(not_before=sending.c.not_before - 301))
    sendings.release(database, claimed(database))
    assert only(database, run_id).waits_for is None


def test_what_is_refused_is_counted_and_raises_an_alert(
    database: Database, tmp_path: Path, run_id: int
) -> None:
    complete(database, tmp_path, run_id)
    held = claimed(database)
    deliveries.plan(database, run_id, PACS, ("dicom-sr",))
    for due, state, status in zip(
        deliveries.due(database, run_id, PACS, ("dicom-sr",)),
        (DeliveryState.SENT, DeliveryState.REFUSED, DeliveryState.UNUSABLE),
        ("0x0000", "0xA900", deliveries.NOT_DICOM),
        strict=True,
    ):
        deliveries.record(
            database,
            run_id,
            PACS,
            due.image.image_id,
            [Object("dicom-sr", "")],
            state=state,
            status=status,
        )
    assert sendings.finish(database, held)
    found = only(database, run_id)
    assert (found.sent, found.refused, found.left, found.unsent) == (1, 1, 0, 1)
    (message,) = messages(database)
    assert message.startswith(f"schedule night, run {run_id}: {PACS} has not 1 results, which it refused")


def test_what_a_run_gains_when_its_failures_are_tried_again_is_sent_as_well(
    database: Database, tmp_path: Path, run_id: int
) -> None:
    missing = Failed(image_id=2, stage=Stage.READ, reason=Reason.MISSING, message="gone")

    def without_the_second(outcome: Outcome) -> Outcome:
        return missing if outcome.image_id == 2 else outcome

    score_batches(database, tmp_path / "models", run_id, without_the_second)
    close_run(database, run_id)
    assert sendings.finish(database, claimed(database))
    assert retry_failed(database, run_id) == 1
    assert sendings.take_due(database, 60) == []
    complete(database, tmp_path, run_id)
    assert len(sendings.take_due(database, 60)) == 1


def test_a_cancelled_run_is_sent_when_it_was_resumed_and_a_cancelled_sending_not_at_all(
    database: Database, tmp_path: Path, run_id: int
) -> None:
    assert runs.cancel(database, run_id)
    assert sendings.take_due(database, 60) == []
    assert only(database, run_id).state == SendingState.DUE
    assert runs.resume(database, run_id)
    complete(database, tmp_path, run_id)
    held = claimed(database)
    assert sendings.cancel(database, run_id) == 1
    assert sendings.cancel(database, run_id) == 0
    assert not sendings.renew(database, held, 60)
    assert not sendings.finish(database, held)
    assert only(database, run_id).state == SendingState.CANCELLED
    assert sendings.take_due(database, -1) == []


def test_a_schedule_that_is_removed_has_its_results_sent(
    database: Database, tmp_path: Path, run_id: int
) -> None:
    schedules.remove(database, "night", NIGHT)
    complete(database, tmp_path, run_id)
    assert len(sendings.take_due(database, 60)) == 1


def test_a_broken_run_is_not_sent_before_it_is_complete_after_all(
    database: Database, tmp_path: Path, run_id: int
) -> None:
    score_batches(database, tmp_path / "models", run_id)
    with database.write() as connection:
        connection.execute(text("UPDATE run SET status = 'broken'"))
    assert sendings.take_due(database, 60) == []
    with database.write() as connection:
        connection.execute(text("UPDATE run SET status = 'complete'"))
    assert len(sendings.take_due(database, 60)) == 1
    assert only(database, run_id).run_status == RunStatus.COMPLETE
    assert evaluations.take_due(database, 60) == []
