"""Many files looked into by several processes, in order; none of them outlives the command."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from typing import Final, TypeVar

from jobs.errors import AwayError

Work = TypeVar("Work")
Result = TypeVar("Result")

_AHEAD: Final = 4
"""Pieces of work that wait for each process."""


def in_processes(do: Callable[[Work], Result], work: Iterable[Work], processes: int) -> Iterator[Result]:
    """Give each piece of work to one of several processes; the results come in the work's order.

    Few pieces are in memory at a time, however many there are. Raises AwayError where a process is ended
    from outside.
    """
    # A forked process would have the locks of the command's threads, but not the threads.
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawning, _begin) as pool:
        try:
            given: deque[Future[Result]] = deque()
            for piece in work:
                given.append(pool.submit(do, piece))
                if len(given) >= _AHEAD * processes:
                    yield given.popleft().result()
            while given:
                yield given.popleft().result()
        except BrokenProcessPool:
            raise AwayError(
                "a process that reads files was ended from outside; try again, with a smaller --jobs if the "
                "memory is short"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Set a process up: Ctrl-C is the command's, which ends it, and it also ends if that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_the_command, daemon=True).start()


def _end_with_the_command() -> None:
    command = multiprocessing.parent_process()
    if command is not None:
        command.join()
        os._exit(1)
