"""Files that PyTorch writes give, imported, the scores and the Grad-CAMs that their own network has."""

import copy
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support import ROOT

from config.cards.classification import ClassificationCard, Preprocessing
from config.cards.model import Classifier
from config.errors import ConfigError
from jobs.sources.folder import FolderSource
from workers.inference.formats.decode import read_picture
from workers.inference.pixels import prepare
from workers.models.foreign_weights import ForeignWeights, drop_unnamed
from workers.models.torch_files import read_torch

with warnings.catch_warnings():
    # Their imports warn of what they import themselves; torchxrayvision's switches all warnings off.
    warnings.simplefilter("ignore")
    for _package in ("torch", "torchvision", "torchxrayvision", "safetensors"):
        pytest.importorskip(_package, reason=f"{_package} is a peer: make test-peers")

PICTURES = 3
XRV_PIXELS = Preprocessing(
    size=224, channels=1, resize="bilinear", factor=2048 / 255, mean=(1024.0,), std=(1.0,)
)
IMAGENET_PIXELS = Preprocessing(
    size=224,
    channels=3,
    resize="bilinear",
    factor=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
UNNAMED = (3, 17)


# --- their networks ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(real_data: Path) -> list[Any]:
    root = real_data / "nih" / "images"
    names = sorted(path.name for path in root.glob("*.png"))[:PICTURES]
    assert len(names) == PICTURES
    return [read_picture(FolderSource(root), name, 64_000_000) for name in names]


def inputs_of(pictures: list[Any], card_pixels: Preprocessing) -> NDArray[np.float32]:
    return np.stack([prepare(picture, card_pixels) for picture in pictures])


def lively(network: Any, inputs: NDArray[np.float32]) -> Any:
    """Give an initialised network batch statistics of real pictures, and numbers of its own everywhere.

    With the statistics of its initialisation it would answer 0 or 1 to everything.
    """
    import torch

    torch.manual_seed(11)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.uniform_(0.8, 1.25)
            norm.bias.normal_(0.0, 0.1)
        network.train()(as_torch(inputs))
        for norm in norms:
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.25)
            norm.momentum = 0.1
        network.classifier.weight.normal_(0.0, 0.15)
        network.classifier.bias.normal_(0.0, 0.5)
    return network.eval()


def as_torch(inputs: NDArray[np.float32]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)))


@pytest.fixture(scope="module")
def xrv_network(pictures: list[Any]) -> Any:
    """Give torchxrayvision's DenseNet, 18 outputs of which two have no name, calibrated as its own are."""
    import torch
    import torchxrayvision

    network = torchxrayvision.models.DenseNet(weights=None)
    network = lively(network, inputs_of(pictures, XRV_PIXELS))
    names = list(torchxrayvision.datasets.default_pathologies)
    thresholds = torch.linspace(0.01, 0.2, 18)
    for index in UNNAMED:
        names[index], thresholds[index] = "", float("nan")
    network.targets = network.pathologies = names
    network.op_threshs = thresholds
    return network


@pytest.fixture(scope="module")
def torchvision_network(pictures: list[Any]) -> Any:
    import torchvision

    network = torchvision.models.densenet121(weights=None, num_classes=14)
    return lively(network, inputs_of(pictures, IMAGENET_PIXELS))


# --- scores and maps ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A network of theirs, the file it was saved to, and the outputs that are kept."""

    network: Any
    path: Path
    pixels: Preprocessing
    kept: list[int]


def save_module(network: Any, path: Path) -> None:
    import torch

    torch.save(network, path)


def save_state_dict(network: Any, path: Path) -> None:
    import torch

    torch.save(network.state_dict(), path)


