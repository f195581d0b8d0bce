"""The ledger's promises about schedules and alerts, on both databases: each due time and each alert once."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import insert, select, text, update
from support import STUB_CARD, make_run, score_batches, write_card

from config.failures import Reason, Stage
from db import alerts, evaluations, queries, recovery, schedules
from db.alerts import Alert
from db.database import Database, bulk_insert, clock
from db.outcomes import Failed, Outcome
from db.runs import RowRange, create_run, unscored_rows
from db.schedules import DueTime, ScheduleNameTakenError, Settlement, UnknownScheduleError
from db.schema.archives import image, manifest, manifest_row
from db.schema.evaluations import evaluation
from db.schema.runs import batch, image_result, model, run
from db.schema.schedules import alert, schedule_due
from db.states import DueState

NIGHT = datetime(2026, 3, 2, 2, tzinfo=UTC)
DAY = timedelta(days=1)

T = TypeVar("T")


def at_once(count: int, action: Callable[[], T]) -> list[T]:
    """Do the same in so many threads that start together."""
    barrier = threading.Barrier(count)

    def start_together(_: int) -> T:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start_together, range(count)))


def add(database: Database, name: str = "night") -> int:
    return schedules.add(
        database,
        name=name,
        cron="0 2 * * *",
        timezone="UTC",
        action="{}",
        margin=0.02,
        now=NIGHT - DAY,
    )


def settle(database: Database, due: DueTime, settled: Settlement) -> None:
    held = schedules.claim(database, due, 60)
    assert held is not None
    with database.write() as connection:
        assert schedules.lock(connection, held)
        schedules.settle(connection, due, settled, due.due_at)


def set_status(database: Database, run_id: int, status: str) -> None:
    with database.write() as connection:
        connection.execute(update(run).where(run.c.id == run_id).values(status=status))


def score_all(database: Database, folder: Path, failing: Sequence[str] = ()) -> None:
    """Do what workers do with all batches that there are."""
    with database.read() as connection:
        named = connection.execute(select(image.c.id).where(image.c.image_index.in_(failing)))
        failed = set(named.scalars())

    def change(outcome: Outcome) -> Outcome:
        if outcome.image_id in failed:
            return Failed(outcome.image_id, Stage.READ, Reason.MISSING, "there is no such file")
        return outcome

    score_batches(database, folder / "models", change=change)


def unscored(database: Database, run_id: int) -> list[tuple[int, int]]:
    """The rows of a run's manifest that its model has not scored."""
    with database.read() as connection:
        of = connection.execute(select(run).where(run.c.id == run_id)).one()
        return [(rows.first, rows.last) for rows in unscored_rows(connection, of.manifest_id, of.model_id)]


# --- schedules ---------------------------------------------------------------------------------------------


def test_a_name_is_taken_while_its_schedule_is_active_and_free_after(database: Database) -> None:
    first = add(database)
    with pytest.raises(ScheduleNameTakenError, match="nightread schedule remove night"):
        add(database)
    schedules.remove(database, "night", NIGHT)
    assert schedules.active(database) == []
    second = add(database)
    assert second != first
    assert [schedule.schedule_id for schedule in schedules.active(database)] == [second]
    with database.read() as connection:
        kept = connection.execute(text("SELECT COUNT(*) FROM schedules WHERE schedule = 'night'"))
        assert kept.scalar_one() == 2


def test_removing_what_is_not_there_says_where_to_look(database: Database) -> None:
    with pytest.raises(UnknownScheduleError, match=r"'night'.*nightread schedule list"):
        schedules.remove(database, "night", NIGHT)


def test_a_due_time_is_noted_once_however_many_ask_at_once(database: Database) -> None:
    schedule_id = add(database)
    noted = at_once(8, lambda: schedules.note_due(database, schedule_id, NIGHT))
    assert sum(noted) == 1
    assert schedules.to_act_on(database) == [DueTime(schedule_id, NIGHT)]


