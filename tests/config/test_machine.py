"""How many children a worker has and which GPUs, by stand-ins for the machine's cores, memory and GPUs."""

import os
from pathlib import Path

import pytest

from config import machine as module
from config.settings import Settings

GIB = 1 << 30


def machine(monkeypatch: pytest.MonkeyPatch, *, cores: int, gib: int, gpus: str = "") -> None:
    sizes = {"SC_PHYS_PAGES": gib * GIB // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)


@pytest.mark.parametrize(
    ("visible", "ids"),
    [("0", ["0"]), ("0,2", ["0", "2"]), (" 0 , GPU-8f ", ["0", "GPU-8f"]), ("", []), ("-1", []), (",", [])],
)
def test_the_gpus_are_those_that_the_environment_leaves_visible(
    monkeypatch: pytest.MonkeyPatch, visible: str, ids: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert module.gpu_ids() == ids


@pytest.mark.parametrize("count", [0, 2])
def test_the_driver_lists_the_gpus_where_the_environment_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for number in range(count):
        (tmp_path / f"0000:0{number}:00.0").mkdir()
    monkeypatch.setattr(module, "Path", lambda _: tmp_path)
    assert module.gpu_ids() == [str(number) for number in range(count)]


@pytest.mark.parametrize(
    ("cores", "gib", "gpus", "given", "expected"),
    [
        (8, 64, "", {}, (8, 1)),
        (8, 8, "", {}, (4, 2)),
        (8, 1, "", {}, (1, 8)),
        (8, 64, "0,1", {}, (2, 4)),
        (2, 64, "0,1,2", {}, (3, 1)),
        (8, 64, "", {"children": 2}, (2, 4)),
        (8, 64, "0,1", {"children": 1}, (1, 8)),
        (8, 64, "", {"threads": 3}, (8, 3)),
    ],
    ids=[
        "one child per core",
        "fewer where the memory is small",
        "one at least",
        "one per GPU",
        "a thread at least",
        "as many as were asked for",
        "also with GPUs",
        "threads as asked for",
    ],
)
def test_children_and_threads(
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    gib: int,
    gpus: str,
    given: dict[str, int],
    expected: tuple[int, int],
) -> None:
    machine(monkeypatch, cores=cores, gib=gib, gpus=gpus)
    assert module.children_and_threads(Settings.model_validate(given)) == expected