def save_safetensors(network: Any, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(network.state_dict(), path)


@pytest.fixture(scope="module", params=["torchxrayvision", "torchvision"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("saved")
    if request.param == "torchxrayvision":
        network, path = request.getfixturevalue("xrv_network"), folder / "model.pt"
        save_module(network, path)
        return Case(network, path, XRV_PIXELS, [index for index in range(18) if index not in UNNAMED])
    network, path = request.getfixturevalue("torchvision_network"), folder / "model.pth"
    save_state_dict(network, path)
    return Case(network, path, IMAGENET_PIXELS, list(range(14)))


@pytest.fixture(scope="module")
def imported(case: Case) -> ForeignWeights:
    return drop_unnamed(read_torch(case.path, trust_pickle=case.path.suffix == ".pt"))


@dataclass(frozen=True)
class Answers:
    """Features before the last ReLU (N, 7, 7, 1024), probabilities (N, outputs), maps (N, 7, 7, outputs)."""

    features: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    maps: NDArray[np.float64]


def card_of(untrained: Classifier, pixels: Preprocessing, outputs: int) -> ClassificationCard:
    return untrained.card.model_copy(
        update={"pixels": pixels, "findings": tuple(f"finding {index}" for index in range(outputs))}
    )


@pytest.fixture(scope="module")
def ours(
    tensorflow: Any, case: Case, imported: ForeignWeights, pictures: list[Any], untrained: Classifier
) -> Answers:
    assert tensorflow
    from workers.inference import gradcam
    from workers.inference.networks import densenet

    card = card_of(untrained, case.pixels, imported.outputs)
    network = densenet.build(card)
    network.set_weights(imported.arrays)
    features, logits = network(inputs_of(pictures, case.pixels), training=False)
    kernel = network.get_layer(densenet.HEAD).kernel
    maps = gradcam.class_activation_maps(features, kernel, final_relu=True)
    logits = np.asarray(logits, dtype=np.float64)
    return Answers(np.asarray(features), 1 / (1 + np.exp(-logits)), np.asarray(maps, dtype=np.float64))


@pytest.fixture(scope="module")
def theirs(case: Case, pictures: list[Any], ours: Answers) -> Answers:
    """Their network's answers, the maps by autodiff; all outputs that are kept."""
    import torch

    seen: dict[str, Any] = {}

    def keep_features(_module: Any, _inputs: Any, output: Any) -> Any:
        # Whether a gradient passes the ReLU is the sign of a feature. One that is 0 but for rounding has any
        # sign, and moves a map by a 49th of its weight: both networks get the same sign there.
        other = torch.from_numpy(ours.features.transpose(0, 3, 1, 2).copy())
        turned = (other > 0) != (output > 0)
        seen["turned"] = (output - other)[turned].abs()
        seen["features"] = torch.where(turned, other, output)
        return seen["features"].clone()  # the ReLU that follows works in place

    def keep_logits(_module: Any, _inputs: Any, output: Any) -> None:
        seen["logits"] = output

    hooks = [
        case.network.features.register_forward_hook(keep_features),
        case.network.classifier.register_forward_hook(keep_logits),
    ]
    case.network(as_torch(inputs_of(pictures, case.pixels)))
    for hook in hooks:
        hook.remove()
    features, logits = seen["features"], seen["logits"]
    assert len(seen["turned"]) <= 10  # of 150,528
    assert (seen["turned"] < 1e-3).all()
    maps = []
    for index in case.kept:
        (gradient,) = torch.autograd.grad(logits[:, index].sum(), features, retain_graph=True)
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        maps.append(torch.relu((weights * features).sum(dim=1)).detach().double().numpy())
    stacked = np.stack(maps, axis=-1)
    highest = stacked.max(axis=(1, 2), keepdims=True)
    return Answers(
        features.detach().numpy().transpose(0, 2, 3, 1),
        torch.sigmoid(logits[:, case.kept]).detach().double().numpy(),
        np.divide(stacked, highest, out=np.zeros_like(stacked), where=highest > 0),
    )


def test_scores_are_the_original_networks(theirs: Answers, ours: Answers) -> None:
    assert np.ptp(theirs.probabilities) > 0.3  # else equality would say little
    assert np.ptp(theirs.probabilities, axis=0).max() > 0.05
    difference = np.abs(ours.probabilities - theirs.probabilities).max()
    print(f"largest difference of probabilities: {difference:.2g}")  # noqa: T201  # seen with -s
    assert difference <= 1e-4


def test_maps_are_the_original_networks_by_autodiff(theirs: Answers, ours: Answers) -> None:
    assert theirs.maps.max() == 1
    assert theirs.maps.shape == ours.maps.shape
    difference = np.abs(ours.maps - theirs.maps).max()
    print(f"largest difference of maps: {difference:.2g}")  # noqa: T201  # seen with -s
    assert difference <= 1e-3


# --- what a file tells -------------------------------------------------------------------------------------


@pytest.fixture
def xrv_file(xrv_network: Any, tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    save_module(xrv_network, path)
    return path


def test_module_tells_names_and_thresholds(xrv_file: Path, xrv_network: Any) -> None:
    found = read_torch(xrv_file, trust_pickle=True)
    assert (found.channels, found.outputs) == (1, 18)
    assert found.findings == tuple(name or None for name in xrv_network.pathologies)
    assert found.findings[3] is None
    assert found.findings[2] == "Infiltration"
    assert found.thresholds is not None
    assert [index for index, value in enumerate(found.thresholds) if value is None] == list(UNNAMED)
    assert found.thresholds[0] == 0.01
    kept = drop_unnamed(found)
    assert kept.outputs == 16
    assert len(kept.findings or ()) == len(kept.thresholds or ()) == len(kept.arrays[-1]) == 16


def test_names_of_the_class_are_not_the_files(xrv_network: Any, tmp_path: Path) -> None:
    import torch

    bare = copy.deepcopy(xrv_network)
    del bare.targets, bare.pathologies
    assert len(bare.targets) == 18  # the class's
    torch.save(bare, tmp_path / "bare.pt")
    assert read_torch(tmp_path / "bare.pt", trust_pickle=True).findings is None


def test_published_file_has_names_and_thresholds_of_its_librarys_list(
    xrv_network: Any, tmp_path: Path
) -> None:
    import torch
    import torchxrayvision

    published = torchxrayvision.models.model_urls["nih"]
    bare = copy.deepcopy(xrv_network)
    bare.op_threshs = None
    # As in files of 2020: no names, and modules without what torch has added since.
    del bare.targets, bare.pathologies
    for module in bare.modules():
        del module.__dict__["_non_persistent_buffers_set"]
    path = tmp_path / Path(published["weights_url"]).name
    torch.save(bare, path, _use_new_zipfile_serialization=False)
    found = read_torch(path, trust_pickle=True)
    assert found.findings == tuple(name or None for name in published["labels"])
    assert found.thresholds is not None
    assert found.thresholds[:2] == (0.039117552, 0.0034529066)
    assert drop_unnamed(found).outputs == 14


# --- what is opened, and what is not -----------------------------------------------------------------------


def equal(found: ForeignWeights, other: ForeignWeights) -> bool:
    return all(np.array_equal(*pair) for pair in zip(found.arrays, other.arrays, strict=True))


@pytest.fixture
def reference(torchvision_network: Any, tmp_path: Path) -> ForeignWeights:
    save_state_dict(torchvision_network, tmp_path / "reference.pth")
    return read_torch(tmp_path / "reference.pth", trust_pickle=False)


def test_safetensors_file_is_read(
    torchvision_network: Any, tmp_path: Path, reference: ForeignWeights
) -> None:
    save_safetensors(torchvision_network, tmp_path / "model.safetensors")
    assert equal(read_torch(tmp_path / "model.safetensors", trust_pickle=False), reference)


def test_state_dict_of_torchxrayvision_has_all_but_the_names(
    xrv_network: Any, xrv_file: Path, tmp_path: Path
) -> None:
    save_state_dict(xrv_network, tmp_path / "model.pth")
    found = read_torch(tmp_path / "model.pth", trust_pickle=False)
    module = read_torch(xrv_file, trust_pickle=True)
    assert equal(found, module)
    assert found.thresholds == module.thresholds
    assert found.findings is None


def test_chexnets_checkpoint_is_read(
    torchvision_network: Any, tmp_path: Path, reference: ForeignWeights
) -> None:
    import torch

    old = {
        "module.densenet121."
        + re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key).replace(
            "classifier.", "classifier.0."
        ): value
        for key, value in torchvision_network.state_dict().items()
        if "num_batches" not in key
    }
    assert "module.densenet121.features.denseblock1.denselayer1.norm.1.weight" in old
    path = tmp_path / "model.pth.tar"
    torch.save({"epoch": 7, "state_dict": old, "best_loss": 0.1}, path)
    assert equal(read_torch(path, trust_pickle=False), reference)


def test_module_in_data_parallel_in_a_checkpoint_is_read(
    torchvision_network: Any, tmp_path: Path, reference: ForeignWeights
) -> None:
    import torch

    # What reproduce-chexnet writes.
    checkpoint = {
        "model": torch.nn.DataParallel(torchvision_network),
        "best_loss": np.float64(0.1),
        "epoch": 3,
    }
    torch.save(checkpoint, tmp_path / "checkpoint")
    assert equal(read_torch(tmp_path / "checkpoint", trust_pickle=True), reference)


def test_half_precision_is_read(torchvision_network: Any, tmp_path: Path, reference: ForeignWeights) -> None:
    import torch

    half = {key: value.to(torch.bfloat16) for key, value in torchvision_network.state_dict().items()}
    torch.save(half, tmp_path / "half.pth")
    found = read_torch(tmp_path / "half.pth", trust_pickle=False)
    assert not equal(found, reference)
    assert max(np.abs(a - b).max() for a, b in zip(found.arrays, reference.arrays, strict=True)) < 0.1


def refusal(path: Path, *, trust_pickle: bool = False) -> str:
    with pytest.raises(ConfigError, match=r"^[^\n]+$") as caught:
        read_torch(path, trust_pickle=trust_pickle)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_module_is_not_unpickled_without_trust(xrv_file: Path) -> None:
    message = refusal(xrv_file)
    assert "torchxrayvision.models.DenseNet" in message
    assert "runs code" in message
    assert "--trust-pickle" in message


class Trap:
    """What runs its code as it is unpickled."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.touched,))


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_file_runs_with_trust_only(tmp_path: Path, new_format: bool) -> None:
    import torch

    path, touched = tmp_path / "trap.pt", tmp_path / "touched"
    torch.save({"state_dict": Trap(touched)}, path, _use_new_zipfile_serialization=new_format)
    assert "--trust-pickle" in refusal(path)
    assert not touched.exists()
    assert "neither a module nor a state dict" in refusal(path, trust_pickle=True)
    assert touched.exists()


def test_package_that_a_pickle_needs_is_named(monkeypatch: pytest.MonkeyPatch, xrv_file: Path) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchxrayvision"]:
        monkeypatch.setitem(sys.modules, name, None)
    message = refusal(xrv_file, trust_pickle=True)
    assert "need torchxrayvision: pip install it" in message
    assert "state_dict()" in message


@pytest.mark.processes
def test_warnings_are_on_again_after_a_module_was_read(xrv_file: Path) -> None:
    program = """
import sys, warnings
from pathlib import Path
import torch
from workers.models.torch_files import read_torch

before = list(warnings.filters)
assert "torchxrayvision" not in sys.modules
read_torch(Path(sys.argv[1]), trust_pickle=True)
assert "torchxrayvision" in sys.modules
print(warnings.filters == before)
"""
    command = [sys.executable, "-c", program, str(xrv_file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_truncated_file_is_refused(
    torchvision_network: Any, tmp_path: Path, share: float, new_format: bool
) -> None:
    import torch

    path = tmp_path / "model.pth"
    torch.save(torchvision_network.state_dict(), path, _use_new_zipfile_serialization=new_format)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    message = refusal(path)
    assert ("its end is missing" if new_format else "cannot be read whole") in message
    assert "arbitrary code" not in message  # torch's advice to load it without its guard


def test_damaged_pickle_is_refused(torchvision_network: Any, tmp_path: Path) -> None:
    import torch

    path = tmp_path / "model.pth"
    torch.save(torchvision_network.state_dict(), path)
    content = bytearray(path.read_bytes())
    content[2000:6000] = bytes(4000)
    path.write_bytes(content)
    message = refusal(path)
    assert "cannot be read whole" in message
    assert "arbitrary code" not in message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet18", "is a ResNet"),
        ("efficientnet_b0", "is an EfficientNet"),
        ("vit_b_16", "is a ViT"),
        ("convnext_tiny", "is a ConvNeXt"),
        ("swin_t", "is a Swin Transformer"),
    ],
)
def test_other_network_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    import torch
    import torchvision

    path = tmp_path / "other.pth"
    torch.save(getattr(torchvision.models, name)(weights=None, num_classes=14).state_dict(), path)
    assert reason in refusal(path)


def test_program_and_list_are_refused(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "model.pt"
    torch.save([torch.zeros(3)], path)
    assert "holds a list" in refusal(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch means to drop TorchScript
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    assert "TorchScript" in refusal(path)
