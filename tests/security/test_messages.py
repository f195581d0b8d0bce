"""Who can write to the broker can send anything: workers take only what Nightread sends, and go on."""

import base64
import bz2
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import MetaData, text
from support import Nightread, QueueServer, eventually, write_manifest

from config.queues import CONTROL_QUEUE, EVALUATE, SCORE_BATCH, SCORE_QUEUE, celery_settings
from db import queries
from db.database import Database
from jobs.dispatch.broker import Broker

pytestmark = pytest.mark.processes

NO_CANVAS = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
DROPPED = "a message that Nightread did not send was dropped"
NO_ID = "a message without a valid id was dropped"


class Payload:
    """Makes a file as it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (f"touch {self.made}",)


def call(task: str = SCORE_BATCH, canvas: Any = None, /, **arguments: Any) -> bytes:
    """A message as Celery writes it, with any arguments."""
    return envelope(json.dumps([[], arguments, canvas or NO_CANVAS]).encode(), task=task)


def envelope(body: bytes, content_type: str = "application/json", **headers: Any) -> bytes:
    """A message with any body; `headers` go before those that are right."""
    task_id = str(uuid4())
    right = {"lang": "py", "task": SCORE_BATCH, "id": task_id, "argsrepr": "run 1, batch 1/1"}
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": right | headers,
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": SCORE_QUEUE},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    ).encode()


def no_headers() -> bytes:
    message = json.loads(call(batch_id=1))
    message["headers"] = []
    return json.dumps(message).encode()


def forgeries(made: Path) -> dict[str, tuple[bytes, str]]:
    """Messages by what is wrong with them, each with the words of the log line that it must leave."""
    command = f"touch {made}"
    good = json.dumps([[], {"batch_id": 1}, NO_CANVAS]).encode()
    signature = {"task": EVALUATE, "args": [1], "kwargs": {}, "options": {}, "immutable": True}
    wrong_ids = (-1, 0, True, False, "1", "1; DROP TABLE run", 1.0, None, [1], {"id": 1}, 2**31, 10**400)
    dropped = {
        "pickle": envelope(pickle.dumps([(), {}, Payload(made)]), "application/x-python-serialize"),
        "pickle said to be JSON": envelope(pickle.dumps([(), {}, Payload(made)])),
        "YAML": envelope(f"!!python/object/apply:os.system ['{command}']".encode(), "application/x-yaml"),
        "unknown content type": envelope(good, "application/octet-stream"),
        "unknown encoding": envelope(good, content_type="text/html"),
        "no JSON": envelope(b"{not json"),
        "no list": envelope(b'{"batch_id": 1}'),
        "a number": envelope(b"1"),
        "nested without end": envelope(b"[" * 200_000),
        "no headers": no_headers(),
        "unknown task": call("os.system", command=command),
        "task of Celery's": call("celery.chain"),
        "task that is no text": envelope(good, task=["nightread.score_batch"]),
        "id that is no text": envelope(good, id={"x": 1}),
        "id that forges a line of the log": envelope(good, id="1]\n2026-01-01T00:00:00Z CRITICAL lost"),
        "id without end": envelope(good, id="1" * 100_000),
        "text that is none": envelope(good, argsrepr=7),
        "task to call afterwards": call(SCORE_BATCH, NO_CANVAS | {"callbacks": [signature]}, batch_id=1),
        "20 MB": envelope(b"[" + b" " * 20_000_000 + b"]"),
        "20 MB, packed": envelope(bz2.compress(b" " * 20_000_000), compression="application/x-bz2"),
    }
    return (
        {what: (message, DROPPED) for what, message in dropped.items()}
        | {f"id {wrong!r:.20}": (call(batch_id=wrong), NO_ID) for wrong in wrong_ids}
        | {f"evaluation {wrong!r:.20}": (call(EVALUATE, evaluation_id=wrong), NO_ID) for wrong in (True, "1")}
        | {
            "a path beside the id": (call(batch_id=1, root="/"), "unexpected keyword argument"),
            "no arguments": (call(), "missing 1 required positional argument"),
            "expiry that is no time": (envelope(good, expires="never"), "invalid expires value"),
        }
    )


@pytest.fixture
def worker(cluster: Nightread) -> psutil.Process:
    """A worker that is ready."""
    started = cluster.start("worker", "--model", "stub", "--children", "1")
    eventually(lambda: " ready." in cluster.logs(), 60, "the worker is ready")
    return psutil.Process(started.pid)


@pytest.fixture
def done(cluster: Nightread, worker: psutil.Process, tmp_path: Path) -> int:
    """A run that the worker has scored and evaluated."""
    assert worker.is_running()
    manifest = write_manifest(tmp_path / "manifest.csv", 24)
    finished = cluster.run("score", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "8")
    assert finished.returncode == 0, finished.stderr + cluster.logs()
    return 1


def rows_of(database: Database) -> dict[str, list[Any]]:
    """All that is in the database."""
    found = MetaData()
    found.reflect(database.engine)
    with database.read() as connection:
        return {
            name: sorted(map(repr, connection.execute(table.select())))
            for name, table in found.tables.items()
        }


def answered(cluster: Nightread, queue: QueueServer, messages: list[bytes], name: str = SCORE_QUEUE) -> str:
    """Send messages and then one that is right; gives what the worker wrote when it has done them all."""
    log = cluster.home / "worker.0.log"
    before = log.stat().st_size
    with queue.client() as client:
        client.lpush(name, *messages, call(batch_id=2**31 - 1))
        told = f"batch id {2**31 - 1} is done, leased or not to be done"

        def written() -> str:
            return log.read_text(encoding="utf-8")[before:]

        eventually(lambda: told in written(), 60, "the worker came to the last message")
        eventually(lambda: not client.exists(name, "unacked"), 20, "no message is left")
    return written()


def test_a_forged_message_is_dropped_with_a_line_and_the_worker_goes_on(
    cluster: Nightread, queue_server: QueueServer, done: int, tmp_path: Path
) -> None:
    made = tmp_path / "made-by-a-message"
    database = cluster.database()
    before = rows_of(database)
    assert before["score"]
    worker = cluster.started[0]
    for what, (message, told) in forgeries(made).items():
        written = answered(cluster, queue_server, [message])
        assert told in written, f"{what}: {written}"
        assert len(written) < 8_000, what
        assert "\n2026-01-01" not in written, what
        # It was taken, dropped and went on: it did not end and was not started anew.
        assert "Unrecoverable" not in written, what
        assert "ready." not in written, what
        assert worker.poll() is None, what
    assert not made.exists()
    assert rows_of(database) == before
    assert queries.progress(database, done).status == "complete"


@pytest.mark.usefixtures("done")
def test_a_known_batch_or_evaluation_sent_again_changes_no_row(
    cluster: Nightread, queue_server: QueueServer
) -> None:
    database = cluster.database()
    with database.read() as connection:
        batches = connection.execute(text("SELECT id FROM batch")).scalars().all()
        evaluations = connection.execute(text("SELECT id FROM evaluation")).scalars().all()
    assert (len(batches), len(evaluations)) == (3, 1)
    before = rows_of(database)
    again = [call(batch_id=batch) for batch in batches] + [
        call(EVALUATE, evaluation_id=evaluation) for evaluation in evaluations
    ]
    # What only Celery's own programs set: when to begin, how long it may take.
    headers: list[dict[str, Any]] = [
        {"timelimit": ["x", "y"]},
        {"eta": "never"},
        {"retries": "x"},
        {"stamps": 1},
    ]
    again += [
        envelope(json.dumps([[], {"batch_id": batches[0]}, NO_CANVAS]).encode(), **header)
        for header in headers
    ]
    written = answered(cluster, queue_server, 10 * again)
    assert written.count("is done, leased or not to be done") == 10 * 7 + 1
    assert written.count("evaluation 1 is done, leased or lost to another") == 10
    assert "Traceback" not in written
    assert rows_of(database) == before


def test_remote_control_asks_a_worker_and_changes_nothing(
    cluster: Nightread, queue_server: QueueServer, worker: psutil.Process
) -> None:
    from celery import Celery

    app = Celery("sender", set_as_current=False)
    app.conf.update(celery_settings(queue_server.url, 10.0))
    before = {child.pid for child in worker.children(recursive=True)}
    for command, arguments in (
        ("shutdown", {}),
        ("pool_restart", {"modules": ["os"], "reload": True}),
        ("pool_shrink", {"n": 1}),
        ("cancel_consumer", {"queue": SCORE_QUEUE}),
        ("time_limit", {"task_name": SCORE_BATCH, "soft": 0.001, "hard": 0.001}),
        ("rate_limit", {"task_name": SCORE_BATCH, "rate_limit": "1/h"}),
        ("revoke", {"task_id": "1", "terminate": True}),
        ("hello", {"from_node": "x", "revoked": {"1": 1.0}}),
    ):
        app.control.broadcast(command, arguments)
    asking = app.control.inspect(timeout=2.0)
    answers = {
        name: getattr(asking, name)() for name in ("ping", "stats", "conf", "active_queues", "revoked")
    }
    app.close()
    assert all(len(answer) == 1 for answer in answers.values()), answers
    assert {child.pid for child in worker.children(recursive=True)} == before
    assert answered(cluster, queue_server, [call(batch_id=1)]).count("is done, leased") == 2
    settings = json.dumps(answers["conf"])
    assert SCORE_BATCH in settings
    assert queue_server.password not in settings


def test_what_is_not_even_a_message_costs_a_new_start_and_nothing_else(
    cluster: Nightread, queue_server: QueueServer, worker: psutil.Process
) -> None:
    written = answered(cluster, queue_server, [b"not JSON"])
    # Celery's transport fails over it before anything of ours sees it; it is gone from the queue by then.
    assert "starting again" in written
    assert worker.is_running()


def test_messages_carry_an_id_and_neither_path_nor_name(queue_server: QueueServer) -> None:
    from celery import Celery

    from db.ledger import Announcement

    app = Celery("sender", set_as_current=False)
    app.conf.update(celery_settings(queue_server.url, 10.0))
    broker = Broker(app)
    broker.announce([Announcement(batch_id=7, run_id=3, number=2, batches=5)])
    broker.announce_evaluation(4, 3)
    with queue_server.client() as client:
        sent = [json.loads(client.rpop(queue)) for queue in (SCORE_QUEUE, CONTROL_QUEUE)]
    app.close()
    arguments = [json.loads(base64.b64decode(message["body"]))[:2] for message in sent]
    assert arguments == [[[], {"batch_id": 7}], [[], {"evaluation_id": 4}]]
    assert [message["headers"]["argsrepr"] for message in sent] == ["run 3, batch 2/5", "run 3, evaluation 4"]
