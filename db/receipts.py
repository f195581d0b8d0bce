"""Transactions that may be repeated while the database is away, and are carried out once all the same.

A connection that breaks at COMMIT leaves its client without an answer: the transaction may have happened or
not. Each one here leaves a receipt, which whoever repeats it finds.
"""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential,
    wait_random,
)

from db.database import Database
from db.errors import DatabaseAwayError
from db.schema.receipts import receipt

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE_SECONDS: Final = 60.0
"""For how long a command's own transaction is repeated."""

_KEPT: Final = timedelta(days=1)


class Patiently(Protocol):
    """Runs a transaction, again if need be while the database is away, as `patiently` does."""

    def __call__(self, action: Callable[[], T]) -> T:
        """Return the action's result."""


def patiently(action: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Repeat an action while the database is away, for so many seconds; then DatabaseAwayError comes through.

    The action must bear being repeated after it was committed, as the answer to a COMMIT can be lost. The log
    says once what is waited for.
    """
    said = ""

    def say(state: RetryCallState) -> None:
        nonlocal said
        reason = str(state.outcome and state.outcome.exception())
        if reason != said:
            log.warning("waiting: %s", reason)
        said = reason

    retrying = Retrying(
        retry=retry_if_exception_type(DatabaseAwayError),
        wait=wait_exponential(multiplier=0.1, max=5.0) + wait_random(0, 1),
        stop=stop_after_delay(seconds),
        before_sleep=say,
        reraise=True,
    )
    return retrying(action)


def write_once(database: Database, action: Callable[[Connection], T]) -> T:
    """Carry out a write transaction once, however often it has to be repeated; returns its answer.

    The answer must be JSON's: numbers, texts, None, and lists of them.
    """
    token = uuid4().hex

    def attempt() -> T:
        now = datetime.now(UTC)
        with database.write() as connection:
            # Should the first attempt still be under way in the server, this waits for its end.
            fresh = connection.execute(
                upsert(receipt)
                .values(token=token, written_at=now)
                .on_conflict_do_nothing()
                .returning(receipt.c.token)
            ).first()
            mine = receipt.c.token == token
            if fresh is None:
                kept = connection.execute(select(receipt.c.answer).where(mine)).scalar_one()
                known: T = json.loads(kept)
                return known
            answer = action(connection)
            connection.execute(update(receipt).where(mine).values(answer=json.dumps(answer)))
            connection.execute(delete(receipt).where(receipt.c.written_at < now - _KEPT))
        return answer

    return patiently(attempt)
