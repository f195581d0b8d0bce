"""A lease is kept up in a thread for as long as its block lasts, with stand-ins for the database's answer."""

import itertools
from collections.abc import Callable
from threading import Event

import pytest

from db.errors import DatabaseAwayError
from jobs.lease import LeaseKeeper

SHORT = 0.03
"""Seconds: a lease that is renewed every 10 ms, so that the test waits for nothing but the renewals."""
LONG = 3600.0
PATIENCE = 30.0


def away() -> bool:
    raise DatabaseAwayError("the server is gone")


def answers(*given: Callable[[], bool]) -> tuple[Callable[[], bool], Event, list[int]]:
    """A renewal that gives these answers and then the last for ever; the event is set when all were given."""
    asked: list[int] = []
    all_asked = Event()
    following = itertools.chain(given, itertools.repeat(given[-1]))

    def renew() -> bool:
        asked.append(1)
        if len(asked) == len(given):
            all_asked.set()
        return next(following)()

    return renew, all_asked, asked


def held() -> bool:
    return True


def lost() -> bool:
    return False


def test_a_lease_is_renewed_while_the_block_lasts_and_not_after_it() -> None:
    renew, all_asked, _ = answers(held, held, held)
    with LeaseKeeper(renew, SHORT, "batch 1") as keeper:
        assert all_asked.wait(PATIENCE)
    assert not keeper._thread.is_alive()
    assert not keeper.lost


def test_a_lost_lease_is_told_and_asked_for_no_more(caplog: pytest.LogCaptureFixture) -> None:
    renew, _, asked = answers(held, lost)
    with LeaseKeeper(renew, SHORT, "batch 1") as keeper:
        keeper._thread.join(PATIENCE)
        assert keeper.lost
    assert len(asked) == 2
    assert "batch 1: the lease was lost" in caplog.text


def test_a_database_that_is_away_for_a_moment_costs_no_lease(caplog: pytest.LogCaptureFixture) -> None:
    renew, all_asked, _ = answers(away, held)
    with LeaseKeeper(renew, SHORT, "batch 1") as keeper:
        assert all_asked.wait(PATIENCE)
    assert not keeper.lost
    assert "the server is gone" in caplog.text


def test_the_end_of_the_block_does_not_wait_for_the_next_renewal() -> None:
    renew, _, asked = answers(held)
    with LeaseKeeper(renew, LONG, "batch 1") as keeper:
        pass
    assert not keeper._thread.is_alive()
    assert asked == []


def test_an_error_in_the_block_ends_the_renewals_too() -> None:
    renew, _, _ = answers(held)
    keeper = LeaseKeeper(renew, LONG, "batch 1")
    with pytest.raises(RuntimeError), keeper:
        raise RuntimeError
    assert not keeper._thread.is_alive()
