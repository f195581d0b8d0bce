"""Which messages a worker takes: a stand-in for Celery's, since only its headers and body are looked at."""

from typing import Any

import pytest

from config.queues import EVALUATE, RECONCILE, SCORE_BATCH
from workers.runtime.consumer import _our_headers

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
