"""`nightread status` says what a run waits for, and says nothing of one that moves or has ended."""

import json
from collections.abc import Callable

import pytest
from sqlalchemy import text
from support import LEASE, Nightread, close_run, make_run, score_batches

from db import ledger
from db.database import Database, clock
from db.upgrade import upgrade
from db.watch import leases_may_expire


@pytest.fixture
def database(nightread: Nightread) -> Database:
    made = nightread.database()
    upgrade(made)
    make_run(made, nightread.home, 8)
    return made


def begin(database: Database) -> None:
    """Let a worker claim the first batch."""
    (announced,) = ledger.take_pending(database, 1)
    assert ledger.claim(database, announced.batch_id, "worker", LEASE) is not None


def leave(database: Database) -> None:
    """Let a worker claim the first batch and die, as did all others ten minutes ago."""
    leases_may_expire(database, LEASE)
    begin(database)
    with database.write() as connection:
        connection.execute(text("UPDATE batch SET lease_expires_at = lease_expires_at - 600"))
        connection.execute(text("UPDATE watch SET seen_at = seen_at - 600"))


def nothing(_: Database) -> None:
    """No worker has come."""


def see(database: Database) -> None:
    """Let the ledger be reconciled after all had died."""
    leave(database)
    with database.write() as connection:
        now = connection.execute(clock().select()).scalar_one()
        connection.execute(text("UPDATE watch SET seen_at = :now"), {"now": now})


@pytest.mark.parametrize(
    ("happens", "waits"),
    [
        (nothing, ["no worker has claimed a batch yet"]),
        (begin, []),
        (leave, ["nothing has moved for 0:10:00; start workers and beat, or nightread resume 1"]),
        (see, []),
    ],
)
def test_a_run_that_has_not_ended_waits_for_somebody(
    nightread: Nightread, database: Database, happens: Callable[[Database], None], waits: list[str]
) -> None:
    happens(database)
    (told,) = json.loads(nightread.call("status", "--json").stdout)
    assert told["waiting_for"] == waits
    shown = nightread.call("status")
    assert [line for line in shown.stderr.splitlines() if "waiting" in line] == [
        f"run 1: waiting: {reason}" for reason in waits
    ]


def test_a_run_that_has_ended_waits_for_nothing(nightread: Nightread, database: Database) -> None:
    score_batches(database, nightread.home / "models")
    close_run(database, 1)
    nightread.environment["NIGHTREAD_BROKER_URL"] = "redis://127.0.0.1:1/0"  # nobody asks it
    (told,) = json.loads(nightread.call("status", "1", "--json").stdout)
    assert (told["status"], told["waiting_for"]) == ("complete", [])
