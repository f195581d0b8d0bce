"""The life of a worker: which GPU each child gets, and what it does before its first task."""

import logging
import os
import signal
import sys
import time
from typing import Final

import billiard.pool
from billiard.process import current_process
from celery.signals import setup_logging, worker_process_init

from config.errors import ConfigError
from config.logs import configure_logging
from config.machine import children_and_threads, gpu_ids
from config.settings import load_settings
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE
from jobs.dispatch.broker import Broker
from jobs.errors import AwayError, JobsError
from workers.runtime import tasks
from workers.runtime.app import app
from workers.runtime.memory import keep_freed_memory, return_freed_memory

log = logging.getLogger(__name__)

REFUSED: Final = signal.SIGRTMIN
"""A child sends this to its worker when the model is not what its card says; the worker then ends."""

FAILED: Final = signal.SIGRTMIN + 1
"""A child sends this to its worker when it cannot start for a reason that may pass, such as no memory."""

EXITS: Final = {REFUSED: EXIT_USAGE, FAILED: EXIT_INCOMPLETE}
"""The worker's exit codes: with the first one it is not started again."""


_LAST_LOOKS: Final = 10
"""How often, ten times a second, a child that ends looks whether its worker has read all that it sent."""


@setup_logging.connect
def _set_up_logging(**_: object) -> None:
    """Keep Celery from setting up its own handlers."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)


@worker_process_init.connect
def _start_child(**_: object) -> None:
    """Take a GPU, load the model and check it; a child that cannot ends the worker."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    threads = children_and_threads(settings)[1]
    keep_freed_memory(threads)
    # A worker that is told to end no longer counts what its children send, and one that ends a batch then
    # would wait half a minute for it. It is in the pipe all the same, and the ledger does without.
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _LAST_LOOKS
    # Ctrl-C reaches the whole group of a terminal's processes; the parent alone decides how to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gpus = gpu_ids()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[current_process().index % len(gpus)]
    try:
        from workers.runtime.child import Child  # noqa: PLC0415  # loads numeric libraries, which no parent needs

        child = Child(settings, Broker(app), threads)
        child.warm_up()
        return_freed_memory()  # of loading: pictures take less
    except Exception as error:  # Celery would log it and send messages to this half-made child
        refused = isinstance(error, ConfigError | JobsError) and not isinstance(error, AwayError)
        log.critical(
            "%s: %s", "refusing to start" if refused else "cannot start now", error, exc_info=not refused
        )
        worker = os.getppid()
        os.kill(worker, REFUSED if refused else FAILED)
        while os.getppid() == worker:  # exiting before the worker has ended would make it start another child
            time.sleep(0.05)
        sys.exit(1)
    tasks.set_child(child)