def test_two_clocks_that_differ_make_no_second_due_time_while_the_first_waits(database: Database) -> None:
    schedule_id = add(database)
    times = iter((NIGHT, NIGHT + DAY))
    noted = at_once(2, lambda: schedules.note_due(database, schedule_id, next(times)))
    assert sum(noted) == 1


def test_an_earlier_time_than_the_noted_one_is_never_noted(database: Database) -> None:
    schedule_id = add(database)
    assert schedules.note_due(database, schedule_id, NIGHT)
    settle(database, DueTime(schedule_id, NIGHT), Settlement(DueState.NOTHING_NEW))
    assert not schedules.note_due(database, schedule_id, NIGHT - DAY / 2)
    assert not schedules.note_due(database, schedule_id, NIGHT)
    assert schedules.note_due(database, schedule_id, NIGHT + DAY)


def test_while_a_schedules_run_goes_on_no_later_time_is_noted(database: Database, tmp_path: Path) -> None:
    schedule_id, run_id = add(database), make_run(database, tmp_path, 4)
    schedules.note_due(database, schedule_id, NIGHT)
    settle(database, DueTime(schedule_id, NIGHT), Settlement(DueState.BEGUN, run_id=run_id))
    for status in ("running", "evaluating"):
        set_status(database, run_id, status)
        assert [schedule.going for schedule in schedules.active(database)] == [True]
        assert not schedules.note_due(database, schedule_id, NIGHT + DAY)
    set_status(database, run_id, "complete")
    assert schedules.note_due(database, schedule_id, NIGHT + DAY)


def test_while_a_schedules_evaluation_goes_on_no_later_time_is_noted(
    database: Database, tmp_path: Path
) -> None:
    schedule_id, run_id = add(database), make_run(database, tmp_path, 4)
    with database.write() as connection:
        asked = evaluations.EvaluationRequest(label_manifest_id=1, label_set="a", schedule_id=schedule_id)
        evaluation_id = evaluations.ask(connection, run_id, asked)
    schedules.note_due(database, schedule_id, NIGHT)
    settle(database, DueTime(schedule_id, NIGHT), Settlement(DueState.BEGUN, evaluation_id=evaluation_id))
    for state, free in (("due", False), ("queued", False), ("running", False), ("failed", True)):
        with database.write() as connection:
            connection.execute(update(evaluation).values(state=state))
        assert schedules.note_due(database, schedule_id, NIGHT + DAY) == free


def test_a_due_time_is_acted_on_by_one_of_many(database: Database) -> None:
    due = DueTime(add(database), NIGHT)
    schedules.note_due(database, due.schedule_id, due.due_at)

    def act() -> bool:
        held = schedules.claim(database, due, 60)
        if held is None:
            return False
        with database.write() as connection:
            assert schedules.lock(connection, held)
            schedules.settle(connection, due, Settlement(DueState.NOTHING_NEW), NIGHT)
        return True

    assert sum(at_once(6, act)) == 1
    assert schedules.to_act_on(database) == []


def test_what_dies_while_it_acts_leaves_the_due_time_to_the_next_once_its_lease_has_ended(
    database: Database,
) -> None:
    due = DueTime(add(database), NIGHT)
    schedules.note_due(database, due.schedule_id, due.due_at)
    dead = schedules.claim(database, due, 60)
    assert dead is not None
    assert schedules.to_act_on(database) == []
    assert schedules.claim(database, due, 60) is None
    assert schedules.renew(database, dead, -1)
    assert schedules.to_act_on(database) == [due]
    heir = schedules.claim(database, due, 60)
    assert heir is not None
    # Should it live all the same, it writes nothing.
    assert not schedules.renew(database, dead, 60)
    with database.write() as connection:
        assert not schedules.lock(connection, dead)
        assert schedules.lock(connection, heir)


