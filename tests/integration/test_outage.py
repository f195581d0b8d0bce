"""A database that is away for longer than a lease costs no batch an attempt, and no image its score."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import FakeBroker
from sqlalchemy import select
from storm.storm import Postgresql
from support import eventually, make_run

from config.settings import Settings
from db import queries
from db.database import Database
from db.errors import DatabaseAwayError
from db.ledger import Claim
from db.outcomes import Outcome
from db.schema.runs import batch
from db.upgrade import upgrade
from jobs.dispatch.reconcile import reconcile
from workers.runtime.child import Child
from workers.scoring.stub import StubScorer

pytestmark = pytest.mark.processes

LEASE_SECONDS = 3.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgresql]:
    made = Postgresql(tmp_path / "postgresql")
    yield made
    made.remove()


@pytest.mark.parametrize("when", ["at work", "its results are to be written"])
def test_an_outage_longer_than_a_lease_counts_as_no_attempt(
    server: Postgresql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    settings = Settings(home=tmp_path, database_url=server.url, lease_seconds=LEASE_SECONDS, max_attempts=1)
    database = Database(server.url)
    upgrade(database)
    run_id = make_run(database, tmp_path, 4, batch_size=4)
    broker = FakeBroker()
    reconcile(database, broker, settings)
    child = Child(settings, broker, threads=1)
    working, back = threading.Event(), threading.Event()
    score = StubScorer.score

    def slow(scorer: StubScorer, held: Claim) -> list[Outcome]:
        working.set()
        assert back.wait(60)
        return score(scorer, held)

    monkeypatch.setattr(StubScorer, "score", slow)
    worker = threading.Thread(target=child.score_batch, args=(1,))
    worker.start()
    assert working.wait(30)
    server.control("-m", "immediate", "stop")
    if when != "at work":
        back.set()
    time.sleep(2 * LEASE_SECONDS)  # the outage: nothing can be asked meanwhile
    server.start()
    back.set()

    def done() -> bool:
        try:
            reconcile(database, broker, settings)
        except DatabaseAwayError:
            return False
        return queries.progress(database, run_id).scored == 4

    eventually(done, 60, "the batch is written")
    worker.join(30)
    assert not worker.is_alive()
    with database.read() as connection:
        rows = connection.execute(select(batch.c.state, batch.c.attempt)).all()
    assert [tuple(row) for row in rows] == [("done", 1)], "neither tried again nor split"
    assert queries.progress(database, run_id).failed == 0
    child._database.dispose()
    database.dispose()
