"""Which messages a worker takes: a stand-in for Celery's, since only its headers and body are looked at."""

import os
import time
from threading import Event, Timer
from threading import enumerate as threads
from typing import Any

import pytest
from celery.exceptions import WorkerShutdown
from celery.worker import state
from celery.worker.consumer import Consumer

from config.queues import EVALUATE, RECONCILE, SCORE_BATCH
from workers.commands import worker
from workers.runtime import consumer
from workers.runtime.consumer import StrictConsumer, _our_headers

NO_CANVAS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class FakeMessage:
    """A message off the queue, with the headers of one of ours but for those given."""

    def __init__(self, body: Any = ([], {"batch_id": 1}, NO_CANVAS), **headers: Any) -> None:
        self.body = body
        self.headers = {"task": SCORE_BATCH, "id": "a-1", "argsrepr": "run 1, batch 1/1"} | headers

    def decode(self) -> Any:
        if isinstance(self.body, Exception):
            raise self.body
        return self.body


@pytest.mark.parametrize("task", [SCORE_BATCH, EVALUATE, RECONCILE])
def test_our_tasks_are_taken(task: str) -> None:
    headers = _our_headers(FakeMessage(task=task))
    assert headers is not None
    assert (headers["task"], headers["id"], headers["argsrepr"]) == (task, "a-1", "run 1, batch 1/1")


def test_what_else_stands_in_the_headers_does_not_reach_celery() -> None:
    more = {"timelimit": ["soon", {}], "reply_to": "elsewhere", "eta": "2099-01-01", "retries": -1}
    assert _our_headers(FakeMessage(**more)) == _our_headers(FakeMessage())


def test_the_time_at_which_a_reconciliation_is_too_late_is_kept() -> None:
    headers = _our_headers(FakeMessage(task=RECONCILE, expires="2026-01-01T00:00:00"))
    assert headers is not None
    assert headers["expires"] == "2026-01-01T00:00:00"


@pytest.mark.parametrize(
    "message",
    [
        FakeMessage(task="os.system"),
        FakeMessage(task=[SCORE_BATCH]),
        FakeMessage(task=None),
        FakeMessage(id="1]\n2026-01-01 CRITICAL lost"),
        FakeMessage(id="1" * 201),
        FakeMessage(id=7),
        FakeMessage(argsrepr=None),
        FakeMessage(expires=12.5),
        FakeMessage(body=((), {"batch_id": 1}, NO_CANVAS)),
        FakeMessage(body=([], [], NO_CANVAS)),
        FakeMessage(body=([], {}, NO_CANVAS | {"chain": [{"task": EVALUATE}]})),
        FakeMessage(body=([], {}, None)),
        FakeMessage(body=1),
        FakeMessage(body=RecursionError()),
    ],
    ids=lambda message: repr(message.body)[:20] + repr(list(message.headers.values()))[:60],
)
def test_a_message_of_another_shape_is_none_of_ours(message: FakeMessage) -> None:
    assert _our_headers(message) is None


def test_a_message_without_a_header_is_none_of_ours() -> None:
    message = FakeMessage()
    del message.headers["argsrepr"]
    assert _our_headers(message) is None


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Event:
    """A consumer's end, after which it shall begin again at once; set when it does."""
    begun = Event()

    def end(_: Consumer) -> None:
        raise WorkerShutdown(1)

    monkeypatch.setattr(Consumer, "start", end)
    monkeypatch.setattr(consumer, "_END_SECONDS", 0.0)
    monkeypatch.setattr(consumer, "begin_again", begun.set)
    return begun


def end_it() -> None:
    with pytest.raises(WorkerShutdown):
        StrictConsumer.__new__(StrictConsumer).start()


def test_a_worker_that_lost_its_broker_begins_again_though_its_end_does_not_come(ending: Event) -> None:
    end_it()
    assert ending.wait(30)


@pytest.mark.parametrize("told", ["should_stop", "should_terminate"])
def test_a_worker_that_was_told_to_end_does_not_begin_again(
    ending: Event, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setattr(state, told, 0)
    end_it()
    assert [thread for thread in threads() if isinstance(thread, Timer)] == []
    assert not ending.is_set()


@pytest.mark.parametrize(("told", "begins"), [(None, True), (0, False)])
def test_a_worker_that_is_told_to_end_while_it_waits_to_begin_again_ends(
    monkeypatch: pytest.MonkeyPatch, told: int | None, begins: bool
) -> None:
    begun = []
    monkeypatch.setattr(state, "should_stop", None)
    monkeypatch.setattr(time, "sleep", lambda _: monkeypatch.setattr(state, "should_stop", told))
    monkeypatch.setattr(os, "execv", lambda *program: begun.append(program))
    worker._run_until_stopped(lambda _: None, [])
    assert bool(begun) == begins
