"""Programs of torch's and ONNX graphs: their arrays are read, and compared with what the programs compute."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.cards.classification import ClassificationCard
from config.cards.model import Classifier
from config.errors import ConfigError
from workers.models.add import add_weights
from workers.models.foreign_weights import ForeignWeights
from workers.models.kinds import kind_of, weights_in
from workers.models.options import ImportOptions
from workers.models.original import TOLERANCE, Original, compare
from workers.models.programs import read_program
from workers.models.torch_files import read_torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="torch is a peer: make test-peers")

nn = torch.nn
pytestmark = [
    pytest.mark.usefixtures("tensorflow"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
]

EXAMPLE = (torch.zeros(1, 3, 64, 64),)


def traced(network: Any, path: Path) -> None:
    torch.jit.save(torch.jit.trace(network, EXAMPLE), path)


def scripted(network: Any, path: Path) -> None:
    torch.jit.save(torch.jit.script(network), path)


def exported(network: Any, path: Path) -> None:
    torch.export.save(torch.export.export(network, EXAMPLE), path)


def onnx(network: Any, path: Path) -> None:
    pytest.importorskip("onnxscript")
    torch.onnx.export(network, EXAMPLE, path, dynamo=True, external_data=False, verbose=False)


def onnx_before(network: Any, path: Path) -> None:
    pytest.importorskip("onnx")
    torch.onnx.export(network, EXAMPLE, path, dynamo=False)


def with_last(network: Any, layer: Any) -> Any:
    return nn.Sequential(copy.deepcopy(network), layer).eval()


def with_pooling(network: Any, pooling: Any) -> Any:
    return nn.Sequential(
        copy.deepcopy(network.features), nn.ReLU(), pooling, nn.Flatten(), copy.deepcopy(network.classifier)
    ).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(write: Callable[[Any, Path], None], network: Any) -> Path:
        path = tmp_path / "model.program"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch means to drop some of them
            write(network, path)
        return path

    return save


def read(path: Path, **options: Any) -> ForeignWeights:
    return read_program(path, kind_of(path), options.pop("weights_key", None), **{"trusted": True} | options)


WRITERS = (traced, scripted, exported, onnx, onnx_before)


@pytest.fixture
def compared(small_network: Any, small_card: ClassificationCard) -> Callable[[Path], float]:
    def bring(path: Path) -> float:
        found = read(path)
        assert found.module == ""
        small_network.set_weights(found.arrays)
        kept = tuple(range(found.outputs))
        return compare(Original(path, found.module, kept), small_network, small_card, TOLERANCE)

    return bring


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("write", WRITERS)
def test_program_is_equal_to_the_network_that_was_read(
    write: Callable[[Any, Path], None],
    densenet: Any,
    saved: Callable[..., Path],
    compared: Callable[[Path], float],
) -> None:
    path = saved(write, densenet)
    # Each engine sums in an order that suits the processor: OpenVINO's graphs were 1.4e-5 off with AVX-512.
    assert 0 <= compared(path) < TOLERANCE / 2


@pytest.mark.usefixtures("in_this_process")
def test_arrays_of_torchscript_are_the_networks(
    densenet: Any, saved: Callable[..., Path], tmp_path: Path
) -> None:
    torch.save(densenet.state_dict(), tmp_path / "state.pth")
    plain = read_torch(tmp_path / "state.pth", trust_pickle=False)
    found = read(saved(traced, densenet))
    assert all(np.array_equal(*pair) for pair in zip(found.arrays, plain.arrays, strict=True))


@pytest.mark.usefixtures("in_this_process")
def test_saved_model_is_equal_to_the_network_that_was_read(
    compared: Callable[[Path], float], tmp_path: Path
) -> None:
    import keras

    from workers.inference.networks.network import seeded_weights

    trunk = keras.applications.DenseNet121(
        include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg"
    )
    model = keras.Model(trunk.input, keras.layers.Dense(3, "sigmoid")(trunk.output))
    model.set_weights(seeded_weights(model, 7))
    model.export(tmp_path / "ward", verbose=False)
    path = weights_in(tmp_path / "ward")
    assert path is not None
    assert all(np.array_equal(*pair) for pair in zip(read(path).arrays, model.get_weights(), strict=True))
    assert 0 <= compared(path) < 1e-5


WRONG: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Path], None], str]] = {
    "TorchScript with a softmax": (lambda net: with_last(net, nn.Softmax(1)), traced, "it has Softmax"),
    "torch.export with max pooling": (
        lambda net: with_pooling(net, nn.AdaptiveMaxPool2d(1)),
        exported,
        "it has AdaptiveMaxPool2d",
    ),
    "ONNX with a softmax": (lambda net: with_last(net, nn.Softmax(1)), onnx_before, "a softmax; .* Softmax"),
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("what", WRONG)
def test_program_that_computes_another_thing_is_refused(
    what: str, densenet: Any, saved: Callable[..., Path], compared: Callable[[Path], float]
) -> None:
    make, write, says = WRONG[what]
    path = saved(write, make(densenet))
    with pytest.raises(ConfigError, match=f"differs from the original by 0.*{says}"):
        compared(path)


@pytest.mark.parametrize("write", [traced, exported])
def test_program_is_opened_only_where_it_is_trusted(
    write: Callable[[Any, Path], None], saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_path: Path) -> None:
        raise AssertionError

    monkeypatch.setattr("workers.models.programs.arrays_of", opened)
    path = saved(write, nn.Sequential(nn.Conv2d(3, 2, 3)))
    with pytest.raises(ConfigError, match=r"runs code from the file.*--trust-pickle.*\.load\(") as caught:
        read(path, trusted=False)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("write", [exported, onnx_before])
def test_program_of_another_network_is_refused(
    write: Callable[[Any, Path], None], saved: Callable[..., Path]
) -> None:
    other = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()
    with pytest.raises(ConfigError, match=r"is no(ne of)? DenseNet") as caught:
        read(saved(write, other))
    assert "state_dict()" in str(caught.value)


@pytest.mark.processes
def test_graph_comes_in_as_a_model_through_the_bounded_process(
    densenet: Any, saved: Callable[..., Path], tmp_path: Path
) -> None:
    path = saved(onnx_before, densenet).rename(tmp_path / "Ward.onnx")
    told = ImportOptions("torchvision", findings=("Mass", "Nodule", "Edema"), size=64)
    warnings_: list[str] = []
    model: Classifier = add_weights(path, tmp_path / "models", told, warn=warnings_.append)
    assert model.card.name == "ward"
    assert model.card.compared is not None
    assert model.card.compared < 1e-5
    assert warnings_ == []


@pytest.mark.processes
def test_damaged_graph_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x032.4 and no more")
    with pytest.raises(ConfigError, match=r"^[^\n]*cut\.onnx: cannot be opened here: [^\n]+$"):
        read(tmp_path / "cut.onnx")