def test_what_waits_says_since_when_and_is_tried_at_growing_intervals(database: Database) -> None:
    due = DueTime(add(database), NIGHT)
    schedules.note_due(database, due.schedule_id, due.due_at)
    for number in range(2):  # the second try is made at once
        held = schedules.claim(database, due, 60)
        assert held is not None
        assert held.waits_for == (None, "the PACS does not answer")[number]
        if number:
            with database.write() as connection:
                since = {"waits_since": datetime.now(UTC) - timedelta(minutes=1)}
                connection.execute(update(schedule_due).values(since))
        schedules.put_off(database, held, "the PACS does not answer")
    (waits,) = schedules.active(database)
    assert waits.waits_for == "the PACS does not answer"
    assert waits.going
    assert schedules.claim(database, due, 60) is None  # the third, half a minute later
    with database.write() as connection:
        connection.execute(update(schedule_due).values(not_before=schedule_due.c.not_before - 31))
    settle(database, due, Settlement(DueState.NOTHING_NEW))
    assert [schedule.waits_for for schedule in schedules.active(database)] == [None]


def test_nothing_is_done_any_more_for_a_removed_schedule(database: Database) -> None:
    schedule_id = add(database)
    schedules.note_due(database, schedule_id, NIGHT)
    schedules.remove(database, "night", NIGHT)
    assert schedules.to_act_on(database) == []
    assert not schedules.note_due(database, schedule_id, NIGHT + DAY)


# --- runs of what is new -----------------------------------------------------------------------------------


def test_rows_are_unscored_until_their_image_is_scored_and_failed_ones_stay_so(
    database: Database, tmp_path: Path
) -> None:
    run_id = make_run(database, tmp_path, 10, batch_size=3)
    assert unscored(database, run_id) == [(1, 10)]
    score_all(database, tmp_path, failing=["00000004_000.png", "00000005_000.png", "00000009_000.png"])
    assert unscored(database, run_id) == [(5, 6), (10, 10)]


def test_scores_of_another_model_or_of_another_manifest_of_the_archive(
    database: Database, tmp_path: Path
) -> None:
    make_run(database, tmp_path, 4)
    score_all(database, tmp_path)
    grown = make_run(database, tmp_path, 7)
    assert unscored(database, grown) == [(5, 7)]
    write_card(tmp_path / "models", STUB_CARD | {"sha256": "1" * 64})
    with database.write() as connection:
        other = connection.execute(
            insert(model).values(name="stub", sha256="1", card="{}", card_sha256="1").returning(model.c.id)
        ).scalar_one()
        assert unscored_rows(connection, 2, other) == [RowRange(1, 7)]


def test_a_run_of_some_rows_has_batches_over_these_only(database: Database, tmp_path: Path) -> None:
    make_run(database, tmp_path, 10)
    with database.write() as connection:
        run_id = create_run(
            connection,
            manifest_id=1,
            model_id=1,
            heatmaps="none",
            batch_size=3,
            version="0",
            rows=[RowRange(2, 5), RowRange(9, 9)],
            only_new=True,
            schedule_id=None,
        )
        ranges = connection.execute(
            select(batch.c.first_row, batch.c.last_row).where(batch.c.run_id == run_id).order_by(batch.c.id)
        ).all()
        made = connection.execute(select(run).where(run.c.id == run_id)).one()
    assert [tuple(rows) for rows in ranges] == [(2, 4), (5, 5), (9, 9)]
    assert (made.images, made.batches, made.only_new) == (5, 3, True)
    score_all(database, tmp_path)
    assert queries.progress(database, run_id).pending == 0


def test_a_run_without_an_image_closes_with_an_evaluation_of_its_schedule(
    database: Database, tmp_path: Path
) -> None:
    make_run(database, tmp_path, 4)
    schedule_id = add(database)
    with database.write() as connection:
        run_id = create_run(
            connection,
            manifest_id=1,
            model_id=1,
            heatmaps="none",
            batch_size=3,
            version="0",
            rows=[],
            only_new=True,
            schedule_id=schedule_id,
        )
    (due,) = recovery.close_finished(database)
    with database.read() as connection:
        made = connection.execute(select(evaluation).where(evaluation.c.id == due)).one()
    assert (made.run_id, made.schedule_id, made.closes_run) == (run_id, schedule_id, True)
    assert queries.progress(database, run_id).status == "evaluating"


