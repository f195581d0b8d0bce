"""What TensorFlow is told of the GPUs, by stand-ins for them: this has not yet run on a real one."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from workers.inference.devices import _held_back, prepare_gpus


class FakeTensorFlow:
    """TensorFlow and Keras as far as the set-up speaks to them."""

    def __init__(self, gpus: list[str]) -> None:
        self.growing: list[str] = []
        self.policy = ""
        self.config = SimpleNamespace(
            list_physical_devices=lambda kind: gpus if kind == "GPU" else [],
            experimental=SimpleNamespace(set_memory_growth=self._set_growth),
        )
        self.mixed_precision = SimpleNamespace(set_global_policy=self._set_policy)

    def _set_growth(self, gpu: str, on: bool) -> None:
        if on:
            self.growing.append(gpu)

    def _set_policy(self, name: str) -> None:
        self.policy = name


@pytest.mark.parametrize(
    ("gpus", "policy"), [([], "float32"), (["a"], "mixed_float16"), (["a", "b"], "mixed_float16")]
)
def test_each_gpus_memory_grows_and_half_precision_is_for_gpus_alone(
    monkeypatch: pytest.MonkeyPatch, gpus: list[str], policy: str
) -> None:
    fake = FakeTensorFlow(gpus)
    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    monkeypatch.setitem(sys.modules, "keras", fake)
    assert prepare_gpus() == len(gpus)
    assert fake.growing == gpus
    assert fake.policy == policy


def test_what_is_written_while_it_is_loaded_is_shown_where_that_fails(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with _held_back():
        os.write(2, b"custom operations are on\n")
    assert capfd.readouterr().err == ""

    def load() -> None:
        with _held_back():
            os.write(2, b"a library is missing\n")
            raise ImportError

    with pytest.raises(ImportError):
        load()
    os.write(2, b"and on it goes\n")
    assert capfd.readouterr().err == "a library is missing\nand on it goes\n"


@pytest.mark.processes
@pytest.mark.tensorflow
def test_tensorflow_greets_nobody() -> None:
    code = "from workers.inference.devices import load_tensorflow; load_tensorflow()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
