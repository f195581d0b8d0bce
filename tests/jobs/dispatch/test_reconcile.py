"""The reconciler on an SQLite ledger: what died or was lost is announced again. The broker is a stand-in."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeBroker, stub_scorer
from sqlalchemy import case, select, update
from support import LEASE, make_run

from config.settings import Settings
from db import ledger, queries
from db.database import Database, clock
from db.ledger import Announcement
from db.schema.evaluations import evaluation
from db.schema.runs import batch
from db.schema.watch import watch
from db.states import RunStatus
from jobs.dispatch import reconcile as module
from jobs.dispatch.broker import BrokerAwayError
from jobs.dispatch.reconcile import announce_next, reconcile


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def run_id(sqlite: Database, tmp_path: Path) -> int:
    """A run of three batches of one image each."""
    return make_run(sqlite, tmp_path, 3, batch_size=1)


@pytest.fixture
def tick(sqlite: Database, broker: FakeBroker, tmp_path: Path) -> Callable[[], list[int]]:
    """Reconcile once; gives the batches that this announced."""
    settings = Settings(home=tmp_path, lease_seconds=LEASE)

    def once() -> list[int]:
        before = len(broker.batches)
        reconcile(sqlite, broker, settings)
        return broker.batches[before:]

    return once


def age(database: Database, **columns: Any) -> None:
    """Let moments of all batches lie longer back than a lease lasts."""
    with database.write() as connection:
        connection.execute(update(batch).values(**columns))


def score(database: Database, folder: Path, batch_id: int) -> None:
    held = ledger.claim(database, batch_id, "worker", LEASE)
    assert held is not None
    stub = stub_scorer(folder / "models")
    assert ledger.complete(database, held, stub.score(held))


Tick = Callable[[], list[int]]


@pytest.mark.usefixtures("run_id")
def test_pending_batches_are_announced_once(tick: Tick) -> None:
    assert tick() == [1, 2, 3]
    assert tick() == []


@pytest.mark.usefixtures("run_id")
def test_no_more_is_announced_than_may_be_in_flight(
    tick: Tick, sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MESSAGES_IN_FLIGHT", 2)
    assert tick() == [1, 2]
    assert tick() == []
    score(sqlite, tmp_path, 1)
    assert tick() == [3]


@pytest.mark.usefixtures("run_id")
def test_the_batch_of_a_worker_that_died_is_announced_again(
    tick: Tick, sqlite: Database, caplog: pytest.LogCaptureFixture
) -> None:
    tick()
    assert ledger.claim(sqlite, 2, "worker", LEASE)
    assert tick() == [], "its lease goes on"
    age(sqlite, lease_expires_at=clock() - 1.0)
    assert tick() == [2]
    assert "1 leases had expired" in caplog.text


def forget(database: Database, seconds: float) -> None:
    """Let the ledger have been reconciled last so many seconds ago, as before an outage; a grace is over."""
    with database.write() as connection:
        connection.execute(
            update(watch).values(
                seen_at=clock() - seconds,
                grace_until=case((watch.c.grace_until.is_(None), None), else_=clock() - 1.0),
            )
        )


@pytest.mark.usefixtures("run_id")
def test_after_an_outage_workers_may_renew_before_their_leases_are_taken_back(
    tick: Tick, sqlite: Database
) -> None:
    tick()
    alive, dead = (ledger.claim(sqlite, batch_id, "worker", LEASE) for batch_id in (1, 2))
    assert alive
    assert dead
    age(sqlite, lease_expires_at=clock() - 1.0)
    forget(sqlite, LEASE)
    assert tick() == []
    assert tick() == [], "nothing is taken back within the grace"
    assert ledger.renew(sqlite, alive, LEASE)
    forget(sqlite, LEASE)
    assert tick() == [2], "however long ago the last reconciliation was, the next one takes back"
    with sqlite.read() as connection:
        attempts = select(batch.c.state, batch.c.attempt).order_by(batch.c.id).limit(2)
        assert [tuple(row) for row in connection.execute(attempts)] == [("running", 1), ("queued", 1)]


@pytest.mark.usefixtures("run_id")
def test_leases_are_taken_back_as_ever_where_reconciliations_follow_each_other(
    tick: Tick, sqlite: Database
) -> None:
    tick()
    forget(sqlite, LEASE / 3)
    assert ledger.claim(sqlite, 1, "worker", LEASE)
    age(sqlite, lease_expires_at=clock() - 1.0)
    assert tick() == [1]


@pytest.mark.usefixtures("run_id")
def test_old_messages_are_lost_only_where_the_queue_is_empty(
    tick: Tick, broker: FakeBroker, sqlite: Database
) -> None:
    tick()
    age(sqlite, sent_at=clock() - LEASE - 1.0)
    broker.drained = False
    assert tick() == [], "a long queue is no loss"
    broker.drained = True
    assert tick() == [1, 2, 3]
    assert tick() == [], "these are fresh"


def test_a_run_whose_batches_are_done_has_its_evaluation_announced_until_somebody_takes_it(
    tick: Tick, broker: FakeBroker, sqlite: Database, tmp_path: Path, run_id: int
) -> None:
    for batch_id in tick():
        score(sqlite, tmp_path, batch_id)
    tick()
    tick()
    assert [run for _, run in broker.evaluations] == [run_id]
    assert queries.progress(sqlite, run_id).status is RunStatus.EVALUATING
    with sqlite.write() as connection:
        connection.execute(update(evaluation).values(sent_at=clock() - LEASE - 1.0))
    tick()
    assert [run for _, run in broker.evaluations] == [run_id, run_id]


def test_without_a_broker_the_ledger_is_brought_forward_all_the_same(
    tick: Tick,
    broker: FakeBroker,
    sqlite: Database,
    tmp_path: Path,
    run_id: int,
) -> None:
    for batch_id in tick():
        score(sqlite, tmp_path, batch_id)
    broker.away = True
    with pytest.raises(BrokerAwayError):
        tick()
    assert queries.progress(sqlite, run_id).status is RunStatus.EVALUATING


@pytest.mark.usefixtures("run_id")
def test_what_a_broker_that_was_away_did_not_take_is_sent_when_it_is_back(
    tick: Tick, broker: FakeBroker
) -> None:
    broker.away = True
    with pytest.raises(BrokerAwayError):
        tick()
    assert broker.batches == []
    broker.away = False
    assert tick() == [1, 2, 3], "at once, and not after a lease"
    assert tick() == []


def test_of_several_messages_only_those_that_were_not_taken_are_sent_again(
    tick: Tick, broker: FakeBroker, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_id
    with monkeypatch.context() as patch:
        announce = broker.announce

        def full_after_one(batches: Sequence[Announcement]) -> None:
            broker.away = bool(broker.batches)
            announce(batches)

        patch.setattr(broker, "announce", full_after_one)
        with pytest.raises(BrokerAwayError):
            tick()
    assert broker.batches == [1]
    broker.away = False
    assert tick() == [2, 3]


def test_an_evaluation_that_the_broker_did_not_take_is_sent_when_it_is_back(
    tick: Tick, broker: FakeBroker, sqlite: Database, tmp_path: Path, run_id: int
) -> None:
    for batch_id in tick():
        score(sqlite, tmp_path, batch_id)
    broker.away = True
    with pytest.raises(BrokerAwayError):
        tick()
    assert broker.evaluations == []
    broker.away = False
    tick()
    assert [run for _, run in broker.evaluations] == [run_id]


def test_one_batch_is_announced_in_place_of_one_that_ended(
    broker: FakeBroker, sqlite: Database, run_id: int
) -> None:
    assert [announce_next(sqlite, broker) for _ in range(4)] == [run_id, run_id, run_id, None]
    assert broker.batches == [1, 2, 3]
