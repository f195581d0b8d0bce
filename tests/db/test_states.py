"""The states are the words that the migrated database admits, and no others."""

import re
from enum import StrEnum
from pathlib import Path

import pytest
from sqlalchemy import inspect, select
from support import make_run

from db import queries
from db.database import Database
from db.schema.runs import batch
from db.states import (
    OPEN_BATCHES,
    OPEN_EVALUATIONS,
    BatchState,
    DeliveryState,
    DueState,
    EvaluationState,
    ImageStatus,
    RunStatus,
)


def quoted(sql: str) -> set[str]:
    return set(re.findall(r"'([a-z_]+)'", sql))


@pytest.mark.parametrize(
    ("table", "states"),
    [
        ("run", RunStatus),
        ("batch", BatchState),
        ("image_result", ImageStatus),
        ("evaluation", EvaluationState),
        ("schedule_due", DueState),
        ("delivery", DeliveryState),
    ],
)
def test_the_database_admits_the_states_and_no_other(
    database: Database, table: str, states: type[StrEnum]
) -> None:
    checks = inspect(database.engine).get_check_constraints(table)
    (check,) = [check for check in checks if str(check["name"]).endswith(("_state", "_status"))]
    assert quoted(check["sqltext"]) == set(states)


def test_the_index_of_open_batches_is_over_the_open_states(database: Database) -> None:
    indexes = inspect(database.engine).get_indexes("batch")
    (open_batches,) = [index for index in indexes if index["name"] == "ix_batch_open"]
    where = open_batches["dialect_options"][f"{database.dialect}_where"]
    assert quoted(str(where)) == set(OPEN_BATCHES)


def test_a_state_is_read_as_its_enums_member(database: Database, tmp_path: Path) -> None:
    run_id = make_run(database, tmp_path, 1)
    assert queries.progress(database, run_id).status is RunStatus.RUNNING
    with database.read() as connection:
        assert connection.execute(select(batch.c.state)).scalar_one() is BatchState.PENDING


def test_a_settled_evaluation_is_one_that_is_not_open() -> None:
    assert {state for state in EvaluationState if not state.settled} == set(OPEN_EVALUATIONS)


def test_a_state_is_told_by_its_own_word() -> None:
    assert f"run 1 is {RunStatus.EVALUATING}" == "run 1 is evaluating"
