"""The wrappings that projects save a DenseNet-121 in: the arrays that come in are the original's."""

import argparse
import copy
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.errors import ConfigError
from workers.models.foreign_weights import ForeignWeights
from workers.models.torch_files import read_torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="torch is a peer: make test-peers")
    torchvision = pytest.importorskip("torchvision", reason="torchvision is a peer: make test-peers")

nn = torch.nn


def densenet(seed: int, outputs: int = 14) -> Any:
    """Give torchvision's network with numbers of its own in every array."""
    torch.manual_seed(seed)
    network = torchvision.models.densenet121(weights=None, num_classes=outputs)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for array in (module.weight, module.running_var):
                    array.uniform_(0.5, 1.5)
                for array in (module.bias, module.running_mean):
                    array.normal_()
    return network.eval()


@pytest.fixture(scope="module")
def network() -> Any:
    return densenet(1)


@pytest.fixture(scope="module")
def other() -> Any:
    return densenet(2)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[object], Path]:
    def save(content: object) -> Path:
        torch.save(content, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return save


def read(path: Path, weights_key: str | None = None) -> ForeignWeights:
    return read_torch(path, trust_pickle=False, weights_key=weights_key)


def same(found: ForeignWeights, network: Any, saved: Callable[[object], Path]) -> bool:
    plain = read(saved(network.state_dict()))
    return all(np.array_equal(*pair) for pair in zip(found.arrays, plain.arrays, strict=True))


def refusal(path: Path, weights_key: str | None = None) -> str:
    with pytest.raises(ConfigError, match=r"^[^\n]+$") as caught:
        read(path, weights_key)
    return str(caught.value)


def wrapped(network: Any, *, drop: bool) -> Any:
    """Put a head of one's own on torchvision's network, whose classifier is dropped, or stays unused."""
    backbone = copy.deepcopy(network)
    if drop:
        backbone.classifier = nn.Identity()
    return nn.ModuleDict({"backbone": backbone, "fc": copy.deepcopy(network.classifier)})


def sequential(network: Any, *layers: Any) -> Any:
    return nn.Sequential(network.features, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers)


def with_head(network: Any, head: Any) -> Any:
    changed = copy.deepcopy(network)
    changed.classifier = head
    return changed


WRAPPINGS: dict[str, Callable[[Any], Any]] = {
    "a key of any name": lambda network: {"epoch": 3, "params": network.state_dict()},
    "a key below a key": lambda network: {"a": {"ema_state_dict": network.state_dict()}, "b": [1, 2]},
    "Lightning": lambda network: {
        "state_dict": {f"model.{key}": value for key, value in network.state_dict().items()}
        | {"criterion.pos_weight": torch.ones(14)},
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(14, 1024)}}}],
    },
    "SWA": lambda network: torch.optim.swa_utils.AveragedModel(network).state_dict(),
    "DataParallel": lambda network: nn.DataParallel(network).state_dict(),
    "a head of another name": lambda network: wrapped(network, drop=True).state_dict(),
    "dropout and sigmoid": lambda network: with_head(
        network, nn.Sequential(nn.Dropout(0.2), network.classifier, nn.Sigmoid())
    ).state_dict(),
    "Sequential": lambda network: sequential(network, nn.Dropout(0.1), network.classifier).state_dict(),
    "Sequential of the features' children": lambda network: nn.Sequential(
        *network.features.children(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.classifier
    ).state_dict(),
    "fastai's layout, one linear layer": lambda network: nn.Sequential(
        nn.Sequential(network.features),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.classifier),
    ).state_dict(),
    "MONAI's names": lambda network: OrderedDict(
        (
            re.sub(r"(denselayer\d+)\.", r"\1.layers.", key).replace("classifier", "class_layers.out"),
            value,
        )
        for key, value in network.state_dict().items()
    ),
    "Namespace, NumPy's numbers and a path": lambda network: {
        "args": argparse.Namespace(data=Path("/data"), lr=np.float32(0.1)),
        "best": np.float64(0.8),
        "curve": np.arange(3),
        "model": network.state_dict(),
    },
    "an old file with a Namespace": lambda network: {
        "args": argparse.Namespace(lr=0.1),
        "model": network.state_dict(),
    },
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_arrays_in_every_wrapping_are_the_originals(
    wrapping: str, network: Any, saved: Callable[[object], Path], tmp_path: Path
) -> None:
    path = tmp_path / "wrapped.pth"
    torch.save(WRAPPINGS[wrapping](network), path, _use_new_zipfile_serialization="old file" not in wrapping)
    found = read(path)
    assert same(found, network, saved)
    unsaid = {"Sequential", "Sequential of the features' children", "fastai's layout, one linear layer"}
    assert found.final_relu_unsaid == (wrapping in unsaid)


