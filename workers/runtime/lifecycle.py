"""The life of a worker: how many children, which GPU each gets, what a child does before its first task."""

import ctypes
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from billiard.process import current_process
from celery.signals import setup_logging, worker_process_init

from config.errors import ConfigError
from config.logs import configure_logging
from config.settings import Settings, load_settings
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE
from jobs.dispatch.broker import Broker
from jobs.errors import AwayError, JobsError
from workers.runtime import tasks
from workers.runtime.app import app

log = logging.getLogger(__name__)

REFUSED: Final = signal.SIGRTMIN
"""A child sends this to its worker when the model is not what its card says; the worker then ends."""

FAILED: Final = signal.SIGRTMIN + 1
"""A child sends this to its worker when it cannot start for a reason that may pass, such as no memory."""

EXITS: Final = {REFUSED: EXIT_USAGE, FAILED: EXIT_INCOMPLETE}
"""The worker's exit codes: with the first one it is not started again."""

_CHILD_MEMORY: Final = 2 << 30
"""Bytes; 1.3 GiB were measured with TensorFlow and DenseNet-121 at batch 8."""


# glibc's mallopt: which blocks are requested from the kernel one by one, and how much free memory is kept.
_M_MMAP_THRESHOLD: Final = (-3, 32 << 20)
_M_TRIM_THRESHOLD: Final = (-1, 64 << 20)


def gpu_ids() -> list[str]:
    """Name the GPUs that we may use on this machine, without loading TensorFlow. Not yet run on one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in {"", "-1"}]
    return [str(index) for index, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def children_and_threads(settings: Settings) -> tuple[int, int]:
    """Return the number of children and of threads in each.

    One child per GPU, or one per core without a GPU: two children of one thread were measured at 10.8
    images/s where one child of two threads reached 10.1. Fewer where the memory is too small for that many.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = gpu_ids()
    if settings.children is not None:
        children = settings.children
    elif gpus:
        children = len(gpus)
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        children = max(1, min(cores, memory // _CHILD_MEMORY))
    return children, settings.threads or max(1, cores // children)


def _keep_freed_memory() -> None:
    """Have the C library keep the memory that one picture's buffers freed for the next picture's.

    It would return each megabyte, and the kernel clear 650 pages per picture: a quarter of the decoding.
    """
    with suppress(AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(*_M_MMAP_THRESHOLD)
        mallopt(*_M_TRIM_THRESHOLD)


@setup_logging.connect
def _set_up_logging(**_: object) -> None:
    """Keep Celery from setting up its own handlers."""
    configure_logging(load_settings().log_level)


@worker_process_init.connect
def _start_child(**_: object) -> None:
    """Take a GPU, load the model and check it; a child that cannot ends the worker."""
    settings = load_settings()
    configure_logging(settings.log_level)
    _keep_freed_memory()
    # Ctrl-C reaches the whole group of a terminal's processes; the parent alone decides how to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gpus = gpu_ids()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[current_process().index % len(gpus)]
    try:
        from workers.runtime.child import Child  # noqa: PLC0415  # loads numeric libraries, which no parent needs

        child = Child(settings, Broker(app), children_and_threads(settings)[1])
        child.warm_up()
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
