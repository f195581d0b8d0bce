"""What a process makes of this machine: GPUs, engine, how many processes of how many threads, and itself."""

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from config.cards.classification import ClassificationCard
from config.cards.model import DEFAULT_KIND, find_model
from config.engines import EngineKind
from config.errors import ConfigError
from config.settings import Settings

_CHILD_MIB: Final[Mapping[str, Mapping[str, int]]] = {
    "openvino": {"classification": 450, "segmentation": 1_500, "stub": 300},
    "tensorflow": {"classification": 1_400, "segmentation": 2_800, "stub": 300},
}
"""Resident memory of one child by what runs its model and the model's kind, from docs/performance.md.

Of a classification it is DenseNet-121 at 320 x 320 in batches of 8, of a segmentation a 3-D U-Net with 32
filters and a labelled case of 240 x 240 x 155 x 4; on a CPU.
"""

_MEMBER_MIB: Final[Mapping[str, int]] = {"openvino": 140, "tensorflow": 100}
"""What each further member of an ensemble adds."""


def gpu_ids() -> list[str]:
    """Name the GPUs that we may use on this machine, without loading TensorFlow. Not yet run on one."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip() not in {"", "-1"}]
    return [str(index) for index, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def engine_of(settings: Settings) -> EngineKind:
    """Return the engine that runs networks here, without loading any.

    Unless the settings name one, it is TensorFlow where there is a GPU, else OpenVINO where it is installed,
    as it is faster on a CPU, starts in a quarter of the time and needs a third of the memory.
    """
    if settings.engine != "auto":
        return settings.engine
    return "openvino" if not gpu_ids() and find_spec("openvino") else "tensorflow"


def idle_gpu(engine: str) -> str | None:
    """Say that there is a GPU which an engine, as the ledger names it, leaves idle; None if there is none.

    The driver's GPU is seen before TensorFlow is loaded; only then does it show that NVIDIA's libraries lack.
    """
    if engine != "tensorflow" or not gpu_ids():
        return None
    return "there is a GPU, but TensorFlow does not see it and computes on the processor"


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def children_and_threads(settings: Settings) -> tuple[int, int]:
    """Return the number of children and of threads in each.

    One child per GPU, or one per core without a GPU: two children of one thread were measured at 10.8
    images/s where one child of two threads reached 10.1. Fewer where the memory is too small for that many.
    """
    gpus = gpu_ids() if engine_of(settings) == "tensorflow" else []
    if settings.children is not None:
        children = settings.children
    elif gpus:
        children = len(gpus)
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        children = max(1, min(cores(), memory // child_bytes(settings)))
    return children, settings.threads or max(1, cores() // children)


def child_bytes(settings: Settings) -> int:
    """Return the memory that one child takes with the settings' model, resident; a part of it is shared."""
    runs = engine_of(settings).partition("-")[0]
    try:
        card = find_model(settings.model, settings.models).card
    except ConfigError:  # said by whoever loads it
        return _CHILD_MIB[runs][DEFAULT_KIND] << 20
    members = len(card.members or ()) if isinstance(card, ClassificationCard) else 0
    return (_CHILD_MIB[runs][card.kind] + _MEMBER_MIB[runs] * max(0, members - 1)) << 20


def own_command(*arguments: str) -> list[str]:
    """Return the command that runs `nightread` with these arguments, by this installation."""
    # -P: a workers.py in the folder that the command was called in is not ours.
    return [sys.executable, "-P", "-m", "workers.commands.main", *arguments]
