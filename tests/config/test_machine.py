"""How many children a worker has and which GPUs, by stand-ins for the machine's cores, memory and GPUs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import CLASSIFIER_CARD, ROOT, write_card

from config import machine as module
from config.settings import Settings
from workers.models.ensemble import EnsembleOptions, make_ensemble

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
        (8, 8, "", {"engine": "openvino"}, (8, 1)),
        (8, 8, "", {"engine": "tensorflow"}, (5, 1)),
        (8, 2, "", {"engine": "openvino"}, (4, 2)),
        (8, 8, "", {"engine": "openvino", "model": "demo-volumes"}, (5, 1)),
        (8, 1, "", {"engine": "tensorflow"}, (1, 8)),
        (8, 64, "0,1", {}, (2, 4)),
        (2, 64, "0,1,2", {}, (3, 1)),
        (8, 64, "", {"children": 2}, (2, 4)),
        (8, 64, "0,1", {"children": 1}, (1, 8)),
        (8, 64, "", {"threads": 3}, (8, 3)),
        (8, 64, "0,1", {"engine": "openvino"}, (8, 1)),
    ],
    ids=[
        "one child per core",
        "a child of OpenVINO is small",
        "fewer where the memory is small for TensorFlow",
        "fewer where the memory is small",
        "volumes are large",
        "one at least",
        "one per GPU",
        "a thread at least",
        "as many as were asked for",
        "also with GPUs",
        "threads as asked for",
        "OpenVINO uses no GPU",
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


@pytest.mark.parametrize(
    ("engine", "one", "three"),
    [("openvino", 450, 730), ("openvino-bf16", 450, 730), ("tensorflow", 1400, 1600)],
)
def test_each_further_member_of_an_ensemble_takes_memory(
    tmp_path: Path, engine: str, one: int, three: int
) -> None:
    models = tmp_path / "models"
    for digit in "123":
        write_card(models, CLASSIFIER_CARD | {"name": f"m{digit}", "sha256": digit * 64})
    make_ensemble(models, "ours", ["m1", "m2", "m3"], EnsembleOptions(), lambda _: None)
    found = [
        module.child_bytes(Settings.model_validate({"home": tmp_path, "engine": engine, "model": name}))
        for name in ("m1", "ours", "away")
    ]
    assert found == [one << 20, three << 20, one << 20]


@pytest.mark.parametrize(
    ("engine", "gpus", "installed", "expected"),
    [
        ("auto", "", True, "openvino"),
        ("auto", "", False, "tensorflow"),
        ("auto", "0", True, "tensorflow"),
        ("tensorflow", "", True, "tensorflow"),
        ("openvino", "0", False, "openvino"),
        ("openvino-bf16", "0", True, "openvino-bf16"),
    ],
)
def test_the_engine_suits_the_machine_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, engine: str, gpus: str, installed: bool, expected: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setattr(module, "find_spec", lambda _: object() if installed else None)
    assert module.engine_of(Settings.model_validate({"engine": engine})) == expected


@pytest.mark.processes
def test_choosing_the_engine_loads_none() -> None:
    program = (
        "import sys; from config.machine import engine_of; from config.settings import load_settings; "
        "engine_of(load_settings()); print({'tensorflow', 'keras', 'openvino', 'numpy'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


@pytest.mark.parametrize(
    ("engine", "gpus", "idle"),
    [
        ("tensorflow", "0", True),
        ("tensorflow", "", False),
        ("tensorflow-gpu", "0", False),
        ("openvino", "0", False),
        ("stub", "0", False),
    ],
)
def test_a_gpu_that_tensorflow_does_not_see_is_told(
    monkeypatch: pytest.MonkeyPatch, engine: str, gpus: str, idle: bool
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    assert (module.idle_gpu(engine) is not None) == idle
