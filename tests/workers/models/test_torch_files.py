"""PyTorch's files without PyTorch: the order and layout of arrays, and what is refused."""

import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from config.cards.model import Classifier
from config.errors import ConfigError
from workers.models import torch_files
from workers.models.foreign_weights import ForeignWeights, drop_unnamed
from workers.models.torch_files import read_torch

State = dict[str, NDArray[Any]]

_PARTS = {
    "0_bn": "norm1",
    "1_conv": "conv1",
    "1_bn": "norm2",
    "2_conv": "conv2",
    "bn": "norm",
    "conv": "conv",
}
_ROLES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def torch_key(path: str) -> str:
    """Give PyTorch's key of one of Keras' variables."""
    layer, role = path.split("/")
    if found := re.fullmatch(r"conv(\d)_block(\d+)_(.+)", layer):
        name = f"features.denseblock{int(found[1]) - 1}.denselayer{found[2]}.{_PARTS[found[3]]}"
    elif found := re.fullmatch(r"pool(\d)_(.+)", layer):
        name = f"features.transition{int(found[1]) - 1}.{_PARTS[found[2]]}"
    else:
        name = {
            "conv1_conv": "features.conv0",
            "conv1_bn": "features.norm0",
            "bn": "features.norm5",
            "findings": "classifier",
        }[layer]
    return f"{name}.{_ROLES[role]}"


@pytest.fixture(scope="module")
def network(tensorflow: Any, untrained: Classifier) -> Any:
    """DenseNet-121 with 14 findings as Keras builds it."""
    assert tensorflow
    from workers.inference.networks import densenet

    return densenet.build(untrained.card)


@pytest.fixture(scope="module")
def arrays(network: Any) -> list[NDArray[np.float32]]:
    """A different number in every place of every array, in the order of Keras' variables."""
    rng = np.random.default_rng(7)
    return [rng.uniform(0.5, 1.5, tuple(weight.shape)).astype(np.float32) for weight in network.weights]


@pytest.fixture
def state(network: Any, arrays: list[NDArray[np.float32]]) -> State:
    """The same as PyTorch would hold it, its keys in an order of their own."""
    found: State = {}
    for variable, array in zip(network.weights, arrays, strict=True):
        turned = np.moveaxis(array, (2, 3), (1, 0)) if array.ndim == 4 else array.T
        found[torch_key(variable.path)] = turned
        if variable.path.endswith("moving_mean"):
            found[torch_key(variable.path).replace("running_mean", "num_batches_tracked")] = np.array(9)
    return dict(sorted(found.items(), reverse=True))


def read(monkeypatch: pytest.MonkeyPatch, state: State) -> ForeignWeights:
    """Read a state dict as if it had come out of a file."""
    monkeypatch.setattr(torch_files, "_read_safetensors", lambda _: state)
    return read_torch(Path("model.safetensors"), trust_pickle=False)


def refusal(monkeypatch: pytest.MonkeyPatch, state: State) -> str:
    with pytest.raises(ConfigError, match=r"^model\.safetensors: [^\n]+$") as caught:
        read(monkeypatch, state)
    return str(caught.value)


# --- arrays ------------------------------------------------------------------------------------------------


def same(found: ForeignWeights, arrays: list[NDArray[np.float32]]) -> bool:
    return len(found.arrays) == len(arrays) and all(
        array.dtype == np.float32
        and array.shape == other.shape
        and np.allclose(array, other, rtol=0, atol=1e-7)
        for array, other in zip(found.arrays, arrays, strict=True)
    )


def test_arrays_come_in_keras_order_and_layout(
    monkeypatch: pytest.MonkeyPatch, state: State, arrays: list[NDArray[np.float32]]
) -> None:
    found = read(monkeypatch, state)
    assert same(found, arrays)
    assert (found.channels, found.outputs) == (3, 14)
    assert (found.findings, found.thresholds) == (None, None)


@pytest.mark.parametrize("prefix", ["module.", "densenet121.", "model.", "module.densenet121."])
def test_prefix_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, state: State, arrays: list[NDArray[np.float32]], prefix: str
) -> None:
    assert same(read(monkeypatch, {prefix + key: value for key, value in state.items()}), arrays)


def test_chexnets_names_are_read(
    monkeypatch: pytest.MonkeyPatch, state: State, arrays: list[NDArray[np.float32]]
) -> None:
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key).replace(
            "classifier.", "classifier.0."
        ): value
        for key, value in state.items()
    }
    assert "features.denseblock4.denselayer16.norm.2.running_var" in old
    assert "classifier.0.bias" in old
    assert same(read(monkeypatch, old), arrays)