def test_head_without_bias_has_zeros(network: Any, saved: Callable[[object], Path]) -> None:
    head = nn.Linear(1024, 14, bias=False)
    found = read(saved(with_head(network, head).state_dict()))
    assert np.array_equal(found.arrays[-2], head.weight.detach().numpy().T)
    assert not found.arrays[-1].any()


def test_head_of_two_layers_is_refused(network: Any, saved: Callable[[object], Path]) -> None:
    head = nn.Sequential(nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 14))
    assert "like one with two layers as head" in refusal(saved(with_head(network, head).state_dict()))


def test_fastais_own_head_is_refused(network: Any, saved: Callable[[object], Path]) -> None:
    head = nn.Sequential(nn.BatchNorm1d(2048), nn.Linear(2048, 512), nn.BatchNorm1d(512), nn.Linear(512, 14))
    message = refusal(saved(nn.Sequential(nn.Sequential(network.features), head).state_dict()))
    assert "the head is missing" in message
    assert "1.1.weight (512, 2048)" in message


@pytest.mark.parametrize("containers", [("model", "model_ema"), ("state_dict", "state_dict_ema")])
def test_average_in_a_second_container_is_chosen_by_its_key(
    containers: tuple[str, str], network: Any, other: Any, saved: Callable[[object], Path]
) -> None:
    path = saved({containers[0]: network.state_dict(), containers[1]: other.state_dict()})
    message = refusal(path)
    assert all(
        f"--weights-key {container} (14 outputs, 7,051,854 numbers" in message for container in containers
    )
    found = read(path, containers[1])
    assert same(found, other, saved)


def test_average_beside_the_network_in_safetensors_is_not_mixed_with_it(
    network: Any, other: Any, saved: Callable[[object], Path], tmp_path: Path
) -> None:
    files = pytest.importorskip("safetensors.torch")
    path = tmp_path / "model.safetensors"
    files.save_file(
        network.state_dict() | {f"ema.{key}": value for key, value in other.state_dict().items()}, path
    )
    assert "holds 2 networks" in refusal(path)
    assert same(read(path, "features"), network, saved)
    assert same(read(path, "ema"), other, saved)


@pytest.mark.parametrize("outputs", [14, 1000])
def test_unused_classifier_of_the_backbone_is_not_taken_silently(
    outputs: int, saved: Callable[[object], Path]
) -> None:
    whole = wrapped(densenet(1, outputs), drop=False)
    whole["fc"] = nn.Linear(1024, 14)
    keys = sorted(whole.state_dict().items(), key=lambda item: not item[0].startswith("fc"))
    path = saved(OrderedDict(keys))
    assert "--weights-key fc (14 outputs" in refusal(path)
    found = read(path, "fc")
    assert np.array_equal(found.arrays[-2], whole["fc"].weight.detach().numpy().T)


def test_pickled_module_beside_arguments_still_needs_trust(
    network: Any, saved: Callable[[object], Path]
) -> None:
    path = saved({"args": argparse.Namespace(lr=0.1), "model": network})
    assert "--trust-pickle" in refusal(path)
    found = read_torch(path, trust_pickle=True)
    assert same(found, network, saved)