def fill(database: Database, images: int, scored: int) -> tuple[int, int]:
    """A manifest of so many images, the first of which three runs of one model have scored."""
    with database.write() as connection:
        connection.execute(text("INSERT INTO archive (root) VALUES ('/archive')"))
        for table, values in (
            (model, {"name": "m", "sha256": "0", "card": "{}", "card_sha256": "0"}),
            (
                manifest,
                {"archive_id": 1, "fingerprint": "0", "path": "m.csv", "rows": images, "created_at": NIGHT},
            ),
        ):
            connection.execute(insert(table).values(**values))
        numbers = range(1, images + 1)
        bulk_insert(
            connection, image, ("archive_id", "image_index"), ((1, f"{number:08d}.png") for number in numbers)
        )
        bulk_insert(
            connection,
            manifest_row,
            ("manifest_id", "row_number", "image_id", "labels"),
            ((1, number, number, "0" * 14) for number in numbers),
        )
        for run_id in (1, 2, 3):
            assert run_id == create_run(
                connection, manifest_id=1, model_id=1, heatmaps="all", batch_size=images, version="0"
            )
            bulk_insert(
                connection,
                image_result,
                ("run_id", "image_id", "batch_id", "status", "maps"),
                ((run_id, number, run_id, "scored", bytes(2_800)) for number in range(run_id, scored + 1, 3)),
            )
    return 1, 1


def test_the_unscored_rows_of_an_archive_of_112120_images_are_found_within_3_seconds(
    database: Database,
) -> None:
    ids = fill(database, 112_120, 112_000)
    began = time.monotonic()
    with database.read() as connection:
        assert unscored_rows(connection, *ids) == [RowRange(112_001, 112_120)]
    seconds = time.monotonic() - began
    assert seconds < 3


# --- alerts ------------------------------------------------------------------------------------------------


@pytest.fixture
def raised(database: Database) -> Alert:
    """An alert that was raised this moment."""
    due = DueTime(add(database), NIGHT)
    with database.write() as connection:
        alerts.raise_failed(connection, due, "the manifest is gone")
    (waiting,) = alerts.undelivered(database, datetime.now(UTC))
    return waiting


def age(database: Database, **values: Any) -> None:
    with database.write() as connection:
        connection.execute(update(alert).values(**values))


def waits(database: Database) -> bool:
    return bool(alerts.undelivered(database, datetime.now(UTC)))


def test_an_alert_about_a_due_time_is_raised_once(database: Database, raised: Alert) -> None:
    with database.write() as connection:
        alerts.raise_failed(connection, DueTime(1, NIGHT), "the manifest is gone")
    assert len(alerts.since(database, raised.raised_at - DAY)) == 1
    with database.write() as connection:
        alerts.raise_failed(connection, DueTime(1, NIGHT + DAY), "the manifest is gone")
    assert len(alerts.since(database, raised.raised_at - DAY)) == 2


def test_a_try_of_a_delivery_is_taken_by_one_of_many(database: Database, raised: Alert) -> None:
    assert sum(at_once(8, lambda: alerts.claim(database, raised))) == 1
    assert not waits(database)


def test_the_pauses_between_tries_double(database: Database, raised: Alert) -> None:
    assert raised.tries == 0
    for tries, pause in ((1, 60), (2, 120), (3, 240), (10, 60 * 512)):
        age(database, tries=tries, tried_at=clock() - (pause - 5))
        assert not waits(database)
        age(database, tried_at=clock() - (pause + 5))
        assert waits(database)


def test_a_delivery_is_tried_for_a_day_and_never_after_it_arrived(database: Database, raised: Alert) -> None:
    assert alerts.undelivered(database, raised.raised_at + DAY - timedelta(minutes=1))
    assert not alerts.undelivered(database, raised.raised_at + DAY)
    alerts.set_delivered(database, raised.alert_id, NIGHT)
    assert not waits(database)