def test_one_channel_is_read_off_the_first_kernel(monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    state["features.conv0.weight"] = state["features.conv0.weight"][:, :1]
    found = read(monkeypatch, state)
    assert found.channels == 1
    assert found.arrays[0].shape == (7, 7, 1, 64)


@pytest.mark.parametrize("variance", [1e-9, 1e-6, 1.0])
def test_variance_and_epsilon_have_pytorchs_sum(
    monkeypatch: pytest.MonkeyPatch, state: State, variance: float
) -> None:
    state["features.norm0.running_var"] = np.full(64, variance, dtype=np.float32)
    moving_variance = read(monkeypatch, state).arrays[4].astype(np.float64)
    assert moving_variance + 1.001e-5 == pytest.approx(np.full(64, variance + 1e-5), rel=1e-7)


def test_epsilons_of_keras_are_those_that_are_compensated(network: Any) -> None:
    norms = [layer.epsilon for layer in network.layers if hasattr(layer, "epsilon")]
    assert len(norms) == 121
    assert norms == pytest.approx([1.001e-5] * 121, rel=1e-12)


def test_half_precision_is_widened(monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    found = read(monkeypatch, {key: value.astype(np.float16) for key, value in state.items()})
    assert {array.dtype for array in found.arrays} == {np.dtype(np.float32)}


def test_thresholds_among_the_arrays_are_read(monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    state["op_threshs"] = np.array([0.07422872, np.nan, *[0.5] * 12], dtype=np.float32)
    found = read(monkeypatch, state)
    assert found.thresholds == (0.07422872, None, *[0.5] * 12)


# --- other networks ----------------------------------------------------------------------------------------


def test_first_missing_key_is_named_and_all_are_counted(
    monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    for key in ("features.norm5.bias", "features.denseblock2.denselayer3.conv1.weight"):
        del state[key]
    assert "lacks 2 arrays, the first is features.denseblock2.denselayer3.conv1.weight" in refusal(
        monkeypatch, state
    )


def test_layers_beside_the_network_are_named_and_counted(
    monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    state |= {"gate.weight": np.zeros((14, 14)), "gate.bias": np.zeros(14)}
    message = refusal(monkeypatch, state)
    assert "2 other arrays beside" in message
    assert "gate.weight (14, 14), gate.bias (14,)" in message
    assert "torch.save(model.state_dict()" in message


def test_head_of_two_layers_is_refused(monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    for part in ("weight", "bias"):
        state[f"classifier.0.{part}"] = state[f"classifier.3.{part}"] = state.pop(f"classifier.{part}")
    state["classifier.3.weight"] = np.ones((14, 14))
    assert "like one with two layers as head" in refusal(monkeypatch, state)


def test_features_without_a_head_are_refused(monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    del state["classifier.weight"], state["classifier.bias"]
    assert "the head is missing" in refusal(monkeypatch, state)


def test_head_without_bias_has_a_bias_of_zeros(
    monkeypatch: pytest.MonkeyPatch, state: State, arrays: list[NDArray[np.float32]]
) -> None:
    del state["classifier.bias"]
    assert same(read(monkeypatch, state), [*arrays[:-1], np.zeros(14, np.float32)])


def test_what_training_leaves_beside_the_network_is_left_and_named(
    monkeypatch: pytest.MonkeyPatch, state: State, arrays: list[NDArray[np.float32]]
) -> None:
    beside = {"n_averaged": np.array(7), "criterion.pos_weight": np.ones(14), "temperature": np.ones(1)}
    found = read(monkeypatch, beside | state)
    assert same(found, arrays)
    assert found.unused == tuple(beside)


@pytest.mark.parametrize("trunk", ["0", "0.0", "encoder"])
def test_trunk_that_is_a_part_does_not_say_whether_a_relu_follows(
    monkeypatch: pytest.MonkeyPatch, state: State, arrays: list[NDArray[np.float32]], trunk: str
) -> None:
    assert not read(monkeypatch, state).final_relu_unsaid
    parts = {
        re.sub(r"^features\b", trunk, key).replace("classifier", "1.3"): value for key, value in state.items()
    }
    found = read(monkeypatch, parts)
    assert same(found, arrays)
    assert found.final_relu_unsaid


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        ("features.conv0.weight", (96, 3, 7, 7), "(64, 3, 7, 7)"),
        ("features.conv0.weight", (64, 4, 7, 7), "(64, 3, 7, 7)"),
        ("features.conv0.weight", (64,), "(64, 3, 7, 7)"),
        ("features.norm5.weight", (1664,), "(1024,)"),
        ("classifier.bias", (13,), "(14,)"),
        ("classifier.bias", (), "(14,)"),
    ],
)
def test_other_shape_is_named(
    monkeypatch: pytest.MonkeyPatch, state: State, key: str, shape: tuple[int, ...], expected: str
) -> None:
    state[key] = np.zeros(shape, dtype=np.float32)
    assert f"{key} is {shape}, DenseNet-121's is {expected}" in refusal(monkeypatch, state)


@pytest.mark.parametrize("shape", [(14, 1920), (0, 1024)])
def test_head_of_another_shape_is_no_head(
    monkeypatch: pytest.MonkeyPatch, state: State, shape: tuple[int, ...]
) -> None:
    state["classifier.weight"] = np.zeros(shape)
    assert f"its linear layers are classifier.weight {shape}" in refusal(monkeypatch, state)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_number_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, state: State, value: float) -> None:
    state["features.norm5.bias"] = np.where(np.arange(1024) == 5, value, 0.0)
    assert "features.norm5.bias holds NaN or infinity" in refusal(monkeypatch, state)


def test_negative_variance_is_refused(monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    state["features.norm5.running_var"] = np.where(np.arange(1024) == 5, -1e-3, 1.0)
    assert "features.norm5.running_var has negative values" in refusal(monkeypatch, state)


def test_network_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, {"conv1.weight": np.zeros(3), "fc.bias": np.zeros(2)})
    assert "is no DenseNet" in message
    assert "none of its 2 arrays has a DenseNet's name, they are conv1.weight, fc.bias" in message


def test_file_without_arrays_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no arrays are in it" in refusal(monkeypatch, {})


# --- files -------------------------------------------------------------------------------------------------


def file_refusal(path: Path) -> str:
    with pytest.raises(ConfigError, match=r"^[^\n]+$") as caught:
        read_torch(path, trust_pickle=False)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "No such file" in file_refusal(tmp_path / "model.pth")


def test_folder_is_refused(tmp_path: Path) -> None:
    assert "Is a directory" in file_refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"epoch,loss\n1,0.2\n", b"\x89HDF\r\n\x1a\n"])
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    assert "not a file that torch.save wrote" in file_refusal(path)


def test_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", bytes(1000))
    path.write_bytes(path.read_bytes()[:500])
    assert "its end is missing" in file_refusal(path)


@pytest.mark.parametrize(("name", "package"), [("model.pth", "torch"), ("model.safetensors", "safetensors")])
def test_missing_package_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(b"\x80\x02")
    message = file_refusal(tmp_path / name)
    assert f"{package} is needed" in message
    assert "run: " in message
    assert "-m pip install 'safetensors>=0.5' 'torch>=2.10'" in message


def test_safetensors_file_needs_no_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: State, arrays: list[NDArray[np.float32]]
) -> None:
    numpy_files = pytest.importorskip("safetensors.numpy", reason="comes with the extra [torch]")
    path = tmp_path / "model.safetensors"
    numpy_files.save_file({key: np.ascontiguousarray(value) for key, value in state.items()}, path)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert same(read_torch(path, trust_pickle=False), arrays)
    path.write_bytes(path.read_bytes()[:-1])
    assert "is not a whole .safetensors file" in file_refusal(path)
    path.write_bytes(b"no weights")
    assert "is not a whole .safetensors file" in file_refusal(path)


# --- outputs without a name --------------------------------------------------------------------------------


def head(
    findings: tuple[str | None, ...] | None, thresholds: tuple[float | None, ...] | None
) -> ForeignWeights:
    kernel = np.arange(12, dtype=np.float32).reshape(4, 3)
    first = np.ones((7, 7, 1, 2), dtype=np.float32)
    arrays = [first, kernel, np.array([7, 8, 9], dtype=np.float32)]
    return ForeignWeights("densenet121", arrays, 1, 3, findings, thresholds)


@pytest.mark.parametrize("unnamed", ["", None])
def test_outputs_without_a_name_are_dropped(unnamed: str | None) -> None:
    found = drop_unnamed(head(("Mass", unnamed, "Hernia"), (0.1, None, 0.3)))
    assert (found.findings, found.thresholds) == (("Mass", "Hernia"), (0.1, 0.3))
    assert (found.outputs, found.channels) == (2, 1)
    assert found.arrays[0].shape == (7, 7, 1, 2)
    assert found.arrays[1].tolist() == [[0, 2], [3, 5], [6, 8], [9, 11]]
    assert found.arrays[2].tolist() == [7, 9]


def test_model_without_names_or_thresholds_keeps_its_outputs() -> None:
    nameless = head(None, None)
    assert drop_unnamed(nameless) is nameless
    assert drop_unnamed(head(("Mass", None, "Hernia"), None)).thresholds is None


def test_model_with_no_named_output_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of the model's 3 outputs has a name"):
        drop_unnamed(head(("", None, ""), None))
